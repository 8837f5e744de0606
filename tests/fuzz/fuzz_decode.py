"""Bytes that decode encode to bytes that decode to the same. Input: a byte of version, then one packet's first byte and
body, or where its eighth bit is set, a whole frame."""

from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.errors import MqttError
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, Framer
from quantum.core.mqtt.packets import Connect
from tests.fuzz.golden import VERSIONS, vectors

BYTES_MAX = 256
SEEDS = [
    bytes((number,)) + data[:1] + data[2:]
    for number, version in enumerate(VERSIONS)
    for data in vectors(version).values()
    if data[1] < 0x80
]


def check(data: bytes) -> None:
    if len(data) < 2:
        return
    version = VERSIONS[data[0] % 3]
    try:
        packet = decode_packet(version, data[1], data[2:])
    except MqttError as error:
        assert error.statement, "an error without a statement"
        assert error.reason_code >= 0x80, "an error with a reason code of success"
        return
    again_version = packet.protocol_version if isinstance(packet, Connect) else version
    encoded = encode_packet(again_version, packet)
    ((first, body),) = Framer(PACKET_BYTES_LIMIT).feed(encoded)
    again = decode_packet(again_version, first, body)
    assert packet == again, f"{packet} came back as {again}"
    assert encoded == encode_packet(again_version, again), "encodes in two ways"
