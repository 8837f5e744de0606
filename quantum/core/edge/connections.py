"""A connection as the edge keeps it: the wire, the session it serves, and what is under way in both directions."""

from collections import deque
from typing import Final, final

from quantum.core.broker.effects import SendPublish, SendPubrel
from quantum.core.causes import Cause
from quantum.core.edge.ephemeral import EphemeralQueue
from quantum.core.edge.identity import Exchange
from quantum.core.mqtt.connection import ServerConnection
from quantum.core.mqtt.packets import Connect

CONNECTING: Final = 0  # no CONNECT yet
AUTHENTICATING: Final = 1  # between CONNECT and the last AUTH
OPENING: Final = 2  # OpenSession is on its way through the log
OPEN: Final = 3
CLOSED: Final = 4


@final
class EdgeConnection:
    """One Network Connection at this edge. `out` is the wire's own list: what is appended to it is sent this turn."""

    __slots__ = (
        "authentication_data",
        "client_id",
        "conn_epoch",
        "conn_id",
        "connect",
        "end_cause",
        "exchange",
        "held_bytes",
        "held_sends",
        "identity",
        "is_blocked",
        "is_dirty",
        "is_ephemeral",
        "is_gone",
        "is_read_next",
        "is_reading_held",
        "keep_alive_ms",
        "last_ms",
        "listener",
        "out",
        "paused_by",
        "peer",
        "publishes_open",
        "publishes_unanswered",
        "queue",
        "received",
        "left_index",
        "retains_open",
        "session_expiry_s",
        "state",
        "will_on_close",
        "wire",
    )

    def __init__(self, conn_id: int, wire: ServerConnection, listener: str, peer: str, identity: str) -> None:
        self.conn_id = conn_id
        self.wire = wire
        self.out = wire.out
        self.listener = listener
        self.peer = peer
        self.identity = identity
        self.state = CONNECTING
        self.connect: Connect | None = None  # kept until the session is open
        self.exchange: Exchange | None = None
        self.authentication_data = b""  # what the mechanism had to say last, for CONNACK or AUTH. 4.12
        self.client_id = ""
        self.conn_epoch = 0
        self.is_ephemeral = True
        self.left_index = 0  # of the entry that ended the connection its session had before
        self.keep_alive_ms = 0  # one and a half times the Keep Alive, 0 for none
        self.last_ms = 0  # when it was last heard of
        self.session_expiry_s = 0
        # From the client.
        self.publishes_open = 0  # QoS 1 and 2 messages not yet answered for good
        self.publishes_unanswered = 0  # of those, the ones without a PUBACK or PUBREC: they need nothing of the client
        self.retains_open = 0  # QoS 0 messages on their way through the log
        self.received: dict[int, int] | None = None  # QoS 2 received on this connection: id → PUBREC packets owed
        # Towards the client.
        self.queue: EphemeralQueue | None = None
        self.held_sends: deque[SendPublish | SendPubrel] | None = None  # while the transport is blocked
        self.held_bytes = 0  # bytes of QoS 0 in `out` while the transport is blocked
        self.is_dirty = False
        self.is_blocked = False
        self.paused_by = 0  # why the driver does not read it, see reading.py; 0 if it does
        self.is_reading_held = False  # its bytes wait: for the answer to CONNECT, or to much that it asked for
        self.is_read_next = False  # they wait for its turn to be read on
        self.is_gone = False  # the transport closed
        self.end_cause: Cause | None = None  # why it ends, once that is decided
        self.will_on_close = True  # no DISCONNECT 0x00 was seen

    def is_open(self) -> bool:
        """Its session is served by it."""
        return self.state == OPEN
