"""What consensus wants durable, as frames of the log."""

from quantum.core.raft.entry import Entry
from quantum.core.raft.membership import encode_membership
from quantum.core.raft.records import HardStateRecord, Record, RepairRecord, SnapshotRecord, TruncateRecord
from quantum.core.wal.frame import (
    HardState,
    SnapshotMark,
    Truncate,
    encode_entry_frame,
    encode_hard_state,
    encode_repair_frame,
    encode_snapshot_mark,
    encode_truncate,
)
from quantum.core.wal.writer import Writer

NO_MANIFEST = bytes(32)


def write_record(writer: Writer, group: int, sequence: int, record: Record, digest: bytes) -> None:
    """Put a record behind all others; `digest` is that of a SnapshotRecord's manifest."""
    if isinstance(record, Entry):
        frame = encode_entry_frame(group, record.index, record.term, record.kind, record.data)
        writer.add(frame, group, record.index, sequence)
    elif isinstance(record, HardStateRecord):
        state = HardState(group, record.term, record.voted_for, record.is_tail_doubtful)
        writer.add_hard_state(encode_hard_state(state), group, sequence)
    elif isinstance(record, TruncateRecord):
        writer.add(encode_truncate(Truncate(group, record.index)), group, 0, sequence)
    elif isinstance(record, RepairRecord):
        entry = record.entry
        frame = encode_repair_frame(group, entry.index, entry.term, entry.kind, entry.data)
        writer.add(frame, group, entry.index, sequence)
    else:
        assert isinstance(record, SnapshotRecord)
        mark = SnapshotMark(group, record.index, record.term, digest, encode_membership(record.membership))
        writer.add(encode_snapshot_mark(mark), group, 0, sequence)
