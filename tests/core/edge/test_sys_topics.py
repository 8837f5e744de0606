"""Goal: the `$SYS` topics tell the truth, to those who ask for them by name and to nobody else. Method: packets through
the node's door, with the clock moved by hand."""

import re
from pathlib import Path

import pytest

from quantum.core.causes import TOPIC_NAME_INVALID
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.sys_topics import TOPICS
from quantum.core.mqtt.packets import V5, V311, Disconnect, Puback, Publish, Subscribe, Subscription
from tests.core.node.door import Door

INTERVAL_S = 10


def make_door(interval_s: int = INTERVAL_S) -> Door:
    return Door(edge=EdgeConfig(sys_interval_s=interval_s, server_version="1.2.3"))


def subscriber(door: Door, topic_filter: str, client_id: str = "s", **options: object) -> int:
    conn_id, _ = door.connected(client_id, **options)
    door.send_packet(conn_id, Subscribe(1, [Subscription(topic_filter, 1)]))
    door.take(conn_id)
    return conn_id


def values(door: Door, conn_id: int) -> dict[str, str]:
    packets = [packet for packet in door.take(conn_id) if isinstance(packet, Publish)]
    assert [] == [packet for packet in packets if packet.qos or packet.retain]
    return {packet.topic_name: packet.payload.decode() for packet in packets}


@pytest.mark.parametrize("version", [V311, V5])
def test_subscriber_is_told_everything_every_interval(version: int) -> None:
    door = make_door()
    conn_id = subscriber(door, "$SYS/#", version=version)
    for _ in range(3):
        door.pass_time(INTERVAL_S * 1000)
        assert [f"$SYS/broker/{name}" for name in TOPICS] == list(values(door, conn_id))


def test_first_values_come_within_a_second_of_the_subscription() -> None:
    door = make_door()
    conn_id = subscriber(door, "$SYS/broker/version")
    door.pass_time(999)
    assert {} == values(door, conn_id)
    door.pass_time(1)
    assert {"$SYS/broker/version": "Quantum 1.2.3"} == values(door, conn_id)
    door.pass_time(INTERVAL_S * 1000 - 1)
    assert {} == values(door, conn_id)


@pytest.mark.parametrize("topic_filter", ["#", "+/broker/version", "+/#", "$share/g/#"])
def test_filter_that_begins_with_a_wildcard_gets_none(topic_filter: str) -> None:
    """[MQTT-4.7.2-1]"""
    door = make_door()
    conn_id = subscriber(door, topic_filter)
    asked = subscriber(door, "$SYS/+/+", "asked")
    door.pass_time(INTERVAL_S * 1000)
    assert {} == values(door, conn_id)
    assert ["$SYS/broker/version", "$SYS/broker/uptime", "$SYS/broker/connections"] == list(values(door, asked))


def test_values_are_what_the_node_knows() -> None:
    door = make_door()
    conn_id = subscriber(door, "$SYS/#")
    kept = subscriber(door, "a/#", "kept", clean_start=False, expiry_s=100)
    publisher, _ = door.connected("p")
    door.send_packet(
        publisher,
        Publish("a/b", b"1", 1, packet_id=1),
        Publish("a/b", b"2", 0),
        Publish("x", b"3", 1, retain=True, packet_id=2),
    )
    door.send_packet(kept, Puback(1))
    door.send_packet(kept, Disconnect(0))
    door.send_packet(publisher, Publish("a/b", b"4", 1, packet_id=3))
    door.pass_time(1000)
    seen = {name.removeprefix("$SYS/broker/"): value for name, value in values(door, conn_id).items()}
    assert {
        "version": "Quantum 1.2.3",
        "uptime": "1",
        "connections": "2",
        "clients/connected": "2",
        "clients/disconnected": "1",
        "clients/total": "3",
        "subscriptions/count": "2",
        "shared_subscriptions/count": "0",
        "retained messages/count": "1",
        "messages/queued": "1",
        "messages/inflight": "0",
        "publish/messages/received": "4",
        "publish/messages/sent": "2",
        "publish/messages/dropped": "0",
    } == seen


def test_session_that_lasts_is_told_while_it_is_connected() -> None:
    door = make_door()
    conn_id = subscriber(door, "$SYS/broker/uptime", clean_start=False, expiry_s=100)
    door.pass_time(1000)
    assert {"$SYS/broker/uptime": "1"} == values(door, conn_id)
    door.cut(conn_id)
    door.pass_time(INTERVAL_S * 1000)
    again, _ = door.connected("s", clean_start=False, expiry_s=100)
    assert [] == door.rest
    door.pass_time(INTERVAL_S * 1000)
    assert {"$SYS/broker/uptime": "21"} == values(door, again)


def test_member_of_a_shared_group_is_told_each_value_once() -> None:
    door = make_door()
    members = [subscriber(door, "$share/g/$SYS/broker/#", client_id) for client_id in ("s", "t")]
    door.pass_time(INTERVAL_S * 1000)
    told = [list(values(door, member)) for member in members]
    assert len(TOPICS) == len(told[0]) + len(told[1])
    assert sorted(f"$SYS/broker/{name}" for name in TOPICS) == sorted(told[0] + told[1])


@pytest.mark.parametrize("topic_name", ["$SYS/broker/version", "$SYS", "$SYS/x"])
def test_client_may_not_publish_there(topic_name: str) -> None:
    door = make_door()
    conn_id = subscriber(door, "$SYS/#")
    publisher, _ = door.connected("p")
    for qos in (0, 1):
        door.send_packet(publisher, Publish(topic_name, b"lie", qos, packet_id=qos))
    (refused,) = door.take(publisher)
    assert isinstance(refused, Puback)
    assert 0x90 == refused.reason_code
    assert 2 == door.node.edge.causes.counts[TOPIC_NAME_INVALID.number]
    assert {} == values(door, conn_id)


def test_nothing_is_published_where_the_interval_is_0() -> None:
    door = make_door(0)
    conn_id = subscriber(door, "$SYS/#")
    door.pass_time(60_000)
    assert {} == values(door, conn_id)
    assert 0 == door.node.edge.fanout.ledger.created


def test_nobody_subscribes_and_nothing_is_created() -> None:
    door = make_door()
    door.connected("c")
    door.pass_time(60_000)
    assert 0 == door.node.edge.fanout.ledger.created
    assert door.out.deadline_ms > door.inputs.now_ms


def test_every_topic_is_documented() -> None:
    page = (Path(__file__).parents[3] / "docs" / "clients.md").read_text(encoding="utf-8")
    table = page[page.index("below `$SYS/broker/`") :]
    assert sorted(TOPICS) == sorted(re.findall(r"`([a-z_ ]+(?:/[a-z]+)*)`", table[: table.rindex("|")]))
