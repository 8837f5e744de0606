"""Batches: the unit that is written and synced, chained by digests so that each proves the one before it durable.

Batch k+1 is written only after batch k was synced. The checksum covers the batch, its place (segment and offset) and the
identity of the log, so that stale, foreign and misdirected bytes do not pass (FAULTS W10).

    offset  bytes  field
         0      4  magic "QBAT"
         4      4  CRC-32C of salt, segment number, offset and everything behind this field
         8      8  sequence, 1 for the first batch of a log
        16      4  bytes of the body
        20      4  frames in the body
        24     16  digest of the batch before
        40         body: frames
"""

from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Final, final

import google_crc32c

MAGIC: Final = b"QBAT"
HEAD_BYTES: Final = 40
DIGEST_BYTES: Final = 16
NO_DIGEST: Final = bytes(DIGEST_BYTES)

_HEAD: Final = Struct("<QII16s")  # what the checksum covers of the head
_PLACE: Final = Struct("<QQ")
_CRC: Final = Struct("<I")


@final
@dataclass(slots=True)
class Batch:
    """A batch as it was read back."""

    sequence: int
    segment: int
    offset: int
    size: int  # head and body
    frame_count: int
    previous: bytes
    digest: bytes
    body: bytes


def encode_batch(
    salt: bytes, segment: int, offset: int, sequence: int, previous: bytes, frames: list[bytes]
) -> tuple[bytes, bytes]:
    """The batch's bytes for its place, and its digest."""
    body = b"".join(frames)
    rest = _HEAD.pack(sequence, len(body), len(frames), previous) + body
    crc: int = google_crc32c.extend(google_crc32c.value(salt + _PLACE.pack(segment, offset)), rest)
    return MAGIC + _CRC.pack(crc) + rest, batch_digest(rest)


def batch_digest(rest: bytes) -> bytes:
    """The link of the chain: over sequence, sizes, the previous digest and the body."""
    return blake2b(rest, digest_size=DIGEST_BYTES).digest()


def decode_batch(salt: bytes, segment: int, data: bytes, at: int, base: int) -> Batch | None:
    """The batch at `data[at]`, whose place in the segment is `base + at`; None where no valid one is.

    Never takes a size on trust: what is not in `data` is not a batch.
    """
    if data[at : at + 4] != MAGIC or at + HEAD_BYTES > len(data):
        return None
    sequence, body_bytes, frame_count, previous = _HEAD.unpack_from(data, at + 8)
    end = at + HEAD_BYTES + body_bytes
    if end > len(data):
        return None
    rest = data[at + 8 : end]
    crc: int = google_crc32c.extend(google_crc32c.value(salt + _PLACE.pack(segment, base + at)), rest)
    if _CRC.unpack_from(data, at + 4)[0] != crc:
        return None
    return Batch(
        sequence,
        segment,
        base + at,
        end - at,
        frame_count,
        previous,
        batch_digest(rest),
        rest[HEAD_BYTES - 8 :],
    )
