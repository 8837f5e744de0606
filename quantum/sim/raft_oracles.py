"""The laws of consensus, R1 to R18, checked after every event of a run and not through the product's own answers.

A replica is watched through what it asks to be durable (its image), what its disk has synced, what it lets out, and the
plain numbers of its state. Checks cost what has changed. The hash chain of R4 is kept link by link: an entry is known by
(index, term), and for each the content and the term of the one before it are fixed by whoever names it first; so equal
links mean equal logs up to there, and a log with holes can be checked as well. Source: FAULTS §2.2.
"""

from typing import Final, final

from quantum.core.raft.config import RaftConfig
from quantum.core.raft.entry import LOST, MEMBERSHIP, Entry
from quantum.core.raft.membership import Membership, decode_membership
from quantum.core.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    FetchEntriesReply,
    Heartbeat,
    HeartbeatReply,
    Message,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)
from quantum.core.raft.progress import Progress
from quantum.core.raft.raft import Raft
from quantum.core.raft.records import HardStateRecord, Record, RepairRecord, SnapshotRecord, TruncateRecord
from quantum.core.raft.recovered import Recovered
from quantum.core.raft.role import LEADER
from quantum.sim.marks import Marks
from quantum.sim.raft_disk import RaftDisk
from quantum.sim.raft_laws import broken
from quantum.sim.raft_log_image import LogImage
from quantum.sim.raft_machine import chain_after
from quantum.sim.raft_operations import Operations

_LEADERS_WORDS: Final = (AppendEntries, Heartbeat, TimeoutNow)
_TERM_BITS: Final = 32


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
        "last_index",
        "leader_term",
        "matches",
        "node",
        "raft",
        "role",
        "snapshot_index",
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
        self.last_index = 0
        self.snapshot_index = recovered.snapshot_index
        self.matches: dict[int, tuple[Progress, int]] = {}


@final
class RaftOracles:
    """The memory of a whole run: leaders, votes, entries and commits of all replicas and all their lives."""

    __slots__ = (
        "_acknowledged",
        "_config",
        "_disks",
        "_links",
        "_marks",
        "_operations",
        "_unsent",
        "chains",
        "committed",
        "exposed_index",
        "grants",
        "leaders",
        "max_term",
        "terms_kept",
    )

    def __init__(self, config: RaftConfig, disks: dict[int, RaftDisk], operations: Operations, marks: Marks) -> None:
        self._config = config
        self._operations = operations
        self._disks = disks  # of every identity there ever was, wiped ones as they were
        self._marks = marks
        self._links: dict[int, tuple[int, Entry]] = {}  # (index, term) -> term before it, entry
        self.leaders: dict[int, int] = {}  # by term: R1
        self._acknowledged: dict[int, int] = {}  # (node, term of a leader) -> the greatest index
        self._unsent: dict[int, dict[int, bool]] = {}  # by voter: terms in which only its disk knows its vote
        self.grants: dict[int, dict[int, int]] = {}  # term -> voter -> candidate: R2
        self.committed: list[Entry] = []  # committed[0] is index 1
        self.chains: list[int] = [0]  # after each committed index
        self.exposed_index = 0
        self.terms_kept: dict[int, int] = {}  # the greatest term a node's disk confirmed: R8
        self.max_term = 0

    # -- the life of a process ----------------------------------------------------------------------------------------

    def on_start(self, watch: Watch, recovered: Recovered) -> None:
        """A process begins with what its disk proved."""
        if recovered.is_vote_doubtful:
            self.on_wiped(watch.node)
            self.terms_kept.pop(watch.node, None)
        kept = self.terms_kept.get(watch.node, 0)
        if recovered.current_term < kept and not recovered.is_vote_doubtful:
            broken(
                "R8",
                f"node {watch.node} had term {kept} durable",
                f"it started in term {recovered.current_term} without doubting it",
            )
        before = recovered.snapshot_term
        for entry in recovered.entries:
            if entry.kind != LOST:
                self._link(entry, before, f"the disk of node {watch.node}")
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
                    f"node {watch.node} recorded {_said(kept)} at {index}",
                    f"its log in memory holds {_said(entry)} there",
                )
        self._check_membership(watch)

    def _check_membership(self, watch: Watch) -> None:
        if watch.raft.membership != watch.image.membership():
            broken(
                "R10",
                f"the log of node {watch.node} puts {_members(watch.image.membership())} in force",
                f"it acts by {_members(watch.raft.membership)}",
            )

    # -- records ------------------------------------------------------------------------------------------------------

    def on_records(self, watch: Watch, records: list[Record]) -> None:
        """A replica asks for these to be durable."""
        image = watch.image
        changes_membership = False
        for record in records:
            if type(record) is Entry:
                if record.index != image.last + 1:
                    broken(
                        "R4",
                        f"the log of node {watch.node} ends at {image.last}",
                        f"it appended entry {record.index} there",
                    )
                self._link(record, image.term_at(image.last), f"node {watch.node}")
                if record.kind == MEMBERSHIP:
                    changes_membership = True
                    self._check_change(watch, record)
            elif type(record) is TruncateRecord:
                self._check_truncation(watch, record.index)
                changes_membership = True
            elif type(record) is HardStateRecord:
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
            elif type(record) is RepairRecord:
                entry = record.entry
                at = image.entries.get(entry.index)
                if at is not None and at.kind != LOST and (at.term != entry.term or at.data != entry.data):
                    self._marks.sometimes("raft.repair.over-ghost")
                self._link(entry, -1, f"node {watch.node} repairing")
                changes_membership = changes_membership or entry.kind == MEMBERSHIP
            elif type(record) is SnapshotRecord:
                changes_membership = True
            image.apply(record)
        if changes_membership:
            self._check_membership(watch)

    def _link(self, entry: Entry, before: int, where: str) -> None:
        """R4: an index and a term are one entry, with one entry before it."""
        key = entry.index << _TERM_BITS | entry.term
        known = self._links.get(key)
        if known is None:
            self._links[key] = (before if before > 0 or entry.index == 1 else -1, entry)
            return
        known_before, other = known
        if other is not entry and (other.kind != entry.kind or other.data != entry.data):
            broken(
                "R4",
                f"entry {entry.index} of term {entry.term} is {_said(other)}",
                f"{where} has {_said(entry)} there",
            )
        if before > 0 and before != known_before:
            if known_before >= 0:
                broken(
                    "R4",
                    f"entry {entry.index} of term {entry.term} follows an entry of term {known_before}",
                    f"for {where} it follows one of term {before}",
                )
            self._links[key] = (before, other)

    def _check_truncation(self, watch: Watch, index: int) -> None:
        """R3: a leader appends only. R7: what this replica counted as committed stays."""
        if watch.raft.role == LEADER and watch.role == LEADER and watch.raft.current_term == watch.term:
            broken(
                "R3",
                f"node {watch.node} leads in term {watch.term} with {watch.image.last} entries",
                f"it truncated its own log from {index} on",
            )
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
                f"{_members(old)} was in force on node {watch.node}",
                f"entry {entry.index} replaces it by {_members(new)}, whose quorums need not meet its",
            )

    # -- disk ---------------------------------------------------------------------------------------------------------

    def on_synced(self, node: int, disk: RaftDisk) -> None:
        """A batch is durable: R2 by the disk, R8 across lives."""
        term = disk.confirmed_term
        if term > self.terms_kept.get(node, 0):
            self.terms_kept[node] = term
        if disk.held.is_tail_doubtful:
            disk.doubt_term = disk.held.term
        if disk.held.vote not in (0, node):
            self.on_vote(node, disk.held.term, disk.held.vote, is_sent=False)

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

    # -- messages -----------------------------------------------------------------------------------------------------

    def on_send(self, watch: Watch, to: int, message: Message) -> None:
        """R12: nothing leaves before what it says is durable; R1, R2, R4, R15 of what is said."""
        kind = type(message)
        disk = watch.disk
        node = watch.node
        if kind is AppendEntriesReply:
            self._gate_term(watch, message.term, kind)
            if message.is_accepted:  # type: ignore[union-attr]
                index = message.index  # type: ignore[union-attr]
                term = watch.image.term_at(index)
                if not (disk.held.has(index, term) and index <= disk.held.last):
                    broken(
                        "R12",
                        f"the disk of node {node} is synced up to {disk.held.last}, entry {index} of it is of term "
                        f"{disk.held.term_at(index)}",
                        f"it acknowledged entry {index} of term {term} to node {to}",
                    )
                key = node << _TERM_BITS | message.term  # type: ignore[union-attr]
                if index > self._acknowledged.get(key, 0):
                    self._acknowledged[key] = index
        elif kind is Heartbeat or kind is AppendEntries or kind is TimeoutNow:
            self._lead(node, message.term)  # type: ignore[union-attr]
            self._gate_vote(watch, message.term, node, kind)  # type: ignore[union-attr]
            if kind is AppendEntries and message.entries:  # type: ignore[union-attr]
                self._check_append(node, message)  # type: ignore[arg-type]
        elif kind is HeartbeatReply:
            self._gate_term(watch, message.term, kind)  # type: ignore[union-attr]
        elif kind is RequestVote:
            self._gate_vote(watch, message.term, node, kind)  # type: ignore[union-attr]
            self.on_vote(node, message.term, node, is_sent=False)  # type: ignore[union-attr]
        elif kind is RequestVoteReply:
            self._gate_term(watch, message.term, kind)  # type: ignore[union-attr]
            if message.is_granted:  # type: ignore[union-attr]
                self._gate_vote(watch, message.term, to, kind)  # type: ignore[union-attr]
                self.on_vote(node, message.term, to, is_sent=True)  # type: ignore[union-attr]
        elif kind is FetchEntriesReply:
            before = message.previous_term  # type: ignore[union-attr]
            for entry in message.entries:  # type: ignore[union-attr]
                self._link(entry, before, f"a reply of node {node}")
                before = entry.term

    def _gate_term(self, watch: Watch, term: int, kind: type) -> None:
        if term > watch.disk.confirmed_term:
            broken(
                "R12",
                f"node {watch.node} has term {watch.disk.confirmed_term} durable",
                f"it sent {kind.__name__} of term {term}",
            )

    def _gate_vote(self, watch: Watch, term: int, candidate: int, kind: type) -> None:
        disk = watch.disk
        if term > disk.confirmed_term or (term == disk.confirmed_term and disk.confirmed_vote != candidate):
            broken(
                "R12",
                f"node {watch.node} has a vote for {disk.confirmed_vote} in term {disk.confirmed_term} durable",
                f"it sent {kind.__name__} of term {term}, which needs one for {candidate}",
            )

    def _lead(self, node: int, term: int) -> None:
        """R1."""
        known = self.leaders.get(term)
        if known is None:
            self.leaders[term] = node
        elif known != node:
            broken("R1", f"node {known} led in term {term}", f"node {node} leads in it as well")

    def _check_append(self, node: int, message: AppendEntries) -> None:
        before = message.previous_term
        index = message.previous_index
        size = 0
        for entry in message.entries:
            index += 1
            if entry.index != index or entry.term > message.term or entry.kind == LOST:
                broken(
                    "R4",
                    f"entry {index} is due in an AppendEntries of node {node} in term {message.term}",
                    f"it carries {_said(entry)} as {entry.index}",
                )
            self._link(entry, before, f"an AppendEntries of node {node}")
            before = entry.term
            size += len(entry.data)
        count = len(message.entries)
        if count > self._config.append_entries_max or (count > 1 and size > self._config.append_bytes_max):
            broken(
                "R15",
                f"an AppendEntries has at most {self._config.append_entries_max} entries of "
                f"{self._config.append_bytes_max} bytes",
                f"node {node} sent {count} of {size} bytes",
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
            broken("R6", f"entry {index} is {_said(known)}", f"node {watch.node} applied {_said(entry)}")
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
        watch.snapshot_index = max(watch.snapshot_index, index)

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
                    f"entry {index} is committed as {_said(self.committed[index - 1])}",
                    f"node {watch.node} has commit index {commit} over {_said(image.entries.get(index))}",
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
                    f"it holds {_said(entry)} at {index}, which nobody had as committed before",
                )
            for voters in (membership.voters, membership.outgoing):
                holders = [node for node in voters if disks[node].was_durable(index, entry.term)]
                if voters and len(holders) <= len(voters) // 2:
                    broken(
                        "R7",
                        f"node {watch.node} exposed commit index {commit} with {_members(membership)} in force",
                        f"entry {index} of term {entry.term} is durable on {holders} only, of {list(voters)}",
                    )
            self.committed.append(entry)
            self._operations.on_commit(entry)
            self.chains.append(chain_after(self.chains[-1], entry))
        self.exposed_index = commit

    def _check_elected(self, watch: Watch, term: int) -> None:
        """R1, R5, R10 of a new leader."""
        node = watch.node
        watch.leader_term = term
        watch.matches = {}
        self._lead(node, term)
        image = watch.image
        for index in range(image.snapshot_index + 1, len(self.committed) + 1):
            committed = self.committed[index - 1]
            if image.term_at(index) != committed.term:
                at = image.entries.get(index)
                broken(
                    "W4" if at is not None and at.kind == LOST else "R5",
                    f"entry {index} is committed as {_said(committed)}",
                    f"node {node} became leader in term {term} over {_said(at)}",
                )
        membership = _before_term(image, term)
        votes = self.grants.get(term, {})
        if votes.get(node, node) != node:
            broken(
                "R2", f"node {node} voted for {votes[node]} in term {term}", "it was elected in it, by itself as well"
            )
        for voters in (membership.voters, membership.outgoing):
            granted = [voter for voter in voters if voter == node or votes.get(voter) == node]
            if voters and len(granted) <= len(voters) // 2:
                broken(
                    "R10",
                    f"{_members(membership)} is in force on node {node}",
                    f"it became leader in term {term} with the votes of {granted} only",
                )
        if not membership.is_voter(node):
            broken(
                "R10",
                f"{_members(membership)} is in force on node {node}",
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
                acknowledged = self._acknowledged.get(follower << _TERM_BITS | watch.term, 0)
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


def _before_term(image: LogImage, term: int) -> Membership:
    """The membership in force before the leader of `term` appended anything."""
    for index, membership in reversed(image.memberships):
        if image.term_at(index) < term or index <= image.snapshot_index:
            return membership
    return image.memberships[0][1]


def _said(entry: Entry | None) -> str:
    if entry is None:
        return "nothing"
    if entry.kind == LOST:
        return "a lost entry"
    return f"{len(entry.data)} bytes {entry.data[:8].hex()} of kind {entry.kind}, term {entry.term}"


def _members(membership: Membership) -> str:
    joint = f" and {list(membership.outgoing)}" if membership.outgoing else ""
    learners = f" with learners {list(membership.learners)}" if membership.learners else ""
    return f"voters {list(membership.voters)}{joint}{learners}"
