"""What clients were promised, and whether it was kept: facts in, violations out.

Sees only what clients saw, so it cannot share a mistake with the broker. Every payload in a run is unique, which tells
each message and each will from all others. What is unknown stays unknown: an exchange that broke off owes nothing. The
judgements are in the oracles; here is who hears of which fact, and what sessions are owed.
"""

from typing import Final, final

from quantum.core.mqtt.packets import NO_EXPIRY, Publish, Subscription, Will
from quantum.sim.book import Book, Violation
from quantum.sim.delivery_oracle import RETAINED, DeliveryOracle
from quantum.sim.marks import Marks
from quantum.sim.published import Published
from quantum.sim.registers import OPEN_END
from quantum.sim.retained_oracle import RetainedOracle
from quantum.sim.session_page import Session, Standing
from quantum.sim.session_register import EXISTS, NONE
from quantum.sim.shared_oracle import SharedOracle
from quantum.sim.topic_match import Matcher
from quantum.sim.will_oracle import WillOracle

NO_MATCHING_SUBSCRIBERS: Final = 0x10
REFUSED: Final = 0x80


@final
class Promises:
    """The book of one run, and its oracles."""

    __slots__ = (
        "_deliveries",
        "_matcher",
        "_probes",
        "_shared",
        "_wills",
        "book",
        "delivery_count",
        "published",
        "retained",
        "sessions",
    )

    def __init__(self, marks: Marks | None = None) -> None:
        self.book = Book(Marks() if marks is None else marks)
        self.published: dict[bytes, Published] = {}
        self.sessions: dict[str, Session] = {}
        self.delivery_count = 0
        self._probes: list[Published] = []
        self._matcher = Matcher()
        self._deliveries = DeliveryOracle(self.book)
        self._shared = SharedOracle(self.book)
        self._wills = WillOracle(self.book)
        self.retained = RetainedOracle(self.book, self._matcher)

    # -- the book, as the world sees it -----------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """Simulated time."""
        return self.book.now_ms

    @now_ms.setter
    def now_ms(self, now_ms: int) -> None:
        self.book.now_ms = now_ms

    @property
    def is_time_even(self) -> bool:
        """No clock jumps, no pauses: what clients measure is what the broker measures."""
        return self.book.is_time_even

    @is_time_even.setter
    def is_time_even(self, is_time_even: bool) -> None:
        self.book.is_time_even = is_time_even

    @property
    def violations(self) -> list[Violation]:
        """Laws that were broken, in the order in which it was noticed."""
        return self.book.violations

    def violate(self, law: str, first: str, second: str) -> None:
        """Note a contradiction."""
        self.book.violate(law, first, second)

    # -- publishing -------------------------------------------------------------------------------------------------

    def on_publish(self, publisher: str, number: int, key: bytes, packet: Publish, connection: int = 0) -> Published:
        """A PUBLISH left for the first time; its key is its payload, or `delete_key` when that is empty."""
        at = self.book.tick()
        message = self.published[key] = Published(
            publisher,
            number,
            packet.topic_name,
            key,
            packet.qos,
            packet.retain,
            packet.message_expiry_s,
            at,
            self.book.now_ms,
            packet.properties,
            connection,
            len(packet.topic_name) + len(packet.payload) + len(packet.properties),
            self.book.now_ms,
        )
        message.sends.append(at)
        if packet.retain:
            self.retained.on_write(message)
        return message

    def on_probe(self, key: bytes) -> None:
        """It was sent when nothing was wrong, and is not lost on the way."""
        self.published[key].is_probe = True
        self._probes.append(self.published[key])

    def on_stale_publish(self, key: bytes, why: str) -> None:
        """It was sent on a connection after another one of the same client was accepted. M10 [MQTT-3.1.4-3]"""
        self.published[key].never = ("M10", why)
        self.book.sometimes("mqtt.takeover.stale-publish")

    def on_republish(self, key: bytes) -> None:
        """The same PUBLISH left again, with DUP."""
        message = self.published[key]
        message.send_count += 1
        message.is_repeatable = message.is_repeatable or self.sessions[message.publisher].is_loose
        message.sends.append(self.book.tick())
        message.sent_again_ms = self.book.now_ms

    def on_accepted(self, key: bytes, reason_code: int) -> None:
        """PUBACK or PUBREC arrived."""
        at = self.book.tick()
        message = self.published[key]
        if reason_code >= REFUSED:
            # One that was sent several times may have been accepted before.
            message.is_refused = message.send_count == 1
            return
        if message.acked_at:
            return
        message.acked_at = at
        if message.is_delete:
            return
        self._shared.on_accepted(message)
        owing = [session for session in self.sessions.values() if session.owing(message) is not None]
        standing = [session for session in owing if session.is_lasting and session.never_expires]
        if reason_code == NO_MATCHING_SUBSCRIBERS and standing:
            self.violate(
                "M1",
                f"{standing[0].client_id} had a subscription that matches {message.topic_name}",
                f"{message} was acknowledged with reason code 0x10, no matching subscribers",
            )
        for session in owing:
            if message.expiry_s == NO_EXPIRY and not session.share_group and not session.has_got(message.key):
                session.owed[message.key] = message

    # -- sessions ---------------------------------------------------------------------------------------------------

    def session(self, client_id: str, share_group: str, never_expires: bool, packet_bytes_max: int = 0) -> Session:
        """The session's page in the book."""
        found = self.sessions.get(client_id)
        if found is None:
            found = self.sessions[client_id] = Session(
                client_id, share_group, self._matcher, never_expires=never_expires, packet_bytes_max=packet_bytes_max
            )
        return found

    def on_connect(self, session: Session, clean_start: bool) -> None:
        """A CONNECT left."""
        self.book.tick()
        if clean_start:
            self._wills.on_clean_start(session.client_id)
            self._end(session)

    def on_connect_abandoned(self, session: Session, clean_start: bool, is_lasting: bool) -> None:
        """The connection is over for the client, which never got an answer: it may be acted on whenever it arrives."""
        session.register.on_stray(is_lasting)
        session.has_clean_stray = session.has_clean_stray or clean_start
        session.is_loose = session.is_loose or clean_start
        self.book.sometimes("mqtt.client.stray-connect")

    def on_connack(
        self, session: Session, session_present: bool, clean_start: bool, may_have_expired: bool, is_lasting: bool
    ) -> None:
        """A CONNACK of success arrived. Laws ACK and M9."""
        book = self.book
        book.tick()
        register = session.register
        if session_present and clean_start:
            self.violate(
                "M9", f"CONNECT of {session.client_id} asked for a clean start", "CONNACK says session present"
            )
        elif session_present and not register.may_be(EXISTS):
            self.violate(
                "M9",
                f"{session.client_id} has no session: there was none yet, or it ended with its connection",
                f"CONNACK at {book.now_ms} ms says session present",
            )
        elif not session_present and not clean_start and not may_have_expired and not register.may_be(NONE):
            self.violate(
                "ACK",
                f"the session of {session.client_id} was acknowledged and has not expired",
                f"CONNACK at {book.now_ms} ms says that it is not present",
            )
        if session_present and register.may_be_anew(may_have_expired):
            session.is_loose = True
            book.sometimes("mqtt.session.unsure")
        register.on_connected(is_lasting)
        session.online_since = book.clock
        session.is_lasting = is_lasting
        if not session_present:
            self._end(session)
            return
        if session.is_loose:
            self._shared.on_session_ends(session, book.clock)  # The one before may have ended only now.
        if not clean_start:
            book.sometimes("mqtt.session.resumed")

    def on_let_go(self, session: Session) -> None:
        """A DISCONNECT left that sets the Session Expiry Interval to 0. 3.14.2.2.2"""
        session.register.on_let_go()
        session.is_lasting = False
        self._shared.on_session_ends(session, self.book.tick())
        self.book.sometimes("mqtt.client.let-session-go")

    def on_alive(self, session: Session, will_key: bytes, sent_at: int, sent_ms: int) -> None:
        """What was sent then on its connection was answered from the log."""
        session.alive_ms = max(session.alive_ms, sent_ms)
        if will_key:
            self._wills.on_alive(will_key, sent_at, sent_ms)

    def on_session_ends(self, session: Session) -> None:
        """The client let go of it: an ephemeral one ends with its connection."""
        self.book.tick()
        self._end(session)

    def on_left(self, session: Session) -> None:
        """Its client does not come back."""
        session.has_left = True
        self._shared.on_abandoned(session)

    def on_disturbed(self) -> None:
        """Something is wrong with the nodes or between them."""
        self._shared.on_disturbed(self.book.clock)

    def on_requests_lost(self, session: Session) -> None:
        """The connection ended: whether what it carried without acknowledgement had arrived, nobody can tell."""
        session.online_since = OPEN_END
        self._probes = [message for message in self._probes if message.publisher != session.client_id]
        session.on_requests_lost(self.book.tick())

    def on_subscribe(self, session: Session, subscription: Subscription, subscription_id: int) -> None:
        """A SUBSCRIBE left."""
        session.on_subscribe(self.book.tick(), subscription, subscription_id)
        if session.share_group:
            self._shared.on_subscribe(session, session.share_group)

    def on_suback(self, session: Session, topic_filter: str, reason_code: int) -> None:
        """Granted or refused."""
        standing = session.on_suback(self.book.tick(), topic_filter, reason_code)
        if standing is not None and reason_code > standing.subscription.qos:
            self.violate(
                "M7",
                f"{session.client_id} asked for {topic_filter} with QoS {standing.subscription.qos}",
                f"SUBACK granted QoS {reason_code}",
            )

    def on_unsubscribe(self, session: Session, topic_filter: str) -> None:
        """An UNSUBSCRIBE left: nothing more is owed."""
        session.on_unsubscribe(self.book.tick(), topic_filter)

    def on_unsuback(self, session: Session, topic_filter: str) -> None:
        """No new match may come."""
        session.on_unsuback(self.book.tick(), topic_filter)

    def _end(self, session: Session) -> None:
        self._shared.on_session_ends(session, self.book.tick())
        session.end()

    # -- deliveries -------------------------------------------------------------------------------------------------

    def on_delivery(self, session: Session, packet: Publish, version: int) -> None:
        """The application got a message: a QoS 2 PUBLISH that the client's own state filtered does not come here."""
        if not packet.payload:
            return  # A retained message was deleted.
        self.book.tick()
        self.delivery_count += 1
        message = self.published.get(packet.payload)
        will = None
        if message is None:
            message = will = self._wills.message(packet.payload)
        kind = self._deliveries.judge(session, message, packet, version)
        if kind < 0 or message is None:
            return
        if packet.retain and message.retain:
            self.retained.on_found(session, message, kind == RETAINED, packet.dup)
        if kind == RETAINED:
            return
        if session.share_group:
            self._shared.on_delivery(session, message, packet.qos)
        if will is not None:
            self._wills.on_delivery(session, will.key)

    # -- wills ------------------------------------------------------------------------------------------------------

    def on_will_sent(self, client_id: str, will: Will, is_lasting: bool = True) -> None:
        """A CONNECT with this will left."""
        book = self.book
        message = Published(
            client_id,
            0,
            will.topic_name,
            will.payload,
            will.qos,
            will.retain,
            will.message_expiry_s,
            book.tick(),
            book.now_ms,
            will.properties,
            size=len(will.topic_name) + len(will.payload) + len(will.properties),
            is_will=True,
        )
        self._wills.on_sent(message, will.delay_s, is_lasting)
        if will.retain:
            self.retained.on_write(message)

    def on_will_armed(self, key: bytes, sent_ms: int) -> None:
        """The CONNACK arrived for the CONNECT that had it."""
        self._wills.on_armed(key, self.book.tick(), sent_ms)
        self.retained.on_will_armed(key)

    def on_will_resumed(self, key: bytes) -> None:
        """The session of its connection went on with another one."""
        self._wills.on_resumed(key)

    def on_will_due(self, key: bytes) -> None:
        """The connection ended without DISCONNECT, and no delay can save it."""
        self._wills.on_due(key)

    def on_will_unknown(self, key: bytes) -> None:
        """The server has no way to notice the end of that connection before its keep alive does."""
        self._wills.on_unknown(key)

    def on_will_removed(self, key: bytes, why: str) -> None:
        """The server surely took note of a DISCONNECT with reason code 0."""
        self._wills.on_removed(key, why)

    # -- the end ----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Everybody is connected and had time: whatever is owed and did not come is lost. Laws ACK, M11, M13."""
        for session, message, standing in self.owed():
            self.violate(
                "ACK",
                f"{message} with QoS {message.qos} was acknowledged to {message.publisher}",
                f"{session.client_id}, subscribed to {standing.topic_filter} before it was sent, never got it",
            )
        self._shared.finish()
        for group, message in self._shared.owed():
            self.violate(
                "M13",
                f"{message} with QoS {message.qos} was acknowledged to {message.publisher}",
                f"no member of the shared group {group} ever got it",
            )
        for session, message in self._wills.missing(list(self.sessions.values())):
            self.violate(
                "M11",
                f"the connection with the will {message.key!r} ended without DISCONNECT",
                f"{session.client_id}, subscribed to {message.topic_name}, never got it",
            )
        self._check_probes()
        for session in self.sessions.values():
            if not session.has_left:
                self.retained.on_nothing_more(session)

    def _check_probes(self) -> None:
        for message in self._probes:
            for session in self.sessions.values():
                if not session.expecting(message):
                    continue
                self.book.sometimes("mqtt.qos0.probe-expected")
                if not session.has_got(message.key):
                    self.violate(
                        "L2",
                        f"{message} with QoS 0 was sent when nothing was wrong, over a connection that held",
                        f"{session.client_id}, connected and subscribed since before, never got it",
                    )

    def owed(self) -> list[tuple[Session, Published, Standing]]:
        """Acknowledged messages that a standing subscription has not got yet."""
        found: list[tuple[Session, Published, Standing]] = []
        for session in self.sessions.values():
            if session.has_left:
                continue
            for message in session.owed.values():
                standing = session.owing(message)
                if standing is not None:
                    found.append((session, message, standing))
        return found

    def is_owing(self) -> bool:
        """Something acknowledged has not arrived everywhere."""
        return bool(self.owed() or self._shared.owed())

    def check_retained(self, client_id: str, found: dict[str, bytes]) -> None:
        """M8: what was read of every retained topic has one order; `found` is what a late subscriber got of all."""
        self.retained.on_last_read(self.sessions[client_id], found)
        self.retained.finish()
