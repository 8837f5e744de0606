"""Where packets begin does not depend on how the bytes arrive. Input: a byte of chunk size, then a stream."""

from quantum.core.mqtt.errors import MqttError
from quantum.core.mqtt.framer import Framer
from tests.fuzz.golden import VERSIONS, chunks, vectors

BYTES_MAX = 512
PACKET_BYTES_MAX = 300
SEEDS = [bytes((size,)) + b"".join(vectors(version).values())[:400] for version in VERSIONS for size in (1, 2, 7)]
SEEDS += [b"\x03" + data for version in VERSIONS for data in vectors(version).values()]


def frames_of(pieces: list[bytes]) -> tuple[list[tuple[int, bytes]], str]:
    """The frames, and the statement of the error that ends them or ""."""
    framer = Framer(PACKET_BYTES_MAX)
    frames: list[tuple[int, bytes]] = []
    try:
        for piece in pieces:
            frames += framer.feed(piece)
            while more := framer.feed(b""):
                frames += more
    except MqttError as error:
        return frames, error.statement
    return frames, ""


def check(data: bytes) -> None:
    stream = data[1:]
    whole = frames_of([stream])
    assert whole == frames_of(chunks(stream, data[0] if data else 0)), "chunks matter"
    frames, failure = whole
    size = sum(len(body) + 2 + (len(body) >= 0x80) for _, body in frames)
    assert failure or size <= len(stream), "more than arrived"
