"""An Application Message as the partition keeps it, from its acceptance to its last delivery."""

from dataclasses import dataclass
from typing import final

from quantum.core.mqtt.packets import NO_EXPIRY


@final
@dataclass(init=False, slots=True, eq=False)
class Message:
    """One accepted message, shared by all its receivers; nobody changes it after `apply` stamped it.

    `encoded` holds the PUBLISH packets already encoded for it, by variant; it is filled by whoever sends and is no part
    of the state.
    """

    topic_name: str
    payload: bytes
    qos: int
    retain: bool  # as published
    properties: bytes  # forwarded unaltered, as on the wire
    message_expiry_s: int  # NO_EXPIRY when absent
    client_id: str  # the publisher, for No Local
    number: int  # 1 for the first message this partition accepted; 0 before apply, and for QoS 0
    deadline_ms: int  # replicated time at which it expires, 0 for never; set by apply
    encoded: dict[int, tuple[bytes, bytes]] | None

    def __init__(
        self,
        topic_name: str,
        payload: bytes,
        qos: int,
        retain: bool,
        properties: bytes = b"",
        message_expiry_s: int = NO_EXPIRY,
        client_id: str = "",
    ) -> None:
        self.topic_name = topic_name
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = properties
        self.message_expiry_s = message_expiry_s
        self.client_id = client_id
        self.number = 0
        self.deadline_ms = 0
        self.encoded = None
