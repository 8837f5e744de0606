"""Appending to the log: frames collect while the batch before them is being synced (group commit without a timer).

One batch is in flight at any time. A failed write or sync is final: nothing is ever written after it (FAULTS W7).

A hard state is written into two batches in a row and counts only when both are durable, so that one damaged batch never
hides a vote (FAULTS W6); whatever its group put behind it waits for that too.
"""

from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.wal.batch import OVERHEAD_BYTES, encode_batch
from quantum.core.wal.segment import HEAD_BYTES as SEGMENT_HEAD_BYTES
from quantum.core.wal.segment import encode_head, segment_name

_HARD_STATE: Final = -1  # in place of an entry's index: a frame that is to be written twice


@final
@dataclass(slots=True)
class LogPosition:
    """Where the next batch goes."""

    segment: int
    offset: int  # 0 for a segment whose head is not written yet
    sequence: int
    previous: bytes  # digest of the batch before
    notes: list[bytes] = field(default_factory=list)  # frames that go in front of all others


@final
@dataclass(slots=True)
class Append:
    """A batch to be written at a place and synced."""

    name: str
    offset: int
    data: bytes
    marks: dict[int, int]  # group → the greatest number that counts once this is durable


@final
class Writer:
    """The growing end of the log."""

    __slots__ = (
        "_batch_bytes_max",
        "_copies",
        "_copy_bytes",
        "_frames",
        "_held",
        "_in_flight",
        "_marks",
        "_position",
        "_ready",
        "_salt",
        "_segment_bytes",
        "_sizes",
        "last_index",
        "pending_bytes",
    )

    def __init__(self, salt: bytes, segment_bytes: int, batch_bytes_max: int, position: LogPosition) -> None:
        self._salt = salt
        self._segment_bytes = segment_bytes
        self._batch_bytes_max = batch_bytes_max
        self._position = position
        self._sizes: dict[int, int] = {}  # segments that exist, with their sizes
        self._ready: dict[int, bool] = {}  # segments asked for → created
        self._frames: list[bytes] = []
        self._marks: list[
            tuple[int, int, int]
        ] = []  # (group, index, mark) for each frame; index 0 where it is no entry
        self._copies: dict[int, bytes] = {}  # group → hard state of the batch before, to be written again
        self._copy_bytes = 0
        self._held: dict[int, int] = {}  # group → mark that counts with that copy
        self._in_flight: dict[int, int] | None = None
        self.pending_bytes = 0
        self.last_index: dict[int, dict[int, int]] = {}  # segment → group → greatest entry index in it
        for note in position.notes:
            self.add(note, 0, 0)

    @property
    def segment(self) -> int:
        """The segment that is being filled."""
        return self._position.segment

    def add_segment(self, number: int, size: int) -> None:
        """The file of this segment exists and is durable."""
        self._sizes[number] = size
        self._ready[number] = True

    def oldest_segment(self) -> int:
        """The first segment that exists; the one being filled when there is no other."""
        return min(self._sizes, default=self._position.segment)

    def remove_segment(self, number: int) -> None:
        """The file is being deleted."""
        self._sizes.pop(number, None)
        self._ready.pop(number, None)
        self.last_index.pop(number, None)

    def add(self, frame: bytes, group: int, index: int, sequence: int = 0) -> None:
        """Put a frame behind all others; `index` is 0 where it is no entry.

        `sequence` is what `on_durable` reports for the group; the index where there is none.
        """
        self._frames.append(frame)
        self._marks.append((group, index, sequence or index))
        self.pending_bytes += len(frame)

    def add_hard_state(self, frame: bytes, group: int, sequence: int) -> None:
        """Put a hard state behind all others; it counts when it is durable twice.

        `group` is what `on_durable` reports; it need not be the one the frame is of.
        """
        self._frames.append(frame)
        self._marks.append((group, _HARD_STATE, sequence))
        self.pending_bytes += len(frame)

    def take_create(self) -> tuple[int, int] | None:
        """(number, size) of a segment to create now; None when there are enough: one more than is being filled."""
        position = self._position
        need = self._need_bytes()
        if position.segment not in self._ready:
            self._ready[position.segment] = False
            return position.segment, max(self._segment_bytes, need)
        size = self._sizes.get(position.segment)
        if size is None:
            return None
        following = position.segment + 1
        is_soon = position.offset * 2 >= size or position.offset + need > size
        if is_soon and following not in self._ready:
            self._ready[following] = False
            return following, max(self._segment_bytes, need)
        if is_soon and self._ready[following] and position.offset + need > size and self._sizes[following] < need:
            # The segment that waits is too small for this batch: leave it empty and make a larger one behind it.
            self._position = LogPosition(following, 0, position.sequence, position.previous)
        return None

    def _need_bytes(self) -> int:
        """Bytes that the next batch takes in a fresh segment, at most."""
        size = SEGMENT_HEAD_BYTES + OVERHEAD_BYTES + self._copy_bytes
        for frame in self._frames:
            if size > self._batch_bytes_max:
                break
            size += len(frame)
        return size

    def take_append(self) -> Append | None:
        """The next batch, when there is something to write, nothing in flight and a segment with room for it."""
        if self._in_flight is not None or not (self._frames or self._copies):
            return None
        count = 0
        size = self._copy_bytes
        for frame in self._frames:
            if count and size + len(frame) > self._batch_bytes_max:
                break
            size += len(frame)
            count += 1
        position = self._position
        room = self._sizes.get(position.segment)
        if room is None:
            return None
        head_bytes = 0 if position.offset else SEGMENT_HEAD_BYTES
        if position.offset + head_bytes + OVERHEAD_BYTES + size > room:
            following = position.segment + 1
            if self._sizes.get(following, 0) < SEGMENT_HEAD_BYTES + OVERHEAD_BYTES + size:
                return None
            position = LogPosition(following, 0, position.sequence, position.previous)
        return self._write(position, count, size)

    def _write(self, position: LogPosition, count: int, size: int) -> Append:
        self.pending_bytes -= size
        taken, in_flight = self._take(position.segment, count)
        head = b""
        at = position.offset
        if not at:
            size = self._sizes[position.segment]
            head = encode_head(self._salt, position.segment, size, position.sequence, position.previous)
            at = SEGMENT_HEAD_BYTES
        data, digest = encode_batch(self._salt, position.segment, at, position.sequence, position.previous, taken)
        self._in_flight = in_flight
        self._position = LogPosition(position.segment, at + len(data), position.sequence + 1, digest)
        return Append(segment_name(position.segment), position.offset, head + data, in_flight)

    def _take(self, segment: int, count: int) -> tuple[list[bytes], dict[int, int]]:
        """The frames of the next batch, and what counts once it is durable."""
        frames = self._frames
        if count == len(frames):
            taken, marks = frames, self._marks
            self._frames, self._marks = [], []
        else:
            taken, marks = frames[:count], self._marks[:count]
            del frames[:count]
            del self._marks[:count]
        in_flight = self._held
        held: dict[int, int] = {}
        copies: dict[int, bytes] = {}
        last_index = self.last_index.setdefault(segment, {})
        for at, (group, index, mark) in enumerate(marks):
            if index > 0:
                if index > last_index.get(group, 0):
                    last_index[group] = index
            elif index < 0:
                copies.pop(group, None)  # Copies keep the order of the last of each: a later one must not come first.
                copies[group] = taken[at]
            if mark:
                if group in copies:
                    held[group] = mark
                else:
                    in_flight[group] = mark
        if self._copies:
            taken = [*self._copies.values(), *taken]
        self._copies = copies
        self._copy_bytes = 0
        for frame in copies.values():
            self._copy_bytes += len(frame)
        self.pending_bytes += self._copy_bytes
        self._held = held
        return taken, in_flight

    def on_durable(self) -> dict[int, int]:
        """The batch in flight is on disk: group → the greatest number of `add` that counts now."""
        assert self._in_flight is not None
        done = self._in_flight
        self._in_flight = None
        return done

    def is_idle(self) -> bool:
        """Nothing is in flight and nothing waits."""
        return self._in_flight is None and not self._frames and not self._copies
