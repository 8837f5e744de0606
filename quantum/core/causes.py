"""Why something was refused, dropped, throttled or closed: one table, one id per cause (law CAUSE).

The same id stands in the v5.0 Reason String, the event, the metric label and `/why`. Numbers are part of the log format:
append, never renumber.
"""

from dataclasses import dataclass
from typing import Final, final


@final
@dataclass(init=False, slots=True)
class Cause:
    """One reason for an outcome a client or an operator can see."""

    number: int
    id: str
    reason_code: int  # what a v5.0 client is told where a packet carries a reason code
    text: str  # what happened and what to do about it, for people

    def __init__(self, number: int, id_: str, reason_code: int, text: str) -> None:
        self.number = number
        self.id = id_
        self.reason_code = reason_code
        self.text = text


# What the peer did wrong on its connection.
MALFORMED_PACKET: Final = Cause(
    1, "malformed_packet", 0x81, "bytes that are no MQTT packet; see the statement named in the reason"
)
PROTOCOL_ERROR: Final = Cause(
    2, "protocol_error", 0x82, "a packet that is not allowed here; see the statement named in the reason"
)
UNSUPPORTED_PROTOCOL_VERSION: Final = Cause(3, "unsupported_protocol_version", 0x84, "use MQTT 3.1, 3.1.1 or 5.0")
CLIENT_ID_NOT_VALID: Final = Cause(
    4,
    "client_id_not_valid",
    0x85,
    "this Client Identifier is not accepted; an empty one needs Clean Start and mqtt.allow_empty_client_id",
)
PACKET_TOO_LARGE: Final = Cause(
    5,
    "packet_too_large",
    0x95,
    "the packet is larger than the receiver accepts; see mqtt.packet_bytes_max or the client's Maximum Packet Size",
)
RECEIVE_MAXIMUM_EXCEEDED: Final = Cause(
    6, "receive_maximum_exceeded", 0x93, "more unacknowledged QoS 1 and 2 messages than mqtt.receive_maximum"
)
TOPIC_ALIAS_INVALID: Final = Cause(
    7, "topic_alias_invalid", 0x94, "Topic Alias 0, above mqtt.topic_alias_maximum, or never set on this connection"
)
KEEP_ALIVE_TIMEOUT: Final = Cause(8, "keep_alive_timeout", 0x8D, "no packet for one and a half times the Keep Alive")
CONNECT_TIMEOUT: Final = Cause(
    9, "connect_timeout", 0x82, "CONNECT and what proves it did not come whole within listeners.connect_timeout_ms"
)
BAD_AUTHENTICATION_METHOD: Final = Cause(
    10, "bad_authentication_method", 0x8C, "this authentication method is not offered here"
)
NOT_AUTHORIZED: Final = Cause(
    11,
    "not_authorized",
    0x87,
    "no identity: mqtt.allow_anonymous is off and there is neither a client certificate nor a user name",
)
TOPIC_NAME_INVALID: Final = Cause(
    12,
    "topic_name_invalid",
    0x90,
    "a Topic Name must not be empty or hold wildcards, and clients may not publish to $SYS",
)
TOPIC_FILTER_INVALID: Final = Cause(13, "topic_filter_invalid", 0x8F, "the Topic Filter is not well formed")
QOS_NOT_SUPPORTED: Final = Cause(14, "qos_not_supported", 0x9B, "above mqtt.qos_max")
RETAIN_NOT_SUPPORTED: Final = Cause(15, "retain_not_supported", 0x9A, "mqtt.retain_available is off")
WILDCARD_NOT_SUPPORTED: Final = Cause(16, "wildcard_not_supported", 0xA2, "mqtt.wildcard_available is off")
SHARED_NOT_SUPPORTED: Final = Cause(17, "shared_not_supported", 0x9E, "mqtt.shared_available is off")
PAYLOAD_FORMAT_INVALID: Final = Cause(
    19, "payload_format_invalid", 0x99, "the payload is not the UTF-8 that its Payload Format Indicator promises"
)
CONNECTION_LOST: Final = Cause(20, "connection_lost", 0x80, "the network connection ended without DISCONNECT")
CLIENT_DISCONNECTED: Final = Cause(21, "client_disconnected", 0x00, "the client sent DISCONNECT")
SESSION_TAKEN_OVER: Final = Cause(
    22, "session_taken_over", 0x8E, "another connection opened the same Client Identifier"
)
STALE_EPOCH: Final = Cause(23, "stale_epoch", 0x8E, "the session has a newer connection; this command changed nothing")
UNKNOWN_PACKET_ID: Final = Cause(24, "unknown_packet_id", 0x92, "no exchange with this Packet Identifier is open")
EDGE_STALE: Final = Cause(
    25,
    "edge_stale",
    0x88,
    "the node's edge is closed, has a newer incarnation, or this is not its next entry; nothing was changed",
)
BAD_USER_NAME_OR_PASSWORD: Final = Cause(
    26, "bad_user_name_or_password", 0x86, "the user name is not in auth.users_file, or the password is another one"
)
AUTHENTICATION_FAILED: Final = Cause(
    27, "authentication_failed", 0x87, "the exchange of the Authentication Method failed; check user name and password"
)
# What a limit did.
SESSIONS_MAX: Final = Cause(40, "sessions_max", 0x97, "the partition holds broker.sessions_max sessions")
SUBSCRIPTIONS_MAX: Final = Cause(
    41, "subscriptions_max", 0x97, "the session holds mqtt.subscriptions_max subscriptions"
)
QUEUE_MESSAGES_MAX: Final = Cause(
    42,
    "queue_messages_max",
    0x97,
    "the session's queue holds mqtt.queue_messages_max messages; the new one was dropped for it",
)
QUEUE_BYTES_MAX: Final = Cause(
    43,
    "queue_bytes_max",
    0x97,
    "the session's queue holds mqtt.queue_bytes_max bytes; the new message was dropped for it",
)
RETAINED_MESSAGES_MAX: Final = Cause(
    44, "retained_messages_max", 0x97, "the partition holds broker.retained_messages_max retained messages"
)
RETAINED_BYTES_MAX: Final = Cause(
    45, "retained_bytes_max", 0x97, "the partition holds broker.retained_bytes_max bytes of retained messages"
)
SLOW_READER: Final = Cause(
    46, "slow_reader", 0x97, "the client does not read: listeners.out_bytes_max bytes wait for it"
)
CONNECTIONS_MAX: Final = Cause(47, "connections_max", 0x9F, "the node serves listeners.connections_max connections")
QOS0_OFFLINE: Final = Cause(48, "qos0_offline", 0x00, "a QoS 0 message for a session that is not connected")
SESSION_ENDED: Final = Cause(49, "session_ended", 0x00, "the session ended before the message was delivered")
MESSAGE_EXPIRED: Final = Cause(50, "message_expired", 0x00, "the Message Expiry Interval passed before delivery")
CLIENT_PACKET_TOO_LARGE: Final = Cause(
    51, "client_packet_too_large", 0x95, "the message is larger than the client's Maximum Packet Size"
)
CLIENT_REFUSED: Final = Cause(
    52, "client_refused", 0x80, "the client answered the message with a reason code of 0x80 or above"
)
SHARED_GROUP_EMPTY: Final = Cause(
    53, "shared_group_empty", 0x10, "no member of the shared group could take the message"
)
PENDING_MAX: Final = Cause(
    54,
    "pending_max",
    0x97,
    "edge.pending_bytes_max bytes wait for the disk; the connection is read again when they are durable",
)
TURN_BYTES_MAX: Final = Cause(
    55, "turn_bytes_max", 0x97, "the node works through node.turn_bytes_max bytes in one turn"
)
EDGES_MAX: Final = Cause(
    56, "edges_max", 0x97, "the partition knows as many edges as it can; node numbers are never reused"
)
RELAY_BYTES_MAX: Final = Cause(
    57, "relay_bytes_max", 0x00, "QoS 0 messages from another node came long before this node had applied its log"
)
RELAY_REPEATED: Final = Cause(
    58, "relay_repeated", 0x00, "QoS 0 messages from another node arrived again, or behind later ones"
)
TOPIC_LEVELS_MAX: Final = Cause(
    59, "topic_levels_max", 0x97, "a Topic Name or Topic Filter has more levels than mqtt.topic_levels_max"
)
ORPHANS_MAX: Final = Cause(
    60,
    "orphans_max",
    0x97,
    "ended members of shared groups left more than edge.pending_bytes_max bytes to be given again",
)
# What the node cannot do now.
NOT_READY: Final = Cause(70, "not_ready", 0x88, "the node is replaying its log; see /readyz")
SHUTTING_DOWN: Final = Cause(71, "shutting_down", 0x8B, "the node is shutting down; reconnect")
DISK_FAILED: Final = Cause(
    72, "disk_failed", 0x88, "a write or fsync failed; this process acknowledges nothing more; see /readyz"
)
HANDSHAKE_FAILED: Final = Cause(74, "handshake_failed", 0x87, "the TLS or WebSocket handshake failed")
USE_ANOTHER_SERVER: Final = Cause(
    75, "use_another_server", 0x9C, "the node is full or stops; connect to mqtt.server_reference"
)
SERVER_MOVED: Final = Cause(76, "server_moved", 0x9D, "mqtt.server_moved is on; connect to mqtt.server_reference")
# What went wrong between nodes.
PEER_FRAME_DAMAGED: Final = Cause(
    80, "peer_frame_damaged", 0x00, "bytes from a peer that are no frame, or not the ones it sent; they were dropped"
)
PEER_FOREIGN_CLUSTER: Final = Cause(
    81, "peer_foreign_cluster", 0x00, "a frame of another cluster; check the addresses of the peers"
)
PEER_VERSION_UNKNOWN: Final = Cause(
    82, "peer_version_unknown", 0x00, "a frame of a version this node does not read; upgrade the older node"
)
PEER_MISDELIVERED: Final = Cause(
    83, "peer_misdelivered", 0x00, "a frame for another node, or from this node's own number"
)
PEER_STALE_PROCESS: Final = Cause(
    84, "peer_stale_process", 0x00, "a frame of a process that another one of the same node has replaced"
)
PEER_REMOVED: Final = Cause(85, "peer_removed", 0x00, "a frame of a node that is no member of the cluster any more")
PEER_ITEM_REFUSED: Final = Cause(
    86, "peer_item_refused", 0x00, "a part of a peer's frame that is not understood or concerns no group of this node"
)
EDGE_CLOSED: Final = Cause(
    87, "edge_closed", 0x8B, "the cluster took this node for lost and ended its connections; reconnect"
)

ALL_CAUSES: Final[tuple[Cause, ...]] = tuple(value for value in list(globals().values()) if isinstance(value, Cause))
