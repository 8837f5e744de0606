"""The data types of MQTT on the wire: integers, variable byte integers, strings, binary data. Source: MQTT 5.0 §1.5.

A decoder takes the whole body and an index, and returns the value with the index behind it; an encoder returns bytes.
"""

from typing import Final

from quantum.core.mqtt.errors import MalformedPacket

VARINT_MAX: Final = 268_435_455  # 1.5.5, four bytes of seven bits
STRING_BYTES_MAX: Final = 65_535  # 1.5.4

# Every two-byte integer, so that a Packet Identifier or a length is a look-up.
U16: Final[tuple[bytes, ...]] = tuple([number.to_bytes(2, "big") for number in range(65_536)])
# The variable byte integers of one and two bytes, which are the lengths of nearly every packet.
_VARINTS: Final[tuple[bytes, ...]] = tuple(
    [bytes((number,)) if number < 0x80 else bytes((number & 0x7F | 0x80, number >> 7)) for number in range(16_384)]
)


def encode_varint(number: int) -> bytes:
    """A variable byte integer in its shortest form. [MQTT-1.5.5-1]"""
    if number < 16_384:
        return _VARINTS[number]
    assert number <= VARINT_MAX
    if number < 2_097_152:
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14 & 0x7F | 0x80, number >> 21))


def decode_varint(data: bytes, pos: int) -> tuple[int, int]:
    """Raises: MalformedPacket."""
    number = 0
    shift = 0
    for at in range(pos, pos + 4):
        if at >= len(data):
            raise MalformedPacket(f"variable byte integer cut off at byte {at}", "§1.5.5")
        byte = data[at]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and at > pos:
                raise MalformedPacket("variable byte integer longer than needed", "MQTT-1.5.5-1")
            return number, at + 1
        shift += 7
    raise MalformedPacket("variable byte integer of more than 4 bytes", "§1.5.5")


def decode_u16(data: bytes, pos: int) -> tuple[int, int]:
    """Raises: MalformedPacket."""
    if pos + 2 > len(data):
        raise MalformedPacket(f"two byte integer cut off at byte {len(data)}", "§1.5.2")
    return data[pos] << 8 | data[pos + 1], pos + 2


def decode_u32(data: bytes, pos: int) -> tuple[int, int]:
    """Raises: MalformedPacket."""
    if pos + 4 > len(data):
        raise MalformedPacket(f"four byte integer cut off at byte {len(data)}", "§1.5.3")
    return data[pos] << 24 | data[pos + 1] << 16 | data[pos + 2] << 8 | data[pos + 3], pos + 4


def encode_u32(number: int) -> bytes:
    """Four bytes, big end first."""
    return number.to_bytes(4, "big")


def decode_binary(data: bytes, pos: int) -> tuple[bytes, int]:
    """Raises: MalformedPacket."""
    begin = pos + 2
    if begin > len(data):
        raise MalformedPacket(f"length of binary data cut off at byte {len(data)}", "§1.5.6")
    end = begin + (data[pos] << 8 | data[pos + 1])
    if end > len(data):
        raise MalformedPacket(f"binary data of {end - begin} bytes, {len(data) - begin} are there", "§1.5.6")
    return data[begin:end], end


def encode_binary(value: bytes) -> bytes:
    """The length in two bytes, then the bytes."""
    return U16[len(value)] + value


def decode_string(data: bytes, pos: int) -> tuple[str, int]:
    """A UTF-8 Encoded String. Raises: MalformedPacket."""
    begin = pos + 2
    if begin > len(data):
        raise MalformedPacket(f"length of a string cut off at byte {len(data)}", "§1.5.4")
    end = begin + (data[pos] << 8 | data[pos + 1])
    if end > len(data):
        raise MalformedPacket(f"string of {end - begin} bytes, {len(data) - begin} are there", "§1.5.4")
    return decode_utf8(data[begin:end]), end


def decode_utf8(value: bytes) -> str:
    """Well-formed UTF-8 without surrogates and without U+0000; U+FEFF stays. Raises: MalformedPacket. [MQTT-1.5.4-3]"""
    try:
        text = value.decode("utf-8")  # The strict decoder refuses surrogates and overlong forms. [MQTT-1.5.4-1]
    except UnicodeDecodeError as error:
        raise MalformedPacket(f"string that is not UTF-8 at its byte {error.start}", "MQTT-1.5.4-1") from None
    if "\x00" in text:
        raise MalformedPacket("string with U+0000", "MQTT-1.5.4-2")
    return text


def encode_string(value: str) -> bytes:
    """The length in two bytes, then UTF-8. The caller keeps to what `is_string` allows."""
    data = value.encode("utf-8")
    return U16[len(data)] + data


def is_string(value: str) -> bool:
    """Whether `value` can be sent as a UTF-8 Encoded String. [MQTT-1.5.4-1] [MQTT-1.5.4-2]"""
    try:
        return len(value.encode("utf-8")) <= STRING_BYTES_MAX and "\x00" not in value
    except UnicodeEncodeError:  # a surrogate
        return False
