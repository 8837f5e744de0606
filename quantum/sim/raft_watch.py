"""What the oracles of a lite run remember of one life of one replica, and how they speak of what they see."""

from typing import final

from quantum.core.raft.entry import LOST, Entry
from quantum.core.raft.membership import Membership
from quantum.core.raft.progress import Progress
from quantum.core.raft.raft import Raft
from quantum.core.raft.recovered import Recovered
from quantum.sim.raft_disk import RaftDisk
from quantum.sim.raft_log_image import LogImage


@final
class Watch:
    """What the oracles remember of one life of one replica."""

    __slots__ = (
        "applied_index",
        "commit_index",
        "disk",
        "durable_index",
        "image",
        "incarnation",
        "is_vote_doubtful",
        "leader_term",
        "matches",
        "node",
        "raft",
        "role",
        "term",
        "vote",
    )

    def __init__(self, node: int, incarnation: int, raft: Raft, disk: RaftDisk, recovered: Recovered) -> None:
        self.node = node
        self.incarnation = incarnation
        self.raft = raft
        self.disk = disk
        self.image = LogImage()
        self.image.load(recovered)
        self.is_vote_doubtful = recovered.is_vote_doubtful  # as it started
        self.term = recovered.current_term
        self.vote = recovered.voted_for
        self.role = raft.role
        self.leader_term = 0
        self.commit_index = recovered.snapshot_index
        self.applied_index = recovered.snapshot_index
        self.durable_index = 0
        self.matches: dict[int, tuple[Progress, int]] = {}


def said(entry: Entry | None) -> str:
    if entry is None:
        return "nothing"
    if entry.kind == LOST:
        return "a lost entry"
    return f"{len(entry.data)} bytes {entry.data[:8].hex()} of kind {entry.kind}, term {entry.term}"


def members_of(membership: Membership) -> str:
    joint = f" and {list(membership.outgoing)}" if membership.outgoing else ""
    learners = f" with learners {list(membership.learners)}" if membership.learners else ""
    return f"voters {list(membership.voters)}{joint}{learners}"
