"""Goal: what a client's queue holds costs a turn no more than its share. Method: one that reads nothing for a while."""

from quantum.core.edge.fanout import PUMP_BYTES, PUMP_MESSAGE_BYTES
from quantum.core.mqtt.packets import Publish, Subscribe, Subscription
from tests.core.node.door import Door

WAITING = 5_000


def test_expired_messages_are_dropped_turn_by_turn() -> None:
    door = Door()
    slow = door.connect("slow", properties={33: 1})
    door.send_packet(slow, Subscribe(1, [Subscription("t", 1)]))
    publisher = door.connect("p")
    for _ in range(WAITING // 100 + 1):
        door.send_packet(publisher, *[Publish("t", b"x", 1, packet_id=1 + at, message_expiry_s=1) for at in range(100)])
    door.pass_time(2_000)
    ledger = door.node.edge.fanout.ledger
    assert 0 == ledger.expired
    door.inputs.received.append((slow, b"\x40\x02\x00\x01"))
    turns = 1
    while door.turn():
        turns += 1
    assert WAITING <= ledger.expired
    assert ledger.expired * PUMP_MESSAGE_BYTES // PUMP_BYTES <= turns
    assert ledger.is_balanced()
