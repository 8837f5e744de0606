"""Goal: a CONNECT is taken or refused as section 3.1 says. Method: CONNECT packets by hand, one fault each."""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.raw import Raw, Will
from tests.conformance.statements import statement

MALFORMED = 0x81
PROTOCOL_ERROR = 0x82
UNSUPPORTED_VERSION = 0x84
TOPIC_NAME_INVALID = 0x90


def no_properties(version: int) -> bytes:
    return raw.props() if version == 5 else b""


def by_hand(
    version: int,
    flags: int,
    *payload: bytes,
    name: str | None = None,
    level: int | None = None,
    properties: bytes = b"",
) -> bytes:
    """A CONNECT whose fields need not fit its flags."""
    head = raw.utf8(("MQIsdp" if version == 3 else "MQTT") if name is None else name)
    levels = bytes((version if level is None else level, flags))
    return raw.packet(raw.CONNECT, 0, head, levels, raw.u16(60), properties or no_properties(version), *payload)


def refused(target: Target, version: int, data: bytes, code: int = MALFORMED) -> None:
    """5.0 is told the code; before it a CONNECT that breaks the text is closed without CONNACK."""
    with Raw(target, version) as connection:
        connection.send(data)
        connection.expect_refused(*((code,) if version == 5 else ()))


# -- 3.1.0: the first packet -----------------------------------------------------------------------------------------

NOT_CONNECT = {
    "publish": raw.publish(4, "t", b""),
    "publish-qos-1": raw.publish(4, "t", b"", qos=1, packet_id=1),
    "subscribe": raw.subscribe(4, 1, ("#", 0)),
    "pingreq": raw.pingreq(),
    "disconnect": raw.disconnect(4),
    "auth": raw.auth(0x18, [(raw.AUTHENTICATION_METHOD, "X")]),
    "connack": b"\x20\x02\x00\x00",
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "tls": b"\x16\x03\x01\x00\xc4\x01\x00",
}


@statement("MQTT-3.1.0-1", "311:MQTT-3.1.0-1", "MQTT-3.14.0-1")
@pytest.mark.parametrize("data", NOT_CONNECT.values(), ids=NOT_CONNECT)
def test_another_first_packet_closes_without_an_answer(target: Target, bystander: Bystander, data: bytes) -> None:
    with Raw(target) as connection:
        connection.send(data)
        assert b"" == connection.rest()


@statement("MQTT-3.1.0-2", "MQTT-3.2.0-2", "311:MQTT-3.1.0-2")
@pytest.mark.parametrize("other", ["same", "another"])
def test_second_connect_closes_and_the_will_is_sent(
    target: Target, version: int, bystander: Bystander, name: str, other: str
) -> None:
    with Raw(target) as watcher, Raw(target) as connection:
        watcher.open(4)
        watcher.subscribe((name, 0))
        connection.open(version, name, will=Will(name, b"lost"))
        connection.send(raw.connect(version, name if other == "same" else f"{name}-2"))
        connection.expect_closed(PROTOCOL_ERROR)
        assert b"lost" == watcher.expect(raw.PUBLISH).payload


# -- 3.1.2.1, 3.1.2.2: Protocol Name and Version ---------------------------------------------------------------------

# What may be said to a client that speaks something else: 3.x unacceptable protocol level, or 5.0's 0x84.
OLD_ANSWER = b"\x20\x02\x00\x01"


def is_unsupported(target: Target, answer: bytes) -> bool:
    if answer == OLD_ANSWER or (answer[:1] == b"\x20" and answer[2:4] == b"\x00\x84"):
        return True
    return answer == b"" and not target.says_why


@statement("MQTT-3.1.2-1", "MQTT-3.2.2-7", "MQTT-4.13.2-1", "311:MQTT-3.1.2-1")
@pytest.mark.parametrize("protocol", ["", "MQTX", "mqtt", "MQTT ", "MQTTMQTT", "MQIsdq", "AMQP", "MQTT\u00e9"])
def test_other_protocol_name_is_not_served(
    target: Target, version: int, bystander: Bystander, name: str, protocol: str
) -> None:
    will = [no_properties(version), raw.utf8(name), raw.binary(b"must not be seen")]
    with Raw(target) as watcher, Raw(target, version) as connection:
        watcher.open(4)
        watcher.subscribe((name, 0))
        connection.send(by_hand(version, 0x06, raw.utf8(name), *will, name=protocol))
        assert is_unsupported(target, connection.rest())
        watcher.expect_silence()


@statement("MQTT-3.1.2-2", "MQTT-3.2.2-7", "MQTT-4.13.2-1", "311:MQTT-3.2.2-5")
@pytest.mark.parametrize(
    ("protocol", "level"),
    [
        ("MQTT", 0),
        ("MQTT", 3),
        ("MQTT", 6),
        ("MQTT", 0x7F),
        ("MQTT", 0xFF),
        ("MQIsdp", 0),
        ("MQIsdp", 4),
        ("MQIsdp", 5),
    ],
)
def test_unknown_level_is_refused(target: Target, bystander: Bystander, protocol: str, level: int) -> None:
    with Raw(target) as connection:
        connection.send(by_hand(4, 0x02, raw.utf8("c"), name=protocol, level=level))
        assert is_unsupported(target, connection.rest())


@statement("311:MQTT-3.1.2-2", "311:MQTT-3.2.2-5")
@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_unacceptable_level_of_old_is_answered_with_return_code_1(
    target: Target, bystander: Bystander, level: int
) -> None:
    with Raw(target) as connection:
        connection.send(by_hand(4, 0x02, raw.utf8("c"), level=level))
        assert OLD_ANSWER == connection.rest()


# -- 3.1.2.3 on: Connect Flags ---------------------------------------------------------------------------------------


@statement("MQTT-3.1.2-3", "MQTT-2.1.3-1", "311:MQTT-3.1.2-3", "311:MQTT-3.1.4-1")
@pytest.mark.versions(4, 5)
def test_reserved_connect_flag_is_refused(target: Target, version: int, bystander: Bystander) -> None:
    refused(target, version, raw.connect(version, "c", flags=0x03))


@pytest.mark.versions(3)
def test_reserved_connect_flag_means_nothing_in_3_1(target: Target, version: int, name: str) -> None:
    with Raw(target, version) as connection:
        connection.send(raw.connect(version, name, flags=0x03))
        assert 0 == connection.expect(raw.CONNACK).code


FAULTY_FLAGS = {
    "will-qos-3": (0x1E, True),
    "qos-1-without-will": (0x0A, False),
    "qos-2-without-will": (0x12, False),
    "qos-3-without-will": (0x1A, False),
    "retain-without-will": (0x22, False),
}


@statement("MQTT-3.1.2-11", "MQTT-3.1.2-12", "MQTT-3.1.2-13", "MQTT-3.1.4-1")
@statement("311:MQTT-3.1.2-11", "311:MQTT-3.1.2-13", "311:MQTT-3.1.2-14", "311:MQTT-3.1.2-15", "311:MQTT-3.1.4-1")
@pytest.mark.versions(4, 5)
@pytest.mark.parametrize(("flags", "has_will"), FAULTY_FLAGS.values(), ids=FAULTY_FLAGS)
def test_will_flags_that_do_not_fit_are_refused(
    target: Target, version: int, bystander: Bystander, name: str, flags: int, has_will: bool
) -> None:
    will = (no_properties(version), raw.utf8(name), raw.binary(b"w")) if has_will else ()
    refused(target, version, by_hand(version, flags, raw.utf8(name), *will))


# flags, then the fields that are there: a flag too many or too few shows as fields missing or left over
FIELDS = {
    "will-missing": (0x06, 0),
    "will-payload-missing": (0x06, 1),
    "user-name-missing": (0x82, 0),
    "password-missing": (0xC2, 1),
    "will-unannounced": (0x02, 2),
    "user-name-unannounced": (0x02, 1),
    "password-unannounced": (0x82, 2),
}


@statement("MQTT-3.1.2-9", "MQTT-3.1.2-16", "MQTT-3.1.2-17", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.4-1")
@statement("311:MQTT-3.1.2-9", "311:MQTT-3.1.2-18", "311:MQTT-3.1.2-19", "311:MQTT-3.1.2-20", "311:MQTT-3.1.2-21")
@statement("311:MQTT-3.1.2-11", "311:MQTT-3.1.4-1")
@pytest.mark.versions(4, 5)
@pytest.mark.parametrize(("flags", "count"), FIELDS.values(), ids=FIELDS)
def test_payload_that_does_not_fit_the_flags_is_refused(
    target: Target, version: int, bystander: Bystander, name: str, flags: int, count: int
) -> None:
    properties = no_properties(version) if flags & 4 and count else b""
    refused(target, version, by_hand(version, flags, raw.utf8(name), properties, *[raw.utf8("x")] * count))


@pytest.mark.versions(3)
@pytest.mark.parametrize(("flags", "count"), [(0x82, 0), (0xC2, 0), (0xC2, 1)])
def test_3_1_may_leave_out_user_name_and_password_that_its_flags_announce(
    target: Target, version: int, name: str, flags: int, count: int
) -> None:
    """MQTT 3.1 §3.1: the Remaining Length goes before the flags."""
    with Raw(target, version) as connection:
        connection.send(by_hand(version, flags, raw.utf8(name), *[raw.utf8("x")] * count))
        assert 0 == connection.expect(raw.CONNACK).code


@statement("311:MQTT-3.1.2-22", "311:MQTT-3.1.4-1")
@pytest.mark.versions(4)
def test_password_without_user_name_is_refused_in_3_1_1(target: Target, version: int, bystander: Bystander) -> None:
    refused(target, version, raw.connect(version, "c", password=b"secret"))


@pytest.mark.versions(5)
def test_password_without_user_name_is_allowed_in_5(target: Target, version: int) -> None:
    with Raw(target) as connection:
        connection.open(version, password=b"secret")


@statement("MQTT-3.1.3-1", "MQTT-3.1.3-3", "MQTT-3.1.2-17", "MQTT-3.1.2-19", "MQTT-3.1.2-9")
@statement("311:MQTT-3.1.3-1", "311:MQTT-3.1.3-3", "311:MQTT-3.1.2-19", "311:MQTT-3.1.2-21", "311:MQTT-3.1.2-9")
def test_connect_with_every_field_is_taken_field_by_field(target: Target, version: int, name: str) -> None:
    """Fields taken in another order would show in the will that is published."""
    with Raw(target) as watcher, Raw(target) as connection:
        watcher.open(version)
        watcher.subscribe((name, 2))
        connection.open(version, name, will=Will(name, b"will", 2, True), username="user", password=b"\x00pass\xff")
        connection.close()
        published = watcher.expect(raw.PUBLISH)
        assert (name, b"will", 2, False) == (published.topic, published.payload, published.qos, published.retain)
        watcher.send(raw.ack(version, raw.PUBREC, published.packet_id))
        watcher.expect(raw.PUBREL)
        watcher.send(raw.ack(version, raw.PUBCOMP, published.packet_id))
    with Raw(target) as cleaner:
        cleaner.open(version)
        cleaner.publish(name, b"", retain=True)


# -- other faults of a CONNECT ---------------------------------------------------------------------------------------


@statement("MQTT-3.1.4-1", "MQTT-4.13.1-1", "311:MQTT-3.1.4-1", "311:MQTT-3.1.3-3")
@pytest.mark.parametrize("size", [0, 1, 5, 6, 7, 8, 9, 10, 11, 13, 17])
def test_connect_cut_off_anywhere_is_refused(target: Target, version: int, bystander: Bystander, size: int) -> None:
    body = raw.connect(version, "client")[2:]
    with Raw(target, version) as connection:
        connection.send(raw.packet(raw.CONNECT, 0, body[:size]))
        answer = connection.rest()
    assert answer == b"" or (version == 5 and answer[:1] == b"\x20" and answer[2:4] == b"\x00\x81")


@statement("MQTT-3.1.4-1", "311:MQTT-3.1.4-1")
def test_connect_with_bytes_behind_its_end_is_refused(target: Target, version: int, bystander: Bystander) -> None:
    refused(target, version, by_hand(version, 0x02, raw.utf8("c"), b"\x00"))


FAULTY_PROPERTIES = {
    "receive-maximum-0": (raw.prop(raw.RECEIVE_MAXIMUM, 0), PROTOCOL_ERROR),
    "maximum-packet-size-0": (raw.prop(raw.MAXIMUM_PACKET_SIZE, 0), PROTOCOL_ERROR),
    "request-problem-2": (raw.prop(raw.REQUEST_PROBLEM_INFORMATION, 2), PROTOCOL_ERROR),
    "request-response-2": (raw.prop(raw.REQUEST_RESPONSE_INFORMATION, 2), PROTOCOL_ERROR),
    "expiry-twice": (raw.prop(raw.SESSION_EXPIRY_INTERVAL, 1) * 2, PROTOCOL_ERROR),
    "receive-maximum-twice": (raw.prop(raw.RECEIVE_MAXIMUM, 1) * 2, PROTOCOL_ERROR),
    "topic-alias-maximum-twice": (raw.prop(raw.TOPIC_ALIAS_MAXIMUM, 0) * 2, PROTOCOL_ERROR),
    "method-twice": (raw.prop(raw.AUTHENTICATION_METHOD, "X") * 2, PROTOCOL_ERROR),
    "data-without-method": (raw.prop(raw.AUTHENTICATION_DATA, b"x"), PROTOCOL_ERROR),
    "of-publish": (raw.prop(raw.TOPIC_ALIAS, 1), MALFORMED),
    "of-the-will": (raw.prop(raw.WILL_DELAY_INTERVAL, 1), MALFORMED),
    "of-connack": (raw.prop(raw.MAXIMUM_QOS, 1), MALFORMED),
    "unknown": (b"\x7e\x00", MALFORMED),
    "cut": (b"\x11\x00\x00", MALFORMED),
}


@statement("MQTT-3.1.4-1", "MQTT-3.1.4-2", "MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.2.2-8", "MQTT-4.13.1-1")
@pytest.mark.versions(5)
@pytest.mark.parametrize(("inner", "code"), FAULTY_PROPERTIES.values(), ids=FAULTY_PROPERTIES)
def test_faulty_property_is_refused(
    target: Target, version: int, bystander: Bystander, inner: bytes, code: int
) -> None:
    refused(target, version, by_hand(5, 2, raw.utf8("c"), properties=raw.varint(len(inner)) + inner), code)


FAULTY_WILL_PROPERTIES = {
    "payload-format-2": (raw.prop(raw.PAYLOAD_FORMAT_INDICATOR, 2), PROTOCOL_ERROR),
    "delay-twice": (raw.prop(raw.WILL_DELAY_INTERVAL, 1) * 2, PROTOCOL_ERROR),
    "content-type-twice": (raw.prop(raw.CONTENT_TYPE, "a") * 2, PROTOCOL_ERROR),
    "of-connect": (raw.prop(raw.RECEIVE_MAXIMUM, 1), MALFORMED),
    "of-publish": (raw.prop(raw.TOPIC_ALIAS, 1), MALFORMED),
    "response-topic-with-wildcard": (raw.prop(raw.RESPONSE_TOPIC, "a/#"), PROTOCOL_ERROR),
}


@statement("MQTT-3.1.4-1", "MQTT-3.1.4-2", "MQTT-4.13.1-1")
@pytest.mark.versions(5)
@pytest.mark.parametrize(("inner", "code"), FAULTY_WILL_PROPERTIES.values(), ids=FAULTY_WILL_PROPERTIES)
def test_faulty_will_property_is_refused(
    target: Target, version: int, bystander: Bystander, inner: bytes, code: int
) -> None:
    will = raw.varint(len(inner)) + inner + raw.utf8("t") + raw.binary(b"w")
    refused(target, version, by_hand(5, 0x06, raw.utf8("c"), will), code)


@statement("MQTT-3.1.4-2", "311:MQTT-4.7.1-1", "311:MQTT-4.7.3-1")
@pytest.mark.parametrize("topic", ["", "a/#", "+/a", "a+"])
def test_will_topic_that_is_no_topic_name_is_refused(
    target: Target, version: int, bystander: Bystander, name: str, topic: str
) -> None:
    refused(target, version, raw.connect(version, name, will=Will(topic, b"w")), TOPIC_NAME_INVALID)


@statement("MQTT-3.1.4-6", "311:MQTT-3.1.4-5")
def test_packets_behind_a_refused_connect_are_not_read(
    target: Target, version: int, bystander: Bystander, name: str
) -> None:
    behind = raw.publish(version, name, b"must not be kept", qos=1, retain=True, packet_id=1)
    with Raw(target, version) as connection:
        connection.send(raw.connect(version, name, will=Will("a/#", b"w")) + behind)
        connection.expect_refused(*((TOPIC_NAME_INVALID,) if version == 5 else ()))
    with Raw(target) as witness:
        witness.open(version)
        witness.subscribe((name, 0))
        witness.expect_silence()


@statement("MQTT-3.2.0-1", "311:MQTT-3.2.0-1")
def test_packets_behind_connect_are_read_when_it_is_accepted(target: Target, version: int, name: str) -> None:
    """3.1.4: a client need not wait for CONNACK."""
    with Raw(target, version) as connection:
        connection.send(
            raw.connect(version, name)
            + raw.subscribe(version, 1, (name, 0))
            + raw.publish(version, f"{name}/else", b"early", qos=1, packet_id=2)
            + raw.pingreq()
        )
        assert raw.CONNACK == connection.read().type
        assert {raw.SUBACK, raw.PUBACK, raw.PINGRESP} == {connection.read().type for _ in range(3)}


# -- 3.1.2.10: Keep Alive --------------------------------------------------------------------------------------------


@statement("MQTT-3.1.2-22", "MQTT-3.2.2-22", "311:MQTT-3.1.2-24")
def test_silence_for_one_and_a_half_keep_alives_closes(target: Target, version: int, name: str) -> None:
    """The will is sent as for any other connection that is lost. To the millisecond on the virtual clock, elsewhere."""
    with Raw(target) as watcher, Raw(target) as connection:
        watcher.open(version)
        watcher.subscribe((name, 0))
        connection.open(version, name, keep_alive=1, will=Will(name, b"silent"))
        connection.expect_closed(0x8D)
        assert b"silent" == watcher.expect(raw.PUBLISH).payload


@pytest.mark.parametrize("keep_alive", [0, 65535])
def test_any_keep_alive_is_taken(target: Target, version: int, keep_alive: int) -> None:
    with Raw(target) as connection:
        connection.open(version, keep_alive=keep_alive)
        connection.ping()
