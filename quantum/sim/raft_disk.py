"""The toy disk of a lite run: batches of records, one being synced at a time, and snapshot files that are whole or not.

It keeps the driver's duty towards `Raft`: records become durable in order, and a hard state counts only when a copy of
it is durable in the next batch too, so that one bad batch never hides a vote. A kill loses at most what was not yet
written, a power loss what was not yet synced, rot any batch or snapshot; what a damaged log can still prove is worked
out by the rules of the real one. Source: FAULTS F20, F21, F27, F32, W4.
"""

from typing import Final, final

from quantum.core.raft.entry import LOST, Entry
from quantum.core.raft.membership import Membership
from quantum.core.raft.records import HardStateRecord, Record, RepairRecord, SnapshotRecord, TruncateRecord
from quantum.core.raft.recovered import Recovered
from quantum.sim.raft_log_image import LogImage
from quantum.sim.raft_machine import MachineState

NOTHING: Final = -1


@final
class Batch:
    """What is written at once and synced at once."""

    __slots__ = ("fresh_from", "is_damaged", "last_sequence", "records", "sequence_before_hard_state")

    def __init__(self, records: list[Record], fresh_from: int, last_sequence: int, before: int) -> None:
        self.records = records
        self.fresh_from = fresh_from  # the records before it repeat a hard state of the batch before
        self.last_sequence = last_sequence
        self.sequence_before_hard_state = before  # NOTHING when this batch changes no hard state
        self.is_damaged = False


@final
class SnapshotFile:
    """A snapshot on disk."""

    __slots__ = ("is_damaged", "membership", "state")

    def __init__(self, state: MachineState, membership: Membership) -> None:
        self.state = state
        self.membership = membership
        self.is_damaged = False


@final
class RaftDisk:
    """One node's disk. `held` is what it would say if nothing on it were damaged."""

    __slots__ = (
        "_has_hard_state",
        "_rewrites",
        "_waiting",
        "batches",
        "confirmed_term",
        "confirmed_vote",
        "doubt_term",
        "flight",
        "ghosts",
        "held",
        "initial",
        "node",
        "snapshot",
    )

    def __init__(self, node: int, initial: Membership) -> None:
        self.node = node
        self.initial = initial
        self.batches: list[Batch] = []  # durable
        self.flight: Batch | None = None  # being synced
        self.snapshot: SnapshotFile | None = None
        self.held = LogImage()
        self.held.memberships = [(0, initial)]
        self.ghosts: list[LogImage] = []  # what was held before damage was found: acknowledged, and gone
        self.doubt_term = 0  # the last in which its replica doubted the end of its log
        self.confirmed_term = 0  # durable in two batches
        self.confirmed_vote = 0
        self._waiting: list[tuple[list[Record], int]] = []
        self._rewrites = 0  # batches that are to say the hard state again, because where it stands is to be deleted
        self._has_hard_state = False  # the last durable batch changed the hard state, the next one repeats it

    # -- writing ------------------------------------------------------------------------------------------------------

    def append(self, records: list[Record], sequence: int) -> None:
        """Records to be durable; `sequence` is the number of the last."""
        self._waiting.append((records, sequence))

    def begin_batch(self) -> bool:
        """Write what waits, unless a batch is being synced or there is nothing to write."""
        if self.flight is not None or not (self._waiting or self._has_hard_state or self._rewrites):
            return False
        records: list[Record] = []
        if self._has_hard_state or self._rewrites:
            records.append(self._hard_state())
            self._rewrites = max(0, self._rewrites - 1)
        fresh_from = len(records)
        before = NOTHING
        last = self.batches[-1].last_sequence if self.batches else 0
        for some, sequence in self._waiting:
            if before == NOTHING:
                for record in some:
                    if type(record) is HardStateRecord:
                        before = last
                        break
            records += some
            last = sequence
        self._waiting = []
        self.flight = Batch(records, fresh_from, last, before)
        return True

    @property
    def is_busy(self) -> bool:
        """Something is still to be written, or to be synced."""
        return self.flight is not None or len(self._waiting) > 0 or self._has_hard_state or self._rewrites > 0

    def end_batch(self) -> int:
        """The sync returned. Returns the number of the last record that counts as durable."""
        batch = self.flight
        assert batch is not None
        self.flight = None
        self._settle(batch)
        return batch.last_sequence if batch.sequence_before_hard_state == NOTHING else batch.sequence_before_hard_state

    def _settle(self, batch: Batch) -> None:
        held = self.held
        if self._has_hard_state:
            self.confirmed_term, self.confirmed_vote = held.term, held.vote
        self.batches.append(batch)
        self._has_hard_state = batch.sequence_before_hard_state != NOTHING
        for record in batch.records:
            held.apply(record)

    def keep_snapshot(self, state: MachineState, membership: Membership) -> None:
        """A snapshot file is durable; it replaces the one before, and what the log no longer has to say goes."""
        if self.snapshot is not None and self.snapshot.state.index >= state.index and not self.snapshot.is_damaged:
            return
        self.snapshot = SnapshotFile(state, membership)
        self.held.cover(state.index, state.term, membership)
        self._drop_front(state.index)

    def _drop_front(self, floor: int) -> None:
        """Delete the batches that say nothing beyond `floor`, from the front, but never the two last hard states."""
        hard = [at for at, batch in enumerate(self.batches) if _hard_state_of(batch) is not None]
        end = hard[-2] if len(hard) >= 2 else 0
        count = 0
        while count < end and _last_index_of(self.batches[count]) <= floor:
            count += 1
        if count:
            del self.batches[:count]
        if end - count < 8 and len(self.batches) > 64 and self.held.term:
            self._rewrites = 2

    def _hard_state(self) -> HardStateRecord:
        return HardStateRecord(self.held.term, self.held.vote, self.held.is_tail_doubtful)

    # -- faults -------------------------------------------------------------------------------------------------------

    def kill(self, is_written: bool) -> None:
        """The process ended. What it was writing reached the page cache, or not; it is synced at the next start."""
        self._waiting = []
        self._rewrites = 0
        if not is_written:
            self.flight = None

    def lose_power(self, survives: bool, is_garbage: bool) -> None:
        """The machine stopped, with or without a process. What was not synced is there whole, not at all, or as
        garbage that nobody can tell from damage."""
        self._waiting = []
        self._rewrites = 0
        batch = self.flight
        self.flight = None
        if batch is None:
            return
        if survives:
            self._settle(batch)
        elif is_garbage:
            batch.records = batch.records[: batch.fresh_from]
            batch.sequence_before_hard_state = NOTHING
            self._settle(batch)
            batch.is_damaged = True

    def wipe(self) -> None:
        """A new disk in the place of this one."""
        self.ghosts.append(self.held)
        self.batches = []
        self.flight = None
        self.snapshot = None
        self.held = LogImage()
        self.held.memberships = [(0, self.initial)]
        self.confirmed_term = self.confirmed_vote = 0
        self._waiting = []
        self._has_hard_state = False

    def has_damage(self) -> bool:
        """Something on it cannot be read."""
        if self.snapshot is not None and self.snapshot.is_damaged:
            return True
        return any(batch.is_damaged for batch in self.batches)

    def intact_entries(self) -> dict[int, int]:
        """Index and term of the entries behind the snapshot that a start would find, now or when more was written."""
        reading, recovered = self._read()
        found = {entry.index: entry.term for entry in recovered.entries if entry.kind != LOST}
        if reading.is_broken:
            found.pop(reading.last, None)  # The next entry that is written will not prove it.
        return found

    def was_durable(self, index: int, term: int) -> bool:
        """Whether the entry is here, or was here before damage."""
        return self.held.has(index, term) or any(ghost.has(index, term) for ghost in self.ghosts)

    # -- starting -----------------------------------------------------------------------------------------------------

    def recover(self) -> Recovered:
        """Sync, read, and say what the disk proves, as the log's rules have it. The next process begins. Source: W4."""
        if self.flight is not None:
            batch = self.flight
            self.flight = None
            self._settle(batch)
        reading, recovered = self._read()
        self._begin_process(recovered, reading.last)
        return recovered

    def _read(self) -> "tuple[_Reading, Recovered]":
        """What the disk proves, and how the log itself reads, with no regard to the snapshot."""
        reading = _Reading()
        for batch in self.batches:
            reading.read(batch)
        file = self.snapshot
        if file is None:
            recovered = reading.result(0, 0, self.initial, False)
        else:
            recovered = reading.result(file.state.index, file.state.term, file.membership, file.is_damaged)
        if not reading.has_hard_state and self.node in self.initial.voters:
            # Never started, or wiped: what it promised under this number is unknown.
            recovered.is_tail_doubtful = recovered.is_vote_doubtful = len(self.initial.voters) > 1
        return reading, recovered

    def _begin_process(self, recovered: Recovered, last: int) -> None:
        file = self.snapshot
        self._waiting = []
        if self.held.last > _last_index(recovered) or self.has_damage():
            self.ghosts.append(self.held)
            self.held = LogImage()
        self.held.load(recovered)
        if recovered.is_tail_doubtful:
            self.doubt_term = max(self.doubt_term, recovered.current_term)
        records: list[Record] = []
        if file is not None and file.state.index > last:
            # The log ends in front of the snapshot, and what comes next stands behind it.
            records.append(SnapshotRecord(file.state.index, file.state.term, file.membership))
        if recovered.current_term and not recovered.is_vote_doubtful:
            # It may stand in one batch only, and will be acted upon at once: write the copy before that.
            records.append(self._hard_state())
        if records:
            self.batches.append(Batch(records, len(records), 0, NOTHING))
        elif self.batches:
            self.batches[-1].last_sequence = 0  # records are numbered anew
        self._has_hard_state = False
        self.confirmed_term, self.confirmed_vote = recovered.current_term, recovered.voted_for


def _last_index(recovered: Recovered) -> int:
    return recovered.entries[-1].index if recovered.entries else recovered.snapshot_index


def _hard_state_of(batch: Batch) -> HardStateRecord | None:
    found = None
    for record in batch.records:
        if isinstance(record, HardStateRecord):
            found = record
    return found


def _index_of(record: Record) -> int:
    if isinstance(record, Entry):
        return record.index
    return record.entry.index if isinstance(record, RepairRecord) else 0


def _last_index_of(batch: Batch) -> int:
    last = 0
    for record in batch.records:
        last = max(last, _index_of(record))
        if isinstance(record, SnapshotRecord):
            last = max(last, record.index)
    return last


@final
class _Reading:
    """Reading a log that may be damaged anywhere. What stands in it after damage proves what was before, or not."""

    __slots__ = (
        "_entries",
        "_is_flagged",
        "_lost_run",
        "_term",
        "_vote",
        "has_damage",
        "has_hard_state",
        "is_broken",
        "is_vote_doubtful",
        "last",
    )

    def __init__(self) -> None:
        self._entries: dict[int, Entry] = {}
        self.last = NOTHING
        self._term = 0
        self._vote = 0
        self.is_broken = False  # damage since the last entry that was read
        self._is_flagged = False  # the last hard state says that the tail is doubtful
        self._lost_run = 0
        self.has_damage = False
        self.has_hard_state = False
        self.is_vote_doubtful = False

    def read(self, batch: Batch) -> None:
        if batch.is_damaged:
            self.has_damage = True
            self.is_broken = True
            self._lost_run += 1
            # A hard state stands in two batches in a row; both are gone only when two in a row are.
            self.is_vote_doubtful = self.is_vote_doubtful or self._lost_run >= 2
            return
        self._lost_run = 0
        for record in batch.records:
            if isinstance(record, Entry):
                self._read_entry(record)
            elif isinstance(record, HardStateRecord):
                self._read_hard_state(record)
            elif isinstance(record, TruncateRecord):
                self._fill_to(record.index - 1)
                self._cut(record.index)
            elif isinstance(record, RepairRecord):
                if self.last != NOTHING:  # Else it repaired what was deleted since.
                    self._fill_to(record.entry.index)
                    self._entries[record.entry.index] = record.entry
            else:
                self._read_snapshot(record)

    def _read_entry(self, entry: Entry) -> None:
        index = entry.index
        if self.is_broken:
            self._fill_to(index - 1)
            self._cut(index)
            # What stood before this entry may have been truncated and written anew in the damaged part.
            self._entries[index - 1] = Entry(index - 1, 0, LOST, b"")
            self.is_broken = False
        assert self.last in (NOTHING, index - 1), f"entry {index} behind {self.last}"
        self._entries[index] = entry
        self.last = index

    def _read_hard_state(self, record: HardStateRecord) -> None:
        self._term, self._vote, self._is_flagged = record.term, record.voted_for, record.is_tail_doubtful
        self.has_hard_state = True
        self.is_vote_doubtful = False  # It is later than whatever was lost.

    def _read_snapshot(self, record: SnapshotRecord) -> None:
        """The log goes on behind a snapshot. What follows its index stays, unless a truncation said otherwise before."""
        if self.last == NOTHING:
            return  # What stood in front was deleted, and with it maybe entries behind the index.
        at = self._entries.get(record.index)
        if record.index > self.last or (record.index == self.last and (at is None or at.term != record.term)):
            self._entries = {}
            self.last = record.index
            self.is_broken = False

    def _fill_to(self, index: int) -> None:
        if self.last == NOTHING:
            self.last = index
        while self.last < index:
            self.last += 1
            self._entries[self.last] = Entry(self.last, 0, LOST, b"")

    def _cut(self, index: int) -> None:
        while self.last >= index:
            self._entries.pop(self.last, None)
            self.last -= 1

    def result(self, index: int, term: int, membership: Membership, is_snapshot_lost: bool) -> Recovered:
        """The snapshot file and the log put together."""
        at = self._entries.get(index)
        if index and at is not None and at.kind != LOST and at.term != term:
            # The log is of another lineage than the snapshot, which is committed: nothing behind it was.
            self._cut(index)
        while self.last > index and self._entries[self.last].kind == LOST:
            self._cut(self.last)
        first = index + 1
        entries = [self._entries.get(at) or Entry(at, 0, LOST, b"") for at in range(first, self.last + 1)]
        return Recovered(
            current_term=self._term,
            voted_for=self._vote,
            snapshot_index=index,
            snapshot_term=term,
            membership=membership,
            entries=entries,
            is_tail_doubtful=self.has_damage or self._is_flagged,
            is_vote_doubtful=self.is_vote_doubtful,
            is_snapshot_lost=is_snapshot_lost,
        )
