"""Linearizability of one register: is there an order of the operations that explains everything that was read?

A register holds a small number. Each operation has an interval of facts in which it took effect at one instant, if it
took effect; it may demand the value it finds (`expects`) and may leave another one (`sets`). Objects are checked one by
one, because a history is linearizable if and only if each object's part of it is. Just-in-time linearization: nothing is
ordered before some operation returns, and operations of one lane keep their order. Exact up to `CONFIGURATIONS_MAX`.
Source: Wing and Gong 1993; Lowe 2017; FAULTS M8, M9.
"""

from dataclasses import dataclass
from typing import Final, final

ANY: Final = -1  # expects: whatever there is
KEEP: Final = -1  # sets: nothing
OPEN_END: Final = 1 << 62
NO_LANE: Final = -1
CONFIGURATIONS_MAX: Final = 20_000

# A configuration: the value, and which of the pending operations took effect, one bit each.
_Configuration = tuple[int, int]


@final
@dataclass(slots=True, eq=False)
class Operation:
    """One use of the register. `begin` < `end`, and no two operations of a register share such a number."""

    name: str  # for people
    expects: int
    sets: int
    begin: int
    end: int = OPEN_END
    lane: int = NO_LANE  # operations of one lane take effect in the order of their beginnings
    is_optional: bool = False  # it may as well have had no effect at all


@final
@dataclass(slots=True)
class Finding:
    """No order explains what `operation` found, given all that returned before it."""

    operation: Operation
    values: list[int]  # what the register could hold when it returned


@final
class RegisterCheck:
    """One pass over the history of one register."""

    __slots__ = ("_configurations", "_pending", "_slots", "is_undecided")

    def __init__(self, initial: int) -> None:
        self._configurations: dict[_Configuration, None] = {(initial, 0): None}
        self._pending: dict[int, Operation] = {}  # bit → operation, in the order of their beginnings
        self._slots: list[int] = []  # bits that are free again
        self.is_undecided = False

    def run(self, operations: list[Operation]) -> Finding | None:
        """The first operation that nothing explains."""
        events: list[tuple[int, int, Operation]] = []
        for operation in operations:
            assert operation.begin < operation.end
            events.append((operation.begin, 0, operation))
            if operation.end != OPEN_END:
                events.append((operation.end, 1, operation))
        events.sort(key=_event_key)
        bits: dict[int, int] = {}
        for _, is_end, operation in events:
            if not is_end:
                bits[operation.begin] = self._begin(operation)
                continue
            finding = self._end(operation, bits[operation.begin])
            if finding is not None or self.is_undecided:
                return finding
        return None

    def _begin(self, operation: Operation) -> int:
        bit = self._slots.pop() if self._slots else 1 << len(self._pending)
        self._pending[bit] = operation
        if _is_read(operation):
            self._configurations = {
                (value, done | bit if value == operation.expects else done): None
                for value, done in self._configurations
            }
        return bit

    def _end(self, operation: Operation, bit: int) -> Finding | None:
        found = self._linearize(bit)
        if self.is_undecided:
            return None
        if operation.is_optional:
            self._configurations.update(found)  # From here on it had its effect, or never has it.
        elif found:
            self._configurations = found
        else:
            return Finding(operation, list(dict.fromkeys(value for value, _ in self._configurations)))
        del self._pending[bit]
        self._slots.append(bit)
        self._configurations = {(value, done & ~bit): None for value, done in self._configurations}
        return None

    def _linearize(self, bit: int) -> dict[_Configuration, None]:
        """All configurations in which the operation took effect and nothing after it, yet."""
        found: dict[_Configuration, None] = {}
        seen = dict(self._configurations)
        todo = list(seen)
        while todo:
            configuration = todo.pop()
            if configuration[1] & bit:
                found[configuration] = None
                continue
            for following in self._steps(configuration):
                if following not in seen:
                    seen[following] = None
                    todo.append(following)
            if len(seen) > CONFIGURATIONS_MAX:
                self.is_undecided = True
                break
        return found

    def _steps(self, configuration: _Configuration) -> list[_Configuration]:
        """Let each pending operation take effect that can."""
        value, done = configuration
        steps: list[_Configuration] = []
        for bit, operation in self._pending.items():
            if done & bit or (operation.expects not in (ANY, value)):
                continue
            skipped = self._skipped(operation, done)
            if skipped < 0:
                continue
            after = value if operation.sets == KEEP else operation.sets
            steps.append((after, self._satisfy_reads(after, done | bit | skipped)))
        return steps

    def _skipped(self, operation: Operation, done: int) -> int:
        """Bits of optional operations of the lane that can never come after this one; -1 if one before it must come."""
        skipped = 0
        if operation.lane == NO_LANE:
            return skipped
        for bit, other in self._pending.items():
            if other.lane == operation.lane and other.begin < operation.begin and not done & bit:
                if not other.is_optional:
                    return -1
                skipped |= bit
        return skipped

    def _satisfy_reads(self, value: int, done: int) -> int:
        """A read changes nothing, so it takes effect as soon as its value is there."""
        for bit, operation in self._pending.items():
            if operation.expects == value and _is_read(operation):
                done |= bit
        return done


def _is_read(operation: Operation) -> bool:
    return operation.sets == KEEP and operation.expects != ANY and operation.lane == NO_LANE


def _event_key(event: tuple[int, int, Operation]) -> tuple[int, int]:
    return event[0], event[1]
