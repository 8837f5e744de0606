"""Packets in a byte stream, as a reader of a picture wants to see them: the name, the packet id, how long.

For the history alone: judges nothing, and stops where the bytes make no sense.
"""

from typing import Final, final

_NAMES: Final = (
    "RESERVED",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
)
_CONNECT: Final = 1
_PUBLISH: Final = 3
_V5: Final = 5
_PAYLOAD_SHOWN: Final = 20
_PUBACK: Final = 4
_UNSUBACK: Final = 11
_LENGTH_BYTES_MAX: Final = 4


@final
class PacketScan:
    """One direction of one connection."""

    __slots__ = ("_buffer", "version")

    def __init__(self) -> None:
        self._buffer = b""
        self.version = 0  # of the protocol, 0 until a CONNECT said so

    def feed(self, data: bytes) -> list[tuple[str, int]]:
        """(text, packet id or 0) of each packet that is now whole."""
        self._buffer += data
        found: list[tuple[str, int]] = []
        while True:
            size, head_bytes = _sizes(self._buffer)
            if not head_bytes or len(self._buffer) < head_bytes + size:
                return found
            packet, self._buffer = self._buffer[: head_bytes + size], self._buffer[head_bytes + size :]
            if packet[0] >> 4 == _CONNECT:
                name_bytes = int.from_bytes(packet[head_bytes : head_bytes + 2], "big")
                self.version = packet[head_bytes + 2 + name_bytes]
            found.append(_read(packet, head_bytes, self.version))


def _sizes(data: bytes) -> tuple[int, int]:
    """(remaining length, bytes before the body); 0 bytes while they are not all there. 2.1.4"""
    return _variable(data, 1)


def _variable(data: bytes, start: int) -> tuple[int, int]:
    """(number, position behind it); position 0 while it is not all there. 1.5.5"""
    size = 0
    for at in range(start, start + _LENGTH_BYTES_MAX):
        if at >= len(data):
            return 0, 0
        size |= (data[at] & 0x7F) << 7 * (at - start)
        if not data[at] & 0x80:
            return size, at + 1
    return 0, 0


def _read(packet: bytes, at: int, version: int) -> tuple[str, int]:
    kind = packet[0] >> 4
    name = _NAMES[kind]
    if kind == _PUBLISH:
        qos = packet[0] >> 1 & 3
        topic_bytes = int.from_bytes(packet[at : at + 2], "big")
        topic = packet[at + 2 : at + 2 + topic_bytes].decode("utf-8", "replace")
        at += 2 + topic_bytes
        packet_id = int.from_bytes(packet[at : at + 2], "big") if qos else 0
        at += 2 if qos else 0
        if version == _V5:
            size, at = _variable(packet, at)
            at += size
        payload = packet[at : at + _PAYLOAD_SHOWN].decode("ascii", "replace").replace("\x00", "")
        flags = (" DUP" if packet[0] & 8 else "") + (" RETAIN" if packet[0] & 1 else "")
        return f"{name} qos {qos}{flags} {topic} {payload!r}", packet_id
    if _PUBACK <= kind <= _UNSUBACK:
        return name, int.from_bytes(packet[at : at + 2], "big")
    return name, 0
