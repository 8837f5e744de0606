"""The Reason Codes of MQTT 5.0, the packets each may stand in, and the return codes of 3.x. Source: MQTT 5.0 §2.4."""

from typing import Final

from quantum.core.mqtt.packets import (
    AUTH,
    CONNACK,
    DISCONNECT,
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    SUBACK,
    UNSUBACK,
)

SUCCESS: Final = 0x00  # also Normal disconnection and Granted QoS 0
GRANTED_QOS_0: Final = 0x00
GRANTED_QOS_1: Final = 0x01
GRANTED_QOS_2: Final = 0x02
DISCONNECT_WITH_WILL: Final = 0x04
NO_MATCHING_SUBSCRIBERS: Final = 0x10
NO_SUBSCRIPTION_EXISTED: Final = 0x11
CONTINUE_AUTHENTICATION: Final = 0x18
REAUTHENTICATE: Final = 0x19
UNSPECIFIED_ERROR: Final = 0x80
MALFORMED_PACKET: Final = 0x81
PROTOCOL_ERROR: Final = 0x82
IMPLEMENTATION_SPECIFIC_ERROR: Final = 0x83
UNSUPPORTED_PROTOCOL_VERSION: Final = 0x84
CLIENT_IDENTIFIER_NOT_VALID: Final = 0x85
BAD_USER_NAME_OR_PASSWORD: Final = 0x86
NOT_AUTHORIZED: Final = 0x87
SERVER_UNAVAILABLE: Final = 0x88
SERVER_BUSY: Final = 0x89
BANNED: Final = 0x8A
SERVER_SHUTTING_DOWN: Final = 0x8B
BAD_AUTHENTICATION_METHOD: Final = 0x8C
KEEP_ALIVE_TIMEOUT: Final = 0x8D
SESSION_TAKEN_OVER: Final = 0x8E
TOPIC_FILTER_INVALID: Final = 0x8F
TOPIC_NAME_INVALID: Final = 0x90
PACKET_IDENTIFIER_IN_USE: Final = 0x91
PACKET_IDENTIFIER_NOT_FOUND: Final = 0x92
RECEIVE_MAXIMUM_EXCEEDED: Final = 0x93
TOPIC_ALIAS_INVALID: Final = 0x94
PACKET_TOO_LARGE: Final = 0x95
MESSAGE_RATE_TOO_HIGH: Final = 0x96
QUOTA_EXCEEDED: Final = 0x97
ADMINISTRATIVE_ACTION: Final = 0x98
PAYLOAD_FORMAT_INVALID: Final = 0x99
RETAIN_NOT_SUPPORTED: Final = 0x9A
QOS_NOT_SUPPORTED: Final = 0x9B
USE_ANOTHER_SERVER: Final = 0x9C
SERVER_MOVED: Final = 0x9D
SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: Final = 0x9E
CONNECTION_RATE_EXCEEDED: Final = 0x9F
MAXIMUM_CONNECT_TIME: Final = 0xA0
SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED: Final = 0xA1
WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: Final = 0xA2

# 3.2.2.3 of MQTT 3.1.1: Connect Return codes.
RETURN_ACCEPTED: Final = 0
RETURN_UNACCEPTABLE_PROTOCOL_VERSION: Final = 1
RETURN_IDENTIFIER_REJECTED: Final = 2
RETURN_SERVER_UNAVAILABLE: Final = 3
RETURN_BAD_USER_NAME_OR_PASSWORD: Final = 4
RETURN_NOT_AUTHORIZED: Final = 5
RETURN_CODE_MAX: Final = 5
RETURN_NONE: Final = -1  # the connection is closed without CONNACK

SUBACK_FAILURE: Final = 0x80  # v3.1.1 [MQTT-3.9.3-2]: the one way to refuse a subscription

_PUBLISHED: Final = (PUBACK, PUBREC)
_RELEASED: Final = (PUBREL, PUBCOMP)

# 2.4 Reason Codes: code, name, packets.
_TABLE: Final[tuple[tuple[int, str, tuple[int, ...]], ...]] = (
    (0x00, "Success", (CONNACK, *_PUBLISHED, *_RELEASED, SUBACK, UNSUBACK, DISCONNECT, AUTH)),
    (0x01, "Granted QoS 1", (SUBACK,)),
    (0x02, "Granted QoS 2", (SUBACK,)),
    (0x04, "Disconnect with Will Message", (DISCONNECT,)),
    (0x10, "No matching subscribers", _PUBLISHED),
    (0x11, "No subscription existed", (UNSUBACK,)),
    (0x18, "Continue authentication", (AUTH,)),
    (0x19, "Re-authenticate", (AUTH,)),
    (0x80, "Unspecified error", (CONNACK, *_PUBLISHED, SUBACK, UNSUBACK, DISCONNECT)),
    (0x81, "Malformed Packet", (CONNACK, DISCONNECT)),
    (0x82, "Protocol Error", (CONNACK, DISCONNECT)),
    (0x83, "Implementation specific error", (CONNACK, *_PUBLISHED, SUBACK, UNSUBACK, DISCONNECT)),
    (0x84, "Unsupported Protocol Version", (CONNACK,)),
    (0x85, "Client Identifier not valid", (CONNACK,)),
    (0x86, "Bad User Name or Password", (CONNACK,)),
    (0x87, "Not authorized", (CONNACK, *_PUBLISHED, SUBACK, UNSUBACK, DISCONNECT)),
    (0x88, "Server unavailable", (CONNACK,)),
    (0x89, "Server busy", (CONNACK, DISCONNECT)),
    (0x8A, "Banned", (CONNACK,)),
    (0x8B, "Server shutting down", (DISCONNECT,)),
    (0x8C, "Bad authentication method", (CONNACK, DISCONNECT)),
    (0x8D, "Keep Alive timeout", (DISCONNECT,)),
    (0x8E, "Session taken over", (DISCONNECT,)),
    (0x8F, "Topic Filter invalid", (SUBACK, UNSUBACK, DISCONNECT)),
    (0x90, "Topic Name invalid", (CONNACK, *_PUBLISHED, DISCONNECT)),
    (0x91, "Packet Identifier in use", (*_PUBLISHED, SUBACK, UNSUBACK)),
    (0x92, "Packet Identifier not found", _RELEASED),
    (0x93, "Receive Maximum exceeded", (DISCONNECT,)),
    (0x94, "Topic Alias invalid", (DISCONNECT,)),
    (0x95, "Packet too large", (CONNACK, DISCONNECT)),
    (0x96, "Message rate too high", (DISCONNECT,)),
    (0x97, "Quota exceeded", (CONNACK, *_PUBLISHED, SUBACK, DISCONNECT)),
    (0x98, "Administrative action", (DISCONNECT,)),
    (0x99, "Payload format invalid", (CONNACK, *_PUBLISHED, DISCONNECT)),
    (0x9A, "Retain not supported", (CONNACK, DISCONNECT)),
    (0x9B, "QoS not supported", (CONNACK, DISCONNECT)),
    (0x9C, "Use another server", (CONNACK, DISCONNECT)),
    (0x9D, "Server moved", (CONNACK, DISCONNECT)),
    (0x9E, "Shared Subscriptions not supported", (SUBACK, DISCONNECT)),
    (0x9F, "Connection rate exceeded", (CONNACK, DISCONNECT)),
    (0xA0, "Maximum connect time", (DISCONNECT,)),
    (0xA1, "Subscription Identifiers not supported", (SUBACK, DISCONNECT)),
    (0xA2, "Wildcard Subscriptions not supported", (SUBACK, DISCONNECT)),
)

_NAMES: Final[dict[int, str]] = {code: name for code, name, _ in _TABLE}
_PACKETS: Final[dict[int, tuple[int, ...]]] = {code: packets for code, _, packets in _TABLE}

_RETURN_CODES: Final[dict[int, int]] = {
    SUCCESS: RETURN_ACCEPTED,
    UNSUPPORTED_PROTOCOL_VERSION: RETURN_UNACCEPTABLE_PROTOCOL_VERSION,
    CLIENT_IDENTIFIER_NOT_VALID: RETURN_IDENTIFIER_REJECTED,
    BAD_USER_NAME_OR_PASSWORD: RETURN_BAD_USER_NAME_OR_PASSWORD,
    NOT_AUTHORIZED: RETURN_NOT_AUTHORIZED,
    BANNED: RETURN_NOT_AUTHORIZED,
    BAD_AUTHENTICATION_METHOD: RETURN_NOT_AUTHORIZED,
    SERVER_UNAVAILABLE: RETURN_SERVER_UNAVAILABLE,
    SERVER_BUSY: RETURN_SERVER_UNAVAILABLE,
    SERVER_SHUTTING_DOWN: RETURN_SERVER_UNAVAILABLE,
    QUOTA_EXCEEDED: RETURN_SERVER_UNAVAILABLE,
    USE_ANOTHER_SERVER: RETURN_SERVER_UNAVAILABLE,
    SERVER_MOVED: RETURN_SERVER_UNAVAILABLE,
    CONNECTION_RATE_EXCEEDED: RETURN_SERVER_UNAVAILABLE,
}


def all_reason_codes() -> list[int]:
    """Every Reason Code of the standard, ascending."""
    return [code for code, _, _ in _TABLE]


def reason_name(code: int) -> str:
    """The standard's name of a Reason Code, for people; codes the standard does not know are named by their number."""
    return _NAMES.get(code) or f"0x{code:02X}"


def may_carry(packet_type: int, code: int) -> bool:
    """Whether a packet of this type may hold this Reason Code."""
    return packet_type in _PACKETS.get(code, ())


def return_code_of(reason_code: int) -> int:
    """The 3.x Connect Return code that says what a Reason Code says, or RETURN_NONE. v3.1.1 [MQTT-3.2.2-6]"""
    return _RETURN_CODES.get(reason_code, RETURN_NONE)


def return_name(return_code: int) -> str:
    """The standard's name of a 3.x Connect Return code, for people."""
    if return_code > RETURN_CODE_MAX:
        return str(return_code)
    return (
        "Connection Accepted",
        "unacceptable protocol version",
        "identifier rejected",
        "Server unavailable",
        "bad user name or password",
        "not authorized",
    )[return_code]
