"""Appending to the log: frames collect while the batch before them is being synced (group commit without a timer).

One batch is in flight at any time. A failed write or sync is final: nothing is ever written after it (FAULTS W7).
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.wal.batch import HEAD_BYTES, encode_batch
from quantum.core.wal.segment import HEAD_BYTES as SEGMENT_HEAD_BYTES
from quantum.core.wal.segment import encode_head, segment_name

FRAMES_MAX: Final = 0xFFFFFFFF


@final
@dataclass(slots=True)
class LogPosition:
    """Where the next batch goes."""

    segment: int
    offset: int  # 0 for a segment whose head is not written yet
    sequence: int
    previous: bytes  # digest of the batch before


@final
@dataclass(slots=True)
class Append:
    """A batch to be written at a place and synced."""

    name: str
    offset: int
    data: bytes
    marks: dict[int, int]  # group → greatest entry index in it


@final
class Writer:
    """The growing end of the log."""

    __slots__ = (
        "_batch_bytes_max",
        "_frames",
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
        self._marks: list[tuple[int, int]] = []  # (group, index) for each frame; (0, 0) where it is no entry
        self._in_flight: dict[int, int] | None = None
        self.pending_bytes = 0
        self.last_index: dict[int, dict[int, int]] = {}  # segment → group → greatest entry index in it

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

    def add(self, frame: bytes, group: int, index: int) -> None:
        """Put a frame behind all others; `index` is 0 where it is no entry."""
        self._frames.append(frame)
        self._marks.append((group, index))
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
        """Bytes that the next batch takes in a fresh segment."""
        size = SEGMENT_HEAD_BYTES + HEAD_BYTES
        for frame in self._frames:
            if size > self._batch_bytes_max:
                break
            size += len(frame)
        return size

    def take_append(self) -> Append | None:
        """The next batch, when there is something to write, nothing in flight and a segment with room for it."""
        if self._in_flight is not None or not self._frames:
            return None
        count = 0
        size = 0
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
        if position.offset + head_bytes + HEAD_BYTES + size > room:
            following = position.segment + 1
            if self._sizes.get(following, 0) < SEGMENT_HEAD_BYTES + HEAD_BYTES + size:
                return None
            position = LogPosition(following, 0, position.sequence, position.previous)
        return self._write(position, count, size)

    def _write(self, position: LogPosition, count: int, size: int) -> Append:
        frames = self._frames
        if count == len(frames):
            taken, marks = frames, self._marks
            self._frames, self._marks = [], []
        else:
            taken, marks = frames[:count], self._marks[:count]
            del frames[:count]
            del self._marks[:count]
        head = b""
        at = position.offset
        if not at:
            head = encode_head(self._salt, position.segment, position.sequence, position.previous)
            at = SEGMENT_HEAD_BYTES
        data, digest = encode_batch(self._salt, position.segment, at, position.sequence, position.previous, taken)
        in_flight: dict[int, int] = {}
        for group, index in marks:
            if index:
                in_flight[group] = index
        self.last_index.setdefault(position.segment, {}).update(in_flight)
        self._in_flight = in_flight
        self._position = LogPosition(position.segment, at + len(data), position.sequence + 1, digest)
        self.pending_bytes -= size
        return Append(segment_name(position.segment), position.offset, head + data, in_flight)

    def on_durable(self) -> dict[int, int]:
        """The batch in flight is on disk: group → greatest durable entry index."""
        assert self._in_flight is not None
        done = self._in_flight
        self._in_flight = None
        return done

    def is_idle(self) -> bool:
        """Nothing is in flight and nothing waits."""
        return self._in_flight is None and not self._frames
