"""A client's connection stands whatever a server sends, and reads the same however it arrives.

Input: a byte of options, a byte of chunk size, then a stream behind CONNACK, or where bit 2 of the options is set, in place
of it. Bit 3: the application acknowledges what came only when all has come; else in between, when chunks may matter.
"""

from quantum.core.mqtt.client import ClientConnection, ClientSession
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import Connack, Packet, Publish
from tests.fuzz.golden import VERSIONS, chunks, vectors

BYTES_MAX = 512
CONNACKS = [encode_packet(version, Connack(False, 0)) for version in VERSIONS]
SEEDS = [
    bytes((number | option, 0)) + data
    for number, version in enumerate(VERSIONS)
    for data in vectors(version).values()
    for option in ((4,) if data[0] == 0x20 else (0,))
]
SEEDS += [bytes((8 | number, 3)) + b"".join(vectors(version).values())[:400] for number, version in enumerate(VERSIONS)]
SEEDS += [bytes((number, 3)) + b"\x50\x02\x00\x02\x70\x02\x00\x02\x40\x02\x00\x01" for number in range(3)]


def played(version: int, is_welcome: bool, acks_last: bool, pieces: list[bytes]) -> tuple[list[str], bytes, str]:
    """What came, what was sent, and what the server broke."""
    client = ClientConnection(version, ClientSession())
    client.connect("c", clean_start=True, keep_alive_s=60)
    if is_welcome:
        client.receive(CONNACKS[VERSIONS.index(version)])
        client.publish("a", b"1", 1)
        client.publish("a", b"2", 2)
    came: list[Packet] = []
    for piece in pieces:
        packets = client.receive(piece)
        came += packets
        if not acks_last:
            acknowledge(client, packets)
    if acks_last:
        acknowledge(client, came)
    return [repr(packet) for packet in came], client.take_bytes(), client.failure.statement if client.failure else ""


def acknowledge(client: ClientConnection, packets: list[Packet]) -> None:
    """What is still to be acknowledged of them."""
    for packet in packets:
        if isinstance(packet, Publish) and packet.qos and packet.packet_id in client.unacknowledged:
            client.ack(packet.packet_id)


def check(data: bytes) -> None:
    if len(data) < 2:
        return
    version = VERSIONS[(data[0] & 3) % 3]
    is_welcome, acks_last = not data[0] & 4, bool(data[0] & 8)
    stream = data[2:]
    whole = played(version, is_welcome, acks_last, [stream])
    pieces = played(version, is_welcome, acks_last, chunks(stream, data[1]))
    assert whole == pieces or not acks_last, f"{whole} and {pieces}"
