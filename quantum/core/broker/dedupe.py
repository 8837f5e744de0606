"""The Packet Identifiers of QoS 2 messages received from a replicated session and not yet released.

An identifier is known exactly as long as its exchange is open: from the PUBLISH to the PUBREL. Neither time nor the DUP
flag decides whether a message came before [MQTT-4.3.3-10]. At most 65535 by their nature.
"""

from typing import final


@final
class ReceivedIds:
    """A set of Packet Identifiers."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[int, None] | None = None  # most sessions never receive QoS 2

    def __contains__(self, packet_id: int) -> bool:
        return self._ids is not None and packet_id in self._ids

    def __len__(self) -> int:
        return 0 if self._ids is None else len(self._ids)

    def add(self, packet_id: int) -> None:
        if self._ids is None:
            self._ids = {}
        self._ids[packet_id] = None

    def remove(self, packet_id: int) -> None:
        """The exchange is over; the identifier must be known."""
        assert self._ids is not None
        del self._ids[packet_id]

    def to_list(self) -> list[int]:
        """Ascending."""
        return [] if self._ids is None else sorted(self._ids)
