"""Byte streams between clients and the node: cut into segments anywhere, delayed, broken off after any byte.

One `Link` is one Network Connection. Each direction keeps its order; what one end wrote before a break may arrive in
part, as after a reset. A half-open link looks alive to the node although its client is gone. Source: FAULTS F12 to F18.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.prng import Prng
from quantum.sim.scheduler import TO_CLIENT, TO_NODE, Scheduler

UNLIMITED: Final = -1
FINISHED: Final = "closed by the peer"
RESET: Final = "connection reset by the peer"


@final
@dataclass(slots=True)
class NetworkOptions:
    """Drawn once per seed. Times in microseconds, shares of 1000."""

    delay_us_min: int = 50
    delay_us_max: int = 2_000
    split_share: int = 100  # of writes that arrive in several segments
    tiny_share: int = 50  # of split writes that arrive byte by byte, up to 64 bytes
    reset_share: int = 300  # of breaks in which bytes under way are lost
    high_water: int = 16_384  # bytes a stalled reader leaves at the node before its transport is blocked


@final
class Link:
    """One connection, with both of its ends."""

    __slots__ = (
        "client",
        "client_budget",
        "client_is_open",
        "conn_id",
        "held",
        "host",
        "is_blocked",
        "is_half_open",
        "is_paused",
        "is_stalled",
        "loses_bytes",
        "node_budget",
        "node_is_open",
        "number",
        "to_client_us",
        "to_node_us",
        "unsent",
        "unsent_bytes",
    )

    def __init__(self, number: int, client: int) -> None:
        self.number = number
        self.client = client
        self.host = 0  # number of the node it leads to; 0 until it is chosen
        self.conn_id = 0  # what the node's process calls it; 0 until accepted
        self.client_is_open = True
        self.node_is_open = True  # the node was not told of its end
        self.to_node_us = 0  # when the last segment arrives
        self.to_client_us = 0
        self.node_budget = UNLIMITED  # bytes towards the node before the link breaks
        self.client_budget = UNLIMITED
        self.is_half_open = False  # nothing that is written from now on arrives anywhere
        self.loses_bytes = False  # nor does what is under way
        self.is_paused = False  # the node does not read
        self.held: list[bytes | str] = []  # arrived while paused; a text is the end
        self.is_stalled = False  # the client does not read
        self.is_blocked = False  # the node was told so
        self.unsent: list[bytes | str] = []
        self.unsent_bytes = 0


@final
class Network:
    """All links of a run."""

    __slots__ = ("_options", "_prng", "_scheduler", "cut_count", "links")

    def __init__(self, prng: Prng, options: NetworkOptions, scheduler: Scheduler) -> None:
        self._prng = prng
        self._options = options
        self._scheduler = scheduler
        self.links: dict[int, Link] = {}
        self.cut_count = 0

    def open(self, client: int) -> Link:
        """A client connects: an empty segment arrives first, and the node's listener accepts it or is not there."""
        link = Link(len(self.links) + 1, client)
        self.links[link.number] = link
        self._arrive(link, b"")
        return link

    # -- the client's end ---------------------------------------------------------------------------------------------

    def client_send(self, link: Link, data: bytes) -> None:
        """Bytes leave the client."""
        if not link.client_is_open or link.is_half_open:
            return
        budget = link.node_budget
        if budget != UNLIMITED:
            if len(data) > budget:
                self._to_node(link, data[:budget])
                self.cut(link)
                return
            link.node_budget = budget - len(data)
        self._to_node(link, data)

    def client_close(self, link: Link) -> None:
        """The client closes: the node reads everything, then the end."""
        if link.client_is_open:
            link.client_is_open = False
            if not link.is_half_open:
                self._arrive(link, FINISHED)

    def _to_node(self, link: Link, data: bytes) -> None:
        for piece in self._segments(data):
            self._arrive(link, piece)

    def _arrive(self, link: Link, item: bytes | str) -> None:
        at_us = max(link.to_node_us, self._scheduler.now_us + self._delay_us())
        link.to_node_us = at_us + 1
        self._scheduler.push(at_us, TO_NODE, link.number, item)

    # -- the node's end -----------------------------------------------------------------------------------------------

    def node_send(self, link: Link, data: bytes) -> bool:
        """Bytes leave the node. True when its transport is now blocked."""
        if not link.client_is_open or link.is_half_open:
            return False
        budget = link.client_budget
        if budget != UNLIMITED:
            if len(data) > budget:
                self._to_client(link, data[:budget])
                self.cut(link)
                return False
            link.client_budget = budget - len(data)
        if link.is_stalled:
            link.unsent.append(data)
            link.unsent_bytes += len(data)
            if link.unsent_bytes > self._options.high_water and not link.is_blocked:
                link.is_blocked = True
                return True
            return False
        self._to_client(link, data)
        return False

    def node_close(self, link: Link) -> None:
        """The node closes: the client reads everything, then the end."""
        link.node_is_open = False
        if link.is_half_open:
            return
        if link.is_stalled:
            link.unsent.append(FINISHED)
        else:
            self._reach_client(link, FINISHED)

    def lose_node(self, link: Link) -> None:
        """The node's process is gone: what it had handed over arrives or not, then the end."""
        link.node_is_open = False
        link.held = []
        if not link.is_half_open and link.client_is_open:
            link.unsent = []
            self._reach_client(link, RESET)

    def _to_client(self, link: Link, data: bytes) -> None:
        for piece in self._segments(data):
            self._reach_client(link, piece)

    def _reach_client(self, link: Link, item: bytes | str) -> None:
        at_us = max(link.to_client_us, self._scheduler.now_us + self._delay_us())
        link.to_client_us = at_us + 1
        self._scheduler.push(at_us, TO_CLIENT, link.number, item)

    # -- faults -------------------------------------------------------------------------------------------------------

    def cut(self, link: Link) -> None:
        """The path breaks; both ends are told, each in its time."""
        if not link.client_is_open and not link.node_is_open:
            return
        self.cut_count += 1
        if link.node_is_open:
            self._arrive(link, RESET)
        if link.client_is_open:
            link.unsent = []
            self._reach_client(link, RESET)
        link.is_half_open = True
        link.loses_bytes = self._prng.chance(self._options.reset_share, 1000)

    def go_half_open(self, link: Link) -> None:
        """The path breaks; the client is told, the node is not."""
        if link.client_is_open:
            self.cut_count += 1
            self._reach_client(link, RESET)
            link.is_half_open = True

    def stall_reader(self, link: Link) -> None:
        """The client stops reading."""
        link.is_stalled = True

    def resume_reader(self, link: Link) -> bool:
        """The client reads again. True when the node's transport is no longer blocked."""
        link.is_stalled = False
        unsent, link.unsent, link.unsent_bytes = link.unsent, [], 0
        for item in unsent:
            if isinstance(item, bytes):
                self._to_client(link, item)
            else:
                self._reach_client(link, item)
        was_blocked, link.is_blocked = link.is_blocked, False
        return was_blocked

    # -- private ------------------------------------------------------------------------------------------------------

    def _delay_us(self) -> int:
        return self._prng.between(self._options.delay_us_min, self._options.delay_us_max)

    def _segments(self, data: bytes) -> list[bytes]:
        size = len(data)
        if size < 2 or not self._prng.chance(self._options.split_share, 1000):
            return [data] if data else []
        if size <= 64 and self._prng.chance(self._options.tiny_share, 1000):
            return [data[at : at + 1] for at in range(size)]
        points = sorted(1 + self._prng.below(size - 1) for _ in range(1 + self._prng.below(3)))
        begins = [0, *points]
        ends = [*points, size]
        return [data[begin:end] for begin, end in zip(begins, ends, strict=True) if begin < end]
