"""Shared subscriptions: the members of a group, who of them is connected, and who had the last message.

A turn goes round the members in ascending order of their Client Identifier, from the member that had the last one; who
is chosen is decided in shared_choice.py. `cursor` is state and moves in `apply` only; `live_cursor` serves QoS 0, which
is in no log. Rings are made when a strategy first asks for one, and kept up from then on. Source: MQTT 5.0 §4.8.2.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import final

from quantum.core.broker.effects import Receiver, Route
from quantum.core.broker.shared_ring import Ring


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

    __slots__ = (
        "_lasting_ring",
        "_online_ring",
        "cursor",
        "lasting",
        "live_cursor",
        "members",
        "online",
        "shared_filter",
    )

    def __init__(self, shared_filter: str) -> None:
        self.shared_filter = shared_filter
        self.members: dict[str, Member] = {}
        self.lasting: list[str] = []  # those whose queue takes what comes while they are away, ascending
        self.online: list[str] = []  # those connected, ascending
        self.cursor = ""
        self.live_cursor = ""
        self._lasting_ring: Ring | None = None
        self._online_ring: Ring | None = None

    def has_member(self, client_id: str) -> bool:
        return client_id in self.members

    def add(self, receiver: Receiver, route: Route) -> None:
        """Join, or replace the same session's subscription. Only a connected session subscribes; see `set_offline`."""
        client_id = receiver.client_id
        self.members[client_id] = Member(receiver, route)
        self._set_lasting(client_id, is_lasting=receiver.qos > 0 and not receiver.is_ephemeral)
        self.set_online(client_id)

    def remove(self, client_id: str) -> None:
        del self.members[client_id]
        self._set_lasting(client_id, is_lasting=False)
        self.set_offline(client_id)

    def set_online(self, client_id: str) -> None:
        """The member is connected."""
        at = bisect_left(self.online, client_id)
        if at == len(self.online) or self.online[at] != client_id:
            self.online.insert(at, client_id)
            if self._online_ring is not None:
                self._online_ring.add(client_id)

    def set_offline(self, client_id: str) -> None:
        """The member is not connected."""
        at = bisect_left(self.online, client_id)
        if at < len(self.online) and self.online[at] == client_id:
            del self.online[at]
            if self._online_ring is not None:
                self._online_ring.remove(client_id)

    def lasting_ring(self) -> Ring:
        """Of the members whose queue takes what comes while they are away."""
        if self._lasting_ring is None:
            self._lasting_ring = Ring(self.lasting)
        return self._lasting_ring

    def online_ring(self) -> Ring:
        """Of the connected members."""
        if self._online_ring is None:
            self._online_ring = Ring(self.online)
        return self._online_ring

    def _set_lasting(self, client_id: str, *, is_lasting: bool) -> None:
        at = bisect_left(self.lasting, client_id)
        was_lasting = at < len(self.lasting) and self.lasting[at] == client_id
        if is_lasting and not was_lasting:
            self.lasting.insert(at, client_id)
            if self._lasting_ring is not None:
                self._lasting_ring.add(client_id)
        elif was_lasting and not is_lasting:
            del self.lasting[at]
            if self._lasting_ring is not None:
                self._lasting_ring.remove(client_id)


def next_turn(client_ids: list[str], cursor: str) -> int:
    """The position of the first Client Identifier after `cursor`, or of the first of all."""
    at = bisect_right(client_ids, cursor)
    return at if at < len(client_ids) else 0
