"""Events as JSON lines on a file descriptor, without ever making the loop wait for whoever reads them.

A reader that is too slow loses lines, counted; so does an event name that comes too often in one second.
"""

import os
import select
from typing import Final, final

import msgspec

from quantum.core.events import Event
from quantum.io.reactor import wall_ms

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
LINES_PER_SECOND_MAX: Final = 100  # of one event name
_NAMES: Final = {10: "debug", 20: "info", 30: "warning", 40: "error"}
_PIPE_BYTES: Final = 4096  # PIPE_BUF: a descriptor that polls writable takes this much without blocking


@final
class EventLog:
    """Writes events at or above a level."""

    __slots__ = ("_counts", "_encoder", "_fd", "_level", "_second", "dropped_count")

    def __init__(self, fd: int, level: int) -> None:
        self._fd = fd
        self._level = level
        self._encoder = msgspec.json.Encoder()
        self._second = 0
        self._counts: dict[str, int] = {}  # lines of each name in this second
        self.dropped_count = 0

    def write(self, events: list[Event]) -> None:
        """Write the events of one turn."""
        now_ms = wall_ms()
        if now_ms // 1000 != self._second:
            self._second = now_ms // 1000
            lines = self._summaries(now_ms)
            self._counts = {}
        else:
            lines = []
        for event in events:
            if event.level >= self._level:
                count = self._counts.get(event.name, 0) + 1
                self._counts[event.name] = count
                if count <= LINES_PER_SECOND_MAX or event.level >= LEVELS["error"]:
                    lines.append(self._line(now_ms, event))
        for line in lines:
            self._put(line)

    def _summaries(self, now_ms: int) -> list[bytes]:
        """What the last second held back."""
        return [
            self._line(now_ms, Event("events_held_back", 30, None, {"name": name, "count": n - LINES_PER_SECOND_MAX}))
            for name, n in self._counts.items()
            if n > LINES_PER_SECOND_MAX
        ]

    def _line(self, now_ms: int, event: Event) -> bytes:
        line: dict[str, str | int] = {
            "ts_ms": now_ms,
            "level": _NAMES.get(event.level, str(event.level)),
            "event": event.name,
        }
        if event.cause is not None:
            line["cause"] = event.cause.id
        line.update(event.fields)
        return self._encoder.encode(line) + b"\n"

    def _put(self, line: bytes) -> None:
        try:
            for at in range(0, len(line), _PIPE_BYTES):
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                if not poll.poll(0):
                    self.dropped_count += 1
                    return
                os.write(self._fd, line[at : at + _PIPE_BYTES])
        except OSError:
            self.dropped_count += 1  # nobody reads any more; the broker goes on
