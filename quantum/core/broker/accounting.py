"""The ledger of one partition (law CONSERVE): every publish and every copy of a message is in exactly one column.

Publishes: accepted, or refused with a cause; of those accepted, some asked to be retained and were not. Copies: created =
queued + in flight + delivered + expired + dropped with a cause. A copy handed to an edge for an ephemeral session, or
sent with QoS 0, counts as delivered here; what becomes of it then stands in the edge's ledger. One that an edge gives
back, for another member of a shared group, is created anew.
"""

from dataclasses import dataclass
from typing import Any, Final, final

from quantum.core.causes import ALL_CAUSES, Cause

CAUSE_BY_NUMBER: Final[dict[int, Cause]] = {cause.number: cause for cause in ALL_CAUSES}


@final
@dataclass(init=False, slots=True, eq=False)
class Accounting:
    """Counters are state; what is queued and in flight follows from the sessions and is counted on restore."""

    accepted: int  # publishes; the number of the newest message
    duplicates: int  # QoS 2 publishes received again while their exchange was open
    refused: dict[int, int]  # publishes by Cause.number
    unretained: dict[int, int]  # accepted publishes by Cause.number
    created: int  # copies
    delivered: int
    expired: int
    dropped: dict[int, int]  # copies by Cause.number
    queued: int
    in_flight: int
    held_bytes: int  # of the copies queued and in flight

    def __init__(self) -> None:
        self.accepted = 0
        self.duplicates = 0
        self.refused = {}
        self.unretained = {}
        self.created = 0
        self.delivered = 0
        self.expired = 0
        self.dropped = {}
        self.queued = 0
        self.in_flight = 0
        self.held_bytes = 0

    def refuse(self, cause: Cause) -> None:
        """A publish was refused."""
        self.refused[cause.number] = self.refused.get(cause.number, 0) + 1

    def leave_unretained(self, cause: Cause) -> None:
        """A publish was accepted and delivered, and not retained."""
        self.unretained[cause.number] = self.unretained.get(cause.number, 0) + 1

    def drop(self, cause_number: int) -> None:
        """A copy was dropped."""
        self.dropped[cause_number] = self.dropped.get(cause_number, 0) + 1

    def is_balanced(self) -> bool:
        """Whether every copy ever created is in exactly one column."""
        gone = self.delivered + self.expired + sum(self.dropped.values())
        return self.created == gone + self.queued + self.in_flight

    def to_dict(self) -> dict[str, int | dict[str, int]]:
        """For operators: causes by their id."""
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "refused": _by_cause_id(self.refused),
            "unretained": _by_cause_id(self.unretained),
            "created": self.created,
            "delivered": self.delivered,
            "queued": self.queued,
            "in_flight": self.in_flight,
            "expired": self.expired,
            "dropped": _by_cause_id(self.dropped),
        }

    def to_row(self) -> tuple[Any, ...]:
        return (
            self.accepted,
            self.duplicates,
            sorted(self.refused.items()),
            self.created,
            self.delivered,
            self.expired,
            sorted(self.dropped.items()),
            sorted(self.unretained.items()),
        )

    def restore_row(self, row: tuple[Any, ...]) -> None:
        """Inverse of `to_row`, on a fresh ledger."""
        self.accepted = row[0]
        self.duplicates = row[1]
        self.refused = dict(row[2])
        self.created = row[3]
        self.delivered = row[4]
        self.expired = row[5]
        self.dropped = dict(row[6])
        self.unretained = dict(row[7])


def _by_cause_id(counts: dict[int, int]) -> dict[str, int]:
    return {CAUSE_BY_NUMBER[number].id: counts[number] for number in sorted(counts)}
