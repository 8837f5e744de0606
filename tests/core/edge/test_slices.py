"""Goal: a SUBSCRIBE or UNSUBSCRIBE with many filters is answered whole and in order, though the log gets it in slices, and
nobody else waits for it. Method: packets with more filters than three slices hold, through the door of a node."""

import pytest

from quantum.core.causes import TOPIC_LEVELS_MAX
from quantum.core.edge.slices import SLICE_FILTERS
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import (
    V5,
    V311,
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
from tests.core.node.door import Disk, Door

COUNT = 3 * SLICE_FILTERS + 7
TOO_DEEP = "/".join("x" * 200)


def filters(count: int = COUNT) -> list[str]:
    return [f"many/{number}/+" for number in range(count)]


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
