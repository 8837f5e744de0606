"""SUBSCRIBE and UNSUBSCRIBE packets with many filters: given to the log slice by slice, so that nobody else waits for them.

One slice is under way at a time, whoever's it is; the next one follows when that one is answered. A connection's later
SUBSCRIBE and UNSUBSCRIBE packets wait behind its slices, so that they keep their order, and it is not read meanwhile.
"""

from collections import deque
from typing import Final, final

from quantum.core.broker.commands import SubscribeSession, UnsubscribeSession
from quantum.core.edge.connections import OPEN, EdgeConnection
from quantum.core.edge.pending import (
    ACK_SUBSCRIBE,
    ACK_UNSUBSCRIBE,
    SLICE_SUBSCRIBE,
    SLICE_UNSUBSCRIBE,
    Batch,
    Waiter,
)
from quantum.core.mqtt.packets import Subscription

SLICE_FILTERS: Final = 512  # a millisecond or two of `apply`
DECIDED_BY_LOG: Final = -1  # in place of a reason code


Command = SubscribeSession | UnsubscribeSession


@final
class Sliced:
    """What one connection has asked for and was not answered for yet."""

    __slots__ = ("codes", "connection", "slices")

    def __init__(self, connection: EdgeConnection) -> None:
        self.connection = connection
        self.slices: deque[tuple[Command, Waiter]] = deque()
        self.codes: list[int] = []  # of the packet whose first slices are answered


@final
class Slices:
    """The slices that wait, and the one that is under way."""

    __slots__ = ("_ready", "_sliced", "_under_way")

    def __init__(self) -> None:
        self._sliced: dict[int, Sliced] = {}  # by conn_id
        self._ready: deque[Sliced] = deque()  # those with slices, in the order of their turns
        self._under_way: Waiter | None = None

    def is_needed(self, connection: EdgeConnection, filter_count: int) -> bool:
        """Whether a packet must take this way."""
        return filter_count > SLICE_FILTERS or self.holds(connection)

    def holds(self, connection: EdgeConnection) -> bool:
        """Whether some of what the connection asked for waits or is under way."""
        return len(self._sliced) > 0 and connection.conn_id in self._sliced

    def subscribe(
        self,
        connection: EdgeConnection,
        packet_id: int,
        allowed: list[Subscription],
        reason_codes: list[int],
        reason: str,
        subscription_id: int,
    ) -> None:
        """A SUBSCRIBE; `allowed` has a subscription for each reason code that the log decides."""
        begin = 0
        for at in range(0, len(reason_codes), SLICE_FILTERS):
            part = reason_codes[at : at + SLICE_FILTERS]
            end = begin + part.count(DECIDED_BY_LOG)
            then = SLICE_SUBSCRIBE if at + SLICE_FILTERS < len(reason_codes) else ACK_SUBSCRIBE
            command = SubscribeSession(connection.client_id, connection.conn_epoch, allowed[begin:end], subscription_id)
            self._add(command, Waiter(connection, then, packet_id, part, reason))
            begin = end

    def unsubscribe(self, connection: EdgeConnection, packet_id: int, topic_filters: list[str]) -> None:
        """An UNSUBSCRIBE."""
        for at in range(0, len(topic_filters), SLICE_FILTERS):
            part = topic_filters[at : at + SLICE_FILTERS]
            then = SLICE_UNSUBSCRIBE if at + SLICE_FILTERS < len(topic_filters) else ACK_UNSUBSCRIBE
            command = UnsubscribeSession(connection.client_id, connection.conn_epoch, part)
            self._add(command, Waiter(connection, then, packet_id))

    def feed(self, batch: Batch) -> None:
        """Put the next slice into the batch of this turn, if none is under way. What closed connections left is dropped."""
        ready = self._ready
        while ready and self._under_way is None:
            sliced = ready.popleft()
            if sliced.connection.state != OPEN:
                del self._sliced[sliced.connection.conn_id]
                continue
            command, waiter = sliced.slices.popleft()
            batch.add(command, waiter)
            self._under_way = waiter
            if sliced.slices:
                ready.append(sliced)

    def on_answered(self, waiter: Waiter) -> None:
        """A command is applied: if it is the slice under way, the next one may follow."""
        if waiter is not self._under_way:
            return
        self._under_way = None
        sliced = self._sliced[waiter.connection.conn_id]
        if not sliced.slices and waiter.connection.state != OPEN:
            del self._sliced[waiter.connection.conn_id]

    def on_lost(self) -> None:
        """What is under way will not be answered, and its connection is closed."""
        waiter = self._under_way
        if waiter is not None:
            self.on_answered(waiter)

    def is_due(self) -> bool:
        """The next turn has a slice to give."""
        return len(self._ready) > 0 and self._under_way is None

    def keep_codes(self, waiter: Waiter, codes: list[int]) -> None:
        """Reason codes of a slice that is not the last of its packet."""
        self._sliced[waiter.connection.conn_id].codes += codes

    def all_codes(self, waiter: Waiter, codes: list[int]) -> list[int]:
        """The reason codes of a whole packet, whose last ones are `codes`."""
        sliced = self._sliced.get(waiter.connection.conn_id)
        if sliced is None:
            return codes
        codes = sliced.codes + codes
        sliced.codes = []
        if not sliced.slices:
            del self._sliced[waiter.connection.conn_id]
        return codes

    def _add(self, command: Command, waiter: Waiter) -> None:
        conn_id = waiter.connection.conn_id
        sliced = self._sliced.get(conn_id)
        if sliced is None:
            sliced = self._sliced[conn_id] = Sliced(waiter.connection)
        if not sliced.slices:
            self._ready.append(sliced)
        sliced.slices.append((command, waiter))
