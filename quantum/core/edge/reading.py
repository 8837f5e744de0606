"""Which connections are read, and when: what holds a connection back, and what lets it be read on, is counted here.

Bytes of a connection that is held are kept; one that piles up more than a little is paused, which is for the driver. Of
the connections whose wires stopped before the end of what they have, one is read on a turn, each in its turn.
"""

from collections import deque
from typing import Final, final

from quantum.core.edge.connections import AUTHENTICATING, OPEN, EdgeConnection

HELD_BYTES_MAX: Final = 65_536  # kept from a connection that is not read, before it is paused

# Why a connection is paused.
BY_WINDOW: Final = 1  # too many of its PUBLISH packets are not answered
BY_KEPT: Final = 2  # too many of its bytes are kept
BY_BACKLOG: Final = 4  # the node has not come to its bytes yet


@final
class Reading:
    """The connections of one edge."""

    __slots__ = ("_pauses", "_resumes", "_stopped")

    def __init__(self) -> None:
        self._pauses: dict[int, None] = {}  # of this turn, by conn_id; what is undone in the same turn is never told
        self._resumes: dict[int, None] = {}
        self._stopped: deque[EdgeConnection] = deque()  # those to be read on, in the order of their turns

    def keep(self, connection: EdgeConnection, data: bytes) -> None:
        """Bytes of a connection that is held."""
        if connection.wire.hold(data) > HELD_BYTES_MAX:
            self.pause(connection, BY_KEPT)

    def pause(self, connection: EdgeConnection, reason: int) -> None:
        """Not to be read for now."""
        if not connection.paused_by:
            _turn_over(connection.conn_id, self._resumes, self._pauses)
        connection.paused_by |= reason

    def resume(self, connection: EdgeConnection, reason: int) -> None:
        """This reason for a pause is over."""
        if connection.paused_by & reason:
            connection.paused_by &= ~reason
            if not connection.paused_by:
                _turn_over(connection.conn_id, self._pauses, self._resumes)

    def on_stopped(self, connection: EdgeConnection) -> None:
        """Its wire has more to read. If something else holds the connection, it is read on when that is over."""
        if not connection.is_reading_held and connection.state in (AUTHENTICATING, OPEN):
            connection.is_reading_held = True
            connection.is_read_next = True
            self._stopped.append(connection)

    def take_next(self) -> EdgeConnection | None:
        """Whose turn it is to be read on, if it is still open; None for nobody."""
        if not self._stopped:
            return None
        connection = self._stopped.popleft()
        connection.is_read_next = False
        return connection

    def is_due(self) -> bool:
        """Somebody is to be read on in the next turn."""
        return len(self._stopped) > 0

    def take_pauses(self) -> list[int]:
        """Connections not to be read for now."""
        pauses = self._pauses
        self._pauses = {}
        return list(pauses)

    def take_resumes(self) -> list[int]:
        """Connections to be read again."""
        resumes = self._resumes
        self._resumes = {}
        return list(resumes)


def _turn_over(conn_id: int, undone: dict[int, None], done: dict[int, None]) -> None:
    if conn_id in undone:
        del undone[conn_id]
    else:
        done[conn_id] = None
