"""What the disk says of a group's replica when its node starts, and what it can no longer say."""

from dataclasses import dataclass, field
from typing import final

from quantum.core.raft.entry import Entry
from quantum.core.raft.membership import Membership


@final
@dataclass(slots=True)
class Recovered:
    """A replica as its log and snapshot left it. Doubts are settled with the peers, see `doubt`."""

    current_term: int
    voted_for: int
    snapshot_index: int
    snapshot_term: int
    membership: Membership  # as of the snapshot, or the one the group began with
    entries: list[Entry] = field(default_factory=list)  # ascending from snapshot_index + 1; the last is never LOST
    is_tail_doubtful: bool = False  # entries behind the last may have been durable here
    is_vote_doubtful: bool = False  # a later term or vote may have been durable here
    is_snapshot_lost: bool = False  # the state as of snapshot_index is damaged
