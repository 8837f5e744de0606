"""Topics laid over the members of a shared group: each topic belongs to the member whose point comes next on a ring.

Every member has as many points as every other, so shares are about even; whoever joins or leaves moves only the topics
that become or were its own. All of it is a function of the Client Identifiers, so every replica sees the same ring.
"""

import hashlib
import struct
from bisect import bisect_left, insort
from typing import Final, final

POINTS: Final = 32  # of a member: shares differ by about a fifth
_EIGHT: Final = struct.Struct(">8Q")
_ONE: Final = struct.Struct(">Q")


@final
class Ring:
    """The points of some members, ascending."""

    __slots__ = ("points",)

    def __init__(self, client_ids: list[str]) -> None:
        points: list[tuple[int, str]] = []
        for client_id in client_ids:
            points += _points_of(client_id)
        points.sort()
        self.points = points

    def add(self, client_id: str) -> None:
        """A member that is not there joins."""
        for point in _points_of(client_id):
            insort(self.points, point)

    def remove(self, client_id: str) -> None:
        """A member that is there leaves."""
        for point in _points_of(client_id):
            del self.points[bisect_left(self.points, point)]

    def start(self, topic_name: str) -> int:
        """Where on the ring the walk for a topic begins: at the point of its owner."""
        at = bisect_left(self.points, (_ONE.unpack(_digest(topic_name, 8, b"topic"))[0], ""))
        return at if at < len(self.points) else 0


def _points_of(client_id: str) -> list[tuple[int, str]]:
    points: list[tuple[int, str]] = []
    for block in range(POINTS // 8):
        digest = _digest(client_id, 64, b"member %d" % block)
        points += [(position, client_id) for position in _EIGHT.unpack(digest)]
    return points


def _digest(name: str, size: int, person: bytes) -> bytes:
    return hashlib.blake2b(name.encode(), digest_size=size, person=person).digest()


assert POINTS % 8 == 0
