"""The Control Packets of MQTT 3.1, 3.1.1 and 5.0, as they are on the wire.

A packet is what was sent, not state: nobody changes one after it was made, and what a session remembers about it lives
in a record of its own. Properties exist in 5.0 only and are empty in the older versions. Source: MQTT 5.0 §3.
"""

from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.mqtt.properties import Properties

V31: Final = 3  # "MQIsdp"
V311: Final = 4
V5: Final = 5

QOS_0: Final = 0
QOS_1: Final = 1
QOS_2: Final = 2

# 2.1.2 Control Packet type, the high four bits of the first byte.
CONNECT: Final = 1
CONNACK: Final = 2
PUBLISH: Final = 3
PUBACK: Final = 4
PUBREC: Final = 5
PUBREL: Final = 6
PUBCOMP: Final = 7
SUBSCRIBE: Final = 8
SUBACK: Final = 9
UNSUBSCRIBE: Final = 10
UNSUBACK: Final = 11
PINGREQ: Final = 12
PINGRESP: Final = 13
DISCONNECT: Final = 14
AUTH: Final = 15

NO_EXPIRY: Final = -1  # a message without a Message Expiry Interval


@final
@dataclass(slots=True)
class Will:
    """The Will Message of a CONNECT. Source: MQTT 5.0 §3.1.3.2."""

    topic_name: str
    payload: bytes
    qos: int
    retain: bool
    properties: bytes = b""  # the part that is forwarded with the message, as on the wire, without its length
    delay_s: int = 0
    message_expiry_s: int = NO_EXPIRY


@final
@dataclass(slots=True)
class Connect:
    """Source: MQTT 5.0 §3.1."""

    protocol_version: int
    client_id: str
    clean_start: bool
    keep_alive_s: int
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties = field(default_factory=dict)


@final
@dataclass(slots=True)
class Connack:
    """`reason_code` is a v5.0 reason code, or a return code 0..5 of 3.x. Source: MQTT 5.0 §3.2."""

    session_present: bool
    reason_code: int
    properties: Properties = field(default_factory=dict)


def is_text_promised(properties: bytes) -> bool:
    """Whether a forwarded block holds Payload Format Indicator 1; the block was checked when it was decoded."""
    at = 0
    while at < len(properties):
        identifier = properties[at]
        if identifier == 0x01:
            return properties[at + 1] == 1
        size = 3 + ((properties[at + 1] << 8) | properties[at + 2])  # all others begin with a string or binary data
        if identifier == 0x26:  # User Property: a name and a value
            size += 2 + ((properties[at + size] << 8) | properties[at + size + 1])
        at += size
    return False


@final
@dataclass(init=False, slots=True)
class Publish:
    """An Application Message on one Network Connection. Source: MQTT 5.0 §3.3.

    `properties` holds the properties a server forwards unaltered (payload format, content type, response topic,
    correlation data, user properties) as they were on the wire and in their order, without the length in front; the
    properties that belong to one hop (expiry, alias, subscription identifiers) are fields of their own.
    """

    topic_name: str  # "" when a Topic Alias stands for it
    payload: bytes
    qos: int
    retain: bool
    dup: bool
    packet_id: int  # 1..65535, 0 for QOS_0
    properties: bytes
    message_expiry_s: int  # NO_EXPIRY when absent
    topic_alias: int  # 0 when absent
    subscription_ids: tuple[int, ...]

    def __init__(
        self,
        topic_name: str,
        payload: bytes,
        qos: int = QOS_0,
        retain: bool = False,
        dup: bool = False,
        packet_id: int = 0,
        properties: bytes = b"",
        message_expiry_s: int = NO_EXPIRY,
        topic_alias: int = 0,
        subscription_ids: tuple[int, ...] = (),
    ) -> None:
        self.topic_name = topic_name
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.dup = dup
        self.packet_id = packet_id
        self.properties = properties
        self.message_expiry_s = message_expiry_s
        self.topic_alias = topic_alias
        self.subscription_ids = subscription_ids

    def has_text_payload(self) -> bool:
        """Payload Format Indicator 1: the sender promises UTF-8. 3.3.2.3.2"""
        return is_text_promised(self.properties)


@final
@dataclass(slots=True)
class Puback:
    """Source: MQTT 5.0 §3.4."""

    packet_id: int
    reason_code: int = 0
    properties: Properties = field(default_factory=dict)


@final
@dataclass(slots=True)
class Pubrec:
    """Source: MQTT 5.0 §3.5."""

    packet_id: int
    reason_code: int = 0
    properties: Properties = field(default_factory=dict)


@final
@dataclass(slots=True)
class Pubrel:
    """Source: MQTT 5.0 §3.6."""

    packet_id: int
    reason_code: int = 0
    properties: Properties = field(default_factory=dict)


@final
@dataclass(slots=True)
class Pubcomp:
    """Source: MQTT 5.0 §3.7."""

    packet_id: int
    reason_code: int = 0
    properties: Properties = field(default_factory=dict)


@final
@dataclass(slots=True)
class Subscription:
    """One Topic Filter with its Subscription Options. Source: MQTT 5.0 §3.8.3.1."""

    topic_filter: str
    qos: int
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0  # 0 send retained, 1 only if the subscription is new, 2 never


@final
@dataclass(slots=True)
class Subscribe:
    """Source: MQTT 5.0 §3.8."""

    packet_id: int
    subscriptions: list[Subscription]
    properties: Properties = field(default_factory=dict)


@final
@dataclass(slots=True)
class Suback:
    """Source: MQTT 5.0 §3.9."""

    packet_id: int
    reason_codes: list[int]
    properties: Properties = field(default_factory=dict)


@final
@dataclass(slots=True)
class Unsubscribe:
    """Source: MQTT 5.0 §3.10."""

    packet_id: int
    topic_filters: list[str]
    properties: Properties = field(default_factory=dict)


@final
@dataclass(slots=True)
class Unsuback:
    """`reason_codes` is empty in 3.x. Source: MQTT 5.0 §3.11."""

    packet_id: int
    reason_codes: list[int] = field(default_factory=list)
    properties: Properties = field(default_factory=dict)


@final
@dataclass(slots=True)
class Pingreq:
    """Source: MQTT 5.0 §3.12."""


@final
@dataclass(slots=True)
class Pingresp:
    """Source: MQTT 5.0 §3.13."""


@final
@dataclass(slots=True)
class Disconnect:
    """Source: MQTT 5.0 §3.14."""

    reason_code: int = 0
    properties: Properties = field(default_factory=dict)


@final
@dataclass(slots=True)
class Auth:
    """5.0 only. Source: MQTT 5.0 §3.15."""

    reason_code: int = 0
    properties: Properties = field(default_factory=dict)


Packet = (
    Connect
    | Connack
    | Publish
    | Puback
    | Pubrec
    | Pubrel
    | Pubcomp
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
    | Auth
)
