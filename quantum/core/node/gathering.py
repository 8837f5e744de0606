"""What snapshot and log say of one group at boot.

A sole voter's entries are applied as they are read. The entries of a group with several voters are gathered behind the
snapshot. A sole voter becomes one of several at the entry that changes the membership: what stands before it is applied.
"""

from typing import final

from quantum.core.group import Replica
from quantum.core.node.identity import Identity
from quantum.core.raft.entry import MEMBERSHIP, Entry
from quantum.core.raft.membership import Membership, decode_membership
from quantum.core.raft.recovered import Recovered
from quantum.core.snapshot.manifest import Manifest, SnapshotDamaged
from quantum.core.wal.frame import Frame, GroupEntry, HardState, Repair, SnapshotMark, Truncate
from quantum.core.wal.recovery import LogDamaged


@final
class Gathering:
    """One group while its node boots."""

    __slots__ = (
        "_entries",
        "_hard_state",
        "_identity",
        "_index",
        "_is_lost",
        "_membership",
        "_number",
        "_seen_term",
        "_term",
        "is_sole",
    )

    def __init__(self, number: int, identity: Identity) -> None:
        self._number = number
        self._identity = identity
        self._index = 0  # in front of the gathered entries
        self._term = 0
        self._membership = Membership(identity.voters)  # as of that index
        self._entries: list[Entry] = []
        self._seen_term = -1  # of the log's own entry at that index, -1 where it has none
        self._hard_state: HardState | None = None
        self._is_lost = False
        self.is_sole = self._membership.members() == [identity.node]

    def on_manifest(self, manifest: Manifest) -> None:
        """The newest snapshot of the group. Raises: SnapshotDamaged."""
        try:
            self._membership = decode_membership(manifest.membership)
        except ValueError as error:
            raise SnapshotDamaged(f"the manifest of group {self._number} at {manifest.index}: {error}") from error
        self._index = manifest.index
        self._term = manifest.term
        self.is_sole = self._membership.members() == [self._identity.node]

    def on_snapshot_lost(self, index: int) -> None:
        """The snapshot's state is damaged."""
        self._index = max(self._index, index)
        self._is_lost = True

    def on_frame(self, frame: Frame, replica: Replica) -> None:
        """The next frame of the group. Raises: LogDamaged."""
        if isinstance(frame, GroupEntry):
            if self.is_sole:
                self._on_sole_entry(frame.entry, replica)
            else:
                self._append(frame.entry)
        elif isinstance(frame, HardState):
            self._hard_state = frame
        elif isinstance(frame, Truncate):
            self._truncate(frame.index)
        elif isinstance(frame, Repair):
            at = frame.entry.index - self._index - 1
            if 0 <= at < len(self._entries):
                self._entries[at] = frame.entry
        elif isinstance(frame, SnapshotMark):
            self._cover(frame)

    def _on_sole_entry(self, entry: Entry, replica: Replica) -> None:
        if entry.index <= replica.applied_index:
            return
        if entry.index > replica.applied_index + 1:
            raise LogDamaged(
                f"group {self._number} has no entry {replica.applied_index + 1}: the log begins behind its snapshot"
            )
        if entry.kind == MEMBERSHIP:
            membership = decode_membership(entry.data)
            if membership.members() != [self._identity.node]:
                self.is_sole = False
                self._index = replica.applied_index
                self._term = replica.applied_term
                self._append(entry)
                return
            self._membership = membership
        replica.replay(entry)

    def _append(self, entry: Entry) -> None:
        last = self._index + len(self._entries)
        if entry.index <= self._index:
            if entry.index == self._index:
                self._seen_term = entry.term
            return
        if entry.index > last + 1:
            raise LogDamaged(f"group {self._number} has no entry {last + 1}: the log begins behind its snapshot")
        self._truncate(entry.index)
        self._entries.append(entry)

    def _truncate(self, index: int) -> None:
        if index <= self._index:
            self._seen_term = -1
        del self._entries[max(0, index - self._index - 1) :]

    def _cover(self, mark: SnapshotMark) -> None:
        """A snapshot at the mark stands for what is in front of it, and for all where the log is another one."""
        at = mark.index - self._index
        if self.is_sole or at < 0:
            return
        if at == 0:
            self._seen_term = mark.term
            if self._is_lost:
                self._term = mark.term
                self._membership = decode_membership(mark.membership)
            return
        if at <= len(self._entries) and self._entries[at - 1].term == mark.term:
            del self._entries[:at]
        else:
            self._entries = []
        self._index = mark.index
        self._term = mark.term
        self._seen_term = mark.term
        self._membership = decode_membership(mark.membership)

    @property
    def needs_mark(self) -> bool:
        """The log does not say yet that the snapshot stands for what is in front of it."""
        return self._index > 0 and not self.is_sole and self._seen_term != self._term

    def result(self, replica: Replica, identity: Identity) -> Recovered:
        """What the replica starts with."""
        index, term = (replica.applied_index, replica.applied_term) if self.is_sole else (self._index, self._term)
        state = self._hard_state
        # A snapshot of a peer may be durable when the record that says so is not: what the log holds is then not its.
        entries = self._entries if self._seen_term in (-1, term) or self.is_sole else []
        last_term = entries[-1].term if entries else term
        current_term = max(last_term, state.term if state else 0)
        recovered = Recovered(
            current_term,
            state.voted_for if state and state.term == current_term else 0,
            index,
            term,
            self._membership,
            entries,
            is_snapshot_lost=self._is_lost,
        )
        if state is None and not index and len(identity.voters) > 1 and identity.node in identity.voters:
            # A fresh disk of a first voter: another disk may have voted and acknowledged under this number.
            recovered.is_tail_doubtful = recovered.is_vote_doubtful = True
        elif state is not None and not self.is_sole:
            recovered.is_tail_doubtful = state.is_tail_doubtful
        return recovered
