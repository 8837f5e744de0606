"""The properties of MQTT 5.0: their identifiers, types, and the packets each may stand in. Source: MQTT 5.0 §2.2.2."""

from typing import Final

from quantum.core.mqtt.errors import MalformedPacket, ProtocolError
from quantum.core.mqtt.wire import (
    U16,
    decode_binary,
    decode_string,
    decode_u16,
    decode_u32,
    decode_utf8,
    decode_varint,
    encode_binary,
    encode_string,
    encode_u32,
    encode_varint,
)

PropertyValue = int | str | bytes | list[int] | list[tuple[str, str]]
# Identifier → value. User Property holds a list of (name, value) in order, Subscription Identifier a list of ints.
Properties = dict[int, PropertyValue]

# 2.2.2.2 Property identifiers.
PAYLOAD_FORMAT_INDICATOR: Final = 0x01
MESSAGE_EXPIRY_INTERVAL: Final = 0x02
CONTENT_TYPE: Final = 0x03
RESPONSE_TOPIC: Final = 0x08
CORRELATION_DATA: Final = 0x09
SUBSCRIPTION_IDENTIFIER: Final = 0x0B
SESSION_EXPIRY_INTERVAL: Final = 0x11
ASSIGNED_CLIENT_IDENTIFIER: Final = 0x12
SERVER_KEEP_ALIVE: Final = 0x13
AUTHENTICATION_METHOD: Final = 0x15
AUTHENTICATION_DATA: Final = 0x16
REQUEST_PROBLEM_INFORMATION: Final = 0x17
WILL_DELAY_INTERVAL: Final = 0x18
REQUEST_RESPONSE_INFORMATION: Final = 0x19
RESPONSE_INFORMATION: Final = 0x1A
SERVER_REFERENCE: Final = 0x1C
REASON_STRING: Final = 0x1F
RECEIVE_MAXIMUM: Final = 0x21
TOPIC_ALIAS_MAXIMUM: Final = 0x22
TOPIC_ALIAS: Final = 0x23
MAXIMUM_QOS: Final = 0x24
RETAIN_AVAILABLE: Final = 0x25
USER_PROPERTY: Final = 0x26
MAXIMUM_PACKET_SIZE: Final = 0x27
WILDCARD_SUBSCRIPTION_AVAILABLE: Final = 0x28
SUBSCRIPTION_IDENTIFIER_AVAILABLE: Final = 0x29
SHARED_SUBSCRIPTION_AVAILABLE: Final = 0x2A

# 2.2.2.2 The packets a property may stand in; WILL stands for the will properties of CONNECT.
WILL: Final = 0
_CONNECT: Final = 1
_CONNACK: Final = 2
_PUBLISH: Final = 3
_ACKS: Final = (4, 5, 6, 7)
_ANSWERS: Final = (2, 4, 5, 6, 7, 9, 11, 14, 15)

_FLAG: Final = 1  # a byte that is 0 or 1
_U16: Final = 2
_U32: Final = 3
_VARINT: Final = 4
_STRING: Final = 5
_BINARY: Final = 6
_PAIR: Final = 7

_TABLE: Final[dict[int, tuple[str, int, tuple[int, ...]]]] = {
    0x01: ("Payload Format Indicator", _FLAG, (WILL, _PUBLISH)),
    0x02: ("Message Expiry Interval", _U32, (WILL, _PUBLISH)),
    0x03: ("Content Type", _STRING, (WILL, _PUBLISH)),
    0x08: ("Response Topic", _STRING, (WILL, _PUBLISH)),
    0x09: ("Correlation Data", _BINARY, (WILL, _PUBLISH)),
    0x0B: ("Subscription Identifier", _VARINT, (_PUBLISH, 8)),
    0x11: ("Session Expiry Interval", _U32, (_CONNECT, _CONNACK, 14)),
    0x12: ("Assigned Client Identifier", _STRING, (_CONNACK,)),
    0x13: ("Server Keep Alive", _U16, (_CONNACK,)),
    0x15: ("Authentication Method", _STRING, (_CONNECT, _CONNACK, 15)),
    0x16: ("Authentication Data", _BINARY, (_CONNECT, _CONNACK, 15)),
    0x17: ("Request Problem Information", _FLAG, (_CONNECT,)),
    0x18: ("Will Delay Interval", _U32, (WILL,)),
    0x19: ("Request Response Information", _FLAG, (_CONNECT,)),
    0x1A: ("Response Information", _STRING, (_CONNACK,)),
    0x1C: ("Server Reference", _STRING, (_CONNACK, 14)),
    0x1F: ("Reason String", _STRING, _ANSWERS),
    0x21: ("Receive Maximum", _U16, (_CONNECT, _CONNACK)),
    0x22: ("Topic Alias Maximum", _U16, (_CONNECT, _CONNACK)),
    0x23: ("Topic Alias", _U16, (_PUBLISH,)),
    0x24: ("Maximum QoS", _FLAG, (_CONNACK,)),
    0x25: ("Retain Available", _FLAG, (_CONNACK,)),
    0x26: ("User Property", _PAIR, (WILL, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15)),
    0x27: ("Maximum Packet Size", _U32, (_CONNECT, _CONNACK)),
    0x28: ("Wildcard Subscription Available", _FLAG, (_CONNACK,)),
    0x29: ("Subscription Identifier Available", _FLAG, (_CONNACK,)),
    0x2A: ("Shared Subscription Available", _FLAG, (_CONNACK,)),
}
# Zero is a Protocol Error for these.
_NOT_ZERO: Final[dict[int, str]] = {
    RECEIVE_MAXIMUM: "§3.1.2.11.3",
    MAXIMUM_PACKET_SIZE: "§3.1.2.11.4",
    SUBSCRIPTION_IDENTIFIER: "§3.8.2.1.2",
    TOPIC_ALIAS: "MQTT-3.3.2-8",
}
# A PUBLISH keeps these to itself; all others are forwarded unaltered. 3.3.2.3
_HOP: Final[dict[int, bool]] = {
    MESSAGE_EXPIRY_INTERVAL: True,
    SUBSCRIPTION_IDENTIFIER: True,
    TOPIC_ALIAS: True,
    WILL_DELAY_INTERVAL: True,
}


def _decode_value(data: bytes, pos: int, kind: int) -> tuple[int | str | bytes, int]:
    if kind == _U32:
        return decode_u32(data, pos)
    if kind == _U16:
        return decode_u16(data, pos)
    if kind == _STRING:
        return decode_string(data, pos)
    if kind == _BINARY:
        return decode_binary(data, pos)
    if kind == _VARINT:
        return decode_varint(data, pos)
    if pos >= len(data):
        raise MalformedPacket(f"property cut off at byte {len(data)}", "§2.2.2.2")
    return data[pos], pos + 1


def _check(identifier: int, kind: int, value: int | str | bytes) -> None:
    if kind == _FLAG and value not in (0, 1):
        name = _TABLE[identifier][0]
        raise ProtocolError(f"{name} {value!r}, allowed 0 and 1", "§2.2.2.2")
    if identifier == RESPONSE_TOPIC:
        assert isinstance(value, str)
        if not value:
            raise ProtocolError("empty Response Topic, allowed 1 character or more", "MQTT-4.7.3-1")
        if "+" in value or "#" in value:
            raise ProtocolError("Response Topic with a wildcard", "MQTT-3.3.2-14")
    if value == 0 and identifier in _NOT_ZERO:
        code = 0x94 if identifier == TOPIC_ALIAS else 0x82
        raise ProtocolError(f"{_TABLE[identifier][0]} 0, allowed 1 and up", _NOT_ZERO[identifier], code)


def _identify(data: bytes, pos: int, packet_type: int) -> tuple[int, int, int]:
    """(identifier, kind, where its value begins), of a property allowed in this packet."""
    identifier, pos = decode_varint(data, pos)
    row = _TABLE.get(identifier)
    if row is None:
        raise MalformedPacket(f"property 0x{identifier:02x} is not defined", "§2.2.2.2")
    if packet_type not in row[2]:
        where = f"packet type {packet_type}" if packet_type else "the will"
        raise MalformedPacket(f"{row[0]} in {where}, which may not hold it", "§2.2.2.2")
    return identifier, row[1], pos


def _user_property_end(block: bytes, at: int) -> tuple[int, int]:
    """(where the name of the User Property at `at` ends, where its value does), both checked. Raises: MalformedPacket.

    One packet may hold two hundred thousand of them, and there is one thread: what every other property goes through is left
    out, and nothing is built.
    """
    size = len(block)
    begin = at + 3
    middle = size
    if begin <= size:
        middle = begin + (block[at + 1] << 8 | block[at + 2])
    value = middle + 2
    end = value
    if value <= size:
        end += block[middle] << 8 | block[middle + 1]
    if end > size:
        _, middle = decode_string(block, at + 1)  # one of the two raises, and says what is cut off
        _, end = decode_string(block, middle)
    if middle > begin:
        name = block[begin:middle]
        if 0 in name or not name.isascii():
            decode_utf8(name)
    if end > value:
        text = block[value:end]
        if 0 in text or not text.isascii():
            decode_utf8(text)
    return middle, end


def _block_end(data: bytes, pos: int) -> tuple[int, int]:
    """(where the properties begin, where they end) by the length in front of them."""
    length, begin = decode_varint(data, pos)
    end = begin + length
    if end > len(data):
        raise MalformedPacket(f"properties of {length} bytes, {len(data) - begin} are there", "§2.2.2.1")
    return begin, end


def decode_properties(data: bytes, pos: int, packet_type: int) -> tuple[Properties, int]:
    """The properties whose length stands at `pos`, and where they end. Raises: MalformedPacket, ProtocolError."""
    begin, end = _block_end(data, pos)
    properties: Properties = {}
    if begin == end:
        return properties, end
    block = data[begin:end]
    at = 0
    pairs: list[tuple[str, str]] = []
    may_hold_pairs = may_stand_in(USER_PROPERTY, packet_type)
    while at < len(block):
        if block[at] == USER_PROPERTY and may_hold_pairs:
            middle, stop = _user_property_end(block, at)
            pairs.append((block[at + 3 : middle].decode(), block[middle + 2 : stop].decode()))
            at = stop
            continue
        identifier, kind, at = _identify(block, at, packet_type)
        value, at = _decode_value(block, at, kind)
        _check(identifier, kind, value)
        if identifier in properties:
            raise ProtocolError(f"{_TABLE[identifier][0]} twice", "§2.2.2.2")
        if identifier == SUBSCRIPTION_IDENTIFIER:
            assert isinstance(value, int)
            properties[identifier] = [value]
        else:
            properties[identifier] = value
    if pairs:
        properties[USER_PROPERTY] = pairs
    return properties, end


def split_forwarded(data: bytes, pos: int, packet_type: int) -> tuple[bytes, dict[int, int], list[int], int]:
    """The properties of a PUBLISH or a will at `pos`, parted into what is forwarded as it is and what belongs to one hop.

    Returns the forwarded bytes in their order, the hop's integers by identifier, the Subscription Identifiers, and where
    the properties end. Raises: MalformedPacket, ProtocolError.
    """
    begin, end = _block_end(data, pos)
    block = data[begin:end]
    kept: list[bytes] = []
    hop: dict[int, int] = {}
    ids: list[int] = []
    seen: dict[int, bool] = {}
    at = 0
    while at < len(block):
        start = at
        while at < len(block) and block[at] == USER_PROPERTY:
            at = _user_property_end(block, at)[1]
        if at > start:
            kept.append(block[start:at])
            continue
        if block[at] == SUBSCRIPTION_IDENTIFIER and packet_type == _PUBLISH:
            number, at = decode_varint(block, at + 1)
            _check(SUBSCRIPTION_IDENTIFIER, _VARINT, number)
            ids.append(number)
            continue
        identifier, kind, at = _identify(block, at, packet_type)
        value, at = _decode_value(block, at, kind)
        _check(identifier, kind, value)
        if identifier in seen:
            raise ProtocolError(f"{_TABLE[identifier][0]} twice", "§2.2.2.2")
        seen[identifier] = True
        if identifier in _HOP:
            assert isinstance(value, int)
            hop[identifier] = value
        else:
            kept.append(block[start:at])
    return b"".join(kept), hop, ids, end


def decode_forwarded(block: bytes) -> Properties:
    """The properties of a block that `split_forwarded` made."""
    return decode_properties(encode_varint(len(block)) + block, 0, WILL)[0]


def property_ids() -> list[int]:
    """Every identifier of the standard, ascending."""
    return list(_TABLE)


def property_name(identifier: int) -> str:
    """The standard's name, for people; identifiers the standard does not know are named by their number."""
    return _TABLE[identifier][0] if identifier in _TABLE else f"0x{identifier:02X}"


def may_stand_in(identifier: int, packet_type: int) -> bool:
    """Whether a packet of this type, or WILL, may hold the property."""
    return identifier in _TABLE and packet_type in _TABLE[identifier][2]


def encode_forwarded(properties: Properties) -> bytes:
    """The bytes of properties, without the length in front."""
    parts: list[bytes] = []
    for identifier, value in properties.items():
        kind = _TABLE[identifier][1]
        head = bytes((identifier,))
        if isinstance(value, list):
            for item in value:
                if isinstance(item, tuple):
                    parts.append(head + encode_string(item[0]) + encode_string(item[1]))
                else:
                    parts.append(head + encode_varint(item))
        elif isinstance(value, str):
            parts.append(head + encode_string(value))
        elif isinstance(value, bytes):
            parts.append(head + encode_binary(value))
        elif kind == _U32:
            parts.append(head + encode_u32(value))
        elif kind == _U16:
            parts.append(head + U16[value])
        elif kind == _VARINT:
            parts.append(head + encode_varint(value))
        else:
            parts.append(head + bytes((value,)))
    return b"".join(parts)


def encode_properties(properties: Properties) -> bytes:
    """Length and properties. Inverse of `decode_properties`."""
    if not properties:
        return b"\x00"
    block = encode_forwarded(properties)
    return encode_varint(len(block)) + block
