"""The copies a replicated session is owed and was not yet sent, first in first out."""

from collections import deque
from dataclasses import dataclass
from typing import final

from quantum.core.broker.message import Message
from quantum.core.broker.retained_run import RetainedRun


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

    __slots__ = ("_count", "_items")

    def __init__(self) -> None:
        # An empty deque takes 600 bytes, and most sessions never wait for anything.
        self._items: deque[Copy | RetainedRun] | None = None
        self._count = 0  # of copies; those of the runs as far as they are read

    def append(self, copy: Copy) -> None:
        if self._items is None:
            self._items = deque()
        self._items.append(copy)
        self._count += 1

    def append_run(self, run: RetainedRun) -> None:
        """As if a copy of each of its messages were appended, read or not; none of them at QoS 0."""
        assert not run.is_over()
        if self._items is None:
            self._items = deque()
        self._items.append(run)
        self._count += len(run)

    def pop_first(self) -> Copy:
        items = self._items
        assert items is not None
        self._count -= 1
        item = items[0]
        if isinstance(item, RetainedRun):
            copy = _copy_of(item, item.pop())
            if item.is_over():
                items.popleft()
            return copy
        items.popleft()
        return item

    def unread(self) -> RetainedRun | None:
        """The run that must be read before anything else can be sent, if there is one."""
        items = self._items
        if not items:
            return None
        item = items[0]
        return item if isinstance(item, RetainedRun) and not len(item) else None

    def on_read(self, messages: list[Message]) -> None:
        """What was read for the run that `unread` gave."""
        items = self._items
        assert items
        run = items[0]
        assert isinstance(run, RetainedRun)
        run.add(messages)
        self._count += len(messages)
        if run.is_over():
            items.popleft()

    def take_all(self) -> list[Copy]:
        """Return every copy in order, and be empty; what is not read yet was owed by nobody but the store."""
        taken = self.to_list()
        self._items = None
        self._count = 0
        return taken

    def unread_runs(self) -> list[tuple[int, RetainedRun]]:
        """The runs that are not read to their end, each with the number of copies in `to_list` before its unread rest."""
        runs: list[tuple[int, RetainedRun]] = []
        count = 0
        for item in self._items or ():
            if isinstance(item, RetainedRun):
                count += len(item)
                if item.cursor.bound is not None:
                    runs.append((count, item))
            else:
                count += 1
        return runs

    def is_empty(self) -> bool:
        """Nothing waits, read or not, so a copy may be sent without overtaking another."""
        return not self._items

    def to_list(self) -> list[Copy]:
        copies: list[Copy] = []
        for item in self._items or ():
            if isinstance(item, RetainedRun):
                copies.extend([_copy_of(item, message) for message in item.rest()])
            else:
                copies.append(item)
        return copies

    def __len__(self) -> int:
        return self._count


def _copy_of(run: RetainedRun, message: Message) -> Copy:
    return Copy(message, run.qos_of(message), True, run.subscription_ids, "")
