"""ReadIndex: what is committed when a read is asked for, confirmed by a quorum that still follows this leader.

A read waits until the leader has committed in its own term, then notes the commit index, then waits for a round of
heartbeats that was begun after that. Source: Raft §8, thesis §6.4.
"""

from collections import deque
from typing import final


@final
class Reads:
    """The reads a leader has under way."""

    __slots__ = ("_confirming", "_early", "done", "sequence")

    def __init__(self) -> None:
        self.sequence = 0  # of the last round of heartbeats that reads wait for; every round has a new one
        self._early: list[tuple[int, int]] = []  # (requester, context): nothing of this term is committed yet
        self._confirming: deque[tuple[int, int, int, int]] = deque()  # (sequence, requester, context, index)
        self.done: list[tuple[int, int, int]] = []  # (requester, context, index); index 0 for a refusal

    def add_early(self, requester: int, context: int) -> None:
        """A read before the leader knows what is committed."""
        self._early.append((requester, context))

    def add(self, requester: int, context: int, commit_index: int) -> None:
        """A read; the next round of heartbeats carries `sequence`."""
        self.sequence += 1
        self._confirming.append((self.sequence, requester, context, commit_index))

    def take_early(self) -> list[tuple[int, int]]:
        """Reads that waited for the first commit of the term."""
        early = self._early
        self._early = []
        return early

    def on_confirmed(self, sequence: int) -> None:
        """A quorum followed this leader when it saw the round `sequence`."""
        confirming = self._confirming
        while confirming and confirming[0][0] <= sequence:
            _, requester, context, index = confirming.popleft()
            self.done.append((requester, context, index))

    def fail(self) -> None:
        """This leader leads no more."""
        for requester, context in self._early:
            self.done.append((requester, context, 0))
        for _, requester, context, _ in self._confirming:
            self.done.append((requester, context, 0))
        self._early = []
        self._confirming.clear()

    def __len__(self) -> int:
        return len(self._early) + len(self._confirming)

    @property
    def is_confirming(self) -> bool:
        """A round of heartbeats is owed to reads."""
        return len(self._confirming) > 0


@final
class AskedReads:
    """The reads a follower asked of its leader; the question or the answer may be lost."""

    __slots__ = ("due_ms",)

    def __init__(self) -> None:
        self.due_ms: dict[int, int] = {}  # by context, in the order in which they were asked

    def add(self, context: int, due_ms: int) -> None:
        """Asked; given up at `due_ms`, which never falls from one to the next."""
        self.due_ms[context] = due_ms

    def remove(self, context: int) -> bool:
        """Answered; False when nobody waits for it any more."""
        return self.due_ms.pop(context, 0) > 0

    def take_due(self, now_ms: int) -> list[int]:
        """Contexts that waited long enough."""
        due = [context for context, due_ms in self.due_ms.items() if due_ms <= now_ms]
        for context in due:
            del self.due_ms[context]
        return due

    def take_all(self) -> list[int]:
        """Whoever was asked leads no more."""
        contexts = list(self.due_ms)
        self.due_ms = {}
        return contexts

    @property
    def deadline_ms(self) -> int:
        """When the first is due, 0 for never."""
        for due_ms in self.due_ms.values():
            return due_ms
        return 0

    def __len__(self) -> int:
        return len(self.due_ms)
