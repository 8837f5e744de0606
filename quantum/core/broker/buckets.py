"""The state as bytes: one canonical encoding for each bucket, so that equal states have equal digests.

Bucket 0 holds what has no other home; then come the buckets of sessions, then those of retained messages. What follows
from other records (indexes, deadlines, gauges) is not encoded and is built again by `rebuild`. Rows are msgpack arrays;
fields are only ever appended.
"""

from collections import deque
from typing import Any, Final

import msgpack

from quantum.core.broker.commands import SetPolicy
from quantum.core.broker.expiry import AT_ONCE_MS, RETAINED_EXPIRY, SEND_MORE, SESSION_EXPIRY, WILL_DELAY
from quantum.core.broker.message import Message
from quantum.core.broker.outgoing import is_waiting
from quantum.core.broker.partition import FIRST_RETAINED_BUCKET, Partition
from quantum.core.broker.queue import Copy
from quantum.core.broker.retained_run import ABOVE_QOS_0, RetainedCursor, RetainedRun
from quantum.core.broker.session import Session
from quantum.core.broker.session_image import QUEUED, SessionImage
from quantum.core.broker.subscriptions import SubscriptionRecord
from quantum.core.mqtt.packets import Will

_NO_SESSIONS: Final[bytes] = msgpack.packb(([], []))
_NO_RETAINED: Final[bytes] = msgpack.packb(([],))


def encode_bucket(partition: Partition, number: int, kept: dict[str, object]) -> bytes:
    """The bytes of one bucket: a function of the state alone, or of that of an earlier time, if `kept` holds what the
    records were that have changed since."""
    if number == 0:
        row = _common_row(partition)
    elif number < FIRST_RETAINED_BUCKET:
        sessions = partition.session_buckets[number - 1]
        if not sessions and not kept:
            return _NO_SESSIONS
        row = _sessions_row(sessions, kept)
    elif not partition.retained_buckets[number - FIRST_RETAINED_BUCKET] and not kept:
        return _NO_RETAINED
    else:
        row = _retained_row(partition, number - FIRST_RETAINED_BUCKET, kept)
    data: bytes = msgpack.packb(row)
    return data


def decode_bucket(partition: Partition, number: int, data: bytes) -> dict[str, str]:
    """Inverse of `encode_bucket`. Bucket 0 returns the cursors of the shared groups, for `rebuild`."""
    row = msgpack.unpackb(data, use_list=False)
    if number == 0:
        return _restore_common(partition, row)
    if number < FIRST_RETAINED_BUCKET:
        _restore_sessions(partition, number, row)
    else:
        for message_row in row[0]:
            message = _message_of(message_row)
            partition.put_retained(message)
            if message.deadline_ms:
                partition.deadlines.set(RETAINED_EXPIRY, message.topic_name, message.deadline_ms)
    return {}


def rebuild(partition: Partition, cursors: dict[str, str]) -> None:
    """Everything is decoded: build what follows from it."""
    accounting = partition.accounting
    subscriptions = partition.subscriptions
    for client_id, session in partition.sessions.items():
        for record in session.subscriptions.values():
            subscriptions.add(record, session.conn_epoch if session.is_ephemeral else 0)
        if session.conn_epoch:
            partition.connected_count += 1
        else:
            session.subscriber.set_offline()
        if session.ends_ms:
            partition.deadlines.set(SESSION_EXPIRY, client_id, session.ends_ms)
        if session.will_due_ms:
            partition.deadlines.set(WILL_DELAY, client_id, session.will_due_ms)
        if is_waiting(session):
            partition.readers.set(SEND_MORE, client_id, AT_ONCE_MS)
        accounting.queued += len(session.queue)
        accounting.in_flight += len(session.inflight.copies)
        accounting.held_bytes += session.held_bytes
    for shared_filter, cursor in cursors.items():
        subscriptions.groups[shared_filter].cursor = cursor


def _common_row(partition: Partition) -> tuple[Any, ...]:
    groups = partition.subscriptions.groups
    return (
        partition.stamp_ms,
        partition.last_epoch,
        partition.policy.to_row()[1:] if partition.has_policy else None,
        partition.edges.to_rows(),
        partition.accounting.to_row(),
        [(name, groups[name].cursor) for name in sorted(groups) if groups[name].cursor],
    )


def _restore_common(partition: Partition, row: tuple[Any, ...]) -> dict[str, str]:
    partition.stamp_ms = row[0]
    partition.last_epoch = row[1]
    if row[2] is not None:
        partition.policy = SetPolicy(*row[2])
        partition.has_policy = True
    partition.edges.restore_rows(row[3])
    partition.accounting.restore_row(row[4])
    return dict(row[5])


def _retained_row(partition: Partition, bucket: int, kept: dict[str, object]) -> tuple[Any, ...]:
    messages = []
    for topic_name in sorted({**partition.retained_buckets[bucket], **kept}):
        message = kept[topic_name] if topic_name in kept else partition.retained.of(topic_name)
        if message is not None:
            assert isinstance(message, Message)
            messages.append(_message_row(message))
    return (messages,)


def _sessions_row(sessions: dict[str, Session], kept: dict[str, object]) -> tuple[Any, ...]:
    # A message that several sessions of the bucket are owed stands in it once, by its number.
    messages: dict[int, Message] = {}
    rows = []
    for client_id in sorted({**sessions, **kept}):
        image = kept[client_id] if client_id in kept else SessionImage(sessions[client_id])
        if image is not None:
            assert isinstance(image, SessionImage)
            rows.append(_session_row(image, messages))
    return ([_message_row(messages[number]) for number in sorted(messages)], rows)


def _restore_sessions(partition: Partition, number: int, row: tuple[Any, ...]) -> None:
    messages: dict[int, Message] = {}
    for message_row in row[0]:
        message = _message_of(message_row)
        messages[message.number] = message
    for session_row in row[1]:
        partition.add_session(_session_of(session_row, number, messages))


def _session_row(image: SessionImage, messages: dict[int, Message]) -> tuple[Any, ...]:
    will = image.will
    return (
        *image.head,
        None if will is None else _will_row(will),
        image.will_due_ms,
        image.ends_ms,
        [_subscription_row(record) for record in sorted(image.subscriptions, key=_filter_of)],
        image.received,
        image.next_packet_id,
        [(packet_id, _copy_row(copy, state, messages)) for packet_id, copy, state in image.copies],
        [_copy_row(copy, QUEUED, messages) for copy in image.queue],
        image.released,
        image.left_index,
        image.is_behind,
        image.run_rows,
    )


def _session_of(row: tuple[Any, ...], bucket: int, messages: dict[int, Message]) -> Session:
    session = Session(row[0], row[1], bucket, is_ephemeral=row[2])
    session.expiry_s = row[3]
    session.conn_epoch = row[4]
    session.edge = row[5]
    session.conn_id = row[6]
    session.receive_maximum = row[7]
    session.will = None if row[8] is None else Will(*row[8])
    session.will_due_ms = row[9]
    session.ends_ms = row[10]
    for subscription_row in row[11]:
        record = SubscriptionRecord(session.subscriber, *subscription_row)
        session.subscriptions[record.topic_filter] = record
    for packet_id in row[12]:
        session.received.add(packet_id)
    session.inflight.next_packet_id = row[13]
    for packet_id, copy_row in row[14]:
        copy = _copy_of(copy_row, messages)
        session.inflight.restore(packet_id, copy)
        session.held_bytes += copy.size
    session.inflight.on_restored()
    run_rows = deque(row[19] if len(row) > 19 else ())
    for count, copy_row in enumerate(row[15]):
        while run_rows and run_rows[0][0] == count:
            session.queue.append_run(_run_of(run_rows.popleft()))
        copy = _copy_of(copy_row, messages)
        session.queue.append(copy)
        session.held_bytes += copy.size
    for run_row in run_rows:
        session.queue.append_run(_run_of(run_row))
    for packet_id in row[16]:
        session.inflight.released[packet_id] = None
    session.left_index = row[17]
    session.is_behind = len(row) > 18 and row[18]
    return session


def _will_row(will: Will) -> tuple[Any, ...]:
    return (
        will.topic_name,
        will.payload,
        will.qos,
        will.retain,
        will.properties,
        will.delay_s,
        will.message_expiry_s,
    )


def _subscription_row(record: SubscriptionRecord) -> tuple[Any, ...]:
    return (
        record.topic_filter,
        record.qos,
        record.no_local,
        record.retain_as_published,
        record.subscription_id,
    )


def _filter_of(record: SubscriptionRecord) -> str:
    return record.topic_filter


def _copy_row(copy: Copy, state: int, messages: dict[int, Message]) -> tuple[Any, ...]:
    message = copy.message
    messages[message.number] = message
    return (message.number, copy.qos, copy.retain, copy.subscription_ids, copy.shared_filter, state)


def _copy_of(row: tuple[Any, ...], messages: dict[int, Message]) -> Copy:
    copy = Copy(messages[row[0]], row[1], row[2], row[3], row[4])
    copy.state = row[5]
    return copy


def _run_of(row: tuple[Any, ...]) -> RetainedRun:
    return RetainedRun([], row[5], row[6], RetainedCursor(row[1], row[2], row[3], ABOVE_QOS_0, row[4]))


def _message_row(message: Message) -> tuple[Any, ...]:
    return (
        message.number,
        message.topic_name,
        message.payload,
        message.qos,
        message.retain,
        message.properties,
        message.message_expiry_s,
        message.client_id,
        message.deadline_ms,
    )


def _message_of(row: tuple[Any, ...]) -> Message:
    message = Message(row[1], row[2], row[3], row[4], row[5], row[6], row[7])
    message.number = row[0]
    message.deadline_ms = row[8]
    return message
