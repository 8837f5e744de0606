"""What a snapshot consists of: the manifest names every chunk with its digest, and is published last.

A snapshot without a manifest does not exist; one with a manifest is whole, because a file is published atomically and
only after all chunks were durable.
"""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, final

FORMAT_VERSION: Final = 2
_PREFIX: Final = "snapshot/"


class SnapshotDamaged(Exception):
    """A published snapshot is not what was written; the text names the file."""


@final
@dataclass(slots=True)
class Chunk:
    """One file of a snapshot."""

    name: str
    size: int
    digest: str  # SHA-256, hex


@final
@dataclass(slots=True)
class Manifest:
    """A snapshot of one group at one index."""

    group: int
    index: int
    term: int
    membership: bytes  # of the group at that index, as its entry has it; opaque here
    bucket_count: int
    chunks: list[Chunk]

    def encode(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, integers and ASCII only."""
        return json.dumps(
            {
                "bucket_count": self.bucket_count,
                "chunks": [[chunk.name, chunk.size, chunk.digest] for chunk in self.chunks],
                "format": FORMAT_VERSION,
                "group": self.group,
                "index": self.index,
                "membership": self.membership.hex(),
                "term": self.term,
            },
            sort_keys=True,
            separators=(",", ":"),
        ).encode()

    def digest(self) -> bytes:
        """SHA-256 of the encoding."""
        return sha256(self.encode()).digest()


def decode_manifest(data: bytes, name: str) -> Manifest:
    """Inverse of `Manifest.encode`. Raises: SnapshotDamaged."""
    try:
        fields = json.loads(data)
        if fields["format"] != FORMAT_VERSION:
            raise SnapshotDamaged(f"{name} has format {fields['format']}, this version reads {FORMAT_VERSION}")
        chunks = [Chunk(str(item[0]), int(item[1]), str(item[2])) for item in fields["chunks"]]
        manifest = Manifest(
            int(fields["group"]),
            int(fields["index"]),
            int(fields["term"]),
            bytes.fromhex(fields["membership"]),
            int(fields["bucket_count"]),
            chunks,
        )
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise SnapshotDamaged(f"{name} is no manifest: {error}") from error
    if manifest.encode() != data:
        raise SnapshotDamaged(f"{name} is not in its canonical form")
    return manifest


def manifest_name(group: int, index: int) -> str:
    """The manifest's file."""
    return f"{_PREFIX}{group}-{index:020d}/manifest.json"


def chunk_name(group: int, index: int, number: int) -> str:
    """A chunk's file; numbers ascend from 1."""
    return f"{_PREFIX}{group}-{index:020d}/chunk-{number:06d}"


def snapshot_of(name: str) -> tuple[int, int] | None:
    """(group, index) of the snapshot a file belongs to; None for any other file."""
    parts = name.split("/")
    if len(parts) != 3 or parts[0] != "snapshot":
        return None
    group, _, index = parts[1].partition("-")
    if not group.isdigit() or not index.isdigit():
        return None
    return int(group), int(index)
