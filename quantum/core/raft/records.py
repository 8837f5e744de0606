"""What a replica asks to be made durable, in order. Entries stand for themselves."""

from dataclasses import dataclass
from typing import final

from quantum.core.raft.entry import Entry
from quantum.core.raft.membership import Membership


@final
@dataclass(slots=True)
class HardStateRecord:
    """The term and the vote in it, and whether the replica still doubts the end of its log.

    Source: Raft figure 2, persistent state.
    """

    term: int
    voted_for: int
    is_tail_doubtful: bool = False


@final
@dataclass(slots=True)
class TruncateRecord:
    """Entries from `index` on are gone."""

    index: int


@final
@dataclass(slots=True)
class RepairRecord:
    """An entry that was lost here, as a peer has it; it takes its old place and changes nothing behind it."""

    entry: Entry


@final
@dataclass(slots=True)
class SnapshotRecord:
    """The log begins anew behind a snapshot that a peer sent and that is durable here."""

    index: int
    term: int
    membership: Membership


Record = HardStateRecord | TruncateRecord | RepairRecord | SnapshotRecord | Entry
