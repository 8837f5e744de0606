"""The replicated application of one partition: `apply` is one dispatch, the rules live in the files it calls.

Nothing here changes outside `apply`, except what no log knows: kept routes and the turn of QoS 0 in shared groups.
"""

import hashlib
from typing import final

from quantum.core.broker import buckets
from quantum.core.broker.commands import (
    HOUSEKEEPING,
    LEAST_INFLIGHT,
    AcknowledgeDelivery,
    CloseEdge,
    CloseSession,
    Command,
    DropDelivery,
    Entry,
    GiveAgain,
    OpenEdge,
    OpenSession,
    PublishMessage,
    ReleaseMessage,
    SetBacklog,
    SetPolicy,
    SubscribeSession,
    UnsubscribeSession,
    decode_entry,
)
from quantum.core.broker.effects import Effects, Pick, Refused, Result, Route
from quantum.core.broker.expiry import AT_ONCE_MS, DUE_STEPS, is_overdue
from quantum.core.broker.lifecycle import close_edge, close_session, expire, open_edge, open_session
from quantum.core.broker.message import Message
from quantum.core.broker.outgoing import SEND_STEPS, acknowledge, drop_delivery
from quantum.core.broker.partition import BUCKET_COUNT, Partition
from quantum.core.broker.publishing import give_back, publish_message, release_message
from quantum.core.broker.retained import READ_STEPS
from quantum.core.broker.retained_run import RetainedCursor
from quantum.core.broker.session import Session
from quantum.core.broker.shared_choice import choose_live, set_backlog
from quantum.core.broker.subscribing import subscribe, unsubscribe
from quantum.core.causes import EDGE_STALE
from quantum.core.state_machine import BucketCutter


@final
class BrokerState:
    """A `StateMachine`: see there for the contract of `apply`, buckets and digest."""

    __slots__ = ("_cursors", "_due_steps", "_partition", "_read_steps", "_send_steps", "bucket_count", "cutter")

    def __init__(self, read_steps: int = READ_STEPS, due_steps: int = DUE_STEPS, send_steps: int = SEND_STEPS) -> None:
        self._read_steps = read_steps  # the same on every replica: what an entry reads is part of what it does
        self._due_steps = due_steps  # likewise
        self._send_steps = send_steps
        self.bucket_count = BUCKET_COUNT
        self.cutter = BucketCutter(self._encode_cut)
        self._partition = Partition(self.cutter, 0)
        self._cursors: dict[str, str] = {}  # between `decode_bucket` and `on_restored`

    def apply(self, index: int, data: bytes, decoded: object) -> Effects:
        """Apply the entry at `index`: first what became due, then its commands in order."""
        if decoded is None:
            entry = decode_entry(data)
        else:
            assert isinstance(decoded, Entry)
            entry = decoded
        partition = self._partition
        self.cutter.before_change(0)
        partition.stamp_ms = max(partition.stamp_ms, entry.stamp_ms)
        partition.reads_left = self._read_steps
        partition.due_left = self._due_steps
        partition.sends_left = self._send_steps
        edge = entry.edge
        effects = Effects(
            index, partition.stamp_ms, edge=edge, incarnation=entry.incarnation, forward_seq=entry.forward_seq
        )
        expire(partition, effects)
        if edge != HOUSEKEEPING and not partition.edges.take_turn(edge, entry.incarnation, entry.forward_seq):
            self._open_or_refuse(effects, entry)
            return effects
        results = effects.results
        for command in entry.commands:
            if command.__class__ is PublishMessage:
                results.append(publish_message(partition, effects, command))
            else:
                results.append(self._apply_rare(effects, edge, command))
        return effects

    # Buckets.

    def encode_bucket(self, number: int) -> bytes:
        return buckets.encode_bucket(self._partition, number, {})

    def decode_bucket(self, number: int, data: bytes) -> None:
        cursors = buckets.decode_bucket(self._partition, number, data)
        self._cursors.update(cursors)

    def reset(self) -> None:
        self.cutter.abandon()
        # Routes go on being numbered, so that whoever keeps what follows from one is not misled.
        self._partition = Partition(self.cutter, self._partition.subscriptions.route_number)
        self._cursors = {}

    def on_restored(self) -> None:
        buckets.rebuild(self._partition, self._cursors)
        self._cursors = {}

    def digest(self) -> bytes:
        digest = hashlib.blake2b(digest_size=32)
        for number in range(BUCKET_COUNT):
            data = self.encode_bucket(number)
            digest.update(len(data).to_bytes(8, "big"))
            digest.update(data)
        return digest.digest()

    # Queries of the node and its edge.

    def next_deadline_ms(self) -> int:
        """The replicated time at which something happens even if nobody asks for anything; 0 for never. At once where an
        entry left something over, even if the leader's clock is behind the replicated time."""
        partition = self._partition
        first_ms = partition.deadlines.first_ms()
        if len(partition.readers) or is_overdue(first_ms, partition.stamp_ms):
            return AT_ONCE_MS
        return first_ms

    def route(self, topic_name: str) -> Route:
        """The receivers of a topic name as of now."""
        return self._partition.subscriptions.fanout(topic_name).route

    def pick_shared(self, topic_name: str) -> tuple[Pick, ...]:
        """For a QoS 0 message: the connected member of each matching shared group whose turn it is."""
        partition = self._partition
        picked: list[Pick] = []
        for group in partition.subscriptions.fanout(topic_name).groups:
            member = choose_live(partition, group, topic_name)
            if member is not None:
                receiver = member.receiver
                session = partition.sessions[receiver.client_id]
                picked.append(
                    Pick(
                        session.client_id,
                        session.edge,
                        session.conn_epoch,
                        receiver.subscription_ids,
                        group.shared_filter,
                    )
                )
        return tuple(picked)

    def read_retained(self, cursor: RetainedCursor) -> list[Message]:
        """More of the retained messages that a subscription is owed; none does not mean that the cursor is at its end."""
        return self._partition.retained.read(cursor, self._partition.stamp_ms, self._read_steps)[0]

    def is_shared_member(self, shared_filter: str, client_id: str) -> bool:
        """Whether the client's session is in the shared group."""
        group = self._partition.subscriptions.groups.get(shared_filter)
        return group is not None and group.has_member(client_id)

    def is_backlog_weighed(self) -> bool:
        """Whether it matters for shared groups that a client is behind."""
        return self._partition.policy.shared_strategy == LEAST_INFLIGHT

    def has_policy(self, policy: SetPolicy) -> bool:
        """Whether the log set exactly these limits last; the defaults before the first SetPolicy do not count."""
        return self._partition.has_policy and self._partition.policy == policy

    def edge_incarnation(self, edge: int) -> int:
        """The newest incarnation of an edge, 0 if it never opened."""
        return self._partition.edges.incarnation(edge)

    def edge_nonce(self, edge: int) -> int:
        """The nonce of the process that opened the newest incarnation, 0 if the edge never opened."""
        record = self._partition.edges.records.get(edge)
        return 0 if record is None else record.nonce

    def edge_forward_seq(self, edge: int) -> int:
        """The last entry of the newest incarnation that counted, 0 for none."""
        record = self._partition.edges.records.get(edge)
        return 0 if record is None else record.forward_seq

    def is_edge_open(self, edge: int) -> bool:
        """Whether the newest incarnation of an edge may speak."""
        return self._partition.edges.is_open(edge)

    def open_edges(self) -> list[tuple[int, int]]:
        """(edge, incarnation) of every open edge, ascending."""
        records = self._partition.edges.records
        return [(edge, records[edge].incarnation) for edge in sorted(records) if records[edge].is_open]

    # Queries of operators.

    @property
    def accounting(self) -> dict[str, int | dict[str, int]]:
        """The ledger, causes by id."""
        return self._partition.accounting.to_dict()

    def is_balanced(self) -> bool:
        """Whether law CONSERVE holds."""
        return self._partition.accounting.is_balanced()

    def counts(self) -> dict[str, int]:
        """How much of everything there is."""
        partition = self._partition
        accounting = partition.accounting
        return {
            "sessions": len(partition.sessions),
            "connected": partition.connected_count,
            "subscriptions": partition.subscriptions.count,
            "shared_groups": len(partition.subscriptions.groups),
            "queued_messages": accounting.queued,
            "inflight_messages": accounting.in_flight,
            "queued_bytes": accounting.held_bytes,
            "retained_messages": len(partition.retained),
            "retained_bytes": partition.retained.size,
        }

    def session_view(self, client_id: str) -> dict[str, object]:
        """What is known of one session, for /why; empty when there is none."""
        session = self._partition.sessions.get(client_id)
        return {} if session is None else _view(session)

    # Private.

    def _encode_cut(self, number: int) -> bytes:
        """The bytes of a bucket as it was when the running snapshot began."""
        return buckets.encode_bucket(self._partition, number, self.cutter.take_kept(number))

    def _open_or_refuse(self, effects: Effects, entry: Entry) -> None:
        """An edge's entry that is not the one that is due: it opens the edge, or it changes nothing."""
        result: Result = Refused(EDGE_STALE)
        if entry.forward_seq == 0:
            result = open_edge(self._partition, effects, entry)
        effects.is_refused = result != 0
        effects.results = [result] * len(entry.commands)

    def _apply_rare(self, effects: Effects, edge: int, command: Command) -> Result:
        partition = self._partition
        if isinstance(command, AcknowledgeDelivery):
            return acknowledge(partition, effects, command)
        if isinstance(command, ReleaseMessage):
            return release_message(partition, command)
        if isinstance(command, OpenSession):
            return open_session(partition, effects, edge, command)
        if isinstance(command, CloseSession):
            return close_session(partition, effects, command)
        if isinstance(command, SubscribeSession):
            return subscribe(partition, effects, command)
        if isinstance(command, UnsubscribeSession):
            return unsubscribe(partition, command)
        if isinstance(command, DropDelivery):
            return drop_delivery(partition, effects, command)
        if isinstance(command, SetBacklog):
            return set_backlog(partition, command)
        if isinstance(command, GiveAgain):
            return give_back(partition, effects, command)
        if isinstance(command, CloseEdge):
            return close_edge(partition, effects, edge, command)
        if isinstance(command, OpenEdge) or edge != HOUSEKEEPING:
            return Refused(EDGE_STALE)  # An edge opens with forward_seq 0, and policy is the leader's alone.
        assert isinstance(command, SetPolicy), command
        partition.policy = command
        partition.has_policy = True
        return 0


def _view(session: Session) -> dict[str, object]:
    return {
        "client_id": session.client_id,
        "session_epoch": session.session_epoch,
        "conn_epoch": session.conn_epoch,
        "is_connected": session.conn_epoch != 0,
        "is_ephemeral": session.is_ephemeral,
        "is_behind": session.is_behind,
        "edge": session.edge,
        "conn_id": session.conn_id,
        "expiry_s": session.expiry_s,
        "ends_ms": session.ends_ms,
        "receive_maximum": session.receive_maximum,
        "window_used": session.inflight.outstanding(),
        "has_will": session.will is not None,
        "will_due_ms": session.will_due_ms,
        "subscriptions": sorted(session.subscriptions),
        "received_packet_ids": len(session.received),
        "inflight_messages": len(session.inflight.copies),
        "queued_messages": len(session.queue),
        "queued_bytes": session.held_bytes,
    }
