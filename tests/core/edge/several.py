"""Several edges over one log that never fails: each with its own replica, which can be held back, and clients by number.

What one edge says to the others is delivered at once, unless it is held; then a test sends it as often and in whatever
order it likes.
"""

from quantum.core.broker.commands import HOUSEKEEPING, CloseEdge, Command, Entry, OpenEdge, encode_entry, stamped
from quantum.core.broker.state import BrokerState
from quantum.core.causes import EDGE_CLOSED
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.edge import Edge
from quantum.core.edge.pending import Pending
from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.framer import Framer
from quantum.core.mqtt.packets import V5, Connack, Connect, Packet, Suback, Subscribe, Subscription
from quantum.core.mqtt.properties import Properties
from quantum.core.prng import Prng


class Site:
    """One node's part: replica, edge, what it has still to say, and what its clients were written."""

    def __init__(self, number: int, nonce: int) -> None:
        self.number = number
        self.nonce = nonce  # of the process
        self.state = BrokerState()
        self.edge = Edge(EdgeConfig(edge=number), self.state, Prng(number))
        self.pending = Pending(number)
        self.applied = 0
        self.is_held = False  # its replica does not follow the log
        self.written: dict[int, bytes] = {}
        self.closed: list[int] = []

    def apply(self, index: int, data: bytes) -> None:
        effects = self.state.apply(index, data, None)
        if self.number in [edge for edge, _ in effects.edges_closed]:
            self.pending = Pending(self.number)
        for edge, incarnation, nonce in effects.edges_opened:
            if edge == self.number and nonce == self.nonce:
                self.pending.open(incarnation)
                self.edge.on_edge_opened()
        self.edge.on_applied(self.pending.take(effects), effects)
        self.applied = index


class Several:
    """Drives edges 1..count. Everything a call causes has happened when it returns, but for what is held."""

    def __init__(self, count: int) -> None:
        self.log: list[bytes] = []
        self.now_ms = 1_000_000
        self.sites = {number: Site(number, number) for number in range(1, count + 1)}
        self.is_relay_held = False
        self.relayed: list[tuple[int, int, bytes]] = []  # (from, to, body) that is held
        self.versions: dict[int, int] = {}
        self.site_of: dict[int, Site] = {}
        self.rest: list[Packet] = []
        self._conn_id = 0
        self._nonce = 100
        for site in self.sites.values():
            site.edge.on_peers(count - 1)
            self.open_edge(site.number)

    def open_edge(self, number: int) -> None:
        """The node opens its edge, over an open incarnation if there is one: then it has closed it for itself."""
        if self.sites[number].pending.incarnation:
            self.sites[number].pending = Pending(number)
            self.sites[number].edge.on_edge_closed(EDGE_CLOSED)
        incarnation = self.sites[number].state.edge_incarnation(number) + 1
        opening: list[Command] = [OpenEdge(number, incarnation, self.sites[number].nonce)]
        self.append(Entry(self.now_ms, number, incarnation, 0, opening))

    def restart(self, number: int) -> None:
        """Another process of the node: it replays the log without a word to its edge, and opens it."""
        self._nonce += 1
        site = self.sites[number] = Site(number, self._nonce)
        for index, data in enumerate(self.log, 1):
            site.state.apply(index, data, None)
        site.applied = len(self.log)
        site.edge.on_peers(len(self.sites) - 1)
        self.open_edge(number)

    def close_edge(self, number: int) -> None:
        """The leader takes a node for lost."""
        closing: list[Command] = [CloseEdge(number, self.sites[number].state.edge_incarnation(number))]
        self.append(Entry(self.now_ms, HOUSEKEEPING, 0, 0, closing))

    def append(self, entry: Entry) -> None:
        self.log.append(encode_entry(entry))
        self.run()

    def run(self) -> None:
        """Until nothing is left to do."""
        while self._step():
            pass

    def _step(self) -> bool:
        size, done = len(self.log), False
        for site in self.sites.values():
            site.edge.on_clock(self.now_ms, self.now_ms)
            while not site.is_held and site.applied < len(self.log):
                site.apply(site.applied + 1, self.log[site.applied])
                done = True
            batch = site.edge.take_batch() if site.pending.incarnation else None
            if batch is not None:
                self.log.append(stamped(site.pending.add(batch).data, self.now_ms))
            for to, body in site.edge.take_ephemeral():
                for other in self.sites.values():
                    if other is not site and to in (0, other.number):
                        self.relayed.append((site.number, other.number, body))
        if not self.is_relay_held:
            relayed, self.relayed = self.relayed, []
            for sender, to, body in relayed:
                done = True
                self.sites[to].edge.on_ephemeral(sender, self.sites[sender].nonce, body)
        for site in self.sites.values():
            while site.edge.flush():
                site.edge.read_on()
            for conn_id, data in site.edge.writes:
                site.written[conn_id] = site.written.get(conn_id, b"") + data
            site.closed += site.edge.closes
            site.edge.writes, site.edge.closes = [], []
        return done or len(self.log) > size

    def connect(self, number: int, client_id: str, *, version: int = V5, expiry_s: int = 0, clean: bool = True) -> int:
        """A client at a node; its CONNACK is taken, what came behind it is in `rest`."""
        self._conn_id += 1
        conn_id = self._conn_id
        site = self.site_of[conn_id] = self.sites[number]
        site.edge.on_accepted(conn_id, "tcp", "peer", "")
        self.versions[conn_id] = version
        properties: Properties = {17: expiry_s} if version == V5 and expiry_s else {}
        self.send(conn_id, Connect(version, client_id, clean, 0, properties=properties))
        if not site.is_held:
            first, *self.rest = self.take(conn_id)
            assert isinstance(first, Connack)
            assert 0 == first.reason_code
        return conn_id

    def subscribe(self, conn_id: int, *subscriptions: Subscription, subscription_id: int = 0) -> None:
        properties: Properties = {11: [subscription_id]} if subscription_id else {}
        self.send(conn_id, Subscribe(1, list(subscriptions), properties))
        assert isinstance(self.take(conn_id)[0], Suback)

    def send(self, conn_id: int, *packets: Packet) -> None:
        data = b"".join([encode_packet(self.versions[conn_id], packet) for packet in packets])
        self.site_of[conn_id].edge.on_received(conn_id, data)
        self.run()

    def take(self, conn_id: int) -> list[Packet]:
        """The packets written to a connection since the last look."""
        frames = Framer(1 << 28).feed(self.site_of[conn_id].written.pop(conn_id, b""))
        return [decode_packet(self.versions[conn_id], first, body) for first, body in frames]

    def is_closed(self, conn_id: int) -> bool:
        return conn_id in self.site_of[conn_id].closed

    def counted(self, number: int, cause_number: int) -> int:
        """How often a cause was given at a node."""
        return self.sites[number].edge.causes.counts.get(cause_number, 0)
