"""From packet to bytes, for every Control Packet and version. What is right is not checked again here.

A PUBLISH for many receivers is encoded once: `publish_parts` gives what stands before and behind the Packet Identifier.
"""

from typing import Final

from quantum.core.mqtt.packets import (
    CONNECT,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    V5,
    V31,
    V311,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from quantum.core.mqtt.properties import Properties, encode_properties
from quantum.core.mqtt.reason_codes import SUBACK_FAILURE
from quantum.core.mqtt.wire import U16, encode_binary, encode_string, encode_varint

# A successful acknowledgement is one of these and the Packet Identifier. 3.4.2.1
PUBACK_HEAD: Final = b"\x40\x02"
PUBREC_HEAD: Final = b"\x50\x02"
PUBREL_HEAD: Final = b"\x62\x02"
PUBCOMP_HEAD: Final = b"\x70\x02"

_NAMES: Final[dict[int, bytes]] = {V31: b"\x00\x06MQIsdp\x03", V311: b"\x00\x04MQTT\x04", V5: b"\x00\x04MQTT\x05"}


# Every refusal is one code in 3.x. v3.1.1 §3.9.3
_SUBACK_CODES: Final = bytes([min(code, SUBACK_FAILURE) for code in range(256)])
_BYTE: Final[tuple[bytes, ...]] = tuple([bytes((byte,)) for byte in range(256)])


def _framed(first: int, body: bytes) -> bytes:
    return _BYTE[first] + encode_varint(len(body)) + body


def publish_parts(
    version: int, topic: bytes, payload: bytes, qos: int, retain: bool, dup: bool, properties: bytes
) -> tuple[bytes, bytes]:
    """The bytes before and behind the Packet Identifier; at QoS 0 the first part is the whole packet.

    `properties` is the block without its length, empty in 3.x.
    """
    first = 0x30 | (8 if dup else 0) | qos << 1 | (1 if retain else 0)
    tail = encode_varint(len(properties)) + properties + payload if version == V5 else payload
    size = 2 + len(topic) + len(tail)
    if qos == 0:
        return _BYTE[first] + encode_varint(size) + U16[len(topic)] + topic + tail, b""
    return _BYTE[first] + encode_varint(size + 2) + U16[len(topic)] + topic, tail


def encode_publish(
    version: int,
    topic: bytes,
    payload: bytes,
    qos: int,
    retain: bool,
    dup: bool,
    packet_id: int,
    properties: bytes,
) -> bytes:
    """One PUBLISH. `properties` is the block without its length."""
    head, tail = publish_parts(version, topic, payload, qos, retain, dup, properties)
    return head + U16[packet_id] + tail if qos else head


def encode_packet(version: int, packet: Packet) -> bytes:
    """Any packet. A Connect says its version itself."""
    if isinstance(packet, Publish):
        return _encode_publish(version, packet)
    if isinstance(packet, Puback):
        return _encode_ack(version, PUBACK << 4, packet.packet_id, packet.reason_code, packet.properties)
    if isinstance(packet, Pubrec):
        return _encode_ack(version, PUBREC << 4, packet.packet_id, packet.reason_code, packet.properties)
    if isinstance(packet, Pubrel):
        return _encode_ack(version, PUBREL << 4 | 2, packet.packet_id, packet.reason_code, packet.properties)
    if isinstance(packet, Pubcomp):
        return _encode_ack(version, PUBCOMP << 4, packet.packet_id, packet.reason_code, packet.properties)
    if isinstance(packet, Connect):
        return _encode_connect(packet)
    if isinstance(packet, Connack):
        present = b"\x01" if packet.session_present else b"\x00"
        body = present + bytes((packet.reason_code,))
        if version == V31:
            body = b"\x00" + body[1:]  # The byte is reserved, there is no Session Present. 3.1 §3.2
        return _framed(0x20, body + encode_properties(packet.properties) if version == V5 else body)
    if isinstance(packet, (Subscribe, Unsubscribe)):
        return _encode_filters(version, packet)
    if isinstance(packet, Suback):
        if version == V5:
            block = encode_properties(packet.properties) + bytes(packet.reason_codes)
        else:
            block = bytes(packet.reason_codes).translate(_SUBACK_CODES)
        return _framed(0x90, U16[packet.packet_id] + block)
    if isinstance(packet, Unsuback):
        if version < V5:
            return _framed(0xB0, U16[packet.packet_id])
        body = U16[packet.packet_id] + encode_properties(packet.properties) + bytes(packet.reason_codes)
        return _framed(0xB0, body)
    if isinstance(packet, Pingreq):
        return b"\xc0\x00"
    if isinstance(packet, Pingresp):
        return b"\xd0\x00"
    return _encode_farewell(version, packet)


def _encode_farewell(version: int, packet: Disconnect | Auth) -> bytes:
    first = 0xE0 if isinstance(packet, Disconnect) else 0xF0
    if version < V5 or (packet.reason_code == 0 and not packet.properties):
        return bytes((first, 0))
    body = bytes((packet.reason_code,))
    if packet.properties:
        body += encode_properties(packet.properties)
    return _framed(first, body)


def _encode_publish(version: int, packet: Publish) -> bytes:
    block = b""
    if version == V5:
        if packet.message_expiry_s >= 0:
            block += b"\x02" + packet.message_expiry_s.to_bytes(4, "big")
        if packet.topic_alias:
            block += b"\x23" + U16[packet.topic_alias]
        for number in packet.subscription_ids:
            block += b"\x0b" + encode_varint(number)
        block += packet.properties
    return encode_publish(
        version,
        packet.topic_name.encode(),
        packet.payload,
        packet.qos,
        packet.retain,
        packet.dup,
        packet.packet_id,
        block,
    )


def _encode_ack(version: int, first: int, packet_id: int, reason_code: int, properties: Properties) -> bytes:
    if version < V5 or (reason_code == 0 and not properties):
        return bytes((first, 2)) + U16[packet_id]
    if not properties:
        return bytes((first, 3)) + U16[packet_id] + bytes((reason_code,))
    return _framed(first, U16[packet_id] + bytes((reason_code,)) + encode_properties(properties))


def _encode_connect(packet: Connect) -> bytes:
    version = packet.protocol_version
    will = packet.will
    flags = 2 if packet.clean_start else 0
    if will is not None:
        flags |= 4 | will.qos << 3 | (0x20 if will.retain else 0)
    if packet.username is not None:
        flags |= 0x80
    if packet.password is not None:
        flags |= 0x40
    parts = [_NAMES[version], bytes((flags,)), U16[packet.keep_alive_s]]
    if version == V5:
        parts.append(encode_properties(packet.properties))
    parts.append(encode_string(packet.client_id))
    if will is not None:
        if version == V5:
            block = b""
            if will.delay_s:
                block += b"\x18" + will.delay_s.to_bytes(4, "big")
            if will.message_expiry_s >= 0:
                block += b"\x02" + will.message_expiry_s.to_bytes(4, "big")
            block += will.properties
            parts.append(encode_varint(len(block)) + block)
        parts.append(encode_string(will.topic_name))
        parts.append(encode_binary(will.payload))
    if packet.username is not None:
        parts.append(encode_string(packet.username))
    if packet.password is not None:
        parts.append(encode_binary(packet.password))
    return _framed(CONNECT << 4, b"".join(parts))


def _encode_filters(version: int, packet: Subscribe | Unsubscribe) -> bytes:
    parts = [U16[packet.packet_id]]
    if version == V5:
        parts.append(encode_properties(packet.properties))
    if isinstance(packet, Unsubscribe):
        parts += [encode_string(topic_filter) for topic_filter in packet.topic_filters]
        return _framed(0xA2, b"".join(parts))
    for subscription in packet.subscriptions:
        options = subscription.qos
        if version == V5:
            options |= 4 if subscription.no_local else 0
            options |= 8 if subscription.retain_as_published else 0
            options |= subscription.retain_handling << 4
        parts.append(encode_string(subscription.topic_filter) + bytes((options,)))
    return _framed(0x82, b"".join(parts))
