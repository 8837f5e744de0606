"""Where packets begin and end in a stream of bytes. Source: MQTT 5.0 §2.1.

A packet that is too large is refused from its fixed header, before a byte of its body is kept.
"""

from typing import Final, final

from quantum.core.mqtt.errors import MalformedPacket, ProtocolError

PACKET_BYTES_LIMIT: Final = 268_435_460  # 2.1.4: four bytes of Remaining Length, and the fixed header
PACKET_TOO_LARGE: Final = 0x95

# 2.1.2, 2.1.3: first bytes that begin a packet in some version. The second table has the bits MQTT 3.1 leaves free: DUP of
# PUBREL, SUBSCRIBE and UNSUBSCRIBE.
_PLAIN: Final = (0x10, 0x20, 0x40, 0x50, 0x62, 0x70, 0x82, 0x90, 0xA2, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0)
_V31_ONLY: Final = (0x6A, 0x8A, 0xAA)
_IS_FIRST: Final = bytes(
    [1 if byte >> 4 == 3 or byte in _PLAIN else 2 if byte in _V31_ONLY else 0 for byte in range(256)]
)


def check_first_byte(version: int, first: int) -> None:
    """Raises: MalformedPacket for a packet type or fixed header flags that `version` does not have; 0 is any version."""
    known = _IS_FIRST[first]
    if known == 1 or (known == 2 and version in (0, 3)):
        return
    if first >> 4 == 0:
        raise MalformedPacket("packet type 0, allowed 1 to 15", "§2.1.2")
    raise MalformedPacket(f"packet type {first >> 4} with flags 0x{first & 15:X}", _FLAG_STATEMENTS.get(first >> 4, ""))


_FLAG_STATEMENTS: Final[dict[int, str]] = {
    packet_type: {
        6: "MQTT-3.6.1-1",
        8: "MQTT-3.8.1-1",
        10: "MQTT-3.10.1-1",
        14: "MQTT-3.14.1-1",
        15: "MQTT-3.15.1-1",
    }.get(packet_type, "MQTT-2.1.3-1")
    for packet_type in range(16)
}


def frame_span(data: bytes, pos: int) -> tuple[int, int]:
    """(where the body begins, where the packet ends) of the packet at `pos`; (0, 0) while its fixed header is not whole.

    The end may lie behind what has arrived. Raises: MalformedPacket.
    """
    size = len(data)
    if pos + 2 > size:
        return 0, 0
    length = data[pos + 1]
    if length < 0x80:
        return pos + 2, pos + 2 + length
    length &= 0x7F
    shift = 7
    for at in range(pos + 2, pos + 5):
        if at >= size:
            return 0, 0
        byte = data[at]
        length |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0:
                raise MalformedPacket("Remaining Length longer than needed", "MQTT-1.5.5-1")
            return at + 1, at + 1 + length
        shift += 7
    raise MalformedPacket("Remaining Length of more than 4 bytes", "§2.1.4")


@final
class Framer:
    """Cuts what arrives into packets; keeps the partial one."""

    __slots__ = ("_chunks", "_chunks_bytes", "_need", "packet_bytes_max")

    def __init__(self, packet_bytes_max: int) -> None:
        self.packet_bytes_max = packet_bytes_max
        self._chunks: list[bytes] = []
        self._chunks_bytes = 0
        self._need = 0  # bytes of the partial packet, 0 while its fixed header is not whole

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """(first byte, body) of each packet that `data` completes.

        Packets that are whole before a bad one are returned, and the next call raises; so feed b"" until it returns none.
        Raises: MalformedPacket, ProtocolError (0x95).
        """
        if self._chunks:
            if data:
                self._chunks.append(data)
                self._chunks_bytes += len(data)
            if self._chunks_bytes < self._need:
                return []
            data = b"".join(self._chunks)
        frames: list[tuple[int, bytes]] = []
        pos = 0
        size = len(data)
        self._need = 0
        while pos < size:
            try:
                begin, end = self._admit(data, pos)
            except (MalformedPacket, ProtocolError):
                if not frames:
                    raise
                break
            if begin == 0:
                break
            if end > size:
                self._need = end - pos
                break
            frames.append((data[pos], data[begin:end]))
            pos = end
        self._chunks = [data[pos:] if pos else data] if pos < size else []
        self._chunks_bytes = size - pos
        return frames

    def _admit(self, data: bytes, pos: int) -> tuple[int, int]:
        """`frame_span` of a packet that may be kept. Raises: MalformedPacket, ProtocolError (0x95)."""
        check_first_byte(0, data[pos])
        begin, end = frame_span(data, pos)
        if end - pos > self.packet_bytes_max:
            raise ProtocolError(
                f"packet of {end - pos} bytes, allowed {self.packet_bytes_max}", "MQTT-3.1.2-24", PACKET_TOO_LARGE
            )
        return begin, end
