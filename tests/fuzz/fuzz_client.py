"""A client's connection stands whatever a server sends. Input: a byte of version, a byte of chunk size, then a stream
behind CONNACK, or where bit 2 is set, in place of it."""

from quantum.core.mqtt.client import ClientConnection, ClientSession
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import Connack, Publish
from tests.fuzz.golden import VERSIONS, chunks, vectors

BYTES_MAX = 512
CONNACKS = [encode_packet(version, Connack(False, 0)) for version in VERSIONS]
SEEDS = [
    bytes((number | option, 0)) + data
    for number, version in enumerate(VERSIONS)
    for data in vectors(version).values()
    for option in ((4,) if data[0] == 0x20 else (0,))
]
SEEDS += [bytes((number, 3)) + b"\x50\x02\x00\x02\x70\x02\x00\x02\x40\x02\x00\x01" for number in range(3)]


def played(version: int, is_welcome: bool, pieces: list[bytes]) -> tuple[list[str], list[bytes], str]:
    """What came, what was sent, and what the server broke."""
    client = ClientConnection(version, ClientSession())
    client.connect("c", clean_start=True, keep_alive_s=60)
    if is_welcome:
        client.receive(CONNACKS[VERSIONS.index(version)])
        client.publish("a", b"1", 1)
        client.publish("a", b"2", 2)
    came: list[str] = []
    for piece in pieces:
        for packet in client.receive(piece):
            came.append(repr(packet))
            if isinstance(packet, Publish) and packet.qos and packet.packet_id in client.unacknowledged:
                client.ack(packet.packet_id)
    return came, [client.take_bytes()], client.failure.statement if client.failure is not None else ""


def check(data: bytes) -> None:
    if len(data) < 2:
        return
    version = VERSIONS[(data[0] & 3) % 3]
    is_welcome = not data[0] & 4
    stream = data[2:]
    played(version, is_welcome, [stream])
    played(version, is_welcome, chunks(stream, data[1]))
