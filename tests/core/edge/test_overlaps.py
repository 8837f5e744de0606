"""Goal: one copy for each session however many of its filters match, with the greatest QoS, the identifiers of all
filters that want it, and nothing of those that say No Local where the message is its own. Method: each way a message
can go, at the publisher's node and at another one."""

import pytest

from quantum.core.mqtt.packets import Publish, Subscription
from tests.core.edge.several import Several

BIG = 3600
PATHS = ["run", "properties", "retained", "qos 1", "qos 2"]


def publication(path: str) -> Publish:
    if path == "run":
        return Publish("a/b", b"x")
    if path == "properties":
        return Publish("a/b", b"x", properties=b"\x01\x00")
    if path == "retained":
        return Publish("a/b", b"x", retain=True)
    return Publish("a/b", b"x", int(path[-1]), packet_id=1)


def copies(world: Several, conn_id: int) -> list[tuple[int, bool, list[int]]]:
    """(QoS, RETAIN, Subscription Identifiers) of what a client was sent."""
    return [
        (packet.qos, packet.retain, sorted(packet.subscription_ids))
        for packet in world.take(conn_id)
        if isinstance(packet, Publish)
    ]


def published(world: Several, conn_id: int, packet: Publish) -> int:
    """How many messages it was: the first of a topic takes the careful way through the edge, the second the short one; with
    QoS 2 the same Packet Identifier again is the same message."""
    world.send(conn_id, packet, packet)
    return 2 if packet.qos < 2 else 1


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("expiry_s", [0, BIG])
@pytest.mark.parametrize("node", [1, 2])
def test_one_copy_with_the_greatest_qos_and_every_identifier(path: str, expiry_s: int, node: int) -> None:
    """[MQTT-3.3.4-2] [MQTT-3.3.4-3] [MQTT-3.3.4-4] [MQTT-3.3.4-5]"""
    world = Several(2)
    subscriber = world.connect(node, "s", expiry_s=expiry_s)
    for number, topic_filter, qos in ((7, "a/b", 0), (9, "a/#", 2), (0, "+/b", 1), (7, "#", 1)):
        world.subscribe(subscriber, Subscription(topic_filter, qos), subscription_id=number)
    publisher = world.connect(1, "p")
    packet = publication(path)
    assert [(packet.qos, False, [7, 7, 9])] * published(world, publisher, packet) == copies(world, subscriber)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("expiry_s", [0, BIG])
@pytest.mark.parametrize(
    ("subscriptions", "expected"),
    [
        ([("a/b", True, 1)], None),
        ([("a/b", True, 1), ("a/#", True, 2)], None),
        ([("a/b", True, 1), ("a/#", False, 2)], [2]),
        ([("a/b", False, 1), ("a/#", True, 2)], [1]),
        ([("a/b", True, 0), ("a/#", False, 0)], []),
        ([("a/b", True, 1), ("a/#", False, 0)], []),
        ([("a/b", True, 1), ("a/#", False, 2), ("#", False, 3)], [2, 3]),
    ],
)
def test_own_message_is_wanted_by_the_filters_without_no_local_only(
    path: str, expiry_s: int, subscriptions: list[tuple[str, bool, int]], expected: list[int] | None
) -> None:
    """[MQTT-3.8.3-3]"""
    world = Several(1)
    publisher = world.connect(1, "p", expiry_s=expiry_s)
    other = world.connect(1, "o", expiry_s=expiry_s)
    for conn_id in (publisher, other):
        for topic_filter, no_local, number in subscriptions:
            world.subscribe(conn_id, Subscription(topic_filter, 2, no_local), subscription_id=number)
    packet = publication(path)
    count = published(world, publisher, packet)
    every = sorted(number for _, _, number in subscriptions if number)
    assert [(packet.qos, False, every)] * count == copies(world, other)
    assert ([] if expected is None else [(packet.qos, False, expected)] * count) == copies(world, publisher)


@pytest.mark.parametrize("path", ["run", "qos 1"])
@pytest.mark.parametrize("node", [1, 2])
def test_shared_groups_and_plain_filters_each_get_their_copy(path: str, node: int) -> None:
    """4.8.2: a Shared Subscription is no overlap of another one; each copy has the identifier of its own."""
    world = Several(2)
    subscriber = world.connect(node, "s")
    for number, topic_filter in ((1, "a/b"), (2, "a/#"), (3, "$share/g/a/b"), (4, "$share/g/a/#"), (5, "$share/h/a/b")):
        world.subscribe(subscriber, Subscription(topic_filter, 1), subscription_id=number)
    publisher = world.connect(1, "p")
    packet = publication(path)
    world.send(publisher, packet)
    assert [[1, 2], [3], [4], [5]] == sorted(ids for _, _, ids in copies(world, subscriber))


def test_retain_as_published_of_one_filter_counts_for_the_copy() -> None:
    """[MQTT-3.3.1-12] [MQTT-3.3.1-13]"""
    world = Several(1)
    subscriber = world.connect(1, "s")
    world.subscribe(subscriber, Subscription("a/b", 1), Subscription("a/#", 1, retain_as_published=True))
    publisher = world.connect(1, "p")
    world.send(publisher, Publish("a/b", b"x", 1, retain=True, packet_id=1), Publish("a/b", b"x", retain=True))
    assert [(1, True, []), (0, True, [])] == copies(world, subscriber)
