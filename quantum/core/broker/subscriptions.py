"""Who subscribes to what, and whom a publish reaches: exact filters in a map, wildcard filters in a tree of levels.

What follows from them for one Topic Name is kept as a `Fanout` and cut when a subscription changes; a kept one is never
stale. All of this is derived from the sessions' own lists of subscriptions. Source: MQTT 5.0 §3.3.4, §4.7, §4.8.2.

A session that ends, connects or is disconnected costs as much as it has shared subscriptions: its other ones match no
more at once, however many they are, and leave the index a few with each entry.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final, final

from quantum.core.broker.effects import Receiver, Route
from quantum.core.broker.shared import SharedGroup

FANOUTS_MAX: Final = 65_536  # Topic Names with a kept Fanout
AT_ONCE_MAX: Final = 128  # subscriptions of an ending session that are taken out with it; more are left to `sweep`
SWEEP_MAX: Final = 128  # subscriptions taken out with one entry
FANOUT_RECEIVERS_MAX: Final = 1_000_000  # receivers in all kept Fanouts


@final
@dataclass(init=False, slots=True, eq=False)
class Subscriber:
    """A session as the index knows it; all its subscriptions have it in common."""

    client_id: str
    groups: dict[str, SharedGroup]  # by shared filter: those it is a member of
    is_gone: bool  # the session has ended: what it subscribed to matches nothing, and is still to be swept

    def __init__(self, client_id: str) -> None:
        self.client_id = client_id
        self.groups = {}
        self.is_gone = False

    def set_online(self) -> None:
        """The session is connected."""
        for group in self.groups.values():
            group.set_online(self.client_id)

    def set_offline(self) -> None:
        """The session is not connected."""
        for group in self.groups.values():
            group.set_offline(self.client_id)


@final
@dataclass(init=False, slots=True, eq=False)
class SubscriptionRecord:
    """One subscription of one session. Never changed: a new one replaces it."""

    subscriber: Subscriber
    topic_filter: str  # `$share/group/filter` in one piece
    qos: int
    no_local: bool
    retain_as_published: bool
    subscription_id: int  # 0 for none

    def __init__(
        self,
        subscriber: Subscriber,
        topic_filter: str,
        qos: int,
        no_local: bool,
        retain_as_published: bool,
        subscription_id: int,
    ) -> None:
        self.subscriber = subscriber
        self.topic_filter = topic_filter
        self.qos = qos
        self.no_local = no_local
        self.retain_as_published = retain_as_published
        self.subscription_id = subscription_id


@final
@dataclass(init=False, slots=True, eq=False)
class Fanout:
    """Whom a publish to one Topic Name reaches."""

    route: Route
    ephemeral_count: int
    own_only: dict[str, None] | None  # ephemeral receivers with No Local: these do not get what they publish themselves
    groups: tuple[SharedGroup, ...]  # ascending by shared filter
    is_plain: bool  # ephemeral receivers and nothing else: one item for the edges is all there is to do

    def __init__(
        self,
        route: Route,
        ephemeral_count: int,
        own_only: dict[str, None] | None,
        groups: tuple[SharedGroup, ...],
    ) -> None:
        self.route = route
        self.ephemeral_count = ephemeral_count
        self.own_only = own_only
        self.groups = groups
        self.is_plain = ephemeral_count > 0 and own_only is None and not groups and not route.replicated


@final
class _Leaf:
    """The subscriptions of one filter."""

    __slots__ = ("groups", "subscribers")

    def __init__(self) -> None:
        self.subscribers: dict[str, tuple[SubscriptionRecord, int]] = {}  # with the conn_epoch if ephemeral, else 0
        self.groups: dict[str, SharedGroup] = {}  # by group name


@final
class _Node:
    """One level of the wildcard filters."""

    __slots__ = ("children", "leaf")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.leaf: _Leaf | None = None


@final
class Subscriptions:
    """The index of all subscriptions of the partition."""

    __slots__ = (
        "_discarded",
        "_exact",
        "_fanout_receivers_max",
        "_fanouts",
        "_fanouts_max",
        "_gone",
        "_kept_receivers",
        "_root",
        "count",
        "groups",
        "route_number",
    )

    def __init__(
        self,
        route_number: int = 0,
        fanouts_max: int = FANOUTS_MAX,
        fanout_receivers_max: int = FANOUT_RECEIVERS_MAX,
    ) -> None:
        self._fanouts_max = fanouts_max
        self._fanout_receivers_max = fanout_receivers_max
        self.count = 0
        self.groups: dict[str, SharedGroup] = {}  # by shared filter
        self._exact: dict[str, _Leaf] = {}
        self._root = _Node()
        self._gone: deque[dict[str, SubscriptionRecord]] = deque()  # what ended sessions leave to be swept
        self._fanouts: dict[str, Fanout] = {}
        self._discarded: dict[str, Fanout] = {}  # cut, and let go of a few with each entry: they may be many
        self._kept_receivers = 0
        self.route_number = route_number  # of the newest route

    # The hot path: one look-up.

    def fanout(self, topic_name: str) -> Fanout:
        """Whom a publish to `topic_name` reaches now."""
        fanout = self._fanouts.get(topic_name)
        if fanout is None:
            fanout = self._build(topic_name)
        return fanout

    # Changes.

    def add(self, record: SubscriptionRecord, ephemeral_conn_epoch: int) -> None:
        """Index a subscription in place of the same session's earlier one to the same filter."""
        group_name, topic_filter = split_shared(record.topic_filter)
        leaf = self._leaf(topic_filter)
        subscriber = record.subscriber
        client_id = subscriber.client_id
        if group_name == "":
            held = leaf.subscribers.get(client_id)
            if held is None or held[0].subscriber.is_gone:
                self.count += 1
            leaf.subscribers[client_id] = (record, ephemeral_conn_epoch)
        else:
            group = leaf.groups.get(group_name)
            if group is None:
                group = leaf.groups[group_name] = self.groups[record.topic_filter] = SharedGroup(record.topic_filter)
            if not group.has_member(client_id):
                self.count += 1
            receiver = _receiver([(record, ephemeral_conn_epoch)])
            receivers = (receiver,)
            if receiver.is_ephemeral:
                route = self._new_route(receivers, (), False, record.topic_filter)
            else:
                route = self._new_route((), receivers, False, record.topic_filter)
            group.add(receiver, route)
            subscriber.groups[record.topic_filter] = group
        self._cut(topic_filter)

    def remove(self, record: SubscriptionRecord) -> None:
        """Take a subscription out; the cost is the depth of its filter."""
        group_name, topic_filter = split_shared(record.topic_filter)
        leaf = self._leaf(topic_filter)
        subscriber = record.subscriber
        if group_name == "":
            del leaf.subscribers[subscriber.client_id]
        else:
            group = leaf.groups[group_name]
            group.remove(subscriber.client_id)
            del subscriber.groups[record.topic_filter]
            if not group.members:
                del leaf.groups[group_name]
                del self.groups[record.topic_filter]
        self.count -= 1
        if not leaf.subscribers and not leaf.groups:
            self._prune(topic_filter)
        self._cut(topic_filter)

    def remove_all(self, subscriber: Subscriber, records: dict[str, SubscriptionRecord]) -> None:
        """Take all subscriptions of a session that ends out: none of them matches any more; many are swept later.
        `records`, by Topic Filter, are the index's from here on."""
        if len(records) <= AT_ONCE_MAX:
            for record in records.values():
                self.remove(record)
            return
        for shared_filter in list(subscriber.groups):
            self.remove(records.pop(shared_filter))
        subscriber.is_gone = True
        self.count -= len(records)
        if records:
            self._gone.append(records)
        self._cut_all()

    def sweep(self, count_max: int) -> None:
        """Take some of what is gone out of the index, and let go of some of what is cut."""
        discarded = self._discarded
        for _ in range(min(count_max, len(discarded))):
            discarded.popitem()
        gone = self._gone
        while gone and count_max > 0:
            records = gone[0]
            count = min(count_max, len(records))
            count_max -= count
            for _ in range(count):
                self._forget(records.popitem()[1])
            if not records:
                gone.popleft()

    # Queries.

    def kept_fanouts(self) -> int:
        return len(self._fanouts)

    def discarded_fanouts(self) -> int:
        """Those that are still to be let go of."""
        return len(self._discarded)

    def is_empty(self) -> bool:
        """Whether no subscription and no node of the tree is left."""
        return self.count == 0 and not self._exact and not self._root.children and not self.groups and not self._gone

    # Private.

    def _forget(self, record: SubscriptionRecord) -> None:
        """Take out what is gone, unless another subscription has its place."""
        leaf = self._find(record.topic_filter)
        if leaf is None:
            return  # another subscription took its place and was removed
        client_id = record.subscriber.client_id
        held = leaf.subscribers.get(client_id)
        if held is None or held[0] is not record:
            return
        del leaf.subscribers[client_id]
        if not leaf.subscribers and not leaf.groups:
            self._prune(record.topic_filter)

    def _find(self, topic_filter: str) -> _Leaf | None:
        if not has_wildcard(topic_filter):
            return self._exact.get(topic_filter)
        node: _Node | None = self._root
        for level in topic_filter.split("/"):
            assert node is not None
            node = node.children.get(level)
            if node is None:
                return None
        assert node is not None
        return node.leaf

    def _leaf(self, topic_filter: str) -> _Leaf:
        if not has_wildcard(topic_filter):
            leaf = self._exact.get(topic_filter)
            if leaf is None:
                leaf = self._exact[topic_filter] = _Leaf()
            return leaf
        node = self._root
        for level in topic_filter.split("/"):
            child = node.children.get(level)
            if child is None:
                child = node.children[level] = _Node()
            node = child
        if node.leaf is None:
            node.leaf = _Leaf()
        return node.leaf

    def _prune(self, topic_filter: str) -> None:
        if not has_wildcard(topic_filter):
            del self._exact[topic_filter]
            return
        levels = topic_filter.split("/")
        path = [self._root]
        for level in levels:
            path.append(path[-1].children[level])
        path[-1].leaf = None
        for depth in range(len(levels), 0, -1):
            node = path[depth]
            if node.children or node.leaf is not None:
                return
            del path[depth - 1].children[levels[depth - 1]]

    def _cut(self, topic_filter: str) -> None:
        if not has_wildcard(topic_filter):
            fanout = self._fanouts.pop(topic_filter, None)
            if fanout is not None:
                self._kept_receivers -= fanout.ephemeral_count + len(fanout.route.replicated)
        elif self._fanouts:
            self._cut_all()

    def _cut_all(self) -> None:
        if not self._discarded:
            self._discarded = self._fanouts
        self._fanouts = {}
        self._kept_receivers = 0

    def _build(self, topic_name: str) -> Fanout:
        by_client: dict[str, list[tuple[SubscriptionRecord, int]]] = {}
        groups: list[SharedGroup] = []
        for leaf in self._matching(topic_name):
            for client_id, subscriber in leaf.subscribers.items():
                if subscriber[0].subscriber.is_gone:
                    continue
                matches = by_client.get(client_id)
                if matches is None:
                    by_client[client_id] = [subscriber]
                else:
                    matches.append(subscriber)
            groups.extend(leaf.groups.values())
        groups.sort(key=_shared_filter_of)
        ephemeral: list[Receiver] = []
        replicated: list[Receiver] = []
        own_only: dict[str, None] = {}
        for client_id in sorted(by_client):
            matches = by_client[client_id]
            receiver = _receiver(matches)
            if len(matches) > 1 and not receiver.no_local:
                others = [match for match in matches if not match[0].no_local]
                if len(others) < len(matches):
                    receiver.own = _receiver(others)
            if not receiver.is_ephemeral:
                replicated.append(receiver)
                continue
            ephemeral.append(receiver)
            if receiver.no_local:
                own_only[client_id] = None
        route = self._new_route(tuple(ephemeral), tuple(replicated), bool(groups), "")
        fanout = Fanout(route, len(ephemeral), own_only or None, tuple(groups))
        self._keep(topic_name, fanout)
        return fanout

    def _keep(self, topic_name: str, fanout: Fanout) -> None:
        count = fanout.ephemeral_count + len(fanout.route.replicated)
        if len(self._fanouts) >= self._fanouts_max or self._kept_receivers + count > self._fanout_receivers_max:
            self._cut_all()
        self._fanouts[topic_name] = fanout
        self._kept_receivers += count

    def _matching(self, topic_name: str) -> list[_Leaf]:
        leaves: list[_Leaf] = []
        exact = self._exact.get(topic_name)
        if exact is not None:
            leaves.append(exact)
        if not self._root.children:
            return leaves
        # A filter that starts with a wildcard does not match a Topic Name that starts with `$` [MQTT-4.7.2-1].
        may_be_wildcard = not topic_name.startswith("$")
        nodes = [self._root]
        for level in topic_name.split("/"):
            deeper: list[_Node] = []
            for node in nodes:
                child = node.children.get(level)
                if child is not None:
                    deeper.append(child)
                if may_be_wildcard:
                    child = node.children.get("+")
                    if child is not None:
                        deeper.append(child)
                    child = node.children.get("#")
                    if child is not None and child.leaf is not None:
                        leaves.append(child.leaf)
            nodes = deeper
            may_be_wildcard = True
        for node in nodes:
            if node.leaf is not None:
                leaves.append(node.leaf)
            child = node.children.get("#")  # `sport/#` also matches `sport`. 4.7.1.2
            if child is not None and child.leaf is not None:
                leaves.append(child.leaf)
        return leaves

    def _new_route(
        self, receivers: tuple[Receiver, ...], replicated: tuple[Receiver, ...], has_shared: bool, shared_filter: str
    ) -> Route:
        self.route_number += 1
        return Route(self.route_number, receivers, replicated, has_shared, shared_filter)


def has_wildcard(topic_filter: str) -> bool:
    """Whether a well formed filter matches more than one Topic Name."""
    return "+" in topic_filter or "#" in topic_filter


def split_shared(topic_filter: str) -> tuple[str, str]:
    """The ShareName and the filter behind it, or "" and the filter itself. 4.8.2"""
    if not topic_filter.startswith("$share/"):
        return "", topic_filter
    _, group_name, rest = topic_filter.split("/", 2)
    return group_name, rest


def _receiver(matches: list[tuple[SubscriptionRecord, int]]) -> Receiver:
    """All matching subscriptions of one session in one: one copy, with the greatest granted QoS [MQTT-3.3.4-2]."""
    record, conn_epoch = matches[0]
    qos = record.qos
    no_local = record.no_local
    retain_as_published = record.retain_as_published
    # The same identifier given to several matching subscriptions is sent as often. 3.3.4
    subscription_ids = [record.subscription_id] if record.subscription_id else []
    for record, _ in matches[1:]:
        qos = max(qos, record.qos)
        no_local = no_local and record.no_local
        retain_as_published = retain_as_published or record.retain_as_published
        if record.subscription_id:
            subscription_ids.append(record.subscription_id)
    subscription_ids.sort()
    return Receiver(
        record.subscriber.client_id,
        conn_epoch,
        conn_epoch != 0,
        qos,
        no_local,
        retain_as_published,
        tuple(subscription_ids),
    )


def _shared_filter_of(group: SharedGroup) -> str:
    return group.shared_filter
