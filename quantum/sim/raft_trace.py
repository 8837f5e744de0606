"""What happened in a lite run, as numbers and one digest: two runs are the same run when their digests are."""

import hashlib
from array import array
from typing import Final, final

FIELDS: Final = 6
TAIL_RECORDS: Final = 60
_FLUSH_NUMBERS: Final = 600 * FIELDS


@final
class RaftTrace:
    """Append-only. Numbers are below 2**63."""

    __slots__ = ("_digest", "_numbers", "_old")

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16, person=b"quantum lite")
        self._numbers: list[int] = []
        self._old: list[int] = []

    def record(self, at_us: int, kind: int, node: int, a: int, b: int, c: int) -> None:
        """One thing that happened at a simulated time."""
        numbers = self._numbers
        numbers += (at_us, kind, node, a, b, c)
        if len(numbers) >= _FLUSH_NUMBERS:
            self._digest.update(array("q", numbers).tobytes())
            self._old = numbers[-TAIL_RECORDS * FIELDS :]
            self._numbers = []

    def digest(self) -> str:
        """Of everything recorded, once nothing more will be."""
        digest = self._digest.copy()
        digest.update(array("q", self._numbers).tobytes())
        return digest.hexdigest()

    def lines(self, names: tuple[str, ...]) -> list[str]:
        """The last records, for people."""
        numbers = (self._old + self._numbers)[-TAIL_RECORDS * FIELDS :]
        lines: list[str] = []
        for at in range(0, len(numbers), FIELDS):
            at_us, kind, node, a, b, c = numbers[at : at + FIELDS]
            lines.append(f"{at_us / 1000:12.3f} ms  {names[kind]:10} node {node:<3} term {a:<4} commit {b:<6} last {c}")
        return lines
