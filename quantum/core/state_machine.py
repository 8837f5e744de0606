"""What a replicated program must offer to the group that replicates it.

The group orders entries and makes them durable; the machine gives them meaning. All of its state is spread over numbered
buckets, so that a snapshot can be cut in slices while `apply` goes on.
"""

from collections.abc import Callable
from typing import Protocol, final


class StateMachine(Protocol):
    """A deterministic program driven by a log: same entries, same state, byte for byte (law REPLAY)."""

    bucket_count: int
    cutter: "BucketCutter"

    def apply(self, index: int, data: bytes, decoded: object) -> object:
        """Apply the entry at `index` and return its effects.

        `decoded` is what the proposer on this replica had encoded into `data`, or None on every other path; using it is
        an economy and never changes the outcome.
        """
        ...

    def encode_bucket(self, number: int) -> bytes:
        """All state of one bucket in its one canonical encoding. Bucket 0 holds what has no other home."""
        ...

    def decode_bucket(self, number: int, data: bytes) -> None:
        """Inverse of `encode_bucket`, on a machine that has applied nothing; buckets come in ascending order."""
        ...

    def reset(self) -> None:
        """Become a machine that has applied nothing; a snapshot being cut is given up."""
        ...

    def on_restored(self) -> None:
        """All buckets are decoded: rebuild what is derived from them."""
        ...

    def digest(self) -> bytes:
        """32 bytes, a function of the state alone."""
        ...


@final
class BucketCutter:
    """Copy on write over the buckets of a machine while a snapshot is being cut.

    The machine calls `before_change(number)` before it first changes anything in a bucket; a bucket that the running
    snapshot still needs is then encoded as it was at the snapshot's index. While no snapshot runs the call costs one
    comparison.

    A machine whose entry may change records of all its buckets asks `wants` instead and gives the one record to `keep`:
    `encode` then finds in `take_kept` what has changed since. To encode all that those buckets hold would hold up the
    entry.
    """

    __slots__ = ("_encode", "_kept", "_pending", "_saved", "is_cutting")

    def __init__(self, encode: Callable[[int], bytes]) -> None:
        self._encode = encode
        self._pending: dict[int, None] = {}  # buckets the running snapshot still needs, in order
        self._saved: list[tuple[int, bytes]] = []
        self._kept: dict[int, dict[str, object]] = {}  # bucket → record → what it was, None for nothing
        self.is_cutting = False

    def begin(self, bucket_count: int) -> None:
        """Start a snapshot at the state as it is now."""
        assert not self.is_cutting
        self._pending = dict.fromkeys(range(bucket_count))
        self._saved = []
        self._kept = {}
        self.is_cutting = True

    def before_change(self, number: int) -> None:
        """Must precede the first change of bucket `number` in each apply; cheap to call again."""
        if self.is_cutting and number in self._pending:
            del self._pending[number]
            self._saved.append((number, self._encode(number)))

    def wants(self, number: int, name: str) -> bool:
        """Whether record `name` of bucket `number` must be kept before it is changed, made or deleted."""
        return self.is_cutting and number in self._pending and name not in self._kept.get(number, {})

    def keep(self, number: int, name: str, record: object) -> None:
        """What the record is that `wants` asked for, None where it is only being made; nobody changes it any more."""
        self._kept.setdefault(number, {})[name] = record

    def take_kept(self, number: int) -> dict[str, object]:
        """What was kept of the bucket that is being encoded."""
        return self._kept.pop(number, {})

    def take_slice(self, bytes_max: int) -> list[tuple[int, bytes]]:
        """The next encoded buckets, about `bytes_max` bytes of them; an empty list when the snapshot is whole."""
        taken = self._saved
        self._saved = []
        size = sum(len(data) for _, data in taken)
        while self._pending and size < bytes_max:
            number = next(iter(self._pending))
            del self._pending[number]
            data = self._encode(number)
            taken.append((number, data))
            size += len(data)
        if not taken:
            self.is_cutting = False
        return taken

    def abandon(self) -> None:
        """Give the running snapshot up."""
        self._pending = {}
        self._saved = []
        self._kept = {}
        self.is_cutting = False
