"""The durability ledger: the chain of batch digests, a line a batch.

A valid batch proves that the one before it was synced before it was written, so the chain is the record of what was
durable and when in the order of things; no second file and no second sync is needed.
"""

from dataclasses import dataclass, field
from typing import final

from quantum.core.wal.batch import Batch
from quantum.core.wal.frame import GroupEntry, decode_frames


@final
@dataclass(slots=True)
class LedgerLine:
    """One batch."""

    sequence: int
    segment: int
    offset: int
    size: int
    frame_count: int
    last_index: dict[int, int] = field(default_factory=dict)  # group → greatest entry index
    digest: str = ""
    previous: str = ""


def ledger_line(batch: Batch) -> LedgerLine:
    """What a batch proves."""
    last_index: dict[int, int] = {}
    for frame in decode_frames(batch.body):
        if isinstance(frame, GroupEntry):
            last_index[frame.group] = frame.entry.index
    return LedgerLine(
        batch.sequence,
        batch.segment,
        batch.offset,
        batch.size,
        batch.frame_count,
        last_index,
        batch.digest.hex(),
        batch.previous.hex(),
    )
