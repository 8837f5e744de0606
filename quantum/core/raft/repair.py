"""Getting back what the disk lost, from whoever has it (FAULTS W5).

A hole is known by the entry behind it. A peer whose log has that very entry has, by the Log Matching Property, the very
entries that stood in front of it; who leads does not matter. What peers send is collected from behind, because the proof
comes from there, until it meets an entry that is here. Nothing of it is recorded before: half a hole filled from behind
would hide the other half. Where it does not fit in front, a truncation was lost too, and the hole grows. It never grows
into what is proved to be the leader's: then what stands behind the hole is refuted, and goes.
"""

from typing import Final, final

from quantum.core.raft.entry import Entry
from quantum.core.raft.log import RaftLog
from quantum.core.raft.messages import FetchEntries, FetchEntriesReply

RETRY_MS: Final = 200


@final
class Repair:
    """Asks for the last hole of a log, one request at a time, and collects what comes back."""

    __slots__ = ("_collected", "_due_ms", "_entries_max", "_next", "filled_count")

    def __init__(self, entries_max: int) -> None:
        self._entries_max = entries_max
        self._due_ms = 0
        self._next = (0, 0)  # (index, term) of the entry behind the hole that is being collected
        self._collected: list[Entry] = []  # of that hole, descending
        self.filled_count = 0

    def is_due(self, log: RaftLog, now_ms: int) -> bool:
        """A hole is to be asked about now."""
        return len(log.lost) > 0 and now_ms >= self._due_ms

    def deadline_ms(self, log: RaftLog) -> int:
        """When it is, 0 without a hole. Never 0 with one: at once is 1."""
        return max(1, self._due_ms) if log.lost else 0

    def request(self, log: RaftLog, now_ms: int) -> FetchEntries:
        """What to ask every peer."""
        self._due_ms = now_ms + RETRY_MS
        next_index, next_term = self._expected(log)
        first = min(log.lost_range()[0], next_index - 1)
        return FetchEntries(max(first, next_index - self._entries_max), next_index - 1, next_term)

    def _expected(self, log: RaftLog) -> tuple[int, int]:
        """(index, term) of what is known, right behind what is still to come."""
        next_index = log.lost_range()[1] + 1
        behind = (next_index, log.term_at(next_index))
        if behind != self._next:
            self._next = behind
            self._collected = []
        return (self._collected[-1].index, self._collected[-1].term) if self._collected else behind

    def collect(self, log: RaftLog, reply: FetchEntriesReply) -> list[Entry]:
        """Take a peer's entries; returns those that close the hole, ascending, once they fit in front of it."""
        if (reply.next_index, reply.next_term) != self._expected(log):
            return []
        given = reply.entries
        first = reply.next_index - len(given)
        if not given or [entry.index for entry in given] != list(range(first, reply.next_index)):
            return []
        self._due_ms = 0
        for entry in reversed(given):
            if entry.index < log.base_index:
                return []
            if log.term_at(entry.index) == entry.term:
                return self._close()
            self._collected.append(entry)
        is_known = reply.previous_term > 0 or first == 1
        if is_known and not log.is_lost(first - 1) and log.term_at(first - 1) == reply.previous_term:
            return self._close()
        return []

    def _close(self) -> list[Entry]:
        closing = self._collected
        closing.reverse()
        self._collected = []
        self._next = (0, 0)
        return closing

    def is_refuted(self, index: int) -> bool:
        """Whether what stands behind the hole implies another entry than the one at `index`, or in front of that."""
        return len(self._collected) > 0 and self._collected[-1].index <= index

    def is_about(self, log: RaftLog, reply: FetchEntriesReply) -> bool:
        """Whether the reply is about the entry that stands behind the hole."""
        next_index = log.lost_range()[1] + 1
        return (reply.next_index, reply.next_term) == (next_index, log.term_at(next_index))


def answer(log: RaftLog, wanted: FetchEntries, bytes_max: int, leader_term: int) -> FetchEntriesReply | None:
    """What this log has of it, the end first; None when it has nothing or cannot prove it. A leader (`leader_term`, else
    0) says so when its log has no such entry behind the hole."""
    next_index = wanted.last + 1
    if wanted.first < 1 or wanted.first > wanted.last or next_index <= log.first_index:
        return None
    if log.term_at(next_index) != wanted.next_term:
        return FetchEntriesReply(next_index, wanted.next_term, 0, [], leader_term) if leader_term else None
    entries: list[Entry] = []
    size = 0
    index = wanted.last
    while index >= max(wanted.first, log.first_index) and not log.is_lost(index) and size < bytes_max:
        entry = log.entry(index)
        size += len(entry.data)
        entries.append(entry)
        index -= 1
    if not entries:
        return None
    entries.reverse()
    return FetchEntriesReply(next_index, wanted.next_term, max(0, log.term_at(index)), entries)
