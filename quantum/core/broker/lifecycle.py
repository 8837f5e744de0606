"""How sessions begin, are taken over, lose their connection, and end. Nothing else adds or removes a session.

The order of the end is: subscriptions, what was owed, then the will, so that a will never reaches the session it ends.
Source: MQTT 5.0 §3.1.2.4, §3.1.2.11.2, §3.1.4, §4.1.
"""

from quantum.core.broker.commands import (
    CLOSED_NORMALLY,
    HOUSEKEEPING,
    NEVER_S,
    CloseEdge,
    CloseSession,
    Entry,
    OpenEdge,
    OpenSession,
)
from quantum.core.broker.effects import CloseConnection, Effects, Refused, Result, SessionOpened
from quantum.core.broker.expiry import (
    AT_ONCE_MS,
    RETAINED_EXPIRY,
    SEND_MORE,
    SESSION_EXPIRY,
    WILL_DELAY,
    is_overdue,
)
from quantum.core.broker.outgoing import drop_all, resend, send_waiting
from quantum.core.broker.partition import Partition, session_bucket_of
from quantum.core.broker.publishing import forget_retained, give_again
from quantum.core.broker.session import Session
from quantum.core.broker.subscriptions import AT_ONCE_MAX, SWEEP_MAX
from quantum.core.broker.wills import delay_will, publish_will, remove_will
from quantum.core.causes import EDGE_STALE, EDGES_MAX, SESSION_TAKEN_OVER, SESSIONS_MAX, STALE_EPOCH


def open_session(partition: Partition, effects: Effects, edge: int, command: OpenSession) -> Result:
    """A CONNECT that `edge` let in: resume the session of this Client Identifier, or begin one."""
    if not partition.edges.is_open(edge):
        return Refused(EDGE_STALE)
    session = partition.sessions.get(command.client_id)
    if session is not None and is_overdue(session.ends_ms, partition.stamp_ms):
        _end(partition, effects, session)  # [MQTT-3.1.2-23]
        session = None
    if session is None and len(partition.sessions) >= partition.policy.sessions_max:
        return Refused(SESSIONS_MAX)
    partition.last_epoch += 1
    conn_epoch = partition.last_epoch
    left_index = 0
    if session is not None:
        left_index = effects.index if session.conn_epoch else session.left_index
        session = _take_over(partition, effects, session, command)
    session_present = session is not None
    if session is None:
        bucket = session_bucket_of(command.client_id)
        session = Session(command.client_id, conn_epoch, bucket, is_ephemeral=command.expiry_s == 0)
        partition.before_making(session)
        partition.add_session(session)
    _connect(partition, session, edge, command, conn_epoch)
    session.left_index = left_index
    if session_present:
        resend(partition, effects, session)
    return SessionOpened(session_present, session.session_epoch, conn_epoch, session.is_ephemeral, left_index)


def close_session(partition: Partition, effects: Effects, command: CloseSession) -> Result:
    """The connection ended, with or without DISCONNECT."""
    session = partition.sessions.get(command.client_id)
    if session is None or session.conn_epoch != command.conn_epoch or command.conn_epoch == 0:
        return Refused(STALE_EPOCH)
    partition.before_change(session)
    if command.expiry_s >= 0 and not session.is_ephemeral:
        session.expiry_s = command.expiry_s
    if command.how == CLOSED_NORMALLY:
        session.will = None  # [MQTT-3.14.4-3]
    _disconnect(partition, session)
    _wait_or_end(partition, effects, session)
    return 0


def open_edge(partition: Partition, effects: Effects, entry: Entry) -> Result:
    """An edge starts anew: what its earlier incarnation had connected lost its connection without a word."""
    command = entry.commands[0] if len(entry.commands) == 1 else None
    if not isinstance(command, OpenEdge) or command.edge != entry.edge or command.incarnation != entry.incarnation:
        return Refused(EDGE_STALE)
    edges = partition.edges
    if command.incarnation != edges.incarnation(command.edge) + 1:
        return Refused(EDGE_STALE)
    if not edges.may_add(command.edge):
        return Refused(EDGES_MAX)
    if edges.is_open(command.edge):
        _close_edge(partition, effects, command.edge)
    edges.open(command.edge, command.incarnation, command.nonce)
    effects.edges_opened.append((command.edge, command.incarnation, command.nonce))
    return 0


def close_edge(partition: Partition, effects: Effects, edge: int, command: CloseEdge) -> Result:
    """The leader, or the edge itself, says that an incarnation is over."""
    if edge not in (HOUSEKEEPING, command.edge) or not partition.edges.is_current(command.edge, command.incarnation):
        return Refused(EDGE_STALE)
    _close_edge(partition, effects, command.edge)
    return 0


def expire(partition: Partition, effects: Effects) -> None:
    """What is due in replicated time happens, in the order of its deadlines, as much as one entry may do; then sessions
    that wait for more are sent it."""
    partition.subscriptions.sweep(SWEEP_MAX)
    accounting = partition.accounting
    while partition.due_left > 0:
        due = partition.deadlines.pop_due(partition.stamp_ms)
        if due is None:
            break
        kind, name = due
        created = accounting.created
        partition.due_left -= 1
        if kind == RETAINED_EXPIRY:
            forget_retained(partition, name)
        elif kind == WILL_DELAY:
            publish_will(partition, effects, partition.sessions[name])
        else:
            session = partition.sessions[name]
            partition.due_left -= session.held_count() + min(len(session.subscriptions), AT_ONCE_MAX)
            _end(partition, effects, session)
        partition.due_left -= accounting.created - created  # Copies of a will cost as much as anything else.
    while partition.reads_left > 0 and partition.sends_left > 0:
        due = partition.readers.pop_due(AT_ONCE_MS)
        if due is None:
            break
        session = partition.sessions[due[1]]
        partition.before_change(session)
        send_waiting(partition, effects, session)


def _take_over(partition: Partition, effects: Effects, session: Session, command: OpenSession) -> Session | None:
    """End the old connection, if there is one, and the old session, unless it is resumed. None when it ended."""
    partition.before_change(session)
    was_connected = session.conn_epoch != 0
    if was_connected:
        effects.closes.append(
            CloseConnection(
                session.client_id, session.conn_epoch, session.edge, session.conn_id, SESSION_TAKEN_OVER
            )  # [MQTT-3.1.4-3]
        )
        _disconnect(partition, session)
        effects.has_left = True
    if command.clean_start or session.expiry_s == 0:
        _end(partition, effects, session)  # [MQTT-3.1.2-4]
        return None
    if was_connected and session.will is not None and session.will.delay_s == 0:
        publish_will(partition, effects, session)
    if is_overdue(session.will_due_ms, partition.stamp_ms):
        publish_will(partition, effects, session)
    remove_will(partition, session)  # A delay that did not pass: the will is not sent [MQTT-3.1.3-9].
    return session


def _connect(partition: Partition, session: Session, edge: int, command: OpenSession, conn_epoch: int) -> None:
    session.conn_epoch = conn_epoch
    session.edge = edge
    session.conn_id = command.conn_id
    session.expiry_s = command.expiry_s
    session.receive_maximum = command.receive_maximum
    session.will = command.will
    session.ends_ms = 0
    partition.deadlines.withdraw(SESSION_EXPIRY, session.client_id)
    partition.connected_count += 1
    session.subscriber.set_online()


def _close_edge(partition: Partition, effects: Effects, edge: int) -> None:
    partition.edges.close(edge)
    effects.edges_closed.append((edge, partition.edges.incarnation(edge)))
    cut = [session.client_id for session in partition.sessions.values() if session.conn_epoch and session.edge == edge]
    for client_id in sorted(cut):
        session = partition.sessions[client_id]
        partition.before_change(session)
        _disconnect(partition, session)
        _wait_or_end(partition, effects, session)


def _disconnect(partition: Partition, session: Session) -> None:
    """The session has no connection; its will and its end are the caller's."""
    session.conn_epoch = 0
    session.edge = 0
    session.conn_id = 0
    partition.readers.withdraw(SEND_MORE, session.client_id)
    partition.connected_count -= 1
    session.subscriber.set_offline()


def _wait_or_end(partition: Partition, effects: Effects, session: Session) -> None:
    """The connection ended: the session ends with it, or lives on until it expires."""
    if session.expiry_s == 0:
        _end(partition, effects, session)
        return
    session.left_index = effects.index
    effects.has_left = True
    if session.expiry_s != NEVER_S:
        session.ends_ms = partition.stamp_ms + session.expiry_s * 1000  # [MQTT-3.1.2-23]
        partition.deadlines.set(SESSION_EXPIRY, session.client_id, session.ends_ms)
    delay_will(partition, effects, session)


def _end(partition: Partition, effects: Effects, session: Session) -> None:
    """The session and all that belongs to it is gone [MQTT-4.1.0-2]."""
    assert session.conn_epoch == 0
    partition.before_change(session)
    partition.remove_session(session)
    partition.deadlines.withdraw(SESSION_EXPIRY, session.client_id)
    partition.subscriptions.remove_all(session.subscriber, session.subscriptions)
    session.subscriptions = {}
    orphans = drop_all(partition, session)
    give_again(partition, effects, orphans)
    publish_will(partition, effects, session)
