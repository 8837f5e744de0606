"""What members of shared groups leave behind when their connections end: it goes back to the log, for other members.

An ephemeral session's edge alone knows what it was given. What it had not acknowledged at QoS 1, and what it was never
sent, its edge gives back with `GiveAgain`, behind the `CloseSession` that takes it out of the group. QoS 2 that is being
sent is lost with it [MQTT-4.8.2-5].

1. a connection ends here  2. `apply` chooses its session once more  3. `apply` comes to its CloseSession: what was given
in step 2 finds no connection, and is given back too.

One slice is under way at a time, so that a long queue delays nobody else's commands. Source: MQTT 5.0 §4.8.2.
"""

from collections import deque
from typing import Final, final

from quantum.core.broker.commands import GiveAgain
from quantum.core.broker.message import Message
from quantum.core.causes import ORPHANS_MAX, SESSION_ENDED, Cause
from quantum.core.edge.ephemeral import EphemeralQueue
from quantum.core.edge.ledger import EdgeLedger
from quantum.core.edge.pending import Batch
from quantum.core.flow import CauseLedger

SLICE_BYTES: Final = 262_144  # given back with one entry
LAST_SLICE_BYTES: Final = 4_194_304  # with the entry that closes the edge
ORPHAN_BYTES: Final = 128  # what a message counts for beside its own bytes


@final
class Orphans:
    """The messages of this edge that wait for another member. Each is in the ledger's `open` until the log has it."""

    __slots__ = (
        "_batch",
        "_bytes_max",
        "_causes",
        "_leaving",
        "_left",
        "_ledger",
        "_under_way",
        "_waiting",
        "_waiting_bytes",
    )

    def __init__(self, bytes_max: int, ledger: EdgeLedger, causes: CauseLedger) -> None:
        self._bytes_max = bytes_max
        self._ledger = ledger
        self._causes = causes
        self._waiting: deque[GiveAgain] = deque()
        self._waiting_bytes = 0
        self._under_way: list[GiveAgain] = []
        self._batch: Batch | None = None  # which holds those under way
        self._leaving: dict[int, None] = {}  # conn_epoch of sessions that have ended here and not yet in the log
        self._left: list[int] = []  # of those, the ones that have ended in the log since

    # -- what is left behind --------------------------------------------------------------------------------------

    def on_leaving(self, conn_epoch: int) -> None:
        """A connection ended here, and the log is going to be told."""
        self._leaving[conn_epoch] = None

    def on_left(self, conn_epoch: int) -> None:
        """The log has ended the session. What the same entry gave to it before is still to come."""
        self._leaving[conn_epoch] = None
        self._left.append(conn_epoch)

    def take_over(self, queue: EphemeralQueue) -> int:
        """The session of this queue has ended: take what is for other members. How many the caller need not end."""
        left = queue.left_by_groups()
        for shared_filter, message in left:
            self._add(shared_filter, message)
        return len(left)

    def on_late(self, conn_epoch: int, shared_filter: str, message: Message) -> None:
        """A message was given to a session without a connection here; most sessions have theirs elsewhere."""
        if conn_epoch not in self._leaving:
            return
        self._ledger.created += 1
        self._ledger.open += 1
        self._add(shared_filter, message)

    # -- on its way -----------------------------------------------------------------------------------------------

    def feed(self, batch: Batch) -> None:
        """Put the next slice behind the commands of this turn, if none is under way."""
        if self._left:
            for conn_epoch in self._left:
                self._leaving.pop(conn_epoch, None)
            self._left = []
        if not self._waiting or self._batch is not None:
            return
        self._under_way = self._take_slice(SLICE_BYTES)
        self._batch = batch
        for command in self._under_way:
            batch.add(command, None)

    def is_due(self) -> bool:
        """The next turn has a slice to give."""
        return len(self._waiting) > 0 and self._batch is None

    def on_applied(self, batch: Batch) -> None:
        """A batch of this edge is in the log."""
        if batch is not self._batch:
            return
        self._batch = None
        self._settle(self._under_way)
        self._under_way = []

    def on_edge_closed(self) -> None:
        """Whether the log has what was under way, nobody can tell: QoS 1 is given again to be sure, QoS 2 is not, for it
        may come once at most. What waits goes with the edge's next incarnation."""
        self._batch = None
        self._leaving = {}
        self._left = []
        for command in reversed(self._under_way):
            if command.message.qos == 2:
                self._drop(SESSION_ENDED)
            else:
                self._waiting.appendleft(command)
                self._waiting_bytes += _size_of(command)
        self._under_way = []

    def take_last(self) -> list[GiveAgain]:
        """What goes with the very last entry of this edge; anything beyond that is lost with the process."""
        last = self._take_slice(LAST_SLICE_BYTES)
        self._settle(last)
        while self._waiting:
            self._waiting.popleft()
            self._drop(SESSION_ENDED)
        self._waiting_bytes = 0
        return last

    # -- private --------------------------------------------------------------------------------------------------

    def _add(self, shared_filter: str, message: Message) -> None:
        command = GiveAgain(shared_filter, message)
        size = _size_of(command)
        if self._waiting_bytes + size > self._bytes_max:
            self._drop(ORPHANS_MAX)
            return
        self._waiting.append(command)
        self._waiting_bytes += size

    def _take_slice(self, bytes_max: int) -> list[GiveAgain]:
        """The first ones, as many as go into one entry, and one in any case."""
        taken: list[GiveAgain] = []
        room = bytes_max
        waiting = self._waiting
        while waiting and (not taken or _size_of(waiting[0]) <= room):
            command = waiting.popleft()
            size = _size_of(command)
            self._waiting_bytes -= size
            room -= size
            taken.append(command)
        return taken

    def _settle(self, commands: list[GiveAgain]) -> None:
        self._ledger.open -= len(commands)
        self._ledger.given_back += len(commands)

    def _drop(self, cause: Cause) -> None:
        self._ledger.open -= 1
        self._ledger.drop(cause, 1)
        self._causes.count(cause, 1)


def _size_of(command: GiveAgain) -> int:
    message = command.message
    return len(message.payload) + len(message.topic_name) + len(message.properties) + ORPHAN_BYTES
