"""Frames of other nodes, with a checksum that holds and with one that does not. Input: a byte of what, then the bytes."""

import google_crc32c

from quantum.core.broker.commands import CloseSession, Entry, OpenSession, decode_entry, encode_entry
from quantum.core.causes import Cause
from quantum.core.mqtt.packets import Will
from quantum.core.node.peer_frames import FORWARD, RAFT, Item, PeerCodec, PeerFrame
from quantum.core.raft.entry import COMMAND, NO_OP
from quantum.core.raft.entry import Entry as RaftEntry
from quantum.core.raft.messages import AppendEntries, AppendEntriesReply, Heartbeat, Message, RequestVote, TimeoutNow
from quantum.core.raft.wire import MessageDamaged, decode_message, encode_message
from quantum.core.snapshot.manifest import Chunk, Manifest, SnapshotDamaged, decode_manifest

BYTES_MAX = 512
FRAME, RESEALED, MESSAGE, FORWARDED, MANIFEST = range(5)
CODEC = PeerCodec("c", 1, 9)
_MESSAGES: list[Message] = [
    AppendEntries(3, 4, 2, 4, [RaftEntry(5, 3, COMMAND, b"data"), RaftEntry(6, 3, NO_OP, b"")], 7),
    AppendEntriesReply(3, False, 4, 2, 1, False, 0),
    Heartbeat(3, 4, 5, 6, True, 7),
    RequestVote(3, 4, 2, False),
    TimeoutNow(3, 4),
]
_ENTRY = encode_entry(
    Entry(0, 2, 1, 1, [OpenSession("c", True, 0, 10, 7, Will("w", b"", 0, False)), CloseSession("c", 1, 0, -1)])
)
_ITEMS = [Item(RAFT, 1, encode_message(message)) for message in _MESSAGES] + [Item(FORWARD, 1, _ENTRY)]
_FRAMES = [PeerCodec("c", 2, 7).encode(1, items)[0] for items in ([], _ITEMS[:1], _ITEMS[:3])]
SEEDS = [bytes((what,)) + frame for frame in _FRAMES for what in (FRAME, RESEALED)]
SEEDS += [bytes((MESSAGE,)) + encode_message(message) for message in _MESSAGES]
SEEDS += [bytes((FORWARDED,)) + _ENTRY]
SEEDS += [bytes((MANIFEST,)) + Manifest(1, 9, 2, b"\x01", 1, [Chunk("snap-1/0", 4, "00")]).encode()]
# What `Router.on_forward` takes for an entry that it does not understand.
NOT_UNDERSTOOD = (ValueError, TypeError, IndexError, KeyError, AssertionError)


def check(data: bytes) -> None:
    if not data:
        return
    what, body = data[0] % 5, data[1:]
    if what == FRAME:
        assert isinstance(CODEC.decode(body), Cause | PeerFrame)
    elif what == RESEALED and len(body) >= 20:
        crc: int = google_crc32c.extend(google_crc32c.value(b"c"), body[20:])
        check_frame(body[:16] + crc.to_bytes(4, "little") + body[20:])
    elif what == MESSAGE:
        check_message(body)
    elif what == FORWARDED and len(body) > 40:
        try:
            entry = decode_entry(body)
        except NOT_UNDERSTOOD:
            return
        assert entry.commands is not None
    elif what == MANIFEST:
        try:
            manifest = decode_manifest(body, "fuzzed")
        except SnapshotDamaged:
            return
        assert body == manifest.encode()


def check_frame(data: bytes) -> None:
    """What is decoded is all that was there."""
    frame = CODEC.decode(data)
    if isinstance(frame, PeerFrame):
        (again,) = PeerCodec("c", frame.sender, frame.nonce).encode(1, frame.items)
        assert data == again


def check_message(data: bytes) -> None:
    """A message encodes to the bytes it came from, but for flags, which are any byte that is not zero."""
    try:
        message = decode_message(data)
    except MessageDamaged:
        return
    assert message == decode_message(encode_message(message)), "came back as another"
