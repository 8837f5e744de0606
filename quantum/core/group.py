"""One replica of one group: consensus, the entries on their way, and the state machine they are for.

It does not know what the machine replicates, nor how bytes lie on disk.
"""

from collections import deque
from typing import final

from quantum.core.raft.entry import COMMAND, NO_OP, Entry
from quantum.core.raft.raft import Raft
from quantum.core.state_machine import StateMachine
from quantum.core.wal.frame import HardState, encode_entry_frame, encode_hard_state


@final
class Group:
    """Proposals in, applied effects out."""

    __slots__ = ("_applied", "_waiting", "applied_index", "applied_term", "machine", "number", "raft", "snapshot_index")

    def __init__(self, number: int, machine: StateMachine) -> None:
        self.number = number
        self.machine = machine
        self.raft = Raft(0, 0, 0, 0)
        self.applied_index = 0
        self.applied_term = 0
        self.snapshot_index = 0  # of the newest published snapshot
        self._waiting: deque[tuple[Entry, object]] = deque()  # appended, not applied
        self._applied: list[object] = []

    def on_snapshot(self, index: int, term: int) -> None:
        """The machine was restored from a snapshot at this index."""
        self.applied_index = index
        self.applied_term = term
        self.snapshot_index = index

    def replay(self, entry: Entry) -> None:
        """An entry of the recovered log, in order; its effects concern nobody any more.

        The one voter of a group finds all its entries committed: whatever it once wrote, a quorum holds.
        """
        if entry.index <= self.applied_index:
            return
        assert entry.index == self.applied_index + 1
        if entry.kind == COMMAND:
            self.machine.apply(entry.index, entry.data, None)
        self.applied_index = entry.index
        self.applied_term = entry.term

    def become_leader(self, node: int, current_term: int, voted_for: int) -> list[tuple[bytes, int]]:
        """Start serving; returns the frames to persist, each with the entry index it holds (0 for none)."""
        self.raft = Raft(node, max(current_term, self.applied_term), voted_for, self.applied_index)
        index = self.raft.become_leader()
        entry = Entry(index, self.raft.current_term, NO_OP, b"")
        self._waiting.append((entry, None))
        return [
            (encode_hard_state(self.hard_state()), 0),
            (encode_entry_frame(self.number, index, entry.term, NO_OP, b""), index),
        ]

    def hard_state(self) -> HardState:
        """What must survive a crash beside the entries."""
        return HardState(self.number, self.raft.current_term, self.raft.voted_for)

    def propose(self, data: bytes, decoded: object) -> tuple[int, bytes]:
        """Append a command; returns its index and the frame to persist."""
        index = self.raft.append()
        entry = Entry(index, self.raft.current_term, COMMAND, data)
        self._waiting.append((entry, decoded))
        return index, encode_entry_frame(self.number, index, entry.term, COMMAND, data)

    def propose_no_op(self) -> tuple[int, bytes]:
        """Append an entry that does nothing, for its place in the log."""
        index = self.raft.append()
        entry = Entry(index, self.raft.current_term, NO_OP, b"")
        self._waiting.append((entry, None))
        return index, encode_entry_frame(self.number, index, entry.term, NO_OP, b"")

    def on_durable(self, index: int) -> None:
        """Entries up to `index` are on this replica's disk: commit and apply what follows from that."""
        if not self.raft.on_durable(index):
            return
        waiting = self._waiting
        commit_index = self.raft.commit_index
        while waiting and waiting[0][0].index <= commit_index:
            entry, decoded = waiting.popleft()
            if entry.kind == COMMAND:
                self._applied.append(self.machine.apply(entry.index, entry.data, decoded))
            self.applied_index = entry.index
            self.applied_term = entry.term

    def take_applied(self) -> list[object]:
        """The effects of entries applied since the last call, in order."""
        applied = self._applied
        self._applied = []
        return applied
