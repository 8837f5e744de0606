"""Which edges may speak, and in what order their entries count (law FENCE).

An edge opens under an incarnation, one above its last, and numbers its entries from 1 by `forward_seq`. An entry counts
once and in its turn: a repeated one, one behind a gap, and one of a closed or earlier incarnation change nothing. So a
node may send again whatever it does not see applied. Everything that changes an edge's record is in this file.
"""

from typing import Any, Final, final

EDGES_MAX: Final = 1024  # node numbers are never reused, so closed edges are kept: they fence what they once sent


@final
class EdgeRecord:
    """What the log knows of one edge."""

    __slots__ = ("forward_seq", "incarnation", "is_open", "nonce")

    def __init__(self, incarnation: int, nonce: int) -> None:
        self.incarnation = incarnation  # the newest
        self.nonce = nonce  # of the process that opened it
        self.is_open = True
        self.forward_seq = 0  # of its last entry that counted


@final
class Edges:
    """All edges that ever opened, by their number."""

    __slots__ = ("records",)

    def __init__(self) -> None:
        self.records: dict[int, EdgeRecord] = {}

    def take_turn(self, edge: int, incarnation: int, forward_seq: int) -> bool:
        """Whether an edge's entry is the one that is due; if so, the next one is due from here on."""
        record = self.records.get(edge)
        if record is None or not record.is_open:
            return False
        if record.incarnation != incarnation or record.forward_seq + 1 != forward_seq:
            return False
        record.forward_seq = forward_seq
        return True

    def open(self, edge: int, incarnation: int, nonce: int) -> None:
        """Begin the incarnation after the last one."""
        assert self.incarnation(edge) + 1 == incarnation
        self.records[edge] = EdgeRecord(incarnation, nonce)

    def close(self, edge: int) -> None:
        """End the incarnation that is open."""
        assert self.records[edge].is_open
        self.records[edge].is_open = False

    # Queries.

    def may_add(self, edge: int) -> bool:
        """Whether there is room for the edge's record."""
        return edge in self.records or len(self.records) < EDGES_MAX

    def incarnation(self, edge: int) -> int:
        """The newest incarnation, 0 if the edge never opened."""
        record = self.records.get(edge)
        return 0 if record is None else record.incarnation

    def is_open(self, edge: int) -> bool:
        record = self.records.get(edge)
        return record is not None and record.is_open

    def is_current(self, edge: int, incarnation: int) -> bool:
        """Whether this very incarnation is open."""
        return self.is_open(edge) and self.records[edge].incarnation == incarnation

    # The snapshot.

    def to_rows(self) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for edge in sorted(self.records):
            record = self.records[edge]
            rows.append((edge, record.incarnation, record.nonce, record.is_open, record.forward_seq))
        return rows

    def restore_rows(self, rows: tuple[tuple[Any, ...], ...]) -> None:
        """Inverse of `to_rows`, on an empty table."""
        for edge, incarnation, nonce, is_open, forward_seq in rows:
            record = EdgeRecord(incarnation, nonce)
            record.is_open = is_open
            record.forward_seq = forward_seq
            self.records[edge] = record
