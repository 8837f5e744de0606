"""Reading the log back: batches in order, the torn tail told apart from damage (law NO SILENT CUT).

Only the last batch of a log can be torn, because no batch was written before the one in front of it was synced. So
invalid bytes with any valid later batch behind them are damage: named and refused, never cut. Invalid bytes with nothing
valid behind them are the end of the log.
"""

from dataclasses import dataclass
from typing import final

from quantum.core.wal.batch import HEAD_BYTES, MAGIC, NO_DIGEST, Batch, decode_batch
from quantum.core.wal.segment import FORMAT_VERSION, decode_head
from quantum.core.wal.segment import HEAD_BYTES as SEGMENT_HEAD_BYTES
from quantum.core.wal.writer import LogPosition


class LogDamaged(Exception):
    """Bytes that were durable are not what was written; the text names where."""


@final
@dataclass(slots=True)
class TornTail:
    """Where the log ends in bytes that are no batch."""

    segment: int
    offset: int


@final
class Recovery:
    """Walks over the segments of a log, ascending, and yields their batches.

    Feed whole segments to `on_segment`, take batches until there are none, and `finish` after the last segment.
    """

    __slots__ = (
        "_at",
        "_data",
        "_head_segment",
        "_is_ended",
        "_number",
        "_previous",
        "_salt",
        "_sequence",
        "last",
        "last_bytes",
        "torn",
    )

    def __init__(self, salt: bytes) -> None:
        self._salt = salt
        self._sequence = 0  # of the last batch, 0 before the first
        self._previous = NO_DIGEST
        self._number = 0
        self._data = b""
        self._at = 0
        self._head_segment = 0  # the last segment with a head
        self._is_ended = False  # the log ended in an earlier segment
        self.last: Batch | None = None
        self.last_bytes = b""  # the last batch as it lies on disk
        self.torn: TornTail | None = None

    def on_segment(self, number: int, data: bytes) -> None:
        """The next segment, whole. Raises: LogDamaged, where this segment proves that an earlier one lost something."""
        if self._number and number != self._number + 1:
            raise LogDamaged(f"segment {self._number + 1} is missing, segment {number} follows {self._number}")
        self._number = number
        self._data = data
        self._at = 0
        head = decode_head(self._salt, data)
        if head is None:
            if data[:SEGMENT_HEAD_BYTES].strip(b"\0"):
                # A head lies within one sector, so it is never torn.
                raise LogDamaged(f"segment {number} has a damaged head, or belongs to another node")
            self._end_at(0)
            return
        if head.version != FORMAT_VERSION:
            raise LogDamaged(f"segment {number} has format {head.version}, this version reads {FORMAT_VERSION}")
        if self._sequence and (head.first_sequence != self._sequence + 1 or head.previous != self._previous):
            self._refuse_later(number, 0)
        # The chain goes on, so nothing durable was lost before this head; what follows the last batch of the segment
        # before is what a crash left of a batch that was then written here.
        self._is_ended = False
        self.torn = None
        self._sequence = head.first_sequence - 1
        self._previous = head.previous
        self._head_segment = number
        self._at = SEGMENT_HEAD_BYTES

    def next_batch(self) -> Batch | None:
        """The next batch of this segment; None at its end. Raises: LogDamaged."""
        if self._is_ended or not self._data:
            return None
        batch = decode_batch(self._salt, self._number, self._data, self._at, 0)
        if batch is None or batch.sequence != self._sequence + 1 or batch.previous != self._previous:
            self._end_at(self._at)
            return None
        self._at += batch.size
        self._sequence = batch.sequence
        self._previous = batch.digest
        self.last = batch
        self.last_bytes = self._data[batch.offset : batch.offset + batch.size]
        return batch

    def _end_at(self, at: int) -> None:
        """No valid batch follows at `at`. A full segment ends so too: only a later batch tells damage from the end."""
        data = self._data
        found = data.find(MAGIC, at)
        while found >= 0:
            batch = decode_batch(self._salt, self._number, data, found, 0)
            if batch is not None and batch.sequence > self._sequence:
                self._refuse_later(self._number, found)
            found = data.find(MAGIC, found + 1)
        rest = data[at : at + HEAD_BYTES]
        is_blank = not rest.strip(b"\0")
        if not is_blank or at == 0:
            if self.torn is None and not is_blank:
                self.torn = TornTail(self._number, at)
            self._is_ended = True
        self._data = b""

    def _refuse_later(self, number: int, offset: int) -> None:
        lost = self._sequence + 1
        where = self.torn or TornTail(self._number, self._at)
        raise LogDamaged(
            f"batch {lost} in segment {where.segment} at offset {where.offset} is damaged: a later batch stands in "
            f"segment {number} at offset {offset}, so it was durable; restore this node's data directory from a copy"
        )

    def finish(self) -> LogPosition:
        """Where the next batch goes."""
        last = self.last
        if last is None or last.segment < self._head_segment:
            # Its head is there and no batch is: the first batch is written again, with the same head.
            return LogPosition(max(1, self._head_segment), 0, self._sequence + 1, self._previous)
        return LogPosition(last.segment, last.offset + last.size, last.sequence + 1, last.digest)
