"""A shared subscription gives each message to one member, in turn, and loses none that another member could take.

Method: groups of ephemeral, connected and absent members, driven by hand. Source: MQTT 5.0 §4.8.2.
"""

import pytest

from quantum.core.broker.commands import (
    CLOSED_WITH_WILL,
    CloseEdge,
    Entry,
    GiveAgain,
    SetPolicy,
    decode_entry,
    encode_entry,
)
from quantum.core.broker.message import Message
from quantum.core.mqtt.packets import Subscription
from tests.core.broker.tape import BIG, Tape


def _tape(
    ephemeral: str = "", replicated: str = "", receive_maximum: int = 100, policy: SetPolicy | None = None
) -> Tape:
    tape = Tape() if policy is None else Tape(policy)
    tape.open("p")
    for client_id in ephemeral + replicated:
        tape.open(client_id, expiry_s=BIG if client_id in replicated else 0, receive_maximum=receive_maximum)
        tape.subscribe(client_id, "$share/g/t")
    return tape


def _takers(tape: Tape, count: int, qos: int = 1) -> str:
    taken = ""
    for _ in range(count):
        assert 0 == tape.publish("p", "t", qos=qos)
        taken += "".join(receivers[0] for _, receivers in tape.delivered()) + "".join(row[0] for row in tape.sent())
    return taken


def test_members_take_turns_in_the_order_of_their_client_ids() -> None:
    tape = _tape(ephemeral="cab", replicated="d")
    assert "abcdabcd" == _takers(tape, 8)
    assert 8 == tape.count("created")


def test_turn_goes_on_after_the_last_taker_when_members_come_and_go() -> None:
    tape = _tape(ephemeral="ac")
    assert "a" == _takers(tape, 1)
    tape.open("b")
    tape.subscribe("b", "$share/g/t")
    assert "b" == _takers(tape, 1)
    tape.unsubscribe("b", "$share/g/t")
    assert "ca" == _takers(tape, 2)


def test_turn_survives_a_snapshot() -> None:
    tape = _tape(ephemeral="abc")
    assert "a" == _takers(tape, 1)
    tape.state = tape.restored()
    assert "bca" == _takers(tape, 3)


def test_groups_of_one_filter_and_plain_subscriptions_each_get_a_copy() -> None:
    tape = _tape(ephemeral="ab")
    tape.subscribe("a", "$share/h/t", "t")
    tape.publish("p", "t")
    assert [("x", ("a",)), ("x", ("a",)), ("x", ("a",))] == tape.delivered()
    assert 3 == tape.count("created")


def test_shared_wildcard_filter_matches_like_a_plain_one() -> None:
    tape = Tape()
    tape.open("p")
    tape.open("a")
    tape.subscribe("a", "$share/g/+/x", "$share/g/#")
    assert 0x10 == tape.publish("p", "$x/x")
    tape.publish("p", "y/x")
    assert 2 == len(tape.delivered())


def test_qos_and_identifier_are_those_of_the_chosen_subscription() -> None:
    tape = Tape()
    tape.open("p")
    tape.open("r", expiry_s=BIG)
    tape.subscribe("r", Subscription("$share/g/t", 1, retain_as_published=True), subscription_id=7)
    tape.publish("p", "t", qos=2, retain=True)
    [send] = tape.effects.sends
    assert (1, (7,), True) == (send.qos, send.subscription_ids, send.retain)  # type: ignore[union-attr]


def test_connected_members_come_first() -> None:
    tape = _tape(replicated="abc")
    tape.cut("b")
    assert "acac" == _takers(tape, 4)
    tape.open("b", expiry_s=BIG)
    assert "abc" == _takers(tape, 3)


def test_absent_members_queue_in_turn_when_nobody_is_connected() -> None:
    tape = _tape(replicated="ab")
    tape.cut("a")
    tape.cut("b")
    assert "" == _takers(tape, 3)
    tape.open("a", expiry_s=BIG)
    assert 2 == len(tape.sent())
    tape.open("b", expiry_s=BIG)
    assert 1 == len(tape.sent())


def test_qos_0_is_not_queued_for_an_absent_member() -> None:
    tape = Tape()
    tape.open("p")
    tape.open("a", expiry_s=BIG)
    tape.subscribe("a", Subscription("$share/g/t", 0))
    assert "a" == _takers(tape, 1)
    tape.cut("a")
    assert "" == _takers(tape, 1)
    assert 1 == tape.count("dropped", "shared_group_empty")


def test_full_member_is_passed_over_while_another_can_take_it() -> None:
    tape = _tape(replicated="abc", policy=SetPolicy(10, 10, 1, 1000, 10, 1000))
    tape.cut("c")
    assert "ab" == _takers(tape, 2)
    assert "" == _takers(tape, 1)
    assert 1 == tape.state.session_view("c")["queued_messages"]
    assert "" == _takers(tape, 1)
    assert 1 == tape.count("dropped", "shared_group_empty")
    tape.puback("b", 1)
    assert "b" == _takers(tape, 1)


def test_unacknowledged_qos_1_of_an_ended_session_goes_to_the_others_in_order() -> None:
    tape = _tape(replicated="ab", receive_maximum=1)
    for number in range(6):
        tape.publish("p", "t", str(number).encode())
    tape.close("a", expiry_s=0)  # a had 0 in flight, 2 and 4 queued
    received = []
    for packet_id in range(1, 7):
        tape.puback("b", packet_id)
        received += [row[1] for row in tape.sent()]
    assert ["3", "5", "0", "2", "4"] == received
    assert 6 == tape.count("delivered")
    assert {} == tape.state.accounting["dropped"]


def test_unacknowledged_qos_1_may_go_to_an_ephemeral_member() -> None:
    tape = _tape(ephemeral="z", replicated="a", receive_maximum=1)
    for _ in range(4):
        tape.publish("p", "t")
    tape.close("a", expiry_s=0)
    assert [("x", ("z",)), ("x", ("z",))] == tape.delivered()


@pytest.mark.parametrize("is_released", [False, True])
def test_qos_2_that_is_being_sent_is_lost_with_its_member(is_released: bool) -> None:
    """[MQTT-4.8.2-5]"""
    tape = _tape(replicated="ab", receive_maximum=1)
    for number in range(4):
        tape.publish("p", "t", str(number).encode(), qos=2)
    if is_released:
        tape.pubrec("a", 1)
    tape.close("a", CLOSED_WITH_WILL, 0)
    assert 1 == tape.count("dropped", "session_ended")
    received = []
    for packet_id in (1, 2, 3):
        tape.pubrec("b", packet_id)
        tape.pubcomp("b", packet_id)
        received += [row[1] for row in tape.sent() if len(row) == 5]
    assert ["3", "2"] == received  # b had 1 in flight; a's 2 was never sent
    assert 3 == tape.count("delivered")


def test_queue_of_the_last_member_is_dropped_with_its_session() -> None:
    tape = _tape(replicated="a", receive_maximum=1)
    for _ in range(3):
        tape.publish("p", "t")
    tape.close("a", expiry_s=0)
    assert 3 == tape.count("dropped", "session_ended")
    assert 0 == tape.state.counts()["shared_groups"]


def test_expired_message_is_not_given_to_another_member() -> None:
    tape = _tape(replicated="ab")
    tape.cut("a")
    tape.cut("b")
    tape.publish("p", "t", expiry_s=5)
    tape.pass_s(5)
    tape.open("a", clean_start=True)
    assert 1 == tape.count("expired")


def test_error_of_a_member_is_not_given_to_another() -> None:
    tape = _tape(replicated="ab")
    tape.publish("p", "t")
    tape.puback("a", 1, 0x80)
    assert [] == tape.sent()
    assert 1 == tape.count("dropped", "client_refused")


def _orphan(shared_filter: str = "$share/g/t", qos: int = 1, deadline_ms: int = 0) -> GiveAgain:
    message = Message("t", b"orphan", qos, True, b"\x01\x01", 30, "p")
    message.number = 7
    message.deadline_ms = deadline_ms
    return GiveAgain(shared_filter, message)


def test_what_an_edge_gives_back_is_another_copy_for_the_member_whose_turn_it_is() -> None:
    tape = _tape(ephemeral="ab", replicated="c")
    assert "a" == _takers(tape, 1)
    assert [0, 0] == tape.do(_orphan(), _orphan()).results
    assert [("orphan", ("b",))] == tape.delivered()
    assert [("c", "orphan", 1, 1, False)] == tape.sent()
    assert 3 == tape.count("created")
    assert 2 == tape.count("delivered")
    assert 1 == tape.state.counts()["inflight_messages"]


def test_what_an_edge_gives_back_behind_its_own_end_finds_no_member_of_it() -> None:
    tape = _tape(ephemeral="ab")
    tape.open("r", expiry_s=BIG, edge=2)
    tape.subscribe("r", "$share/g/t")
    entry = Entry(tape.now_ms, 1, 1, tape.state.edge_forward_seq(1) + 1, [CloseEdge(1, 1), _orphan()])
    assert [0, 0] == tape.apply(entry).results
    assert [] == tape.delivered()
    assert [("r", "orphan", 1, 1, False)] == tape.sent()


@pytest.mark.parametrize(
    "command, column, cause",
    [
        (_orphan(deadline_ms=1), "expired", ""),
        (_orphan("$share/h/t"), "dropped", "session_ended"),
        (_orphan("t"), "dropped", "session_ended"),
    ],
)
def test_what_an_edge_gives_back_and_nobody_can_take_has_its_column(
    command: GiveAgain, column: str, cause: str
) -> None:
    tape = _tape(ephemeral="a")
    assert 0 == tape.one(command)
    assert [] == tape.delivered()
    assert 1 == tape.count(column, cause)


def test_what_an_edge_gives_back_keeps_all_that_the_message_was_stamped_with() -> None:
    command = _orphan(qos=2, deadline_ms=9)
    (decoded,) = decode_entry(encode_entry(Entry(0, 1, 1, 1, [command]))).commands
    assert isinstance(decoded, GiveAgain)
    assert command.to_row() == decoded.to_row()
    assert (7, 9) == (decoded.message.number, decoded.message.deadline_ms)


@pytest.mark.parametrize("kind", ["ephemeral", "replicated"])
def test_turn_of_live_messages_is_no_part_of_the_state(kind: str) -> None:
    tape = _tape(ephemeral="ab") if kind == "ephemeral" else _tape(replicated="ab")
    before = tape.memory()
    picks = [tuple(r.client_id for r in tape.state.pick_shared("t")) for _ in range(3)]
    assert [("a",), ("b",), ("a",)] == picks
    assert before == tape.memory()
    assert "ab" == _takers(tape, 2)
    assert tape.state.route("t").has_shared
    assert not tape.state.route("u").has_shared


def test_live_message_goes_to_connected_members_only() -> None:
    tape = _tape(replicated="ab")
    tape.cut("a")
    assert ["b", "b"] == [tape.state.pick_shared("t")[0].client_id for _ in range(2)]
    tape.cut("b")
    assert () == tape.state.pick_shared("t")
    tape.state = tape.restored()
    assert () == tape.state.pick_shared("t")
