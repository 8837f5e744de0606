"""Commands on their way into the log, and who waits for their results. One batch a turn, answered in order."""

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, final

from quantum.core.broker.commands import Command
from quantum.core.causes import Cause

if TYPE_CHECKING:
    from quantum.core.edge.connections import EdgeConnection

# What the waiting connection does with the result.
NOBODY: Final = 0
ACK_PUBLISH: Final = 1  # PUBACK
RECEIVE_PUBLISH: Final = 2  # PUBREC
COMPLETE_PUBLISH: Final = 3  # PUBCOMP
RETAIN_PUBLISH: Final = 4  # QoS 0 through the log: nothing is sent, later QoS 0 may go the short way again
OPEN: Final = 5  # CONNACK
ACK_SUBSCRIBE: Final = 6
ACK_UNSUBSCRIBE: Final = 7
REFUSE_PUBLISH: Final = 9  # PUBACK with the cause the edge decided
ACK_DELIVERY: Final = 8  # PUBREL with 0x92 where PUBREC named an unknown Packet Identifier


@final
@dataclass(init=False, slots=True, eq=False)
class Waiter:
    """One connection that waits for one command's result."""

    connection: "EdgeConnection"
    then: int
    packet_id: int
    reason_codes: list[int] | None  # SUBACK codes already decided by the edge, -1 where the log decides

    def __init__(
        self, connection: "EdgeConnection", then: int, packet_id: int, reason_codes: list[int] | None = None
    ) -> None:
        self.connection = connection
        self.then = then
        self.packet_id = packet_id
        self.reason_codes = reason_codes


@final
@dataclass(slots=True, eq=False)
class Batch:
    """The commands of one turn; `waiters[i]` waits for the result of `commands[i]`.

    `refused` are answers that the edge decided without the log and that must not overtake the answers of older
    commands: (how many commands of this batch come first, the cause, who waits).
    """

    commands: list[Command] = field(default_factory=list)
    waiters: list[Waiter | None] = field(default_factory=list)
    refused: list[tuple[int, Cause, Waiter]] = field(default_factory=list)

    def add(self, command: Command, waiter: Waiter | None) -> None:
        """Append a command and who waits for it."""
        self.commands.append(command)
        self.waiters.append(waiter)

    def refuse(self, cause: Cause, waiter: Waiter) -> None:
        """Answer with a refusal once all commands added so far are answered."""
        self.refused.append((len(self.commands), cause, waiter))


@final
class Pending:
    """Batches that were proposed and are not applied yet, in log order."""

    __slots__ = ("_batches",)

    def __init__(self) -> None:
        self._batches: deque[tuple[int, Batch]] = deque()

    def __len__(self) -> int:
        return len(self._batches)

    def add(self, index: int, batch: Batch) -> None:
        """The batch is the entry at `index`."""
        self._batches.append((index, batch))

    def take(self, index: int) -> Batch | None:
        """The batch of the entry at `index`; None for an entry that no batch stands for."""
        if self._batches and self._batches[0][0] == index:
            return self._batches.popleft()[1]
        return None
