"""Goal: what lies in a data directory is shown, damaged or not. Method: a small log written by the writer, read by the
command, whole and with a turned bit."""

import json
from pathlib import Path

from click.testing import CliRunner, Result

from quantum.cli.inspect import inspect
from quantum.core.raft.entry import NO_OP, Entry
from quantum.core.wal.batch import NO_DIGEST
from quantum.core.wal.frame import (
    HardState,
    Note,
    Truncate,
    encode_entry_frame,
    encode_hard_state,
    encode_note,
    encode_repair_frame,
    encode_truncate,
)
from quantum.core.wal.segment import identity_salt
from quantum.core.wal.writer import LogPosition, Writer

SEGMENT = "wal/segment-0000000001.log"


def written(path: Path) -> Path:
    """A data directory with a frame of each kind in a batch of its own."""
    data = bytearray(4096)
    writer = Writer(identity_salt("c", "n"), len(data), 4096, LogPosition(1, 0, 1, NO_DIGEST))
    writer.add_segment(1, len(data))
    entry = Entry(2, 1, NO_OP, b"")
    for frame in (
        encode_hard_state(HardState(1, 3, 2)),
        encode_entry_frame(1, 1, 1, NO_OP, b""),
        encode_repair_frame(1, entry.index, entry.term, entry.kind, entry.data),
        encode_truncate(Truncate(1, 2)),
        encode_note(Note(1, 512, 3, 4)),
    ):
        writer.add(frame, 0, 0)
        append = writer.take_append()
        assert append is not None
        data[append.offset : append.offset + len(append.data)] = append.data
        writer.on_durable()
    (path / "wal").mkdir()
    (path / SEGMENT).write_bytes(data)
    (path / "node.json").write_text(json.dumps({"cluster_id": "c", "node_id": "n"}))
    return path


def shown(path: Path, command: str) -> Result:
    return CliRunner().invoke(inspect, [command, str(path), "--json"])


def test_every_kind_of_frame_is_shown(tmp_path: Path) -> None:
    result = shown(written(tmp_path), "wal")
    assert 0 == result.exit_code, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert ["hard_state", "entry", "repair", "truncate", "note"] == [row["frame"] for row in rows]
    assert [1, 2, 3, 4, 5] == [row["batch"] for row in rows]


def test_damage_is_told_and_what_is_behind_it_shown(tmp_path: Path) -> None:
    file = written(tmp_path) / SEGMENT
    data = bytearray(file.read_bytes())
    data[200] ^= 1
    file.write_bytes(data)
    result = shown(tmp_path, "ledger")
    assert 0 == result.exit_code, result.output
    assert 4 == len([line for line in result.stdout.splitlines() if line.startswith("{")])
    assert "is damaged: a later batch stands in segment 1" in result.stderr


def test_the_state_behind_damage_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path) / SEGMENT
    data = bytearray(file.read_bytes())
    data[200] ^= 1
    file.write_bytes(data)
    result = shown(tmp_path, "state")
    assert 1 == result.exit_code
    assert "is damaged" in result.output
