"""Goal: a connection is looked at when it may be silent for too long, and costs nothing once it is gone. Method: the deadlines
alone, and connections that come and go at a node's door."""

from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.keepalive import WITHDRAWN_MIN, Deadlines
from quantum.core.mqtt.packets import V311, Disconnect, Publish
from tests.core.node.door import Door


def test_connection_has_one_deadline_the_last_that_was_set() -> None:
    deadlines = Deadlines()
    deadlines.set(10, 1)
    deadlines.set(30, 1)
    deadlines.set(20, 2)
    assert 20 == deadlines.next_ms()
    assert [] == deadlines.take_due(10)
    assert [2, 1] == deadlines.take_due(30)
    assert (0, []) == (deadlines.next_ms(), deadlines.take_due(1_000))


def test_deadlines_of_connections_that_come_and_go_stay_bounded() -> None:
    deadlines = Deadlines()
    deadlines.set(5, 0)
    for conn_id in range(1, 10_000):
        deadlines.set(conn_id + 10_000, conn_id)
        deadlines.set(conn_id + 100_000_000, conn_id)
        deadlines.withdraw(conn_id)
        assert deadlines.heap_size() <= 2 + WITHDRAWN_MIN + 1
    assert [0] == deadlines.take_due(1 << 40)


def test_client_that_has_gone_leaves_no_deadline() -> None:
    door = Door()
    for _ in range(3):
        door.send_packet(door.connect("c", version=V311, keep_alive_s=65_535), Disconnect())
    assert 0 == door.node.edge._deadlines.next_ms()


def test_silent_client_is_looked_at_once_in_its_time() -> None:
    """The connect timeout makes way for the Keep Alive. [MQTT-3.1.2-22]"""
    door = Door()
    opened_ms = door.inputs.now_ms
    conn_id = door.connect("c", version=V311, keep_alive_s=100)
    assert opened_ms + 150_000 == door.node.edge.next_deadline_ms()
    door.pass_time(149_999)
    assert [] == door.closed
    door.pass_time(1)
    assert [conn_id] == door.closed


def test_client_that_is_not_read_is_not_silent() -> None:
    """The node reads no more of it until the disk has what it sent, and then gives it a whole Keep Alive."""
    door = Door(edge=EdgeConfig(receive_maximum=2))
    conn_id = door.connect("c", version=V311, keep_alive_s=10)
    door.hold_disk = True
    door.send_packet(conn_id, *[Publish("t", b"x", 1, packet_id=packet_id) for packet_id in range(1, 6)])
    assert door.node.edge.connections[conn_id].paused_by
    door.pass_time(60_000)
    door.release_disk()
    door.pass_time(14_999)
    assert [] == door.closed
    door.pass_time(1)
    assert [conn_id] == door.closed
