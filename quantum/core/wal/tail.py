"""What the end of a log looks like: a batch that a crash cut short, or one that was whole and is damaged (FAULTS W4).

A disk writes whole sectors. What a power loss leaves of a batch lacks some sector of it, and what a kill leaves lacks its
end; both read as zeros, because a segment is zeroed before it is used and again where a torn batch was cut. A batch that
was synced lacks nothing, see `batch`. Where it is neither, the bytes count as damaged: they may have been acknowledged.
"""

from quantum.core.wal.batch import HEAD_BYTES, OVERHEAD_BYTES, SECTOR_BYTES, TRAILER, decode_batch_head
from quantum.core.wal.segment import HEAD_BYTES as SEGMENT_HEAD_BYTES


def is_unfinished(salt: bytes, segment: int, data: bytes, at: int) -> bool:
    """Whether the bytes at `at`, which are no valid batch, are what a crash left of one."""
    boundary = (at // SECTOR_BYTES + 1) * SECTOR_BYTES
    if is_blank(data, at, boundary):
        return True
    if at == 0:
        return is_blank(data, SEGMENT_HEAD_BYTES, len(data))
    head = decode_batch_head(salt, segment, data, at)
    if head is None:
        if at + HEAD_BYTES > boundary and is_blank(data, boundary, boundary + SECTOR_BYTES):
            return True
        return is_blank(data, at + HEAD_BYTES, len(data))
    end = at + head.size
    if end > len(data):
        return False  # Nobody plans a batch that does not fit: the file was made shorter.
    for start in range(boundary, end, SECTOR_BYTES):
        if is_blank(data, start, min(start + SECTOR_BYTES, end)):
            return True
    trailer = data[end - 4 : end]
    is_cut = trailer in [TRAILER[:kept] + bytes(4 - kept) for kept in range(4)]
    return is_cut and is_blank(data, end, len(data))


def is_blank(data: bytes, start: int, end: int) -> bool:
    """Nothing but zeros."""
    return not data[start:end].strip(b"\0")


def lost_batches_max(salt: bytes, segment: int, data: bytes, at: int, end: int) -> int:
    """How many batches the bytes from `at` to `end` may have been: one where a whole head says that it was all."""
    head = decode_batch_head(salt, segment, data, at)
    if head is not None and at + head.size >= end:
        return 1
    return max(0, end - at) // OVERHEAD_BYTES + 2
