"""The connections that a route reaches at this edge, sorted by what they take."""

from dataclasses import dataclass
from typing import final

from quantum.core.broker.effects import Receiver
from quantum.core.edge.connections import EdgeConnection


@final
@dataclass(slots=True, eq=False)
class Target:
    """A receiver with its connection."""

    connection: EdgeConnection
    receiver: Receiver


@final
class Targets:
    """The connections of one route: those that take a plain packet as it is, by protocol, and the others."""

    __slots__ = ("all", "others", "v3", "v5")

    def __init__(self) -> None:
        self.v3: list[EdgeConnection] = []
        self.v5: list[EdgeConnection] = []
        self.others: list[Target] = []
        self.all: list[Target] = []  # of ephemeral sessions, for what comes out of the log

    def plain_count(self) -> int:
        """How many get a QoS 0 message."""
        return len(self.v3) + len(self.v5) + len(self.others)
