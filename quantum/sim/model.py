"""A naive broker for one partition, written from the text of MQTT 5.0 alone, to hold the real one against.

No index, no cache, no deadline heap: every question is a scan, every topic is matched by splitting its levels. It knows
nothing of how `core.broker` works, only its commands; whatever both agree on was understood the same way twice.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, final

from quantum.core.broker.commands import (
    CLOSED_WITH_WILL,
    HASH_TOPIC,
    HOUSEKEEPING,
    LEAST_INFLIGHT,
    NEVER_S,
    ON_PUBACK,
    ON_PUBREC,
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
)
from quantum.core.mqtt.packets import NO_EXPIRY
from quantum.sim.model_session import (
    AWAITS_PUBACK,
    AWAITS_PUBCOMP,
    AWAITS_PUBREC,
    Application,
    Delivery,
    EdgeModel,
    Held,
    ModelEffects,
    ModelResult,
    SessionModel,
    Subscribed,
    filter_of,
    in_order_of_ring,
    is_shared,
    matches,
)

NO_MATCHING_SUBSCRIBERS: Final = 0x10
NO_SUBSCRIPTION_EXISTED: Final = 0x11
UNKNOWN_PACKET_ID: Final = 0x92
QUOTA_EXCEEDED: Final = 0x97

_PACKET_ID_MAX: Final = 65535
_BOUNDLESS: Final = 1 << 60


@final
class Model:
    """The whole partition. `apply` is the only way to change it."""

    def __init__(self) -> None:
        self.now_ms = 0
        self.last_epoch = 0
        self.policy = SetPolicy(_BOUNDLESS, _BOUNDLESS, _BOUNDLESS, _BOUNDLESS, _BOUNDLESS, _BOUNDLESS)
        self.edges: dict[int, EdgeModel] = {}
        self.sessions: dict[str, SessionModel] = {}
        self.retained: dict[str, Application] = {}
        self.last_chosen: dict[str, str] = {}  # shared Topic Filter → the client id whose turn was last
        self.dropped: list[str] = []  # cause ids, in the order things were dropped
        self._effects = ModelEffects(0)

    def apply(self, entry: Entry) -> ModelEffects:
        """Everything that falls due first, then the commands in their order."""
        self.now_ms = max(self.now_ms, entry.stamp_ms)
        self._effects = ModelEffects(self.now_ms)
        while self._fall_due():
            pass
        if entry.edge == HOUSEKEEPING or self._is_due(entry):
            for command in entry.commands:
                self._effects.results.append(self._command(entry.edge, command))
        elif not self._opens_edge(entry):
            self._effects.is_refused = True
            self._effects.results = [("refused", "edge_stale") for _ in entry.commands]
        return self._effects

    # Edges.

    def _is_due(self, entry: Entry) -> bool:
        """Whether it is the next entry of an edge that is open, under the incarnation it is open as."""
        edge = self.edges.get(entry.edge)
        if edge is None or not edge.is_open or edge.incarnation != entry.incarnation:
            return False
        if entry.forward_seq != edge.counted + 1:
            return False
        edge.counted += 1
        return True

    def _opens_edge(self, entry: Entry) -> bool:
        if entry.forward_seq != 0 or len(entry.commands) != 1:
            return False
        (command,) = entry.commands
        if not isinstance(command, OpenEdge):
            return False
        if (command.edge, command.incarnation) != (entry.edge, entry.incarnation):
            return False
        edge = self.edges.get(command.edge, EdgeModel())
        if command.incarnation != edge.incarnation + 1:
            return False
        if edge.is_open:
            self._cut_edge(command.edge)
        self.edges[command.edge] = EdgeModel(command.incarnation, command.nonce, True)
        self._effects.edges_opened.append((command.edge, command.incarnation, command.nonce))
        self._effects.results = [0]
        return True

    def _cut_edge(self, number: int) -> None:
        """As if every connection of the edge was cut, in the order of the client ids."""
        edge = self.edges[number]
        edge.is_open = False
        self._effects.edges_closed.append((number, edge.incarnation))
        for client_id in sorted(self.sessions):
            session = self.sessions.get(client_id)
            if session is not None and session.conn_epoch and session.edge == number:
                self._disconnect(session, True)

    def _close_edge(self, sender: int, command: CloseEdge) -> ModelResult:
        edge = self.edges.get(command.edge)
        is_allowed = sender in (HOUSEKEEPING, command.edge)
        if edge is None or not is_allowed or not edge.is_open or edge.incarnation != command.incarnation:
            return ("refused", "edge_stale")
        self._cut_edge(command.edge)
        return 0

    # Time.

    def _fall_due(self) -> bool:
        due: list[tuple[int, str, int, Callable[[], None]]] = []
        for session in self.sessions.values():
            if session.will_due_ms:
                due.append((session.will_due_ms, session.client_id, 0, partial(self._publish_will, session)))
            if session.ends_ms:
                due.append((session.ends_ms, session.client_id, 1, partial(self._end, session)))
        for topic_name, message in self.retained.items():
            if message.deadline_ms:
                due.append((message.deadline_ms, topic_name, 2, partial(self._expire_retained, topic_name)))
        due = [item for item in due if item[0] <= self.now_ms]
        if due:
            min(due, key=lambda item: item[:3])[3]()
        return bool(due)

    def _expire_retained(self, topic_name: str) -> None:
        del self.retained[topic_name]

    def _is_expired(self, message: Application) -> bool:
        return 0 < message.deadline_ms <= self.now_ms

    def _deadline(self, expiry_s: int) -> int:
        return 0 if expiry_s == NO_EXPIRY else self.now_ms + expiry_s * 1000

    # Commands.

    def _command(self, sender: int, command: Command) -> ModelResult:
        if isinstance(command, CloseEdge):
            return self._close_edge(sender, command)
        if isinstance(command, OpenEdge):
            return ("refused", "edge_stale")
        if isinstance(command, SetPolicy):
            if sender != HOUSEKEEPING:
                return ("refused", "edge_stale")
            self.policy = command
            return 0
        if isinstance(command, OpenSession):
            if sender not in self.edges or not self.edges[sender].is_open:
                return ("refused", "edge_stale")
            return self._open_session(sender, command)
        if isinstance(command, GiveAgain):
            given = command.message
            message = Application(
                given.topic_name, given.payload, given.qos, given.retain, given.client_id, given.deadline_ms
            )
            self._give_again(message, command.shared_filter)
            return 0
        client_id = command.message.client_id if isinstance(command, PublishMessage) else command.client_id
        session = self.sessions.get(client_id)
        if session is None or command.conn_epoch == 0 or session.conn_epoch != command.conn_epoch:
            return ("refused", "stale_epoch")
        if isinstance(command, CloseSession):
            if command.expiry_s >= 0:
                session.expiry_s = command.expiry_s
            self._disconnect(session, command.how == CLOSED_WITH_WILL)
            return 0
        if isinstance(command, SubscribeSession):
            return self._subscribe(session, command)
        if isinstance(command, UnsubscribeSession):
            return ("unsubscribed", [self._unsubscribe(session, name) for name in command.topic_filters])
        if isinstance(command, PublishMessage):
            return self._publish_command(session, command)
        if isinstance(command, ReleaseMessage):
            if command.packet_id not in session.received:
                return UNKNOWN_PACKET_ID
            session.received.remove(command.packet_id)
            return 0
        if isinstance(command, AcknowledgeDelivery):
            return self._acknowledge(session, command)
        if isinstance(command, SetBacklog):
            session.is_behind = command.is_behind
            return 0
        return self._drop_delivery(session, command)

    # Sessions begin and end.

    def _open_session(self, edge: int, command: OpenSession) -> ModelResult:
        old = self.sessions.get(command.client_id)
        if old is None and len(self.sessions) >= self.policy.sessions_max:
            return ("refused", "sessions_max")
        if old is not None and old.conn_epoch:
            # [MQTT-3.1.4-3] the Server closes the existing connection, with DISCONNECT 0x8E.
            self._effects.closes.append(
                (old.client_id, old.conn_epoch, old.edge, old.conn_id, "session_taken_over"),
            )
            self._leave_connection(old)
            if old.is_ephemeral or old.expiry_s == 0 or command.clean_start:
                self._end(old)
            elif old.will is not None and old.will.delay_s == 0:
                self._publish_will(old)
        elif old is not None and command.clean_start:
            self._end(old)
        session = self.sessions.get(command.client_id)
        self.last_epoch += 1
        is_present = session is not None
        if session is None:
            session = SessionModel(command.client_id, self.last_epoch, command.expiry_s == 0)
            self.sessions[command.client_id] = session
        session.conn_epoch = self.last_epoch
        session.edge = edge
        session.conn_id = command.conn_id
        session.expiry_s = command.expiry_s
        session.receive_maximum = command.receive_maximum
        session.will = command.will  # a delayed Will that still waited is not sent. [MQTT-3.1.3-9]
        session.will_due_ms = 0
        session.ends_ms = 0
        for held in session.released:  # [MQTT-4.4.0-1], in the order of their PUBREC [MQTT-4.6.0-4]
            self._send_pubrel(session, held)
        self._send_what_fits(session)
        return ("opened", is_present, session.session_epoch, session.conn_epoch, session.is_ephemeral)

    def _leave_connection(self, session: SessionModel) -> None:
        session.conn_epoch = session.edge = session.conn_id = 0
        for held in session.inflight:
            held.is_sent = False

    def _disconnect(self, session: SessionModel, with_will: bool) -> None:
        self._leave_connection(session)
        if not with_will:
            session.will = None  # [MQTT-3.14.4-3]
        if session.is_ephemeral or session.expiry_s == 0:
            self._end(session)
            return
        if session.expiry_s != NEVER_S:
            session.ends_ms = self.now_ms + session.expiry_s * 1000
        if session.will is not None:
            # At the earlier of the end of its delay and the end of the Session, which `_end` sees to. [MQTT-3.1.2-8]
            if session.will.delay_s == 0:
                self._publish_will(session)
            elif session.will.delay_s < _finite(session.expiry_s):
                session.will_due_ms = self.now_ms + session.will.delay_s * 1000

    def _publish_will(self, session: SessionModel) -> None:
        will = session.will
        session.will = None
        session.will_due_ms = 0
        if will is None:
            return
        message = Application(
            will.topic_name,
            will.payload,
            will.qos,
            will.retain,
            session.client_id,
            self._deadline(will.message_expiry_s),
        )
        if message.retain and not self._refuses_retained(message):
            self._retain(message)  # else there is nobody to refuse it to, and it must be published. [MQTT-3.1.2-8]
        self._route(message)

    def _end(self, session: SessionModel) -> None:
        """What it was owed of shared messages goes to other members; then its Will, which so never reaches itself."""
        del self.sessions[session.client_id]
        for topic_filter in session.subscriptions:
            self._forget_empty_group(topic_filter)
        for held in [*session.inflight, *session.released, *session.queue]:
            # QoS 2 that is being sent stays with the member it was chosen for. [MQTT-4.8.2-5]
            is_mine = held.awaits in (AWAITS_PUBREC, AWAITS_PUBCOMP)
            if held.shared and not is_mine:
                self._give_again(held.message, held.shared)
            else:
                self.dropped.append("session_ended")
        self._publish_will(session)

    def _give_again(self, message: Application, topic_filter: str) -> None:
        """To another member, whoever had it first. 4.8.2"""
        if self._members(topic_filter) and not self._is_expired(message):
            self._deliver_shared(message, topic_filter)
        else:
            self.dropped.append("session_ended")

    # Subscriptions.

    def _subscribe(self, session: SessionModel, command: SubscribeSession) -> ModelResult:
        codes: list[int] = []
        retained: list[Delivery] = []
        for options in command.subscriptions:
            is_new = options.topic_filter not in session.subscriptions
            if is_new and len(session.subscriptions) >= self.policy.subscriptions_max:
                codes.append(QUOTA_EXCEEDED)
                continue
            codes.append(options.qos)
            subscribed = Subscribed(options, command.subscription_id)
            session.subscriptions[options.topic_filter] = subscribed  # replaces. [MQTT-3.8.4-3]
            if is_shared(options.topic_filter):
                continue  # no retained messages for a Shared Subscription. 4.8.2
            # [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]
            if options.retain_handling == 0 or (options.retain_handling == 1 and is_new):
                self._deliver_retained(session, subscribed, retained)
        self._send_what_fits(session)
        return ("subscribed", codes, retained)

    def _deliver_retained(self, session: SessionModel, subscribed: Subscribed, out: list[Delivery]) -> None:
        options = subscribed.options
        for topic_name in sorted(self.retained):
            message = self.retained[topic_name]
            if not matches(options.topic_filter, topic_name) or self._is_expired(message):
                continue
            if options.no_local and message.publisher == session.client_id:
                continue  # [MQTT-3.8.3-3]
            qos = min(message.qos, options.qos)
            if session.is_ephemeral or qos == 0:
                out.append((session.client_id, topic_name, message.payload, qos, True, subscribed.ids()))
            else:
                session.queue.append(Held(message, qos, True, subscribed.ids(), ""))

    def _unsubscribe(self, session: SessionModel, topic_filter: str) -> int:
        if topic_filter not in session.subscriptions:
            return NO_SUBSCRIPTION_EXISTED
        del session.subscriptions[topic_filter]
        self._forget_empty_group(topic_filter)
        return 0

    def _forget_empty_group(self, topic_filter: str) -> None:
        if not self._members(topic_filter):
            self.last_chosen.pop(topic_filter, None)

    # Messages arrive.

    def _publish_command(self, session: SessionModel, command: PublishMessage) -> ModelResult:
        given = command.message
        if command.packet_id in session.received:
            return 0  # the same message again: PUBREC again, and nothing else. [MQTT-4.3.3-10]
        deadline_ms = self._deadline(given.message_expiry_s)
        message = Application(given.topic_name, given.payload, given.qos, given.retain, session.client_id, deadline_ms)
        if message.retain:
            refused = self._refuses_retained(message)
            if refused:
                return ("refused", refused)
            self._retain(message)
        if command.packet_id and not session.is_ephemeral:
            session.received.append(command.packet_id)
        return 0 if self._route(message) else NO_MATCHING_SUBSCRIBERS

    def _refuses_retained(self, message: Application) -> str:
        if not message.payload:
            return ""
        others = [kept for name, kept in self.retained.items() if name != message.topic_name]
        is_new = message.topic_name not in self.retained
        if is_new and len(others) + 1 > self.policy.retained_messages_max:
            return "retained_messages_max"
        if sum(kept.size() for kept in others) + message.size() > self.policy.retained_bytes_max:
            return "retained_bytes_max"
        return ""

    def _retain(self, message: Application) -> None:
        self.retained.pop(message.topic_name, None)
        if message.payload:  # [MQTT-3.3.1-6]
            self.retained[message.topic_name] = message

    def _route(self, message: Application) -> bool:
        """One copy for each session that wants it, one for each shared group. False if nobody wants it."""
        is_wanted = False
        groups: list[str] = []
        for client_id in sorted(self.sessions):
            session = self.sessions[client_id]
            wanting: list[Subscribed] = []
            for topic_filter, subscribed in session.subscriptions.items():
                if not matches(filter_of(topic_filter), message.topic_name):
                    continue
                if is_shared(topic_filter):
                    groups.append(topic_filter)
                elif not (subscribed.options.no_local and message.publisher == client_id):
                    wanting.append(subscribed)
            if wanting:
                is_wanted = True
                self._deliver(session, message, wanting, "")
        for topic_filter in sorted(dict.fromkeys(groups)):
            is_wanted = True
            self._deliver_shared(message, topic_filter)
        return is_wanted

    # Messages leave.

    def _deliver(self, session: SessionModel, message: Application, wanting: list[Subscribed], shared: str) -> None:
        # The maximum QoS of all matching subscriptions, and all their identifiers. [MQTT-3.3.4-2], [MQTT-3.3.4-3]
        qos = min(message.qos, max(subscribed.options.qos for subscribed in wanting))
        ids = tuple(sorted(number for subscribed in wanting for number in subscribed.ids()))
        retain = message.retain and any(subscribed.options.retain_as_published for subscribed in wanting)
        held = Held(message, qos, retain, ids, shared)
        if session.is_ephemeral:
            if session.conn_epoch:
                copy = (session.client_id, message.topic_name, message.payload, qos, retain, ids)
                self._effects.deliveries.append((message, copy))
        elif qos == 0:
            if session.conn_epoch:
                self._send_publish(session, held, False)
            else:
                self.dropped.append("qos0_offline")
        else:
            full = self._full(session, message)
            if full:
                self.dropped.append(full)
                return
            is_first = not session.queue
            session.queue.append(held)
            self._send_what_fits(session, held if is_first else None)

    def _full(self, session: SessionModel, message: Application) -> str:
        held = session.held()
        if len(held) + 1 > self.policy.queue_messages_max:
            return "queue_messages_max"
        if sum(one.message.size() for one in held) + message.size() > self.policy.queue_bytes_max:
            return "queue_bytes_max"
        return ""

    def _members(self, topic_filter: str) -> list[str]:
        return [
            client_id for client_id in sorted(self.sessions) if topic_filter in self.sessions[client_id].subscriptions
        ]

    def _deliver_shared(self, message: Application, topic_filter: str) -> None:
        members = self._members(topic_filter)
        last = self.last_chosen.get(topic_filter, "")
        turn = [client_id for client_id in members if client_id > last]
        turn += [client_id for client_id in members if client_id <= last]
        online = [client_id for client_id in turn if self.sessions[client_id].conn_epoch]
        offline = [client_id for client_id in turn if client_id not in online]
        for client_id in self._by_strategy(message, online) + self._by_strategy(message, offline):
            session = self.sessions[client_id]
            subscribed = session.subscriptions[topic_filter]
            qos = min(message.qos, subscribed.options.qos)
            if session.is_ephemeral or qos == 0:
                may_take = session.conn_epoch != 0
            else:
                may_take = self._full(session, message) == ""
            if may_take:
                self.last_chosen[topic_filter] = client_id
                self._deliver(session, message, [subscribed], topic_filter)
                return
        self.dropped.append("shared_group_empty")

    def _by_strategy(self, message: Application, turn: list[str]) -> list[str]:
        """Whom to ask first, of members in the order of their turns."""
        if self.policy.shared_strategy == HASH_TOPIC:
            return in_order_of_ring(message.topic_name, turn)
        if self.policy.shared_strategy == LEAST_INFLIGHT:
            return sorted(turn, key=self._owed)
        return turn

    def _owed(self, client_id: str) -> int:
        """What is known of a member: of an ephemeral one, whether it is behind."""
        session = self.sessions[client_id]
        if session.is_ephemeral:
            return _BOUNDLESS if session.is_behind else 0
        return len(session.held())

    def _send_what_fits(self, session: SessionModel, fresh: Held | None = None) -> None:
        """Into the window go first the messages in flight that this connection has not seen, then the queue.

        Onward delivery of the `fresh` one can begin at once, so that even an interval of 0 has not passed.
        """
        while session.conn_epoch and session.window_used() < session.receive_maximum:  # [MQTT-3.3.4-9]
            unsent = [held for held in session.inflight if not held.is_sent]
            if unsent:
                unsent[0].is_sent = True
                self._send_publish(session, unsent[0], True)  # [MQTT-3.3.1-1], [MQTT-4.6.0-1]
            elif session.queue:
                held = session.queue.pop(0)
                if held is not fresh and self._is_expired(held.message):
                    self.dropped.append("message_expired")  # [MQTT-3.3.2-5]
                    continue
                held.packet_id = self._next_packet_id(session)
                held.awaits = AWAITS_PUBACK if held.qos == 1 else AWAITS_PUBREC
                held.is_sent = True
                session.inflight.append(held)
                self._send_publish(session, held, False)
            else:
                return

    def _next_packet_id(self, session: SessionModel) -> int:
        used = [held.packet_id for held in session.inflight + session.released]
        packet_id = session.last_packet_id
        while True:  # the window is far smaller than the range
            packet_id = packet_id % _PACKET_ID_MAX + 1
            if packet_id not in used:
                session.last_packet_id = packet_id
                return packet_id

    def _send_publish(self, session: SessionModel, held: Held, dup: bool) -> None:
        message = held.message
        head = ("publish", session.client_id, session.conn_epoch, session.edge, session.conn_id)
        body = (message.topic_name, message.payload, held.qos, held.packet_id, dup, held.retain, held.ids)
        self._effects.sends.append((*head, *body, message.deadline_ms))

    def _send_pubrel(self, session: SessionModel, held: Held) -> None:
        self._effects.sends.append(
            ("pubrel", session.client_id, session.conn_epoch, session.edge, session.conn_id, held.packet_id)
        )

    # Acknowledgements.

    def _acknowledge(self, session: SessionModel, command: AcknowledgeDelivery) -> int:
        found = [held for held in session.inflight + session.released if held.packet_id == command.packet_id]
        if not found:
            return UNKNOWN_PACKET_ID
        held = found[0]
        if command.step == ON_PUBACK:
            if held.awaits != AWAITS_PUBACK:
                return UNKNOWN_PACKET_ID
        elif command.step == ON_PUBREC:
            if held.awaits == AWAITS_PUBACK:
                return UNKNOWN_PACKET_ID
            if command.reason_code < 0x80:
                if held.awaits == AWAITS_PUBREC:
                    held.awaits = AWAITS_PUBCOMP
                    session.inflight.remove(held)
                    session.released.append(held)
                self._send_pubrel(session, held)
                return 0
        elif held.awaits != AWAITS_PUBCOMP:
            return UNKNOWN_PACKET_ID
        self._finish(session, held)
        return 0

    def _drop_delivery(self, session: SessionModel, command: DropDelivery) -> int:
        found = [held for held in session.inflight if held.packet_id == command.packet_id]
        if not found:
            return UNKNOWN_PACKET_ID
        self.dropped.append(str(command.cause))
        self._finish(session, found[0])
        return 0

    def _finish(self, session: SessionModel, held: Held) -> None:
        """The exchange is over: its Packet Identifier is free, and there is room for another."""
        if held in session.inflight:
            session.inflight.remove(held)
        else:
            session.released.remove(held)
        self._send_what_fits(session)


def _finite(expiry_s: int) -> int:
    return _BOUNDLESS if expiry_s == NEVER_S else expiry_s
