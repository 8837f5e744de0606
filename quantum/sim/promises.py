"""What clients were promised, and whether it was kept: facts in, violations out.

Sees only what clients saw, so it cannot share a mistake with the broker. Every payload in a run is unique, which tells
each message and each will from all others. What is unknown stays unknown: an exchange that broke off owes nothing.
"""

from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.mqtt.packets import NO_EXPIRY, QOS_2, Publish

OPEN_END: Final = 1 << 62
DELETE: Final = b"delete "
VIOLATIONS_MAX: Final = 20
EXPIRY_SLACK_MS: Final = 2_500  # a second of the wire's resolution, a slow disk, and the way of a packet


@final
@dataclass(slots=True)
class Violation:
    """A law that was broken, and the two facts that cannot both be."""

    law: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.law}: {self.first}; {self.second}"


@final
@dataclass(slots=True, eq=False)
class Published:
    """One publication, from its first sending on."""

    publisher: str
    number: int  # of this publisher, ascending
    topic_name: str
    key: bytes
    qos: int
    retain: bool
    expiry_s: int
    sent_at: int  # the fact's number
    sent_ms: int
    sent_again_ms: int  # its last sending
    send_count: int = 1
    acked_at: int = 0  # 0: never, as far as the publisher knows
    is_refused: bool = False


@final
@dataclass(slots=True, eq=False)
class _Interval:
    """A subscription stood from a SUBACK on."""

    topic_filter: str
    qos: int
    begin: int
    asked_to_end: int = OPEN_END  # from here on deliveries may stop
    end: int = OPEN_END  # from here on no new match may come


@final
@dataclass(slots=True, eq=False)
class Session:
    """A session as its client knows it."""

    client_id: str
    share_group: str  # all its subscriptions are in this group; "" for none
    incarnation: int = 1
    is_known: bool = False  # the server said that it has it, and nothing unknown happened since
    may_exist: bool = False  # some CONNECT may have made it
    never_expires: bool = False
    has_left: bool = False  # its client does not come back: nothing reaches it any more
    intervals: list[_Interval] = field(default_factory=list)
    # Topic Filter → greatest QoS it was asked with, and from where on no new match may come
    attempted: dict[str, tuple[int, int]] = field(default_factory=dict)
    delivered: dict[bytes, int] = field(default_factory=dict)
    last_number: dict[tuple[str, str, int], int] = field(default_factory=dict)

    def end(self, at: int) -> None:
        """The server has nothing of it any more."""
        for interval in self.intervals:
            interval.asked_to_end = min(interval.asked_to_end, at)
            interval.end = min(interval.end, at)
        self.incarnation += 1
        self.delivered = {}
        self.last_number = {}
        self.is_known = False


@final
@dataclass(slots=True, eq=False)
class _Will:
    topic_name: str
    opened_at: int = 0  # CONNACK seen
    must_come: bool = False
    must_not_come: str = ""  # why
    count: dict[str, int] = field(default_factory=dict)


@final
class Promises:
    """The book of one run."""

    __slots__ = (
        "_shared",
        "_wills",
        "clock",
        "delivery_count",
        "is_time_even",
        "now_ms",
        "published",
        "sessions",
        "violations",
    )

    def __init__(self) -> None:
        self.clock = 0  # numbers the facts
        self.now_ms = 0
        self.is_time_even = True  # no clock jumps, no pauses: what clients measure is what the broker measures
        self.violations: list[Violation] = []
        self.published: dict[bytes, Published] = {}
        self.sessions: dict[str, Session] = {}
        self.delivery_count = 0
        self._wills: dict[bytes, _Will] = {}
        self._shared: dict[tuple[str, bytes], str] = {}  # (share group, payload) → the member that had it

    def violate(self, law: str, first: str, second: str) -> None:
        """Note a contradiction."""
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(Violation(law, first, second))

    # -- publishing -------------------------------------------------------------------------------------------------

    def on_publish(self, publisher: str, number: int, key: bytes, packet: Publish) -> None:
        """A PUBLISH left for the first time; its key is its payload, or `delete_key` when that is empty."""
        self.clock += 1
        self.published[key] = Published(
            publisher,
            number,
            packet.topic_name,
            key,
            packet.qos,
            packet.retain,
            packet.message_expiry_s,
            self.clock,
            self.now_ms,
            self.now_ms,
        )

    def on_republish(self, key: bytes) -> None:
        """The same PUBLISH left again, with DUP."""
        message = self.published[key]
        message.send_count += 1
        message.sent_again_ms = self.now_ms

    def on_accepted(self, key: bytes, reason_code: int) -> None:
        """PUBACK or PUBREC arrived."""
        self.clock += 1
        message = self.published[key]
        if reason_code >= 0x80:
            message.is_refused = True
        elif not message.acked_at:
            message.acked_at = self.clock

    # -- sessions ---------------------------------------------------------------------------------------------------

    def session(self, client_id: str, share_group: str, never_expires: bool) -> Session:
        """The session's page in the book."""
        found = self.sessions.get(client_id)
        if found is None:
            found = self.sessions[client_id] = Session(client_id, share_group, never_expires=never_expires)
        return found

    def on_connect(self, session: Session, clean_start: bool) -> None:
        """A CONNECT left."""
        self.clock += 1
        if clean_start:
            session.end(self.clock)
        session.may_exist = True

    def on_connack(self, session: Session, session_present: bool, clean_start: bool, may_have_expired: bool) -> None:
        """A CONNACK of success arrived. Law ACK, and M9."""
        self.clock += 1
        if session_present and clean_start:
            self.violate(
                "M9", f"CONNECT of {session.client_id} asked for a clean start", "CONNACK says session present"
            )
        if not session_present and session.is_known and not may_have_expired:
            self.violate(
                "ACK",
                f"the session of {session.client_id} was acknowledged and does not expire",
                f"CONNACK at {self.now_ms} ms says that it is not present",
            )
        if not session_present:
            session.end(self.clock)
        session.is_known = True

    def on_session_ends(self, session: Session) -> None:
        """The client let go of it: an ephemeral one ends with its connection."""
        self.clock += 1
        session.end(self.clock)
        session.may_exist = False

    def on_subscribe(self, session: Session, topic_filter: str, qos: int) -> None:
        """A SUBSCRIBE left."""
        self.clock += 1
        session.attempted[topic_filter] = (max(qos, session.attempted.get(topic_filter, (0, 0))[0]), OPEN_END)

    def on_suback(self, session: Session, topic_filter: str, reason_code: int) -> None:
        """Granted or refused."""
        self.clock += 1
        if reason_code < 0x80:
            session.intervals.append(_Interval(topic_filter, reason_code, self.clock))

    def on_unsubscribe(self, session: Session, topic_filter: str) -> None:
        """An UNSUBSCRIBE left: nothing more is owed."""
        self.clock += 1
        for interval in session.intervals:
            if interval.topic_filter == topic_filter:
                interval.asked_to_end = min(interval.asked_to_end, self.clock)

    def on_unsuback(self, session: Session, topic_filter: str) -> None:
        """No new match may come."""
        self.clock += 1
        session.attempted[topic_filter] = (session.attempted.get(topic_filter, (0, 0))[0], self.clock)
        for interval in session.intervals:
            if interval.topic_filter == topic_filter:
                interval.end = min(interval.end, self.clock)

    # -- deliveries -------------------------------------------------------------------------------------------------

    def on_delivery(self, session: Session, packet: Publish, version: int) -> None:
        """The application got a message: a QoS 2 PUBLISH that the client's own state filtered does not come here."""
        if not packet.payload:
            return  # a retained message was deleted
        self.clock += 1
        self.delivery_count += 1
        will = self._wills.get(packet.payload)
        if will is not None:
            self._on_will(will, session, packet)
            return
        message = self.published.get(packet.payload)
        if message is None or message.topic_name != packet.topic_name:
            self.violate(
                "M4",
                f"{session.client_id} got {packet.payload[:24]!r} on {packet.topic_name}",
                "nobody published that" if message is None else f"it was published to {message.topic_name}",
            )
            return
        if message.is_refused:
            self.violate("CAUSE", f"the publisher of {_name(message)} was refused", f"{session.client_id} got it")
        self._check_expiry(session, message, packet, version)
        if packet.retain:
            return
        self._check_filters(session, message, packet)
        self._check_count(session, message, packet)

    def _check_filters(self, session: Session, message: Published, packet: Publish) -> None:
        granted = [
            qos
            for topic_filter, (qos, end) in session.attempted.items()
            if end > message.sent_at and is_match(topic_filter, packet.topic_name)
        ]
        if not granted:
            self.violate(
                "M17",
                f"{session.client_id} had no subscription that matches {packet.topic_name} when it was published",
                f"it got {_name(message)} at {self.now_ms} ms",
            )
        elif packet.qos > min(message.qos, max(granted)):
            self.violate(
                "M7",
                f"{_name(message)} has QoS {message.qos} and {session.client_id} was granted {max(granted)}",
                f"it was delivered with QoS {packet.qos}",
            )

    def _check_count(self, session: Session, message: Published, packet: Publish) -> None:
        count = session.delivered.get(packet.payload, 0)
        session.delivered[packet.payload] = count + 1
        if count and packet.qos == QOS_2 and message.qos == QOS_2:
            self.violate(
                "ONCE", f"{session.client_id} got {_name(message)} before", f"it got it again at {self.now_ms} ms"
            )
        elif count and not packet.dup and message.send_count == 1:
            self.violate(
                "M2",
                f"{session.client_id} got {_name(message)} before, and it was sent once",
                f"it got it again without DUP at {self.now_ms} ms",
            )
        if count:
            return
        if session.share_group:
            other = self._shared.setdefault((session.share_group, packet.payload), session.client_id)
            # A QoS 1 message that its publisher sent again is another message to the broker.
            if other != session.client_id and (message.qos == QOS_2 or message.send_count == 1):
                self.violate(
                    "M13",
                    f"{other} of the shared group {session.share_group} got {_name(message)}",
                    f"{session.client_id} of the same group got it too",
                )
            return
        key = (message.publisher, message.topic_name, message.qos * 4 + packet.qos)
        last = session.last_number.get(key, 0)
        # A QoS 1 message that is sent again is another one to the broker: its first copy may have come before the
        # subscription, or at QoS 0 while the session was not connected.
        is_resent = message.qos != QOS_2 and message.send_count > 1
        if message.number < last and (not is_resent or (packet.qos and self._stood_at(session, message))):
            self.violate(
                "ORDER",
                f"{session.client_id} got number {last} of {message.publisher} on {message.topic_name}",
                f"it got number {message.number} of the same QoS for the first time after it",
            )
        session.last_number[key] = max(last, message.number)

    def _stood_at(self, session: Session, message: Published) -> bool:
        return any(
            interval.begin < message.sent_at and interval.asked_to_end == OPEN_END
            for interval in session.intervals
            if is_match(interval.topic_filter, message.topic_name)
        )

    def _check_expiry(self, session: Session, message: Published, packet: Publish, version: int) -> None:
        """M12: what waited longer than its expiry is not sent, and what is sent says how long is left."""
        if message.expiry_s == NO_EXPIRY or packet.dup or not self.is_time_even:
            return
        expiry_ms = message.expiry_s * 1000
        most_ms = self.now_ms - message.sent_ms
        least_ms = self.now_ms - message.sent_again_ms
        if least_ms > expiry_ms + EXPIRY_SLACK_MS:
            self.violate(
                "M12",
                f"{_name(message)} expires after {message.expiry_s} s",
                f"{session.client_id} got it {least_ms} ms after it was sent",
            )
        if version != 5:
            return
        left_ms = packet.message_expiry_s * 1000
        if (
            left_ms > expiry_ms
            or left_ms < expiry_ms - most_ms - 1000
            or left_ms > expiry_ms - least_ms + EXPIRY_SLACK_MS
        ):
            self.violate(
                "M12",
                f"{_name(message)} expires after {message.expiry_s} s and was sent {most_ms} ms ago",
                f"{session.client_id} was told that {packet.message_expiry_s} s are left",
            )

    # -- wills ------------------------------------------------------------------------------------------------------

    def on_will_sent(self, payload: bytes, topic_name: str) -> None:
        """A CONNECT with this will left."""
        self._wills[payload] = _Will(topic_name)

    def on_will_armed(self, payload: bytes) -> None:
        """Its CONNACK arrived."""
        self.clock += 1
        self._wills[payload].opened_at = self.clock

    def on_will_due(self, payload: bytes) -> None:
        """The connection ended without DISCONNECT, and no delay can save it."""
        will = self._wills[payload]
        if will.opened_at:
            will.must_come = True

    def on_will_unknown(self, payload: bytes) -> None:
        """The server has no way to notice the end of that connection before its keep alive does."""
        if payload:
            self._wills[payload].must_come = False
            self._wills[payload].opened_at = 0

    def on_will_removed(self, payload: bytes, why: str) -> None:
        """The server surely took note of a DISCONNECT with reason code 0."""
        will = self._wills[payload]
        will.must_not_come = why
        for client_id in will.count:
            self.violate("M11", why, f"{client_id} got the will of that connection")

    def _on_will(self, will: _Will, session: Session, packet: Publish) -> None:
        count = will.count[session.client_id] = will.count.get(session.client_id, 0) + 1
        if will.topic_name != packet.topic_name:
            self.violate("M4", f"a will for {will.topic_name}", f"came on {packet.topic_name}")
        if will.must_not_come:
            self.violate("M11", will.must_not_come, f"{session.client_id} got the will of that connection")
        if count > 1 and not packet.dup:
            self.violate("M11", f"{session.client_id} got the will {packet.payload!r}", "it got it again")

    # -- the end ----------------------------------------------------------------------------------------------------

    def finish(self, monitors: list[str]) -> None:
        """Everybody is connected and had time: whatever is owed and did not come is lost. Law ACK."""
        self._check_owed()
        for payload, will in self._wills.items():
            for client_id in monitors:
                if will.must_come and client_id not in will.count and self._stood_since(client_id, will):
                    self.violate(
                        "M11",
                        f"the connection with the will {payload!r} ended without DISCONNECT",
                        f"{client_id}, subscribed to {will.topic_name}, never got it",
                    )

    def _stood_since(self, client_id: str, will: _Will) -> bool:
        return any(
            interval.begin < will.opened_at and interval.asked_to_end == OPEN_END
            for interval in self.sessions[client_id].intervals
            if is_match(interval.topic_filter, will.topic_name)
        )

    def _check_owed(self) -> None:
        for session, message, interval in self.owed():
            self.violate(
                "ACK",
                f"{_name(message)} with QoS {message.qos} was acknowledged to {message.publisher}",
                f"{session.client_id}, subscribed to {interval.topic_filter} before it was sent, never got it",
            )

    def owed(self) -> list[tuple[Session, Published, _Interval]]:
        """Acknowledged messages that a standing subscription has not got yet."""
        found: list[tuple[Session, Published, _Interval]] = []
        for session in self.sessions.values():
            standing = [i for i in session.intervals if i.asked_to_end == OPEN_END and i.qos > 0]
            if not standing or session.has_left:
                continue
            for message in self.published.values():
                if not message.acked_at or message.expiry_s != NO_EXPIRY or message.key.startswith(DELETE):
                    continue
                if message.key in session.delivered or (session.share_group, message.key) in self._shared:
                    continue
                for interval in standing:
                    if interval.begin < message.sent_at and is_match(interval.topic_filter, message.topic_name):
                        found.append((session, message, interval))
                        break
        return found

    def check_retained(self, client_id: str, found: dict[str, bytes]) -> None:
        """M8: what a late subscriber got of the retained topics is the last acknowledged publication or a later one."""
        by_topic: dict[str, list[Published]] = {}
        for message in self.published.values():
            if message.retain:
                by_topic.setdefault(message.topic_name, []).append(message)
        for topic_name, messages in by_topic.items():
            acked = [message.number for message in messages if message.acked_at]
            least = max(acked, default=0)
            allowed = [message.key for message in messages if message.number >= least and not message.is_refused]
            if not acked:
                allowed.append(b"")
            values = [b"" if key.startswith(DELETE) else key for key in allowed]
            if found.get(topic_name, b"") not in values:
                self.violate(
                    "M8",
                    f"the last acknowledged retained publication of {topic_name} is number {least}",
                    f"{client_id} subscribed and got {found.get(topic_name, b'')[:24]!r}",
                )


def delete_key(topic_name: str, number: int) -> bytes:
    """What stands for the empty payload that deletes a retained message."""
    return DELETE + f"{topic_name} {number}".encode()


def is_match(topic_filter: str, topic_name: str) -> bool:
    """Whether a Topic Filter, shared or not, matches. Written apart from the broker's. Source: MQTT 5.0 §4.7."""
    if topic_filter.startswith("$share/"):
        topic_filter = topic_filter.split("/", 2)[2]
    levels = topic_name.split("/")
    wanted = topic_filter.split("/")
    if topic_name.startswith("$") and wanted[0] in ("#", "+"):
        return False
    for at, level in enumerate(wanted):
        if level == "#":
            return True
        if at >= len(levels) or level not in ("+", levels[at]):
            return False
    return len(wanted) == len(levels)


def _name(message: Published) -> str:
    return f"number {message.number} of {message.publisher} on {message.topic_name}"
