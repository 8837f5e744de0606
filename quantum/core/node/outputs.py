"""What the world is asked to do: the one form in which the core reaches it.

Lists of different destinations have no order among them; a driver may carry them out as it likes. What may only happen
after something else is held back inside the core.
"""

from dataclasses import dataclass, field
from typing import final

from quantum.core.events import Event
from quantum.core.wal.requests import DiskRequest


@final
@dataclass(slots=True)
class AdminReply:
    """The answer to an `AdminRequest`; `body` becomes JSON."""

    number: int
    status: int
    body: dict[str, object] | None = None


@final
@dataclass(slots=True)
class Outputs:
    """All that follows from one turn."""

    writes: list[tuple[int, bytes]] = field(default_factory=list)  # (conn_id, bytes): at most one per connection
    closes: list[int] = field(default_factory=list)  # after their writes; the driver still reports `closed`, once
    pauses: list[int] = field(default_factory=list)  # stop reading these connections
    resumes: list[int] = field(default_factory=list)
    disk: list[DiskRequest] = field(default_factory=list)
    admin: list[AdminReply] = field(default_factory=list)
    peer_frames: list[tuple[int, bytes]] = field(default_factory=list)  # (node number, frame)
    events: list[Event] = field(default_factory=list)
    deadline_ms: int = 0  # monotonic; call again by then even if nothing happens; 0 for no need
    is_ready: bool = False  # in the one turn in which the node begins to serve
    is_stopped: bool = False  # everything is written and closed: the process may end
    failure: str = ""  # not empty: the node fenced itself; the process ends with an exit code other than 0

    def clear(self) -> None:
        self.writes = []
        self.closes = []
        self.pauses = []
        self.resumes = []
        self.disk = []
        self.admin = []
        self.peer_frames = []
        self.events = []
        self.deadline_ms = 0
        self.is_ready = False
        self.is_stopped = False
        self.failure = ""
