"""What `apply` wants from the world: answers to the commands, and packets for the sessions.

Every replica computes the same effects; each node's edge takes from those of its own replica what concerns its
connections, and leaves the rest to the other edges. Within one `Effects` the edge obeys this order: `closes`, then
`results` in command order, then `deliveries` and `sends` each in their own order. A session is served by `deliveries`
(ephemeral) or by `sends` (replicated), never by both, so its packets keep their order.
"""

from dataclasses import dataclass, field
from typing import final

from quantum.core.broker.message import Message
from quantum.core.broker.retained_run import RetainedRun
from quantum.core.causes import Cause


@final
@dataclass(init=False, slots=True, eq=False)
class Receiver:
    """What one session wants of one topic: all its matching non-shared subscriptions, or one shared subscription."""

    client_id: str
    conn_epoch: int  # of an ephemeral session its one connection; of a replicated one 0
    is_ephemeral: bool
    qos: int  # the greatest granted by the matching subscriptions
    no_local: bool  # every matching subscription says No Local
    retain_as_published: bool
    subscription_ids: tuple[int, ...]
    own: "Receiver | None"  # in place of this one for the session's own messages, where some matches say No Local

    def __init__(
        self,
        client_id: str,
        conn_epoch: int,
        is_ephemeral: bool,
        qos: int,
        no_local: bool,
        retain_as_published: bool,
        subscription_ids: tuple[int, ...],
        own: "Receiver | None" = None,
    ) -> None:
        self.client_id = client_id
        self.conn_epoch = conn_epoch
        self.is_ephemeral = is_ephemeral
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.subscription_ids = subscription_ids
        self.own = own

    def of(self, publisher: str) -> "Receiver | None":
        """What is wanted of a message of `publisher`; None for nothing [MQTT-3.8.3-3]."""
        if self.client_id != publisher:
            return self
        return None if self.no_local else self.own or self


@final
@dataclass(init=False, slots=True, eq=False)
class Route:
    """The receivers of a topic name as of one version of the subscriptions. Never changed: a new one replaces it.

    `receivers` are the ephemeral ones, ascending by client id; those of replicated sessions are served inside `apply`
    (QoS 1 and 2) or stand in `replicated` (read for QoS 0 only). A shared group's chosen member has a route of its own.
    """

    number: int  # unique in this process; whoever caches what follows from a route keys it by this
    receivers: tuple[Receiver, ...]
    replicated: tuple[Receiver, ...]
    has_shared: bool  # a QoS 0 publisher must also ask `pick_shared`
    shared_filter: str  # of a member's own route the group it is for; "" for that of a topic

    def __init__(
        self,
        number: int,
        receivers: tuple[Receiver, ...],
        replicated: tuple[Receiver, ...],
        has_shared: bool,
        shared_filter: str,
    ) -> None:
        self.number = number
        self.receivers = receivers
        self.replicated = replicated
        self.has_shared = has_shared
        self.shared_filter = shared_filter


@final
@dataclass(slots=True, eq=False)
class Pick:
    """The member of a shared group that one QoS 0 message goes to, and the connection it has."""

    client_id: str
    edge: int
    conn_epoch: int
    subscription_ids: tuple[int, ...]
    shared_filter: str


@final
@dataclass(slots=True, eq=False)
class Refused:
    """The command changed nothing."""

    cause: Cause


@final
@dataclass(slots=True, eq=False)
class SessionOpened:
    """CONNACK may go; the session's open exchanges follow in `sends`."""

    session_present: bool
    session_epoch: int
    conn_epoch: int
    is_ephemeral: bool
    left_index: int  # see `Session`


@final
@dataclass(slots=True, eq=False)
class RetainedDelivery:
    """A retained message owed to an ephemeral session because it subscribed; RETAIN is set on it. 3.3.1.3"""

    message: Message
    qos: int
    subscription_ids: tuple[int, ...]


@final
@dataclass(slots=True, eq=False)
class Subscribed:
    """SUBACK may go; then `retained`. A replicated session finds those of QoS 1 and 2 in `sends` instead."""

    reason_codes: list[int]
    retained: list[RetainedRun]

    def deliveries(self) -> list[RetainedDelivery]:
        """What of `retained` was read already, one by one."""
        return [
            RetainedDelivery(message, run.qos_of(message), run.subscription_ids)
            for run in self.retained
            for message in run.rest()
        ]


@final
@dataclass(slots=True, eq=False)
class Unsubscribed:
    """UNSUBACK may go: a reason code for each filter, 0x11 where there was no subscription."""

    reason_codes: list[int]


# PublishMessage, ReleaseMessage, AcknowledgeDelivery, DropDelivery, SetBacklog, GiveAgain, CloseSession, OpenEdge,
# CloseEdge and SetPolicy answer with a v5.0 reason code (0x00, 0x10 no matching subscribers, 0x92 unknown Packet
# Identifier), or Refused.
Result = int | Refused | SessionOpened | Subscribed | Unsubscribed


@final
@dataclass(slots=True, eq=False)
class CloseConnection:
    """Another connection took the session, or an operator ended it."""

    client_id: str
    conn_epoch: int
    edge: int
    conn_id: int
    cause: Cause


@final
@dataclass(init=False, slots=True, eq=False)
class SendPublish:
    """A message for the connection of a replicated session; its Packet Identifier is assigned in the log."""

    client_id: str
    conn_epoch: int
    edge: int
    conn_id: int
    message: Message
    qos: int  # what is delivered, at most the subscription's; 0 with packet_id 0 is sent and forgotten
    packet_id: int
    dup: bool
    retain: bool
    subscription_ids: tuple[int, ...]
    stamp_ms: int  # replicated time now, for what is left of the Message Expiry Interval

    def __init__(
        self,
        client_id: str,
        conn_epoch: int,
        edge: int,
        conn_id: int,
        message: Message,
        qos: int,
        packet_id: int,
        dup: bool,
        retain: bool,
        subscription_ids: tuple[int, ...],
        stamp_ms: int,
    ) -> None:
        self.client_id = client_id
        self.conn_epoch = conn_epoch
        self.edge = edge
        self.conn_id = conn_id
        self.message = message
        self.qos = qos
        self.packet_id = packet_id
        self.dup = dup
        self.retain = retain
        self.subscription_ids = subscription_ids
        self.stamp_ms = stamp_ms


@final
@dataclass(slots=True, eq=False)
class SendPubrel:
    """PUBREL for a message whose PUBREC is in the log."""

    client_id: str
    conn_epoch: int
    edge: int
    conn_id: int
    packet_id: int


@final
@dataclass(slots=True, eq=False)
class Effects:
    """All that follows from one entry."""

    index: int
    stamp_ms: int  # the replicated time after this entry
    results: list[Result] = field(default_factory=list)
    closes: list[CloseConnection] = field(default_factory=list)
    deliveries: list[tuple[Message, Route]] = field(default_factory=list)
    sends: list[SendPublish | SendPubrel] = field(default_factory=list)
    # Whose entry it was, see `Entry`.
    edge: int = 0
    incarnation: int = 0
    forward_seq: int = 0
    is_refused: bool = False  # it was stale or out of its turn: nothing changed but time, and every result is Refused
    has_left: bool = False  # a connection ended, and its session did not: it may get another one at another edge
    edges_opened: list[tuple[int, int, int]] = field(default_factory=list)  # (edge, incarnation, nonce)
    edges_closed: list[tuple[int, int]] = field(default_factory=list)  # those whose connections are gone, as if cut
