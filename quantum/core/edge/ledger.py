"""What became of the messages this edge owed to its connections (law CONSERVE, the edge's share).

A delivery is created when a message is handed to a connection of an ephemeral session, or at QoS 0 to any connection;
from then on it is open until it is delivered (acknowledged, or written at QoS 0), expired, dropped for a cause, or
given back to the log: its session has ended, and another member of its shared group is to have it.
"""

from typing import final

from quantum.core.causes import Cause


@final
class EdgeLedger:
    """created = delivered + open + expired + given back + dropped{cause}, at any time."""

    __slots__ = ("created", "delivered", "dropped", "expired", "given_back", "open", "received", "sent")

    def __init__(self) -> None:
        self.received = 0  # PUBLISH packets from clients, of any QoS
        self.created = 0
        self.delivered = 0
        self.open = 0  # queued, in flight, or on its way back to the log
        self.expired = 0
        self.given_back = 0
        self.sent = 0  # PUBLISH packets for replicated sessions, whose deliveries stand in the partition's ledger
        self.dropped: dict[int, int] = {}  # Cause.number → count

    def drop(self, cause: Cause, count: int) -> None:
        """Deliveries that were created and end here; whoever calls takes them out of `open` where they were in it."""
        self.dropped[cause.number] = self.dropped.get(cause.number, 0) + count

    def is_balanced(self) -> bool:
        """Law CONSERVE."""
        ended = self.delivered + self.expired + self.given_back + sum(self.dropped.values())
        return self.created == self.open + ended
