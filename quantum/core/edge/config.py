"""What an edge lets in and how much it holds: the tunables of this room."""

from dataclasses import dataclass, field
from typing import final

from quantum.core.edge.identity import Mechanism
from quantum.core.edge.users import Users


@final
@dataclass(slots=True)
class EdgeConfig:
    """Defaults are those of `config/quantum.toml`; `io.config` checks the ranges."""

    edge: int = 1  # this node's number in the log
    packet_bytes_max: int = 1_048_576  # largest Control Packet accepted; advertised as Maximum Packet Size
    keep_alive_s_max: int = 3600  # longer Keep Alives are replaced by Server Keep Alive; 0 allows none at all
    qos_max: int = 2
    retain_available: bool = True
    wildcard_available: bool = True
    shared_available: bool = True
    receive_maximum: int = 256  # unacknowledged QoS 1 and 2 messages from one client; 1..65535
    # Towards one client, however many it would take: all that a client with a long queue is sent first goes in one turn.
    send_window_max: int = 1024  # unacknowledged QoS 1 and 2 messages; 1..65535
    topic_alias_maximum: int = 16  # aliases a client may set; 0 for none
    topic_levels_max: int = 128  # of a Topic Name or Topic Filter: each costs a node of the index and a step of a match
    session_expiry_s_max: int = 0xFFFFFFFF  # seconds; 0xFFFFFFFF does not expire
    queue_messages_max: int = 100_000  # waiting for one ephemeral session
    queue_bytes_max: int = 67_108_864  # waiting for one ephemeral session
    allow_empty_client_id: bool = True
    allow_anonymous: bool = True
    connections_max: int = 10_000
    connect_timeout_ms: int = 10_000
    out_bytes_max: int = 1_048_576  # held for a client that does not read, before QoS 0 is dropped for it
    pending_bytes_max: int = 67_108_864  # accepted and not yet durable, before publishers are paused
    mechanisms: dict[str, Mechanism] = field(default_factory=dict)  # Authentication Method → mechanism
    users: Users | None = None  # against whom user names and passwords of CONNECT are held; None looks at neither
    server_reference: str = ""  # where clients are sent when this node is full, stops or has moved; "" for nowhere
    is_moved: bool = False  # every CONNECT is answered with 0x9D and `server_reference`
    response_information: str = ""  # for clients that ask; `{client_id}` stands for theirs; "" for none
    sys_interval_s: int = 0  # between two publications of the `$SYS` topics; 0 for none
    server_version: str = ""  # as `$SYS/broker/version` tells it

    def __post_init__(self) -> None:
        assert 1 <= self.receive_maximum <= 65535
        assert 1 <= self.send_window_max <= 65535
        assert 0 <= self.topic_alias_maximum <= 65535
        assert 0 <= self.qos_max <= 2
        assert 1 <= self.topic_levels_max <= 65535
        assert self.server_reference or not self.is_moved
