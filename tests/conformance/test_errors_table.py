"""Goal: of all Reason Codes, all properties and all cuts of a packet, the ones the text allows are taken and every other
closes; method: tables of all of them, each on a connection of its own, beside one that must not feel any.
"""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import opened
from tests.conformance.raw import Property, Value
from tests.conformance.statements import statement

ACK_CODES = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
# 3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1; 3.14.2.1 has more for clients than are here: those left out are told by servers only.
CODES = {
    raw.PUBACK: ACK_CODES,
    raw.PUBREC: ACK_CODES,
    raw.PUBREL: {0x00, 0x92},
    raw.PUBCOMP: {0x00, 0x92},
}
# Of all codes in the table of 3.14.2.1; whether a server's own may come from a client is left open there.
DISCONNECT_CODES = {0x00, 0x04, *range(0x80, 0x84), 0x87, 0x89, *range(0x8B, 0x91), *range(0x93, 0xA3)} - {
    0x8A,
    0x91,
    0x92,
}
DISCONNECT_CODES |= {0x8C}  # Bad authentication method: of CONNACK and DISCONNECT. 2.4
# 2.2.2.2: which properties each packet of a client may hold, CONNECT aside.
ALLOWED: dict[int, set[int]] = {
    raw.PUBLISH: {0x01, 0x02, 0x03, 0x08, 0x09, 0x0B, 0x23, 0x26},
    raw.PUBACK: {0x1F, 0x26},
    raw.PUBREC: {0x1F, 0x26},
    raw.PUBREL: {0x1F, 0x26},
    raw.PUBCOMP: {0x1F, 0x26},
    raw.SUBSCRIBE: {0x0B, 0x26},
    raw.UNSUBSCRIBE: {0x26},
    raw.DISCONNECT: {0x11, 0x1C, 0x1F, 0x26},
}
SAMPLES: dict[str, Value] = {
    raw.BYTE: 1,
    raw.TWO: 1,
    raw.FOUR: 1,
    raw.VARINT: 1,
    raw.UTF8: "x",
    raw.BINARY: b"x",
    raw.PAIR: ("x", "y"),
}
TYPES = pytest.mark.parametrize("kind", list(ALLOWED), ids=[raw.NAMES[kind].lower() for kind in ALLOWED])
ACKS = pytest.mark.parametrize("kind", list(CODES), ids=[raw.NAMES[kind].lower() for kind in CODES])


def packet(kind: int, name: str, properties: bytes) -> bytes:
    """A packet of 5.0 that is right but for its properties."""
    if kind == raw.PUBLISH:
        return raw.packet(kind, 0, raw.utf8(f"{name}/t"), properties)
    if kind == raw.SUBSCRIBE:
        return raw.packet(kind, 2, raw.u16(1), properties, raw.utf8(f"{name}/t"), b"\0")
    if kind == raw.UNSUBSCRIBE:
        return raw.packet(kind, 2, raw.u16(1), properties, raw.utf8(f"{name}/t"))
    if kind == raw.DISCONNECT:
        return raw.packet(kind, 0, b"\0", properties)
    return raw.packet(kind, 2 if kind == raw.PUBREL else 0, raw.u16(1), b"\0", properties)


def body(kind: int, name: str) -> tuple[bytes, set[int]]:
    """The whole body of a packet with properties, and the sizes it may be cut to and still be one."""
    user: Property = (raw.USER_PROPERTY, ("name", "value"))
    if kind == raw.PUBLISH:
        properties = raw.props((raw.CONTENT_TYPE, "text"), (raw.CORRELATION_DATA, b"data"), user)
        return raw.utf8(f"{name}/t") + raw.u16(1) + properties, set()
    if kind == raw.SUBSCRIBE:
        head = raw.u16(1) + raw.props((raw.SUBSCRIPTION_IDENTIFIER, 300), user)
        first = head + raw.utf8(f"{name}/a") + b"\0"
        return first + raw.utf8(f"{name}/b") + b"\1", {len(first)}
    if kind == raw.UNSUBSCRIBE:
        first = raw.u16(1) + raw.props(user) + raw.utf8(f"{name}/a")
        return first + raw.utf8(f"{name}/b"), {len(first)}
    properties = raw.props((raw.REASON_STRING, "because"), user)
    if kind == raw.DISCONNECT:
        return b"\0" + properties, {0, 1}
    return raw.u16(1) + b"\0" + properties, {2, 3}


@statement("MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.6.2-1", "MQTT-3.7.2-1", "MQTT-4.13.1-1")
@ACKS
@pytest.mark.versions(5)
def test_an_acknowledgement_has_a_code_of_its_own_or_closes(
    target: Target, version: int, name: str, kind: int, bystander: Bystander
) -> None:
    """None of them is for a message that is open, so that a right one changes nothing."""
    for code in range(256):
        with opened(target, version, name) as connection:
            connection.send(raw.ack(version, kind, 1, code, [(raw.USER_PROPERTY, ("a", "b"))]) + raw.pingreq())
            if code not in CODES[kind]:
                connection.expect_closed()
                continue
            answered = {raw.PUBREC: raw.PUBREL, raw.PUBREL: raw.PUBCOMP}.get(kind)
            came = [connection.read().type]
            while came[-1] != raw.PINGRESP:
                came.append(connection.read().type)
            assert set(came) <= {raw.PINGRESP, answered}


@statement("MQTT-3.14.2-1", "MQTT-4.13.1-1")
@pytest.mark.versions(5)
def test_a_disconnect_has_a_code_of_its_own_or_is_an_error(
    target: Target, version: int, name: str, bystander: Bystander
) -> None:
    for code in range(256):
        with opened(target, version, name) as connection:
            connection.send(raw.packet(raw.DISCONNECT, 0, bytes((code,))))
            if code in DISCONNECT_CODES:
                connection.expect_end()
            else:
                connection.expect_closed()


@statement("MQTT-4.13.1-1")
@TYPES
@pytest.mark.versions(5)
def test_a_property_that_a_packet_may_not_hold_closes(
    target: Target, version: int, name: str, kind: int, bystander: Bystander
) -> None:
    """All 27 of them, and identifiers that are none."""
    wrong = [raw.props((known, SAMPLES[raw.KIND[known]])) for known in raw.KIND if known not in ALLOWED[kind]]
    wrong += [b"\2" + bytes((unknown, 0)) for unknown in range(128) if unknown not in raw.KIND]
    wrong += [b"\3\x80\x01\0", b"\3\xff\x7f\0", b"\3\xa6\x00\0"]
    for properties in wrong:
        with opened(target, version, name) as connection:
            connection.send(packet(kind, name, properties))
            connection.expect_closed()


@statement("MQTT-4.13.1-1")
@TYPES
@pytest.mark.versions(5)
def test_a_property_that_a_packet_may_hold_is_taken(target: Target, version: int, name: str, kind: int) -> None:
    for known in sorted(ALLOWED[kind] - {raw.SERVER_REFERENCE}):
        if kind == raw.PUBLISH and known == raw.SUBSCRIPTION_IDENTIFIER:
            continue  # of servers only. [MQTT-3.3.4-6]
        with opened(target, version, name) as connection:
            value = 0 if known == raw.SESSION_EXPIRY_INTERVAL else SAMPLES[raw.KIND[known]]
            connection.send(packet(kind, name, raw.props((known, value))))
            if kind == raw.DISCONNECT:
                connection.expect_end()
                continue
            connection.send(raw.pingreq())
            came = [connection.read().type]
            while came[-1] != raw.PINGRESP:
                came.append(connection.read().type)
            assert raw.DISCONNECT not in came


@statement("MQTT-4.13.1-1", "MQTT-3.8.3-2", "MQTT-3.10.3-2", "MQTT-3.3.2-1")
@TYPES
@pytest.mark.versions(5)
def test_a_body_that_is_cut_anywhere_closes(
    target: Target, version: int, name: str, kind: int, bystander: Bystander
) -> None:
    """The Remaining Length is right for what is there; what is there ends within a field."""
    flags = {raw.PUBLISH: 2, raw.PUBREL: 2, raw.SUBSCRIBE: 2, raw.UNSUBSCRIBE: 2}.get(kind, 0)
    whole, may = body(kind, "n")
    for size in range(len(whole)):
        if size in may:
            continue
        with opened(target, version, name) as connection:
            connection.send(raw.packet(kind, flags, whole[:size]))
            connection.expect_closed()


@statement("311:MQTT-4.8.0-1", "311:MQTT-3.8.3-3", "311:MQTT-3.10.3-2", "311:MQTT-3.3.2-1")
@pytest.mark.parametrize(
    "first, whole, may",
    [
        (0x32, raw.utf8("n/t") + raw.u16(1), set()),
        (0x82, raw.u16(1) + raw.utf8("n/a") + b"\0" + raw.utf8("n/b") + b"\1", {8}),
        (0xA2, raw.u16(1) + raw.utf8("n/a") + raw.utf8("n/b"), {7}),
        (0x40, raw.u16(1), set()),
    ],
    ids=["publish", "subscribe", "unsubscribe", "puback"],
)
@pytest.mark.versions(4)
def test_an_old_body_that_is_cut_anywhere_closes(
    target: Target, version: int, name: str, first: int, whole: bytes, may: set[int], bystander: Bystander
) -> None:
    for size in range(len(whole)):
        if size in may:
            continue
        with opened(target, version, name) as connection:
            connection.send(bytes((first, size)) + whole[:size])
            connection.expect_closed()
