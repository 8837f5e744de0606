"""A lite run told as a history, for people: only in the second pass, and without any say in what happens."""

from typing import final

from quantum.core.raft.messages import Message
from quantum.sim import history as kinds
from quantum.sim.history import History, client_lane
from quantum.sim.raft_operations import WRITE, Operation
from quantum.sim.raft_replica import Replica


@final
class RaftStory:
    """What each node was when it was last looked at, and what it did last."""

    __slots__ = ("_asked", "_begun", "_last", "_numbers", "_roles", "history")

    def __init__(self, history: History) -> None:
        self.history = history
        self._roles: dict[int, tuple[int, int]] = {}
        self._numbers: dict[int, tuple[int, int, int]] = {}  # commit, applied, durable
        self._last: dict[int, int] = {}  # the last input of a node
        self._begun: dict[int, int] = {}  # its write under way
        self._asked: dict[int, int] = {}  # operations by serial

    def on_start(self, now_us: int, replica: Replica) -> None:
        """A process begins."""
        node = replica.node
        number = self.history.add(now_us, node, kinds.START, f"life {replica.incarnation}", (), replica.incarnation)
        self._last[node] = number
        self._roles.pop(node, None)
        self._numbers.pop(node, None)

    def on_kill(self, now_us: int, replica: Replica) -> None:
        """A process ends."""
        self.history.add(now_us, replica.node, kinds.KILL, "killed")

    def on_power(self, now_us: int, replica: Replica) -> None:
        """A machine stops."""
        lost = 0 if replica.disk.flight is None else len(replica.disk.flight.records)
        self.history.add(now_us, replica.node, kinds.POWER, f"{lost} records were not synced", (), 0, lost)

    def on_send(self, now_us: int, node: int, to: int, message: Message) -> int:
        """A message leaves."""
        return self.history.add(now_us, node, kinds.SEND, said(message), (self._last.get(node, 0),), to)

    def on_delivered(self, now_us: int, node: int, sender: int, number: int, message: Message) -> None:
        """A message arrives."""
        name = type(message).__name__
        self._last[node] = self.history.add(now_us, node, kinds.DELIVER, name, (number,), sender)

    def on_ignored(self, now_us: int, node: int, sender: int, number: int, message: Message) -> None:
        """Nobody is there to hear it, or it is of a process that is gone."""
        self.history.add(now_us, node, kinds.DROP, f"{type(message).__name__}: not heard", (number,), sender)

    def on_dropped(self, now_us: int, node: int, sender: int, number: int, reason: str) -> None:
        """The network keeps it."""
        self.history.add(now_us, node, kinds.DROP, reason, (number,), sender)

    def on_write(self, now_us: int, replica: Replica) -> None:
        """A batch is being written."""
        batch = replica.disk.flight
        assert batch is not None
        node = replica.node
        text = f"{len(batch.records)} records"
        cause = self._last.get(node, 0)
        self._begun[node] = self.history.add(now_us, node, kinds.FSYNC_BEGIN, text, (cause,), batch.last_sequence)

    def on_synced(self, now_us: int, replica: Replica) -> None:
        """It is durable."""
        node = replica.node
        sequence = replica.disk.batches[-1].last_sequence
        cause = self._begun.get(node, 0)
        self._last[node] = self.history.add(now_us, node, kinds.FSYNC_END, "synced", (cause,), sequence)

    def on_snapshot(self, now_us: int, node: int, what: str, index: int) -> None:
        """A snapshot was cut, sent or installed."""
        self.history.add(now_us, node, kinds.SNAPSHOT, f"{what} at {index}", (self._last.get(node, 0),), index)

    def on_turn(self, now_us: int, replica: Replica) -> None:
        """What changed in the node's plain numbers."""
        raft = replica.raft
        if raft is None:
            return
        node = replica.node
        cause = (self._last.get(node, 0),)
        role = (raft.role, raft.current_term)
        if self._roles.get(node) != role:
            self._roles[node] = role
            text = f"{kinds.ROLE_NAMES[raft.role]} of term {raft.current_term}"
            self.history.add(now_us, node, kinds.ROLE, text, cause, raft.role, raft.current_term)
        numbers = (raft.commit_index, raft.applied_index, raft.durable_index)
        before = self._numbers.get(node, (0, 0, 0))
        if before != numbers:
            self._numbers[node] = numbers
            for at, kind in enumerate((kinds.COMMIT, kinds.APPLY, kinds.DURABLE)):
                if numbers[at] != before[at]:
                    text = f"{kinds.KIND_NAMES[kind]} {numbers[at]}"
                    self.history.add(now_us, node, kind, text, cause, numbers[at])

    def on_ask(self, now_us: int, operation: Operation) -> None:
        """A client begins an operation."""
        what = "writes" if operation.kind == WRITE else "reads"
        text = f"{what} register {operation.register}, operation {operation.number}"
        self._asked[operation.serial] = self.history.add(now_us, client_lane(operation.client), kinds.CLIENT, text)

    def on_reached(self, node: int, operation: Operation) -> None:
        """It is with the node: what that does next comes from it."""
        self._last[node] = self._asked.get(operation.serial, 0)

    def on_answer(self, now_us: int, operation: Operation, node: int) -> None:
        """It is answered."""
        causes = (self._asked.get(operation.serial, 0), self._last.get(node, 0))
        text = f"operation {operation.number} answered at {operation.place}"
        self.history.add(now_us, client_lane(operation.client), kinds.CLIENT, text, causes)

    def on_fault(self, now_us: int, text: str, *, ends: bool) -> None:
        """The nemesis acts."""
        self.history.add(now_us, kinds.WORLD_LANE, kinds.FAULT, text, (), 2 if ends else 1)

    def on_violation(self, now_us: int, text: str) -> None:
        """The end of the run."""
        events = self.history.events
        self.history.add(now_us, kinds.WORLD_LANE, kinds.VIOLATION, text, (events[-1].number,) if events else ())


def said(message: Message) -> str:
    """A message in one line."""
    parts = [type(message).__name__]
    for name in message.__slots__:
        value = getattr(message, name)
        if name == "entries":
            parts.append(f"{len(value)} entries" if len(value) != 1 else "1 entry")
        elif isinstance(value, bytes):
            parts.append(f"{name} {len(value)} bytes")
        elif value is not False:
            parts.append(f"{name} {value}" if value is not True else name)
    return " ".join(parts)
