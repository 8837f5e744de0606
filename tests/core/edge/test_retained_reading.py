"""The edge reads retained messages from the store as its client takes them: all that still stand, live ones behind.

Method: a node with more retained topics than one entry reads, and a client whose transport is blocked meanwhile.
Source: MQTT 5.0 §3.3.1.3, §4.6.
"""

import pytest

from quantum.core.broker.retained import READ_STEPS
from quantum.core.mqtt.packets import Packet, Pingreq, Pingresp, Puback, Publish, Suback, Subscribe, Subscription
from tests.core.node.door import Door

MANY = 3 * READ_STEPS


def _topic(number: int) -> str:
    return f"t/{number:05}"


def _filled() -> tuple[Door, int]:
    door = Door()
    publisher = door.connect("publisher")
    for begin in range(0, MANY, 128):
        numbers = range(begin, min(MANY, begin + 128))
        _publish(door, publisher, *[(_topic(number), b"%d" % number) for number in numbers])
    return door, publisher


def _publish(door: Door, conn_id: int, *messages: tuple[str, bytes]) -> None:
    """Retained, QoS 1, and acknowledged."""
    door.send_packet(
        conn_id,
        *[Publish(topic, payload, 1, True, False, number) for number, (topic, payload) in enumerate(messages, 1)],
    )
    assert len(messages) == sum(isinstance(packet, Puback) for packet in door.take(conn_id))


def _received(door: Door, conn_id: int) -> list[Publish]:
    """Everything, each QoS 1 message acknowledged."""
    found: list[Publish] = []
    while packets := door.take(conn_id):
        messages = [packet for packet in packets if isinstance(packet, Publish)]
        found += messages
        acks: list[Packet] = [Puback(message.packet_id) for message in messages if message.qos]
        if acks:
            door.send_packet(conn_id, *acks)
    return found


@pytest.mark.parametrize("expiry_s", [0, 100])
@pytest.mark.parametrize("qos", [0, 1])
def test_all_that_stand_come_in_order_and_what_changed_meanwhile_comes_live(qos: int, expiry_s: int) -> None:
    door, publisher = _filled()
    subscriber = door.connect("subscriber", expiry_s=expiry_s, properties={33: 10})
    door.take(subscriber)
    if qos == 0:
        door.inputs.blocked.append(subscriber)
    door.send_packet(subscriber, Subscribe(1, [Subscription("t/#", qos)]))
    changes = [(_topic(MANY - 1), b"replaced"), (_topic(MANY - 2), b""), (_topic(MANY), b"new"), (_topic(0), b"again")]
    _publish(door, publisher, *changes)
    if qos == 0:
        door.inputs.unblocked.append(subscriber)
        door.run()
    found = _received(door, subscriber)
    kept = [(_topic(number), b"%d" % number, True) for number in range(MANY - 2)]
    live = [(topic, payload, False) for topic, payload in changes]
    assert [*kept, *live] == [(packet.topic_name, packet.payload, packet.retain) for packet in found]
    edge = door.node.edge.fanout.ledger
    assert 0 == edge.open


def test_others_are_served_while_a_client_reads() -> None:
    door, publisher = _filled()
    subscriber = door.connect("subscriber")
    door.take(subscriber)
    door.take(publisher)
    packet = b"\x82\x09\x00\x01\x00\x00\x03t/#\x00"
    door.inputs.received.append((subscriber, packet))
    turns = 0
    is_over = False
    while not is_over:
        door.inputs.received.append((publisher, b"\xc0\x00"))
        is_over = not door.turn() and b"t/%05d" % (MANY - 1) in door.written.get(subscriber, b"")
        turns += 1
        assert turns < 1000
    assert MANY / READ_STEPS < turns
    assert [Pingresp()] * turns == door.take(publisher)
    assert isinstance(door.take(subscriber)[0], Suback)


def test_client_that_leaves_while_it_reads_is_owed_nothing() -> None:
    door, _ = _filled()
    subscriber = door.connect("subscriber", properties={33: 10})
    door.send_packet(subscriber, Subscribe(1, [Subscription("t/#", 1)]))
    assert door.node.edge.fanout.ledger.open
    door.cut(subscriber)
    assert 0 == door.node.edge.fanout.ledger.open
    other = door.connect("subscriber")
    door.take(other)
    door.send_packet(other, Pingreq())
    assert [Pingresp()] == door.take(other)
