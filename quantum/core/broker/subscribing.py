"""SUBSCRIBE and UNSUBSCRIBE: what is granted, and the retained messages that follow.

Source: MQTT 5.0 §3.8.4, §3.10.4, §3.3.1.3.
"""

from typing import Final

from quantum.core.broker.commands import SubscribeSession, UnsubscribeSession
from quantum.core.broker.effects import Effects, Refused, Result, Subscribed, Unsubscribed
from quantum.core.broker.outgoing import hold_run
from quantum.core.broker.partition import Partition
from quantum.core.broker.retained_run import ABOVE_QOS_0, ANY_QOS, QOS_0, RetainedCursor, RetainedRun
from quantum.core.broker.session import Session
from quantum.core.broker.subscriptions import SubscriptionRecord
from quantum.core.causes import STALE_EPOCH, SUBSCRIPTIONS_MAX
from quantum.core.mqtt.packets import Subscription

NO_SUBSCRIPTION_EXISTED: Final = 0x11


def subscribe(partition: Partition, effects: Effects, command: SubscribeSession) -> Result:
    """Each filter is granted its QoS or answered with a reason code, in the order of the packet [MQTT-3.8.4-6]."""
    session = partition.sessions.get(command.client_id)
    if session is None or session.conn_epoch != command.conn_epoch or command.conn_epoch == 0:
        return Refused(STALE_EPOCH)
    partition.before_change(session)
    reason_codes: list[int] = []
    retained: list[RetainedRun] = []
    for subscription in command.subscriptions:
        topic_filter = subscription.topic_filter
        is_new = topic_filter not in session.subscriptions
        if is_new and len(session.subscriptions) >= partition.policy.subscriptions_max:
            reason_codes.append(SUBSCRIPTIONS_MAX.reason_code)
            continue
        record = SubscriptionRecord(
            session.subscriber,
            topic_filter,
            subscription.qos,
            subscription.no_local,
            subscription.retain_as_published,
            command.subscription_id,
        )
        session.subscriptions[topic_filter] = record  # One subscription for each filter [MQTT-3.8.4-3].
        partition.subscriptions.add(record, session.conn_epoch if session.is_ephemeral else 0)
        reason_codes.append(subscription.qos)
        if may_replay(subscription, is_new=is_new):
            _replay(partition, effects, session, record, retained)
    return Subscribed(reason_codes, retained)


def unsubscribe(partition: Partition, command: UnsubscribeSession) -> Result:
    """What is queued or in flight already is still delivered [MQTT-3.10.4-2]."""
    session = partition.sessions.get(command.client_id)
    if session is None or session.conn_epoch != command.conn_epoch or command.conn_epoch == 0:
        return Refused(STALE_EPOCH)
    partition.before_change(session)
    reason_codes: list[int] = []
    for topic_filter in command.topic_filters:
        record = session.subscriptions.pop(topic_filter, None)
        if record is None:
            reason_codes.append(NO_SUBSCRIPTION_EXISTED)
            continue
        partition.subscriptions.remove(record)
        reason_codes.append(0)
    return Unsubscribed(reason_codes)


def may_replay(subscription: Subscription, *, is_new: bool) -> bool:
    """Whether Retain Handling asks for the retained messages [MQTT-3.3.1-9] [MQTT-3.3.1-10] [MQTT-3.3.1-11]."""
    if subscription.topic_filter.startswith("$share/"):
        return False  # 4.8.2: none for a shared subscription, not even for its first member.
    return subscription.retain_handling == 0 or (subscription.retain_handling == 1 and is_new)


def _replay(
    partition: Partition,
    effects: Effects,
    session: Session,
    record: SubscriptionRecord,
    retained: list[RetainedRun],
) -> None:
    """One copy of every matching retained message, exempt from the queue's limits: the store bounds them. Those that are
    not read here and now are read when their turn comes."""
    accounting = partition.accounting
    left_out = session.client_id if record.no_local else ""
    cursor = RetainedCursor(record.topic_filter, accounting.accepted, left_out, ANY_QOS, "")
    messages = partition.read_retained(cursor)
    if not messages and cursor.bound is None:
        return
    subscription_ids = (record.subscription_id,) if record.subscription_id else ()
    if session.is_ephemeral or not record.qos:
        accounting.created += len(messages)
        accounting.delivered += len(messages)
        retained.append(RetainedRun(messages, record.qos, subscription_ids, cursor))
        return
    # What was published with QoS 0 is handed to the edge, the rest is kept by the session.
    run = RetainedRun([message for message in messages if not message.qos], 0, subscription_ids, cursor.part(QOS_0))
    if not run.is_over():
        accounting.created += len(run)
        accounting.delivered += len(run)
        retained.append(run)
    kept = [message for message in messages if message.qos]
    run = RetainedRun(kept, record.qos, subscription_ids, cursor.part(ABOVE_QOS_0))
    if not run.is_over():
        hold_run(partition, effects, session, run)
