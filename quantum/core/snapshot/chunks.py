"""The chunks of a snapshot: some buckets of a state machine in one file."""

from hashlib import sha256
from typing import Final, final

import msgpack

from quantum.core.snapshot.manifest import Chunk, Manifest, SnapshotDamaged, chunk_name
from quantum.core.state_machine import StateMachine

CHUNK_READ_MAX: Final = 1 << 32
SLICES: Final = 8  # of a chunk: so often others have their turn while it is gathered


@final
class SnapshotWriter:
    """One snapshot being cut: slices of the machine become chunks, one file at a time, the manifest last."""

    __slots__ = (
        "_buckets",
        "_chunk_bytes",
        "_chunks",
        "_gathered_bytes",
        "_group",
        "_index",
        "_is_whole",
        "_machine",
        "_membership",
        "_term",
    )

    def __init__(
        self, machine: StateMachine, group: int, index: int, term: int, membership: bytes, chunk_bytes: int
    ) -> None:
        self._machine = machine
        self._group = group
        self._index = index
        self._term = term
        self._membership = membership
        self._chunk_bytes = chunk_bytes
        self._buckets: list[tuple[int, bytes]] = []  # of the next chunk
        self._gathered_bytes = 0
        self._chunks: list[Chunk] = []
        self._is_whole = False
        machine.cutter.begin(machine.bucket_count)

    @property
    def is_gathered(self) -> bool:
        """`next_chunk` takes nothing more from the machine."""
        return self._is_whole or self._gathered_bytes >= self._chunk_bytes

    def gather(self) -> None:
        """Take a part of the next chunk from the machine: some milliseconds."""
        buckets = self._machine.cutter.take_slice(max(1, self._chunk_bytes // SLICES))
        self._is_whole = not buckets
        self._buckets += buckets
        self._gathered_bytes += sum([len(data) for _, data in buckets])

    def next_chunk(self) -> tuple[str, bytes] | None:
        """The next file's name and content; None when all buckets are written."""
        while not self.is_gathered:
            self.gather()
        if not self._buckets:
            return None
        data: bytes = msgpack.packb(self._buckets)
        self._buckets = []
        self._gathered_bytes = 0
        name = chunk_name(self._group, self._index, len(self._chunks) + 1)
        self._chunks.append(Chunk(name, len(data), sha256(data).hexdigest()))
        return name, data

    def manifest(self) -> Manifest:
        """All that was written."""
        assert self._is_whole
        return Manifest(
            self._group, self._index, self._term, self._membership, self._machine.bucket_count, self._chunks
        )

    def abandon(self) -> None:
        """Give it up; its files are rubbish."""
        self._machine.cutter.abandon()

    @property
    def index(self) -> int:
        """The index it is cut at."""
        return self._index

    def names(self) -> list[str]:
        """The chunks written so far."""
        return [chunk.name for chunk in self._chunks]


@final
class SnapshotReader:
    """Restores a machine from chunks; nothing reaches it before every chunk has been verified."""

    __slots__ = ("_buckets", "_machine", "chunks_read", "manifest")

    def __init__(self, machine: StateMachine, manifest: Manifest) -> None:
        self._machine = machine
        self.manifest = manifest
        self.chunks_read = 0
        self._buckets: dict[int, bytes] = {}

    def next_chunk(self) -> Chunk | None:
        """The chunk to read next; None when all are there."""
        chunks = self.manifest.chunks
        return chunks[self.chunks_read] if self.chunks_read < len(chunks) else None

    def on_chunk(self, data: bytes) -> None:
        """The content of `next_chunk`. Raises: SnapshotDamaged."""
        chunk = self.manifest.chunks[self.chunks_read]
        if len(data) != chunk.size or sha256(data).hexdigest() != chunk.digest:
            raise SnapshotDamaged(f"{chunk.name} is damaged: its digest is not the manifest's")
        try:
            for number, bucket in msgpack.unpackb(data, use_list=False):
                self._buckets[number] = bucket
        except (ValueError, TypeError) as error:
            raise SnapshotDamaged(f"{chunk.name} holds no buckets: {error}") from error
        self.chunks_read += 1

    def check_whole(self) -> None:
        """All chunks are here and hold every bucket once. Raises: SnapshotDamaged."""
        numbers = list(range(self.manifest.bucket_count))
        if self.chunks_read < len(self.manifest.chunks) or sorted(self._buckets) != numbers:
            raise SnapshotDamaged("the snapshot's chunks do not hold every bucket once")

    def restore(self) -> None:
        """Put the state in place, on a machine that has applied nothing or was cleared. Raises: SnapshotDamaged."""
        self.check_whole()
        for number in range(self.manifest.bucket_count):
            self._machine.decode_bucket(number, self._buckets[number])
        self._machine.on_restored()
