"""Simulated time: what is due next. Time jumps from event to event; nothing ticks.

Events of one instant come in an order drawn from a stream of their own, so that no code can rest on luck. Times are
microseconds since the run began.
"""

from heapq import heappop, heappush
from typing import Final, final

from quantum.core.prng import Prng

# What an event is for; the world dispatches on it.
NODE_TURN: Final = 0
DISK_STEP: Final = 1
TO_NODE: Final = 2
TO_CLIENT: Final = 3
CLIENT_DUE: Final = 4
FAULT_DUE: Final = 5
NODE_START: Final = 6
READER_RESUMES: Final = 7
PEER_FRAME: Final = 8
FAULT_ENDS: Final = 9

# (at_us, tie, sequence, kind, number, payload)
Due = tuple[int, int, int, int, int, object]


@final
class Scheduler:
    """A heap of what is to come, and the present."""

    __slots__ = ("_heap", "_sequence", "_ties", "count", "now_us")

    def __init__(self, ties: Prng) -> None:
        self._heap: list[Due] = []
        self._sequence = 0
        self._ties = ties
        self.now_us = 0
        self.count = 0

    def push(self, at_us: int, kind: int, number: int, payload: object = None) -> None:
        """`at_us` in the past means now."""
        self._sequence = sequence = self._sequence + 1
        if at_us < self.now_us:
            at_us = self.now_us
        heappush(self._heap, (at_us, self._ties.u64() >> 48, sequence, kind, number, payload))

    def pop(self, until_us: int) -> Due | None:
        """The next event up to `until_us`; None when there is none, and then it is `until_us`."""
        heap = self._heap
        if not heap or heap[0][0] > until_us:
            self.now_us = max(self.now_us, until_us)
            return None
        due = heappop(heap)
        self.now_us = due[0]
        self.count += 1
        return due
