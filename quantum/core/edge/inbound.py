"""From the packets of an open connection to commands for the log, and to what needs no log.

What is decided here ends with the connection; what must survive it becomes a command and is answered by `answers.py`
when its entry is applied. A broken rule raises MqttError; the edge catches it, answers and closes.
"""

from dataclasses import replace
from typing import final

from quantum.core.broker.commands import (
    ON_PUBACK,
    ON_PUBCOMP,
    ON_PUBREC,
    AcknowledgeDelivery,
    PublishMessage,
    ReleaseMessage,
    SubscribeSession,
    UnsubscribeSession,
)
from quantum.core.broker.message import Message
from quantum.core.causes import (
    CLIENT_REFUSED,
    PAYLOAD_FORMAT_INVALID,
    SHARED_NOT_SUPPORTED,
    TOPIC_LEVELS_MAX,
    UNKNOWN_PACKET_ID,
    WILDCARD_NOT_SUPPORTED,
    Cause,
)
from quantum.core.edge.admission import name_refusal
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.connections import EdgeConnection
from quantum.core.edge.fanout import Fanout
from quantum.core.edge.pending import (
    ACK_DELIVERY,
    ACK_PUBLISH,
    ACK_SUBSCRIBE,
    ACK_UNSUBSCRIBE,
    COMPLETE_PUBLISH,
    DECIDED_BY_LOG,
    RECEIVE_PUBLISH,
    REFUSE_PUBLISH,
    RETAIN_PUBLISH,
    SLICE_SUBSCRIBE,
    SLICE_UNSUBSCRIBE,
    Batch,
    Waiter,
)
from quantum.core.edge.reading import BY_WINDOW, Reading
from quantum.core.edge.slices import Slices, subscription_id_of
from quantum.core.edge.sys_topics import SysTopics
from quantum.core.flow import CauseLedger
from quantum.core.mqtt.connection import PublishRun
from quantum.core.mqtt.encode import PUBCOMP_HEAD, PUBREC_HEAD, PUBREL_HEAD
from quantum.core.mqtt.errors import ProtocolError
from quantum.core.mqtt.packets import (
    PUBACK,
    PUBCOMP,
    PUBREC,
    PUBREL,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
)
from quantum.core.mqtt.properties import REASON_STRING
from quantum.core.mqtt.topics import has_wildcard, parse_shared
from quantum.core.mqtt.wire import U16


@final
class Inbound:
    """The packets a client may send once its session is open."""

    __slots__ = ("_causes", "_config", "_fanout", "_reading", "_sys_topics", "batch", "slices")

    def __init__(
        self,
        config: EdgeConfig,
        fanout: Fanout,
        reading: Reading,
        causes: CauseLedger,
        sys_topics: SysTopics | None,
    ) -> None:
        self._config = config
        self._fanout = fanout
        self._reading = reading
        self._causes = causes
        self._sys_topics = sys_topics
        self.batch = Batch()
        self.slices = Slices()

    # -- publishing -----------------------------------------------------------------------------------------------

    def on_publish_run(self, connection: EdgeConnection, run: PublishRun) -> None:
        """QoS 0 packets without RETAIN: forwarded at once, unless an older QoS 0 message is still on its way through
        the log, which they must not overtake (law ORDER)."""
        topic_name = run.topic_name
        cause: Cause | None = None
        if topic_name[0] == "$" or len(topic_name) >= self._config.topic_levels_max:
            cause = name_refusal(topic_name, self._config.topic_levels_max)
        if cause is not None:
            self._causes.note(cause, connection.client_id, topic_name)
        elif connection.retains_open:
            for payload in run.payloads():
                self._log_qos0(connection, Message(run.topic_name, payload, 0, False, client_id=connection.client_id))
        else:
            self._fanout.deliver_run(connection.client_id, connection.wire.is_v5, run)

    def on_publish(self, connection: EdgeConnection, packet: Publish) -> None:
        """A PUBLISH that is no plain QoS 0."""
        qos = packet.qos
        config = self._config
        if packet.subscription_ids:
            raise ProtocolError("PUBLISH from a client with a Subscription Identifier", "MQTT-3.3.4-6")
        if qos > config.qos_max:
            raise ProtocolError(f"PUBLISH with QoS {qos}, allowed {config.qos_max}", "MQTT-3.2.2-11", reason_code=0x9B)
        if packet.retain and not config.retain_available:
            raise ProtocolError("PUBLISH with RETAIN, not available", "MQTT-3.2.2-14", reason_code=0x9A)
        message = Message(
            packet.topic_name,
            packet.payload,
            qos,
            packet.retain,
            packet.properties,
            packet.message_expiry_s,
            connection.client_id,
        )
        cause: Cause | None = None
        topic_name = packet.topic_name
        if topic_name[0] == "$" or len(topic_name) >= config.topic_levels_max:
            cause = name_refusal(topic_name, config.topic_levels_max)
        if cause is None and packet.properties and not _is_payload_as_promised(packet):
            cause = PAYLOAD_FORMAT_INVALID
        if qos == 0:
            if cause is not None:
                self._causes.note(cause, connection.client_id, packet.topic_name)
            elif packet.retain or connection.retains_open:
                self._log_qos0(connection, message)
            else:
                if message.message_expiry_s >= 0:
                    message.deadline_ms = self._fanout.clock_ms + message.message_expiry_s * 1000
                self._fanout.deliver_qos0(message)
            return
        if qos == 2 and not self._is_new_qos2(connection, packet.packet_id):
            return
        connection.publishes_open += 1
        connection.publishes_unanswered += 1
        if connection.publishes_open > config.receive_maximum:
            self._on_window_full(connection)
        self._fanout.ledger.received += 1
        if cause is not None:
            self._refuse_publish(connection, packet, cause)
            return
        if qos == 1:
            self.batch.add(
                PublishMessage(connection.conn_epoch, 0, message), Waiter(connection, ACK_PUBLISH, packet.packet_id)
            )
            return
        logged_id = 0 if connection.is_ephemeral else packet.packet_id
        self.batch.add(
            PublishMessage(connection.conn_epoch, logged_id, message),
            Waiter(connection, RECEIVE_PUBLISH, packet.packet_id),
        )

    def _on_window_full(self, connection: EdgeConnection) -> None:
        """v5.0 clients were told the Receive Maximum; older ones are read again when half of it is answered.

        Only what the node answers by itself may pause a connection: waiting for a PUBREL from a client that is not read
        would last for ever.
        """
        if connection.wire.is_v5:
            raise ProtocolError(
                f"more than {self._config.receive_maximum} unacknowledged PUBLISH packets",
                "MQTT-3.3.4-9",
                reason_code=0x93,
            )
        if connection.publishes_unanswered > self._config.receive_maximum:
            self._reading.pause(connection, BY_WINDOW)

    def on_publish_answered(self, connection: EdgeConnection) -> None:
        """A QoS 1 or 2 PUBLISH has its PUBACK or PUBREC."""
        connection.publishes_unanswered -= 1
        if connection.paused_by and connection.publishes_unanswered <= self._config.receive_maximum >> 1:
            self._reading.resume(connection, BY_WINDOW)

    def _log_qos0(self, connection: EdgeConnection, message: Message) -> None:
        connection.retains_open += 1
        self._fanout.ledger.received += 1
        self.batch.add(PublishMessage(connection.conn_epoch, 0, message), Waiter(connection, RETAIN_PUBLISH, 0))

    def _is_new_qos2(self, connection: EdgeConnection, packet_id: int) -> bool:
        """Whether this Packet Identifier opens an exchange on this connection; a known one is answered again. 4.3.3"""
        received = connection.received
        if received is None:
            received = connection.received = {}
        owed = received.get(packet_id)
        if owed is None:
            received[packet_id] = 1
            return True
        if owed:
            received[packet_id] = owed + 1  # Each one is acknowledged [MQTT-4.3.3-10], when the first is in the log.
        else:
            connection.out.append(PUBREC_HEAD + U16[packet_id])
            self._fanout.mark(connection)
        return False

    def _refuse_publish(self, connection: EdgeConnection, packet: Publish, cause: Cause) -> None:
        """Refuse in turn: acknowledgements leave in the order of their PUBLISH packets. [MQTT-4.6.0-2]"""
        self._causes.note(cause, connection.client_id, packet.topic_name)
        then = REFUSE_PUBLISH if packet.qos == 1 else RECEIVE_PUBLISH
        self.batch.refuse(cause, Waiter(connection, then, packet.packet_id))

    # -- acknowledgements -----------------------------------------------------------------------------------------

    def on_ack_word(self, connection: EdgeConnection, word: int) -> None:
        """A successful acknowledgement without properties: `packet type << 16 | Packet Identifier`."""
        self._on_ack(connection, word >> 16, word & 0xFFFF, 0)

    def on_ack(self, connection: EdgeConnection, packet: Puback | Pubrec | Pubrel | Pubcomp) -> None:
        """Any other acknowledgement."""
        kind = PUBCOMP
        if isinstance(packet, Puback):
            kind = PUBACK
        elif isinstance(packet, Pubrec):
            kind = PUBREC
        elif isinstance(packet, Pubrel):
            kind = PUBREL
        self._on_ack(connection, kind, packet.packet_id, packet.reason_code)

    def _on_ack(self, connection: EdgeConnection, kind: int, packet_id: int, reason_code: int) -> None:
        if kind == PUBREL:
            self._on_pubrel(connection, packet_id)
        elif not connection.is_ephemeral:
            step = ON_PUBACK if kind == PUBACK else ON_PUBREC if kind == PUBREC else ON_PUBCOMP
            # A PUBREC that refuses has ended the exchange: no PUBREL may follow, known or not [MQTT-4.3.3-4].
            waiter = Waiter(connection, ACK_DELIVERY, packet_id) if kind == PUBREC and reason_code < 0x80 else None
            command = AcknowledgeDelivery(connection.client_id, connection.conn_epoch, packet_id, step, reason_code)
            self.batch.add(command, waiter)
        else:
            self._on_ephemeral_ack(connection, kind, packet_id, reason_code)

    def _on_ephemeral_ack(self, connection: EdgeConnection, kind: int, packet_id: int, reason_code: int) -> None:
        queue = connection.queue
        fanout = self._fanout
        is_refused = reason_code >= 0x80
        if kind == PUBREC:
            if queue is None or not queue.on_pubrec(packet_id, is_refused):
                if not is_refused:
                    self.answer_unknown_pubrec(connection, packet_id)
                return
            if not is_refused:
                connection.out.append(PUBREL_HEAD + U16[packet_id])
                fanout.mark(connection)
                return
        elif queue is None or not (queue.on_puback(packet_id) if kind == PUBACK else queue.on_pubcomp(packet_id)):
            return  # acknowledges nothing that is open: no answer is defined for it
        fanout.ledger.open -= 1
        if is_refused:
            fanout.ledger.drop(CLIENT_REFUSED, 1)
            self._causes.count(CLIENT_REFUSED, 1)
        else:
            fanout.ledger.delivered += 1
        if queue.waiting:
            fanout.mark(connection)
        elif queue.is_behind and queue.has_caught_up():
            fanout.tell_backlog(connection, queue)

    def _on_pubrel(self, connection: EdgeConnection, packet_id: int) -> None:
        received = connection.received
        was_received = received is not None and packet_id in received
        if was_received:
            assert received is not None
            del received[packet_id]
            connection.publishes_open -= 1
        if not connection.is_ephemeral:
            command = ReleaseMessage(connection.client_id, connection.conn_epoch, packet_id)
            self.batch.add(command, Waiter(connection, COMPLETE_PUBLISH, packet_id))
            return
        self.answer_pubrel(connection, packet_id, was_received)

    def answer_pubrel(self, connection: EdgeConnection, packet_id: int, was_known: bool) -> None:
        """PUBCOMP, with 0x92 where v5.0 has it. [MQTT-4.3.3-11]"""
        if was_known or not connection.wire.is_v5:
            connection.out.append(PUBCOMP_HEAD + U16[packet_id])
        else:
            self._causes.count(UNKNOWN_PACKET_ID, 1)
            connection.wire.send(Pubcomp(packet_id, UNKNOWN_PACKET_ID.reason_code))
        self._fanout.mark(connection)

    def answer_unknown_pubrec(self, connection: EdgeConnection, packet_id: int) -> None:
        """PUBREL all the same, so that the client can end the exchange. 4.3.3"""
        self._causes.count(UNKNOWN_PACKET_ID, 1)
        if connection.wire.is_v5:
            connection.wire.send(Pubrel(packet_id, UNKNOWN_PACKET_ID.reason_code))
        else:
            connection.out.append(PUBREL_HEAD + U16[packet_id])
        self._fanout.mark(connection)

    # -- subscribing ----------------------------------------------------------------------------------------------

    def on_subscribe(self, connection: EdgeConnection, packet: Subscribe) -> None:
        """What the edge refuses is decided here, the rest by the log. [MQTT-3.8.4-5]"""
        if self.slices.is_needed(connection, packet):
            self.slices.add(connection, packet)
            connection.is_reading_held = True  # Whoever asks for more than a turn can do does not pile up.
            return
        allowed, reason_codes, reason = self._decide(connection, packet.subscriptions)
        if not allowed:
            self.answer_subscribe(connection, packet.packet_id, reason_codes, reason)
            return
        self.batch.add(
            SubscribeSession(connection.client_id, connection.conn_epoch, allowed, subscription_id_of(packet)),
            Waiter(connection, ACK_SUBSCRIBE, packet.packet_id, reason_codes, reason),
        )

    def feed_slices(self) -> None:
        """Give the log the next slice of a long SUBSCRIBE or UNSUBSCRIBE, if none is under way."""
        sliced = self.slices.take_next()
        if sliced is None:
            return
        connection = sliced.connection
        packet = sliced.packets[0]
        client_id = connection.client_id
        if packet.is_subscribe:
            allowed, reason_codes, reason = self._decide(connection, packet.take_subscriptions())
            sliced.reason = sliced.reason or reason
            then = ACK_SUBSCRIBE if packet.is_done() else SLICE_SUBSCRIBE
            waiter = Waiter(connection, then, packet.packet_id, reason_codes, sliced.reason)
            self.batch.add(SubscribeSession(client_id, connection.conn_epoch, allowed, packet.subscription_id), waiter)
        else:
            topic_filters = packet.take_topic_filters()
            then = ACK_UNSUBSCRIBE if packet.is_done() else SLICE_UNSUBSCRIBE
            waiter = Waiter(connection, then, packet.packet_id)
            self.batch.add(UnsubscribeSession(client_id, connection.conn_epoch, topic_filters), waiter)
        self.slices.on_given(sliced, waiter)

    def _decide(
        self, connection: EdgeConnection, subscriptions: list[Subscription]
    ) -> tuple[list[Subscription], list[int], str]:
        """Filter by filter: those that are allowed, a reason code for each, and why the first refused one is refused."""
        allowed: list[Subscription] = []
        reason_codes: list[int] = []
        reason = ""
        for subscription in subscriptions:
            cause = self._subscription_refusal(subscription)
            if cause is None:
                if subscription.qos > self._config.qos_max:  # [MQTT-3.2.2-10]
                    subscription = replace(subscription, qos=self._config.qos_max)
                allowed.append(subscription)
                reason_codes.append(DECIDED_BY_LOG)
                if self._sys_topics is not None:
                    self._sys_topics.on_subscribe(subscription.topic_filter)
            else:
                self._causes.note(cause, connection.client_id, subscription.topic_filter)
                reason_codes.append(cause.reason_code)
                reason = reason or f"{cause.id}: {cause.text}"
        return allowed, reason_codes, reason

    def _subscription_refusal(self, subscription: Subscription) -> Cause | None:
        topic_filter = subscription.topic_filter
        shared = parse_shared(topic_filter)
        if shared is not None and not self._config.shared_available:
            return SHARED_NOT_SUPPORTED
        if not self._config.wildcard_available and has_wildcard(topic_filter):
            return WILDCARD_NOT_SUPPORTED
        levels = topic_filter if shared is None else shared[1]
        return TOPIC_LEVELS_MAX if levels.count("/") >= self._config.topic_levels_max else None

    def answer_subscribe(
        self, connection: EdgeConnection, packet_id: int, reason_codes: list[int], reason: str
    ) -> None:
        """SUBACK, with the reason of its first refusal; in 3.x every refusal is 0x80. [MQTT-3.8.4-6]"""
        connection.wire.send(Suback(packet_id, reason_codes, {REASON_STRING: reason} if reason else {}))
        self._fanout.mark(connection)

    def on_unsubscribe(self, connection: EdgeConnection, packet: Unsubscribe) -> None:
        """UNSUBSCRIBE is decided by the log."""
        if self.slices.is_needed(connection, packet):
            self.slices.add(connection, packet)
            connection.is_reading_held = True  # Whoever asks for more than a turn can do does not pile up.
            return
        self.batch.add(
            UnsubscribeSession(connection.client_id, connection.conn_epoch, packet.topic_filters),
            Waiter(connection, ACK_UNSUBSCRIBE, packet.packet_id),
        )


def _is_payload_as_promised(packet: Publish) -> bool:
    """3.3.2.3.2: Payload Format Indicator 1 promises UTF-8."""
    if not packet.has_text_payload():
        return True
    try:
        packet.payload.decode()
    except UnicodeDecodeError:
        return False
    return True
