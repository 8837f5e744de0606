"""The client connections of all nodes: which node a client reaches, and what passes between the two.

Bytes and ends go through here at the moment they arrive, and are noted.
"""

from typing import final

from quantum.core.prng import Prng
from quantum.sim import trace
from quantum.sim.clients import Client
from quantum.sim.farewells import Farewells
from quantum.sim.host import Host
from quantum.sim.network import Link, Network
from quantum.sim.scheduler import Scheduler
from quantum.sim.scribe import Scribe
from quantum.sim.trace import Trace


@final
class Connections:
    """Between `Network` and the sockets of the hosts."""

    __slots__ = (
        "_attempts",
        "_choices",
        "_clients",
        "_farewells",
        "_hosts",
        "_network",
        "_prng",
        "_scheduler",
        "_scribe",
        "_stay_share",
        "_trace",
        "_unreached",
    )

    def __init__(
        self,
        prng: Prng,
        stay_share: int,
        hosts: dict[int, Host],
        clients: list[Client],
        network: Network,
        unreached: dict[int, int],
        farewells: Farewells,
        trace: Trace,
        scheduler: Scheduler,
        scribe: Scribe | None,
    ) -> None:
        self._prng = prng
        self._stay_share = stay_share
        self._hosts = hosts
        self._clients = clients
        self._network = network
        self._unreached = unreached  # node → how many faults keep clients away from it
        self._farewells = farewells
        self._trace = trace
        self._scheduler = scheduler
        self._scribe = scribe
        self._attempts: dict[int, int] = {}  # client → connections so far
        self._choices: dict[int, int] = {}  # client → the node it went to last

    def to_node(self, link: Link, item: object) -> None:
        """A segment, or an end, arrives at a node's machine."""
        if not link.node_is_open:
            return
        assert isinstance(item, bytes | str)
        if not link.conn_id:
            self._accept(link)
            return
        host = self._hosts[link.host]
        if host.sockets.serves(link):
            self.receive(host, link, item)

    def to_client(self, link: Link, item: object) -> None:
        """A segment, or an end, arrives at a client."""
        if not link.client_is_open:
            return
        client = self._clients[link.client]
        now_us = self._scheduler.now_us
        if isinstance(item, bytes):
            if not link.loses_bytes:
                self._trace.record(now_us, trace.TO_CLIENT, link.client, len(item), item)
                if self._scribe is not None:
                    self._scribe.on_bytes_to_client(link.client, link.number, link.host, item)
                client.on_bytes(link, item)
        else:
            self._trace.record(now_us, trace.CLIENT_CLOSED, link.client, link.number, b"")
            if self._scribe is not None:
                self._scribe.on_client(link.client, f"connection ended: {item}", link.host)
            client.on_end(link)

    def receive(self, host: Host, link: Link, item: bytes | str) -> None:
        """It reaches the process, or waits because that does not read."""
        if not host.sockets.receive(link, item):
            return
        now_us = self._scheduler.now_us
        at = host.number << 32 | link.conn_id
        if isinstance(item, bytes):
            if link.loses_bytes:
                return
            self._trace.record(now_us, trace.TO_NODE, at, len(item), item)
            if self._scribe is not None:
                self._scribe.on_bytes_to_node(link.client, link.number, host.number, item)
        else:
            self._trace.record(now_us, trace.NODE_CLOSED, at, link.client, item.encode())
            if not link.is_half_open:
                self._farewells.on_arrived(link.number, now_us)
        host.want_turn()

    def _accept(self, link: Link) -> None:
        attempt = self._attempts[link.client] = self._attempts.get(link.client, 0) + 1
        link.host = self._choose(link.client, attempt)
        host = self._hosts[link.host]
        if not host.is_up or self._unreached.get(link.host):
            self._choices.pop(link.client, None)
            self._network.lose_node(link)
            return
        host.sockets.accept(link)
        if self._scribe is not None:
            self._scribe.on_client(link.client, f"connected to node {host.number}", host.number)
        self._farewells.on_reconnected(link.client, link.host)
        self._trace.record(self._scheduler.now_us, trace.ACCEPTED, host.number << 32 | link.conn_id, link.client, b"")
        host.want_turn()

    def _choose(self, client: int, attempt: int) -> int:
        """Which node a client goes to with its connection number `attempt`: often the one it had, else another."""
        numbers = [number for number, host in self._hosts.items() if not host.is_gone]
        if len(numbers) == 1:
            return numbers[0]
        prng = self._prng.stream(f"{client} {attempt}")
        last = self._choices.get(client)
        if last is None or last not in numbers or not prng.chance(self._stay_share, 100):
            last = numbers[prng.below(len(numbers))]
        self._choices[client] = last
        return last
