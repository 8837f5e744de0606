"""Goal: frames lie on disk as docs/log-format.md says, byte for byte, and come back as they were. Method: one golden row
a kind; every row cut at every byte; unknown kinds."""

import pytest

from quantum.core.raft.entry import COMMAND, MEMBERSHIP, Entry
from quantum.core.wal.frame import (
    Frame,
    GroupEntry,
    HardState,
    Note,
    Repair,
    SnapshotMark,
    Truncate,
    decode_frames,
    encode_entry_frame,
    encode_hard_state,
    encode_note,
    encode_repair_frame,
    encode_snapshot_mark,
    encode_truncate,
)

ROWS: list[tuple[Frame, bytes, str]] = [
    (
        GroupEntry(1, Entry(2, 3, COMMAND, b"abc")),
        encode_entry_frame(1, 2, 3, COMMAND, b"abc"),
        "01 01000000 0200000000000000 0300000000000000 00 03000000 616263",
    ),
    (
        Repair(1, Entry(2, 3, MEMBERSHIP, b"")),
        encode_repair_frame(1, 2, 3, MEMBERSHIP, b""),
        "05 01000000 0200000000000000 0300000000000000 02 00000000",
    ),
    (HardState(1, 9, 2), encode_hard_state(HardState(1, 9, 2)), "02 01000000 0900000000000000 02000000 00"),
    (
        HardState(1, 9, 2, is_tail_doubtful=True),
        encode_hard_state(HardState(1, 9, 2, is_tail_doubtful=True)),
        "02 01000000 0900000000000000 02000000 01",
    ),
    (
        HardState(1, 9, 2, is_vote_doubtful=True),
        encode_hard_state(HardState(1, 9, 2, is_vote_doubtful=True)),
        "02 01000000 0900000000000000 02000000 02",
    ),
    (
        SnapshotMark(1, 7, 3, b"d" * 32, b"mm"),
        encode_snapshot_mark(SnapshotMark(1, 7, 3, b"d" * 32, b"mm")),
        "03 01000000 0700000000000000 0300000000000000" + "64" * 32 + "02000000 6d6d",
    ),
    (Truncate(1, 7), encode_truncate(Truncate(1, 7)), "04 01000000 0700000000000000"),
    (
        Note(1, 512, 4, 6),
        encode_note(Note(1, 512, 4, 6)),
        "06 0100000000000000 0002000000000000 0400000000000000 0600000000000000",
    ),
]


@pytest.mark.parametrize(("frame", "encoded", "golden"), ROWS, ids=lambda row: type(row).__name__)
def test_frame_has_its_golden_bytes_and_comes_back(frame: Frame, encoded: bytes, golden: str) -> None:
    assert bytes.fromhex(golden) == encoded
    assert [frame] == decode_frames(encoded)


def test_frames_of_all_kinds_stand_behind_each_other() -> None:
    assert [row[0] for row in ROWS] == decode_frames(b"".join(row[1] for row in ROWS))


@pytest.mark.parametrize("encoded", [row[1] for row in ROWS], ids=[type(row[0]).__name__ for row in ROWS])
def test_a_frame_cut_anywhere_is_refused(encoded: bytes) -> None:
    for kept in range(1, len(encoded)):
        with pytest.raises(ValueError, match="frame"):
            decode_frames(encoded[:kept])


@pytest.mark.parametrize("kind", [0, 7, 255])
def test_an_unknown_kind_is_refused(kind: int) -> None:
    with pytest.raises(ValueError, match=f"frame kind {kind}, known 1 to 6"):
        decode_frames(bytes([kind]) + bytes(64))


def test_unknown_doubts_are_refused() -> None:
    with pytest.raises(ValueError, match="doubts 4"):
        decode_frames(encode_hard_state(HardState(1, 9, 2))[:-1] + b"\x04")
