"""A session as its client knows it: what it subscribed to and since when, and what it got.

The server changes a subscription at some instant between SUBSCRIBE and SUBACK, so there are two views: what *may* stand
(for judging what came) and what *surely* stands (for judging what did not come).
"""

from dataclasses import dataclass, field
from typing import final

from quantum.core.mqtt.packets import Subscription
from quantum.sim.published import Published
from quantum.sim.registers import OPEN_END
from quantum.sim.session_register import SessionRegister
from quantum.sim.topic_match import Matcher

NOT_GRANTED = -1


@final
@dataclass(slots=True, eq=False)
class Standing:
    """One SUBSCRIBE for one Topic Filter, and what it led to."""

    subscription: Subscription
    subscription_id: int
    asked_at: int
    granted: int = NOT_GRANTED
    begin: int = OPEN_END  # its SUBACK
    is_lost: bool = False  # it will not be answered any more
    may_be_new: bool = True  # no subscription with this filter surely stood when it was asked for
    asked_again: int = OPEN_END  # another SUBSCRIBE for the filter left: its options may change from here on
    asked_to_end: int = OPEN_END  # from here on deliveries may stop
    end: int = OPEN_END  # from here on no new match may come by it

    @property
    def topic_filter(self) -> str:
        """The filter as it was asked for."""
        return self.subscription.topic_filter

    @property
    def qos_max(self) -> int:
        """The greatest QoS it may have been granted."""
        return self.subscription.qos if self.granted == NOT_GRANTED else self.granted


@final
@dataclass(slots=True, eq=False)
class Received:
    """How often one message reached one session."""

    count: int = 0
    plain_count: int = 0  # without DUP


@final
@dataclass(slots=True, eq=False)
class Session:
    """Its page in the book."""

    client_id: str
    share_group: str  # all its subscriptions are in this group; "" for none
    matcher: Matcher
    incarnation: int = 1
    register: SessionRegister = field(default_factory=SessionRegister)
    is_lasting: bool = False  # it goes on without a connection, and its client has not let go of it
    online_since: int = OPEN_END  # the fact of the CONNACK of its open connection
    alive_ms: int = 0  # its connection surely was open in the log then
    never_expires: bool = False
    is_loose: bool = False  # a CONNECT that was left to itself may end it, or may have begun it anew: nobody can tell
    has_clean_stray: bool = False  # such a CONNECT asks for a clean start: it is never too late for that
    has_left: bool = False  # its client does not come back: nothing reaches it any more
    packet_bytes_max: int = 0  # its Maximum Packet Size; 0 for none
    will_key: bytes = b""  # of its open connection
    host: int = 0  # the node that served it last
    standings: list[Standing] = field(default_factory=list)
    delivered: dict[bytes, Received] = field(default_factory=dict)
    last_number: dict[tuple[str, str, int, int], int] = field(default_factory=dict)
    owed: dict[bytes, Published] = field(default_factory=dict)
    seen: dict[bytes, None] = field(default_factory=dict)  # came, and nobody can tell why
    retained: dict[bytes, int] = field(default_factory=dict)  # how often it came in answer to a SUBSCRIBE
    _by_topic: dict[str, list[Standing]] = field(default_factory=dict)

    def on_subscribe(self, at: int, subscription: Subscription, subscription_id: int) -> Standing:
        """A SUBSCRIBE left."""
        found = Standing(subscription, subscription_id, at)
        for standing in self.standings:
            if standing.topic_filter != subscription.topic_filter:
                continue
            if standing.begin != OPEN_END and standing.asked_to_end == OPEN_END and standing.end == OPEN_END:
                found.may_be_new = self.is_loose  # In another session than the client knows, nothing stands.
            standing.asked_again = min(standing.asked_again, at)
            if not subscription.qos or subscription.no_local:
                standing.asked_to_end = min(standing.asked_to_end, at)  # Nothing is owed by it from here on.
        self.standings.append(found)
        self._by_topic = {}
        return found

    def on_suback(self, at: int, topic_filter: str, reason_code: int) -> Standing | None:
        """The oldest SUBSCRIBE for the filter without answer was answered; it replaces the ones before it."""
        for position, standing in enumerate(self.standings):
            if standing.topic_filter != topic_filter or standing.is_lost or standing.begin != OPEN_END:
                continue
            if reason_code >= 0x80:
                standing.is_lost = True
                standing.asked_to_end = standing.end = at
                return None
            standing.begin = at
            standing.granted = reason_code
            for other in self.standings[:position]:
                if other.topic_filter == topic_filter:
                    other.end = min(other.end, at)
            return standing
        return None

    def on_requests_lost(self, at: int) -> None:
        """The connection ended: a SUBSCRIBE without SUBACK may still take effect, but is never answered."""
        for standing in self.standings:
            if standing.begin == OPEN_END:
                standing.is_lost = True
                standing.asked_to_end = min(standing.asked_to_end, at)

    def on_unsubscribe(self, at: int, topic_filter: str) -> None:
        """An UNSUBSCRIBE left: nothing more is owed."""
        for standing in self.standings:
            if standing.topic_filter == topic_filter:
                standing.asked_to_end = min(standing.asked_to_end, at)

    def on_unsuback(self, at: int, topic_filter: str) -> None:
        """No new match may come."""
        for standing in self.standings:
            if standing.topic_filter == topic_filter and standing.asked_to_end < at:
                standing.end = min(standing.end, at)

    def end(self) -> None:
        """The server has nothing of it any more; what comes from here on is of its successor."""
        self.incarnation += 1
        self.is_loose = self.has_clean_stray
        self.standings = []
        self.delivered = {}
        self.last_number = {}
        self.owed = {}
        self.retained = {}
        self.seen = {}
        self._by_topic = {}

    def possible(self, message: Published) -> list[Standing]:
        """The subscriptions through which the message may have come."""
        return [standing for standing in self.matching(message.topic_name) if standing.end > message.sent_at]

    def certain(self, message: Published) -> list[Standing]:
        """The subscriptions that surely stood, unchanged, from before it was sent until now."""
        if self.is_loose:
            return []
        return [
            standing
            for standing in self.matching(message.topic_name)
            if standing.begin < message.sent_at
            and standing.asked_to_end == OPEN_END
            and standing.asked_again == OPEN_END
            and not (standing.subscription.no_local and message.publisher == self.client_id)
        ]

    def owing(self, message: Published) -> Standing | None:
        """A subscription through which the message must come, if it was acknowledged to its publisher."""
        if self.is_loose:
            return None
        if self.packet_bytes_max and message.size + 64 > self.packet_bytes_max:
            return None  # [MQTT-3.1.2-25] It is discarded as if it had been sent.
        for standing in self.matching(message.topic_name):
            if (
                standing.begin < message.sent_at
                and standing.granted > 0
                and standing.asked_to_end == OPEN_END
                and not (standing.subscription.no_local and message.publisher == self.client_id)
            ):
                return standing
        return None

    def expecting(self, message: Published) -> bool:
        """Whether a message of QoS 0 must reach it when nothing is wrong."""
        if self.has_left or self.share_group or self.online_since > message.sent_at or self.packet_bytes_max:
            return False
        return any(standing.begin != OPEN_END for standing in self.certain(message))

    def has_got(self, key: bytes) -> bool:
        """The message came, or may have come, as what it was when it was published."""
        return key in self.delivered or key in self.seen

    def matching(self, topic_name: str) -> list[Standing]:
        """What was ever asked for, of this incarnation, that matches."""
        found = self._by_topic.get(topic_name)
        if found is None:
            is_match = self.matcher.is_match
            found = [s for s in self.standings if is_match(s.topic_filter, topic_name)]
            self._by_topic[topic_name] = found
        return found
