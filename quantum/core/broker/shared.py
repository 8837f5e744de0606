"""Shared subscriptions: the members of a group and whose turn it is.

The turn goes round the members in ascending order of their Client Identifier, from the member that had the last one.
`cursor` is state and moves in `apply` only; `live_cursor` serves QoS 0, which is in no log. Source: MQTT 5.0 §4.8.2.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import final

from quantum.core.broker.effects import Receiver, Route


@final
@dataclass(init=False, slots=True, eq=False)
class Member:
    """One session's subscription to a group."""

    receiver: Receiver
    route: Route  # to this member alone

    def __init__(self, receiver: Receiver, route: Route) -> None:
        self.receiver = receiver
        self.route = route


@final
class SharedGroup:
    """The sessions that share one filter under one ShareName."""

    __slots__ = ("cursor", "live_cursor", "members", "online", "order", "shared_filter")

    def __init__(self, shared_filter: str) -> None:
        self.shared_filter = shared_filter
        self.members: dict[str, Member] = {}
        self.order: list[str] = []  # all Client Identifiers, ascending
        self.online: list[str] = []  # those connected, ascending
        self.cursor = ""
        self.live_cursor = ""

    def has_member(self, client_id: str) -> bool:
        return client_id in self.members

    def add(self, receiver: Receiver, route: Route) -> None:
        """Join, or replace the same session's subscription. Only a connected session subscribes; see `set_offline`."""
        client_id = receiver.client_id
        if client_id not in self.members:
            self.order.insert(bisect_left(self.order, client_id), client_id)
        self.members[client_id] = Member(receiver, route)
        self.set_online(client_id)

    def remove(self, client_id: str) -> None:
        del self.members[client_id]
        del self.order[bisect_left(self.order, client_id)]
        self.set_offline(client_id)

    def set_online(self, client_id: str) -> None:
        """The member is connected."""
        at = bisect_left(self.online, client_id)
        if at == len(self.online) or self.online[at] != client_id:
            self.online.insert(at, client_id)

    def set_offline(self, client_id: str) -> None:
        """The member is not connected."""
        at = bisect_left(self.online, client_id)
        if at < len(self.online) and self.online[at] == client_id:
            del self.online[at]

    def pick_live(self) -> Receiver | None:
        """The connected member whose turn it is for a QoS 0 message."""
        if not self.online:
            return None
        self.live_cursor = self.online[next_turn(self.online, self.live_cursor)]
        return self.members[self.live_cursor].receiver


def next_turn(client_ids: list[str], cursor: str) -> int:
    """The position of the first Client Identifier after `cursor`, or of the first of all."""
    at = bisect_right(client_ids, cursor)
    return at if at < len(client_ids) else 0
