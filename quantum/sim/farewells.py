"""Wills that a DISCONNECT takes back: when is it sure that the node took note?

A will is surely gone when the DISCONNECT arrived, and after it nothing disturbed the cluster for a while. Anything less
leaves it open: an edge that is cut off may be declared lost before its DISCONNECT is in the log. Source: MQTT 5.0
§3.14.4.
"""

from dataclasses import dataclass
from typing import Final, final

CERTAIN_US: Final = 3_000_000


@final
@dataclass(slots=True)
class _Farewell:
    will_key: bytes
    client: int
    node: int  # its connection led there
    arrived_us: int  # 0: on its way


@final
class Farewells:
    """DISCONNECTs by the number of their link."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: dict[int, _Farewell] = {}

    def on_sent(self, link_number: int, client: int, node: int, will_key: bytes) -> None:
        """A client said farewell."""
        self._held[link_number] = _Farewell(will_key, client, node, 0)

    def on_arrived(self, link_number: int, now_us: int) -> None:
        """The end of its connection reached the node, behind the DISCONNECT."""
        farewell = self._held.get(link_number)
        if farewell is not None:
            farewell.arrived_us = now_us

    def on_reconnected(self, client: int, node: int) -> None:
        """A connection of the same client was accepted: it may take over before the DISCONNECT arrives, or before the
        other node's word of it is in the log."""
        for number, farewell in list(self._held.items()):
            if farewell.client == client and (farewell.node != node or not farewell.arrived_us):
                del self._held[number]

    def forget(self, link_number: int) -> None:
        """Nobody can say any more."""
        self._held.pop(link_number, None)

    def on_disturbed(self) -> None:
        """A process ended or stood still, or nodes could not talk: nothing is sure."""
        self._held = {}

    def take_certain(self, now_us: int) -> list[tuple[bytes, int]]:
        """(will, when its DISCONNECT arrived) of those that are surely gone."""
        if not self._held:
            return []
        certain = [
            (number, farewell)
            for number, farewell in self._held.items()
            if farewell.arrived_us and now_us - farewell.arrived_us > CERTAIN_US
        ]
        for number, _ in certain:
            del self._held[number]
        return [(farewell.will_key, farewell.arrived_us) for _, farewell in certain]
