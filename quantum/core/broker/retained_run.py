"""The retained messages that one new subscription is owed, and how far they are read.

A filter may match a hundred thousand of them, and nobody else may wait for that. So they are read from the store in
ascending order of their Topic Names, some at a time, as the receiver takes them. What is replaced in the store before its
turn comes was sent to the subscription when it was published, and is left out here; so is what is deleted.
Source: MQTT 5.0 §3.3.1.3.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.broker.message import Message

# Of which messages a cursor speaks.
ANY_QOS: Final = 0
QOS_0: Final = 1  # published with QoS 0
ABOVE_QOS_0: Final = 2


@final
@dataclass(init=False, slots=True, eq=False)
class RetainedCursor:
    """How far a subscription's retained messages are read."""

    topic_filter: str
    number_max: int  # of the newest message when the client subscribed
    left_out: str  # Client Identifier whose messages are left out, "" for none. No Local
    qos_part: int
    bound: str | None  # the least Topic Name that was not looked at, None at the end

    def __init__(self, topic_filter: str, number_max: int, left_out: str, qos_part: int, bound: str | None) -> None:
        self.topic_filter = topic_filter
        self.number_max = number_max
        self.left_out = left_out
        self.qos_part = qos_part
        self.bound = bound

    def part(self, qos_part: int) -> "RetainedCursor":
        """A cursor at the same place that speaks of some of the messages only."""
        return RetainedCursor(self.topic_filter, self.number_max, self.left_out, qos_part, self.bound)


@final
class RetainedRun:
    """What is read already, in the order it is to be sent, and the cursor for the rest."""

    __slots__ = ("_at", "_messages", "cursor", "qos_max", "subscription_ids")

    def __init__(
        self, messages: list[Message], qos_max: int, subscription_ids: tuple[int, ...], cursor: RetainedCursor
    ) -> None:
        self._at = 0
        self._messages = messages
        self.qos_max = qos_max  # granted to the subscription
        self.subscription_ids = subscription_ids
        self.cursor = cursor

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

    def add(self, messages: list[Message]) -> None:
        """More was read; what was read before is all taken."""
        assert not len(self)
        self._messages = messages
        self._at = 0

    def rest(self) -> list[Message]:
        """What is read and not taken."""
        return self._messages[self._at :]

    def is_over(self) -> bool:
        """Nothing is left, neither read nor to be read."""
        return self.cursor.bound is None and self._at == len(self._messages)

    def __len__(self) -> int:
        """Messages that are read and not taken."""
        return len(self._messages) - self._at
