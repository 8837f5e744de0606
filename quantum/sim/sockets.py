"""The client connections of one process of one node, as its operating system keeps them.

Between the byte streams of `network` and the lists of `Node.turn`: accepts, receives, holds back what comes while the
node does not read, and writes.
"""

from typing import Final, final

from quantum.core.node.inputs import TCP, Accepted, Inputs
from quantum.sim.network import Link, Network

LISTENER: Final = "tcp://sim:1883"


@final
class Sockets:
    """Connections by the number the process knows them by."""

    __slots__ = ("_conns", "_count", "_inputs", "_network")

    def __init__(self, network: Network, inputs: Inputs) -> None:
        self._network = network
        self._inputs = inputs
        self._conns: dict[int, Link] = {}
        self._count = 0

    def serves(self, link: Link) -> bool:
        """The process has this connection, and was not told of its end."""
        return link.node_is_open and self._conns.get(link.conn_id) is link

    def open_link(self, conn_id: int) -> Link | None:
        """The connection of this number, while it is open."""
        link = self._conns.get(conn_id)
        return link if link is not None and link.node_is_open else None

    def accept(self, link: Link) -> None:
        """The listener takes a connection."""
        self._count += 1
        link.conn_id = self._count
        self._conns[link.conn_id] = link
        self._inputs.accepted.append(Accepted(link.conn_id, LISTENER, TCP, f"sim:{link.number}"))

    def receive(self, link: Link, item: bytes | str) -> bool:
        """Bytes, or the text of its end, reach the process. False when they wait because it does not read."""
        if link.is_paused:
            link.held.append(item)
            return False
        if isinstance(item, bytes):
            if not link.loses_bytes:
                self._inputs.received.append((link.conn_id, item))
        else:
            link.node_is_open = False
            self._inputs.closed.append((link.conn_id, item))
        return True

    def write(self, link: Link, data: bytes) -> None:
        """Bytes leave the process."""
        if self._network.node_send(link, data):
            self._inputs.blocked.append(link.conn_id)

    def unblock(self, link: Link) -> None:
        """The transport has room again."""
        self._inputs.unblocked.append(link.conn_id)

    def resume(self, link: Link) -> list[bytes | str]:
        """Read again; returns what waited, to be received now."""
        link.is_paused = False
        held, link.held = link.held, []
        return held

    def close(self, link: Link) -> None:
        """The process closes it."""
        self._network.node_close(link)
        self._inputs.closed.append((link.conn_id, "closed by the server"))

    def end(self) -> None:
        """The process is gone, and its connections with it."""
        for link in self._conns.values():
            if link.node_is_open:
                self._network.lose_node(link)
        self._conns = {}
