"""Goal: each strategy chooses the member it promises, of those connected first, and every replica chooses the same one.
Method: a policy with the strategy, groups of sessions of both kinds, and who was given what."""

import random

import msgpack
import pytest

from quantum.core.broker.commands import (
    HASH_TOPIC,
    LEAST_INFLIGHT,
    ROUND_ROBIN,
    SET_POLICY,
    Entry,
    SetBacklog,
    SetPolicy,
    decode_entry,
    encode_entry,
)
from quantum.core.broker.shared_ring import POINTS, Ring
from quantum.core.mqtt.packets import Subscription
from tests.core.broker.tape import BIG, Tape

STRATEGIES = (ROUND_ROBIN, HASH_TOPIC, LEAST_INFLIGHT)
TOPICS = [f"t/{number}" for number in range(300)]


def policy(strategy: int, queue_messages_max: int = 1000) -> SetPolicy:
    return SetPolicy(1000, 100, queue_messages_max, 1_000_000, 1000, 1_000_000, strategy)


def make_tape(strategy: int, members: str, *, receive_maximum: int = 100, queue_messages_max: int = 1000) -> Tape:
    """Lower case members are sessions that end with their connection, upper case ones last."""
    tape = Tape(policy(strategy, queue_messages_max))
    tape.open("p")
    for client_id in members:
        expiry_s = BIG if client_id.isupper() else 0
        tape.open(client_id, expiry_s=expiry_s, receive_maximum=receive_maximum)
        tape.subscribe(client_id, Subscription("$share/g/t/#", 1))
    return tape


def taker(tape: Tape, topic_name: str = "t/x", qos: int = 1) -> str:
    """Who is sent a message; "" when it waits in a queue."""
    assert 0 == tape.publish("p", topic_name, qos=qos)
    return "".join([receivers[0] for _, receivers in tape.delivered()] + [row[0] for row in tape.sent()])


def owners(tape: Tape) -> dict[str, str]:
    return {topic_name: taker(tape, topic_name) for topic_name in TOPICS}


# -- hash by topic ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("members", ["abcd", "ABCD", "aBcD"])
def test_topic_stays_with_its_member(members: str) -> None:
    tape = make_tape(HASH_TOPIC, members, receive_maximum=1000)
    before = owners(tape)
    assert before == owners(tape)
    assert set(members) == set(before.values())
    shares = [list(before.values()).count(member) for member in members]
    assert min(shares) > len(TOPICS) // 10, shares


def test_who_leaves_or_joins_moves_its_own_topics_only() -> None:
    tape = make_tape(HASH_TOPIC, "abcd")
    before = owners(tape)
    tape.unsubscribe("c", "$share/g/t/#")
    after = owners(tape)
    assert "c" not in after.values()
    assert [] == [topic for topic in TOPICS if before[topic] != "c" and before[topic] != after[topic]]
    tape.subscribe("c", "$share/g/t/#")
    assert before == owners(tape)


def test_topics_of_an_absent_member_go_to_connected_ones_until_it_is_back() -> None:
    tape = make_tape(HASH_TOPIC, "ABC", receive_maximum=5000)
    before = owners(tape)
    tape.cut("B")
    after = owners(tape)
    assert {"A", "C"} == set(after.values())
    assert [] == [topic for topic in TOPICS if before[topic] != "B" and before[topic] != after[topic]]
    tape.open("B", expiry_s=BIG, receive_maximum=5000)
    assert before == owners(tape)


def test_absent_members_queue_what_is_theirs_when_nobody_is_connected() -> None:
    tape = make_tape(HASH_TOPIC, "AB", receive_maximum=1000)
    before = owners(tape)
    for member in "AB":
        for packet_id in range(1, 301):
            if tape.puback(member, packet_id) != 0:
                break
    tape.cut("A")
    tape.cut("B")
    assert {""} == set(owners(tape).values())
    for member in "AB":
        tape.open(member, expiry_s=BIG, receive_maximum=1000)
        assert list(before.values()).count(member) == len(tape.sent())


def test_full_owner_is_passed_over() -> None:
    tape = make_tape(HASH_TOPIC, "ABC", queue_messages_max=1)
    takers = [taker(tape) for _ in range(4)]
    assert {"A", "B", "C"} == set(takers[:3])
    assert "" == takers[3]
    assert 1 == tape.count("dropped", "shared_group_empty")
    tape.puback(takers[0], 1)
    assert takers[0] == taker(tape)


def test_live_message_of_a_topic_goes_to_the_same_member() -> None:
    tape = make_tape(HASH_TOPIC, "ABCD", receive_maximum=1000)
    before = owners(tape)
    assert before == {topic: tape.state.pick_shared(topic)[0].client_id for topic in TOPICS}
    tape.cut("A")
    assert "A" not in {tape.state.pick_shared(topic)[0].client_id for topic in TOPICS}
    for member in "BCD":
        tape.cut(member)
    assert () == tape.state.pick_shared("t/1")


def test_what_a_member_leaves_goes_to_the_next_owner_in_order() -> None:
    tape = make_tape(HASH_TOPIC, "ABC", receive_maximum=1)
    first = taker(tape)
    for number in range(4):
        tape.publish("p", "t/x", str(number).encode())
    tape.close(first, expiry_s=0)
    second = tape.sent()[0][0]
    received = [row[1] for row in tape.sent()]
    for packet_id in range(1, 5):
        tape.puback(second, packet_id)
        received += [row[1] for row in tape.sent()]
    assert ["x", "0", "1", "2", "3"] == received
    assert {} == tape.state.accounting["dropped"]


def test_ring_is_the_same_however_it_was_made() -> None:
    chance = random.Random(1)
    members = [f"client-{number}" for number in range(40)]
    ring = Ring([])
    there: list[str] = []
    for _ in range(200):
        member = chance.choice(members)
        if member in there:
            there.remove(member)
            ring.remove(member)
        else:
            there.append(member)
            ring.add(member)
        assert len(there) * POINTS == len(ring.points)
    assert Ring(sorted(there)).points == ring.points


# -- least inflight ---------------------------------------------------------------------------------------------------


def test_member_that_is_owed_least_is_chosen() -> None:
    tape = make_tape(LEAST_INFLIGHT, "ABC")
    assert "ABC" == "".join(taker(tape) for _ in range(3))
    tape.puback("B", 1)
    assert "B" == taker(tape)
    tape.puback("C", 1)
    assert "C" == taker(tape)
    assert "A" == taker(tape)  # all are owed one: the turn goes on


def test_member_that_does_not_acknowledge_gets_no_more_than_its_share() -> None:
    tape = make_tape(LEAST_INFLIGHT, "ABC")
    packet_ids = dict.fromkeys("ABC", 0)
    given = dict.fromkeys("ABC", 0)
    for _ in range(60):
        member = taker(tape)
        given[member] += 1
        if member != "B":
            packet_ids[member] += 1
            tape.puback(member, packet_ids[member])
    assert 1 == given["B"]
    assert abs(given["A"] - given["C"]) <= 1


def test_queue_of_an_absent_member_counts() -> None:
    tape = make_tape(LEAST_INFLIGHT, "AB")
    tape.cut("A")
    for _ in range(3):
        assert "B" == taker(tape)  # connected members come first, whatever they are owed
    tape.cut("B")
    for _ in range(3):
        assert "" == taker(tape)
    assert 3 == tape.state.session_view("A")["queued_messages"]


def test_sessions_that_end_with_their_connection_count_as_idle_and_take_turns() -> None:
    tape = make_tape(LEAST_INFLIGHT, "abc")
    assert "abcabc" == "".join(taker(tape) for _ in range(6))


def test_session_that_ends_with_its_connection_is_spared_while_its_edge_says_it_is_behind() -> None:
    tape = make_tape(LEAST_INFLIGHT, "abc")
    assert 0 == tape.one(SetBacklog("b", tape.epochs["b"], True))
    assert "acac" == "".join(taker(tape) for _ in range(4))
    assert {"a", "c"} == {tape.state.pick_shared("t/x")[0].client_id for _ in range(4)}
    tape.state = tape.restored()
    assert "ac" == "".join(taker(tape) for _ in range(2))
    for client_id in "ac":
        tape.one(SetBacklog(client_id, tape.epochs[client_id], True))
    assert "abc" == "".join(taker(tape) for _ in range(3))  # all are behind: turns again
    tape.one(SetBacklog("b", tape.epochs["b"], False))
    assert "bb" == "".join(taker(tape) for _ in range(2))


def test_new_connection_is_not_behind() -> None:
    tape = make_tape(LEAST_INFLIGHT, "ab")
    tape.one(SetBacklog("a", tape.epochs["a"], True))
    stale = SetBacklog("a", tape.epochs["a"], True)
    tape.close("a")
    tape.open("a")
    tape.subscribe("a", Subscription("$share/g/t/#", 1))
    assert "stale_epoch" == tape.refused_by(tape.one(stale))
    assert "abab" == "".join(taker(tape) for _ in range(4))


def test_member_that_is_behind_comes_after_those_that_are_owed_much() -> None:
    tape = make_tape(LEAST_INFLIGHT, "aBC")
    tape.one(SetBacklog("a", tape.epochs["a"], True))
    assert "BCBC" == "".join(taker(tape) for _ in range(4))


def test_live_message_goes_to_the_least_loaded_too() -> None:
    tape = make_tape(LEAST_INFLIGHT, "ABC")
    taker(tape)
    assert {"B", "C"} == {tape.state.pick_shared("t/x")[0].client_id for _ in range(4)}
    taker(tape)
    assert {"C"} == {tape.state.pick_shared("t/x")[0].client_id for _ in range(4)}


def test_full_member_is_passed_over_for_one_that_is_owed_more() -> None:
    tape = make_tape(LEAST_INFLIGHT, "AB", queue_messages_max=5)
    tape.open("C", expiry_s=BIG)
    tape.subscribe("C", Subscription("$share/g/t/#", 0))
    tape.cut("C")
    assert "ABABABABAB" == "".join(taker(tape) for _ in range(10))
    assert "" == taker(tape)
    assert 1 == tape.count("dropped", "shared_group_empty")


# -- all of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_replica_that_was_restored_chooses_the_same(strategy: int) -> None:
    chance = random.Random(strategy)
    tape = make_tape(strategy, "aBcDEF", receive_maximum=4, queue_messages_max=20)
    twin = tape.restored()
    for step in range(300):
        client_id = chance.choice("BDEF")
        roll = chance.random()
        is_connected = bool(tape.state.session_view(client_id)["is_connected"])
        if roll < 0.1 and is_connected:
            tape.cut(client_id)
        elif roll < 0.3 and not is_connected:
            tape.open(client_id, expiry_s=BIG, receive_maximum=4)
        elif roll < 0.5 and is_connected:
            tape.puback(client_id, chance.randint(1, 40))
        else:
            tape.publish("p", chance.choice(TOPICS), qos=1)
        expected = [(send.client_id, type(send)) for send in tape.effects.sends]
        replayed = twin.apply(tape.index, encode_entry(tape.last_entry), None)
        assert expected == [(send.client_id, type(send)) for send in replayed.sends]
        if step % 50 == 0:
            twin = tape.restored()
    assert tape.state.digest() == twin.digest()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_message_goes_to_one_member(strategy: int) -> None:
    tape = make_tape(strategy, "aBcD", receive_maximum=1000)
    assert [1] * 50 == [len(taker(tape, f"t/{number}")) for number in range(50)]
    assert 50 == tape.count("created")


def test_strategy_changes_with_the_policy_and_not_before() -> None:
    tape = make_tape(ROUND_ROBIN, "abc")
    assert "abc" == "".join(taker(tape) for _ in range(3))
    tape.do(policy(HASH_TOPIC))
    assert 1 == len({taker(tape) for _ in range(3)})
    assert tape.state.has_policy(policy(HASH_TOPIC))
    assert not tape.state.has_policy(policy(ROUND_ROBIN))
    tape.state = tape.restored()
    assert tape.state.has_policy(policy(HASH_TOPIC))


def test_policy_of_an_older_log_is_round_robin() -> None:
    data = encode_entry(Entry(0, 0, 0, 0, []))[:-1] + msgpack.packb([(SET_POLICY, 1, 2, 3, 4, 5, 6)])
    assert [SetPolicy(1, 2, 3, 4, 5, 6, ROUND_ROBIN)] == decode_entry(data).commands


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("qos", [0, 1])
def test_absent_members_that_could_take_nothing_are_not_looked_at(strategy: int, qos: int) -> None:
    tape = Tape(policy(strategy, 100_000))
    tape.open("p")
    for client_id in [*(f"m{number:03}" for number in range(100)), "z"]:
        tape.open(client_id, expiry_s=BIG)
        tape.subscribe(client_id, Subscription("$share/g/t/#", int(client_id == "z")))
        tape.cut(client_id)
    group = tape.state._partition.subscriptions.groups["$share/g/t/#"]
    assert (["z"], 101) == (group.lasting, len(group.members))
    group.members = {"z": group.members["z"]}  # whoever is looked up beside it raises
    for number in range(50):
        tape.publish("p", f"t/{number}", qos=qos, retain=True)
    assert 50 * qos == tape.state.counts()["queued_messages"]
