"""Which member of a shared group gets a message: the strategies of the policy, and nothing else decides.

Each asks the connected members first, then those whose queue waits for them, and passes over one that cannot take the
message. Absent members that could take nothing are not even looked at: there may be a hundred thousand of them. For what
is in the log the choice is a function of the state. Source: MQTT 5.0 §4.8.2.
"""

from typing import Final

from quantum.core.broker.commands import HASH_TOPIC, LEAST_INFLIGHT, SetBacklog
from quantum.core.broker.effects import Refused, Result
from quantum.core.broker.message import Message
from quantum.core.broker.outgoing import queue_limit
from quantum.core.broker.partition import Partition
from quantum.core.broker.shared import Member, SharedGroup, next_turn
from quantum.core.broker.shared_ring import POINTS, Ring
from quantum.core.causes import STALE_EPOCH

BEHIND: Final = 1 << 62  # more than any session is owed


def choose(partition: Partition, group: SharedGroup, message: Message) -> Member | None:
    """The member that is given a message out of the log. None when no member can take it."""
    strategy = partition.policy.shared_strategy
    if strategy == HASH_TOPIC:
        return _by_topic(partition, group, message)
    for client_ids in (group.online, group.lasting if message.qos else []):
        if strategy == LEAST_INFLIGHT:
            member = _least_loaded(partition, group, client_ids, message)
        else:
            member = _next_in_turn(partition, group, client_ids, message)
        if member is not None:
            return member
    return None


def choose_live(partition: Partition, group: SharedGroup, topic_name: str) -> Member | None:
    """The connected member that is given a QoS 0 message, which is in no log."""
    online = group.online
    if not online:
        return None
    strategy = partition.policy.shared_strategy
    if strategy == HASH_TOPIC:
        ring = group.online_ring()
        return group.members[ring.points[ring.start(topic_name)][1]]
    at = next_turn(online, group.live_cursor)
    if strategy == LEAST_INFLIGHT:
        at = _least_loaded_at(partition, group, online, at)
    group.live_cursor = online[at]
    return group.members[online[at]]


def set_backlog(partition: Partition, command: SetBacklog) -> Result:
    """An edge says whether a client is behind."""
    session = partition.sessions.get(command.client_id)
    if session is None or session.conn_epoch != command.conn_epoch or command.conn_epoch == 0:
        return Refused(STALE_EPOCH)
    partition.before_change(session)
    session.is_behind = command.is_behind
    return 0


def _next_in_turn(partition: Partition, group: SharedGroup, client_ids: list[str], message: Message) -> Member | None:
    count = len(client_ids)
    start = next_turn(client_ids, group.cursor)
    for step in range(count):
        member = group.members[client_ids[(start + step) % count]]
        if _may_take(partition, member, message):
            return member
    return None


def _least_loaded(partition: Partition, group: SharedGroup, client_ids: list[str], message: Message) -> Member | None:
    """The one that is owed the fewest messages; of several the one whose turn it is."""
    count = len(client_ids)
    start = next_turn(client_ids, group.cursor)
    best: Member | None = None
    best_load = 0
    for step in range(count):
        member = group.members[client_ids[(start + step) % count]]
        load = _load_of(partition, member)
        if best is not None and load >= best_load:
            continue
        if _may_take(partition, member, message):
            if load == 0:
                return member
            best = member
            best_load = load
    return best


def _least_loaded_at(partition: Partition, group: SharedGroup, client_ids: list[str], start: int) -> int:
    count = len(client_ids)
    best = start
    best_load = -1
    for step in range(count):
        at = (start + step) % count
        load = _load_of(partition, group.members[client_ids[at]])
        if best_load < 0 or load < best_load:
            best = at
            best_load = load
        if load == 0:
            break
    return best


def _load_of(partition: Partition, member: Member) -> int:
    """Messages the log knows the member is owed. What an ephemeral session is owed stands at its edge only: it counts as
    idle until its edge says that it is behind, and several of them take turns."""
    session = partition.sessions[member.receiver.client_id]
    if session.is_ephemeral:
        return BEHIND if session.is_behind else 0
    return session.held_count()


def _by_topic(partition: Partition, group: SharedGroup, message: Message) -> Member | None:
    """The owner of the topic on the ring, or the next one on it that can take the message."""
    if group.online:
        member = _walk(partition, group, group.online_ring(), message)
        if member is not None:
            return member
    return _walk(partition, group, group.lasting_ring(), message) if message.qos else None


def _walk(partition: Partition, group: SharedGroup, ring: Ring, message: Message) -> Member | None:
    points = ring.points
    count = len(points)
    start = ring.start(message.topic_name)
    passed: dict[str, None] = {}
    for step in range(count):
        client_id = points[(start + step) % count][1]
        if client_id in passed:
            continue
        member = group.members[client_id]
        if _may_take(partition, member, message):
            return member
        passed[client_id] = None
        if len(passed) * POINTS == count:
            break
    return None


def _may_take(partition: Partition, member: Member, message: Message) -> bool:
    receiver = member.receiver
    if receiver.is_ephemeral:
        return True
    session = partition.sessions[receiver.client_id]
    if message.qos == 0 or receiver.qos == 0:
        return session.conn_epoch != 0
    return queue_limit(partition, session, message) is None
