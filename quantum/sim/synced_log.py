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

    __slots__ = ("_salt", "_terms_before", "batches", "last_index", "snapshot_index", "term", "terms", "vote")

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self.terms: dict[int, int] = {}  # index → term
        self._terms_before: dict[int, int] = {}
        self.last_index = 0
        self.snapshot_index = 0  # of a snapshot that came from a peer
        self.term = 0
        self.vote = 0
        self.batches: list[SyncedBatch] = []

    def on_synced(self, name: str, offset: int, data: bytes) -> None:
        """An append and its sync are done."""
        start = offset or SEGMENT_HEAD_BYTES
        batch = decode_batch(self._salt, segment_number(name), bytes(offset) + data, start)
        assert batch is not None, f"what was appended to {name} at {offset} is no batch"
        first = last = 0
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
            elif isinstance(frame, Truncate):
                self._truncate(frame.index)
            elif isinstance(frame, SnapshotMark):
                self._restart(frame.index, frame.term)
        self.batches.append(SyncedBatch(name, start, offset + len(data) - start, first, last))

    def forget(self) -> None:
        """The disk is empty."""
        self._terms_before = {**self._terms_before, **self.terms}
        self.terms = {}
        self.last_index = self.snapshot_index = self.term = self.vote = 0
        self.batches = []

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
