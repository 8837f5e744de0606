"""R1 and R2: at most one leader in a term, at most one vote of each voter in a term, over all lives of all replicas.

Votes are known from the disks and from what leaves a replica. Source: FAULTS R1, R2, R8.
"""

from typing import final

from quantum.sim.raft_disk import RaftDisk
from quantum.sim.raft_laws import broken
from quantum.sim.raft_watch import Watch


@final
class Ballots:
    """The memory of all terms."""

    __slots__ = ("_terms_kept", "_unsent", "grants", "leaders")

    def __init__(self) -> None:
        self.leaders: dict[int, int] = {}  # by term
        self.grants: dict[int, dict[int, int]] = {}  # term -> voter -> candidate
        self._unsent: dict[int, dict[int, bool]] = {}  # by voter: terms in which only its disk knows its vote
        self._terms_kept: dict[int, int] = {}  # the greatest term a node's disk confirmed: R8

    def on_start(self, node: int, term: int, *, is_vote_doubtful: bool) -> None:
        """A process begins: in no earlier term than it promised to remember."""
        if is_vote_doubtful:
            self.on_wiped(node)
            self._terms_kept.pop(node, None)
        kept = self._terms_kept.get(node, 0)
        if term < kept:
            broken("R8", f"node {node} had term {kept} durable", f"it started in term {term} without doubting it")

    def on_synced(self, node: int, disk: RaftDisk) -> None:
        """A batch is durable."""
        term = disk.confirmed_term
        if term > self._terms_kept.get(node, 0):
            self._terms_kept[node] = term
        if disk.held.is_tail_doubtful:
            disk.doubt_term = disk.held.term
        if disk.held.vote not in (0, node):
            self.on_vote(node, disk.held.term, disk.held.vote, is_sent=False)

    def check_elected(self, watch: Watch, term: int) -> dict[int, int]:
        """R2 of a new leader; returns the votes of its term."""
        node = watch.node
        votes = self.grants.get(term, {})
        if votes.get(node, node) != node:
            broken(
                "R2", f"node {node} voted for {votes[node]} in term {term}", "it was elected in it, by itself as well"
            )
        return votes

    def on_vote(self, voter: int, term: int, candidate: int, *, is_sent: bool) -> None:
        """R2: one vote in a term, over all lives. A vote that never left may be forgotten with a disk."""
        votes = self.grants.get(term)
        if votes is None:
            votes = self.grants[term] = {}
        known = votes.get(voter)
        if known is None:
            votes[voter] = candidate
            if not is_sent:
                self._unsent.setdefault(voter, {})[term] = True
        elif known != candidate:
            where = "a reply" if is_sent else "its disk"
            broken("R2", f"node {voter} voted for {known} in term {term}", f"in {where} it voted for {candidate}")
        elif is_sent and voter in self._unsent:
            self._unsent[voter].pop(term, None)

    def on_wiped(self, node: int) -> None:
        """Its disk forgot: votes that nobody heard of are void."""
        for term in self._unsent.pop(node, {}):
            if self.leaders.get(term) != node:
                self.grants[term].pop(node, None)

    def lead(self, node: int, term: int) -> None:
        """R1."""
        known = self.leaders.get(term)
        if known is None:
            self.leaders[term] = node
        elif known != node:
            broken("R1", f"node {known} led in term {term}", f"node {node} leads in it as well")
