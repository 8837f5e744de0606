"""Reading the log back: batches in order, the torn tail told apart from damage (law NO SILENT CUT).

Only the last batch of a log can be torn, because no batch was written before the one in front of it was synced. So
invalid bytes with any valid later batch behind them are damage; reading goes on at that batch, and says what is lost.
Invalid bytes with nothing valid behind them are cut if they are what a crash leaves (see `tail`), and damage otherwise.

Whoever cannot get back what is lost takes `next_batch` and `finish`, which refuse damage; whoever has peers takes
`next_item`, `end` and `position`. Logs of other nodes, other formats and other times are refused in any case.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, final

from quantum.core.wal.batch import MAGIC, NO_DIGEST, Batch, decode_batch, decode_batch_head
from quantum.core.wal.damage import Damage
from quantum.core.wal.frame import encode_note
from quantum.core.wal.segment import FORMAT_VERSION, SegmentHead, decode_head, owner_of
from quantum.core.wal.segment import HEAD_BYTES as SEGMENT_HEAD_BYTES
from quantum.core.wal.tail import is_blank, is_unfinished, lost_batches_max
from quantum.core.wal.writer import LogPosition

_LOST_MAX: Final = 1 << 20  # batches in a file of unknown size


class LogDamaged(Exception):
    """Bytes that were durable are not what was written; the text names where."""


@final
@dataclass(slots=True)
class TornTail:
    """Where the log ends in what a crash left of a batch."""

    segment: int
    offset: int


@final
@dataclass(slots=True)
class _OpenEnd:
    """Bytes behind the last valid batch of a segment; what comes later tells what they are."""

    segment: int
    offset: int
    content_end: int  # zeros follow
    is_unfinished: bool
    is_behind_batch: bool
    lost_max: int
    text: str = ""


@final
class Recovery:
    """Walks over the segments of a log, ascending, and yields their batches.

    Feed whole segments to `on_segment`, take batches until there are none, and `finish` after the last segment.
    """

    __slots__ = (
        "_at",
        "_content_end",
        "_data",
        "_has_begun",
        "_is_behind_batch",
        "_is_short",
        "_items",
        "_number",
        "_open_ends",
        "_place",
        "_previous",
        "_salt",
        "_segment_used",
        "_sequence",
        "damages",
        "last",
        "last_bytes",
    )

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._has_begun = False  # the sequence is known
        self._sequence = 0  # of the last batch
        self._previous = NO_DIGEST
        self._number = 0
        self._data = b""
        self._at = 0
        self._content_end = 0  # zeros follow
        self._is_behind_batch = False  # a batch of this segment was valid
        self._is_short = False  # the file was longer
        self._items: deque[Damage] = deque()
        self._open_ends: list[_OpenEnd] = []
        self._place = (1, 0)  # behind the last valid batch
        self._segment_used = 0  # the last segment with damage in it, or with no batch but something else
        self.last: Batch | None = None
        self.last_bytes = b""  # to be written once more at `last`: the batch, and zeros where a torn one was cut
        self.damages: list[Damage] = []

    @property
    def torn(self) -> TornTail | None:
        """Where a batch is torn, as far as the log was read."""
        for end in self._open_ends:
            if end.is_unfinished:
                return TornTail(end.segment, end.offset)
        return None

    def on_segment(self, number: int, data: bytes) -> None:
        """The next segment, whole. Raises: LogDamaged, where it is not of this log."""
        assert not self._data
        assert number > self._number
        if self._number and number != self._number + 1:
            missing = self._number + 1
            text = f"segment {missing} is missing, segment {number} follows {self._number}"
            self._open_ends.append(_OpenEnd(missing, 0, 0, False, False, _LOST_MAX, text))
        self._number = number
        self._is_behind_batch = False
        self._is_short = len(data) < SEGMENT_HEAD_BYTES
        self._content_end = len(data.rstrip(b"\0"))
        if not (self._content_end or self._is_short):
            return  # made ahead of need
        self._data = data
        self._at = 0
        if not data:
            self._close()
            return
        head = decode_head(self._salt, data)
        if head is not None:
            self._on_head(head)
            self._is_short = len(data) < head.size
            self._at = SEGMENT_HEAD_BYTES
        elif not is_blank(data, 0, SEGMENT_HEAD_BYTES):
            self._on_damaged_head()

    def _on_damaged_head(self) -> None:
        """It lies in one sector, so it is never torn; but a batch may stand right behind it."""
        batch = decode_batch(self._salt, self._number, self._data, SEGMENT_HEAD_BYTES)
        if batch is None or (self._has_begun and batch.sequence <= self._sequence):
            return
        if not self._has_begun:
            self._has_begun = True
            self._sequence = batch.sequence - 1
            self._previous = batch.previous
        if batch.sequence == self._sequence + 1:
            text = f"segment {self._number} has a damaged head; restore this node's data directory from a copy"
            self._damage(Damage(self._number, 0, batch.sequence, batch.sequence, text))
        self._at = SEGMENT_HEAD_BYTES

    def _on_head(self, head: SegmentHead) -> None:
        number = self._number
        if head.version != FORMAT_VERSION:
            raise LogDamaged(f"segment {number} has format {head.version}, this version reads {FORMAT_VERSION}")
        if head.owner != owner_of(self._salt):
            raise LogDamaged(f"segment {number} belongs to another node")
        if head.number != number:
            raise LogDamaged(f"segment {number} is a copy of segment {head.number}: restore the file that belongs here")
        self._follow(head.first_sequence, head.previous, 0)

    def _follow(self, sequence: int, previous: bytes, offset: int) -> None:
        """What stands at `offset` follows a batch: the one before it, or a lost one. Ends are open no longer."""
        lost = self._sequence + 1
        if not self._has_begun:
            self._has_begun = True
            self._previous = previous
            lost = max(1, sequence - sum([end.lost_max for end in self._open_ends]))
        if sequence < lost or (sequence == lost and previous != self._previous):
            raise LogDamaged(
                f"batch {sequence} in segment {self._number} at offset {offset} does not follow batch {lost - 1}: "
                "the files of this log are not of one time; restore all of them from one copy"
            )
        # A batch that was torn before any other stood in its segment is left there, and the next segment used.
        ends = [end for end in self._open_ends if end.is_behind_batch or not end.is_unfinished]
        self._open_ends = []
        if sequence > lost and not ends:
            ends = [_OpenEnd(self._place[0], self._place[1], 0, False, True, 0)]
        for end in ends:
            where = f"in segment {end.segment} at offset {end.offset}"
            there = f"segment {self._number} at offset {offset}"
            text = (
                f"batch {lost} {where} is damaged: a later batch stands in {there}, so it was durable; "
                if sequence > lost
                else f"bytes {where} are not of this log, which goes on in {there}; "
            )
            text = end.text or text + "restore this node's data directory from a copy"
            self._damage(Damage(end.segment, end.offset, lost, sequence, text))
            lost = sequence  # The first of them takes all the blame.
        self._sequence = sequence - 1
        self._previous = previous

    def _damage(self, damage: Damage) -> None:
        self._items.append(damage)
        self.damages.append(damage)
        self._segment_used = max(self._segment_used, damage.segment)

    # -- what is in a segment ---------------------------------------------------------------------------------------

    def next_batch(self) -> Batch | None:
        """The next batch of this segment; None at its end. Raises: LogDamaged, at any damage."""
        item = self.next_item()
        if isinstance(item, Damage):
            raise LogDamaged(item.text)
        return item

    def next_item(self) -> Batch | Damage | None:
        """The next batch of this segment, or what is damaged in front of it; None at its end. Raises: LogDamaged."""
        if self._items:
            return self._items.popleft()
        if not self._data:
            return None
        batch = decode_batch(self._salt, self._number, self._data, self._at)
        if batch is None or (self._has_begun and batch.sequence <= self._sequence):
            batch = self._find(self._at)
            if batch is None:
                self._close()
                return None
            lost_max = lost_batches_max(self._salt, self._number, self._data, self._at, batch.offset)
            self._open_ends.append(_OpenEnd(self._number, self._at, batch.offset, False, True, lost_max))
        if self._open_ends or not self._has_begun or self._is_out_of_line(batch):
            self._follow(batch.sequence, batch.previous, batch.offset)
        if self._items:
            self._at = batch.offset
            return self._items.popleft()
        self._at = batch.offset + batch.size
        self._sequence = batch.sequence
        self._previous = batch.digest
        self._is_behind_batch = True
        self._place = (self._number, self._at)
        self.last = batch
        self.last_bytes = self._data[batch.offset : self._at]
        return batch

    def _is_out_of_line(self, batch: Batch) -> bool:
        return batch.sequence != self._sequence + 1 or batch.previous != self._previous

    def _find(self, at: int) -> Batch | None:
        """The next valid batch from `at` on that is later than the last one."""
        data = self._data
        found = data.find(MAGIC, at)
        while found >= 0:
            head = decode_batch_head(self._salt, self._number, data, found)
            behind = found + 1
            if head is not None:
                batch = decode_batch(self._salt, self._number, data, found)
                if batch is not None and (not self._has_begun or batch.sequence > self._sequence):
                    return batch
                behind = found + head.size  # Never look inside: payloads of clients lie there.
            found = data.find(MAGIC, behind)
        return None

    def _close(self) -> None:
        """No valid batch follows. Only what comes later tells damage from the end of the log."""
        at = self._at
        end = self._content_end
        if end > at or self._is_short:
            is_torn = not self._is_short and is_unfinished(self._salt, self._number, self._data, at)
            lost_max = _LOST_MAX if self._is_short else lost_batches_max(self._salt, self._number, self._data, at, end)
            self._open_ends.append(_OpenEnd(self._number, at, end, is_torn, self._is_behind_batch, lost_max))
        if not self._is_behind_batch:
            self._segment_used = self._number
        self._data = b""

    # -- the end ----------------------------------------------------------------------------------------------------

    def end(self) -> list[Damage]:
        """After the last segment: what is damaged behind the last valid batch. Makes `last_bytes` final."""
        sequence = self.position().sequence
        lost = self._sequence + 1
        found: list[Damage] = []
        for end in self._open_ends:
            if not end.is_unfinished:
                text = end.text or (
                    f"batch {lost} in segment {end.segment} at offset {end.offset} is damaged: it does not look like "
                    "what a crash leaves, so it may have been durable; restore this node's data directory from a copy"
                )
                found.append(Damage(end.segment, end.offset, lost, sequence, text))
                lost = sequence
            elif end.is_behind_batch:
                self.last_bytes += bytes(end.content_end - end.offset)
        self.damages += found
        return found

    def position(self) -> LogPosition:
        """Where the next batch goes: behind the last one, but never into a segment with anything else in it."""
        sequence = self._sequence + 1
        used = self._segment_used
        for end in self._open_ends:
            if not end.is_unfinished:
                sequence += end.lost_max
                used = max(used, end.segment)
        notes = [encode_note(damage.note()) for damage in self.damages]
        last = self.last
        if last is None or used >= last.segment:
            return LogPosition(used + 1, 0, sequence, self._previous, notes)
        return LogPosition(last.segment, last.offset + last.size, sequence, self._previous, notes)

    def finish(self) -> LogPosition:
        """Where the next batch goes. Raises: LogDamaged, at damage behind the last valid batch."""
        for damage in self.end():
            raise LogDamaged(damage.text)
        return self.position()
