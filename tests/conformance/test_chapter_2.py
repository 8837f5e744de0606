"""Goal: headers and Packet Identifiers are as chapter 2 says, in both directions. Method: packets by hand, one fault each."""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.raw import Raw, closes
from tests.conformance.statements import statement

MALFORMED = 0x81
PROTOCOL_ERROR = 0x82


def no_properties(version: int) -> bytes:
    return raw.props() if version == 5 else b""


# -- 2.1.2, 2.1.3: types and flags -----------------------------------------------------------------------------------

RESERVED = [
    (raw.PUBACK, 1),
    (raw.PUBREC, 2),
    (raw.PUBREL, 0),
    (raw.PUBREL, 3),
    (raw.PUBREL, 0b1010),
    (raw.PUBCOMP, 0b1000),
    (raw.SUBSCRIBE, 0),
    (raw.SUBSCRIBE, 0b0110),
    (raw.UNSUBSCRIBE, 0),
    (raw.UNSUBSCRIBE, 0b1010),
    (raw.PINGREQ, 4),
    (raw.DISCONNECT, 1),
    (raw.AUTH, 1),
]


def whole(version: int, kind: int, flags: int) -> bytes:
    """A packet that has no fault but its flags."""
    if kind in (raw.SUBSCRIBE, raw.UNSUBSCRIBE):
        options = b"\0" if kind == raw.SUBSCRIBE else b""
        return raw.packet(kind, flags, raw.u16(9), no_properties(version), raw.utf8("t"), options)
    return raw.packet(kind, flags, raw.u16(9) if raw.PUBACK <= kind <= raw.PUBCOMP else b"")


@statement("MQTT-2.1.3-1", "MQTT-3.6.1-1", "MQTT-3.8.1-1", "MQTT-3.10.1-1", "MQTT-3.14.1-1", "MQTT-3.15.1-1")
@statement("311:MQTT-2.2.2-1", "311:MQTT-2.2.2-2", "311:MQTT-3.6.1-1", "311:MQTT-3.8.1-1", "311:MQTT-3.10.1-1")
@statement("311:MQTT-3.14.1-1")
@pytest.mark.versions(4, 5)
@pytest.mark.parametrize(
    ("kind", "flags"), RESERVED, ids=[f"{raw.NAMES[kind]}-{flags:04b}" for kind, flags in RESERVED]
)
def test_reserved_flag_closes(target: Target, version: int, bystander: Bystander, kind: int, flags: int) -> None:
    closes(target, version, whole(version, kind, flags), MALFORMED)


@statement("MQTT-2.1.3-1", "311:MQTT-2.2.2-2")
@pytest.mark.versions(4, 5)
@pytest.mark.parametrize("flags", [1, 8])
def test_connect_with_reserved_flag_is_refused(target: Target, version: int, bystander: Bystander, flags: int) -> None:
    data = raw.connect(version, "c")
    with Raw(target, version) as connection:
        connection.send(bytes((raw.CONNECT << 4 | flags,)) + data[1:])
        connection.expect_refused(*((MALFORMED,) if version == 5 else ()))


@statement("MQTT-4.13.1-1", "311:MQTT-4.8.0-1")
@pytest.mark.parametrize("data", ["0000", "2000", "90020001", "b0020001", "d000", "20020000"])
def test_type_that_clients_never_send_closes(target: Target, version: int, bystander: Bystander, data: str) -> None:
    closes(target, version, bytes.fromhex(data))


@statement("311:MQTT-4.8.0-1")
@pytest.mark.versions(3, 4)
def test_type_15_does_not_exist_before_5(target: Target, version: int, bystander: Bystander) -> None:
    closes(target, version, b"\xf0\x00")


# -- 2.1.4: Remaining Length -----------------------------------------------------------------------------------------

CUT_OFF = {
    "publish-empty": b"\x30\x00",
    "publish-cut-in-topic": b"\x30\x03\x00\x05t",
    "publish-cut-before-id": b"\x32\x03\x00\x01t",
    "puback-cut": b"\x40\x01\x00",
    "puback-empty": b"\x40\x00",
    "pubrel-cut": b"\x62\x01\x00",
    "subscribe-empty": b"\x82\x00",
    "unsubscribe-empty": b"\xa2\x00",
    "unsubscribe-cut-in-filter": b"\xa2\x05\x00\x01\x00\x09t",
}


@statement("311:MQTT-4.8.0-1", "MQTT-4.13.1-1")
@pytest.mark.parametrize("data", CUT_OFF.values(), ids=CUT_OFF)
def test_packet_shorter_than_its_fields_closes(target: Target, version: int, bystander: Bystander, data: bytes) -> None:
    closes(target, version, data, MALFORMED)


@statement("311:MQTT-4.8.0-1", "MQTT-4.13.1-1")
@pytest.mark.versions(4, 5)
def test_pingreq_with_a_body_closes(target: Target, version: int, bystander: Bystander) -> None:
    closes(target, version, raw.packet(raw.PINGREQ, 0, b"x"), MALFORMED)


@statement("MQTT-4.2-1")
def test_packets_arrive_byte_by_byte_and_many_at_once(target: Target, version: int, name: str) -> None:
    """Of a stream nobody promises where it is cut."""
    with Raw(target) as connection:
        connection.open(version)
        connection.subscribe((name, 1))
        for byte in raw.publish(version, name, b"slow", qos=1, packet_id=5):
            connection.send(bytes((byte,)))
        came = [connection.read(), connection.read()]
        assert {raw.PUBLISH, raw.PUBACK} == {received.type for received in came}
        fast = [raw.publish(version, name, b"%d" % index) for index in range(100)]
        connection.send(b"".join(fast))
        assert [b"%d" % index for index in range(100)] == [connection.expect(raw.PUBLISH).payload for _ in fast]


# -- 2.2.1: Packet Identifier ----------------------------------------------------------------------------------------


@statement("MQTT-2.2.1-2", "311:MQTT-2.3.1-5")
def test_publish_of_qos_0_has_no_packet_identifier(target: Target, version: int, name: str) -> None:
    """What stands behind the Topic Name is payload, also where it could be a Packet Identifier, both ways."""
    with Raw(target) as connection:
        connection.open(version)
        connection.subscribe((name, 0))
        connection.send(raw.publish(version, name, b"\x00\x07"))
        received = connection.expect(raw.PUBLISH)
        assert (b"\x00\x07", 0) == (received.payload, received.qos)
        assert raw.utf8(name) + no_properties(version) + b"\x00\x07" == received.body


@statement("MQTT-2.2.1-3", "311:MQTT-2.3.1-1")
@pytest.mark.parametrize("kind", ["qos-1", "qos-2", "subscribe", "unsubscribe"])
def test_packet_identifier_0_closes(target: Target, version: int, bystander: Bystander, name: str, kind: str) -> None:
    data = {
        "qos-1": raw.publish(version, name, b"x", qos=1, retain=True, packet_id=0),
        "qos-2": raw.publish(version, name, b"x", qos=2, retain=True, packet_id=0),
        "subscribe": raw.subscribe(version, 0, (name, 0)),
        "unsubscribe": raw.unsubscribe(version, 0, name),
    }[kind]
    closes(target, version, data)
    with Raw(target) as witness:  # what was refused was not retained either
        witness.open(version)
        witness.subscribe((name, 0))
        witness.expect_silence()


@statement("MQTT-4.13.1-1", "311:MQTT-4.8.0-1")
@pytest.mark.parametrize("kind", [raw.PUBACK, raw.PUBREC, raw.PUBREL, raw.PUBCOMP])
def test_acknowledgement_of_packet_identifier_0_closes(
    target: Target, version: int, bystander: Bystander, kind: int
) -> None:
    closes(target, version, raw.ack(version, kind, 0))


@statement("MQTT-2.2.1-4", "311:MQTT-2.3.1-1", "311:MQTT-2.3.1-4")
@pytest.mark.parametrize("qos", [1, 2])
def test_servers_packet_identifiers_are_not_in_use(target: Target, version: int, name: str, qos: int) -> None:
    """Twenty messages without an acknowledgement have twenty identifiers; acknowledged ones may come again."""
    with Raw(target) as publisher, Raw(target) as subscriber:
        subscriber.open(version)
        subscriber.subscribe((name, qos))
        publisher.open(version)
        open_ids: list[int] = []
        for index in range(20):
            publisher.publish(name, b"%d" % index, qos=qos)
            received = subscriber.expect(raw.PUBLISH)
            assert received.packet_id not in (0, *open_ids)
            open_ids.append(received.packet_id)
            if index % 3 == 2:
                freed = open_ids.pop(0)
                if qos == 1:
                    subscriber.send(raw.ack(version, raw.PUBACK, freed))
                else:
                    subscriber.send(raw.ack(version, raw.PUBREC, freed))
                    assert freed == subscriber.expect(raw.PUBREL).packet_id
                    subscriber.send(raw.ack(version, raw.PUBCOMP, freed))
                    subscriber.ping()


@statement("MQTT-2.2.1-4", "311:MQTT-2.3.1-4")
def test_identifiers_of_both_directions_are_apart(target: Target, version: int, name: str) -> None:
    """A client's identifier says nothing of the server's: the same number goes both ways at once."""
    with Raw(target) as connection:
        connection.open(version)
        connection.subscribe((name, 2))
        connection.send(raw.publish(version, name, b"first", qos=1, packet_id=1))
        came = {received.type: received for received in (connection.read(), connection.read())}
        number = came[raw.PUBLISH].packet_id
        connection.send(raw.publish(version, f"{name}/else", b"second", qos=2, packet_id=number))
        assert number == connection.expect(raw.PUBREC).packet_id
        connection.send(raw.ack(version, raw.PUBACK, number))
        connection.send(raw.ack(version, raw.PUBREL, number))
        assert number == connection.expect(raw.PUBCOMP).packet_id
        connection.expect_silence()


@statement("MQTT-2.2.1-5", "311:MQTT-2.3.1-6")
@pytest.mark.parametrize("packet_id", [1, 255, 256, 32768, 65535])
def test_acknowledgements_carry_the_identifier_of_the_publish(
    target: Target, version: int, name: str, packet_id: int
) -> None:
    with Raw(target) as connection:
        connection.open(version)
        connection.publish(name, b"", qos=1, packet_id=packet_id)
        connection.publish(name, b"", qos=2, packet_id=packet_id)


@statement("MQTT-2.2.1-6", "311:MQTT-2.3.1-7")
@pytest.mark.parametrize("packet_id", [1, 255, 256, 32768, 65535])
def test_suback_and_unsuback_carry_the_identifier_of_the_request(
    target: Target, version: int, name: str, packet_id: int
) -> None:
    with Raw(target) as connection:
        connection.open(version)
        connection.subscribe((name, 1), packet_id=packet_id)
        connection.send(raw.unsubscribe(version, packet_id, name))
        assert packet_id == connection.expect(raw.UNSUBACK).packet_id


# -- 2.2.2: Properties -----------------------------------------------------------------------------------------------


@statement("MQTT-2.2.2-1")
@pytest.mark.versions(5)
def test_packets_without_properties_say_so(target: Target, version: int, name: str) -> None:
    """The reader of these tests refuses a CONNACK, PUBLISH, SUBACK or UNSUBACK whose Property Length is left out."""
    with Raw(target) as connection:
        connection.open(version)
        assert raw.u16(1) + b"\x00" + b"\x00" == connection.subscribe((name, 0)).body
        connection.send(raw.publish(version, name, b"x"))
        assert raw.utf8(name) + b"\x00" + b"x" == connection.expect(raw.PUBLISH).body
        connection.send(raw.unsubscribe(version, 2, name))
        assert raw.u16(2) + b"\x00" + b"\x00" == connection.expect(raw.UNSUBACK).body


@statement("MQTT-2.2.2-1")
@pytest.mark.versions(5)
@pytest.mark.parametrize("kind", ["connect", "publish", "subscribe", "unsubscribe"])
def test_property_length_left_out_closes(target: Target, version: int, bystander: Bystander, kind: str) -> None:
    if kind == "connect":
        head = raw.utf8("MQTT") + b"\x05\x02" + raw.u16(60)
        with Raw(target) as connection:
            connection.send(raw.packet(raw.CONNECT, 0, head))
            connection.expect_refused(MALFORMED)
        return
    data = {
        "publish": raw.packet(raw.PUBLISH, 0, raw.utf8("t")),
        "subscribe": raw.packet(raw.SUBSCRIBE, 2, raw.u16(1)),
        "unsubscribe": raw.packet(raw.UNSUBSCRIBE, 2, raw.u16(1)),
    }[kind]
    closes(target, version, data, MALFORMED)


FAULTY_PROPERTIES = {
    "unknown-identifier": (b"\x7f\x00", MALFORMED),
    "identifier-0": (b"\x00\x00", MALFORMED),
    "identifier-of-two-bytes": (b"\xff\x01\x00", MALFORMED),
    "of-connect": (raw.prop(raw.SESSION_EXPIRY_INTERVAL, 1), MALFORMED),
    "of-subscribe-ack": (raw.prop(raw.REASON_STRING, "why"), MALFORMED),
    "value-cut": (bytes((raw.MESSAGE_EXPIRY_INTERVAL,)) + b"\x00\x00", MALFORMED),
    "value-missing": (bytes((raw.PAYLOAD_FORMAT_INDICATOR,)), MALFORMED),
    "string-longer-than-all": (bytes((raw.CONTENT_TYPE,)) + b"\x00\x09x", MALFORMED),
    "twice": (raw.prop(raw.CONTENT_TYPE, "a") * 2, PROTOCOL_ERROR),
    "twice-apart": (raw.prop(raw.CONTENT_TYPE, "a") + raw.prop(0x26, ("a", "b")) + raw.prop(3, "a"), PROTOCOL_ERROR),
    "payload-format-2": (raw.prop(raw.PAYLOAD_FORMAT_INDICATOR, 2), PROTOCOL_ERROR),
}


@statement("MQTT-4.13.1-1")
@pytest.mark.versions(5)
@pytest.mark.parametrize(("inner", "code"), FAULTY_PROPERTIES.values(), ids=FAULTY_PROPERTIES)
def test_faulty_property_closes(target: Target, version: int, bystander: Bystander, inner: bytes, code: int) -> None:
    closes(target, version, raw.packet(raw.PUBLISH, 0, raw.utf8("t"), raw.varint(len(inner)), inner), code)


@statement("MQTT-4.13.1-1")
@pytest.mark.versions(5)
def test_property_length_beyond_the_packet_closes(target: Target, version: int, bystander: Bystander) -> None:
    closes(target, version, raw.packet(raw.PUBLISH, 0, raw.utf8("t"), raw.varint(9), b"\x01\x01"), MALFORMED)
