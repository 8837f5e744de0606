"""What the node asks of its disk, and what the disk answers. Names are relative to the data directory, with `/`.

Requests of one lane complete in order; the two lanes are independent. `done` means durable where the request says so.
A failed write or sync is final: whoever is told of it never counts on that disk again (FAULTS W7).
"""

from dataclasses import dataclass
from typing import Final, final

LOG_LANE: Final = 0
BACKGROUND_LANE: Final = 1


@final
@dataclass(slots=True)
class ListFiles:
    """All files below the data directory, ascending by name, as `DiskDone.files`. Every directory is synced before, so
    that what is listed is there after a power loss too."""

    number: int
    lane: int = LOG_LANE


@final
@dataclass(slots=True)
class ReadFile:
    """`size` bytes from `offset`, or fewer at the end of the file, as `DiskDone.data`."""

    number: int
    name: str
    offset: int
    size: int
    lane: int = LOG_LANE


@final
@dataclass(slots=True)
class AppendLog:
    """Write `data` at `offset` of a file that exists and is large enough, then fdatasync it. Done means durable."""

    number: int
    name: str
    offset: int
    data: bytes
    lane: int = LOG_LANE


@final
@dataclass(slots=True)
class CreateFile:
    """Create a file of `size` zero bytes, written out, synced, its directory entry synced. Done means durable."""

    number: int
    name: str
    size: int
    lane: int = BACKGROUND_LANE


@final
@dataclass(slots=True)
class WriteFile:
    """Publish a whole file atomically: temporary name, write, sync, rename, sync of the directory. Done means durable."""

    number: int
    name: str
    data: bytes
    lane: int = BACKGROUND_LANE


@final
@dataclass(slots=True)
class DeleteFiles:
    """Delete files (and directories that become empty), then sync the directories. A missing file is no error."""

    number: int
    names: list[str]
    lane: int = BACKGROUND_LANE


DiskRequest = ListFiles | ReadFile | AppendLog | CreateFile | WriteFile | DeleteFiles


@final
@dataclass(slots=True)
class DiskDone:
    """The request `number` ended; `error` says how it failed, "" when it did not."""

    number: int
    error: str = ""
    data: bytes = b""
    files: list[tuple[str, int]] | None = None  # (name, size)
