"""Goal: what is malformed or forbidden closes the one connection it came on (4.13), whatever came before it; method: bad
bytes of every kind on an open connection, beside one that must not feel it.
"""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import message, opened
from tests.conformance.raw import Raw, Will
from tests.conformance.statements import statement

# From a client these are never right. 2.1.2
OF_SERVERS = {
    "connack": raw.packet(raw.CONNACK, 0, b"\0\0"),
    "connack5": raw.packet(raw.CONNACK, 0, b"\0\0\0"),
    "suback": raw.packet(raw.SUBACK, 0, b"\0\1\0"),
    "suback5": raw.packet(raw.SUBACK, 0, b"\0\1\0\0"),
    "unsuback": raw.packet(raw.UNSUBACK, 0, b"\0\1"),
    "unsuback5": raw.packet(raw.UNSUBACK, 0, b"\0\1\0\0"),
    "pingresp": raw.packet(raw.PINGRESP, 0),
}
NO_PACKETS = {
    "type-0": b"\0\0",
    "type-0-body": b"\0\5abcde",
    "length-5-bytes": b"\x30\x80\x80\x80\x80\x01",
    "length-endless": b"\x30\xff\xff\xff\xff\xff\xff",
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: a-browser-of-some-age/1.0\r\nAccept: */*\r\n\r\n",
    "zeros": bytes(64),
    "ones": b"\xff" * 64,
}


@statement("MQTT-4.13.1-1", "311:MQTT-4.8.0-1")
@pytest.mark.parametrize("data", OF_SERVERS.values(), ids=OF_SERVERS.keys())
def test_a_packet_that_only_servers_send_closes(
    target: Target, version: int, name: str, data: bytes, bystander: Bystander
) -> None:
    with opened(target, version, name) as connection:
        connection.send(data)
        connection.expect_closed()


@statement("MQTT-4.13.1-1", "MQTT-2.1.3-1", "MQTT-3.1.2-8", "311:MQTT-4.8.0-1", "311:MQTT-3.1.2-8")
@pytest.mark.parametrize("data", NO_PACKETS.values(), ids=NO_PACKETS.keys())
def test_bytes_that_are_no_packet_close_and_let_the_will_go(
    target: Target, version: int, name: str, data: bytes, bystander: Bystander
) -> None:
    will = Will(f"{name}/will", b"will", qos=1)
    with opened(target, version, f"{name}-w") as witness, opened(target, version, name, will=will) as connection:
        witness.subscribe((f"{name}/will", 0))
        connection.send(data)
        connection.expect_closed()
        assert b"will" == message(witness).payload


@statement("MQTT-3.1.0-2", "MQTT-4.13.1-1", "311:MQTT-3.1.0-2", "311:MQTT-4.8.0-1")
@pytest.mark.parametrize("second", [3, 4, 5])
def test_a_second_connect_closes_and_takes_nothing_over(
    target: Target, version: int, name: str, second: int, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-o") as other, opened(target, version, name) as connection:
        connection.send(raw.connect(second, f"{name}-o"))
        connection.expect_closed(0x82)
        other.ping()


@statement("MQTT-4.13.1-1", "MQTT-4.3.2-4", "MQTT-4.5.0-1", "311:MQTT-4.8.0-1", "311:MQTT-4.3.2-2")
@pytest.mark.parametrize("qos", [0, 1], ids=["qos0", "qos1"])
def test_what_came_right_before_an_error_counts(
    target: Target, version: int, name: str, qos: int, bystander: Bystander
) -> None:
    """In one piece: a message, garbage, a message. The first is delivered, the last never looked at."""
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, name) as connection:
        subscriber.subscribe((f"{name}/t", 0))
        connection.send(
            raw.publish(version, f"{name}/t", b"before", qos=qos, packet_id=1)
            + b"\0\0"
            + raw.publish(version, f"{name}/t", b"behind", qos=qos, packet_id=2)
        )
        received = connection.read_or_end()
        while received is not None:
            assert received.type in (raw.PUBACK, raw.DISCONNECT)
            received = connection.read_or_end()
        assert b"before" == message(subscriber).payload
        subscriber.expect_silence()


@statement("MQTT-3.14.2-1", "MQTT-3.14.2-2", "MQTT-4.13.1-1", "MQTT-4.13.2-1", "MQTT-3.14.4-2")
@pytest.mark.parametrize(
    "data, codes",
    [
        (b"\0\0", (0x81, 0x82)),
        (raw.publish(5, "a", b"x", qos=3, packet_id=1), (0x81,)),
        (raw.publish(5, "a/#", b"x"), (0x81, 0x82, 0x90)),
        (raw.connect(5, "x"), (0x82,)),
        (raw.packet(raw.SUBSCRIBE, 2, b"\0\1\0"), (0x81, 0x82)),
        (raw.subscribe(5, 1, ("$share/g/t", 4)), (0x82,)),
        (raw.publish(5, "a", b"x", properties=[(raw.TOPIC_ALIAS, 0)]), (0x94,)),
        (raw.publish(5, "a", b"x", properties=[(raw.SUBSCRIPTION_IDENTIFIER, 1)]), (0x82,)),
        (raw.packet(raw.PUBREL, 0, b"\0\1"), (0x81,)),
        (raw.packet(raw.PUBLISH, 0, b"\xff"), (0x81,)),
        (raw.packet(raw.PUBLISH, 0, raw.utf8("a"), b"\2\x7f\0"), (0x81, 0x82)),
        (raw.disconnect(5, 0, [(raw.SESSION_EXPIRY_INTERVAL, 9)]), (0x82,)),
    ],
    ids="type-0 qos-3 wildcard connect no-filter no-local alias identifier flags cut unknown expiry".split(),
)
@pytest.mark.versions(5)
def test_the_reason_in_disconnect_is_the_one_of_the_text(
    target: Target, version: int, name: str, data: bytes, codes: tuple[int, ...], bystander: Bystander
) -> None:
    with opened(target, version, name) as connection:
        connection.send(data)
        told = connection.read_or_end()
        if told is not None:
            assert raw.DISCONNECT == told.type
            assert told.code in codes
            assert {raw.REASON_STRING, raw.USER_PROPERTY, raw.SERVER_REFERENCE} >= {key for key, _ in told.properties}
            connection.expect_end()
        assert told is not None or not target.says_why


@statement("MQTT-3.2.2-15", "MQTT-4.13.1-1")
@pytest.mark.versions(5)
def test_a_packet_above_the_servers_maximum_closes_from_its_first_bytes(
    target: Target, version: int, name: str, bystander: Bystander
) -> None:
    """Only the fixed header is sent: the server need not wait for a body that it will not take."""
    with Raw(target) as connection:
        maximum = connection.open(version, name).value(raw.MAXIMUM_PACKET_SIZE)
        if maximum is None:
            pytest.skip("this broker has no maximum")
        assert isinstance(maximum, int)
        connection.send(bytes((0x30,)) + raw.varint(maximum) + raw.utf8(f"{name}/t"))
        connection.expect_closed(0x95)


@statement("MQTT-3.1.2-24", "MQTT-3.1.2-25")
@pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
@pytest.mark.parametrize("window", [1, 10])
@pytest.mark.versions(5)
def test_a_message_above_the_clients_maximum_is_left_out(
    target: Target, version: int, name: str, qos: int, window: int
) -> None:
    """And others come as if it had been delivered, however small the Receive Maximum."""
    properties: list[raw.Property] = [(raw.MAXIMUM_PACKET_SIZE, 300), (raw.RECEIVE_MAXIMUM, window)]
    with (
        opened(target, version, f"{name}-s", properties=properties) as small,
        opened(target, version, f"{name}-b") as big,
        opened(target, version, f"{name}-p") as publisher,
    ):
        for client in (small, big):
            client.subscribe((f"{name}/t", qos))
        for size in (10, 300, 20, 1000, 1000, 30):
            publisher.publish(f"{name}/t", bytes(size), qos=qos)
            assert size == len(message(big).payload)
            if size < 200:
                assert size == len(message(small).payload)
        small.expect_silence()


@statement("MQTT-3.1.2-24", "MQTT-3.3.1-9")
@pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
@pytest.mark.versions(5)
def test_a_retained_message_above_the_clients_maximum_is_left_out(
    target: Target, version: int, name: str, qos: int
) -> None:
    properties: list[raw.Property] = [(raw.MAXIMUM_PACKET_SIZE, 300), (raw.RECEIVE_MAXIMUM, 1)]
    with (
        opened(target, version, f"{name}-s", properties=properties) as small,
        opened(target, version, f"{name}-p") as publisher,
    ):
        for letter, size in (("a", 1000), ("b", 10), ("c", 1000), ("d", 20)):
            publisher.publish(f"{name}/{letter}", bytes(size), qos=1, retain=True)
        small.subscribe((f"{name}/#", qos))
        assert {10, 20} == {len(message(small).payload) for _ in range(2)}
        small.expect_silence()
        for letter in "abcd":
            publisher.publish(f"{name}/{letter}", b"", qos=1, retain=True)
