"""Bytes that arrived and are not read yet: what keeps a turn short and its memory bounded."""

from collections import deque
from typing import final


@final
class Backlog:
    """Bytes and ends of connections in their order of arrival. A connection with bytes in here is paused."""

    __slots__ = ("_items", "_paused", "pauses", "resumes")

    def __init__(self) -> None:
        self._items: deque[tuple[int, bytes | None, str]] = deque()  # (conn_id, bytes or None for its end, reason)
        self._paused: dict[int, int] = {}  # conn_id → how many of its items are in here
        self.pauses: list[int] = []
        self.resumes: list[int] = []

    def __len__(self) -> int:
        return len(self._items)

    def push(self, conn_id: int, data: bytes | None, reason: str) -> None:
        """Keep bytes, or the end of a connection, for a later turn."""
        count = self._paused.get(conn_id, 0)
        if not count:
            self.pauses.append(conn_id)
        self._paused[conn_id] = count + 1
        self._items.append((conn_id, data, reason))

    def pop(self) -> tuple[int, bytes | None, str]:
        """The oldest item; its connection is read again when it was its last."""
        item = self._items.popleft()
        conn_id = item[0]
        count = self._paused[conn_id] - 1
        if count:
            self._paused[conn_id] = count
        else:
            del self._paused[conn_id]
            self.resumes.append(conn_id)
        return item

    def holds(self, conn_id: int) -> bool:
        """Whether something of this connection waits here, so that what comes later must wait too."""
        return conn_id in self._paused
