"""What snapshot and log say of one group at boot.

A sole voter's entries are applied as they are read: whatever it once wrote, a quorum holds. Those of a group with several
voters are gathered behind the snapshot. A sole voter becomes one of several at the entry that changes the membership:
what stands before it is applied. Who has no peers cannot get back what the disk lost, and refuses to serve.
"""

from typing import final

from quantum.core.group import Replica
from quantum.core.node.identity import Identity
from quantum.core.raft.entry import MEMBERSHIP, Entry
from quantum.core.raft.membership import Membership, decode_membership
from quantum.core.raft.recovered import Recovered
from quantum.core.snapshot.manifest import Manifest, SnapshotDamaged
from quantum.core.wal.damage import Damage
from quantum.core.wal.frame import Frame, GroupEntry, HardState
from quantum.core.wal.recovery import LogDamaged
from quantum.core.wal.replay import GroupLog


@final
class Gathering:
    """One group while its node boots."""

    __slots__ = (
        "_damage",
        "_hard_state",
        "_identity",
        "_index",
        "_is_lost",
        "_log",
        "_membership",
        "_term",
        "is_sole",
        "number",
    )

    def __init__(self, number: int, identity: Identity) -> None:
        self.number = number
        self._identity = identity
        self._index = 0  # of the newest snapshot
        self._term = 0
        self._membership = Membership(identity.voters)  # as of that index
        self._is_lost = False  # the snapshot is damaged
        self._hard_state: HardState | None = None  # of a sole voter
        self._log: GroupLog | None = None
        self._damage = ""  # the first that was found
        self.is_sole = self._is_alone(self._membership)

    def _is_alone(self, membership: Membership) -> bool:
        return membership.members() == [self._identity.node]

    # -- the snapshot -----------------------------------------------------------------------------------------------

    def on_manifest(self, manifest: Manifest) -> None:
        """The newest snapshot of the group. Raises: SnapshotDamaged."""
        try:
            membership = decode_membership(manifest.membership)
        except ValueError as error:
            raise SnapshotDamaged(f"the manifest of group {self.number} at {manifest.index}: {error}") from error
        self._membership = membership
        self._index = manifest.index
        self._term = manifest.term
        self.is_sole = self._is_alone(membership)

    def on_snapshot_lost(self, index: int, text: str) -> None:
        """The state of the newest snapshot is damaged."""
        self._index = index
        self._is_lost = True
        self._damage = self._damage or text

    # -- the log ----------------------------------------------------------------------------------------------------

    def log(self) -> GroupLog:
        """The group's log where it is gathered."""
        if self._log is None:
            self._log = GroupLog(self.number, self._index)
        return self._log

    def on_damage(self, damage: Damage) -> None:
        """The log is damaged here. Raises: LogDamaged, where nobody has what is lost."""
        if self.is_sole:
            raise LogDamaged(damage.text)
        self._damage = self._damage or damage.text
        self.log().on_damage(damage)

    def on_frame(self, frame: Frame, replica: Replica) -> None:
        """The next frame of the group. Raises: LogDamaged."""
        if not self.is_sole:
            self.log().on_frame(frame)
        elif isinstance(frame, GroupEntry):
            self._on_sole_entry(frame, replica)
        elif isinstance(frame, HardState):
            self._hard_state = frame

    def _on_sole_entry(self, frame: GroupEntry, replica: Replica) -> None:
        entry = frame.entry
        if entry.index <= replica.applied_index:
            return
        if entry.index > replica.applied_index + 1:
            raise LogDamaged(
                f"group {self.number} has no entry {replica.applied_index + 1}: the log begins behind its snapshot"
            )
        if entry.kind == MEMBERSHIP:
            membership = decode_membership(entry.data)
            if not self._is_alone(membership):
                self._begin_gathering(frame, replica)
                return
            self._membership = membership
        replica.replay(entry)

    def _begin_gathering(self, frame: GroupEntry, replica: Replica) -> None:
        self.is_sole = False
        self._index = replica.applied_index
        self._term = replica.applied_term
        log = self.log()
        if self._hard_state is not None:
            log.on_frame(self._hard_state)
        log.on_frame(frame)

    # -- the result -------------------------------------------------------------------------------------------------

    def result(self, replica: Replica) -> Recovered:
        """What the replica starts with. Raises: LogDamaged, where nobody has what is lost."""
        if self.is_sole:
            state = self._hard_state
            term, voted_for = (state.term, state.voted_for) if state is not None else (0, 0)
            if replica.applied_term > term:
                term, voted_for = replica.applied_term, 0
            return Recovered(term, voted_for, replica.applied_index, replica.applied_term, self._membership)
        log = self.log()
        recovered = log.recovered(self._index, self._term, self._membership, is_snapshot_lost=self._is_lost)
        if log.hard_state is None:
            self._doubt_all(recovered)
        if self._damage and self._is_alone(_latest(recovered)):
            raise LogDamaged(self._damage)
        return recovered

    def _doubt_all(self, recovered: Recovered) -> None:
        """No hard state: the disk is fresh, or its log is gone. A first voter may have voted and acknowledged from another
        disk, which was wiped; only a number that never took part is beyond doubt."""
        is_fresh = not recovered.snapshot_index and not recovered.entries
        if not is_fresh or self._identity.node in self._identity.voters:
            recovered.is_tail_doubtful = recovered.is_vote_doubtful = True


def _latest(recovered: Recovered) -> Membership:
    changes: list[Entry] = [entry for entry in recovered.entries if entry.kind == MEMBERSHIP]
    return decode_membership(changes[-1].data) if changes else recovered.membership
