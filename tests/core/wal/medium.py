"""Segments in memory, written by the writer as a node does, and what a crash leaves of them."""

from collections.abc import Iterator
from itertools import product

from quantum.core.raft.entry import COMMAND
from quantum.core.wal.batch import NO_DIGEST, SECTOR_BYTES
from quantum.core.wal.damage import Damage
from quantum.core.wal.frame import GroupEntry, decode_frames, encode_entry_frame
from quantum.core.wal.recovery import Recovery
from quantum.core.wal.segment import identity_salt, segment_name, segment_number
from quantum.core.wal.writer import Append, LogPosition, Writer

SALT = identity_salt("cluster", "node")
Image = dict[int, bytes]  # segment → bytes


class Reading:
    """What recovery makes of an image."""

    def __init__(self, image: Image, salt: bytes = SALT) -> None:
        self.recovery = Recovery(salt)
        self.data: list[bytes] = []  # of the entries
        self.indexes: list[int] = []
        self.sequences: list[int] = []  # of the batches
        self.damages: list[Damage] = []
        for number in sorted(image):
            self.recovery.on_segment(number, image[number])
            while (item := self.recovery.next_item()) is not None:
                if isinstance(item, Damage):
                    self.damages.append(item)
                    continue
                self.sequences.append(item.sequence)
                for frame in decode_frames(item.body):
                    if isinstance(frame, GroupEntry):
                        self.data.append(frame.entry.data)
                        self.indexes.append(frame.entry.index)
        self.torn = self.recovery.torn
        self.damages += self.recovery.end()
        self.position = self.recovery.position()


class Medium:
    """A log that grows; everything written is durable but for the batch in flight."""

    def __init__(self, segment_bytes: int) -> None:
        self.segment_bytes = segment_bytes
        self.image: Image = {}
        self.index = 0
        self.writer = Writer(SALT, segment_bytes, 16_384, LogPosition(1, 0, 1, NO_DIGEST))
        self.in_flight: Append | None = None

    @classmethod
    def restarted(cls, segment_bytes: int, image: Image) -> "Medium":
        """As a node starts: the last batch is written once more, then the log goes on behind it."""
        reading = Reading(image)
        medium = cls(segment_bytes)
        medium.image = dict(image)
        last = reading.recovery.last
        if last is not None:
            medium.in_flight = Append(segment_name(last.segment), last.offset, reading.recovery.last_bytes, {})
            medium.sync()
        medium.index = max(reading.indexes, default=0)
        medium.writer = Writer(SALT, segment_bytes, 16_384, reading.position)
        for number, data in image.items():
            medium.writer.add_segment(number, len(data))
        return medium

    def write(self, data: bytes) -> None:
        """Begin to write an entry; notes that wait in front of it are written with it."""
        self.index += 1
        self.writer.add(encode_entry_frame(1, self.index, 1, COMMAND, data), 1, self.index)
        while True:
            wanted = self.writer.take_create()
            if wanted is not None:
                self.image[wanted[0]] = bytes(wanted[1])
                self.writer.add_segment(*wanted)
            self.in_flight = self.writer.take_append()
            if self.in_flight is not None:
                return

    def sync(self) -> None:
        """What was written is durable."""
        append = self.in_flight
        assert append is not None
        self.image = overlaid(self.image, append, append.data, 0)
        self.in_flight = None

    def append(self, data: bytes) -> None:
        """An entry in a batch of its own, durable."""
        self.write(data)
        self.sync()
        self.writer.on_durable()

    def drop_front(self) -> None:
        """Delete the oldest segment, as when a snapshot stands for it."""
        oldest = self.writer.oldest_segment()
        assert oldest < self.writer.segment
        self.writer.remove_segment(oldest)
        del self.image[oldest]

    def torn(self) -> Iterator[Image]:
        """What may be there of the batch in flight after a power loss: each subset of its sectors."""
        append = self.in_flight
        assert append is not None
        pieces = []
        at = 0
        while at < len(append.data):
            end = min(len(append.data), ((append.offset + at) // SECTOR_BYTES + 1) * SECTOR_BYTES - append.offset)
            pieces.append((at, end))
            at = end
        assert len(pieces) <= 8
        for kept in product((False, True), repeat=len(pieces)):
            image = self.image
            for is_kept, (start, end) in zip(kept, pieces, strict=True):
                if is_kept:
                    image = overlaid(image, append, append.data[start:end], start)
            yield image

    def cut(self) -> Iterator[Image]:
        """What may be there of it after a kill: each length of it."""
        append = self.in_flight
        assert append is not None
        for size in range(len(append.data) + 1):
            yield overlaid(self.image, append, append.data[:size], 0)


def overlaid(image: Image, append: Append, data: bytes, at: int) -> Image:
    """The image with some bytes of an append on it."""
    number = segment_number(append.name)
    start = append.offset + at
    old = image[number]
    assert start + len(data) <= len(old)
    return {**image, number: old[:start] + data + old[start + len(data) :]}
