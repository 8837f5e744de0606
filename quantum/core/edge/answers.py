"""From the results of an applied entry to the packets that answer for them: here the acknowledgements leave (law ACK)."""

from collections import deque
from typing import Final, final

from quantum.core.broker.commands import (
    CLOSED_NORMALLY,
    CLOSED_WITH_WILL,
    CloseSession,
    DropDelivery,
)
from quantum.core.broker.effects import (
    Effects,
    Refused,
    Result,
    SendPublish,
    SendPubrel,
    SessionOpened,
    Subscribed,
    Unsubscribed,
)
from quantum.core.causes import (
    CLIENT_PACKET_TOO_LARGE,
    RETAINED_BYTES_MAX,
    RETAINED_MESSAGES_MAX,
    STALE_EPOCH,
    SUBSCRIPTIONS_MAX,
    Cause,
)
from quantum.core.edge.admission import Admission, refuse
from quantum.core.edge.connections import CLOSED, OPEN, OPENING, EdgeConnection
from quantum.core.edge.fanout import PUMP_BYTES, PUMP_MESSAGE_BYTES, Fanout, encoded
from quantum.core.edge.inbound import Inbound
from quantum.core.edge.pending import (
    ACK_DELIVERY,
    ACK_PUBLISH,
    ACK_SUBSCRIBE,
    ACK_UNSUBSCRIBE,
    COMPLETE_PUBLISH,
    DECIDED_BY_LOG,
    END_SESSION,
    RECEIVE_PUBLISH,
    REFUSE_PUBLISH,
    RETAIN_PUBLISH,
    SLICE_SUBSCRIBE,
    SLICE_UNSUBSCRIBE,
    Batch,
    Waiter,
)
from quantum.core.flow import CauseLedger
from quantum.core.mqtt.connection import PACKET_BYTES_LIMIT
from quantum.core.mqtt.encode import PUBACK_HEAD, PUBREC_HEAD, PUBREL_HEAD
from quantum.core.mqtt.packets import NO_EXPIRY, Puback, Pubrec, Unsuback
from quantum.core.mqtt.properties import REASON_STRING
from quantum.core.mqtt.wire import U16

NO_MATCHING_SUBSCRIBERS: Final = 0x10


@final
class Answers:
    """Hands results to the connections that wait for them."""

    __slots__ = ("_admission", "_causes", "_fanout", "_inbound", "closing", "reading", "reading_on")

    def __init__(self, admission: Admission, fanout: Fanout, inbound: Inbound, causes: CauseLedger) -> None:
        self._admission = admission
        self._fanout = fanout
        self._inbound = inbound
        self._causes = causes
        self.closing: list[tuple[EdgeConnection, Cause]] = []  # refused here, to be closed by the edge
        self.reading_on: list[EdgeConnection] = []  # whose slices are all answered
        self.reading: list[EdgeConnection] = []  # opened here: what came behind CONNECT may be read

    def answer_batch(self, batch: Batch, effects: Effects) -> None:
        """The results of all commands of a batch, and the refusals between them, each in its turn."""
        results = effects.results
        if not batch.refused:
            for waiter, result in zip(batch.waiters, results, strict=True):
                if waiter is not None:
                    self.answer(waiter, result)
            return
        refused = iter(batch.refused)
        upcoming = next(refused, None)
        for at, result in enumerate(results):
            while upcoming is not None and upcoming[0] == at:
                self.refuse(upcoming[2], upcoming[1])
                upcoming = next(refused, None)
            waiter = batch.waiters[at]
            if waiter is not None:
                self.answer(waiter, result)
        while upcoming is not None:
            self.refuse(upcoming[2], upcoming[1])
            upcoming = next(refused, None)

    def answer(self, waiter: Waiter, result: Result) -> None:
        """One result for one connection. A closed connection hears nothing, but its counters are kept right."""
        connection = waiter.connection
        then = waiter.then
        if then == ACK_PUBLISH:
            connection.publishes_open -= 1
            self._inbound.on_publish_answered(connection)
            if connection.state != OPEN:
                return
            # 0x10 is worth its two bytes to nobody who did not ask; success keeps the packet at four bytes.
            if result.__class__ is int:
                connection.out.append(PUBACK_HEAD + U16[waiter.packet_id])
                self._fanout.mark(connection)
            else:
                assert isinstance(result, Refused)
                self._refuse_publish(connection, waiter.packet_id, result.cause, False)
        elif then == RECEIVE_PUBLISH:
            self._on_received(connection, waiter.packet_id, result)
        elif then == RETAIN_PUBLISH:
            connection.retains_open -= 1
            self._fanout.relay.fence()
            if isinstance(result, Refused):
                self._causes.note(result.cause, connection.client_id, "retained message at QoS 0")
        elif then == END_SESSION:
            self._fanout.orphans.on_left(connection.conn_epoch)
        elif isinstance(result, SessionOpened):
            self._on_opened(connection, result)
        elif connection.state == OPENING:
            assert isinstance(result, Refused)
            refuse(connection, result.cause, result.cause.text)
            self._fanout.mark(connection)
            self.closing.append((connection, result.cause))
        else:
            self._inbound.slices.on_answered(waiter)
            if connection.state == OPEN:
                self._answer_rest(connection, waiter, result)

    def refuse(self, waiter: Waiter, cause: Cause) -> None:
        """A PUBLISH the edge refused, in its turn."""
        connection = waiter.connection
        is_qos2 = waiter.then != REFUSE_PUBLISH
        connection.publishes_open -= 1
        self._inbound.on_publish_answered(connection)
        owed = self._take_received(connection, waiter.packet_id) if is_qos2 else 1
        if connection.state == OPEN:
            for _ in range(owed):
                self._refuse_publish(connection, waiter.packet_id, cause, is_qos2)

    def _answer_rest(self, connection: EdgeConnection, waiter: Waiter, result: Result) -> None:
        then = waiter.then
        if isinstance(result, Refused):
            self._causes.note(result.cause, connection.client_id, "command refused")
            if result.cause is STALE_EPOCH:
                return  # CloseConnection tells the connection what happened to its session
        if then == COMPLETE_PUBLISH:
            self._inbound.answer_pubrel(connection, waiter.packet_id, result == 0)
        elif then == ACK_DELIVERY:
            if result == 0x92:
                self._inbound.answer_unknown_pubrec(connection, waiter.packet_id)
        elif then in (ACK_SUBSCRIBE, SLICE_SUBSCRIBE):
            assert isinstance(result, Subscribed)
            assert waiter.reason_codes is not None
            decided = iter(result.reason_codes)
            codes = [next(decided) if code == DECIDED_BY_LOG else code for code in waiter.reason_codes]
            if SUBSCRIPTIONS_MAX.reason_code in result.reason_codes:
                self._causes.note(SUBSCRIPTIONS_MAX, connection.client_id, f"SUBSCRIBE {waiter.packet_id}")
            if then == ACK_SUBSCRIBE:
                codes = self._inbound.slices.all_codes(waiter, codes)
                reason = waiter.reason
                if not reason and SUBSCRIPTIONS_MAX.reason_code in codes:
                    reason = f"{SUBSCRIPTIONS_MAX.id}: {SUBSCRIPTIONS_MAX.text}"
                self._inbound.answer_subscribe(connection, waiter.packet_id, codes, reason)
                self._read_on(connection)
            else:
                self._inbound.slices.keep_codes(waiter, codes)
            for run in result.retained:
                self._fanout.deliver_retained(connection, run)
        else:
            assert isinstance(result, Unsubscribed)
            if then == SLICE_UNSUBSCRIBE:
                self._inbound.slices.keep_codes(waiter, result.reason_codes)
                return
            assert then == ACK_UNSUBSCRIBE
            codes = self._inbound.slices.all_codes(waiter, result.reason_codes)
            connection.wire.send(Unsuback(waiter.packet_id, codes if connection.wire.is_v5 else []))
            self._fanout.mark(connection)
            self._read_on(connection)

    def _read_on(self, connection: EdgeConnection) -> None:
        if connection.is_reading_held and not (connection.is_read_next or self._inbound.slices.holds(connection)):
            self.reading_on.append(connection)

    def _on_received(self, connection: EdgeConnection, packet_id: int, result: Result) -> None:
        self._inbound.on_publish_answered(connection)
        if isinstance(result, Refused):
            connection.publishes_open -= 1
            owed = self._take_received(connection, packet_id)
            if connection.state == OPEN:
                for _ in range(owed):
                    self._refuse_publish(connection, packet_id, result.cause, True)
            return
        received = connection.received
        assert received is not None
        if connection.state == OPEN:
            owed = 1
            if packet_id in received:
                owed = received[packet_id]
                received[packet_id] = 0
            connection.out.append((PUBREC_HEAD + U16[packet_id]) * owed)
            self._fanout.mark(connection)

    def _take_received(self, connection: EdgeConnection, packet_id: int) -> int:
        """Forget the Packet Identifier; how many PUBREC packets are owed for it."""
        if connection.received is None:
            return 1
        return max(1, connection.received.pop(packet_id, 1))

    def _refuse_publish(self, connection: EdgeConnection, packet_id: int, cause: Cause, is_qos2: bool) -> None:
        """v5.0 says why; 3.x has no way to. What a client may not publish is acknowledged, and the cause stands in /why:
        v3.1.1 [MQTT-3.3.5-2]. What only finds no room now ends its connection: v3.1.1 [MQTT-4.8.0-2]."""
        if cause is STALE_EPOCH:
            return
        wire = connection.wire
        if wire.is_v5:
            reason = {REASON_STRING: f"{cause.id}: {cause.text}"}
            code = cause.reason_code if cause.reason_code >= 0x80 else 0x80
            wire.send(Pubrec(packet_id, code, {**reason}) if is_qos2 else Puback(packet_id, code, {**reason}))
        elif cause is RETAINED_MESSAGES_MAX or cause is RETAINED_BYTES_MAX:
            # It was not taken: acknowledged it would be lost without a word. The client keeps it for its next connection.
            self.closing.append((connection, cause))
            return
        else:
            connection.out.append((PUBREC_HEAD if is_qos2 else PUBACK_HEAD) + U16[packet_id])
        self._fanout.mark(connection)

    # -- sessions -------------------------------------------------------------------------------------------------

    def _on_opened(self, connection: EdgeConnection, opened: SessionOpened) -> None:
        connection.conn_epoch = opened.conn_epoch
        connection.is_ephemeral = opened.is_ephemeral
        connection.left_index = opened.left_index
        packet = connection.connect
        if connection.state == CLOSED:
            # The client went while its session was being opened; a takeover has already ended it in the log.
            if connection.end_cause is None or connection.will_on_close:
                self._inbound.batch.add(
                    CloseSession(connection.client_id, opened.conn_epoch, CLOSED_WITH_WILL),
                    None,
                )
            return
        assert packet is not None
        connection.state = OPEN
        connection.connect = None
        connection.wire.send(self._admission.accept(connection, packet, opened.session_present))
        self._fanout.open(connection)
        self._fanout.mark(connection)
        self.reading.append(connection)

    def end_session(self, connection: EdgeConnection, expiry_s: int) -> None:
        """The connection of an open session ended: tell the log."""
        how = CLOSED_WITH_WILL if connection.will_on_close else CLOSED_NORMALLY
        waiter: Waiter | None = None
        if connection.is_ephemeral:
            waiter = Waiter(connection, END_SESSION, 0)
            self._fanout.orphans.on_leaving(connection.conn_epoch)
        self._inbound.batch.add(CloseSession(connection.client_id, connection.conn_epoch, how, expiry_s), waiter)

    # -- replicated sessions --------------------------------------------------------------------------------------

    def send(self, connection: EdgeConnection, send: SendPublish | SendPubrel) -> None:
        """A packet that the log owes to the connection; held back while the transport is blocked or others wait."""
        if isinstance(send, SendPublish) and not send.qos:
            self._fanout.deliver_at_qos0(connection, send.message, send.retain, send.subscription_ids)
            return
        queue = connection.queue
        if connection.is_blocked or connection.held_sends or (queue is not None and queue.waiting):
            if connection.held_sends is None:
                connection.held_sends = deque()
            connection.held_sends.append(send)
        else:
            self._write(connection, send)
        self._fanout.mark(connection)

    def send_waiting(self, connection: EdgeConnection) -> bool:
        """Send what waits, and then what was held back behind it; True when some is left for the next turn."""
        queue = connection.queue
        if queue is not None and queue.waiting and self._fanout.pump(connection):
            return True
        held = connection.held_sends
        if not held or connection.is_blocked:
            return False
        budget = PUMP_BYTES
        while held and budget > 0:
            send = held.popleft()
            if isinstance(send, SendPublish):
                budget -= len(send.message.payload)
            budget -= PUMP_MESSAGE_BYTES
            self._write(connection, send)
        if held:
            return True
        connection.held_sends = None
        return False

    def _write(self, connection: EdgeConnection, send: SendPublish | SendPubrel) -> None:
        if isinstance(send, SendPubrel):
            connection.out.append(PUBREL_HEAD + U16[send.packet_id])
            return
        self._fanout.ledger.sent += 1
        message = send.message
        wire = connection.wire
        is_limited = wire.peer_packet_bytes_max != PACKET_BYTES_LIMIT or wire.peer_alias_max != 0
        has_expiry = message.deadline_ms != 0 and wire.is_v5
        if not send.dup and not send.subscription_ids and not is_limited and not has_expiry:
            head, tail = encoded(message, wire.is_v5, send.qos, send.retain)
            connection.out.append(head + U16[send.packet_id] + tail)
            return
        expiry_s = NO_EXPIRY
        if message.deadline_ms:
            # An exchange that began goes on when the time is over; it is never given more than it had. [MQTT-3.3.2-6]
            left_ms = message.deadline_ms - send.stamp_ms
            expiry_s = min(message.message_expiry_s, (left_ms + 999) // 1000) if left_ms > 0 else 0
        data = wire.encode_publish(
            message.topic_name,
            message.payload,
            send.qos,
            send.retain,
            send.dup,
            send.packet_id,
            message.properties,
            expiry_s,
            send.subscription_ids,
        )
        if data:
            connection.out.append(data)
        else:
            self._inbound.batch.add(
                DropDelivery(
                    connection.client_id, connection.conn_epoch, send.packet_id, CLIENT_PACKET_TOO_LARGE.number
                ),
                None,
            )
