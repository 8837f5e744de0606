"""What a partition can be told to do: the commands of its log, and their one encoding.

An entry's data is a head of fixed size (the leader's time, and whose entry it is) and msgpack `[row, row, ...]`, one row
per command, `[kind, field, ...]`. Fields are only ever appended, so that a longer row stays readable. An edge's entry
counts once and in its turn; every command of a connection carries `conn_epoch`, which is unique in the partition. What
is stale changes nothing (law FENCE).
"""

import struct
from dataclasses import dataclass
from typing import Any, Final, final

import msgpack

from quantum.core.broker.message import Message
from quantum.core.mqtt.packets import Subscription, Will

NEVER_S: Final = 0xFFFFFFFF  # Session Expiry Interval: the session does not expire

# Kinds are part of the log format: append, never renumber.
SET_POLICY: Final = 1
OPEN_EDGE: Final = 2
OPEN_SESSION: Final = 3
CLOSE_SESSION: Final = 4
SUBSCRIBE: Final = 5
UNSUBSCRIBE: Final = 6
PUBLISH_MESSAGE: Final = 7
RELEASE_MESSAGE: Final = 8
ACKNOWLEDGE_DELIVERY: Final = 9
DROP_DELIVERY: Final = 10
CLOSE_EDGE: Final = 11
SET_BACKLOG: Final = 12
GIVE_AGAIN: Final = 13

HOUSEKEEPING: Final = 0  # in place of an edge: the leader's own entry, which no sequence orders

_HEAD: Final = struct.Struct(">QIIQ")  # stamp_ms, edge, incarnation, forward_seq
_STAMP: Final = struct.Struct(">Q")

# How a connection ended, for its will. 3.1.2.5
CLOSED_NORMALLY: Final = 0  # DISCONNECT 0x00: the will is removed
CLOSED_WITH_WILL: Final = 1  # everything else: network failure, keep alive, protocol error, DISCONNECT 0x04

# Which acknowledgement of the receiver arrived.
ON_PUBACK: Final = 4
ON_PUBREC: Final = 5
ON_PUBCOMP: Final = 7

# Which member of a shared group gets a message; the numbers are part of the log format.
ROUND_ROBIN: Final = 0
HASH_TOPIC: Final = 1
LEAST_INFLIGHT: Final = 2
STRATEGY_NAMES: Final = ("round_robin", "hash_topic", "least_inflight")  # by number, as operators say it


@final
@dataclass(slots=True)
class SetPolicy:
    """The limits `apply` goes by from here on: they are state, so that a replay decides as the first run did."""

    sessions_max: int
    subscriptions_max: int  # per session
    queue_messages_max: int  # per session, queued and in flight
    queue_bytes_max: int  # per session, queued and in flight, payload plus topic
    retained_messages_max: int
    retained_bytes_max: int
    shared_strategy: int = ROUND_ROBIN

    def to_row(self) -> tuple[Any, ...]:
        return (
            SET_POLICY,
            self.sessions_max,
            self.subscriptions_max,
            self.queue_messages_max,
            self.queue_bytes_max,
            self.retained_messages_max,
            self.retained_bytes_max,
            self.shared_strategy,
        )


@final
@dataclass(slots=True)
class OpenEdge:
    """A node's edge starts anew: every connection of its earlier incarnations is gone, as if cut.

    Stands alone in an entry of that edge and incarnation with forward_seq 0. Of several processes that ask for the same
    incarnation the first one gets it; which one that was is told by the nonce.
    """

    edge: int
    incarnation: int  # the one after the newest, or the command is refused
    nonce: int  # of the process

    def to_row(self) -> tuple[Any, ...]:
        return (OPEN_EDGE, self.edge, self.incarnation, self.nonce)


@final
@dataclass(slots=True)
class CloseEdge:
    """A node was silent for too long, or takes its leave: its connections are gone, as if cut, and so is what it had
    still to say under this incarnation."""

    edge: int
    incarnation: int

    def to_row(self) -> tuple[Any, ...]:
        return (CLOSE_EDGE, self.edge, self.incarnation)


@final
@dataclass(slots=True)
class OpenSession:
    """A CONNECT that the entry's edge let in. Takes over a connected session of the same Client Identifier."""

    client_id: str
    clean_start: bool
    expiry_s: int  # 0 ends with the connection, NEVER_S does not end
    receive_maximum: int  # how many QoS 1 and 2 messages may be in flight towards the client, 1..65535
    conn_id: int  # the connection, unique within the edge's incarnation
    will: Will | None = None

    def to_row(self) -> tuple[Any, ...]:
        will = self.will
        will_row = (
            None
            if will is None
            else (
                will.topic_name,
                will.payload,
                will.qos,
                will.retain,
                will.properties,
                will.delay_s,
                will.message_expiry_s,
            )
        )
        return (
            OPEN_SESSION,
            self.client_id,
            self.clean_start,
            self.expiry_s,
            self.receive_maximum,
            self.conn_id,
            will_row,
        )


@final
@dataclass(slots=True)
class CloseSession:
    """The connection ended. `expiry_s` is the Session Expiry Interval of its DISCONNECT, or -1 to keep the old one."""

    client_id: str
    conn_epoch: int
    how: int  # CLOSED_NORMALLY or CLOSED_WITH_WILL
    expiry_s: int = -1

    def to_row(self) -> tuple[Any, ...]:
        return (CLOSE_SESSION, self.client_id, self.conn_epoch, self.how, self.expiry_s)


@final
@dataclass(slots=True)
class SubscribeSession:
    """Filters are well formed and allowed; `$share/group/filter` is left in one piece."""

    client_id: str
    conn_epoch: int
    subscriptions: list[Subscription]
    subscription_id: int  # 0 for none

    def to_row(self) -> tuple[Any, ...]:
        return (
            SUBSCRIBE,
            self.client_id,
            self.conn_epoch,
            [(s.topic_filter, s.qos, s.no_local, s.retain_as_published, s.retain_handling) for s in self.subscriptions],
            self.subscription_id,
        )


@final
@dataclass(slots=True)
class UnsubscribeSession:
    """UNSUBSCRIBE, whole."""

    client_id: str
    conn_epoch: int
    topic_filters: list[str]

    def to_row(self) -> tuple[Any, ...]:
        return (UNSUBSCRIBE, self.client_id, self.conn_epoch, self.topic_filters)


@final
@dataclass(init=False, slots=True, eq=False)
class PublishMessage:
    """A QoS 1 or 2 message, or a retained one of any QoS.

    `packet_id` is given for QoS 2 from a replicated session, whose received identifiers live in the log; 0 otherwise.
    """

    conn_epoch: int
    packet_id: int
    message: Message  # its client_id names the session

    def __init__(self, conn_epoch: int, packet_id: int, message: Message) -> None:
        self.conn_epoch = conn_epoch
        self.packet_id = packet_id
        self.message = message

    def to_row(self) -> tuple[Any, ...]:
        message = self.message
        return (
            PUBLISH_MESSAGE,
            message.client_id,
            self.conn_epoch,
            self.packet_id,
            message.qos,
            message.retain,
            message.topic_name,
            message.payload,
            message.properties,
            message.message_expiry_s,
        )


@final
@dataclass(slots=True)
class ReleaseMessage:
    """PUBREL from a replicated session: its received Packet Identifier is free again."""

    client_id: str
    conn_epoch: int
    packet_id: int

    def to_row(self) -> tuple[Any, ...]:
        return (RELEASE_MESSAGE, self.client_id, self.conn_epoch, self.packet_id)


@final
@dataclass(init=False, slots=True, eq=False)
class AcknowledgeDelivery:
    """PUBACK, PUBREC or PUBCOMP from a replicated session for a message it was sent."""

    client_id: str
    conn_epoch: int
    packet_id: int
    step: int  # ON_PUBACK, ON_PUBREC, ON_PUBCOMP
    reason_code: int

    def __init__(self, client_id: str, conn_epoch: int, packet_id: int, step: int, reason_code: int) -> None:
        self.client_id = client_id
        self.conn_epoch = conn_epoch
        self.packet_id = packet_id
        self.step = step
        self.reason_code = reason_code

    def to_row(self) -> tuple[Any, ...]:
        return (
            ACKNOWLEDGE_DELIVERY,
            self.client_id,
            self.conn_epoch,
            self.packet_id,
            self.step,
            self.reason_code,
        )


@final
@dataclass(slots=True)
class DropDelivery:
    """The edge could not send a message (it is larger than the client accepts): let go of it, with its cause."""

    client_id: str
    conn_epoch: int
    packet_id: int
    cause: int  # Cause.number

    def to_row(self) -> tuple[Any, ...]:
        return (DROP_DELIVERY, self.client_id, self.conn_epoch, self.packet_id, self.cause)


@final
@dataclass(slots=True)
class SetBacklog:
    """An edge says of an ephemeral session, whose queue nobody else knows, whether its client is behind."""

    client_id: str
    conn_epoch: int
    is_behind: bool  # messages wait at the edge because its Receive Maximum is used up

    def to_row(self) -> tuple[Any, ...]:
        return (SET_BACKLOG, self.client_id, self.conn_epoch, self.is_behind)


@final
@dataclass(init=False, slots=True, eq=False)
class GiveAgain:
    """An edge gives back what a shared group gave to an ephemeral session that has ended: it is for another member. 4.8.2

    The message is whole, as `apply` stamped it: nobody in the log keeps what was handed to an edge.
    """

    shared_filter: str
    message: Message

    def __init__(self, shared_filter: str, message: Message) -> None:
        self.shared_filter = shared_filter
        self.message = message

    def to_row(self) -> tuple[Any, ...]:
        message = self.message
        return (
            GIVE_AGAIN,
            self.shared_filter,
            message.client_id,
            message.qos,
            message.retain,
            message.topic_name,
            message.payload,
            message.properties,
            message.message_expiry_s,
            message.number,
            message.deadline_ms,
        )


Command = (
    SetPolicy
    | OpenEdge
    | OpenSession
    | CloseSession
    | SubscribeSession
    | UnsubscribeSession
    | PublishMessage
    | ReleaseMessage
    | AcknowledgeDelivery
    | DropDelivery
    | CloseEdge
    | SetBacklog
    | GiveAgain
)


@final
@dataclass(slots=True)
class Entry:
    """The commands of one turn of one edge. An entry without commands only moves the replicated time on."""

    stamp_ms: int  # the leader's wall clock when it proposed; apply makes it monotone; 0 on the way to the leader
    edge: int  # HOUSEKEEPING for the leader's own
    incarnation: int  # of the edge
    forward_seq: int  # 1 for the edge's first entry under this incarnation; 0 for the one that opens it
    commands: list[Command]


def encode_entry(entry: Entry) -> bytes:
    """The entry's bytes in the log."""
    head = _HEAD.pack(entry.stamp_ms, entry.edge, entry.incarnation, entry.forward_seq)
    rows: bytes = msgpack.packb([command.to_row() for command in entry.commands])
    return head + rows


def decode_entry(data: bytes) -> Entry:
    """Inverse of `encode_entry`. Its input comes from the log, whose checksum held: what is unreadable is our fault."""
    stamp_ms, edge, incarnation, forward_seq = _HEAD.unpack_from(data)
    rows = msgpack.unpackb(data[_HEAD.size :], use_list=False)
    return Entry(stamp_ms, edge, incarnation, forward_seq, [_command_of(row) for row in rows])


def stamped(data: bytes, stamp_ms: int) -> bytes:
    """An encoded entry with the leader's time in place of the one it has."""
    return _STAMP.pack(stamp_ms) + data[_STAMP.size :]


def _command_of(row: tuple[Any, ...]) -> Command:
    kind = row[0]
    if kind == PUBLISH_MESSAGE:
        message = Message(row[6], row[7], row[4], row[5], row[8], row[9], row[1])
        return PublishMessage(row[2], row[3], message)
    if kind == ACKNOWLEDGE_DELIVERY:
        return AcknowledgeDelivery(row[1], row[2], row[3], row[4], row[5])
    if kind == RELEASE_MESSAGE:
        return ReleaseMessage(row[1], row[2], row[3])
    if kind == OPEN_SESSION:
        will = None if row[6] is None else Will(*row[6])
        return OpenSession(row[1], row[2], row[3], row[4], row[5], will)
    if kind == CLOSE_SESSION:
        return CloseSession(row[1], row[2], row[3], row[4])
    if kind == SUBSCRIBE:
        return SubscribeSession(row[1], row[2], [Subscription(*item) for item in row[3]], row[4])
    if kind == UNSUBSCRIBE:
        return UnsubscribeSession(row[1], row[2], list(row[3]))
    if kind == DROP_DELIVERY:
        return DropDelivery(row[1], row[2], row[3], row[4])
    if kind == OPEN_EDGE:
        return OpenEdge(row[1], row[2], row[3])
    if kind == CLOSE_EDGE:
        return CloseEdge(row[1], row[2])
    if kind == SET_BACKLOG:
        return SetBacklog(row[1], row[2], row[3])
    if kind == GIVE_AGAIN:
        message = Message(row[5], row[6], row[3], row[4], row[7], row[8], row[2])
        message.number = row[9]
        message.deadline_ms = row[10]
        return GiveAgain(row[1], message)
    assert kind == SET_POLICY, kind
    return SetPolicy(row[1], row[2], row[3], row[4], row[5], row[6], row[7] if len(row) > 7 else ROUND_ROBIN)
