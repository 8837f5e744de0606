"""A log as its records say it is: the oracles' own copy, made from what was asked to be durable, never from `Raft`.

One image follows what a process asked for, another what its disk has synced; both change by records alone.
"""

from typing import final

from quantum.core.raft.entry import MEMBERSHIP, Entry
from quantum.core.raft.membership import Membership, decode_membership
from quantum.core.raft.records import HardStateRecord, Record, RepairRecord, SnapshotRecord, TruncateRecord
from quantum.core.raft.recovered import Recovered


@final
class LogImage:
    """Hard state, snapshot position and entries by index."""

    __slots__ = (
        "entries",
        "is_tail_doubtful",
        "last",
        "memberships",
        "snapshot_index",
        "snapshot_term",
        "term",
        "vote",
    )

    def __init__(self) -> None:
        self.term = 0
        self.vote = 0
        self.is_tail_doubtful = False
        self.snapshot_index = 0
        self.snapshot_term = 0
        self.last = 0
        self.entries: dict[int, Entry] = {}
        self.memberships: list[tuple[int, Membership]] = []  # ascending; the first is as of the snapshot

    def load(self, recovered: Recovered) -> None:
        """Begin with what a disk proved at a start."""
        self.term = recovered.current_term
        self.vote = recovered.voted_for
        self.is_tail_doubtful = recovered.is_tail_doubtful
        self.snapshot_index = self.last = recovered.snapshot_index
        self.snapshot_term = recovered.snapshot_term
        self.entries = {}
        self.memberships = [(recovered.snapshot_index, recovered.membership)]
        for entry in recovered.entries:
            self.append(entry)

    def apply(self, record: Record) -> None:
        """One record more."""
        if type(record) is Entry:
            # A snapshot file may have become durable before what was asked for ahead of it.
            if record.index > self.snapshot_index:
                if record.index <= self.last:
                    self.truncate(record.index)
                self.append(record)
        elif type(record) is HardStateRecord:
            self.term = record.term
            self.vote = record.voted_for
            self.is_tail_doubtful = record.is_tail_doubtful
        elif type(record) is TruncateRecord:
            self.truncate(record.index)
        elif type(record) is RepairRecord:
            self._repair(record.entry)
        elif type(record) is SnapshotRecord:
            self.cover(record.index, record.term, record.membership)

    def append(self, entry: Entry) -> None:
        """An entry behind the last."""
        self.entries[entry.index] = entry
        self.last = entry.index
        if entry.kind == MEMBERSHIP:
            self.memberships.append((entry.index, decode_membership(entry.data)))

    def truncate(self, index: int) -> None:
        """Entries from `index` on are gone."""
        index = max(index, self.snapshot_index + 1)
        for at in range(index, self.last + 1):
            self.entries.pop(at, None)
        self.last = min(self.last, index - 1)
        while len(self.memberships) > 1 and self.memberships[-1][0] >= index:
            self.memberships.pop()

    def cover(self, index: int, term: int, membership: Membership) -> None:
        """A snapshot stands for everything up to `index`; what follows stays if it is of the same log. Raft figure 13"""
        if index < self.snapshot_index:
            return
        if not (self.snapshot_index <= index <= self.last and self.term_at(index) == term):
            self.entries = {}
            self.last = index
        for gone in range(self.snapshot_index, index + 1):
            self.entries.pop(gone, None)
        self.snapshot_index = index
        self.snapshot_term = term
        behind = [each for each in self.memberships if index < each[0] <= self.last]
        self.memberships = [(index, membership), *behind]

    def term_at(self, index: int) -> int:
        """The term of an entry; 0 when it is not here or lost."""
        if index == self.snapshot_index:
            return self.snapshot_term
        entry = self.entries.get(index)
        return 0 if entry is None else entry.term

    def has(self, index: int, term: int) -> bool:
        """Whether the entry is here, itself or in the snapshot."""
        if index <= self.snapshot_index:
            return True
        entry = self.entries.get(index)
        return entry is not None and entry.term == term

    def membership(self) -> Membership:
        """The one in force: of the last MEMBERSHIP entry, committed or not. thesis §4.3"""
        return self.memberships[-1][1]

    def _repair(self, entry: Entry) -> None:
        if entry.index <= self.snapshot_index:
            return
        self.entries[entry.index] = entry
        if entry.kind == MEMBERSHIP:
            known = [each for each in self.memberships if each[0] != entry.index]
            known.append((entry.index, decode_membership(entry.data)))
            known.sort(key=_index_of)
            self.memberships = known


def _index_of(pair: tuple[int, Membership]) -> int:
    return pair[0]
