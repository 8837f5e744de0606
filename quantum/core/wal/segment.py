"""Segments: the files of the log, created full size and zeroed ahead of need, filled from the front by batches.

offset  bytes  field
     0      4  magic "QSEG"
     4      4  CRC-32C of salt and everything behind this field
     8      4  format version
    12      8  segment number
    20      8  sequence of its first batch
    28     16  digest of the batch before that
"""

from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Final, final

import google_crc32c

MAGIC: Final = b"QSEG"
FORMAT_VERSION: Final = 1
HEAD_BYTES: Final = 44
_REST: Final = Struct("<IQQ16s")
_CRC: Final = Struct("<I")
_PREFIX: Final = "wal/segment-"


@final
@dataclass(slots=True)
class SegmentHead:
    """What a segment says of itself."""

    version: int
    number: int
    first_sequence: int
    previous: bytes


def segment_name(number: int) -> str:
    """The file of a segment."""
    return f"{_PREFIX}{number:010d}.log"


def segment_number(name: str) -> int:
    """Inverse of `segment_name`; 0 for a file that is no segment."""
    digits = name[len(_PREFIX) : -4]
    if name.startswith(_PREFIX) and name.endswith(".log") and digits.isdigit():
        return int(digits)
    return 0


def identity_salt(cluster_id: str, node_id: str) -> bytes:
    """What ties checksums to one log: 16 bytes."""
    return blake2b(f"{cluster_id}\0{node_id}".encode(), digest_size=16).digest()


def encode_head(salt: bytes, number: int, first_sequence: int, previous: bytes) -> bytes:
    """The head; it is written together with the first batch."""
    rest = _REST.pack(FORMAT_VERSION, number, first_sequence, previous)
    crc: int = google_crc32c.value(salt + rest)
    return MAGIC + _CRC.pack(crc) + rest


def decode_head(salt: bytes, data: bytes) -> SegmentHead | None:
    """The head of a segment; None where no valid one is."""
    if data[:4] != MAGIC or len(data) < HEAD_BYTES:
        return None
    crc: int = google_crc32c.value(salt + data[8:HEAD_BYTES])
    if _CRC.unpack_from(data, 4)[0] != crc:
        return None
    version, number, first_sequence, previous = _REST.unpack_from(data, 8)
    return SegmentHead(version, number, first_sequence, previous)
