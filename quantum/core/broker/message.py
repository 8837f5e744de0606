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


@final
class RetainedRun:
    """Retained messages that one new subscription is owed, in the order they are to be sent. 3.3.1.3

    A filter may match a hundred thousand of them. Which ones is fixed when the client subscribes, and that is all that is
    done for all at once, so that nobody else waits; a copy is made of each when its turn comes.
    """

    __slots__ = ("_at", "_messages", "qos_max", "subscription_ids")

    def __init__(self, messages: list[Message], qos_max: int, subscription_ids: tuple[int, ...]) -> None:
        assert messages
        self._at = 0
        self._messages = messages
        self.qos_max = qos_max  # granted to the subscription
        self.subscription_ids = subscription_ids

    def qos_of(self, message: Message) -> int:
        """With which QoS it is delivered [MQTT-3.8.4-8]."""
        return message.qos if message.qos < self.qos_max else self.qos_max

    def first(self) -> Message:
        """The next one to be sent."""
        return self._messages[self._at]

    def pop(self) -> Message:
        """Take the next one."""
        message = self._messages[self._at]
        self._at += 1
        return message

    def rest(self) -> list[Message]:
        """All that are still to be sent."""
        return self._messages[self._at :]

    def __len__(self) -> int:
        return len(self._messages) - self._at
