"""What was refused, dropped, throttled or closed lately, and why: the counters behind `/why` and the cause metrics.

Everything that happens to a client for a reason passes through `note`, under the id of that reason (law CAUSE).
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, final

from quantum.core.causes import ALL_CAUSES, Cause
from quantum.core.events import Event

RECENT_MAX: Final = 256  # outcomes that `/why` can show
EVENTS_MAX: Final = 64  # lines a turn; what happens more often is counted, not told
CLIENT_ID_SHOWN_MAX: Final = 128  # characters
DETAIL_SHOWN_MAX: Final = 256  # characters; what a client sent may stand in it, and strangers send 64 KiB of it


@final
@dataclass(slots=True)
class Outcome:
    """One thing that happened for a cause."""

    wall_ms: int
    cause: Cause
    client_id: str
    detail: str


@final
class CauseLedger:
    """Counts per cause, and the latest outcomes."""

    __slots__ = ("_recent", "counts", "events", "wall_ms")

    def __init__(self) -> None:
        self.wall_ms = 0
        self.counts: dict[int, int] = {}  # Cause.number → how often
        self.events: list[Event] = []
        self._recent: deque[Outcome] = deque(maxlen=RECENT_MAX)

    def count(self, cause: Cause, count: int) -> None:
        """Count without a line in the recent outcomes: for what happens per message."""
        self.counts[cause.number] = self.counts.get(cause.number, 0) + count

    def note(self, cause: Cause, client_id: str, detail: str) -> None:
        """Count one outcome and remember it."""
        self.counts[cause.number] = self.counts.get(cause.number, 0) + 1
        client_id = client_id[:CLIENT_ID_SHOWN_MAX]
        detail = detail[:DETAIL_SHOWN_MAX]
        self._recent.append(Outcome(self.wall_ms, cause, client_id, detail))
        if len(self.events) < EVENTS_MAX:
            self.events.append(Event(cause.id, 20, cause, {"client_id": client_id, "detail": detail}))

    def recent(self, client_id: str | None = None) -> list[dict[str, object]]:
        """The latest outcomes, newest first; of one client when it is named."""
        return [
            {
                "wall_ms": outcome.wall_ms,
                "cause": outcome.cause.id,
                "client_id": outcome.client_id,
                "detail": outcome.detail,
                "text": outcome.cause.text,
            }
            for outcome in reversed(self._recent)
            if client_id is None or outcome.client_id == client_id[:CLIENT_ID_SHOWN_MAX]
        ]

    def totals(self) -> list[tuple[Cause, int]]:
        """Causes that occurred, in the order of the table."""
        return [(cause, self.counts[cause.number]) for cause in ALL_CAUSES if cause.number in self.counts]
