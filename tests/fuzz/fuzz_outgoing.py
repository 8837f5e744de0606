"""What a server's connection sends is what the client reads, with Topic Aliases and within its Maximum Packet Size, and only
what fits in no form is left out. The client's connection does the same the other way.

Input: a byte of Topic Alias Maximum, one of Maximum Packet Size, then messages, each a byte of topic and QoS, one of payload
size, one of what else is on it.
"""

from quantum.core.mqtt.client import PACKET_TOO_LARGE, ClientConnection, ClientSession
from quantum.core.mqtt.connection import ServerConnection, hop_properties
from quantum.core.mqtt.encode import encode_packet, encode_publish
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT
from quantum.core.mqtt.packets import NO_EXPIRY, V5, Connack, Connect, Publish
from quantum.core.mqtt.properties import MAXIMUM_PACKET_SIZE, TOPIC_ALIAS_MAXIMUM, Properties, PropertyValue

BYTES_MAX = 128
TOPICS = ("a", "b/c", "a long topic name", "", "é", "another/long/one", "c", "d")
SEEDS = [b"\x00\x40\x00\x01\x00", b"\x02\x28\x02\x04\x01\x02\x04\x01\x05\x04\x03", b"\x01\x14\x00\x08\x00\x00\x08\x00"]
SEEDS += [
    b"\x03\x60\x02\x01\x02\x0a\x01\x02\x12\x01\x02\x02\x01\x02",
    b"\x01\x15" + b"\x01\x0a\x00" * 3 + b"\x09\x03\x00",
]

# Fits without its alias only: the first time, and where the topic is shorter than the alias.
SEEDS += [b"\x01\x28\x00\x36\x00", b"\x01\x28\x00\x01\x00\x00\x36\x00"]


def limits(data: bytes) -> Properties:
    """Of the side that receives."""
    found: dict[int, PropertyValue] = {MAXIMUM_PACKET_SIZE: 20 + data[1]}
    if data[0] & 3:
        found[TOPIC_ALIAS_MAXIMUM] = data[0] & 3
    return found


def check(data: bytes) -> None:
    if len(data) < 2:
        return
    bytes_max = 20 + data[1]
    server = ServerConnection(PACKET_BYTES_LIMIT, 3)
    server.receive(encode_packet(V5, Connect(V5, "c", True, 0, properties=limits(data))))
    reader = ClientConnection(V5, ClientSession())
    reader.connect("c", clean_start=True, keep_alive_s=0, properties=limits(data))
    reader.receive(encode_packet(V5, Connack(False, 0)))
    writer = ClientConnection(V5, ClientSession())
    writer.connect("c", clean_start=True, keep_alive_s=0)
    writer.receive(encode_packet(V5, Connack(False, 0, limits(data))))
    listener = ServerConnection(bytes_max, data[0] & 3)
    listener.receive(encode_packet(V5, Connect(V5, "c", True, 0)))
    writer.take_bytes()
    for at in range(2, len(data) - 2, 3):
        topic_name, qos = TOPICS[data[at] & 7] or "x" * (1 + data[at + 2] % 100), (data[at] >> 3 & 3) % 3
        payload, else_ = bytes(data[at + 1]), data[at + 2]
        send(server, reader, bytes_max, Publish(topic_name, payload, qos, packet_id=7 if qos else 0), else_)
        publish(writer, listener, bytes_max, Publish(topic_name, payload, 0))


def send(server: ServerConnection, reader: ClientConnection, bytes_max: int, packet: Publish, else_: int) -> None:
    """From server to client."""
    expiry_s = 60 if else_ & 1 else NO_EXPIRY
    ids = (1, 300) if else_ & 2 else ()
    topic_name, payload, qos = packet.topic_name, packet.payload, packet.qos
    sent = server.encode_publish(topic_name, payload, qos, False, False, packet.packet_id, b"", expiry_s, ids)
    if not sent:
        block = hop_properties(expiry_s, 0, ids)
        plain = encode_publish(V5, topic_name.encode(), payload, qos, False, False, packet.packet_id, block)
        assert len(plain) > bytes_max, "a message that fits was left out"
        return
    assert len(sent) <= bytes_max, "larger than the client takes"
    (got,) = reader.receive(sent)
    assert isinstance(got, Publish)
    assert (topic_name, payload, qos, expiry_s, ids) == (
        got.topic_name,
        got.payload,
        got.qos,
        got.message_expiry_s,
        got.subscription_ids,
    )
    if qos:
        reader.ack(got.packet_id, 0x80)
        reader.take_bytes()


def publish(writer: ClientConnection, listener: ServerConnection, bytes_max: int, packet: Publish) -> None:
    """From client to server."""
    if writer.publish(packet.topic_name, packet.payload) == PACKET_TOO_LARGE:
        assert len(encode_packet(V5, packet)) > bytes_max, "a message that fits was left out"
        return
    came = listener.receive(writer.take_bytes())
    assert listener.failure is None, listener.failure
    (got,) = came
    payloads = [got.payload] if isinstance(got, Publish) else got.payloads()  # type: ignore[union-attr]
    assert (packet.topic_name, [packet.payload]) == (got.topic_name, payloads)  # type: ignore[union-attr]
