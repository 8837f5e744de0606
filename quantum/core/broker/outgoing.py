"""What a replicated session is owed: how a copy is queued, sent with a Packet Identifier, acknowledged, and let go.

Every copy that enters here was counted as created and leaves as delivered, expired or dropped. The session's bucket is
announced to the cutter before the first change. Source: MQTT 5.0 §4.3, §4.4, §4.9.
"""

from typing import Final

from quantum.core.broker.commands import ON_PUBACK, ON_PUBREC, AcknowledgeDelivery, DropDelivery
from quantum.core.broker.effects import Effects, Refused, Result, SendPublish, SendPubrel
from quantum.core.broker.expiry import AT_ONCE_MS, SEND_MORE
from quantum.core.broker.inflight import RELEASED
from quantum.core.broker.message import Message
from quantum.core.broker.partition import Partition
from quantum.core.broker.queue import Copy, size_of
from quantum.core.broker.retained_run import RetainedRun
from quantum.core.broker.session import Session
from quantum.core.causes import (
    CLIENT_REFUSED,
    QOS0_OFFLINE,
    QUEUE_BYTES_MAX,
    QUEUE_MESSAGES_MAX,
    SESSION_ENDED,
    STALE_EPOCH,
    Cause,
)

UNKNOWN: Final = 0x92  # Packet Identifier not found
SEND_STEPS: Final = 1024  # copies sent or dropped with one entry, but for one for each that is acknowledged


def queue_limit(partition: Partition, session: Session, message: Message) -> Cause | None:
    """Which limit one more message in the session's queue would break."""
    if session.held_count() >= partition.policy.queue_messages_max:
        return QUEUE_MESSAGES_MAX
    if session.held_bytes + size_of(message) > partition.policy.queue_bytes_max:
        return QUEUE_BYTES_MAX
    return None


def offer(
    partition: Partition,
    effects: Effects,
    session: Session,
    message: Message,
    *,
    qos: int,
    retain: bool,
    subscription_ids: tuple[int, ...],
    shared_filter: str,
) -> None:
    """A created copy finds its place: sent, queued, or dropped because of a limit of the session."""
    if qos == 0:
        _offer_qos_0(partition, effects, session, message, retain, subscription_ids)
        return
    cause = queue_limit(partition, session, message)
    if cause is not None:
        partition.accounting.drop(cause.number)
        return
    hold(partition, effects, session, Copy(message, qos, retain, subscription_ids, shared_filter))


def hold(partition: Partition, effects: Effects, session: Session, copy: Copy) -> None:
    """Queue a copy whatever the limits say, and send what may be sent."""
    assert not session.is_ephemeral
    partition.before_change(session)
    accounting = partition.accounting
    accounting.held_bytes += copy.size
    session.held_bytes += copy.size
    if session.conn_epoch and session.queue.is_empty() and _has_window(session) and not session.inflight.owed_count:
        accounting.in_flight += 1
        _send_new(partition, effects, session, copy)
        return
    accounting.queued += 1
    session.queue.append(copy)


def hold_run(partition: Partition, effects: Effects, session: Session, run: RetainedRun) -> None:
    """Queue retained messages of QoS 1 and 2, whatever the limits say: they are read as the window opens."""
    assert not session.is_ephemeral
    partition.before_change(session)
    _create(partition, session, run.rest())
    session.queue.append_run(run)
    send_waiting(partition, effects, session)


def resend(partition: Partition, effects: Effects, session: Session) -> None:
    """A connection resumed the session: its open exchanges in their order, then what waits [MQTT-4.4.0-1]. What is more
    than one entry may send follows with the next ones.

    PUBREL is always sent; a PUBLISH needs room in the Receive Maximum of this connection, which may be smaller than the
    last one's, and follows later if there is none [MQTT-3.3.4-9].
    """
    inflight = session.inflight
    inflight.owe_again()
    window = session.receive_maximum - inflight.outstanding()
    released = list(inflight.released)
    next_released = 0
    for packet_id, copy in inflight.copies.items():
        if copy.state == RELEASED:
            effects.sends.append(_pubrel(session, released[next_released]))  # in PUBREC's order [MQTT-4.6.0-4]
            next_released += 1
        elif window > 0 and partition.sends_left > 0:
            window -= 1
            partition.sends_left -= 1
            taken = inflight.take_owed()
            assert taken == packet_id
            effects.sends.append(_publish(partition, session, packet_id, copy, dup=True))
    send_waiting(partition, effects, session)


def send_waiting(partition: Partition, effects: Effects, session: Session) -> None:
    """Send what the window and the entry allow: first what is owed from an earlier connection, then the queue."""
    inflight = session.inflight
    accounting = partition.accounting
    queue = session.queue
    while session.conn_epoch and _has_window(session) and partition.sends_left > 0:
        partition.sends_left -= 1
        packet_id = inflight.take_owed()
        if packet_id:
            effects.sends.append(_publish(partition, session, packet_id, inflight.copies[packet_id], dup=True))
            continue
        run = queue.unread()
        if run is not None:
            if partition.reads_left <= 0:
                break
            messages = partition.read_retained(run.cursor)
            _create(partition, session, messages)
            queue.on_read(messages)
            continue
        if queue.is_empty():
            break
        copy = queue.pop_first()
        accounting.queued -= 1
        if is_expired(copy.message, partition.stamp_ms):
            # Only before the first sending: an exchange that began is finished [MQTT-3.3.2-5].
            accounting.expired += 1
            _let_go(partition, session, copy)
            continue
        accounting.in_flight += 1
        _send_new(partition, effects, session, copy)
    _wait_or_not(partition, session)


def is_waiting(session: Session) -> bool:
    """The session could be sent more, if more were read from the store, or if an entry might send more."""
    has_more = session.inflight.owed_count > 0 or not session.queue.is_empty()
    return has_more and session.conn_epoch != 0 and _has_window(session)


def acknowledge(partition: Partition, effects: Effects, command: AcknowledgeDelivery) -> Result:
    """PUBACK, PUBREC or PUBCOMP of the receiver. 0x92 when no such step is open."""
    session = partition.sessions.get(command.client_id)
    if session is None or session.conn_epoch != command.conn_epoch or command.conn_epoch == 0:
        return Refused(STALE_EPOCH)
    packet_id = command.packet_id
    copy = session.inflight.copies.get(packet_id)
    if copy is None:
        return UNKNOWN
    partition.before_change(session)
    is_error = command.reason_code >= 0x80
    if command.step == ON_PUBREC:
        if copy.qos != 2:
            return UNKNOWN
        if not is_error:
            session.inflight.release(packet_id)
            effects.sends.append(_pubrel(session, packet_id))  # for a repeated PUBREC too [MQTT-4.3.3-4]
            _wait_or_not(partition, session)  # It may have been owed, and takes room in the window from here on.
            return 0
    elif command.step == ON_PUBACK:
        if copy.qos != 1:
            return UNKNOWN
    elif copy.state != RELEASED:
        return UNKNOWN
    else:
        is_error = False  # PUBCOMP ends the exchange whatever it says: the receiver has had the message since PUBREC.
    _end_exchange(partition, session, packet_id, copy)
    if is_error:
        partition.accounting.drop(CLIENT_REFUSED.number)
    else:
        partition.accounting.delivered += 1
    send_waiting(partition, effects, session)
    return 0


def drop_delivery(partition: Partition, effects: Effects, command: DropDelivery) -> Result:
    """The edge could not send a message: its exchange ends with the cause the edge gives."""
    session = partition.sessions.get(command.client_id)
    if session is None or session.conn_epoch != command.conn_epoch or command.conn_epoch == 0:
        return Refused(STALE_EPOCH)
    copy = session.inflight.copies.get(command.packet_id)
    if copy is None or copy.state == RELEASED:  # PUBREL is unacknowledged until PUBCOMP [MQTT-4.3.3-5]
        return UNKNOWN
    partition.before_change(session)
    _end_exchange(partition, session, command.packet_id, copy)
    partition.accounting.drop(command.cause)
    send_waiting(partition, effects, session)
    return 0


def drop_all(partition: Partition, session: Session) -> list[Copy]:
    """The session ends: drop what it was owed, and return what another member of a shared group is given instead.

    That is what was never sent, and QoS 1 that was never acknowledged (4.8.2); QoS 2 that is being sent stays with the
    member it was chosen for, and is lost with it [MQTT-4.8.2-5]. The copies returned are in no column of the ledger
    until the caller finds one for them.
    """
    accounting = partition.accounting
    orphans: list[Copy] = []
    for copy in session.inflight.copies.values():
        accounting.in_flight -= 1
        _let_go(partition, session, copy)
        if copy.shared_filter and copy.qos == 1:
            orphans.append(copy)
        else:
            accounting.drop(SESSION_ENDED.number)
    session.inflight.copies.clear()
    session.inflight.released.clear()
    for copy in session.queue.take_all():
        accounting.queued -= 1
        _let_go(partition, session, copy)
        if copy.shared_filter:
            orphans.append(copy)
        else:
            accounting.drop(SESSION_ENDED.number)
    assert session.held_bytes == 0
    return orphans


def is_expired(message: Message, stamp_ms: int) -> bool:
    """Whether the Message Expiry Interval has passed."""
    return message.deadline_ms != 0 and message.deadline_ms <= stamp_ms


def _offer_qos_0(
    partition: Partition,
    effects: Effects,
    session: Session,
    message: Message,
    retain: bool,
    subscription_ids: tuple[int, ...],
) -> None:
    if not session.conn_epoch:
        partition.accounting.drop(QOS0_OFFLINE.number)
        return
    partition.accounting.delivered += 1
    effects.sends.append(
        SendPublish(
            session.client_id,
            session.conn_epoch,
            session.edge,
            session.conn_id,
            message,
            0,
            0,
            False,
            retain,
            subscription_ids,
            partition.stamp_ms,
        )
    )


def _has_window(session: Session) -> bool:
    return session.inflight.outstanding() < session.receive_maximum


def _wait_or_not(partition: Partition, session: Session) -> None:
    if is_waiting(session):
        partition.readers.set(SEND_MORE, session.client_id, AT_ONCE_MS)
    elif len(partition.readers):
        partition.readers.withdraw(SEND_MORE, session.client_id)


def _send_new(partition: Partition, effects: Effects, session: Session, copy: Copy) -> None:
    packet_id = session.inflight.add(copy)
    effects.sends.append(_publish(partition, session, packet_id, copy, dup=False))


def _create(partition: Partition, session: Session, messages: list[Message]) -> None:
    """A copy of each of these retained messages waits for the session."""
    accounting = partition.accounting
    size = sum([size_of(message) for message in messages])
    accounting.created += len(messages)
    accounting.queued += len(messages)
    accounting.held_bytes += size
    session.held_bytes += size


def _end_exchange(partition: Partition, session: Session, packet_id: int, copy: Copy) -> None:
    session.inflight.remove(packet_id)
    partition.sends_left += 1  # The next one takes its place: a flow under way is bounded by its acknowledgements.
    partition.accounting.in_flight -= 1
    _let_go(partition, session, copy)


def _let_go(partition: Partition, session: Session, copy: Copy) -> None:
    session.held_bytes -= copy.size
    partition.accounting.held_bytes -= copy.size


def _publish(partition: Partition, session: Session, packet_id: int, copy: Copy, *, dup: bool) -> SendPublish:
    return SendPublish(
        session.client_id,
        session.conn_epoch,
        session.edge,
        session.conn_id,
        copy.message,
        copy.qos,
        packet_id,
        dup,
        copy.retain,
        copy.subscription_ids,
        partition.stamp_ms,
    )


def _pubrel(session: Session, packet_id: int) -> SendPubrel:
    return SendPubrel(session.client_id, session.conn_epoch, session.edge, session.conn_id, packet_id)
