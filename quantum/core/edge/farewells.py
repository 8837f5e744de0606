"""How a broken rule, and a cause, are said to a v5.0 client that loses its connection. Source: MQTT 5.0 §3.14, §4.13."""

from typing import Final

from quantum.core.causes import (
    AUTHENTICATION_FAILED,
    MALFORMED_PACKET,
    PACKET_TOO_LARGE,
    PROTOCOL_ERROR,
    RECEIVE_MAXIMUM_EXCEEDED,
    TOPIC_ALIAS_INVALID,
    TOPIC_FILTER_INVALID,
    TOPIC_NAME_INVALID,
    UNSUPPORTED_PROTOCOL_VERSION,
    USE_ANOTHER_SERVER,
    Cause,
)
from quantum.core.mqtt.packets import DISCONNECT, Disconnect
from quantum.core.mqtt.properties import REASON_STRING, SERVER_REFERENCE, Properties
from quantum.core.mqtt.reason_codes import may_carry

# The cause of a broken rule, by the reason code it is answered with.
_CAUSE_OF: Final[dict[int, Cause]] = {
    0x81: MALFORMED_PACKET,
    0x84: UNSUPPORTED_PROTOCOL_VERSION,
    0x87: AUTHENTICATION_FAILED,
    0x8F: TOPIC_FILTER_INVALID,
    0x90: TOPIC_NAME_INVALID,
    0x93: RECEIVE_MAXIMUM_EXCEEDED,
    0x94: TOPIC_ALIAS_INVALID,
    0x95: PACKET_TOO_LARGE,
}


def cause_of(reason_code: int) -> Cause:
    """Why a connection ends whose client broke a rule."""
    return _CAUSE_OF.get(reason_code, PROTOCOL_ERROR)


def farewell(cause: Cause, detail: str, server_reference: str) -> Disconnect:
    """The DISCONNECT that says a cause."""
    code = cause.reason_code if may_carry(DISCONNECT, cause.reason_code) else 0x80
    properties: Properties = {REASON_STRING: f"{cause.id}: {detail}"}
    if cause is USE_ANOTHER_SERVER:
        properties[SERVER_REFERENCE] = server_reference  # 3.14.2.2.5
    return Disconnect(code, properties)
