"""Persist before send: what is asked of the disk, what is durable of it, and which messages wait for that.

Records are numbered in the order in which they must become durable. A message names the record that must be durable
before it may leave. Source: Raft §5.1 ("updated on stable storage before responding to RPCs"), law ACK.
"""

from collections import deque
from typing import final

from quantum.core.raft.entry import Entry
from quantum.core.raft.messages import AppendEntriesReply, Message
from quantum.core.raft.records import HardStateRecord, Record


@final
class Durability:
    """The gate between a replica and the world."""

    __slots__ = (
        "_appended",
        "_gated",
        "_hard_sequence",
        "_persisted",
        "durable_index",
        "ready",
        "records",
        "sequence",
    )

    def __init__(self, durable_index: int) -> None:
        self.durable_index = durable_index  # every entry up to here is durable, but for lost ones
        self.sequence = 0  # of the last record
        self._persisted = 0
        self._hard_sequence = 0  # of the last HardStateRecord
        self.records: list[Record] = []  # for `take_records`
        self._appended: deque[tuple[int, int]] = deque()  # (sequence, index) of entries that are not durable
        self._gated: deque[tuple[int, int, Message]] = deque()
        self.ready: list[tuple[int, Message]] = []  # for `take_messages`

    def record(self, record: Record) -> None:
        """Have something made durable behind everything before."""
        self.sequence += 1
        self.records.append(record)
        if isinstance(record, Entry):
            self._appended.append((self.sequence, record.index))
        elif isinstance(record, HardStateRecord):
            self._hard_sequence = self.sequence

    def on_truncated(self, index: int) -> None:
        """Entries from `index` on are gone, whatever is reported of them later: 1. append 7@2  2. truncate to 7
        3. append 7@3  4. done for 1 says nothing of 7@3."""
        self.durable_index = min(self.durable_index, index - 1)
        self._appended = deque([(sequence, min(last, index - 1)) for sequence, last in self._appended])

    def on_installed(self, index: int) -> None:
        """Entries up to `index` are in a durable snapshot."""
        self.durable_index = max(self.durable_index, index)

    def on_restarted(self, index: int) -> None:
        """The log begins behind a durable snapshot at `index`."""
        self.durable_index = index
        self._appended.clear()

    def send(self, to: int, message: Message) -> None:
        """Let a message leave once term and vote are durable."""
        self._gate(self._hard_sequence, to, message)

    def send_after_all(self, to: int, message: Message) -> None:
        """Let a message leave once everything recorded so far is durable."""
        self._gate(self.sequence, to, message)

    def _gate(self, sequence: int, to: int, message: Message) -> None:
        if sequence <= self._persisted:
            self.ready.append((to, message))
        else:
            self._gated.append((sequence, to, message))

    def on_persisted(self, sequence: int, current_term: int) -> bool:
        """Records up to `sequence` are durable; True when durable_index moved."""
        assert sequence <= self.sequence
        if sequence <= self._persisted:
            return False
        self._persisted = sequence
        before = self.durable_index
        appended = self._appended
        while appended and appended[0][0] <= sequence:
            self.durable_index = max(self.durable_index, appended.popleft()[1])
        if self._gated:
            kept: deque[tuple[int, int, Message]] = deque()
            for gate, to, message in self._gated:
                if gate > sequence:
                    kept.append((gate, to, message))
                elif not isinstance(message, AppendEntriesReply) or message.term == current_term:
                    self.ready.append((to, message))
                # else: 1. append of term 2 from A  2. vote for B in term 3  3. the append is durable, A leads on in
                # term 2. Its acknowledgement now could commit for A what B, elected with our vote, does not have.
            self._gated = kept
        return self.durable_index > before

    def take_records(self) -> list[Record]:
        """Records since the last call; the number of the last is `sequence`."""
        records = self.records
        self.records = []
        return records

    def take_messages(self) -> list[tuple[int, Message]]:
        """Messages that may leave now."""
        ready = self.ready
        self.ready = []
        return ready
