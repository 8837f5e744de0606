"""Nothing that connections do leaves cycles behind: memory comes back without the garbage collector, which costs everybody.

Method: many short lives of clients at one node, good and bad, while collecting is off; then nothing is to be collected.
"""

import gc
from collections.abc import Callable

import pytest

from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import V5, V311, Disconnect, Publish, Pubrel, Subscribe, Subscription, Unsubscribe, Will
from tests.core.node.door import Door

LIVES = 30


def _end_by_malformed(door: Door, conn_id: int) -> None:
    door.send(conn_id, b"\x00\x00")


def _end_by_broken_rule(door: Door, conn_id: int) -> None:
    door.send_packet(conn_id, Publish("$SYS/x/#", b"", 1, False, False, 1))


def _end_in_a_long_packet(door: Door, conn_id: int) -> None:
    version = door.versions[conn_id]
    packet = encode_packet(version, Subscribe(9, [Subscription(f"long/{number}", 1) for number in range(2000)]))
    door.send(conn_id, packet[:-1] + b"\x03")


def _end_by_second_connect(door: Door, conn_id: int) -> None:
    door.send(conn_id, b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00")


def _end_by_disconnect(door: Door, conn_id: int) -> None:
    door.send_packet(conn_id, Disconnect())


def _end_by_cut(door: Door, conn_id: int) -> None:
    door.cut(conn_id)


def _end_by_takeover(door: Door, conn_id: int) -> None:
    other = door.connect("client")
    assert conn_id in door.closed
    door.cut(other)


ENDS = [
    _end_by_malformed,
    _end_by_broken_rule,
    _end_in_a_long_packet,
    _end_by_second_connect,
    _end_by_disconnect,
    _end_by_cut,
    _end_by_takeover,
]


@pytest.mark.usefixtures("small_heap")
@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("end", ENDS)
def test_life_of_a_client_leaves_no_cycles(version: int, end: Callable[[Door, int], None]) -> None:
    door = Door()
    gc.collect()
    gc.disable()
    try:
        for life in range(LIVES):
            will = Will("will", b"gone", 1, True) if life % 2 else None
            conn_id = door.connect("client", version, expiry_s=100 * (life % 3), will=will)
            door.send_packet(conn_id, Subscribe(1, [Subscription("a/+", 2), Subscription("$share/g/#", 1)]))
            door.send_packet(conn_id, *[Publish("a/b", b"x", qos, True, False, 5 if qos else 0) for qos in (0, 1)])
            door.send_packet(conn_id, Publish("a/b", b"x", 2, False, False, 6), Pubrel(6), Unsubscribe(2, ["a/+"]))
            end(door, conn_id)
            assert conn_id not in door.node.edge.connections
            door.written.clear()
        assert 0 == gc.collect()
    finally:
        gc.enable()
