"""Deadlines in replicated time: what is due, in one order that every replica and every restored replica agrees on.

The heap may hold entries that were withdrawn or replaced; `_deadline_ms` says which one counts. Nothing here is
encoded: after a restore the deadlines are set again from the records they belong to.

A hundred thousand sessions may end at the same millisecond, and nobody else may wait for that. So an entry does so much
of what is due and no more, and the next ones go on. Until then it is overdue: who asks for it finds it as if it were done.
"""

import heapq
from typing import Final, final

# What becomes due. Things due at the same millisecond happen by name, then in this order.
WILL_DELAY: Final = 0  # name: Client Identifier
SESSION_EXPIRY: Final = 1  # name: Client Identifier
RETAINED_EXPIRY: Final = 2  # name: Topic Name
SEND_MORE: Final = 3  # name: Client Identifier of a session that is owed more than an entry may read or send

AT_ONCE_MS: Final = 1  # a deadline that is due whatever the time
DUE_STEPS: Final = 512  # done of what is due with one entry, and no more begun: some milliseconds

WITHDRAWN_MIN: Final = 64  # fewer withdrawn heap entries than this are not worth a clean-up


@final
class Deadlines:
    """One deadline for each (kind, name)."""

    __slots__ = ("_deadline_ms", "_heap")

    def __init__(self) -> None:
        self._deadline_ms: dict[tuple[int, str], int] = {}
        self._heap: list[tuple[int, str, int]] = []

    def set(self, kind: int, name: str, deadline_ms: int) -> None:
        """Set or move a deadline."""
        key = (kind, name)
        if self._deadline_ms.get(key) == deadline_ms:
            return
        self._deadline_ms[key] = deadline_ms
        heapq.heappush(self._heap, (deadline_ms, name, kind))
        self._bound()

    def withdraw(self, kind: int, name: str) -> None:
        """Forget a deadline, if there is one."""
        if self._deadline_ms.pop((kind, name), 0):
            self._bound()

    def first_ms(self) -> int:
        """The earliest deadline, 0 for none."""
        heap = self._heap
        while heap:
            deadline_ms, name, kind = heap[0]
            if self._deadline_ms.get((kind, name)) == deadline_ms:
                return deadline_ms
            heapq.heappop(heap)
        return 0

    def pop_due(self, now_ms: int) -> tuple[int, str] | None:
        """Take the first (kind, name) that is due at `now_ms`."""
        first_ms = self.first_ms()
        if first_ms == 0 or first_ms > now_ms:
            return None
        _, name, kind = heapq.heappop(self._heap)
        del self._deadline_ms[(kind, name)]
        return kind, name

    def __len__(self) -> int:
        return len(self._deadline_ms)

    def heap_size(self) -> int:
        """Heap entries, withdrawn ones included; at most twice the deadlines and `WITHDRAWN_MIN`."""
        return len(self._heap)

    def _bound(self) -> None:
        # A client that reconnects every second withdraws a deadline that lies a day ahead each time (law BOUND).
        if len(self._heap) > 2 * len(self._deadline_ms) + WITHDRAWN_MIN:
            self._heap = [(deadline_ms, name, kind) for (kind, name), deadline_ms in self._deadline_ms.items()]
            heapq.heapify(self._heap)


def is_overdue(deadline_ms: int, stamp_ms: int) -> bool:
    """Whether something was to happen by now; 0 for never."""
    return 0 < deadline_ms <= stamp_ms
