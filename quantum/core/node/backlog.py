"""Bytes that arrived and are not read yet: what keeps a turn short and its memory bounded."""

from collections import deque
from typing import final


@final
class Backlog:
    """Bytes and ends of connections in their order of arrival. A connection with something in here is not to be read."""

    __slots__ = ("_counts", "_items")

    def __init__(self) -> None:
        self._items: deque[tuple[int, bytes | None, str]] = deque()  # (conn_id, bytes or None for its end, reason)
        self._counts: dict[int, int] = {}  # conn_id → how many of its items are in here

    def __len__(self) -> int:
        return len(self._items)

    def push(self, conn_id: int, data: bytes | None, reason: str) -> None:
        """Keep bytes, or the end of a connection, for a later turn."""
        self._counts[conn_id] = self._counts.get(conn_id, 0) + 1
        self._items.append((conn_id, data, reason))

    def pop(self) -> tuple[int, bytes | None, str]:
        """The oldest item."""
        item = self._items.popleft()
        conn_id = item[0]
        count = self._counts[conn_id] - 1
        if count:
            self._counts[conn_id] = count
        else:
            del self._counts[conn_id]
        return item

    def holds(self, conn_id: int) -> bool:
        """Whether something of this connection waits here, so that what comes later must wait too."""
        return conn_id in self._counts
