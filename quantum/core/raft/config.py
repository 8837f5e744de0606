"""The tunables of consensus. Times in milliseconds, sizes in bytes."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(slots=True)
class RaftConfig:
    """The defaults suit nodes of one region, with pauses of a second taken for a slow node and not for a dead one."""

    election_timeout_ms: int = 1000  # a follower waits this long, and up to twice as long by chance. Raft §5.2
    heartbeat_interval_ms: int = 150  # an idle leader speaks this often
    append_bytes_max: int = 1_048_576  # entry data in one AppendEntries; one larger entry travels alone
    append_entries_max: int = 1024
    inflight_appends_max: int = 64  # AppendEntries under way to one follower. thesis §10.2.1
    inflight_bytes_max: int = 16_777_216
    uncommitted_bytes_max: int = 67_108_864  # entry data a leader holds without a quorum, before it refuses more
    fetch_entries_max: int = 256  # lost entries asked of a peer at once
    reads_max: int = 65_536  # under way at one replica, before it refuses more
    idle_after_ms: int = 0  # a leader with nothing to do falls silent after this long; 0 never

    def __post_init__(self) -> None:
        # A leader must be able to miss a heartbeat or two without losing its office.
        assert self.election_timeout_ms >= 3 * self.heartbeat_interval_ms
        assert self.append_bytes_max > 0
        assert self.append_entries_max > 0
        assert self.inflight_appends_max > 0
        assert self.reads_max > 0
        assert self.idle_after_ms == 0 or self.idle_after_ms >= self.heartbeat_interval_ms
