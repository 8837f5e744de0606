"""SUBSCRIBE and UNSUBSCRIBE packets with many filters: given to the log slice by slice, so that nobody else waits for them.

One slice is under way at a time, whoever's it is; the next one follows when that one is answered. A connection's later
SUBSCRIBE and UNSUBSCRIBE packets wait behind its slices, so that they keep their order, and it is not read meanwhile.
"""

from collections import deque
from typing import Final, final

from quantum.core.edge.connections import OPEN, EdgeConnection
from quantum.core.edge.pending import Waiter
from quantum.core.mqtt.packets import Subscribe, Subscription, Unsubscribe
from quantum.core.mqtt.properties import SUBSCRIPTION_IDENTIFIER

# What a slice may hold, so that applying it takes less than a millisecond or two.
SLICE_FILTERS: Final = 128
SLICE_LEVELS: Final = 1024  # of all its filters, and those of one: each may cost a node of the index
FEW_FILTERS: Final = 16  # of which nobody counts the levels


@final
class LongPacket:
    """A SUBSCRIBE or UNSUBSCRIBE, and those of its filters that the log was not given yet, the next one last."""

    __slots__ = ("is_subscribe", "packet_id", "subscription_id", "subscriptions", "topic_filters")

    def __init__(self, packet: Subscribe | Unsubscribe) -> None:
        self.packet_id = packet.packet_id
        self.subscription_id = 0
        self.subscriptions: list[Subscription] = []
        self.topic_filters: list[str] = []
        self.is_subscribe = isinstance(packet, Subscribe)
        if isinstance(packet, Subscribe):
            self.subscription_id = subscription_id_of(packet)
            self.subscriptions = packet.subscriptions[::-1]
        else:
            self.topic_filters = packet.topic_filters[::-1]

    def take_subscriptions(self) -> list[Subscription]:
        """The next slice of a SUBSCRIBE."""
        rest = self.subscriptions
        taken: list[Subscription] = []
        levels = 0
        while rest and len(taken) < SLICE_FILTERS and levels < SLICE_LEVELS:
            subscription = rest.pop()
            levels += 1 + subscription.topic_filter.count("/")
            taken.append(subscription)
        return taken

    def take_topic_filters(self) -> list[str]:
        """The next slice of an UNSUBSCRIBE."""
        rest = self.topic_filters
        taken: list[str] = []
        levels = 0
        while rest and len(taken) < SLICE_FILTERS and levels < SLICE_LEVELS:
            topic_filter = rest.pop()
            levels += 1 + topic_filter.count("/")
            taken.append(topic_filter)
        return taken

    def is_done(self) -> bool:
        """Everything was taken."""
        return not self.subscriptions and not self.topic_filters


@final
class Sliced:
    """What one connection has asked for and was not answered for yet."""

    __slots__ = ("codes", "connection", "packets", "reason", "waiter")

    def __init__(self, connection: EdgeConnection) -> None:
        self.connection = connection
        self.packets: deque[LongPacket] = deque()
        self.waiter: Waiter | None = None  # for its newest slice
        # Of the packet whose first slices are answered.
        self.codes: list[int] = []
        self.reason = ""  # why the edge refused the first filter that it refused


@final
class Slices:
    """The packets that wait, and the slice that is under way."""

    __slots__ = ("_ready", "_sliced", "_under_way")

    def __init__(self) -> None:
        self._sliced: dict[int, Sliced] = {}  # by conn_id
        self._ready: deque[Sliced] = deque()  # those with packets, in the order of their turns
        self._under_way: Waiter | None = None

    def is_needed(self, connection: EdgeConnection, packet: Subscribe | Unsubscribe) -> bool:
        """Whether a packet must take this way."""
        if self.holds(connection):
            return True
        if isinstance(packet, Subscribe):
            count = len(packet.subscriptions)
            if count <= FEW_FILTERS or count > SLICE_FILTERS:
                return count > FEW_FILTERS
            slashes = sum([subscription.topic_filter.count("/") for subscription in packet.subscriptions])
        else:
            count = len(packet.topic_filters)
            if count <= FEW_FILTERS or count > SLICE_FILTERS:
                return count > FEW_FILTERS
            slashes = sum([topic_filter.count("/") for topic_filter in packet.topic_filters])
        return count + slashes > SLICE_LEVELS

    def holds(self, connection: EdgeConnection) -> bool:
        """Whether some of what the connection asked for waits or is under way."""
        return len(self._sliced) > 0 and connection.conn_id in self._sliced

    def add(self, connection: EdgeConnection, packet: Subscribe | Unsubscribe) -> None:
        """A packet that takes this way."""
        sliced = self._sliced.get(connection.conn_id)
        if sliced is None:
            sliced = self._sliced[connection.conn_id] = Sliced(connection)
        if not sliced.packets:
            self._ready.append(sliced)
        sliced.packets.append(LongPacket(packet))

    def take_next(self) -> Sliced | None:
        """Whose turn it is to give a slice; None while one is under way. What closed connections left is dropped."""
        while self._ready and self._under_way is None:
            sliced = self._ready.popleft()
            if sliced.connection.state == OPEN:
                return sliced
            del self._sliced[sliced.connection.conn_id]
        return None

    def on_given(self, sliced: Sliced, waiter: Waiter) -> None:
        """The log is given a slice of the connection's first packet."""
        self._under_way = sliced.waiter = waiter
        if sliced.packets[0].is_done():
            sliced.packets.popleft()
            sliced.reason = ""
        if sliced.packets:
            self._ready.append(sliced)

    def on_answered(self, waiter: Waiter) -> None:
        """A command is applied: if it is the slice under way, the next one may follow."""
        if waiter is not self._under_way:
            return
        self._under_way = None
        sliced = self._sliced[waiter.connection.conn_id]
        if not sliced.packets and waiter.connection.state != OPEN:
            del self._sliced[waiter.connection.conn_id]

    def on_lost(self) -> None:
        """All connections are closed: nothing of what they asked for will be answered."""
        self._sliced = {}
        self._ready.clear()
        self._under_way = None

    def is_due(self) -> bool:
        """The next turn has a slice to give."""
        return len(self._ready) > 0 and self._under_way is None

    def keep_codes(self, waiter: Waiter, codes: list[int]) -> None:
        """Reason codes of a slice that is not the last of its packet."""
        self._sliced[waiter.connection.conn_id].codes += codes

    def all_codes(self, waiter: Waiter, codes: list[int]) -> list[int]:
        """The reason codes of a whole packet, whose last ones are `codes`."""
        sliced = self._sliced.get(waiter.connection.conn_id)
        if sliced is None or sliced.waiter is not waiter:
            return codes  # of a packet that took the short way
        codes = sliced.codes + codes
        sliced.codes = []
        if not sliced.packets:
            del self._sliced[waiter.connection.conn_id]
        return codes


def subscription_id_of(packet: Subscribe) -> int:
    """Its Subscription Identifier, 0 for none."""
    ids = packet.properties.get(SUBSCRIPTION_IDENTIFIER)
    return ids[0] if isinstance(ids, list) and ids and isinstance(ids[0], int) else 0
