"""The one source of chance: numbers that are a function of a seed and of the labels on the way to a stream.

A stream depends on its seed and label alone, never on how much was drawn from its parent or its siblings; so taking one
client or one fault out of a simulated run leaves the draws of all others as they were. The numbers are frozen by vectors
in the tests: a recorded seed must mean the same run for ever.
"""

import hashlib
import struct
from typing import Final, final

_BLOCK_NUMBERS: Final = 64  # drawn from SHAKE-128 at once: large enough to be cheap, small enough for short streams
_BLOCK: Final = struct.Struct("<64Q")
_BLOCK_BYTES: Final = 512


@final
class Prng:
    """A deterministic stream of 64-bit numbers: SHAKE-128 over a 32-byte key and a block counter."""

    __slots__ = ("_at", "_block", "_count", "_key")

    def __init__(self, seed: int) -> None:
        assert seed >= 0
        size = (seed.bit_length() + 7) // 8
        self._key: bytes = hashlib.blake2b(
            seed.to_bytes(size, "little"), digest_size=32, person=b"quantum seed"
        ).digest()
        self._block: tuple[int, ...] = ()
        self._at: int = _BLOCK_NUMBERS
        self._count: int = 0

    def stream(self, label: str) -> "Prng":
        """An independent generator; the same label gives the same one, whatever was drawn before."""
        child = Prng(0)
        child._key = hashlib.blake2b(label.encode(), digest_size=32, key=self._key, person=b"quantum stream").digest()
        return child

    def u64(self) -> int:
        """0 to 2**64 - 1."""
        at = self._at
        if at == _BLOCK_NUMBERS:
            at = self._refill()
        self._at = at + 1
        return self._block[at]

    def _refill(self) -> int:
        data = hashlib.shake_128(self._key + self._count.to_bytes(8, "little")).digest(_BLOCK_BYTES)
        self._block = _BLOCK.unpack(data)
        self._count += 1
        return 0

    def below(self, bound: int) -> int:
        """0 to `bound` - 1. For bounds below 2**48 the bias is less than one in 65,536 times the bound's share."""
        assert bound > 0
        at = self._at  # As in `u64`, without a call: this is drawn often.
        if at == _BLOCK_NUMBERS:
            at = self._refill()
        self._at = at + 1
        return (self._block[at] * bound) >> 64

    def between(self, low: int, high: int) -> int:
        """`low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def chance(self, numerator: int, denominator: int) -> bool:
        """True `numerator` times of `denominator`."""
        return self.below(denominator) < numerator

    def choice_index(self, weights: list[int]) -> int:
        """An index into `weights`, each as likely as its weight says."""
        at = self.below(sum(weights))
        for index, weight in enumerate(weights):
            if at < weight:
                return index
            at -= weight
        raise AssertionError("weights changed while one was chosen")

    def bytes(self, size: int) -> bytes:
        """`size` bytes."""
        parts: list[int] = [self.u64() for _ in range((size + 7) // 8)]
        return b"".join([part.to_bytes(8, "little") for part in parts])[:size]

    def permutation(self, count: int) -> list[int]:
        """The numbers 0 to `count` - 1 in a drawn order."""
        order = list(range(count))
        for last in range(count - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order
