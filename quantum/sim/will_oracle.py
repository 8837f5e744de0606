"""Will Messages: whether one came, came once, and came when it was to. M11.

What a client sees of its own connection is late: a node that is cut off still answers PINGREQ after the others closed the
connection for it. But an acknowledgement of a QoS 1 or 2 exchange goes through the log, so the connection was open there
when that exchange was sent. Source: MQTT 5.0 §3.1.2.5, §3.1.3.2.2.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.sim.book import Book
from quantum.sim.published import Published
from quantum.sim.session_page import Session

EARLY_SLACK_MS: Final = 1_500  # wall clocks of two nodes, a second of resolution


@final
@dataclass(slots=True, eq=False)
class _Will:
    message: Published
    delay_s: int
    is_bound_to_connection: bool  # its session ends with the connection, and so does the delay
    opened_at: int = 0  # CONNACK seen
    alive_ms: int = 0  # the connection surely was open in the log at or after that time
    must_come: bool = False
    must_not_come: str = ""  # why
    first_at: int = 0  # the fact of its first delivery to anybody
    first_to: str = ""


@final
class WillOracle:
    """All wills of a run, by payload."""

    __slots__ = ("_book", "_of_client", "_wills")

    def __init__(self, book: Book) -> None:
        self._book = book
        self._wills: dict[bytes, _Will] = {}
        self._of_client: dict[str, list[_Will]] = {}  # whose delay a clean start may cut short

    def message(self, key: bytes) -> Published | None:
        """The will with this payload."""
        will = self._wills.get(key)
        return None if will is None else will.message

    def on_sent(self, message: Published, delay_s: int, is_lasting: bool) -> None:
        """A CONNECT with this will left."""
        will = self._wills[message.key] = _Will(message, delay_s, not is_lasting)
        self._of_client.setdefault(message.publisher, []).append(will)

    def on_clean_start(self, client_id: str) -> None:
        """A CONNECT with Clean Start left: the session before ends, and its delay with it. [MQTT-3.1.2-8]"""
        for will in self._of_client.get(client_id, ()):
            will.is_bound_to_connection = True
        self._of_client[client_id] = []

    def on_armed(self, key: bytes, at: int, sent_ms: int) -> None:
        """The CONNACK arrived for the CONNECT that had it."""
        will = self._wills[key]
        will.opened_at = at
        will.alive_ms = sent_ms

    def on_alive(self, key: bytes, sent_at: int, sent_ms: int) -> None:
        """Something that was sent then on its connection was acknowledged from the log."""
        will = self._wills[key]
        will.alive_ms = max(will.alive_ms, sent_ms)
        if will.first_at and will.first_at < sent_at:
            self._book.violate(
                "M11",
                f"the connection of {will.message.publisher} was open at {sent_ms} ms: what it sent was acknowledged",
                f"{will.first_to} had got the will of that connection before",
            )

    def on_due(self, key: bytes) -> None:
        """The connection ended without DISCONNECT, and no delay can save it."""
        will = self._wills[key]
        if will.opened_at:
            will.must_come = True
            self._book.sometimes("mqtt.will.due")

    def on_unknown(self, key: bytes) -> None:
        """The server has no way to notice the end of that connection before its keep alive does."""
        if key:
            self._wills[key].must_come = False
            self._wills[key].opened_at = 0

    def on_removed(self, key: bytes, why: str) -> None:
        """The server surely took note of a DISCONNECT with reason code 0. [MQTT-3.14.4-3]"""
        will = self._wills[key]
        will.must_not_come = why
        if will.first_at:
            self._book.violate("M11", why, f"{will.first_to} got the will of that connection")

    def on_resumed(self, key: bytes) -> None:
        """The session went on with another connection. [MQTT-3.1.3-9]"""
        book = self._book
        will = self._wills[key]
        left_ms = will.alive_ms + will.delay_s * 1000 - book.now_ms
        if left_ms <= EARLY_SLACK_MS or not will.opened_at or will.is_bound_to_connection or not book.is_time_even:
            return
        why = f"{will.message.publisher} went on with its session {left_ms} ms before its Will Delay passed"
        book.sometimes("mqtt.will.delay-cut-by-resume")
        if will.first_at:
            book.violate("M11", why, f"{will.first_to} got the will of the connection before")
        will.must_not_come = why

    def on_delivery(self, session: Session, key: bytes) -> None:
        """Somebody got it, not as a retained message."""
        book = self._book
        will = self._wills[key]
        if will.must_not_come:
            book.violate("M11", will.must_not_come, f"{session.client_id} got the will of that connection")
        if will.first_at:
            return
        will.first_at = book.clock
        will.first_to = session.client_id
        left_ms = will.alive_ms + will.delay_s * 1000 - book.now_ms
        if will.delay_s:
            book.sometimes("mqtt.will.delayed-came")
        if left_ms > EARLY_SLACK_MS and will.opened_at and not will.is_bound_to_connection and book.is_time_even:
            book.violate(
                "M11",
                f"{will.message.publisher} was connected at {will.alive_ms} ms, and its Will Delay is {will.delay_s} s",
                f"{session.client_id} got its will at {book.now_ms} ms",
            )

    def missing(self, sessions: list[Session]) -> list[tuple[Session, Published]]:
        """Wills that had to come to somebody and have not."""
        found: list[tuple[Session, Published]] = []
        for will in self._wills.values():
            if not will.must_come:
                continue
            for session in sessions:
                message = will.message
                if session.client_id == message.publisher or session.has_left or session.has_got(message.key):
                    continue
                standing = session.owing(message)
                if standing is not None and standing.begin < message.sent_at:
                    found.append((session, message))
        return found
