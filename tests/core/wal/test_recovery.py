"""Goal: the log comes back as far as it was durable, and damage is named, never cut. Method: a small log of several
segments, written by the writer, then torn and flipped at every byte."""

import pytest

from quantum.core.prng import Prng
from quantum.core.raft.entry import COMMAND
from quantum.core.wal.batch import NO_DIGEST
from quantum.core.wal.frame import GroupEntry, decode_frames, encode_entry_frame
from quantum.core.wal.ledger import ledger_line
from quantum.core.wal.recovery import LogDamaged, Recovery
from quantum.core.wal.segment import identity_salt, segment_number
from quantum.core.wal.writer import LogPosition, Writer

SALT = identity_salt("cluster", "node")
SEGMENT_BYTES = 512


class Log:
    """Segments in memory, and where each batch lies."""

    def __init__(self) -> None:
        self.segments: dict[int, bytearray] = {}
        self.places: list[tuple[int, int, int]] = []  # (segment, offset, size) of each write
        self.index = 0
        self.writer = Writer(SALT, SEGMENT_BYTES, 4096, LogPosition(1, 0, 1, NO_DIGEST))

    def append(self, data: bytes) -> None:
        self.index += 1
        self.writer.add(encode_entry_frame(1, self.index, 1, COMMAND, data), 1, self.index)
        while True:
            wanted = self.writer.take_create()
            if wanted is not None:
                self.segments[wanted[0]] = bytearray(wanted[1])
                self.writer.add_segment(*wanted)
            append = self.writer.take_append()
            if append is not None:
                break
        number = segment_number(append.name)
        self.segments[number][append.offset : append.offset + len(append.data)] = append.data
        self.places.append((number, append.offset, len(append.data)))
        assert {1: self.index} == self.writer.on_durable()


def recovered(segments: dict[int, bytearray], salt: bytes = SALT) -> tuple[list[bytes], Recovery]:
    """The entries' data, and the recovery at its end."""
    recovery = Recovery(salt)
    found: list[bytes] = []
    for number in sorted(segments):
        recovery.on_segment(number, bytes(segments[number]))
        while (batch := recovery.next_batch()) is not None:
            found += [frame.entry.data for frame in decode_frames(batch.body) if isinstance(frame, GroupEntry)]
    return found, recovery


def written(count: int = 12) -> Log:
    log = Log()
    for number in range(count):
        log.append(b"entry %d " % number * (1 + number % 3))
    return log


def test_a_whole_log_comes_back_with_the_place_for_the_next_batch() -> None:
    log = written()
    assert 3 <= len({place[0] for place in log.places})
    found, recovery = recovered(log.segments)
    assert [b"entry %d " % number * (1 + number % 3) for number in range(12)] == found
    segment, offset, size = log.places[-1]
    assert (segment, offset + size, 13) == (
        recovery.finish().segment,
        recovery.finish().offset,
        recovery.finish().sequence,
    )
    assert recovery.torn is None


def test_recovering_twice_gives_the_same() -> None:
    log = written()
    first, one = recovered(log.segments)
    second, two = recovered(log.segments)
    assert first == second
    assert one.finish() == two.finish()


def test_each_torn_length_of_the_last_batch_falls_back_to_the_one_before() -> None:
    log = written()
    segment, offset, size = log.places[-1]
    whole = bytes(log.segments[segment])
    for kept in range(size):
        log.segments[segment][offset + kept : offset + size] = bytes(size - kept)
        found, recovery = recovered(log.segments)
        assert 11 == len(found), kept
        assert 12 == recovery.finish().sequence
        log.segments[segment][:] = whole


def test_a_torn_batch_is_written_over_and_never_comes_back() -> None:
    log = written()
    segment, offset, size = log.places[-1]
    log.segments[segment][offset + size // 2 : offset + size] = bytes(size - size // 2)
    _, recovery = recovered(log.segments)
    again = Log()
    again.segments = log.segments
    again.index = 11
    again.writer = Writer(SALT, SEGMENT_BYTES, 4096, recovery.finish())
    for number, data in log.segments.items():
        again.writer.add_segment(number, len(data))
    again.append(b"after")
    again.append(b"later")
    found, _ = recovered(again.segments)
    assert [b"after", b"later"] == found[11:]


def test_each_flipped_byte_before_the_last_batch_is_named() -> None:
    log = written(8)
    for segment, offset, size in log.places[:-1]:
        for at in range(offset, offset + size):
            log.segments[segment][at] ^= 0x40
            with pytest.raises(LogDamaged, match="segment"):
                recovered(log.segments)
            log.segments[segment][at] ^= 0x40


def test_a_missing_segment_and_a_foreign_log_are_refused() -> None:
    log = written()
    with pytest.raises(LogDamaged, match="another node"):
        recovered(log.segments, identity_salt("cluster", "other"))
    del log.segments[2]
    with pytest.raises(LogDamaged, match="segment 2 is missing"):
        recovered(log.segments)


def test_random_bytes_never_raise_anything_else() -> None:
    prng = Prng(5)
    log = written()
    for _ in range(300):
        segments = {number: bytearray(data) for number, data in log.segments.items()}
        for _ in range(1 + prng.below(6)):
            number = 1 + prng.below(len(segments))
            at = prng.below(len(segments[number]))
            noise = prng.bytes(1 + prng.below(40))
            segments[number][at : at + len(noise)] = noise
        try:
            found, _ = recovered(segments)
        except (LogDamaged, ValueError):
            continue
        assert found == [b"entry %d " % number * (1 + number % 3) for number in range(len(found))]


def test_ledger_chains_the_digests() -> None:
    log = written()
    recovery = Recovery(SALT)
    lines = []
    for number in sorted(log.segments):
        recovery.on_segment(number, bytes(log.segments[number]))
        while (batch := recovery.next_batch()) is not None:
            lines.append(ledger_line(batch))
    assert list(range(1, 13)) == [line.sequence for line in lines]
    assert [line.digest for line in lines[:-1]] == [line.previous for line in lines[1:]]
    assert [{1: index} for index in range(1, 13)] == [line.last_index for line in lines]
