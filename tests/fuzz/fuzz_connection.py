"""The quick ways of a server's connection do what the careful ones do, however the bytes arrive.

Input: a byte of options, a byte of chunk size, then a stream. What comes out is held against a reader that knows no
cache, no run of packets and no partial packet.
"""

from quantum.core.mqtt import connection
from quantum.core.mqtt.connection import Inbound, PublishRun, ServerConnection
from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.errors import MqttError, ProtocolError
from quantum.core.mqtt.framer import frame_span
from quantum.core.mqtt.packets import (
    CONNECT,
    PUBACK,
    PUBREC,
    PUBREL,
    V5,
    Auth,
    Connack,
    Connect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Unsuback,
)
from quantum.core.mqtt.packets import Pingresp as PingResponse
from tests.fuzz.golden import VERSIONS, chunks, vectors
from tests.fuzz.limits import Limits, lowered

BYTES_MAX = 512
PACKET_BYTES_MAX = 200
ALIASES_MAX = 3
LIMITS: Limits = (
    (connection, "FILTER_BYTES_AT_ONCE", 12),
    (connection, "FILTERS_AT_ONCE", 2),
    (connection, "PIECE_BYTES_MAX", 30),
    (connection, "TOPICS_CACHED_MAX", 2),
)
CONNECTS = [encode_packet(version, Connect(version, "c", True, 60)) for version in VERSIONS]
_QOS_0 = b"\x30\x05\x00\x01a00"
_QOS_0_V5 = b"\x30\x06\x00\x01a\x0000"
SEEDS = [
    bytes((number, size)) + b"".join(data for name, data in vectors(version).items() if "connect" not in name)[:480]
    for number, version in enumerate(VERSIONS)
    for size in (0, 1, 5)
]
SEEDS += [bytes((number, 0)) + data for number, version in enumerate(VERSIONS) for data in vectors(version).values()]
SEEDS += [bytes((4, 3)) + vectors(version)["connect"] + b"\xc0\x00" for version in VERSIONS]
SEEDS += [b"\x01\x00" + _QOS_0 * 4 + b"\x32\x06\x00\x01a\x00\x01x" * 2, b"\x02\x00" + _QOS_0_V5 * 4]
SEEDS += [b"\x01\x04" + _QOS_0 * 4 + b"\x40\x02\x00\x01" * 3, b"\x02\x0b" + _QOS_0_V5 * 4 + b"\x62\x02\x00\x01"]
# Reading stops in the middle: behind filters, in a long packet, and with a broken or partial packet behind that.
_FILTERS = b"".join([b"\x00\x03f/%d\x01" % number for number in range(6)])
_SUBSCRIBE = bytes((0x82, 2 + len(_FILTERS))) + b"\x00\x01" + _FILTERS
SEEDS += [
    b"\x01" + bytes((size,)) + _SUBSCRIBE + behind
    for size in (0, 7)
    for behind in (
        _SUBSCRIBE,
        b"\xc0\x00" + _QOS_0,
        b"\xc0\x01\x00",
        _SUBSCRIBE[:9],
        b"\xa2\x07\x00\x02\x00\x03f/1\xe0\x00",
    )
]


def plain(packet: Inbound) -> list[Packet]:
    """The packets that one thing that came out stands for."""
    if isinstance(packet, PublishRun):
        assert len(packet.payloads()) == packet.count
        return [Publish(packet.topic_name, payload) for payload in packet.payloads()]
    if not isinstance(packet, int):
        return [packet]
    kind, packet_id = packet >> 16, packet & 0xFFFF
    if kind == PUBACK:
        return [Puback(packet_id)]
    if kind == PUBREC:
        return [Pubrec(packet_id)]
    return [Pubrel(packet_id) if kind == PUBREL else Pubcomp(packet_id)]


def received(pieces: list[bytes], held_every: int = 0) -> tuple[list[Packet], bool]:
    """What the connection gives, and whether it failed; every so many pieces one is held back at first."""
    server = ServerConnection(PACKET_BYTES_MAX, ALIASES_MAX)
    packets: list[Packet] = []
    for number, piece in enumerate(pieces):
        if held_every and number % held_every == 0 and server.failure is None:
            server.hold(piece)
            piece = b""
        came = server.receive(piece)
        while True:
            for one in came:
                packets += plain(one)
            # As the edge does: nobody else is read on.
            if not server.is_stopped and not any(isinstance(one, Connect) for one in came):
                break
            came = server.receive(b"")
    return packets, server.failure is not None


def expected(stream: bytes) -> tuple[list[Packet], bool]:
    """The same, read packet by packet."""
    packets: list[Packet] = []
    aliases: dict[int, str] = {}
    version = 0
    pos = 0
    try:
        while True:
            begin, end = frame_span(stream, pos)
            if not begin:
                return packets, False
            if not version and stream[pos] >> 4 != CONNECT:
                raise ProtocolError("the first packet is no CONNECT", "MQTT-3.1.0-1")
            if end - pos > PACKET_BYTES_MAX:
                raise ProtocolError("too large", "MQTT-3.2.2-15")
            if end > len(stream):
                return packets, False
            packet = decode_packet(version, stream[pos], stream[begin:end])
            if isinstance(packet, Connack | Suback | Unsuback | PingResponse) or (
                isinstance(packet, Auth) and version < V5
            ):
                raise ProtocolError("not for clients", "§4.13")
            if isinstance(packet, Connect):
                if version:
                    raise ProtocolError("CONNECT again", "MQTT-3.1.0-2")
                version = packet.protocol_version
            if isinstance(packet, Publish):
                resolve(packet, aliases)
            packets.append(packet)
            pos = end
    except MqttError:
        return packets, True


def resolve(packet: Publish, aliases: dict[int, str]) -> None:
    """3.3.2.3.4."""
    if packet.topic_alias > ALIASES_MAX:
        raise ProtocolError("alias out of range", "MQTT-3.3.2-9")
    if packet.topic_alias and packet.topic_name:
        aliases[packet.topic_alias] = packet.topic_name
    elif packet.topic_alias:
        if packet.topic_alias not in aliases:
            raise ProtocolError("alias never set", "MQTT-3.3.2-12")
        packet.topic_name = aliases[packet.topic_alias]


def check(data: bytes) -> None:
    if len(data) < 2:
        return
    stream = data[2:] if data[0] & 4 else CONNECTS[(data[0] & 3) % 3] + data[2:]
    wanted = expected(stream)
    pieces = chunks(stream, data[1])
    with lowered(LIMITS):
        for got in (received([stream]), received(pieces), received(pieces, 1 + (data[0] >> 3 & 3))):
            assert wanted == got, f"{wanted} and {got}"
