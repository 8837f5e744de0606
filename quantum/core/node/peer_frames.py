"""Frames between nodes: all that one node has to say to another in one turn, in one envelope.

Nothing in a frame is believed before its checksum held, and the checksum covers the cluster's name, so that damaged and
foreign bytes end here. No size is taken on trust: what is not in the bytes is not in the frame.

    offset  bytes  field
         0      4  magic "QPFR"
         4      4  version
         8      8  tag of the cluster: a digest of its id
        16      4  CRC-32C of the cluster id and everything behind this field
        20      4  sender, a node number
        24      4  receiver
        28      8  nonce of the sender's process
        36         items, each: kind (1), group (4), bytes (4), body
"""

from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import Final, final

import google_crc32c

from quantum.core.causes import (
    PEER_FOREIGN_CLUSTER,
    PEER_FRAME_DAMAGED,
    PEER_MISDELIVERED,
    PEER_VERSION_UNKNOWN,
    Cause,
)

MAGIC: Final = b"QPFR"
VERSION: Final = 1
HEAD_BYTES: Final = 36
FRAME_BYTES_MAX: Final = 1 << 29  # a frame holds at least one item, and the largest PUBLISH has 256 MiB
ITEMS_BYTES_SOFT: Final = 8_388_608  # a frame with more is closed, and the next item begins another

# Kinds of items; append, never renumber.
RAFT: Final = 1  # a message of the group's consensus
FORWARD: Final = 2  # an edge's entry, for the leader; also the one that opens the edge
FORWARD_STATE: Final = 3  # which forward the leader expects next
EPHEMERAL: Final = 4  # QoS 0 messages for the receiver's own connections
SNAPSHOT_OFFER: Final = 5
SNAPSHOT_WANT: Final = 6
SNAPSHOT_PIECE: Final = 7
SNAPSHOT_END: Final = 8

_HEAD: Final = Struct("<4sI8sIIIQ")
_ITEM: Final = Struct("<BII")
_CRC_AT: Final = 16
_COVERED_AT: Final = 20


@final
@dataclass(init=False, slots=True, eq=False)
class Item:
    """One thing said, for one group."""

    kind: int
    group: int
    body: bytes

    def __init__(self, kind: int, group: int, body: bytes) -> None:
        self.kind = kind
        self.group = group
        self.body = body


@final
@dataclass(slots=True, eq=False)
class PeerFrame:
    """A frame whose checksum held and whose receiver is this node."""

    sender: int
    nonce: int
    items: list[Item]


@final
class PeerCodec:
    """Encodes and decodes the frames of one node's process."""

    __slots__ = ("_cluster", "_node", "_nonce", "_seed", "_tag")

    def __init__(self, cluster_id: str, node: int, nonce: int) -> None:
        assert 1 <= node < 1 << 32
        self._cluster = cluster_id.encode()
        self._tag = blake2b(self._cluster, digest_size=8).digest()
        self._seed: int = google_crc32c.value(self._cluster)
        self._node = node
        self._nonce = nonce

    def encode(self, receiver: int, items: list[Item]) -> list[bytes]:
        """The frames that carry the items, in order; one where they fit, and one even where there are none."""
        frames: list[bytes] = []
        parts: list[bytes] = []
        size = 0
        for item in items:
            if parts and size + len(item.body) > ITEMS_BYTES_SOFT:
                frames.append(self._close(receiver, parts))
                parts = []
                size = 0
            parts.append(_ITEM.pack(item.kind, item.group, len(item.body)))
            parts.append(item.body)
            size += len(item.body)
        frames.append(self._close(receiver, parts))
        return frames

    def _close(self, receiver: int, parts: list[bytes]) -> bytes:
        head = _HEAD.pack(MAGIC, VERSION, self._tag, 0, self._node, receiver, self._nonce)
        covered = head[_COVERED_AT:] + b"".join(parts)
        crc: int = google_crc32c.extend(self._seed, covered)
        return head[:_CRC_AT] + crc.to_bytes(4, "little") + covered

    def decode(self, data: bytes) -> PeerFrame | Cause:
        """The frame, or why it is dropped. Never raises, and allocates no more than the bytes it was given."""
        size = len(data)
        if size < HEAD_BYTES or size > FRAME_BYTES_MAX:
            return PEER_FRAME_DAMAGED
        magic, version, tag, crc, sender, receiver, nonce = _HEAD.unpack_from(data)
        if magic != MAGIC:
            return PEER_FRAME_DAMAGED
        if version != VERSION:
            return PEER_VERSION_UNKNOWN
        if tag != self._tag:
            return PEER_FOREIGN_CLUSTER
        if google_crc32c.extend(self._seed, data[_COVERED_AT:]) != crc:
            return PEER_FRAME_DAMAGED
        if receiver != self._node or sender == self._node or sender == 0:
            return PEER_MISDELIVERED
        items: list[Item] = []
        at = HEAD_BYTES
        while at < size:
            if at + _ITEM.size > size:
                return PEER_FRAME_DAMAGED
            kind, group, body_bytes = _ITEM.unpack_from(data, at)
            at += _ITEM.size
            if body_bytes > size - at:
                return PEER_FRAME_DAMAGED
            items.append(Item(kind, group, data[at : at + body_bytes]))
            at += body_bytes
        return PeerFrame(sender, nonce, items)
