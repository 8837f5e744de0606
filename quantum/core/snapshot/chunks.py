"""The chunks of a snapshot: some buckets of a state machine in one file."""

from hashlib import sha256
from typing import Final, final

import msgpack

from quantum.core.snapshot.manifest import Chunk, Manifest, SnapshotDamaged, chunk_name
from quantum.core.state_machine import StateMachine

CHUNK_READ_MAX: Final = 1 << 32


@final
class SnapshotWriter:
    """One snapshot being cut: slices of the machine become chunks, one file at a time, the manifest last."""

    __slots__ = ("_chunks", "_group", "_index", "_is_whole", "_machine", "_slice_bytes", "_term")

    def __init__(self, machine: StateMachine, group: int, index: int, term: int, slice_bytes: int) -> None:
        self._machine = machine
        self._group = group
        self._index = index
        self._term = term
        self._slice_bytes = slice_bytes
        self._chunks: list[Chunk] = []
        self._is_whole = False
        machine.cutter.begin(machine.bucket_count)

    def next_chunk(self) -> tuple[str, bytes] | None:
        """The next file's name and content; None when all buckets are written."""
        buckets = self._machine.cutter.take_slice(self._slice_bytes)
        if not buckets:
            self._is_whole = True
            return None
        data: bytes = msgpack.packb(buckets)
        name = chunk_name(self._group, self._index, len(self._chunks) + 1)
        self._chunks.append(Chunk(name, len(data), sha256(data).hexdigest()))
        return name, data

    def manifest(self) -> Manifest:
        """All that was written."""
        assert self._is_whole
        return Manifest(self._group, self._index, self._term, self._machine.bucket_count, self._chunks)


@final
class SnapshotReader:
    """Restores a machine from chunks; nothing reaches it before every chunk has been verified."""

    __slots__ = ("_buckets", "_machine", "_manifest", "_read")

    def __init__(self, machine: StateMachine, manifest: Manifest) -> None:
        self._machine = machine
        self._manifest = manifest
        self._read = 0
        self._buckets: dict[int, bytes] = {}

    def next_chunk(self) -> Chunk | None:
        """The chunk to read next; None when all are there."""
        chunks = self._manifest.chunks
        return chunks[self._read] if self._read < len(chunks) else None

    def on_chunk(self, data: bytes) -> None:
        """The content of `next_chunk`. Raises: SnapshotDamaged."""
        chunk = self._manifest.chunks[self._read]
        if len(data) != chunk.size or sha256(data).hexdigest() != chunk.digest:
            raise SnapshotDamaged(f"{chunk.name} is damaged: its digest is not the manifest's")
        for number, bucket in msgpack.unpackb(data, use_list=False):
            self._buckets[number] = bucket
        self._read += 1

    def restore(self) -> None:
        """All chunks are verified: put the state in place."""
        if sorted(self._buckets) != list(range(self._manifest.bucket_count)):
            raise SnapshotDamaged("the snapshot's chunks do not hold every bucket once")
        for number in range(self._manifest.bucket_count):
            self._machine.decode_bucket(number, self._buckets[number])
        self._machine.on_restored()
