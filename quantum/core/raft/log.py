"""The log of a replica in memory: what stands behind its snapshot, with holes where the disk lost something.

The last entry is never a hole: a hole is known by the entry that follows it.
"""

from typing import Final, final

from quantum.core.raft.entry import LOST, Entry

ENTRY_BYTES: Final = 64  # what an entry costs beside its data, for the bounds


@final
class RaftLog:
    """Entries first_index to last_index; `base_index` and `base_term` are those of the entry in front of them."""

    __slots__ = ("_entries", "base_index", "base_term", "last_index", "lost", "size")

    def __init__(self, base_index: int, base_term: int, entries: list[Entry]) -> None:
        self.base_index = base_index
        self.base_term = base_term
        self._entries = entries
        self.last_index = base_index + len(entries)
        self.lost: dict[int, bool] = {
            entry.index: True for entry in entries if entry.kind == LOST
        }  # the holes, ascending
        self.size = sum([len(entry.data) + ENTRY_BYTES for entry in entries])
        assert not entries or entries[0].index == base_index + 1
        assert not entries or entries[-1].kind != LOST
        assert not entries or entries[-1].index == base_index + len(entries)

    @property
    def first_index(self) -> int:
        """The first entry that is here; one more than last_index when none is."""
        return self.base_index + 1

    @property
    def last_term(self) -> int:
        """Its term."""
        return self._entries[-1].term if self._entries else self.base_term

    def term_at(self, index: int) -> int:
        """The term of an entry; 0 where it is lost, -1 where the log does not reach."""
        at = index - self.base_index
        if at == 0:
            return self.base_term
        if at < 0 or at > len(self._entries):
            return -1
        return self._entries[at - 1].term

    def entry(self, index: int) -> Entry:
        """The entry at an index from first_index to last_index."""
        return self._entries[index - self.base_index - 1]

    def is_lost(self, index: int) -> bool:
        """Whether there is a hole at `index`."""
        return index in self.lost

    @property
    def first_lost(self) -> int:
        """The first hole, 0 without one."""
        return min(self.lost) if self.lost else 0

    @property
    def first_lost_end(self) -> int:
        """The last index of the first hole, 0 without one."""
        index = self.first_lost
        while self.is_lost(index + 1):
            index += 1
        return index

    def lost_range(self) -> tuple[int, int]:
        """The first and last index of the last hole there is."""
        assert self.lost
        last = max(self.lost)
        first = last
        while first - 1 in self.lost:
            first -= 1
        return first, last

    def append(self, entry: Entry) -> None:
        """Put an entry behind the last."""
        assert entry.index == self.last_index + 1
        self._entries.append(entry)
        self.last_index = entry.index
        self.size += len(entry.data) + ENTRY_BYTES

    def truncate(self, index: int) -> int:
        """Remove the entries from `index` on, and a hole right in front of them; returns where the log is cut."""
        assert index > self.base_index
        while self.is_lost(index - 1):
            index -= 1
        at = index - self.base_index - 1
        for entry in self._entries[at:]:
            self.size -= len(entry.data) + ENTRY_BYTES
            self.lost.pop(entry.index, None)
        del self._entries[at:]
        self.last_index = index - 1
        return index

    def fill(self, entry: Entry) -> None:
        """Put an entry into its hole."""
        assert self.is_lost(entry.index)
        del self.lost[entry.index]
        self._entries[entry.index - self.base_index - 1] = entry
        self.size += len(entry.data)

    def lose(self, index: int) -> None:
        """Give an entry up: what is known of those behind it does not fit it."""
        assert self.base_index < index < self.last_index
        entry = self.entry(index)
        self.size -= len(entry.data)
        self._entries[index - self.base_index - 1] = Entry(index, 0, LOST, b"")
        self.lost[index] = True

    def compact(self, index: int, term: int) -> None:
        """Forget the entries up to `index`, whose term is `term`."""
        if index <= self.base_index:
            return
        assert index <= self.last_index
        count = index - self.base_index
        for entry in self._entries[:count]:
            self.size -= len(entry.data) + ENTRY_BYTES
            self.lost.pop(entry.index, None)
        del self._entries[:count]
        self.base_index = index
        self.base_term = term

    def restart(self, index: int, term: int) -> None:
        """Forget everything: the log begins behind a snapshot."""
        self.base_index = index
        self.base_term = term
        self.last_index = index
        self._entries = []
        self.lost = {}
        self.size = 0

    def slice(self, index: int, count_max: int, bytes_max: int) -> list[Entry]:
        """Entries from `index` on, up to the limits or a hole, but at least one where there is one."""
        at = index - self.base_index - 1
        assert at >= 0
        found: list[Entry] = []
        size = 0
        for entry in self._entries[at : at + count_max]:
            size += len(entry.data)
            if entry.kind == LOST or (found and size > bytes_max):
                break
            found.append(entry)
        return found

    def hint(self, index: int, term: int) -> tuple[int, int]:
        """The last entry at or before `index` whose term is known and not above `term`: where both logs may agree."""
        at = min(index, self.last_index)
        while at > self.base_index and (self.is_lost(at) or self.term_at(at) > term):
            at -= 1
        return at, self.term_at(at)
