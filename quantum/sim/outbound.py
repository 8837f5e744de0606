"""A client's own publications: the exchanges it began, in their order, and what the server owes it for them.

They outlive a Network Connection when the session does. What was sent is sent again, with DUP, on the next connection of
the session and at no other time. Source: MQTT 5.0 §4.3, §4.4, §4.6.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.mqtt.packets import QOS_1, Publish, Pubrel
from quantum.sim.promises import Promises
from quantum.sim.session_page import Session

PACKET_IDS: Final = 24  # small, so that ids are used again while others are open
REFUSED: Final = 0x80

# How far an exchange has come.
WANTS_PUBACK: Final = 1
WANTS_PUBREC: Final = 2
WANTS_PUBCOMP: Final = 3
_NAMES: Final = ("", "PUBACK", "PUBREC", "PUBCOMP")
_CUTS: Final = ("", "mqtt.qos1.cut-before-puback", "mqtt.qos2.cut-before-pubrec", "mqtt.qos2.cut-before-pubcomp")


@final
@dataclass(slots=True, eq=False)
class _Outgoing:
    packet: Publish
    key: bytes
    state: int
    sent_at: int  # the fact's number, and the time, of its last sending
    sent_ms: int


@final
class Outbound:
    """By Packet Identifier, in the order of first sending."""

    __slots__ = ("_last_id", "_open", "_promises", "_session", "will_key")

    def __init__(self, session: Session, promises: Promises) -> None:
        self._session = session
        self._promises = promises
        self._open: dict[int, _Outgoing] = {}
        self._last_id = 0
        self.will_key = b""  # of the open connection

    def __len__(self) -> int:
        return len(self._open)

    def new_id(self, taken: dict[int, object]) -> int:
        """A Packet Identifier that no exchange and no request has. [MQTT-2.2.1-3]"""
        while True:
            self._last_id = self._last_id % max(PACKET_IDS, 2 * (len(self._open) + len(taken)) + 8) + 1
            if self._last_id not in self._open and self._last_id not in taken:
                return self._last_id

    def on_sent(self, packet: Publish, key: bytes) -> None:
        """A PUBLISH with QoS 1 or 2 left for the first time; its packet has an id."""
        book = self._promises.book
        state = WANTS_PUBACK if packet.qos == QOS_1 else WANTS_PUBREC
        self._open[packet.packet_id] = _Outgoing(packet, key, state, book.clock, book.now_ms)

    def on_connection_ends(self) -> None:
        """What is open is cut in two."""
        for outgoing in self._open.values():
            self._promises.book.sometimes(_CUTS[outgoing.state])

    def forget(self) -> None:
        """The session is gone, and its exchanges with it."""
        self._open = {}

    def resend(self) -> list[Publish | Pubrel]:
        """What a resumed session sends first, in the order of old. [MQTT-4.4.0-1] [MQTT-4.6.0-1]"""
        found: list[Publish | Pubrel] = []
        book = self._promises.book
        for packet_id, outgoing in self._open.items():
            if outgoing.state == WANTS_PUBCOMP:
                found.append(Pubrel(packet_id))
                book.sometimes("mqtt.client.resent-pubrel")
                continue
            outgoing.packet.dup = True
            self._promises.on_republish(outgoing.key)
            outgoing.sent_at = book.clock
            outgoing.sent_ms = book.now_ms
            found.append(outgoing.packet)
            book.sometimes("mqtt.client.resent-qos1" if outgoing.state == WANTS_PUBACK else "mqtt.client.resent-qos2")
        return found

    def on_accepted(self, packet_id: int, reason_code: int, state: int) -> Pubrel | None:
        """PUBACK or PUBREC arrived; returns the answer."""
        outgoing = self._open.get(packet_id)
        if state == WANTS_PUBREC and outgoing is not None and outgoing.state == WANTS_PUBCOMP:
            return Pubrel(packet_id)  # The PUBREC came again, behind a PUBLISH that was sent again.
        if outgoing is None or outgoing.state != state:
            self._on_unexpected(packet_id, state)
            return None
        self._promises.on_alive(self._session, self.will_key, outgoing.sent_at, outgoing.sent_ms)
        self._promises.on_accepted(outgoing.key, reason_code)
        if state == WANTS_PUBACK or reason_code >= REFUSED:
            del self._open[packet_id]
            return None
        outgoing.state = WANTS_PUBCOMP
        return Pubrel(packet_id)

    def on_pubcomp(self, packet_id: int) -> None:
        """The exchange is over."""
        outgoing = self._open.get(packet_id)
        if outgoing is None or outgoing.state != WANTS_PUBCOMP:
            self._on_unexpected(packet_id, WANTS_PUBCOMP)
        else:
            del self._open[packet_id]

    def _on_unexpected(self, packet_id: int, state: int) -> None:
        self._promises.violate(
            "M14",
            f"{self._session.client_id} has no exchange {packet_id} that waits for it",
            f"it got {_NAMES[state]} {packet_id}",
        )
