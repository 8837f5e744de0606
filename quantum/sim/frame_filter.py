"""Loses one kind of what nodes say to each other and lets the rest through: only votes, only acknowledgements.

A frame is opened, thinned and closed again as its sender would have closed it. Source: FAULTS F8.
"""

from typing import Final, final

from quantum.core.node.peer_frames import EPHEMERAL, FORWARD, RAFT, SNAPSHOT_PIECE, Item, PeerCodec, PeerFrame
from quantum.core.raft.wire import (
    APPEND_ENTRIES,
    APPEND_ENTRIES_REPLY,
    HEARTBEAT,
    HEARTBEAT_REPLY,
    REQUEST_PRE_VOTE_REPLY,
    REQUEST_VOTE_REPLY,
)

# What can be lost: kinds of items, and for RAFT the kinds of messages.
KINDS: Final[tuple[tuple[int, tuple[int, ...]], ...]] = (
    (RAFT, (APPEND_ENTRIES_REPLY,)),
    (RAFT, (REQUEST_PRE_VOTE_REPLY, REQUEST_VOTE_REPLY)),
    (RAFT, (HEARTBEAT, HEARTBEAT_REPLY)),
    (RAFT, (APPEND_ENTRIES,)),
    (SNAPSHOT_PIECE, ()),
    (FORWARD, ()),
    (EPHEMERAL, ()),
)


@final
class FrameFilter:
    """What is lost at the moment, on every link."""

    __slots__ = ("_cluster", "_counts", "lost_count")

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._counts: dict[int, int] = {}  # of KINDS, how many faults lose it
        self.lost_count = 0

    def begin(self, kind: int) -> None:
        """Lose it from now on."""
        self._counts[kind] = self._counts.get(kind, 0) + 1

    def end(self, kind: int) -> None:
        """Inverse of one `begin`."""
        self._counts[kind] -= 1
        if not self._counts[kind]:
            del self._counts[kind]

    def thin(self, sender: int, receiver: int, data: bytes) -> bytes:
        """The frame without what is lost."""
        if not self._counts:
            return data
        frame = PeerCodec(self._cluster, receiver, 0).decode(data)
        if not isinstance(frame, PeerFrame):
            return data
        items = [item for item in frame.items if not self._is_lost(item)]
        if len(items) == len(frame.items):
            return data
        self.lost_count += len(frame.items) - len(items)
        return b"".join(PeerCodec(self._cluster, sender, frame.nonce).encode(receiver, items))

    def _is_lost(self, item: Item) -> bool:
        for kind in self._counts:
            item_kind, messages = KINDS[kind]
            if item.kind == item_kind and (not messages or item.body[0] in messages):
                return True
        return False
