"""The other nodes as this one knows them: which process speaks for each, when it was last heard, what waits for it.

All that is said to one peer in one turn leaves in one frame, so that heartbeats of many groups cost one. A process that
speaks is believed until it falls silent: bytes of an earlier one that come late may be from before it forgot something,
and neither their order nor their nonce tells which of two processes is the later one.
"""

from typing import Final, final

from quantum.core.causes import PEER_REMOVED, PEER_STALE_PROCESS
from quantum.core.flow import CauseLedger
from quantum.core.node.clock import Clock
from quantum.core.node.peer_frames import Item, PeerCodec, PeerFrame

SILENCE_MS: Final = 200  # of the process that spoke for a peer, before another one is listened to
PEERS_MAX: Final = 256  # node numbers remembered at all


@final
class _Peer:
    """One other node."""

    __slots__ = ("heard_ms", "items", "nonce", "spoken_ms")

    def __init__(self) -> None:
        self.nonce = 0  # of the process that speaks for it
        self.heard_ms = 0
        self.spoken_ms = 0
        self.items: list[Item] | None = None  # for its next frame; None for no frame


@final
class Peers:
    """Frames in, frames out."""

    __slots__ = (
        "_causes",
        "_clock",
        "_codec",
        "_node",
        "_nonce",
        "_peers",
        "_removed",
        "frames_received",
        "frames_sent",
        "lost",
    )

    def __init__(self, node: int, nonce: int, causes: CauseLedger, clock: Clock) -> None:
        self._node = node
        self._nonce = nonce
        self._codec: PeerCodec | None = None  # until the node knows its cluster
        self._causes = causes
        self._clock = clock
        self._peers: dict[int, _Peer] = {}
        self._removed: dict[int, None] = {}
        self.lost: list[int] = []  # peers whose process was replaced, for `take_lost`
        self.frames_received = 0
        self.frames_sent = 0

    def open(self, cluster_id: str) -> None:
        """This node takes part in a cluster: from here on it hears and speaks."""
        self._codec = PeerCodec(cluster_id, self._node, self._nonce)

    def on_frame(self, data: bytes) -> PeerFrame | None:
        """A frame as it arrived; None, and a cause counted, when nothing in it may be believed."""
        if self._codec is None:
            return None  # As if it had not come: whatever matters is said again.
        frame = self._codec.decode(data)
        if not isinstance(frame, PeerFrame):
            self._causes.count(frame, 1)
            return None
        if frame.sender in self._removed:
            self._causes.count(PEER_REMOVED, 1)
            return None
        peer = self._peer(frame.sender)
        if peer is None:
            self._causes.count(PEER_REMOVED, 1)
            return None
        if frame.nonce != peer.nonce:
            if peer.nonce and self._clock.now_ms - peer.heard_ms < SILENCE_MS:
                self._causes.count(PEER_STALE_PROCESS, 1)
                return None
            if peer.nonce:
                self.lost.append(frame.sender)
            peer.nonce = frame.nonce
        peer.heard_ms = self._clock.now_ms
        self.frames_received += 1
        return frame

    def on_removed(self, node: int) -> None:
        """The node is no member any more; its number will not come back."""
        self._removed[node] = None
        self._peers.pop(node, None)

    def add(self, to: int, kind: int, group: int, body: bytes) -> None:
        """Say something to a peer at the end of this turn."""
        peer = self._peer(to)
        if peer is not None:
            if peer.items is None:
                peer.items = []
            peer.items.append(Item(kind, group, body))

    def greet(self, to: int) -> None:
        """Let a peer know that this node lives, even if there is nothing to say."""
        peer = self._peer(to)
        if peer is not None and peer.items is None:
            peer.items = []

    def take_lost(self) -> list[int]:
        """Peers whose process was replaced since the last call."""
        lost = self.lost
        self.lost = []
        return lost

    def take_frames(self) -> list[tuple[int, bytes]]:
        """One frame for each peer that something is said to, or a few where it is very much."""
        frames: list[tuple[int, bytes]] = []
        codec = self._codec
        if codec is None:
            return frames
        for number, peer in self._peers.items():
            if peer.items is not None:
                for data in codec.encode(number, peer.items):
                    frames.append((number, data))
                peer.items = None
                peer.spoken_ms = self._clock.now_ms
        self.frames_sent += len(frames)
        return frames

    def heard_ms(self, node: int) -> int:
        """When a peer was last heard, 0 for never."""
        peer = self._peers.get(node)
        return 0 if peer is None else peer.heard_ms

    def spoken_ms(self, node: int) -> int:
        """When something was last said to a peer, 0 for never."""
        peer = self._peers.get(node)
        return 0 if peer is None else peer.spoken_ms

    def _peer(self, node: int) -> _Peer | None:
        peer = self._peers.get(node)
        if peer is None and len(self._peers) < PEERS_MAX and node not in self._removed:
            peer = self._peers[node] = _Peer()
        return peer
