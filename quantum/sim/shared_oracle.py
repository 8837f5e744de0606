"""Shared Subscriptions: each message to exactly one member of the group, while members come and go. M13.

A group owes a message if it surely had a member when it was sent that is one still: what another member leaves behind
at QoS 1 is given again. That is forgiven where it cannot be done: at QoS 2, which may have been on its way to a member
that has gone since, and where a node that failed may alone have known what a member had. Source: MQTT 5.0 §4.8.2.
"""

from dataclasses import dataclass, field
from typing import final

from quantum.core.mqtt.packets import NO_EXPIRY, QOS_1
from quantum.sim.book import Book
from quantum.sim.published import Published
from quantum.sim.registers import OPEN_END
from quantum.sim.session_page import Session


@final
@dataclass(slots=True, eq=False)
class _Group:
    name: str
    members: dict[str, Session] = field(default_factory=dict)
    # Key → the member that got it first, the incarnation of its session, the QoS of that delivery.
    chosen: dict[bytes, tuple[str, int, int]] = field(default_factory=dict)
    owed: dict[bytes, Published] = field(default_factory=dict)
    departed_at: int = 0  # the last fact at which a member's session ended
    is_lossy: bool = False  # a member went without saying so: it is given messages that nobody sees
    is_brief: bool = False  # a member's session ends with its connection


@final
@dataclass(slots=True, eq=False)
class _Twice:
    """A QoS 1 message came to two members: the first one's session must have ended."""

    first: Session
    incarnation: int
    expected: str
    found: str


@final
class SharedOracle:
    """All groups of a run."""

    __slots__ = ("_book", "_disturbed_at", "_groups", "_twice")

    def __init__(self, book: Book) -> None:
        self._book = book
        self._groups: dict[str, _Group] = {}
        self._disturbed_at = 0  # the last fact at which a node may have lost what it alone knew
        self._twice: list[_Twice] = []

    def on_disturbed(self, at: int) -> None:
        """Something is wrong with the nodes or between them."""
        self._disturbed_at = at

    def on_subscribe(self, session: Session, name: str) -> None:
        """The session may be a member from here on."""
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = _Group(name)
        group.members[session.client_id] = session
        group.is_brief |= not session.is_lasting

    def on_session_ends(self, session: Session, at: int) -> None:
        """What was given to it and not delivered may be gone."""
        group = self._groups.get(session.share_group)
        if group is not None:
            group.departed_at = at
            if len(group.members) > 1:
                self._book.sometimes("mqtt.shared.member-session-ended")

    def on_abandoned(self, session: Session) -> None:
        """Its client does not come back, and the server does not know."""
        group = self._groups.get(session.share_group)
        if group is not None:
            group.is_lossy = True

    def on_accepted(self, message: Published) -> None:
        """Its publisher was told that it is accepted."""
        if message.expiry_s != NO_EXPIRY:
            return
        for group in self._groups.values():
            if message.key not in group.chosen and any(m.owing(message) is not None for m in group.members.values()):
                group.owed[message.key] = message

    def on_delivery(self, session: Session, message: Published, qos: int) -> None:
        """A member got it, with this QoS. [MQTT-4.8.2-4] [MQTT-4.8.2-5]"""
        group = self._groups.get(session.share_group)
        if group is None:
            return
        group.owed.pop(message.key, None)
        chosen = group.chosen.setdefault(message.key, (session.client_id, session.incarnation, qos))
        if chosen[0] == session.client_id:
            return
        other = group.members.get(chosen[0])
        if message.copies_max > 1:
            return  # It is two messages to the server.
        if chosen[2] == QOS_1 and (other is None or other.incarnation != chosen[1]):
            self._book.sometimes("mqtt.shared.given-again")
            return  # The first one's session ended, perhaps before it had acknowledged.
        expected = f"{chosen[0]} of the shared group {group.name} got {message}"
        found = f"{session.client_id} of the same group got it too"
        if chosen[2] == QOS_1 and other is not None and not other.is_lasting:
            self._twice.append(_Twice(other, chosen[1], expected, found))  # Its client may learn of its end later.
        else:
            self._book.violate("M13", expected, found)

    def finish(self) -> None:
        """Everybody has learnt of everything."""
        for twice in self._twice:
            if twice.first.incarnation == twice.incarnation:
                self._book.violate("M13", twice.expected, twice.found)
            else:
                self._book.sometimes("mqtt.shared.given-again")

    def owed(self) -> list[tuple[str, Published]]:
        """(group, message) that some member must still get."""
        found: list[tuple[str, Published]] = []
        for group in self._groups.values():
            if group.is_lossy:
                continue
            over_at = max([_gone_at(session) for session in group.members.values()], default=0)
            failed_at = self._disturbed_at if group.is_brief else 0
            for message in group.owed.values():
                gone_at = max(over_at, failed_at if message.qos == QOS_1 else group.departed_at)
                if message.sent_at > gone_at and any(m.owing(message) is not None for m in group.members.values()):
                    found.append((group.name, message))
        return found


def _gone_at(session: Session) -> int:
    """Messages sent before may have been given to a membership that is over."""
    ends = [s.end for s in session.standings if s.asked_to_end != OPEN_END and not (s.is_lost and s.end != OPEN_END)]
    return max(ends, default=0)
