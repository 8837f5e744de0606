"""When each connection must have been heard of: connect timeout and Keep Alive, one heap entry a connection."""

from heapq import heappop, heappush
from typing import final


@final
class Deadlines:
    """Connections by the time at which they must be looked at again. Nothing is moved when a packet arrives: whoever is
    due and was heard of meanwhile is simply put back."""

    __slots__ = ("_heap",)

    def __init__(self) -> None:
        self._heap: list[tuple[int, int]] = []  # (deadline_ms, conn_id)

    def add(self, deadline_ms: int, conn_id: int) -> None:
        """Look at the connection at that time."""
        heappush(self._heap, (deadline_ms, conn_id))

    def take_due(self, now_ms: int) -> list[int]:
        """Connections whose time has come; each is out of the heap until it is added again."""
        due: list[int] = []
        heap = self._heap
        while heap and heap[0][0] <= now_ms:
            due.append(heappop(heap)[1])
        return due

    def next_ms(self) -> int:
        """The earliest deadline, 0 for none."""
        return self._heap[0][0] if self._heap else 0
