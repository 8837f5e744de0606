"""The laws of consensus, R1 to R18, checked after every event of a run and not through the product's own answers.

A replica is watched through what it asks to be durable (its image), what its disk has synced, what it lets out, and the
plain numbers of its state. Checks cost what has changed. Votes are in `raft_ballots`, entries in `raft_entries`, what
leaves a replica in `raft_gates`, what clients see in `raft_operations`. Source: FAULTS §2.2.
"""

from typing import final

from quantum.core.raft.config import RaftConfig
from quantum.core.raft.entry import LOST, MEMBERSHIP, Entry
from quantum.core.raft.membership import Membership, decode_membership
from quantum.core.raft.records import HardStateRecord, Record, RepairRecord, SnapshotRecord, TruncateRecord
from quantum.core.raft.recovered import Recovered
from quantum.core.raft.role import LEADER
from quantum.sim.marks import LEADER_CHANGE, Marks
from quantum.sim.raft_ballots import Ballots
from quantum.sim.raft_disk import RaftDisk
from quantum.sim.raft_entries import EntryLinks
from quantum.sim.raft_gates import Gates
from quantum.sim.raft_laws import broken
from quantum.sim.raft_log_image import LogImage
from quantum.sim.raft_machine import chain_after
from quantum.sim.raft_operations import Operations
from quantum.sim.raft_watch import Watch, members_of, said


@final
class RaftOracles:
    """The memory of a whole run: leaders, votes, entries and commits of all replicas and all their lives."""

    __slots__ = (
        "_disks",
        "_entries",
        "_marks",
        "_operations",
        "_terms",
        "ballots",
        "chains",
        "committed",
        "exposed_index",
        "gates",
        "max_term",
    )

    def __init__(self, config: RaftConfig, disks: dict[int, RaftDisk], operations: Operations, marks: Marks) -> None:
        self._operations = operations
        self._disks = disks  # of every identity there ever was, wiped ones as they were
        self._marks = marks
        self._entries = EntryLinks()
        self.ballots = Ballots()
        self.gates = Gates(config, self.ballots, self._entries)
        self.committed: list[Entry] = []  # committed[0] is index 1
        self._terms: list[int] = []  # in which they were committed
        self.chains: list[int] = [0]  # after each committed index
        self.exposed_index = 0
        self.max_term = 0

    # -- the life of a process ----------------------------------------------------------------------------------------

    def on_start(self, watch: Watch, recovered: Recovered) -> None:
        """A process begins with what its disk proved."""
        self.ballots.on_start(watch.node, recovered.current_term, is_vote_doubtful=recovered.is_vote_doubtful)
        before = recovered.snapshot_term
        for entry in recovered.entries:
            if entry.kind != LOST:
                self._entries.link(entry, before, f"the disk of node {watch.node}")
            before = entry.term
        self.check_whole(watch)
        self.after_event(watch)

    def check_whole(self, watch: Watch) -> None:
        """The whole log in memory is what the records say it is: R4, R10."""
        raft = watch.raft
        image = watch.image
        log = raft.log
        for index in range(max(log.first_index, image.snapshot_index + 1), image.last + 1):
            entry = log.entry(index)
            kept = image.entries.get(index)
            if kept is None or kept.term != entry.term or kept.kind != entry.kind or kept.data != entry.data:
                broken(
                    "R4",
                    f"node {watch.node} recorded {said(kept)} at {index}",
                    f"its log in memory holds {said(entry)} there",
                )
        self._check_membership(watch)

    def _check_membership(self, watch: Watch) -> None:
        if watch.raft.membership != watch.image.membership():
            broken(
                "R10",
                f"the log of node {watch.node} puts {members_of(watch.image.membership())} in force",
                f"it acts by {members_of(watch.raft.membership)}",
            )

    # -- records ------------------------------------------------------------------------------------------------------

    def on_records(self, watch: Watch, records: list[Record]) -> None:
        """A replica asks for these to be durable."""
        image = watch.image
        changes_membership = False
        for record in records:
            if isinstance(record, Entry):
                if record.index != image.last + 1:
                    broken(
                        "R4",
                        f"the log of node {watch.node} ends at {image.last}",
                        f"it appended entry {record.index} there",
                    )
                self._entries.link(record, image.term_at(image.last), f"node {watch.node}")
                if record.kind == MEMBERSHIP:
                    changes_membership = True
                    self._check_change(watch, record)
            elif isinstance(record, TruncateRecord):
                self._check_truncation(watch, record.index)
                watch.durable_index = -1  # to be looked at anew
                changes_membership = True
            elif isinstance(record, HardStateRecord):
                if record.term < image.term or (
                    record.term == image.term
                    and image.vote
                    and record.voted_for != image.vote
                    # Whoever does not know its vote gives it to nobody any more.
                    and not (watch.is_vote_doubtful and record.voted_for == watch.node)
                ):
                    broken(
                        "R8",
                        f"node {watch.node} was in term {image.term} with a vote for {image.vote}",
                        f"it went to term {record.term} with a vote for {record.voted_for}",
                    )
            elif isinstance(record, RepairRecord):
                entry = record.entry
                at = image.entries.get(entry.index)
                if at is not None and at.kind != LOST and (at.term != entry.term or at.data != entry.data):
                    self._marks.sometimes("raft.repair.over-ghost")
                self._entries.link(entry, -1, f"node {watch.node} repairing")
                changes_membership = changes_membership or entry.kind == MEMBERSHIP
            elif isinstance(record, SnapshotRecord):
                changes_membership = True
            image.apply(record)
        if changes_membership:
            self._check_membership(watch)

    def _check_truncation(self, watch: Watch, index: int) -> None:
        """R3: a leader appends only. R7: what this replica counted as committed stays."""
        if watch.raft.role == LEADER and watch.role == LEADER and watch.raft.current_term == watch.term:
            broken(
                "R3",
                f"node {watch.node} leads in term {watch.term} with {watch.image.last} entries",
                f"it truncated its own log from {index} on",
            )
        in_front = watch.image.entries.get(index - 1)
        if in_front is not None and in_front.kind == LOST:
            return  # It lost the proof of what it had, and is to doubt its tail.
        for at in range(index, min(watch.image.last, len(self.committed)) + 1):
            committed = self.committed[at - 1]
            if watch.image.term_at(at) == committed.term:
                broken(
                    "R7",
                    f"entry {at} of term {committed.term} is committed",
                    f"node {watch.node} truncated it from its log",
                )

    def _check_change(self, watch: Watch, entry: Entry) -> None:
        """R10: memberships change one step at a time, through a joint one, and one is committed before the next."""
        old = watch.image.membership()
        new = decode_membership(entry.data)
        raft = watch.raft
        if raft.role != LEADER or raft.current_term != entry.term:
            return
        uncommitted = watch.image.memberships[-1][0]
        if uncommitted > raft.commit_index and uncommitted > watch.image.snapshot_index:
            broken(
                "R10",
                f"the membership at {uncommitted} is not committed, node {watch.node} has commit index "
                f"{raft.commit_index}",
                f"it appended another at {entry.index}",
            )
        if new.outgoing:
            is_step = not old.outgoing and new.outgoing == old.voters
        else:
            is_step = new.voters == old.voters
        if not is_step:
            broken(
                "R10",
                f"{members_of(old)} was in force on node {watch.node}",
                f"entry {entry.index} replaces it by {members_of(new)}, whose quorums need not meet its",
            )

    # -- the machine --------------------------------------------------------------------------------------------------

    def on_apply(self, watch: Watch, entry: Entry, chain: int) -> None:
        """R6: an index is applied as one entry everywhere; R14: and makes one state."""
        index = entry.index
        if index != watch.applied_index + 1:
            broken(
                "R16",
                f"node {watch.node} applied up to {watch.applied_index}",
                f"it handed over entry {index} next",
            )
        watch.applied_index = index
        if index > self.exposed_index:
            # Its commit index moved in this event: look at it before what follows from it.
            self._check_commit(watch)
        if index > self.exposed_index:
            broken("R6", f"nothing beyond {self.exposed_index} is committed", f"node {watch.node} applied {index}")
        known = self.committed[index - 1]
        if known is not entry and (known.term != entry.term or known.kind != entry.kind or known.data != entry.data):
            broken("R6", f"entry {index} is {said(known)}", f"node {watch.node} applied {said(entry)}")
        if self.chains[index] != chain:
            broken(
                "R14",
                f"the chain after {index} is {self.chains[index]:016x}",
                f"node {watch.node} has {chain:016x}",
            )

    def on_restore(self, watch: Watch, index: int, chain: int) -> None:
        """R14: a snapshot is a state that applying would have made."""
        if index > self.exposed_index:
            broken("R6", f"nothing beyond {self.exposed_index} is committed", f"node {watch.node} restored {index}")
        if self.chains[index] != chain:
            broken(
                "R14",
                f"the chain after {index} is {self.chains[index]:016x}",
                f"the snapshot of node {watch.node} has {chain:016x}",
            )
        watch.applied_index = index

    # -- after each event ---------------------------------------------------------------------------------------------

    def after_event(self, watch: Watch) -> None:
        """The plain numbers of one replica against what they were."""
        raft = watch.raft
        term = raft.current_term
        if term != watch.term or raft.voted_for != watch.vote:
            self._check_term(watch, term)
        commit = raft.commit_index
        if commit != watch.commit_index:
            self._check_commit(watch)
        role = raft.role
        if role == LEADER:
            if watch.leader_term != term:
                self._check_elected(watch, term)
            self._check_followers(watch)
        watch.role = role
        applied = raft.applied_index
        if not raft.log.base_index <= applied <= commit <= raft.last_index or applied > raft.durable_index:
            broken(
                "R11",
                "log base <= applied <= commit <= last, and applied <= durable",
                f"node {watch.node} has {raft.log.base_index}, {applied}, {commit}, {raft.last_index}, and "
                f"{raft.durable_index} durable",
            )
        durable = raft.durable_index
        if durable != watch.durable_index:
            watch.durable_index = durable
            held = watch.disk.held
            if durable > held.last or (
                durable > held.snapshot_index and held.term_at(durable) != watch.image.term_at(durable)
            ):
                broken(
                    "R12",
                    f"the disk of node {watch.node} is synced up to {held.last}, entry {durable} of it is of term "
                    f"{held.term_at(durable)}",
                    f"it counts on its disk up to entry {durable} of term {watch.image.term_at(durable)}",
                )
        if raft.last_index != watch.image.last:
            broken(
                "R16",
                f"node {watch.node} recorded a log that ends at {watch.image.last}",
                f"in memory it ends at {raft.last_index}",
            )

    def _check_term(self, watch: Watch, term: int) -> None:
        raft = watch.raft
        if term < watch.term:
            broken("R8", f"node {watch.node} was in term {watch.term}", f"it is in term {term}")
        is_void = watch.is_vote_doubtful and raft.voted_for == watch.node
        if term == watch.term and watch.vote and raft.voted_for != watch.vote and not is_void:
            broken(
                "R2",
                f"node {watch.node} voted for {watch.vote} in term {term}",
                f"its vote in it is now for {raft.voted_for}",
            )
        if term != watch.image.term or raft.voted_for != watch.image.vote:
            broken(
                "R16",
                f"node {watch.node} is in term {term} with a vote for {raft.voted_for}",
                f"it asked for term {watch.image.term} and vote {watch.image.vote} to be durable",
            )
        watch.term = term
        watch.vote = raft.voted_for
        if term > self.max_term:
            self.max_term = term

    def _check_commit(self, watch: Watch) -> None:
        raft = watch.raft
        image = watch.image
        commit = raft.commit_index
        old = watch.commit_index
        if commit < old:
            broken("R8", f"node {watch.node} had commit index {old}", f"it has {commit}")
        watch.commit_index = commit
        for index in range(max(old, image.snapshot_index) + 1, min(commit, self.exposed_index) + 1):
            if not image.has(index, self.committed[index - 1].term):
                broken(
                    "R6",
                    f"entry {index} is committed as {said(self.committed[index - 1])}",
                    f"node {watch.node} has commit index {commit} over {said(image.entries.get(index))}",
                )
        if commit <= self.exposed_index:
            return
        term = image.term_at(commit)
        if raft.role == LEADER and term != raft.current_term:
            broken(
                "R9",
                f"node {watch.node} leads in term {raft.current_term}, whose entries alone commit by counting",
                f"it moved its commit index to {commit}, an entry of term {term}",
            )
        self._check_durable(watch, commit)

    def _check_durable(self, watch: Watch, commit: int) -> None:
        """R7: at its first exposure, a committed entry is on the disks of a quorum of the membership in force."""
        image = watch.image
        membership = image.membership()
        disks = self._disks
        for index in range(self.exposed_index + 1, commit + 1):
            entry = image.entries.get(index)
            if entry is None or entry.kind == LOST:
                broken(
                    "R7",
                    f"node {watch.node} exposed commit index {commit}",
                    f"it holds {said(entry)} at {index}, which nobody had as committed before",
                )
            for voters in (membership.voters, membership.outgoing):
                holders = [node for node in voters if disks[node].was_durable(index, entry.term)]
                if voters and len(holders) <= len(voters) // 2:
                    broken(
                        "R7",
                        f"node {watch.node} exposed commit index {commit} with {members_of(membership)} in force",
                        f"entry {index} of term {entry.term} is durable on {holders} only, of {list(voters)}",
                    )
            self.committed.append(entry)
            self._terms.append(watch.raft.current_term)
            self._operations.on_commit(entry)
            self.chains.append(chain_after(self.chains[-1], entry))
        self.exposed_index = commit

    def _check_elected(self, watch: Watch, term: int) -> None:
        """R1, R5, R10 of a new leader."""
        node = watch.node
        watch.leader_term = term
        watch.matches = {}
        self.ballots.lead(node, term)
        self._marks.sometimes_if(len(self.ballots.leaders) > 1, LEADER_CHANGE)
        image = watch.image
        for index in range(image.snapshot_index + 1, len(self.committed) + 1):
            committed = self.committed[index - 1]
            # A leader that was elected late, in a term below, commits nothing and need not have it.
            if image.term_at(index) != committed.term and self._terms[index - 1] < term:
                at = image.entries.get(index)
                broken(
                    "W4" if at is not None and at.kind == LOST else "R5",
                    f"entry {index} is committed as {said(committed)}",
                    f"node {node} became leader in term {term} over {said(at)}",
                )
        since, membership = _before_term(image, term)
        votes = self.ballots.check_elected(watch, term)
        for voters in (membership.voters, membership.outgoing):
            granted = [voter for voter in voters if voter == node or votes.get(voter) == node]
            if voters and len(granted) <= len(voters) // 2:
                broken(
                    "R10",
                    f"{members_of(membership)} is in force on node {node}",
                    f"it became leader in term {term} with the votes of {granted} only",
                )
        if not membership.is_voter(node) and since <= watch.raft.commit_index:
            # Until it knows that it is removed, those who stay may need its log.
            broken(
                "R10",
                f"{members_of(membership)} is in force on node {node}",
                f"it became leader in term {term}, no voter",
            )

    def _check_followers(self, watch: Watch) -> None:
        """R8 for match_index and next_index; and what a leader counts is on the disk it counts."""
        matches = watch.matches
        leadership = watch.raft.leadership
        assert leadership is not None
        for follower, progress in leadership.followers.items():
            match = progress.match_index
            if progress.next_index <= match:
                broken(
                    "R8",
                    f"next_index of node {follower} is above its match_index {match}",
                    f"node {watch.node} has {progress.next_index} for it",
                )
            known, counted = matches.get(follower, (progress, 0))
            if match != counted or known is not progress:
                acknowledged = self.gates.acknowledged(follower, watch.term)
                if match > acknowledged:
                    broken(
                        "R7",
                        f"node {follower} acknowledged at most entry {acknowledged} in term {watch.term}",
                        f"node {watch.node} counts it as having entry {match}",
                    )
                # One that was removed and is back begins anew; so does one whose disk may have lost something.
                if match < counted and known is progress and self._disks[follower].doubt_term < watch.term:
                    broken(
                        "R8",
                        f"node {watch.node} had match_index {counted} for node {follower}",
                        f"it has {match} in the same term",
                    )
                matches[follower] = (progress, match)


def _before_term(image: LogImage, term: int) -> tuple[int, Membership]:
    """The membership in force before the leader of `term` appended anything, and the index since which it is."""
    for index, membership in reversed(image.memberships):
        if image.term_at(index) < term or index <= image.snapshot_index:
            return index, membership
    return image.memberships[0]
