"""R4: an index and a term are one entry, with one entry before it, on every disk, in every log and message.

So equal links mean equal logs up to there, and a log with holes can be checked as well. Source: FAULTS R4.
"""

from typing import Final, final

from quantum.core.raft.entry import Entry
from quantum.sim.raft_laws import broken
from quantum.sim.raft_watch import said

_TERM_BITS: Final = 32


@final
class EntryLinks:
    """Every entry anybody ever named."""

    __slots__ = ("_links",)

    def __init__(self) -> None:
        self._links: dict[int, tuple[int, Entry]] = {}  # (index, term) -> term before it, entry

    def link(self, entry: Entry, before: int, where: str) -> None:
        """R4: an index and a term are one entry, with one entry before it."""
        key = entry.index << _TERM_BITS | entry.term
        known = self._links.get(key)
        if known is None:
            self._links[key] = (before if before > 0 or entry.index == 1 else -1, entry)
            return
        known_before, other = known
        if other is not entry and (other.kind != entry.kind or other.data != entry.data):
            broken(
                "R4",
                f"entry {entry.index} of term {entry.term} is {said(other)}",
                f"{where} has {said(entry)} there",
            )
        if before > 0 and before != known_before:
            if known_before >= 0:
                broken(
                    "R4",
                    f"entry {entry.index} of term {entry.term} follows an entry of term {known_before}",
                    f"for {where} it follows one of term {before}",
                )
            self._links[key] = (before, other)
