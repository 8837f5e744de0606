"""Who on this edge receives what a route names, and the writing of it.

The path every delivered message takes. What is the same for many receivers is done once: a route's connections are
looked up once per version of the route, a message is encoded once per variant, and a run of QoS 0 packets is forwarded
as it was received.
"""

from typing import Final, final

from quantum.core.broker.commands import SetBacklog
from quantum.core.broker.effects import Pick, Route
from quantum.core.broker.message import Message
from quantum.core.broker.retained_run import RetainedRun
from quantum.core.causes import (
    CLIENT_PACKET_TOO_LARGE,
    MESSAGE_EXPIRED,
    QOS0_OFFLINE,
    QUEUE_BYTES_MAX,
    QUEUE_MESSAGES_MAX,
    SHARED_GROUP_EMPTY,
    SLOW_READER,
    Cause,
)
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.connections import EdgeConnection
from quantum.core.edge.ephemeral import EphemeralQueue, Queued
from quantum.core.edge.ledger import EdgeLedger
from quantum.core.edge.orphans import Orphans
from quantum.core.edge.relay import Relay, Relayed
from quantum.core.edge.route_reader import RouteReader
from quantum.core.edge.targets import Target, Targets
from quantum.core.flow import CauseLedger
from quantum.core.mqtt.connection import PACKET_BYTES_LIMIT, PublishRun
from quantum.core.mqtt.encode import encode_publish, publish_parts
from quantum.core.mqtt.packets import NO_EXPIRY, V5, V311
from quantum.core.mqtt.wire import U16

ROUTES_CACHED_MAX: Final = 100_000
PUMP_BYTES: Final = 24_576  # written to one connection from its queue in one turn, a part of a millisecond
PUMP_MESSAGE_BYTES: Final = 100  # what the work for one message counts for beside its bytes
READ_BYTES: Final = 16_384  # what reading some retained messages from the store counts for


@final
class Fanout:
    """Delivery to the connections of this edge."""

    __slots__ = (
        "_causes",
        "_config",
        "_routes",
        "_targets",
        "backlogs",
        "clock_ms",
        "dirty",
        "ledger",
        "left_index",
        "orphans",
        "relay",
        "sessions",
    )

    def __init__(self, config: EdgeConfig, routes: RouteReader, causes: CauseLedger) -> None:
        self._config = config
        self._routes = routes
        self._causes = causes
        self._targets: dict[int, Targets] = {}  # Route.number → its connections
        self.sessions: dict[str, EdgeConnection] = {}  # open connections by Client Identifier
        self.dirty: list[EdgeConnection] = []  # connections with bytes to write or a queue to look at this turn
        self.backlogs: list[SetBacklog] = []  # what the log is to be told of ephemeral sessions
        self.ledger = EdgeLedger()
        self.orphans = Orphans(config.pending_bytes_max, self.ledger, causes)
        self.relay = Relay(causes)
        self.left_index = 0  # the newest of all connections
        self.clock_ms = 0  # replicated time, for message expiry

    def open(self, connection: EdgeConnection) -> None:
        """The connection serves its session from here on."""
        self.sessions[connection.client_id] = connection
        self.left_index = max(self.left_index, connection.left_index)
        self._targets.clear()

    def close(self, connection: EdgeConnection) -> None:
        """The connection serves no session any more."""
        if self.sessions.get(connection.client_id) is connection:
            del self.sessions[connection.client_id]
            self._targets.clear()

    def mark(self, connection: EdgeConnection) -> None:
        """Look at the connection at the end of this turn."""
        if not connection.is_dirty:
            connection.is_dirty = True
            self.dirty.append(connection)

    # -- QoS 0, straight from the wire ----------------------------------------------------------------------------

    def deliver_run(self, publisher: str, is_v5: bool, run: PublishRun) -> None:
        """Forward a run of QoS 0 packets from a client of this edge, here and to the other nodes."""
        self.ledger.received += run.count
        route = self._routes.route(run.topic_name)
        targets = self._targets.get(route.number)
        if targets is None:
            targets = self._look_up(route)
        self._spread_run(targets, publisher, is_v5, run)
        if route.has_shared:
            for payload in run.payloads():
                self._deliver_shared(Message(run.topic_name, payload, 0, False, b"", NO_EXPIRY, publisher))
        if self.relay.has_peers:
            self.relay.add_run(publisher, is_v5, run)

    def deliver_qos0(self, message: Message) -> None:
        """Deliver one QoS 0 message that is no plain run, here and to the other nodes."""
        self.ledger.received += 1
        route = self._routes.route(message.topic_name)
        targets = self._targets.get(route.number)
        if targets is None:
            targets = self._look_up(route)
        self._spread(targets, message)
        if route.has_shared:
            self._deliver_shared(message)
        if self.relay.has_peers:
            self.relay.add_message(message)

    def has_receivers(self, topic_name: str) -> bool:
        """Whether a message of this topic would concern a connection of this node, or a shared group."""
        route = self._routes.route(topic_name)
        if not route.receivers and not route.replicated:
            return route.has_shared
        return route.has_shared or self._targets_of_route(route).plain_count() > 0

    def deliver_own(self, message: Message) -> None:
        """Deliver a QoS 0 message of the node itself to the connections of this node."""
        route = self._routes.route(message.topic_name)
        self._spread(self._targets_of_route(route), message)
        if route.has_shared:
            for pick in self._routes.pick_shared(message.topic_name):
                if pick.edge == self._config.edge:
                    self._deliver_pick(message, pick)

    def _targets_of_route(self, route: Route) -> Targets:
        targets = self._targets.get(route.number)
        return self._look_up(route) if targets is None else targets

    def deliver_relayed(self, relayed: Relayed) -> None:
        """Deliver what a client of another node published to the connections of this one."""
        message = relayed.message
        if relayed.pick is not None:
            assert message is not None
            self._deliver_pick(message, relayed.pick)
        elif message is None:
            run = relayed.run
            assert run is not None
            self._spread_run(self._targets_of(run.topic_name, relayed), relayed.publisher, relayed.is_v5, run)
        else:
            self._spread(self._targets_of(message.topic_name, relayed), message)

    def _targets_of(self, topic_name: str, relayed: Relayed) -> Targets:
        """Who gets it here: nobody whose session may have got it on the connection that it had before."""
        route = self._routes.route(topic_name)
        targets = self._targets.get(route.number)
        if targets is None:
            targets = self._look_up(route)
        index = relayed.after_index
        if self.left_index <= index:
            return targets
        kept = Targets()
        kept.v3 = [connection for connection in targets.v3 if connection.left_index <= index]
        kept.v5 = [connection for connection in targets.v5 if connection.left_index <= index]
        kept.others = [target for target in targets.others if target.connection.left_index <= index]
        left_out = targets.plain_count() - kept.plain_count()
        if left_out:
            self._causes.count(QOS0_OFFLINE, left_out * relayed.count())
        return kept

    def _spread_run(self, targets: Targets, publisher: str, is_v5: bool, run: PublishRun) -> None:
        self._forward(targets.v5 if is_v5 else targets.v3, run.frames, run)
        strangers = targets.v3 if is_v5 else targets.v5
        if strangers:
            self._forward(strangers, _converted(run, not is_v5), run)
        if targets.others:
            for payload in run.payloads():
                message = Message(run.topic_name, payload, 0, False, b"", NO_EXPIRY, publisher)
                for target in targets.others:
                    self._deliver_to(target, message)

    def _spread(self, targets: Targets, message: Message) -> None:
        for connection in targets.v3:
            self._created(connection, message, 0, False, ())
        for connection in targets.v5:
            self._created(connection, message, 0, False, ())
        for target in targets.others:
            self._deliver_to(target, message)

    def _forward(self, connections: list[EdgeConnection], frames: bytes, run: PublishRun) -> None:
        dirty = self.dirty
        count = run.count
        done = 0
        for connection in connections:
            queue = connection.queue
            if connection.is_blocked or (queue is not None and queue.waiting):
                for payload in run.payloads():
                    message = Message(run.topic_name, payload, 0, False)
                    self._created(connection, message, 0, False, ())
                continue
            done += count
            connection.out.append(frames)
            if not connection.is_dirty:
                connection.is_dirty = True
                dirty.append(connection)
        ledger = self.ledger
        ledger.created += done
        ledger.delivered += done

    def _deliver_shared(self, message: Message) -> None:
        for pick in self._routes.pick_shared(message.topic_name):
            if pick.edge == self._config.edge:
                self._deliver_pick(message, pick)
            else:
                self.relay.add_pick(pick, message)

    def _deliver_pick(self, message: Message, pick: Pick) -> None:
        """To the very connection that was chosen, if it is still a member: the node that chose may not know yet of an
        UNSUBSCRIBE that was acknowledged here [MQTT-3.10.4-2]."""
        connection = self.sessions.get(pick.client_id)
        if (
            connection is None
            or connection.conn_epoch != pick.conn_epoch
            or not self._routes.is_shared_member(pick.shared_filter, pick.client_id)
        ):
            self._causes.count(SHARED_GROUP_EMPTY, 1)
        else:
            self._created(connection, message, 0, False, pick.subscription_ids)

    def _look_up(self, route: Route) -> Targets:
        targets = Targets()
        for receiver in route.receivers:
            connection = self.sessions.get(receiver.client_id)
            if connection is not None and connection.conn_epoch == receiver.conn_epoch:
                target = Target(connection, receiver)
                targets.all.append(target)
                self._sort_in(targets, target)
        for receiver in route.replicated:
            connection = self.sessions.get(receiver.client_id)
            if connection is not None and not connection.is_ephemeral:
                self._sort_in(targets, Target(connection, receiver))
        if len(self._targets) >= ROUTES_CACHED_MAX:
            self._targets.clear()
        self._targets[route.number] = targets
        return targets

    def _sort_in(self, targets: Targets, target: Target) -> None:
        wire = target.connection.wire
        receiver = target.receiver
        is_limited = wire.peer_packet_bytes_max != PACKET_BYTES_LIMIT
        if receiver.no_local or receiver.retain_as_published or receiver.subscription_ids or is_limited:
            targets.others.append(target)
        elif wire.is_v5:
            targets.v5.append(target.connection)
        else:
            targets.v3.append(target.connection)

    # -- out of the log -------------------------------------------------------------------------------------------

    def deliver(self, message: Message, route: Route) -> None:
        """Deliver an applied message to the ephemeral sessions of its route."""
        targets = self._targets.get(route.number)
        if targets is None:
            targets = self._look_up(route)
        if route.shared_filter:
            self._deliver_share(targets, message, route)
            return
        for target in targets.all:
            self._deliver_to(target, message)

    def _deliver_share(self, targets: Targets, message: Message, route: Route) -> None:
        """Deliver what the chosen member of a shared group is given, and remember whose it is at QoS 1 and 2."""
        receiver = route.receivers[0]
        qos = message.qos if message.qos < receiver.qos else receiver.qos  # [MQTT-4.8.2-3]
        if not targets.all:
            if qos:
                self.orphans.on_late(receiver.conn_epoch, route.shared_filter, message)
            return
        if not qos:
            self._deliver_to(targets.all[0], message)
            return
        connection = targets.all[0].connection
        retain = message.retain and receiver.retain_as_published
        self.ledger.created += 1
        queue = self._queue_of(connection)
        packet_id = 0 if connection.is_blocked or queue.waiting else queue.admit(qos)
        if not packet_id:
            self._enqueue(connection, queue, message, qos, retain, receiver.subscription_ids, route.shared_filter)
            return
        self.ledger.open += 1
        if qos == 1:
            queue.remember(packet_id, route.shared_filter, message)
        self._write(connection, message, qos, retain, receiver.subscription_ids, packet_id)
        self.mark(connection)

    def _deliver_to(self, target: Target, message: Message) -> None:
        receiver = target.receiver
        if receiver.client_id == message.client_id:
            own = receiver.of(message.client_id)
            if own is None:
                return  # [MQTT-3.8.3-3]
            receiver = own
        qos = message.qos if message.qos < receiver.qos else receiver.qos  # [MQTT-3.8.4-8]
        retain = message.retain and receiver.retain_as_published  # [MQTT-3.3.1-12] [MQTT-3.3.1-13]
        self._created(target.connection, message, qos, retain, receiver.subscription_ids)

    def deliver_retained(self, connection: EdgeConnection, run: RetainedRun) -> None:
        """Owe retained messages; they are bounded by the retained store, so no queue limit applies."""
        self.ledger.created += len(run)
        self.ledger.open += len(run)
        self._queue_of(connection).push_run(run)
        self.mark(connection)

    def deliver_at_qos0(
        self, connection: EdgeConnection, message: Message, retain: bool, subscription_ids: tuple[int, ...]
    ) -> None:
        """A message of the log for a replicated session, sent and forgotten: it queues behind those that wait."""
        self._created(connection, message, 0, retain, subscription_ids)

    def _created(
        self, connection: EdgeConnection, message: Message, qos: int, retain: bool, subscription_ids: tuple[int, ...]
    ) -> None:
        ledger = self.ledger
        ledger.created += 1
        queue = connection.queue
        if queue is None:
            queue = self._queue_of(connection)
        if connection.is_blocked or queue.waiting:
            self._enqueue(connection, queue, message, qos, retain, subscription_ids)
            return
        packet_id = 0
        if qos:
            packet_id = queue.admit(qos)
            if not packet_id:
                self._enqueue(connection, queue, message, qos, retain, subscription_ids)
                return
            ledger.open += 1
        self._write(connection, message, qos, retain, subscription_ids, packet_id)
        if not connection.is_dirty:
            connection.is_dirty = True
            self.dirty.append(connection)

    def _queue_of(self, connection: EdgeConnection) -> EphemeralQueue:
        if connection.queue is None:
            connection.queue = EphemeralQueue(min(connection.wire.peer_receive_maximum, self._config.send_window_max))
        return connection.queue

    def _enqueue(
        self,
        connection: EdgeConnection,
        queue: EphemeralQueue,
        message: Message,
        qos: int,
        retain: bool,
        subscription_ids: tuple[int, ...],
        shared_filter: str = "",
    ) -> None:
        queued = Queued(message, qos, retain, subscription_ids, shared_filter)
        size = queue.queued_bytes + queued.size()
        config = self._config
        if qos == 0:
            if size > config.out_bytes_max:
                self._drop(SLOW_READER)
                return
        elif size > config.queue_bytes_max:
            self._drop(QUEUE_BYTES_MAX)
            return
        elif queue.size() >= config.queue_messages_max:
            self._drop(QUEUE_MESSAGES_MAX)
            return
        elif not queue.is_behind and self._routes.is_backlog_weighed():
            self.tell_backlog(connection, queue)
        self.ledger.open += 1
        queue.push(queued)

    def tell_backlog(self, connection: EdgeConnection, queue: EphemeralQueue) -> None:
        """The client falls behind, or caught up: whoever chooses members of shared groups is told."""
        assert connection.is_ephemeral  # of replicated sessions only QoS 0 waits here
        queue.is_behind = not queue.is_behind
        self.backlogs.append(SetBacklog(connection.client_id, connection.conn_epoch, queue.is_behind))

    def take_backlogs(self) -> list[SetBacklog]:
        """What the log is to be told of them."""
        backlogs = self.backlogs
        self.backlogs = []
        return backlogs

    def _drop(self, cause: Cause) -> None:
        self.ledger.drop(cause, 1)
        self._causes.count(cause, 1)

    def _write(
        self,
        connection: EdgeConnection,
        message: Message,
        qos: int,
        retain: bool,
        subscription_ids: tuple[int, ...],
        packet_id: int,
    ) -> None:
        """Put an admitted message on the wire; at QoS 0 that is its delivery."""
        wire = connection.wire
        is_plain = not subscription_ids and wire.peer_packet_bytes_max == PACKET_BYTES_LIMIT
        if is_plain and not wire.peer_alias_max and not (message.deadline_ms and wire.is_v5):
            head, tail = encoded(message, wire.is_v5, qos, retain)
            if qos:
                connection.out.append(head + U16[packet_id] + tail)
            else:
                connection.out.append(head)
                self.ledger.delivered += 1
            return
        expiry_s = self._expiry_s(message)
        if expiry_s == 0:
            self._let_go(connection, qos, packet_id)
            self.ledger.expired += 1
            self._causes.count(MESSAGE_EXPIRED, 1)
            return
        data = wire.encode_publish(
            message.topic_name,
            message.payload,
            qos,
            retain,
            False,  # [MQTT-3.3.1-3] the publisher's DUP says nothing about this delivery
            packet_id,
            message.properties,
            expiry_s,
            subscription_ids,
        )
        if not data:
            self._let_go(connection, qos, packet_id)
            self._drop(CLIENT_PACKET_TOO_LARGE)  # [MQTT-3.1.2-25]
            return
        connection.out.append(data)
        if not qos:
            self.ledger.delivered += 1

    def _let_go(self, connection: EdgeConnection, qos: int, packet_id: int) -> None:
        if qos:
            assert connection.queue is not None
            connection.queue.let_go(packet_id)
            self.ledger.open -= 1

    def _expiry_s(self, message: Message) -> int:
        """What is left of the Message Expiry Interval, rounded up: NO_EXPIRY without one, 0 when it passed. 3.3.2.3.3"""
        if not message.deadline_ms:
            return NO_EXPIRY
        left_ms = message.deadline_ms - self.clock_ms
        # Clocks of nodes differ: what is left is never more than there was. [MQTT-3.3.2-6]
        return min(message.message_expiry_s, (left_ms + 999) // 1000) if left_ms > 0 else 0

    # -- after the first try --------------------------------------------------------------------------------------

    def pump(self, connection: EdgeConnection) -> bool:
        """Send what waits, as far as window and transport allow; True when the connection wants another turn."""
        queue = connection.queue
        if queue is None or not queue.waiting or connection.is_blocked:
            return False
        budget = PUMP_BYTES
        while queue.waiting:
            if budget <= 0:
                return True
            run = queue.unread()
            if run is not None:
                budget -= self._read_on(queue, run)
                continue
            queued = queue.first()
            if self._expiry_s(queued.message) == 0:
                queue.drop_first()
                self.ledger.open -= 1
                self.ledger.expired += 1
                self._causes.count(MESSAGE_EXPIRED, 1)
                budget -= PUMP_MESSAGE_BYTES
                continue
            packet_id = 0
            if queued.qos:
                packet_id = queue.admit(queued.qos)
                if not packet_id:
                    return False
            queue.drop_first()
            if not queued.qos:
                self.ledger.open -= 1
            elif queued.qos == 1 and queued.shared_filter:
                queue.remember(packet_id, queued.shared_filter, queued.message)
            budget -= queued.size() + PUMP_MESSAGE_BYTES
            self._write(connection, queued.message, queued.qos, queued.retain, queued.subscription_ids, packet_id)
        if queue.has_caught_up():
            self.tell_backlog(connection, queue)
        return False

    def _read_on(self, queue: EphemeralQueue, run: RetainedRun) -> int:
        """Read more of the retained messages that are owed; what that counts for in bytes."""
        messages = self._routes.read_retained(run.cursor)
        queue.on_read(messages)
        self.ledger.created += len(messages)
        self.ledger.open += len(messages)
        return READ_BYTES

    def abandon(self, connection: EdgeConnection, cause: Cause) -> None:
        """Nothing is owed to the connection any more; what shared groups gave it is owed to other members."""
        queue = connection.queue
        connection.queue = None
        if queue is not None:
            owed = queue.size()
            if owed:
                owed -= self.orphans.take_over(queue)
            if owed:
                self.ledger.open -= owed
                self.ledger.drop(cause, owed)
                self._causes.count(cause, owed)


def encoded(message: Message, is_v5: bool, qos: int, retain: bool) -> tuple[bytes, bytes]:
    """The PUBLISH before and behind its Packet Identifier, without hop properties; encoded once per variant."""
    key = (8 if is_v5 else 0) + qos * 2 + (1 if retain else 0)
    variants = message.encoded
    if variants is None:
        variants = message.encoded = {}
    else:
        parts = variants.get(key)
        if parts is not None:
            return parts
    version = V5 if is_v5 else V311
    parts = publish_parts(
        version,
        message.topic_name.encode(),
        message.payload,
        qos,
        retain,
        False,
        message.properties if is_v5 else b"",
    )
    variants[key] = parts
    return parts


def _converted(run: PublishRun, to_v5: bool) -> bytes:
    """The packets of a run for clients of the other protocol version."""
    version = V5 if to_v5 else V311
    topic = run.topic_name.encode()
    return b"".join([encode_publish(version, topic, payload, 0, False, False, 0, b"") for payload in run.payloads()])
