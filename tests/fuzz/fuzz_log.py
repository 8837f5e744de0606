"""A log that was damaged in any way gives back entries that were written, and no others. Input: edits of a small log,
each four bytes: where (segment and offset), how, and with what."""

from quantum.core.raft.entry import COMMAND
from quantum.core.wal.batch import NO_DIGEST
from quantum.core.wal.frame import GroupEntry, decode_frames, encode_entry_frame
from quantum.core.wal.recovery import LogDamaged, Recovery
from quantum.core.wal.segment import identity_salt, segment_number
from quantum.core.wal.writer import LogPosition, Writer

BYTES_MAX = 64
SALT = identity_salt("cluster", "node")
SEGMENT_BYTES = 512
ENTRIES = [b"entry %d " % number * (1 + number % 3) for number in range(12)]
SEEDS = [b"", b"\x00\x00\x00\x01", b"\x00\x50\x01\xff", b"\x01\x10\x02\x20", b"\x02\x40\x03\x00\x00\x08\x00\x80"]


def written() -> dict[int, bytes]:
    """Segments of twelve batches."""
    segments: dict[int, bytearray] = {}
    writer = Writer(SALT, SEGMENT_BYTES, 4096, LogPosition(1, 0, 1, NO_DIGEST))
    for index, data in enumerate(ENTRIES, 1):
        writer.add(encode_entry_frame(1, index, 1, COMMAND, data), 1, index)
        append = None
        while append is None:
            wanted = writer.take_create()
            if wanted is not None:
                segments[wanted[0]] = bytearray(wanted[1])
                writer.add_segment(*wanted)
            append = writer.take_append()
        segment = segments[segment_number(append.name)]
        segment[append.offset : append.offset + len(append.data)] = append.data
        writer.on_durable()
    return {number: bytes(data) for number, data in segments.items()}


LOG = written()


def edited(data: bytes) -> dict[int, bytes]:
    """The log after the edits."""
    segments = {number: bytearray(segment) for number, segment in LOG.items()}
    numbers = list(segments)
    for at in range(0, len(data) - 3, 4):
        number = numbers[(data[at] >> 1) % len(numbers)]
        offset = ((data[at] & 1) << 8 | data[at + 1]) % SEGMENT_BYTES
        how, what = data[at + 2] % 6, data[at + 3]
        segment = segments[number]
        if how == 0:
            segment[offset : offset + 1] = bytes((segment[offset] ^ what,)) if offset < len(segment) else b""
        elif how == 1:
            segment[offset : offset + what] = bytes(len(segment[offset : offset + what]))
        elif how == 2:
            del segment[offset:]
        elif how == 3:
            segment[offset : offset + what] = b""
        elif how == 4:
            source = segments[numbers[what % len(numbers)]]
            segment[offset:] = source[offset:]
        else:
            segments[number] = bytearray(LOG[numbers[what % len(numbers)]])
    return {number: bytes(segment) for number, segment in segments.items()}


def check(data: bytes) -> None:
    segments = edited(data)
    is_whole = segments == LOG
    for take in (strict, lenient):
        entries, is_damaged = take(segments)
        places = [ENTRIES.index(entry) for entry in entries]
        assert sorted(set(places)) == places, f"out of order or twice: {places}"
        assert not is_whole or (list(range(12)) == places and not is_damaged), "a whole log is whole"


def strict(segments: dict[int, bytes]) -> tuple[list[bytes], bool]:
    """As a node without peers reads: damage is refused."""
    recovery = Recovery(SALT)
    found: list[bytes] = []
    try:
        for number, segment in segments.items():
            recovery.on_segment(number, segment)
            while (batch := recovery.next_batch()) is not None:
                found += entries_of(batch.body)
        recovery.finish()
    except LogDamaged:
        return found, True
    assert is_run(found), "a hole that nobody named"
    return found, False


def lenient(segments: dict[int, bytes]) -> tuple[list[bytes], bool]:
    """As a node with peers reads: damage is named."""
    recovery = Recovery(SALT)
    found: list[bytes] = []
    try:
        for number, segment in segments.items():
            recovery.on_segment(number, segment)
            while (item := recovery.next_item()) is not None:
                if hasattr(item, "body"):
                    found += entries_of(item.body)
        damages = recovery.end()
        position = recovery.position()
    except LogDamaged:
        return found, True
    assert position.segment >= 1
    assert damages or recovery.damages or is_run(found), "a hole that nobody named"
    return found, bool(damages or recovery.damages)


def is_run(found: list[bytes]) -> bool:
    """Whether nothing is missing in between. A log may begin with any segment: only its groups know what came before."""
    first = ENTRIES.index(found[0]) if found else 0
    return found == ENTRIES[first : first + len(found)]


def entries_of(body: bytes) -> list[bytes]:
    """The data of a batch's entries."""
    return [frame.entry.data for frame in decode_frames(body) if isinstance(frame, GroupEntry)]
