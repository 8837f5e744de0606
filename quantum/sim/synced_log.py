"""What the log of one disk surely holds: read from the bytes that were synced, never from what a node says it wrote.

Follows the batches of the append requests whose sync returned, one after the other, so it costs what is written. A
power loss takes nothing from it. Damage done to the disk later is another matter: see `Budget`.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.raft.entry import Entry
from quantum.core.wal.batch import decode_batch
from quantum.core.wal.frame import GroupEntry, HardState, Repair, SnapshotMark, Truncate, decode_frames
from quantum.core.wal.segment import HEAD_BYTES as SEGMENT_HEAD_BYTES
from quantum.core.wal.segment import segment_number

GROUP: Final = 1


@final
@dataclass(slots=True)
class SyncedBatch:
    """One batch, where it lies, and which entries are in it; none when first is 0."""

    name: str
    offset: int
    size: int
    first: int
    last: int


@final
class SyncedLog:
    """The default tenant's group on one disk."""

    __slots__ = (
        "_once",
        "_salt",
        "_terms_before",
        "at_start",
        "batches",
        "last_index",
        "snapshot_index",
        "sure",
        "sure_at_start",
        "term",
        "terms",
        "vote",
    )

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self.terms: dict[int, int] = {}  # index → term
        self._terms_before: dict[int, int] = {}
        self.last_index = 0
        self.snapshot_index = 0  # of a snapshot that came from a peer
        self.term = 0
        self.vote = 0
        self.sure = (0, 0)  # the last term and vote that stand in two batches in a row: no single one takes them along
        self._once: list[tuple[int, int]] = []  # the terms and votes of the last batch
        self.at_start = (0, 0)  # the term and vote that the process which is there must find
        self.sure_at_start = (0, 0)  # the same of a damaged disk
        self.batches: list[SyncedBatch] = []

    def on_process(self) -> None:
        """A process starts: it writes what it finds once more before it acts on it."""
        self.at_start = (self.term, self.vote)
        self.sure_at_start = self.sure

    def on_synced(self, name: str, offset: int, data: bytes) -> None:
        """An append and its sync are done."""
        start = offset or SEGMENT_HEAD_BYTES
        batch = decode_batch(self._salt, segment_number(name), bytes(offset) + data, start)
        assert batch is not None, f"what was appended to {name} at {offset} is no batch"
        first = last = 0
        states: list[tuple[int, int]] = []
        for frame in decode_frames(batch.body):
            if frame.group != GROUP:
                continue
            if isinstance(frame, GroupEntry):
                self._append(frame.entry)
                first = first or frame.entry.index
                last = frame.entry.index
            elif isinstance(frame, Repair):
                self.terms[frame.entry.index] = frame.entry.term
            elif isinstance(frame, HardState):
                self.term = frame.term
                self.vote = frame.voted_for
                states.append((self.term, self.vote))
            elif isinstance(frame, Truncate):
                self._truncate(frame.index)
            elif isinstance(frame, SnapshotMark):
                self._restart(frame.index, frame.term)
        if not self.batches or (self.batches[-1].name, self.batches[-1].offset) != (name, start):
            # Otherwise a boot has written the last batch once more.
            for state in states:
                self.sure = state if state in self._once else self.sure
            self._once = states
        self.batches.append(SyncedBatch(name, start, offset + len(data) - start, first, last))

    def forget(self) -> None:
        """The disk is empty."""
        self._terms_before = {**self._terms_before, **self.terms}
        self.terms = {}
        self.last_index = self.snapshot_index = self.term = self.vote = 0
        self.sure = (0, 0)
        self._once = []
        self.batches = []

    def give_up(self, index: int) -> None:
        """Damage took the entry, and the node knows: it may come back, and need not."""
        self._terms_before[index] = self.terms.pop(index)

    def has(self, index: int, term: int) -> bool:
        """The entry, or a snapshot in which it is."""
        return index <= self.snapshot_index or self.terms.get(index) == term

    def had(self, index: int, term: int) -> bool:
        """It has it, or had it before the disk was emptied: then it may have been counted on, within the budget."""
        return self.has(index, term) or self._terms_before.get(index) == term

    def _append(self, entry: Entry) -> None:
        # A boot writes the last batch once more: the same entries at the same place.
        if self.terms.get(entry.index) != entry.term:
            self._truncate(entry.index)
        self.terms[entry.index] = entry.term
        self.last_index = max(self.last_index, entry.index)

    def _truncate(self, index: int) -> None:
        for gone in range(index, self.last_index + 1):
            self.terms.pop(gone, None)
        self.last_index = min(self.last_index, index - 1)

    def _restart(self, index: int, term: int) -> None:
        """The log begins behind a snapshot, where it does not go on through it."""
        if self.terms.get(index) != term:
            self._truncate(0)
            self.last_index = index
        self.snapshot_index = max(self.snapshot_index, index)
