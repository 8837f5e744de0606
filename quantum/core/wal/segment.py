"""Segments: the files of the log, created full size and zeroed ahead of need, filled from the front by batches.

offset  bytes  field
     0      4  magic "QSEG"
     4      4  CRC-32C of everything behind this field
     8      4  format version
    12      8  segment number
    20      8  sequence of its first batch
    28     16  digest of the batch before that
    44      8  bytes of the file
    52     12  whose log it is: the beginning of the salt

The first twelve bytes and the size of the head stay what they are in every format, so that an unknown one is recognized.
"""

from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Final, final

import google_crc32c

MAGIC: Final = b"QSEG"
FORMAT_VERSION: Final = 2
HEAD_BYTES: Final = 64
_REST: Final = Struct("<IQQ16sQ12s")
_CRC: Final = Struct("<I")
_PREFIX: Final = "wal/segment-"
_OWNER_BYTES: Final = 12
_HEAD_BYTES_OF_1: Final = 44  # format 1, whose checksum begins with the salt


@final
@dataclass(slots=True)
class SegmentHead:
    """What a segment says of itself."""

    version: int
    number: int
    first_sequence: int
    previous: bytes
    size: int
    owner: bytes


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


def owner_of(salt: bytes) -> bytes:
    """What a head says of whose log it is."""
    return salt[:_OWNER_BYTES]


def encode_head(salt: bytes, number: int, size: int, first_sequence: int, previous: bytes) -> bytes:
    """The head; it is written together with the first batch."""
    rest = _REST.pack(FORMAT_VERSION, number, first_sequence, previous, size, owner_of(salt))
    crc: int = google_crc32c.value(rest)
    return MAGIC + _CRC.pack(crc) + rest


def decode_head(salt: bytes, data: bytes) -> SegmentHead | None:
    """The head of a segment, of any format and owner; None where no whole one is."""
    if data[:4] != MAGIC or len(data) < HEAD_BYTES:
        return None
    (expected,) = _CRC.unpack_from(data, 4)
    crc: int = google_crc32c.value(data[8:HEAD_BYTES])
    if expected == crc:
        version, number, first_sequence, previous, size, owner = _REST.unpack_from(data, 8)
        return SegmentHead(version, number, first_sequence, previous, size, owner)
    crc = google_crc32c.value(salt + data[8:_HEAD_BYTES_OF_1])
    if expected == crc:
        return SegmentHead(1, 0, 0, b"", 0, owner_of(salt))
    return None
