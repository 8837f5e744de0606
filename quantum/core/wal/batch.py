"""Batches: the unit that is written and synced, chained by digests so that each proves the one before it durable.

Batch k+1 is written only after batch k was synced. The checksums cover the batch, its place (segment and offset) and the
identity of the log, so that stale, foreign and misdirected bytes do not pass (FAULTS W10).

A batch that was written whole has no sector that is nearly all zeros, and ends in a trailer: so one that a crash cut short
can be told from one that was whole and rotted, see `tail`. A body with such a sector is masked.

    offset  bytes  field
         0      4  magic "QBAT"
         4      4  CRC-32C of salt, segment number, offset and the rest of the head
         8      4  CRC-32C of the body as it is stored, and the trailer
        12      8  sequence, 1 for the first batch of a log
        20      4  bytes of the body
        24      4  frames in the body
        28      4  mask, 0 for none
        32     16  digest of the batch before
        48         body: frames
                4  trailer "QEND"
"""

from dataclasses import dataclass
from hashlib import blake2b, shake_128
from struct import Struct
from typing import Final, final

import google_crc32c

MAGIC: Final = b"QBAT"
TRAILER: Final = b"QEND"
HEAD_BYTES: Final = 48
OVERHEAD_BYTES: Final = HEAD_BYTES + 4  # what a batch takes beside its frames
DIGEST_BYTES: Final = 16
NO_DIGEST: Final = bytes(DIGEST_BYTES)
SECTOR_BYTES: Final = 512  # what a disk writes whole or not at all; larger ones are made of these
_ZEROS_MAX: Final = SECTOR_BYTES - 8  # more zeros in a sector, and few turned bits could make it look unwritten

_HEAD: Final = Struct("<IQIII16s")  # what the first checksum covers of the head
_PLACE: Final = Struct("<QQ")
_CRC: Final = Struct("<I")


@final
@dataclass(slots=True)
class Batch:
    """A batch as it was read back."""

    sequence: int
    segment: int
    offset: int
    size: int  # head, body and trailer
    frame_count: int
    previous: bytes
    digest: bytes
    body: bytes


@final
@dataclass(slots=True)
class BatchHead:
    """What a head says that is whole, whether or not its batch is."""

    sequence: int
    size: int
    body_crc: int
    frame_count: int
    mask: int
    previous: bytes


def encode_batch(
    salt: bytes, segment: int, offset: int, sequence: int, previous: bytes, frames: list[bytes]
) -> tuple[bytes, bytes]:
    """The batch's bytes for its place, and its digest."""
    count = len(frames)
    stored = b"".join([*frames, TRAILER])
    body = stored
    mask = 0
    while True:
        crc: int = google_crc32c.value(stored)
        rest = _HEAD.pack(crc, sequence, len(stored) - len(TRAILER), count, mask, previous)
        head_crc: int = google_crc32c.value(salt + _PLACE.pack(segment, offset) + rest)
        data = b"".join((MAGIC, _CRC.pack(head_crc), rest, stored))
        if not _has_blank_sector(data, offset):
            return data, _digest(rest, stored)
        mask += 1
        stored = _masked(body[: -len(TRAILER)], mask, previous) + TRAILER


def decode_batch_head(salt: bytes, segment: int, data: bytes, at: int) -> BatchHead | None:
    """The head at `data[at]`, `data` being the segment from its start; None where no whole one is."""
    if data[at : at + 4] != MAGIC or at + HEAD_BYTES > len(data):
        return None
    rest = data[at + 8 : at + HEAD_BYTES]
    head_crc: int = google_crc32c.value(salt + _PLACE.pack(segment, at) + rest)
    if _CRC.unpack_from(data, at + 4)[0] != head_crc:
        return None
    crc, sequence, body_bytes, frame_count, mask, previous = _HEAD.unpack(rest)
    return BatchHead(sequence, body_bytes + OVERHEAD_BYTES, crc, frame_count, mask, previous)


def decode_batch(salt: bytes, segment: int, data: bytes, at: int) -> Batch | None:
    """The batch at `data[at]`, `data` being the segment from its start; None where no valid one is."""
    head = decode_batch_head(salt, segment, data, at)
    if head is None:
        return None
    end = at + head.size
    stored = data[at + HEAD_BYTES : end]
    crc: int = google_crc32c.value(stored)
    if crc != head.body_crc or end > len(data):
        return None
    digest = _digest(data[at + 8 : at + HEAD_BYTES], stored)
    body = stored[: -len(TRAILER)]
    if head.mask:
        body = _masked(body, head.mask, head.previous)
    return Batch(head.sequence, segment, at, head.size, head.frame_count, head.previous, digest, body)


def _digest(rest: bytes, stored: bytes) -> bytes:
    """The link of the chain: over everything behind the first checksum."""
    digest = blake2b(rest, digest_size=DIGEST_BYTES)
    digest.update(stored)
    return digest.digest()


def _masked(body: bytes, mask: int, previous: bytes) -> bytes:
    """Its own inverse. Nobody outside knows the digests, so nobody can send a payload that is blank when masked."""
    size = len(body)
    stream = shake_128(previous + mask.to_bytes(4, "little")).digest(size)
    return (int.from_bytes(body, "little") ^ int.from_bytes(stream, "little")).to_bytes(size, "little")


def _has_blank_sector(data: bytes, offset: int) -> bool:
    """Whether a sector that lies wholly in a batch at `offset` is nearly all zeros. The others hold magic or trailer."""
    first = -offset % SECTOR_BYTES
    end = len(data) - SECTOR_BYTES
    if first > end:
        return False
    middle = SECTOR_BYTES // 2
    if 0 not in data[first : end + 1 : SECTOR_BYTES] and 0 not in data[first + middle :: SECTOR_BYTES]:
        return False
    for at in range(first, end + 1, SECTOR_BYTES):
        if not (data[at] and data[at + middle]) and data.count(0, at, at + SECTOR_BYTES) > _ZEROS_MAX:
            return True
    return False
