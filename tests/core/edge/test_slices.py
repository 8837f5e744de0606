"""Goal: a SUBSCRIBE or UNSUBSCRIBE with many filters is answered whole and in order, though it is read in pieces and the log
gets it in slices, and nobody else waits for it. Method: packets with more filters than three slices hold, through the door
of a node, and how much changes in a turn."""

from itertools import pairwise

import pytest

from quantum.core.causes import TOPIC_LEVELS_MAX
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.reading import HELD_BYTES_MAX
from quantum.core.edge.scram import SCRAM_SHA_256, Scram
from quantum.core.edge.slices import FEW_FILTERS, SLICE_FILTERS, SLICE_LEVELS
from quantum.core.edge.users import UserFile, Users, derive_keys
from quantum.core.mqtt.connection import FILTER_BYTES_AT_ONCE, FILTERS_AT_ONCE
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import (
    V5,
    V311,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from quantum.core.prng import Prng
from tests.core.edge.scram_client import ScramClient
from tests.core.node.door import Disk, Door

COUNT = 3 * SLICE_FILTERS + 7
MANY = 3 * FILTERS_AT_ONCE + 7  # more than three pieces hold
TOO_DEEP = "/".join("x" * 200)


def filters(count: int = COUNT) -> list[str]:
    return [f"many/{number}/+" for number in range(count)]


def long_subscribe(count: int = MANY, packet_id: int = 1, prefix: str = "many") -> Subscribe:
    return Subscribe(packet_id, [Subscription(f"{prefix}/{number:05}/+", 1) for number in range(count)])


def arrive(door: Door, conn_id: int, *packets: Packet) -> None:
    """Packets that the next turn is given."""
    data = b"".join(encode_packet(door.versions[conn_id], packet) for packet in packets)
    door.inputs.received.append((conn_id, data))


def subscriptions(door: Door) -> int:
    return door.node.partition.counts()["subscriptions"]


def steps(door: Door) -> list[int]:
    """How many subscriptions came or went in each turn until nothing is due."""
    counts = [subscriptions(door)]
    is_due = True
    while is_due:
        is_due = door.turn()
        counts.append(subscriptions(door))
    return [abs(after - before) for before, after in pairwise(counts)]


def subscribed(door: Door, conn_id: int) -> None:
    door.send_packet(conn_id, Subscribe(1, [Subscription(each, 1) for each in filters()]))
    assert [Suback(1, [1] * COUNT)] == door.take(conn_id)


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("expiry_s", [0, 100])
def test_one_answer_has_every_code_in_its_place(version: int, expiry_s: int) -> None:
    door = Door()
    client, _ = door.connected("c", version=version, clean_start=expiry_s == 0, expiry_s=expiry_s)
    wanted = [Subscription(each, number % 3) for number, each in enumerate(filters())]
    wanted[SLICE_FILTERS] = Subscription(TOO_DEEP, 0)
    wanted[COUNT - 1] = Subscription(TOO_DEEP, 0)
    codes = [number % 3 for number in range(COUNT)]
    codes[SLICE_FILTERS] = codes[COUNT - 1] = 0x97 if version == V5 else 0x80
    door.send_packet(client, Subscribe(1, wanted))
    reason = f"{TOPIC_LEVELS_MAX.id}: {TOPIC_LEVELS_MAX.text}"
    assert [Suback(1, codes, {31: reason} if version == V5 else {})] == door.take(client)
    door.send_packet(client, Publish("many/1/x", b"m", 1, packet_id=1))
    assert [Puback(1), Publish("many/1/x", b"m", 1, packet_id=1)] == door.take(client)
    door.send_packet(client, Unsubscribe(2, ["nobody/+", *filters()]))
    gone = [0x11, *[0x11 if code >= 0x80 else 0 for code in codes]]
    assert [Unsuback(2, gone if version == V5 else [])] == door.take(client)
    assert 0 == door.node.partition.counts()["subscriptions"]


def test_later_packets_of_the_connection_wait_their_turn() -> None:
    door = Door()
    client, _ = door.connected("c")
    door.send_packet(
        client,
        Subscribe(1, [Subscription(each, 1) for each in filters()]),
        Unsubscribe(2, filters(1)),
        Subscribe(3, [Subscription("other", 0)]),
        Pingreq(),
    )
    expected = [Suback(1, [1] * COUNT), Pingresp(), Unsuback(2, [0]), Suback(3, [0])]
    assert expected == door.take(client)
    assert COUNT == door.node.partition.counts()["subscriptions"]


def test_a_connection_with_slices_is_not_read_until_they_are_done() -> None:
    door = Door()
    client, _ = door.connected("c")
    door.hold_disk = True
    door.send_packet(client, Subscribe(1, [Subscription(each, 1) for each in filters()]))
    door.send_packet(client, Pingreq())
    assert [] == door.take(client)
    door.send(client, encode_packet(V5, Publish("t", b"x" * 70_000)))
    door.release_disk()
    assert [Suback(1, [1] * COUNT), Pingresp()] == door.take(client)
    door.send_packet(client, Pingreq())
    assert [Pingresp()] == door.take(client)


def test_others_are_answered_while_slices_wait() -> None:
    door = Door()
    client, _ = door.connected("c")
    other, _ = door.connected("o")
    door.hold_disk = True
    door.send_packet(client, Subscribe(1, [Subscription(each, 1) for each in filters()]))
    door.send_packet(other, Publish("t", b"x", 1, packet_id=1), Subscribe(2, [Subscription("t", 1)]))
    door.hold_disk = False
    while not door.written.get(other):
        door.inputs.disk_done += [door.disk.answer(request) for request in door.held]
        door.held = []
        door.turn()
    assert b"" == door.written.get(client, b"")
    door.run()
    assert [Suback(1, [1] * COUNT)] == door.take(client)
    assert [Puback(1), Suback(2, [1])] == door.take(other)


def test_two_connections_take_turns() -> None:
    door = Door()
    clients = [door.connected(client_id)[0] for client_id in ("a", "b")]
    for client in clients:
        packet = Subscribe(1, [Subscription(each, 1) for each in filters()])
        door.hold_disk = True
        door.send_packet(client, packet)
    door.release_disk()
    for client in clients:
        assert [Suback(1, [1] * COUNT)] == door.take(client)
    assert 2 * COUNT == door.node.partition.counts()["subscriptions"]


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_connection_that_ends_leaves_nothing_waiting(is_cut: bool) -> None:
    door = Door()
    client, _ = door.connected("c")
    other, _ = door.connected("o")
    door.hold_disk = True
    door.send_packet(client, Subscribe(1, [Subscription(each, 1) for each in filters()]))
    if is_cut:
        door.cut(client)
    else:
        door.connect("c")
    door.release_disk()
    assert 0 == door.node.partition.counts()["subscriptions"]
    subscribed(door, other)
    assert COUNT == door.node.partition.counts()["subscriptions"]


def test_what_was_acknowledged_is_there_after_a_restart() -> None:
    door = Door(Disk())
    client, _ = door.connected("c", clean_start=False, expiry_s=100)
    subscribed(door, client)
    again = Door(door.disk)
    assert COUNT == again.node.partition.counts()["subscriptions"]


def test_retained_messages_of_every_slice_are_sent_once() -> None:
    door = Door()
    publisher, _ = door.connected("p")
    topics = [f"many/{number}/x" for number in (0, SLICE_FILTERS, COUNT - 1)]
    for topic in topics:
        door.send_packet(publisher, Publish(topic, b"kept", 1, True, packet_id=1))
    client, _ = door.connected("c")
    door.send_packet(client, Subscribe(1, [Subscription(each, 0) for each in filters()]))
    packets = door.take(client)
    assert topics == [packet.topic_name for packet in packets if isinstance(packet, Publish)]
    assert 1 == packets.count(Suback(1, [0] * COUNT))


@pytest.mark.parametrize("version", [V311, V5])
def test_a_bad_filter_late_in_a_long_packet_leaves_nothing_and_ends_the_connection(version: int) -> None:
    door = Door()
    client, _ = door.connected("c", version=version)
    other, _ = door.connected("o")
    packet = long_subscribe()
    packet.subscriptions[MANY - 1].topic_filter = "many/+x"
    arrive(door, client, Pingreq(), packet, Pingreq())
    arrive(door, other, Subscribe(1, [Subscription("t", 1)]), Publish("t", b"m", 1, packet_id=2))
    door.run()
    answers = door.take(client)
    assert Pingresp() == answers[0]
    if version == V5:
        assert isinstance(answers[1], Disconnect)
        assert 0x8F == answers[1].reason_code
        assert "Topic Filter with + that is not a whole level" in str(answers[1].properties[31])
    assert (2 if version == V5 else 1) == len(answers)
    assert [client] == door.closed
    assert 1 == subscriptions(door)
    assert [Suback(1, [1]), Puback(2), Publish("t", b"m", 1, packet_id=1)] == door.take(other)


def test_packets_behind_a_long_one_keep_their_order() -> None:
    door = Door()
    client, _ = door.connected("c")
    watcher, _ = door.connected("w")
    door.send_packet(watcher, Subscribe(1, [Subscription("#", 0)]))
    door.take(watcher)
    arrive(
        door,
        client,
        Publish("before", b""),
        Pingreq(),
        long_subscribe(),
        Publish("many/00001/x", b"0"),
        Publish("many/00001/x", b"1", 1, packet_id=5),
        Pingreq(),
        Disconnect(),
        Publish("behind the end", b""),
    )
    door.run()
    answers = door.take(client)
    assert [Pingresp(), Suback(1, [1] * MANY), Publish("many/00001/x", b"0"), Pingresp()] == answers[:4]
    assert [client] == door.closed
    topics = [packet.topic_name for packet in door.take(watcher) if isinstance(packet, Publish)]
    assert ["before", "many/00001/x", "many/00001/x"] == topics
    assert 1 == subscriptions(door)


def taken_over(door: Door, conn_id: int, **options: object) -> None:
    """The next turn is given a CONNECT of the same client on a connection that was opened before."""
    door.versions[conn_id] = V5
    arrive(door, conn_id, Connect(V5, "c", **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("is_cut", [True, False])
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_connection_that_ends_while_its_packet_is_read_leaves_nothing(turns: int, is_cut: bool) -> None:
    door = Door()
    client, _ = door.connected("c")
    watcher, _ = door.connected("w")
    second = door.open()
    door.send_packet(watcher, Subscribe(1, [Subscription("t", 0)]))
    arrive(door, client, long_subscribe(), Publish("t", b"never read"))
    for _ in range(turns):
        assert door.turn()
    if is_cut:
        door.inputs.closed.append((client, "reset"))
    else:
        taken_over(door, second, clean_start=True, keep_alive_s=0)
    assert 0 == max(steps(door))
    assert 1 == subscriptions(door)
    assert [] == [packet for packet in door.take(client) if not isinstance(packet, Disconnect)]
    assert ([] if is_cut else [client]) == door.closed
    assert [Suback(1, [0])] == door.take(watcher)
    subscribed(door, watcher)


@pytest.mark.parametrize("is_cut", [True, False])
def test_a_connection_that_ends_between_its_slices_gets_no_more_of_them(is_cut: bool) -> None:
    door = Door()
    client, _ = door.connected("c", clean_start=False, expiry_s=100)
    second = door.open()
    arrive(door, client, long_subscribe())
    while not subscriptions(door):
        assert door.turn()
    if is_cut:
        door.inputs.closed.append((client, "reset"))
        door.turn()
    taken_over(door, second, clean_start=False, keep_alive_s=0, properties={17: 100})
    # Nothing of what waits is given to the log, and refused there.
    assert len(steps(door)) <= 3
    assert SLICE_FILTERS <= subscriptions(door) <= 3 * SLICE_FILTERS
    assert not any(isinstance(packet, Suback) for packet in door.take(client))
    assert [Connack] == [packet.__class__ for packet in door.take(second)]
    door.send_packet(second, long_subscribe())
    assert [Suback(1, [1] * MANY)] == door.take(second)
    assert MANY == subscriptions(door)


def test_no_turn_does_more_than_a_slice_however_many_ask_and_they_take_turns() -> None:
    door = Door()
    clients = [door.connected(f"c{number}")[0] for number in range(5)]
    for number, client in enumerate(clients):
        arrive(door, client, *[long_subscribe(MANY, each, f"{number}/{each}") for each in (1, 2)])
    waiting = dict.fromkeys(clients, 0)  # → the turn in which its first answer came
    done: list[int] = []
    while len(done) < 20_000:
        before = subscriptions(door)
        is_due = door.turn()
        done.append(subscriptions(door) - before)
        for client in clients:
            if not waiting[client] and door.written.get(client):
                waiting[client] = len(done)
        if not is_due:
            break
    assert SLICE_FILTERS == max(done)
    assert 2 * MANY * len(clients) == sum(done)
    # Nobody is served before the others: the first answers come together, when half of everything is done.
    assert len(done) // 4 < min(waiting.values()) <= max(waiting.values()) < 3 * len(done) // 4
    for client in clients:
        assert [Suback(each, [1] * MANY) for each in (1, 2)] == door.take(client)


@pytest.mark.parametrize("levels", [1, 8, 100])
def test_filters_of_many_levels_make_small_slices(levels: int) -> None:
    door = Door()
    client, _ = door.connected("c")
    names = [f"{number:03}/" + "x/" * (levels - 1) + "+" for number in range(SLICE_FILTERS)]
    arrive(door, client, Subscribe(1, [Subscription(name, 0) for name in names]))
    most = min(SLICE_FILTERS, -(-SLICE_LEVELS // (levels + 1)))
    assert most == max(steps(door))
    assert [Suback(1, [0] * SLICE_FILTERS)] == door.take(client)
    arrive(door, client, Unsubscribe(2, names))
    assert most == max(steps(door))
    assert [Unsuback(2, [0] * SLICE_FILTERS)] == door.take(client)
    assert 0 == subscriptions(door)


def test_a_few_filters_take_the_short_way_however_deep_they_are() -> None:
    door = Door()
    client, _ = door.connected("c")
    door.hold_disk = True
    few = [Subscription(f"{number}/" + "x/" * 120 + "+", 0) for number in range(FEW_FILTERS)]
    door.send_packet(client, Subscribe(1, few), Pingreq())
    assert [Pingresp()] == door.take(client)
    door.release_disk()
    assert [Suback(1, [0] * FEW_FILTERS)] == door.take(client)


def test_a_short_packet_that_is_under_way_does_not_end_the_long_one_behind_it() -> None:
    """Its answer comes when the only slice of the long one is under way already."""
    door = Door()
    client, _ = door.connected("c")
    door.hold_disk = True
    door.send_packet(client, Subscribe(1, [Subscription("short", 0)]))
    deep = [Subscription(f"{number}/" + "x/" * 60 + "+", 0) for number in range(FEW_FILTERS)]
    assert 62 * FEW_FILTERS < SLICE_LEVELS < 62 * FEW_FILTERS + 122
    deep.append(Subscription("x/" * 120 + "+", 0))
    door.send_packet(client, Subscribe(2, deep))
    door.send_packet(client, Pingreq())
    assert [] == door.take(client)
    door.release_disk()
    assert [Suback(1, [0]), Suback(2, [0] * (FEW_FILTERS + 1)), Pingresp()] == door.take(client)


def test_a_short_packet_in_front_of_a_long_one_does_not_let_it_be_overtaken() -> None:
    door = Door()
    client, _ = door.connected("c")
    arrive(door, client, Subscribe(1, [Subscription("short", 0)]), long_subscribe(packet_id=2), Pingreq())
    door.run()
    assert [Suback(1, [0]), Suback(2, [1] * MANY), Pingresp()] == door.take(client)


def test_packets_of_a_slice_or_two_that_are_read_at_once_keep_their_order_and_their_own_reasons() -> None:
    door = Door()
    client, _ = door.connected("c")
    packets = [long_subscribe(SLICE_FILTERS + 1, each, "m") for each in (1, 2)]
    packets[0].subscriptions[0] = Subscription("x/" * 128, 0)
    assert sum(len(encode_packet(V5, packet)) for packet in packets) < FILTER_BYTES_AT_ONCE
    arrive(door, client, *packets, Unsubscribe(3, ["m/00001/+", "none"]), Subscribe(4, [Subscription("last", 0)]))
    door.run()
    reason = {31: f"{TOPIC_LEVELS_MAX.id}: {TOPIC_LEVELS_MAX.text}"}
    ones = [1] * SLICE_FILTERS
    expected = [Suback(1, [0x97, *ones], reason), Suback(2, [1, *ones]), Unsuback(3, [0, 0x11]), Suback(4, [0])]
    assert expected == door.take(client)
    assert SLICE_FILTERS + 1 == subscriptions(door)


def test_a_long_packet_during_authentication_ends_the_connection() -> None:
    keys = {"ann": derive_keys(b"secret", b"salt", 4096)}
    users = Users(UserFile(4096, bytes(32), keys))
    door = Door(edge=EdgeConfig(mechanisms={SCRAM_SHA_256: Scram(users)}, users=users))
    fields = {21: SCRAM_SHA_256, 22: ScramClient("ann", "secret").first()}
    client = door.connect("c", properties=fields)
    door.take(client)
    arrive(door, client, long_subscribe(), Pingreq())
    door.run()
    assert [0x82] == [packet.reason_code for packet in door.take(client) if isinstance(packet, Connack)]
    assert [client] == door.closed


def test_what_a_connection_piles_up_behind_a_long_packet_is_bounded() -> None:
    door = Door()
    client, _ = door.connected("c")
    door.hold_disk = True
    chunk = encode_packet(V5, Publish("t", bytes(8_000), 1, packet_id=1))
    door.send_packet(client, *[long_subscribe(packet_id=each) for each in range(1, 9)])
    sent = 0
    while client not in door.paused:
        door.send(client, chunk)
        sent += len(chunk)
    assert sent <= HELD_BYTES_MAX + len(chunk)
    door.hold_disk = False
    door.inputs.disk_done = [door.disk.answer(request) for request in door.held]
    door.held = []
    while door.turn():
        if client not in door.paused:
            # It is read again only when nothing is left of what was kept.
            assert 8 == door.written[client].count(b"\x90\x8a\x06")
    assert client not in door.paused
    assert [Suback(each, [1] * MANY) for each in range(1, 9)] == door.take(client)[:8]


def test_the_pause_of_a_full_window_and_that_of_kept_bytes_end_each_by_itself() -> None:
    door = Door()
    client, _ = door.connected("c", version=V311)
    publishes = [Publish("t", b"", 1, packet_id=each) for each in range(1, 301)]
    door.hold_disk = True
    arrive(door, client, *publishes, long_subscribe())
    arrive(door, client, Publish("t", bytes(HELD_BYTES_MAX + 1)))
    door.run()
    assert {client} == door.paused
    assert [] == door.take(client)
    door.hold_disk = False
    door.inputs.disk_done = [door.disk.answer(request) for request in door.held]
    door.held = []
    is_due = True
    while is_due and client in door.paused:
        is_due = door.turn()
    answers = door.take(client)
    assert [Puback(each) for each in range(1, 301)] == answers[:300]
    assert [Suback(1, [1] * MANY)] == answers[300:]


@pytest.mark.parametrize("seed", range(8))
def test_long_packets_give_the_same_as_the_same_filters_in_short_ones(seed: int) -> None:
    prng = Prng(seed)
    version = (V311, V5)[seed % 2]
    doors = (Door(), Door())
    clients = [door.connected("c", version=version, clean_start=False, expiry_s=100)[0] for door in doors]
    levels = ("a", "b", "+", "$share/g", "c" * 200, TOO_DEEP)
    for packet_id in range(1, 7):
        count = 1 + prng.below(4 * SLICE_FILTERS)
        names = []
        for _ in range(count):
            first = levels[prng.below(5)]
            last = levels[prng.below(3)] if prng.chance(9, 10) else TOO_DEEP
            names.append(f"{first}/{prng.below(900)}/{last}")
        wanted = [Subscription(name, prng.below(3)) for name in names]
        is_subscribe = prng.chance(2, 3)
        packet = Subscribe(packet_id, wanted) if is_subscribe else Unsubscribe(packet_id, names)
        doors[0].send_packet(clients[0], packet)
        [whole] = doors[0].take(clients[0])
        codes: list[int] = []
        reason: object = None
        for at in range(0, count, FEW_FILTERS):
            end = at + FEW_FILTERS
            short = Subscribe(1, wanted[at:end]) if is_subscribe else Unsubscribe(1, names[at:end])
            doors[1].send_packet(clients[1], short)
            [answer] = doors[1].take(clients[1])
            assert isinstance(answer, Suback | Unsuback)
            codes += answer.reason_codes
            reason = reason or answer.properties.get(31)
        assert isinstance(whole, Suback | Unsuback)
        assert (packet_id, codes) == (whole.packet_id, whole.reason_codes)
        assert reason == whole.properties.get(31)
        views = [door.node.partition.session_view("c")["subscriptions"] for door in doors]
        assert views[0] == views[1]
