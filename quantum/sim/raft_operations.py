"""What clients of a lite run ask for, and the law their answers obey: one register after the other, in the log's order.

Clients act at times of their own, whatever became of earlier operations; so leaving one out changes no other. An answered
operation has a place in the log: where it was committed, or what was applied when it was read. No operation may have a
place before one that was answered before it began: that is linearizability, and as the log fixes the order, there is
nothing to search. An operation without an answer may have happened or not. Source: FAULTS R13, R19.
"""

from typing import Final, final

from quantum.core.prng import Prng
from quantum.core.raft.entry import COMMAND, Entry
from quantum.sim.raft_laws import broken
from quantum.sim.raft_machine import serial_of
from quantum.sim.raft_options import RaftOptions

WRITE: Final = 0
READ: Final = 1
REGISTERS: Final = 4
_SERIALS_PER_CLIENT: Final = 1 << 32


@final
class Operation:
    """One of a client; every number is drawn when it begins, needed or not."""

    __slots__ = ("client", "floor", "kind", "number", "padding", "place", "register", "serial", "target", "term")

    def __init__(self, client: int, number: int, prng: Prng, options: RaftOptions) -> None:
        drawn = prng.u64()
        self.client = client
        self.number = number
        self.kind = READ if drawn & 1023 < options.read_share else WRITE
        self.register = drawn >> 10 & REGISTERS - 1
        self.padding = (drawn >> 16 & 0xFFFF) * (options.padding_max + 1) >> 16
        self.target = drawn >> 32 & 0xFFFF
        self.serial = (client + 1) * _SERIALS_PER_CLIENT + number + 1
        self.floor = 0  # the last place of an answer before this one began
        self.term = 0  # of the entry, when it was proposed
        self.place = 0


@final
class Operations:
    """The memory of all clients."""

    __slots__ = ("answered", "answered_count", "begun_count", "committed", "floor", "read_count", "refused_count")

    def __init__(self) -> None:
        self.floor = 0  # the last place of any answer
        self.begun_count = 0
        self.answered_count = 0
        self.read_count = 0
        self.refused_count = 0
        self.committed: dict[int, int] = {}  # serial -> index
        self.answered: dict[int, int] = {}  # serial -> index, of writes that were answered

    def on_begin(self, operation: Operation) -> None:
        """The client asks."""
        self.begun_count += 1
        operation.floor = self.floor

    def on_commit(self, entry: Entry) -> None:
        """One proposal, one entry."""
        if entry.kind != COMMAND:
            return
        serial = serial_of(entry.data)
        known = self.committed.get(serial)
        if known is not None:
            broken("R19", f"serial {serial:x} is committed at {known}", f"it is committed at {entry.index} as well")
        self.committed[serial] = entry.index

    def on_answer(self, operation: Operation, place: int) -> None:
        """It is done, at this place of the log."""
        self.answered_count += 1
        what = "write" if operation.kind == WRITE else "read"
        is_late = place <= operation.floor if operation.kind == WRITE else place < operation.floor
        if is_late:
            broken(
                "R13",
                f"an operation with place {operation.floor} was answered before {what} {operation.number} of client "
                f"{operation.client} began",
                f"that {what} has place {place}",
            )
        if operation.kind == WRITE:
            known = self.committed.get(operation.serial, 0)
            if known != place:
                broken(
                    "R19",
                    f"serial {operation.serial:x} is committed at {known}",
                    f"it was answered as committed at {place}",
                )
            self.answered[operation.serial] = place
        else:
            self.read_count += 1
        operation.place = place
        self.floor = max(self.floor, place)

    def check_kept(self, committed: list[Entry]) -> None:
        """The scan at the end: what was answered stands where it was answered."""
        for serial, index in self.answered.items():
            if serial_of(committed[index - 1].data) != serial:
                broken("R19", f"serial {serial:x} was answered at {index}", "another entry is committed there")
