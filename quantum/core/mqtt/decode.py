"""From the body of one Control Packet to a packet that is right, or an error that names the rule it breaks.

Nothing behind this module checks bytes again. Source: MQTT 5.0 §3, MQTT 3.1.1 §3, MQTT 3.1 §3.
"""

from typing import Final

from quantum.core.mqtt.errors import MalformedPacket, ProtocolError, UnsupportedProtocol
from quantum.core.mqtt.filters import FilterReader
from quantum.core.mqtt.framer import check_first_byte
from quantum.core.mqtt.packets import (
    AUTH,
    CONNACK,
    CONNECT,
    DISCONNECT,
    NO_EXPIRY,
    PINGREQ,
    PINGRESP,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBACK,
    SUBSCRIBE,
    UNSUBACK,
    UNSUBSCRIBE,
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
    Unsuback,
    Will,
)
from quantum.core.mqtt.properties import (
    AUTHENTICATION_DATA,
    AUTHENTICATION_METHOD,
    MESSAGE_EXPIRY_INTERVAL,
    TOPIC_ALIAS,
    WILL,
    WILL_DELAY_INTERVAL,
    Properties,
    decode_properties,
    split_forwarded,
)
from quantum.core.mqtt.reason_codes import RETURN_CODE_MAX, may_carry
from quantum.core.mqtt.topics import check_topic_name
from quantum.core.mqtt.wire import decode_binary, decode_string, decode_u16


def decode_packet(version: int, first_byte: int, body: bytes) -> Packet:
    """Any packet; `version` matters to all but CONNECT. Raises: MalformedPacket, ProtocolError."""
    packet_type = first_byte >> 4
    if packet_type == PUBLISH:
        return decode_publish(version, first_byte, body)
    check_first_byte(version, first_byte)
    if packet_type in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        return _decode_ack(version, packet_type, body)
    if packet_type == CONNECT:
        return decode_connect(body)
    if packet_type == CONNACK:
        return _decode_connack(version, body)
    if packet_type in (SUBSCRIBE, UNSUBSCRIBE):
        return _decode_filters(version, first_byte, body)
    if packet_type == SUBACK:
        packet_id, properties, rest = _decode_head(version, packet_type, body)
        return Suback(packet_id, _reason_codes(version, packet_type, rest), properties)
    if packet_type == UNSUBACK:
        packet_id, properties, rest = _decode_head(version, packet_type, body)
        if version < V5:
            _expect_end(rest, 0, packet_type)
        return Unsuback(packet_id, _reason_codes(version, packet_type, rest), properties)
    if packet_type in (PINGREQ, PINGRESP):
        _expect_end(body, 0, packet_type)
        return Pingreq() if packet_type == PINGREQ else Pingresp()
    if packet_type == DISCONNECT:
        return _decode_disconnect(version, body)
    if packet_type == AUTH and version == V5:
        return _decode_auth(body)
    raise MalformedPacket(f"packet type {packet_type} is not defined", "§2.1.2")


def _expect_end(body: bytes, pos: int, packet_type: int) -> None:
    if pos != len(body):
        raise MalformedPacket(f"packet type {packet_type} with {len(body) - pos} bytes behind its end", "§2.1.4")


def _packet_id(body: bytes, pos: int) -> tuple[int, int]:
    packet_id, pos = decode_u16(body, pos)
    if not packet_id:
        raise ProtocolError("Packet Identifier 0, allowed 1 to 65535", "MQTT-2.2.1-3")
    return packet_id, pos


# -- CONNECT ---------------------------------------------------------------------------------------------------------


def decode_connect(body: bytes) -> Connect:
    """CONNECT of any version. Raises: MalformedPacket, ProtocolError, UnsupportedProtocol."""
    name, pos = decode_string(body, 0)
    if pos + 2 > len(body):
        raise MalformedPacket(f"CONNECT cut off at byte {len(body)}", "§3.1.2")
    version = body[pos]
    if not (name == "MQTT" and version in (V311, V5)) and not (name == "MQIsdp" and version == V31):
        raise UnsupportedProtocol(name, version)
    flags = body[pos + 1]
    if flags & 1 and version != V31:  # MQTT 3.1 gives this bit no meaning. 3.1 §3.1
        raise MalformedPacket("CONNECT with its reserved flag set", "MQTT-3.1.2-3")
    has_will = flags & 4 == 4
    will_qos = flags >> 3 & 3
    if not has_will and flags & 0x38:
        raise MalformedPacket("CONNECT with Will QoS or Will Retain, and no Will Flag", "MQTT-3.1.2-11")
    if will_qos == 3:
        raise MalformedPacket("CONNECT with Will QoS 3, allowed 0, 1, 2", "MQTT-3.1.2-12")
    if version < V5 and flags & 0x40 and not flags & 0x80:
        raise MalformedPacket("CONNECT with a password and no user name", "v3.1.1 MQTT-3.1.2-22")
    keep_alive_s, pos = decode_u16(body, pos + 2)
    properties: Properties = {}
    if version == V5:
        properties, pos = decode_properties(body, pos, CONNECT)
        if AUTHENTICATION_DATA in properties and AUTHENTICATION_METHOD not in properties:
            raise ProtocolError("Authentication Data without Authentication Method", "§3.1.2.11.10")
    client_id, pos = decode_string(body, pos)
    will: Will | None = None
    if has_will:
        will, pos = _decode_will(version, body, pos, will_qos, flags & 0x20 == 0x20)
    username: str | None = None
    password: bytes | None = None
    # In MQTT 3.1 the Remaining Length goes before the flags: what does not stand there was left out. 3.1 §3.1
    if flags & 0x80 and not (version == V31 and pos == len(body)):
        username, pos = decode_string(body, pos)
    if flags & 0x40 and not (version == V31 and pos == len(body)):
        password, pos = decode_binary(body, pos)
    _expect_end(body, pos, CONNECT)
    return Connect(version, client_id, flags & 2 == 2, keep_alive_s, username, password, will, properties)


def _decode_will(version: int, body: bytes, pos: int, qos: int, retain: bool) -> tuple[Will, int]:
    forwarded = b""
    hop: dict[int, int] = {}
    if version == V5:
        forwarded, hop, _, pos = split_forwarded(body, pos, WILL)
    topic_name, pos = decode_string(body, pos)
    check_topic_name(topic_name)
    payload, pos = decode_binary(body, pos)
    expiry_s = hop.get(MESSAGE_EXPIRY_INTERVAL, NO_EXPIRY)
    return Will(topic_name, payload, qos, retain, forwarded, hop.get(WILL_DELAY_INTERVAL, 0), expiry_s), pos


def _decode_connack(version: int, body: bytes) -> Connack:
    if len(body) < 2:
        raise MalformedPacket(f"CONNACK of {len(body)} bytes, allowed 2 and up", "§3.2.2")
    if version == V31:
        body = b"\x00" + body[1:]  # The byte is unused, and there is no Session Present. 3.1 §3.2
    if body[0] > 1:
        raise MalformedPacket(f"CONNACK with acknowledge flags {body[0]}, allowed 0 and 1", "MQTT-3.2.2-1")
    code = body[1]
    if code and body[0]:
        raise ProtocolError(f"CONNACK with Session Present and code {code}, allowed 0", "MQTT-3.2.2-6")
    if version < V5:
        _expect_end(body, 2, CONNACK)
        if code > RETURN_CODE_MAX:
            raise MalformedPacket(f"CONNACK with return code {code}, allowed 0 to 5", "v3.1.1 §3.2.2.3")
        return Connack(body[0] == 1, code)
    _check_code(CONNACK, code)
    properties, pos = decode_properties(body, 2, CONNACK)
    _expect_end(body, pos, CONNACK)
    return Connack(body[0] == 1, code, properties)


# -- publishing ------------------------------------------------------------------------------------------------------


def decode_publish(version: int, first_byte: int, body: bytes) -> Publish:
    """PUBLISH. Raises: MalformedPacket, ProtocolError."""
    qos = first_byte >> 1 & 3
    if qos == 3:
        raise MalformedPacket("PUBLISH with QoS 3, allowed 0, 1, 2", "MQTT-3.3.1-4")
    dup = first_byte & 8 == 8
    if dup and not qos:
        raise MalformedPacket("PUBLISH with DUP at QoS 0, allowed at 1, 2", "MQTT-3.3.1-2")
    topic_name, pos = decode_string(body, 0)
    packet_id = 0
    if qos:
        packet_id, pos = _packet_id(body, pos)
    if version < V5 or (pos < len(body) and body[pos] == 0):
        check_topic_name(topic_name)
        payload = body[pos + 1 :] if version == V5 else body[pos:]
        return Publish(topic_name, payload, qos, first_byte & 1 == 1, dup, packet_id)
    forwarded, hop, ids, pos = split_forwarded(body, pos, PUBLISH)
    alias = hop.get(TOPIC_ALIAS, 0)
    if topic_name or not alias:
        check_topic_name(topic_name)
    return Publish(
        topic_name,
        body[pos:],
        qos,
        first_byte & 1 == 1,
        dup,
        packet_id,
        forwarded,
        hop.get(MESSAGE_EXPIRY_INTERVAL, NO_EXPIRY),
        alias,
        tuple(ids),
    )


def _decode_ack(version: int, packet_type: int, body: bytes) -> Packet:
    packet_id, pos = _packet_id(body, 0)
    code = 0
    properties: Properties = {}
    if version < V5:
        _expect_end(body, pos, packet_type)
    elif pos < len(body):
        code = body[pos]
        _check_code(packet_type, code)
        pos += 1
        if pos < len(body):
            properties, pos = decode_properties(body, pos, packet_type)
            _expect_end(body, pos, packet_type)
    if packet_type == PUBACK:
        return Puback(packet_id, code, properties)
    if packet_type == PUBREC:
        return Pubrec(packet_id, code, properties)
    if packet_type == PUBREL:
        return Pubrel(packet_id, code, properties)
    return Pubcomp(packet_id, code, properties)


# -- subscribing -----------------------------------------------------------------------------------------------------


def _decode_head(version: int, packet_type: int, body: bytes) -> tuple[int, Properties, bytes]:
    """Packet Identifier, properties, and the payload."""
    packet_id, pos = _packet_id(body, 0)
    properties: Properties = {}
    if version == V5:
        properties, pos = decode_properties(body, pos, packet_type)
    return packet_id, properties, body[pos:]


def filter_reader(version: int, first_byte: int, body: bytes) -> FilterReader:
    """A SUBSCRIBE or UNSUBSCRIBE that is to be read on. Raises: MalformedPacket, ProtocolError."""
    check_first_byte(version, first_byte)
    packet_type = first_byte >> 4
    packet_id, properties, payload = _decode_head(version, packet_type, body)
    return FilterReader(version, packet_type, packet_id, properties, payload)


def _decode_filters(version: int, first_byte: int, body: bytes) -> Packet:
    packet = filter_reader(version, first_byte, body).read(len(body), len(body))
    assert packet is not None
    return packet


def _reason_codes(version: int, packet_type: int, data: bytes) -> list[int]:
    codes = list(data)
    if not codes and (version == V5 or packet_type == SUBACK):
        raise MalformedPacket(f"packet type {packet_type} without a reason code", _NO_CODES[packet_type])
    if version == V5:
        for code in codes:
            _check_code(packet_type, code)
    elif packet_type == SUBACK:
        for code in codes:
            if code > 2 and code != 0x80:
                raise MalformedPacket(f"SUBACK with return code {code}, allowed 0, 1, 2, 128", "v3.1.1 MQTT-3.9.3-2")
    return codes


# -- the rest --------------------------------------------------------------------------------------------------------


_NO_CODES: Final[dict[int, str]] = {SUBACK: "MQTT-3.8.4-6", UNSUBACK: "MQTT-3.11.3-1"}


def _check_code(packet_type: int, code: int) -> None:
    if not may_carry(packet_type, code):
        raise ProtocolError(f"packet type {packet_type} with reason code 0x{code:02x}", "§2.4")


def _decode_disconnect(version: int, body: bytes) -> Disconnect:
    if version < V5:
        _expect_end(body, 0, DISCONNECT)
    if not body:
        return Disconnect()
    _check_code(DISCONNECT, body[0])
    properties: Properties = {}
    if len(body) > 1:
        properties, pos = decode_properties(body, 1, DISCONNECT)
        _expect_end(body, pos, DISCONNECT)
    return Disconnect(body[0], properties)


def _decode_auth(body: bytes) -> Auth:
    if not body:
        return Auth()
    _check_code(AUTH, body[0])
    properties: Properties = {}
    if len(body) > 1:
        properties, pos = decode_properties(body, 1, AUTH)
        _expect_end(body, pos, AUTH)
    return Auth(body[0], properties)
