"""Judges each message that reached an application: M2 to M7, M10, M12, M17, M19.

Holds for sessions that move between nodes, because only the session's page counts, not who served it. The order of
QoS 0 messages is held within one Network Connection of their publisher: across two of them nothing is acknowledged that
could order them. Source: FAULTS §2.4.
"""

from typing import Final, final

from quantum.core.mqtt.packets import NO_EXPIRY, QOS_0, QOS_2, V5, Publish
from quantum.sim.book import Book
from quantum.sim.published import Published
from quantum.sim.retained_oracle import may_ask
from quantum.sim.session_page import Received, Session, Standing

EXPIRY_SLACK_MS: Final = 2_500  # a second of the wire's resolution, a slow disk, and the way of a packet

# What a delivery is, as far as the client can tell.
LIVE: Final = 0  # matched when it was published
RETAINED: Final = 1  # the answer to a SUBSCRIBE
EITHER: Final = 2  # one of both: with Retain As Published the RETAIN flag does not tell


@final
class DeliveryOracle:
    """Facts in, violations into the book."""

    __slots__ = ("_book",)

    def __init__(self, book: Book) -> None:
        self._book = book

    def judge(self, session: Session, message: Published | None, packet: Publish, version: int) -> int:
        """What the delivery of a known payload is: LIVE, RETAINED, EITHER. -1 if it cannot be judged any further."""
        book = self._book
        if message is None or message.topic_name != packet.topic_name:
            book.violate(
                "M4",
                f"{session.client_id} got {packet.payload[:24]!r} on {packet.topic_name}",
                "nobody published that" if message is None else f"it was published to {message.topic_name}",
            )
            return -1
        if message.never is not None:
            book.violate(message.never[0], message.never[1], f"{session.client_id} got {message}")
        if message.is_refused:
            book.violate("CAUSE", f"the publisher of {message} was refused", f"{session.client_id} got it")
        if version == V5 and packet.properties != message.properties:
            book.violate(
                "M4",
                f"{message} was published with the properties {message.properties.hex()}",
                f"{session.client_id} got it with {packet.properties.hex()}",
            )
        self._check_expiry(session, message, packet, version)
        possible = session.possible(message)
        kind = self._kind(session, message, packet, possible)
        if kind == RETAINED:
            self._check_answer(session, message, packet, possible)
        elif kind == EITHER:
            session.seen[message.key] = None
            session.owed.pop(message.key, None)
        elif kind == LIVE:
            self._check_subscriptions(session, message, packet, version, possible)
            self._check_count(session, message, packet)
        return kind

    def _kind(self, session: Session, message: Published, packet: Publish, possible: list[Standing]) -> int:
        if not packet.retain:
            is_certain = message.retain and bool(possible) and not any(s.granted < 0 for s in possible)
            if is_certain and all(s.subscription.retain_as_published for s in possible):
                self._book.violate(
                    "M7",
                    f"{message} has RETAIN, and {session.client_id} subscribed with Retain As Published",
                    "it was delivered without RETAIN",
                )
            return LIVE
        if not message.retain:
            self._book.violate("M7", f"{message} was published without RETAIN", f"{session.client_id} got it with")
            return LIVE
        return EITHER if any(s.subscription.retain_as_published for s in possible) else RETAINED

    def _check_answer(self, session: Session, message: Published, packet: Publish, possible: list[Standing]) -> None:
        """Some SUBSCRIBE must have asked for it. M8"""
        asking = [standing for standing in possible if may_ask(standing)]
        if session.share_group or not asking:
            self._book.violate(
                "M8",
                f"no SUBSCRIBE of {session.client_id} that matches {packet.topic_name} asks for retained messages",
                f"it got {message} as a retained one",
            )
            return
        most = min(message.qos, max(standing.qos_max for standing in asking))
        if packet.qos > most:
            self._book.violate(
                "M7",
                f"{message} has QoS {message.qos}, and {session.client_id} was granted {most} at most",
                f"it came as a retained message with QoS {packet.qos}",
            )
        if packet.dup:
            return
        count = session.retained[message.key] = session.retained.get(message.key, 0) + 1
        if count > len(asking):
            self._book.violate(
                "M8",
                f"{session.client_id} sent {len(asking)} SUBSCRIBEs that ask for {message}",
                f"it got it {count} times as a retained message",
            )

    def _check_subscriptions(
        self, session: Session, message: Published, packet: Publish, version: int, possible: list[Standing]
    ) -> None:
        book = self._book
        if not possible:
            book.violate(
                "M17",
                f"{session.client_id} had no subscription that matches {packet.topic_name} when it was published",
                f"it got {message} at {book.now_ms} ms",
            )
            return
        if message.publisher == session.client_id and all(s.subscription.no_local for s in possible):
            book.violate("M7", f"{session.client_id} subscribed with No Local", f"it got {message}, which it published")
        most = min(message.qos, max(s.qos_max for s in possible))
        certain = session.certain(message)
        least = min(message.qos, max((s.granted for s in certain), default=0))
        if not least <= packet.qos <= most:
            book.violate(
                "M7",
                f"{message} has QoS {message.qos} and {session.client_id} was granted {most if packet.qos > most else least}",
                f"it was delivered with QoS {packet.qos}",
            )
        if version != V5:
            return
        ids = packet.subscription_ids
        allowed = [s.subscription_id for s in possible]
        for wanted in [s.subscription_id for s in certain if s.subscription_id and s.subscription_id not in ids]:
            book.violate(
                "M7",
                f"{session.client_id} subscribed with the Subscription Identifier {wanted}",
                f"it got {message} with {list(ids)}",
            )
        for strange in [number for number in ids if number not in allowed]:
            book.violate(
                "M7",
                f"no matching subscription of {session.client_id} has the Subscription Identifier {strange}",
                f"it got {message} with it",
            )
        if len(ids) > 1:
            book.sometimes("mqtt.delivery.several-subscription-ids")

    def _check_count(self, session: Session, message: Published, packet: Publish) -> None:
        book = self._book
        received = session.delivered.get(message.key)
        if received is None:
            received = session.delivered[message.key] = Received()
            session.owed.pop(message.key, None)
            self._check_order(session, message, packet)
        received.count += 1
        if not packet.dup:
            received.plain_count += 1
        if received.count == 1:
            return
        if packet.qos == QOS_2 and message.qos == QOS_2 and message.copies_max == 1:
            book.violate("ONCE", f"{session.client_id} got {message} before", f"it got it again at {book.now_ms} ms")
        elif received.plain_count > message.copies_max:
            law = "M11" if message.is_will else "M5" if QOS_0 in (packet.qos, message.qos) else "M2"
            book.violate(
                law,
                f"{session.client_id} got {message} before, and it was sent {message.copies_max} times at most",
                f"it got it again without DUP at {book.now_ms} ms",
            )

    def _check_order(self, session: Session, message: Published, packet: Publish) -> None:
        """M6, on first deliveries. Who shares a subscription sees a part in any order."""
        if session.share_group or message.is_will:
            return
        connection = message.connection if QOS_0 in (message.qos, packet.qos) else 0
        key = (message.publisher, message.topic_name, message.qos * 4 + packet.qos, connection)
        last = session.last_number.get(key, 0)
        if message.number > last:
            session.last_number[key] = message.number
            return
        # A QoS 1 message that is sent again is another one to the broker: its first copy may have come before the
        # subscription, or at QoS 0 while the session was not connected, or have expired.
        is_resent = message.copies_max > 1
        is_lasting = packet.qos != QOS_0 and message.expiry_s == NO_EXPIRY
        if not is_resent or (is_lasting and any(standing.granted > 0 for standing in session.certain(message))):
            self._book.violate(
                "ORDER",
                f"{session.client_id} got number {last} of {message.publisher} on {message.topic_name}",
                f"it got number {message.number} of the same QoS for the first time after it",
            )

    def _check_expiry(self, session: Session, message: Published, packet: Publish, version: int) -> None:
        """M12: what waited longer than its expiry is not sent, and what is sent says how long is left."""
        book = self._book
        if message.expiry_s == NO_EXPIRY or packet.dup or not book.is_time_even:
            return
        expiry_ms = message.expiry_s * 1000
        most_ms = book.now_ms - message.sent_ms
        least_ms = book.now_ms - message.sent_again_ms
        if least_ms > expiry_ms + EXPIRY_SLACK_MS:
            book.violate(
                "M12",
                f"{message} expires after {message.expiry_s} s",
                f"{session.client_id} got it {least_ms} ms after it was sent",
            )
        if version != V5:
            return
        left_ms = packet.message_expiry_s * 1000
        if (
            left_ms > expiry_ms
            or left_ms < expiry_ms - most_ms - 1000
            or left_ms > expiry_ms - least_ms + EXPIRY_SLACK_MS
        ):
            book.violate(
                "M12",
                f"{message} expires after {message.expiry_s} s and was sent {most_ms} ms ago",
                f"{session.client_id} was told that {packet.message_expiry_s} s are left",
            )
