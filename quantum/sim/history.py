"""What happened in a run, event by event with its causes: collected only when somebody will look at it.

A run is made twice when it is to be seen: once without a history, fast; then once more with one. A history changes
nothing: the digests are equal. Everything a page or a trace file shows comes from here and from nowhere else.
"""

from dataclasses import dataclass
from typing import Final, final

EVENTS_MAX: Final = 1_000_000  # beyond, the oldest half is forgotten: what broke a law stands at the end

# Kinds, and what their two numbers mean. An arrow goes from a SEND to every DELIVER and DROP that names it as a cause.
SEND: Final = 1  # a: the lane it is meant for
DELIVER: Final = 2  # a: the lane it came from; a second one of the same SEND is a duplicate
DROP: Final = 3  # on the lane it was meant for, or the sender's; a: the lane it came from
KILL: Final = 4  # the process ended, its machine did not
POWER: Final = 5  # the machine lost power; a: sectors lost, b: sectors that were not synced
START: Final = 6  # a: incarnation
ROLE: Final = 7  # a: a role of ROLE_NAMES, b: term
FSYNC_BEGIN: Final = 8  # a: number of the request
FSYNC_END: Final = 9  # a: number of the request; names its FSYNC_BEGIN as a cause; b: 1 when it failed
COMMIT: Final = 10  # a: commit index
APPLY: Final = 11  # a: applied index
DURABLE: Final = 12  # a: durable index
PACKET: Final = 13  # one MQTT packet on a client's lane; a: packet id or 0, b: PACKET_TO_NODE or PACKET_TO_CLIENT
FAULT: Final = 14  # the nemesis acts; a: 1 when it begins or is an instant, 2 when it ends
VIOLATION: Final = 15  # the law and the two facts
CLIENT: Final = 16  # a client acts: connects, calls, is answered
MEMBERSHIP: Final = 17  # a configuration takes effect on this node
SNAPSHOT: Final = 18  # one was cut, installed or refused; a: index
NOTE: Final = 19  # anything else a reader wants to know: an event of the node, a damage found
KIND_NAMES: Final = (
    "",
    "send",
    "deliver",
    "drop",
    "kill",
    "power",
    "start",
    "role",
    "fsync-begin",
    "fsync-end",
    "commit",
    "apply",
    "durable",
    "packet",
    "fault",
    "violation",
    "client",
    "membership",
    "snapshot",
    "note",
)
FOLLOWER: Final = 0
PRE_CANDIDATE: Final = 1
CANDIDATE: Final = 2
LEADER: Final = 3
LEARNER: Final = 4
ROLE_NAMES: Final = ("follower", "pre-candidate", "candidate", "leader", "learner")
PACKET_TO_NODE: Final = 0
PACKET_TO_CLIENT: Final = 1

# Lanes: the world is 0, a node is its own number, a client comes after CLIENT_LANE.
WORLD_LANE: Final = 0
CLIENT_LANE: Final = 1_000_000


def client_lane(number: int) -> int:
    """The lane of a client, by its number from 0."""
    return CLIENT_LANE + number


def lane_name(lane: int) -> str:
    """For people."""
    if lane == WORLD_LANE:
        return "world"
    return f"node {lane}" if lane < CLIENT_LANE else f"client {lane - CLIENT_LANE}"


@final
@dataclass(slots=True)
class HistoryEvent:
    """One thing that happened on one lane."""

    number: int  # from 1
    time_us: int
    lane: int
    kind: int
    text: str
    causes: tuple[int, ...]  # numbers of earlier events without which this one would not be
    a: int = 0
    b: int = 0


@final
class History:
    """Append-only. Give what happens on one lane its predecessor there as a cause only when it is one."""

    __slots__ = ("_count", "events", "forgotten_count")

    def __init__(self) -> None:
        self.events: list[HistoryEvent] = []
        self.forgotten_count = 0
        self._count = 0

    def add(
        self, time_us: int, lane: int, kind: int, text: str, causes: tuple[int, ...] = (), a: int = 0, b: int = 0
    ) -> int:
        """Note one event; its number is a cause for later ones. A cause of 0 says: none."""
        assert SEND <= kind <= NOTE
        self._count += 1
        number = self._count
        known = tuple(cause for cause in causes if cause)
        assert all(0 < cause < number for cause in known)
        self.events.append(HistoryEvent(number, time_us, lane, kind, text, known, a, b))
        if len(self.events) > EVENTS_MAX:
            half = len(self.events) // 2
            self.forgotten_count += half
            del self.events[:half]
        return number

    def lines(self) -> list[str]:
        """The trace file: one line an event, in order."""
        return [line_of(event) for event in self.events]


def line_of(event: HistoryEvent) -> str:
    """One event as one line: number, time, lane, kind, text, and what caused it."""
    causes = f"  <- {' '.join(map(str, event.causes))}" if event.causes else ""
    return (
        f"{event.number:>7}  {event.time_us // 1000:>7}.{event.time_us % 1000:03} ms  {lane_name(event.lane):<10}  "
        f"{KIND_NAMES[event.kind]:<11}  {event.text}{causes}"
    )
