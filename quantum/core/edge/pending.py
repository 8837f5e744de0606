"""Commands on their way into the log, and who waits for their results. One batch a turn, answered in order.

What was numbered is kept until it is applied, whatever became of it on the way: the leader may change, a frame may be
lost. It is sent again as it was, and the log lets each number count once.
"""

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.broker.commands import Command, Entry, encode_entry
from quantum.core.broker.effects import Effects
from quantum.core.causes import Cause
from quantum.core.edge.connections import CLOSED, EdgeConnection

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
SLICE_SUBSCRIBE: Final = 10  # more of the same packet follows
SLICE_UNSUBSCRIBE: Final = 11
END_SESSION: Final = 12  # nothing is sent: the session has ended in the log as it had here
ACK_DELIVERY: Final = 8  # PUBREL with 0x92 where PUBREC named an unknown Packet Identifier

DECIDED_BY_LOG: Final = -1  # in place of a reason code of SUBACK


@final
@dataclass(init=False, slots=True, eq=False)
class Waiter:
    """One connection that waits for one command's result."""

    connection: EdgeConnection
    then: int
    packet_id: int
    reason_codes: list[int] | None  # SUBACK codes already decided by the edge, or DECIDED_BY_LOG
    reason: str  # why the edge refused the first of those it refused

    def __init__(
        self,
        connection: EdgeConnection,
        then: int,
        packet_id: int,
        reason_codes: list[int] | None = None,
        reason: str = "",
    ) -> None:
        self.connection = connection
        self.then = then
        self.packet_id = packet_id
        self.reason_codes = reason_codes
        self.reason = reason


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

    def drop_abandoned(self) -> None:
        """Leave out the CONNECTs of connections that are gone: their clients may be served elsewhere by now, and a late
        CONNECT would take that from them."""
        commands: list[Command] = []
        waiters: list[Waiter | None] = []
        dropped: list[int] = []
        for at, waiter in enumerate(self.waiters):
            if waiter is not None and waiter.then == OPEN and waiter.connection.state == CLOSED:
                dropped.append(at)
            else:
                commands.append(self.commands[at])
                waiters.append(waiter)
        self.commands = commands
        self.waiters = waiters
        self.refused = [(at - bisect_left(dropped, at), cause, waiter) for at, cause, waiter in self.refused]

    def refuse(self, cause: Cause, waiter: Waiter) -> None:
        """Answer with a refusal once all commands added so far are answered."""
        self.refused.append((len(self.commands), cause, waiter))


@final
@dataclass(init=False, slots=True, eq=False)
class Unapplied:
    """A batch that has its place in the edge's order and was not seen applied."""

    forward_seq: int
    batch: Batch
    data: bytes  # its entry, encoded; the leader's stamp is still missing

    def __init__(self, forward_seq: int, batch: Batch, data: bytes) -> None:
        self.forward_seq = forward_seq
        self.batch = batch
        self.data = data


@final
class Pending:
    """The batches of this edge's incarnation that are not applied yet, in their order."""

    __slots__ = ("_edge", "_last_seq", "_unapplied", "incarnation", "size")

    def __init__(self, edge: int) -> None:
        self._edge = edge
        self._last_seq = 0
        self._unapplied: deque[Unapplied] = deque()
        self.incarnation = 0  # 0 until the edge is open
        self.size = 0  # bytes of everything unapplied

    def __len__(self) -> int:
        return len(self._unapplied)

    def open(self, incarnation: int) -> None:
        """A new incarnation: what the earlier one had still to say is void, and the order starts anew."""
        assert incarnation > self.incarnation
        self.incarnation = incarnation
        self._last_seq = 0
        self._unapplied.clear()
        self.size = 0

    def add(self, batch: Batch) -> Unapplied:
        """Give a batch its place in the order."""
        assert self.incarnation
        self._last_seq += 1
        data = encode_entry(Entry(0, self._edge, self.incarnation, self._last_seq, batch.commands))
        unapplied = Unapplied(self._last_seq, batch, data)
        self._unapplied.append(unapplied)
        self.size += len(data)
        return unapplied

    def entry(self, unapplied: Unapplied, stamp_ms: int) -> Entry:
        """What `data` holds once it is stamped; a new object each time, for each proposal has a stamp of its own."""
        return Entry(stamp_ms, self._edge, self.incarnation, unapplied.forward_seq, unapplied.batch.commands)

    def unapplied(self) -> list[Unapplied]:
        """What is to be sent again to a leader that may not have it, in order."""
        return list(self._unapplied)

    def take(self, effects: Effects) -> Batch | None:
        """The batch that these effects answer; None for entries of others, and for those that did not count."""
        if effects.edge != self._edge or effects.incarnation != self.incarnation or effects.is_refused:
            return None
        if effects.forward_seq == 0:
            return None
        first = self._unapplied.popleft()  # the log applies an edge's entries in its own order
        assert first.forward_seq == effects.forward_seq
        self.size -= len(first.data)
        return first.batch
