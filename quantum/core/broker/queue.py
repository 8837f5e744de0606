"""The copies a replicated session is owed and was not yet sent, first in first out."""

from collections import deque
from dataclasses import dataclass
from typing import final

from quantum.core.broker.message import Message


@final
@dataclass(init=False, slots=True, eq=False)
class Copy:
    """One message owed to one session with QoS 1 or 2, from its creation to its last acknowledgement."""

    message: Message
    qos: int  # of this delivery: the lower of the message's and the subscription's
    retain: bool
    subscription_ids: tuple[int, ...]
    shared_filter: str  # "" unless the session was chosen from this shared group
    size: int  # as counted by queue_bytes_max
    state: int  # while in flight, see inflight.py

    def __init__(
        self,
        message: Message,
        qos: int,
        retain: bool,
        subscription_ids: tuple[int, ...],
        shared_filter: str,
    ) -> None:
        self.message = message
        self.qos = qos
        self.retain = retain
        self.subscription_ids = subscription_ids
        self.shared_filter = shared_filter
        self.size = size_of(message)
        self.state = 0


def size_of(message: Message) -> int:
    """What a message counts for in queue_bytes_max and retained_bytes_max: payload plus topic, in bytes."""
    topic_name = message.topic_name
    if topic_name.isascii():
        return len(message.payload) + len(topic_name)
    return len(message.payload) + len(topic_name.encode())


@final
class Queue:
    """Copies in the order they are to be sent."""

    __slots__ = ("_copies",)

    def __init__(self) -> None:
        # An empty deque takes 600 bytes, and most sessions never wait for anything.
        self._copies: deque[Copy] | None = None

    def append(self, copy: Copy) -> None:
        if self._copies is None:
            self._copies = deque()
        self._copies.append(copy)

    def pop_first(self) -> Copy:
        copies = self._copies
        assert copies is not None
        return copies.popleft()

    def take_all(self) -> list[Copy]:
        """Return everything in order, and be empty."""
        taken = self.to_list()
        self._copies = None
        return taken

    def to_list(self) -> list[Copy]:
        return [] if self._copies is None else list(self._copies)

    def __len__(self) -> int:
        return 0 if self._copies is None else len(self._copies)
