"""Goal: a client that returns to a long queue is sent it to its end, and never so much at once that others wait. Method: a
queue longer than two windows of the server, through the door of a node, and a count of what each turn writes."""

import pytest

from quantum.core.edge.config import EdgeConfig
from quantum.core.mqtt.packets import V5, V311, Puback, Publish, Subscribe, Subscription
from tests.core.node.door import Door

SEND_WINDOW_MAX = EdgeConfig().send_window_max
COUNT = 2 * SEND_WINDOW_MAX + 100


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("is_retained", [True, False], ids=["retained", "queued"])
def test_no_more_than_the_servers_own_window_is_in_flight(version: int, is_retained: bool) -> None:
    door = Door()
    client, _ = door.connected("c", version=version, clean_start=False, expiry_s=100)
    subscribe = Subscribe(1, [Subscription("t/#", 1)])
    if not is_retained:
        door.send_packet(client, subscribe)
        door.cut(client)
    publisher, _ = door.connected("p")
    for begin in range(0, COUNT, 100):
        packets = [
            Publish(f"t/{number:05d}", b"x", 1, is_retained, packet_id=1 + number % 100)
            for number in range(begin, min(COUNT, begin + 100))
        ]
        door.send_packet(publisher, *packets)
    if is_retained:
        door.send_packet(client, subscribe)
        came = [packet for packet in door.take(client) if isinstance(packet, Publish)]
    else:
        client, _ = door.connected("c", version=version, clean_start=False, expiry_s=100)
        came = [packet for packet in door.rest if isinstance(packet, Publish)]
    assert SEND_WINDOW_MAX == len(came)
    for at in range(COUNT):
        door.send_packet(client, Puback(came[at].packet_id))
        came += [packet for packet in door.take(client) if isinstance(packet, Publish)]
        assert min(COUNT, SEND_WINDOW_MAX + at + 1) == len(came)
    assert [f"t/{number:05d}" for number in range(COUNT)] == [packet.topic_name for packet in came]
    assert is_retained == came[-1].retain
    assert door.node.partition.is_balanced()
