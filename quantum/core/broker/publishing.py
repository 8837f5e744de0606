"""How a message is accepted and whom it reaches: the live half of PUBLISH, for clients and for wills alike.

One copy for each session with the greatest QoS its matching subscriptions were granted, and one for each shared group
[MQTT-3.3.4-2]. Source: MQTT 5.0 §3.3.4, §4.3, §4.8.2.
"""

from typing import Final

from quantum.core.broker.commands import GiveAgain, PublishMessage, ReleaseMessage
from quantum.core.broker.effects import Effects, Refused, Result
from quantum.core.broker.expiry import RETAINED_EXPIRY
from quantum.core.broker.message import Message
from quantum.core.broker.outgoing import is_expired, offer
from quantum.core.broker.partition import Partition
from quantum.core.broker.queue import Copy
from quantum.core.broker.shared import SharedGroup
from quantum.core.broker.shared_choice import choose
from quantum.core.broker.subscriptions import Fanout
from quantum.core.causes import SESSION_ENDED, SHARED_GROUP_EMPTY, STALE_EPOCH, Cause

NO_MATCHING_SUBSCRIBERS: Final = 0x10
PACKET_ID_NOT_FOUND: Final = 0x92


def publish_message(partition: Partition, effects: Effects, command: PublishMessage) -> Result:
    """A client's PUBLISH: 0x00, 0x10 when nobody matched, or a refusal that changed nothing but the ledger."""
    message = command.message
    session = partition.sessions.get(message.client_id)
    if session is None or session.conn_epoch != command.conn_epoch or command.conn_epoch == 0:
        return _refuse(partition, STALE_EPOCH)
    packet_id = command.packet_id
    if packet_id and packet_id in session.received:
        partition.accounting.duplicates += 1
        return 0  # The first one was accepted; this is its retransmission [MQTT-4.3.3-10].
    if message.retain:
        cause = _retained_limit(partition, message)
        if cause is not None:
            return _refuse(partition, cause)
    if packet_id:
        partition.before_change(session)
        session.received.add(packet_id)
    return accept(partition, effects, message)


def release_message(partition: Partition, command: ReleaseMessage) -> Result:
    """PUBREL: the sender may use its Packet Identifier for another message [MQTT-4.3.3-11]."""
    session = partition.sessions.get(command.client_id)
    if session is None or session.conn_epoch != command.conn_epoch or command.conn_epoch == 0:
        return Refused(STALE_EPOCH)
    if command.packet_id not in session.received:
        return PACKET_ID_NOT_FOUND
    partition.before_change(session)
    session.received.remove(command.packet_id)
    return 0


def accept(partition: Partition, effects: Effects, message: Message) -> int:
    """Number a message, keep it if it is to be retained, and deliver it. 0x00 or 0x10."""
    accounting = partition.accounting
    accounting.accepted += 1
    message.number = accounting.accepted
    if message.message_expiry_s >= 0:
        message.deadline_ms = partition.stamp_ms + message.message_expiry_s * 1000
    if message.retain:
        _retain(partition, message)
    fanout = partition.subscriptions.fanout(message.topic_name)
    if fanout.is_plain:
        effects.deliveries.append((message, fanout.route))
        accounting.created += fanout.ephemeral_count
        accounting.delivered += fanout.ephemeral_count
        return 0
    return _deliver(partition, effects, message, fanout)


def forget_retained(partition: Partition, topic_name: str) -> None:
    """Delete the retained message of a topic, if there is one [MQTT-3.3.1-6]."""
    if partition.retained.of(topic_name) is None:
        return
    partition.remove_retained(topic_name)
    partition.deadlines.withdraw(RETAINED_EXPIRY, topic_name)


def give_again(partition: Partition, effects: Effects, copies: list[Copy]) -> None:
    """Give what an ended session leaves to other members of its shared groups, in order. 4.8.2"""
    for copy in copies:
        _give_to_another(partition, effects, copy.shared_filter, copy.message)


def give_back(partition: Partition, effects: Effects, command: GiveAgain) -> Result:
    """The same for a session that its edge kept: what was handed to the edge was delivered, so this is another copy."""
    partition.accounting.created += 1
    _give_to_another(partition, effects, command.shared_filter, command.message)
    return 0


def _refuse(partition: Partition, cause: Cause) -> Refused:
    partition.accounting.refuse(cause)
    return Refused(cause)


def _retained_limit(partition: Partition, message: Message) -> Cause | None:
    policy = partition.policy
    return partition.retained.limit(message, policy.retained_messages_max, policy.retained_bytes_max)


def _retain(partition: Partition, message: Message) -> None:
    topic_name = message.topic_name
    if not message.payload:
        forget_retained(partition, topic_name)
        return
    cause = _retained_limit(partition, message)
    if cause is not None:
        # A will: there is nobody to refuse it to, and those who listen must hear it [MQTT-3.1.2-8].
        partition.accounting.leave_unretained(cause)
        return
    partition.put_retained(message)
    if message.deadline_ms:
        partition.deadlines.set(RETAINED_EXPIRY, topic_name, message.deadline_ms)
    else:
        partition.deadlines.withdraw(RETAINED_EXPIRY, topic_name)


def _deliver(partition: Partition, effects: Effects, message: Message, fanout: Fanout) -> int:
    accounting = partition.accounting
    publisher = message.client_id
    is_matched = False
    count = fanout.ephemeral_count
    if fanout.own_only is not None and publisher in fanout.own_only:
        count -= 1  # No Local: the edge leaves it out as well [MQTT-3.8.3-3].
    if count:
        is_matched = True
        effects.deliveries.append((message, fanout.route))
        accounting.created += count
        accounting.delivered += count
    for each in fanout.route.replicated:
        receiver = each if each.client_id != publisher else each.of(publisher)
        if receiver is None:
            continue
        is_matched = True
        accounting.created += 1
        offer(
            partition,
            effects,
            partition.sessions[receiver.client_id],
            message,
            qos=min(message.qos, receiver.qos),  # [MQTT-3.8.4-8]
            retain=message.retain and receiver.retain_as_published,  # [MQTT-3.3.1-12] [MQTT-3.3.1-13]
            subscription_ids=receiver.subscription_ids,
            shared_filter="",
        )
    for group in fanout.groups:
        is_matched = True
        accounting.created += 1
        if not _give(partition, effects, group, message):
            accounting.drop(SHARED_GROUP_EMPTY.number)
    return 0 if is_matched else NO_MATCHING_SUBSCRIBERS


def _give_to_another(partition: Partition, effects: Effects, shared_filter: str, message: Message) -> None:
    """A created copy whose member is gone finds another one, or its end."""
    if is_expired(message, partition.stamp_ms):
        partition.accounting.expired += 1
        return
    group = partition.subscriptions.groups.get(shared_filter)
    if group is None or not _give(partition, effects, group, message):
        partition.accounting.drop(SESSION_ENDED.number)


def _give(partition: Partition, effects: Effects, group: SharedGroup, message: Message) -> bool:
    """Deliver a created copy to the member whose turn it is. False when no member can take it."""
    member = choose(partition, group, message)
    if member is None:
        return False
    receiver = member.receiver
    group.cursor = receiver.client_id
    if receiver.is_ephemeral:
        effects.deliveries.append((message, member.route))
        partition.accounting.delivered += 1
        return True
    offer(
        partition,
        effects,
        partition.sessions[receiver.client_id],
        message,
        qos=min(message.qos, receiver.qos),
        retain=message.retain and receiver.retain_as_published,
        subscription_ids=receiver.subscription_ids,
        shared_filter=group.shared_filter,
    )
    return True
