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
_PUBLISH: Final = 3
_PUBACK: Final = 4
_UNSUBACK: Final = 11
_LENGTH_BYTES_MAX: Final = 4


@final
class PacketScan:
    """One direction of one connection."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[tuple[str, int]]:
        """(text, packet id or 0) of each packet that is now whole."""
        self._buffer += data
        found: list[tuple[str, int]] = []
        while True:
            size, head_bytes = _sizes(self._buffer)
            if not head_bytes or len(self._buffer) < head_bytes + size:
                return found
            packet, self._buffer = self._buffer[: head_bytes + size], self._buffer[head_bytes + size :]
            found.append(_read(packet, head_bytes))


def _sizes(data: bytes) -> tuple[int, int]:
    """(remaining length, bytes before the body); 0 bytes while they are not all there. 2.1.4"""
    size = 0
    for at in range(1, _LENGTH_BYTES_MAX + 1):
        if at >= len(data):
            return 0, 0
        size |= (data[at] & 0x7F) << 7 * (at - 1)
        if not data[at] & 0x80:
            return size, at + 1
    return 0, 0


def _read(packet: bytes, at: int) -> tuple[str, int]:
    kind = packet[0] >> 4
    name = _NAMES[kind]
    if kind == _PUBLISH:
        qos = packet[0] >> 1 & 3
        topic_bytes = int.from_bytes(packet[at : at + 2], "big")
        topic = packet[at + 2 : at + 2 + topic_bytes].decode("utf-8", "replace")
        at += 2 + topic_bytes
        packet_id = int.from_bytes(packet[at : at + 2], "big") if qos else 0
        dup = " DUP" if packet[0] & 8 else ""
        return f"{name} qos {qos}{dup} {topic}", packet_id
    if _PUBACK <= kind <= _UNSUBACK:
        return name, int.from_bytes(packet[at : at + 2], "big")
    return name, 0
