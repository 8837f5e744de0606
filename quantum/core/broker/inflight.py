"""The exchanges a replicated session has open towards its client: Packet Identifiers, their order and their window.

Only the table is here; what an acknowledgement means is in outgoing.py. Source: MQTT 5.0 §2.2.1, §4.4, §4.9.
"""

from typing import Final, final

from quantum.core.broker.queue import Copy

PACKET_ID_MAX: Final = 65_535

# The state of a copy in flight.
OWED: Final = 0  # sent on an earlier connection; to be sent again with DUP when the window of this one allows
SENT: Final = 1  # PUBLISH sent on the newest connection
RELEASED: Final = 2  # PUBREC logged: only PUBREL may be sent from here on [MQTT-4.3.3-6]


@final
class Inflight:
    """Copies by Packet Identifier, in the order they were first sent."""

    __slots__ = ("_owed", "copies", "next_packet_id", "owed_count", "released")

    def __init__(self) -> None:
        self.copies: dict[int, Copy] = {}
        self.next_packet_id = 1
        self.released: dict[int, None] = {}  # Packet Identifiers in the order of their PUBREC [MQTT-4.6.0-4]
        self.owed_count = 0
        self._owed: list[int] = []  # in reverse order; may hold identifiers that are no longer owed

    def outstanding(self) -> int:
        """How much of the client's Receive Maximum is used on this connection."""
        return len(self.copies) - self.owed_count

    def add(self, copy: Copy) -> int:
        """Put a copy in flight and return its Packet Identifier: the next free one, wrapping to 1 [MQTT-2.2.1-3]."""
        copies = self.copies
        assert len(copies) < PACKET_ID_MAX
        packet_id = self.next_packet_id
        while packet_id in copies:
            packet_id = packet_id + 1 if packet_id < PACKET_ID_MAX else 1
        self.next_packet_id = packet_id + 1 if packet_id < PACKET_ID_MAX else 1
        copy.state = SENT
        copies[packet_id] = copy
        return packet_id

    def remove(self, packet_id: int) -> None:
        """The exchange is over; its Packet Identifier is free."""
        if self.copies.pop(packet_id).state == OWED:
            self.owed_count -= 1
        self.released.pop(packet_id, None)

    def release(self, packet_id: int) -> None:
        """PUBREC is logged."""
        copy = self.copies[packet_id]
        if copy.state == OWED:
            self.owed_count -= 1
        copy.state = RELEASED
        self.released.setdefault(packet_id, None)  # a repeated PUBREC does not move it

    def owe_again(self) -> None:
        """A connection was opened: everything not released is to be sent again, in its order [MQTT-4.6.0-1]."""
        owed = []
        for packet_id, copy in self.copies.items():
            if copy.state != RELEASED:
                copy.state = OWED
                owed.append(packet_id)
        self._set_owed(owed)

    def take_owed(self) -> int:
        """The Packet Identifier of the next copy to send again, which counts as sent; 0 for none."""
        while self._owed:
            packet_id = self._owed.pop()
            copy = self.copies.get(packet_id)
            if copy is not None and copy.state == OWED:
                copy.state = SENT
                self.owed_count -= 1
                return packet_id
        return 0

    def restore(self, packet_id: int, copy: Copy) -> None:
        """Put back a copy with its state, in order; `on_restored` must follow."""
        self.copies[packet_id] = copy

    def on_restored(self) -> None:
        self._set_owed([packet_id for packet_id, copy in self.copies.items() if copy.state == OWED])

    def _set_owed(self, owed: list[int]) -> None:
        self.owed_count = len(owed)
        owed.reverse()
        self._owed = owed
