"""What happened since the last turn: the one form in which the world reaches the core."""

from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.edge.users import UserFile
from quantum.core.wal.requests import DiskDone

TCP: Final = "tcp"
TLS: Final = "tls"
WS: Final = "ws"
WSS: Final = "wss"


@final
@dataclass(slots=True)
class Accepted:
    """A connection is open: its transport's handshakes are done, no MQTT byte has been read."""

    conn_id: int  # never used twice in the life of a process, ascending
    listener: str  # the listener's URL, for events and metrics
    transport: str  # TCP, TLS, WS or WSS
    peer: str  # "127.0.0.1:50123"
    certificate_name: str = ""  # subject common name of a verified client certificate
    alpn: str = ""
    sni: str = ""


@final
@dataclass(slots=True)
class AdminRequest:
    """A question of an operator."""

    number: int
    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@final
@dataclass(slots=True)
class Inputs:
    """All that happened since the last turn, and the two clocks as they are now. The driver clears and reuses it."""

    now_ms: int = 0  # monotonic
    wall_ms: int = 0  # since 1970; may jump
    accepted: list[Accepted] = field(default_factory=list)
    received: list[tuple[int, bytes]] = field(default_factory=list)  # (conn_id, bytes), in order of arrival
    closed: list[tuple[int, str]] = field(
        default_factory=list
    )  # (conn_id, what the transport says), after its last bytes
    blocked: list[int] = field(default_factory=list)  # connections whose transport holds enough unsent bytes
    unblocked: list[int] = field(default_factory=list)
    disk_done: list[DiskDone] = field(default_factory=list)
    admin: list[AdminRequest] = field(default_factory=list)
    peer_frames: list[bytes] = field(default_factory=list)  # from other nodes; who sent it stands inside
    stopping: bool = False  # the process was asked to end
    users: UserFile | None = None  # the users file was read again

    def clear(self) -> None:
        """Empty all lists, keeping the clocks."""
        self.accepted = []
        self.received = []
        self.closed = []
        self.blocked = []
        self.unblocked = []
        self.disk_done = []
        self.admin = []
        self.peer_frames = []
        self.stopping = False
        self.users = None
