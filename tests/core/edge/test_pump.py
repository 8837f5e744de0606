"""Goal: what a client's queue holds costs a turn no more than its share. Method: one that reads nothing for a while."""

from quantum.core.edge.fanout import PUMP_BYTES, PUMP_MESSAGE_BYTES
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import V311, Connect, Publish, Subscribe, Subscription
from quantum.core.node.inputs import TCP, Accepted
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


def test_what_was_kept_for_a_client_that_does_not_read_is_not_written_behind_its_end() -> None:
    """1. its transport is full, a PINGRESP waits  2. another takes its session over  3. its transport has room again"""
    door = Door()
    slow = door.connect("c", V311)
    door.take(slow)
    door.inputs.blocked.append(slow)
    door.send(slow, b"\xc0\x00")
    door.inputs.accepted.append(Accepted(99, "tcp://127.0.0.1:1883", TCP, "127.0.0.1:5"))
    door.inputs.received.append((99, encode_packet(V311, Connect(V311, "c", True, 0))))
    while slow not in door.closed:
        door.turn()
    door.inputs.closed.clear()  # The driver tells of the end only when the transport is gone.
    door.inputs.unblocked.append(slow)
    door.run()
    assert slow not in door.written
