"""When each connection must have been heard of: connect timeout and Keep Alive, one deadline a connection.

The heap may hold entries that were replaced or withdrawn; `_deadline_ms` says which one counts.
"""

from heapq import heapify, heappop, heappush
from typing import Final, final

WITHDRAWN_MIN: Final = 64  # fewer heap entries that do not count are not worth a clean-up


@final
class Deadlines:
    """Connections by the time at which they must be looked at again. Nothing is moved when a packet arrives: whoever is
    due and was heard of meanwhile is simply put back."""

    __slots__ = ("_deadline_ms", "_heap")

    def __init__(self) -> None:
        self._deadline_ms: dict[int, int] = {}  # conn_id → deadline_ms
        self._heap: list[tuple[int, int]] = []  # (deadline_ms, conn_id)

    def set(self, deadline_ms: int, conn_id: int) -> None:
        """Look at the connection at that time, and not when it was to be looked at before."""
        self._deadline_ms[conn_id] = deadline_ms
        heappush(self._heap, (deadline_ms, conn_id))
        self._bound()

    def withdraw(self, conn_id: int) -> None:
        """The connection is gone."""
        if self._deadline_ms.pop(conn_id, 0):
            self._bound()

    def take_due(self, now_ms: int) -> list[int]:
        """Connections whose time has come; each has no deadline until it is set again."""
        due: list[int] = []
        while 0 < self.next_ms() <= now_ms:
            conn_id = heappop(self._heap)[1]
            del self._deadline_ms[conn_id]
            due.append(conn_id)
        return due

    def next_ms(self) -> int:
        """The earliest deadline, 0 for none."""
        heap = self._heap
        while heap:
            deadline_ms, conn_id = heap[0]
            if self._deadline_ms.get(conn_id) == deadline_ms:
                return deadline_ms
            heappop(heap)
        return 0

    def heap_size(self) -> int:
        """Heap entries; at most twice the connections with a deadline, and `WITHDRAWN_MIN`."""
        return len(self._heap)

    def _bound(self) -> None:
        # A Keep Alive is up to a day long, and a client may come and go every few milliseconds (law BOUND).
        if len(self._heap) > 2 * len(self._deadline_ms) + WITHDRAWN_MIN:
            self._heap = [(deadline_ms, conn_id) for conn_id, deadline_ms in self._deadline_ms.items()]
            heapify(self._heap)
