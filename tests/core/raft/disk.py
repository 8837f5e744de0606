"""A disk of one replica, as a list of records: what is written, what of it is durable, what of that is damaged."""

from quantum.core.raft.entry import LOST, Entry
from quantum.core.raft.membership import Membership
from quantum.core.raft.records import HardStateRecord, Record, RepairRecord, SnapshotRecord, TruncateRecord
from quantum.core.raft.recovered import Recovered


class Disk:
    """`records` are durable. A crash forgets `written`."""

    def __init__(self, initial: Membership) -> None:
        self.initial = initial
        self.format()

    def format(self) -> None:
        """As the disk of a node that never ran."""
        self.records: list[Record] = []
        self.written: list[Record] = []
        self.sequence = 0  # of the last written record
        self.snapshots: dict[int, tuple[int, Membership, list[Entry]]] = {}  # index: (term, membership, state)
        self.lost: dict[int, bool] = {}  # indexes whose entries are damaged
        self.is_tail_doubtful = False
        self.is_vote_doubtful = False
        self.is_snapshot_lost = False

    def write(self, records: list[Record], sequence: int) -> None:
        self.written += records
        self.sequence = sequence

    def fsync(self) -> int:
        """Make everything written durable; returns the number of the last record."""
        self.records += self.written
        self.written = []
        return self.sequence

    def crash(self) -> None:
        self.written = []
        self.sequence = 0

    def wipe(self) -> None:
        """As a disk that was exchanged."""
        self.format()
        self.is_tail_doubtful = True
        self.is_vote_doubtful = True

    def lose(self, *indexes: int) -> None:
        """Damage entries; a replica that finds damage doubts its tail as well."""
        for index in indexes:
            self.lost[index] = True
        self.is_tail_doubtful = True

    def cut(self, index: int) -> None:
        """Lose the end of the log, from `index` on, so that nothing shows it."""
        self.records = [each for each in self.records if not isinstance(each, Entry) or each.index < index]
        self.is_tail_doubtful = True

    def recover(self) -> Recovered:
        """What a replica finds."""
        found = Recovered(0, 0, 0, 0, self.initial)
        log: dict[int, Entry] = {}
        for record in self.records:
            if isinstance(record, HardStateRecord):
                found.current_term = record.term
                found.voted_for = record.voted_for
                found.is_tail_doubtful = record.is_tail_doubtful
            elif isinstance(record, TruncateRecord):
                log = {index: entry for index, entry in log.items() if index < record.index}
            elif isinstance(record, RepairRecord):
                log[record.entry.index] = record.entry
                self.lost.pop(record.entry.index, None)
            elif isinstance(record, SnapshotRecord):
                kept = log.get(record.index)
                log = {index: entry for index, entry in log.items() if kept is not None and kept.term == record.term}
            else:
                log[record.index] = record
        if self.snapshots:
            found.snapshot_index = max(self.snapshots)
            found.snapshot_term, found.membership, _ = self.snapshots[found.snapshot_index]
        for index in range(found.snapshot_index + 1, max([found.snapshot_index, *log]) + 1):
            is_here = index in log and index not in self.lost
            found.entries.append(log[index] if is_here else Entry(index, 0, LOST, b""))
        while found.entries and found.entries[-1].kind == LOST:
            found.entries.pop()
        found.is_tail_doubtful = found.is_tail_doubtful or self.is_tail_doubtful
        found.is_vote_doubtful = self.is_vote_doubtful
        found.is_snapshot_lost = self.is_snapshot_lost
        return found

    def holds(self, entry: Entry) -> bool:
        """Whether this disk would bring the entry back, in its log or in a snapshot."""
        found = self.recover()
        if entry.index <= found.snapshot_index:
            return not found.is_snapshot_lost
        at = entry.index - found.snapshot_index - 1
        return at < len(found.entries) and found.entries[at] == entry
