"""Goal: the rules that end with the connection, each by its statement. Method: packets through the node's door."""

import pytest

from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.identity import CONTINUE, FAILURE, SUCCESS
from quantum.core.mqtt.errors import UnsupportedProtocol
from quantum.core.mqtt.packets import (
    V5,
    V311,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)
from quantum.core.mqtt.wire import encode_string, encode_varint
from tests.core.node.door import Door


class Echo:
    """A toy mechanism: the client must repeat what it is sent."""

    def begin(self, nonce: str) -> "EchoExchange":
        return EchoExchange()


class EchoExchange:
    def __init__(self) -> None:
        self.is_asked = False

    def step(self, data: bytes) -> tuple[int, bytes, str]:
        if not self.is_asked:
            self.is_asked = True
            return CONTINUE, b"say:" + data, ""
        return (SUCCESS, b"", "echo") if data.startswith(b"say:") else (FAILURE, b"", "")


def code_of(door: Door, conn_id: int) -> list[int]:
    return [packet.reason_code for packet in door.take(conn_id) if isinstance(packet, Disconnect)]


@pytest.mark.parametrize("is_honest", [True, False])
def test_authentication_runs_between_connect_and_connack(is_honest: bool) -> None:
    """[MQTT-4.12.0-2] to [MQTT-4.12.0-5]"""
    door = Door(edge=EdgeConfig(mechanisms={"ECHO": Echo()}, allow_anonymous=False))
    conn_id = door.connect("c", properties={21: "ECHO", 22: b"x"})
    assert [Auth(0x18, {21: "ECHO", 22: b"say:x"})] == door.take(conn_id)
    door.send_packet(conn_id, Auth(0x18, {21: "ECHO", 22: b"say:x" if is_honest else b"no"}))
    (connack,) = door.take(conn_id)
    assert isinstance(connack, Connack)
    assert (0 if is_honest else 0x87) == connack.reason_code
    if is_honest:
        assert "ECHO" == connack.properties[21]
        door.send_packet(conn_id, Auth(0x19, {21: "ECHO", 22: b"y"}))
        assert [Auth(0x18, {21: "ECHO", 22: b"say:y"})] == door.take(conn_id)
        door.send_packet(conn_id, Auth(0x18, {21: "ECHO", 22: b"say:y"}))
        assert [Auth(0, {21: "ECHO"})] == door.take(conn_id)


def test_unknown_method_and_missing_identity_are_refused() -> None:
    door = Door(edge=EdgeConfig(allow_anonymous=False))
    with_method = door.connect("c", properties={21: "OTHER"})
    without = door.connect("c")
    older = door.connect("c", version=V311)
    codes = [packet.reason_code for conn_id in (with_method, without, older) for packet in door.take(conn_id)]  # type: ignore[union-attr]
    assert [0x8C, 0x87, 5] == codes
    assert [with_method, without, older] == door.closed
    named = door.open("device-7")
    door.versions[named] = V5
    door.send_packet(named, Connect(V5, "c", True, 0))
    assert [0] == [packet.reason_code for packet in door.take(named)]  # type: ignore[union-attr]


def test_receive_maximum_of_the_server_is_enforced_with_0x93() -> None:
    """[MQTT-3.3.4-9]"""
    door = Door(edge=EdgeConfig(receive_maximum=2))
    conn_id, connack = door.connected("c")
    assert 2 == connack.properties[33]
    door.hold_disk = True
    door.send_packet(conn_id, *[Publish("t", b"", 1, packet_id=number) for number in (1, 2, 3)])
    assert [0x93] == code_of(door, conn_id)


def test_packet_above_the_maximum_is_refused_before_its_body_arrives() -> None:
    """[MQTT-3.2.2-15]"""
    door = Door(edge=EdgeConfig(packet_bytes_max=1000))
    conn_id, connack = door.connected("c")
    assert 1000 == connack.properties[39]
    door.send(conn_id, b"\x30\xff\xff\x7f")
    assert [0x95] == code_of(door, conn_id)


def test_message_above_the_clients_maximum_is_dropped_for_it_alone() -> None:
    """[MQTT-3.1.2-24] [MQTT-3.1.2-25]"""
    door = Door()
    small, _ = door.connected("small", properties={39: 60})
    large, _ = door.connected("large")
    kept, _ = door.connected("kept", clean_start=False, expiry_s=100, properties={39: 60, 33: 1})
    for conn_id in (small, large, kept):
        door.send_packet(conn_id, Subscribe(1, [Subscription("t", 1)]))
        assert [Suback(1, [1])] == door.take(conn_id)
    publisher, _ = door.connected("p")
    door.send_packet(publisher, Publish("t", bytes(100), 1, packet_id=1), Publish("t", b"ok", 1, packet_id=2))
    assert [b"ok"] == [packet.payload for packet in door.take(small) if isinstance(packet, Publish)]
    assert [bytes(100), b"ok"] == [packet.payload for packet in door.take(large) if isinstance(packet, Publish)]
    assert [b"ok"] == [packet.payload for packet in door.take(kept) if isinstance(packet, Publish)]
    assert door.node.partition.is_balanced()
    assert door.node.edge.fanout.ledger.is_balanced()


def test_topic_aliases_hold_for_one_connection_both_ways() -> None:
    """[MQTT-3.3.2-8] to [MQTT-3.3.2-12]"""
    door = Door(edge=EdgeConfig(topic_alias_maximum=2))
    subscriber, _ = door.connected("s", properties={34: 1})
    door.send_packet(subscriber, Subscribe(1, [Subscription("long/#", 0)]))
    door.take(subscriber)
    publisher, _ = door.connected("p")
    door.send_packet(publisher, Publish("long/name", b"1", topic_alias=2), Publish("", b"2", topic_alias=2))
    assert [b"1", b"2"] == [packet.payload for packet in door.take(subscriber) if isinstance(packet, Publish)]
    door.send_packet(publisher, Publish("long/name", b"3", topic_alias=3))
    assert [0x94] == code_of(door, publisher)
    other, _ = door.connected("o")
    door.send_packet(other, Publish("", b"4", topic_alias=2))
    assert [0x82] == code_of(door, other)


def test_reason_string_is_left_out_where_it_was_not_asked_for() -> None:
    """[MQTT-3.1.2-29]"""
    door = Door()
    quiet, _ = door.connected("q", properties={23: 0})
    door.send_packet(quiet, Publish("$SYS/x", b"", 1, packet_id=1))
    assert [Puback(1, 0x90)] == door.take(quiet)


def test_what_is_switched_off_is_said_and_refused() -> None:
    """[MQTT-3.2.2-9] to [MQTT-3.2.2-14]"""
    config = EdgeConfig(qos_max=1, retain_available=False, wildcard_available=False, shared_available=False)
    door = Door(edge=config)
    conn_id, connack = door.connected("c")
    assert {36: 1, 37: 0, 40: 0, 42: 0}.items() <= connack.properties.items()
    filters = [Subscription("a/#", 0), Subscription("$share/g/a", 0), Subscription("a", 2)]
    door.send_packet(conn_id, Subscribe(1, filters))
    assert [0xA2, 0x9E, 1] == door.take(conn_id)[0].reason_codes  # type: ignore[union-attr]
    door.send_packet(conn_id, Publish("a", b"", 2, packet_id=1))
    assert [0x9B] == code_of(door, conn_id)
    again, _ = door.connected("c")
    door.send_packet(again, Publish("a", b"", 0, True))
    assert [0x9A] == code_of(door, again)


def test_server_keep_alive_and_assigned_client_identifier_are_told() -> None:
    """[MQTT-3.1.2-21] [MQTT-3.2.2-16]"""
    door = Door(edge=EdgeConfig(keep_alive_s_max=10, session_expiry_s_max=50))
    conn_id, connack = door.connected("", keep_alive_s=1000, expiry_s=100)
    assert (10, 50) == (connack.properties[19], connack.properties[17])
    assert connack.properties[18]
    door.pass_time(15_100)
    assert [0x8D] == code_of(door, conn_id)


def test_packets_behind_connect_are_read_when_it_is_answered() -> None:
    door = Door()
    door.hold_disk = True
    conn_id = door.open()
    door.versions[conn_id] = V311
    door.send_packet(conn_id, Connect(V311, "c", True, 0), Pingreq())
    assert [] == door.take(conn_id)
    door.release_disk()
    assert [Connack(False, 0), Pingresp()] == door.take(conn_id)


def test_message_expiry_counts_down_in_an_ephemeral_queue() -> None:
    """[MQTT-3.3.2-5] [MQTT-3.3.2-6]"""
    door = Door()
    slow, _ = door.connected("s", properties={33: 1})
    door.send_packet(slow, Subscribe(1, [Subscription("t", 1)]))
    door.take(slow)
    publisher, _ = door.connected("p")
    messages = [Publish("t", b"%d" % s, 1, packet_id=s, message_expiry_s=s * 10) for s in (1, 2, 3)]
    door.send_packet(publisher, *messages)
    assert [10] == [packet.message_expiry_s for packet in door.take(slow) if isinstance(packet, Publish)]
    door.pass_time(21_000)
    door.send_packet(slow, Puback(1))
    got = [(packet.payload, packet.message_expiry_s) for packet in door.take(slow) if isinstance(packet, Publish)]
    assert [(b"3", 9)] == got
    assert 1 == door.node.edge.fanout.ledger.expired


@pytest.mark.parametrize("name", ["MQTT", "MQTX", "x" * 65_535, "\x01" * 65_535])
def test_second_connect_is_a_protocol_error_whatever_it_says(name: str) -> None:
    """[MQTT-3.1.0-2]"""
    door = Door()
    conn_id = door.connect("c")
    door.take(conn_id)
    body = encode_string(name) + b"\x05\x02\x00\x00\x00\x00\x00"
    door.send(conn_id, b"\x10" + encode_varint(len(body)) + body)
    assert [0x82] == code_of(door, conn_id)


def test_name_of_a_protocol_is_told_in_part() -> None:
    assert len(str(UnsupportedProtocol("\U000e0001" * 65_535, 9))) < 500
