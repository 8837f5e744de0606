"""The laws of a cluster, looked at from outside after every turn of a node: one leader a term, nothing counted as
committed that a quorum of disks does not hold, numbers that only grow. Source: FAULTS R1, R7, R8, R11.

Costs what has changed. The laws of entries and states are in `witness`, all laws of consensus alone in `raft_oracles`.
"""

from typing import final

from quantum.core.node.node import Node
from quantum.core.raft.membership import Membership
from quantum.sim import inside
from quantum.sim.host import Host
from quantum.sim.marks import Marks
from quantum.sim.promises import Promises
from quantum.sim.recovery_oracle import RecoveryOracle
from quantum.sim.synced_log import SyncedLog


@final
class _Seen:
    """What one life of one node showed last."""

    __slots__ = ("commit", "incarnation", "role", "term")

    def __init__(self, incarnation: int) -> None:
        self.incarnation = incarnation
        self.term = 0
        self.role = 0
        self.commit = 0


@final
class Laws:
    """The memory of a run."""

    __slots__ = (
        "_book",
        "_leaders",
        "_logs",
        "_marks",
        "_recoveries",
        "_seen",
        "committed",
        "elections",
        "exposed_index",
        "leader_change_us",
        "terms",
    )

    def __init__(self, book: Promises, marks: Marks, logs: dict[int, SyncedLog]) -> None:
        self._book = book
        self._marks = marks
        self._logs = logs  # by node
        self._recoveries = RecoveryOracle(book.book)
        self._seen: dict[int, _Seen] = {}
        self._leaders: dict[int, int] = {}  # term → node
        self.committed: dict[int, int] = {}  # index → term
        self.exposed_index = 0
        self.elections = 0
        self.leader_change_us = 0  # when somebody last became leader
        self.terms: dict[int, int] = {}  # node → the greatest term it acted in

    def after_turn(self, host: Host, node: Node, now_us: int) -> None:
        """The numbers of a replica against what they were."""
        role, term, commit, applied, durable = inside.plain_numbers(node)
        seen = self._seen.get(host.number)
        if seen is None or seen.incarnation != host.incarnation:
            seen = self._seen[host.number] = _Seen(host.incarnation)
            log = self._logs[host.number]
            self._recoveries.on_started(host.number, log, inside.raft_of(node), was_damaged=host.disk.was_damaged)
        if term != seen.term or role != seen.role:
            self._check_term(host, seen, role, term, now_us)
        if commit < seen.commit:
            self._book.violate("R8", f"node {host.number} had commit index {seen.commit}", f"it has {commit}")
        if not applied <= commit or not applied <= durable:
            self._book.violate(
                "R11",
                "applied <= commit and applied <= durable",
                f"node {host.number} has applied {applied}, commit {commit}, durable {durable}",
            )
        seen.commit = commit
        if commit > self.exposed_index:
            self._check_durable(host, node, commit)

    def _check_term(self, host: Host, seen: _Seen, role: int, term: int, now_us: int) -> None:
        if term < seen.term:
            self._book.violate("R8", f"node {host.number} was in term {seen.term}", f"it is in term {term}")
        if inside.is_leader_role(role):
            known = self._leaders.setdefault(term, host.number)
            if known != host.number:
                self._book.violate("R1", f"node {known} led in term {term}", f"node {host.number} leads in it as well")
            if not inside.is_leader_role(seen.role) or seen.term != term:
                self.elections += 1
                self.leader_change_us = now_us
                self._marks.sometimes("cluster.leader.elected")
                self._marks.sometimes_if(self.elections > 1, "cluster.leader.changed")
        elif inside.is_leader_role(seen.role):
            self._marks.sometimes("cluster.leader.stepped-down")
        seen.term = term
        seen.role = role

    def _check_durable(self, host: Host, node: Node, commit: int) -> None:
        """R7: at its first exposure a committed entry is durable on a quorum of every set of voters in force."""
        raft = inside.raft_of(node)
        first = max(self.exposed_index, raft.log.base_index) + 1
        for index in range(first, commit + 1):
            term = raft.log.term_at(index)
            self.committed[index] = term
            # The paper counts by the membership in force, also for entries in front of it. thesis §4.3
            wanting = [self._wanting(each, index, term) for each in (raft.membership_at(index), raft.membership)]
            if all(wanting):
                self._book.violate(
                    "R7",
                    f"node {host.number} exposed commit index {commit} to {wanting[0]}",
                    f"entry {index} of term {term} is not durable on a quorum of them",
                )
                return
        self.exposed_index = commit

    def _wanting(self, membership: Membership, index: int, term: int) -> str:
        """The set of voters that has no quorum with the entry, and who has it; "" when each set has one."""
        for voters in (membership.voters, membership.outgoing):
            holders = [number for number in voters if self._logs[number].had(index, term)]
            if voters and 2 * len(holders) <= len(voters):
                return f"voters {list(voters)}, of whom {holders} have it"
        return ""
