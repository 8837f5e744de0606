"""Snapshots on their way from one node to another, piece by piece.

The receiver pulls: it asks for one piece at a time, checks each chunk against the manifest's digest, and has it durable
before it asks for the next. So neither side ever holds more than one piece beyond what it must, a lost frame costs a
repeated question, and a transfer goes on where it stood when the sender or the leader changes. One transfer for each
group comes in, and one for each group and peer goes out.
"""

from struct import Struct
from typing import Final, final

from quantum.core.group import Replica
from quantum.core.node.peer_frames import SNAPSHOT_END, SNAPSHOT_OFFER, SNAPSHOT_PIECE, SNAPSHOT_WANT, Item
from quantum.core.raft.membership import decode_membership
from quantum.core.snapshot.chunks import CHUNK_READ_MAX, SnapshotReader
from quantum.core.snapshot.manifest import Manifest, SnapshotDamaged, chunk_name, decode_manifest, manifest_name
from quantum.core.wal.requests import BACKGROUND_LANE, DeleteFiles, DiskRequest, ReadFile, WriteFile

NUMBER_BASE: Final = 1 << 61  # request numbers of transfers, apart from those of the log and of housekeeping
PIECE_BYTES: Final = 1_048_576
ASK_AGAIN_MS: Final = 500
GIVE_UP_MS: Final = 10_000  # without a word of the other side

# How a transfer ends, told by the receiver.
INSTALLED: Final = 1
REFUSED: Final = 2  # not needed, or not understood
DAMAGED: Final = 3  # a chunk is not what its manifest says

_TERM: Final = Struct("<Q")
_WANT: Final = Struct("<QIQ")  # index, chunk (from 1), offset
_END: Final = Struct("<QB")  # index, outcome


@final
class _Outgoing:
    """One snapshot being sent to one peer."""

    __slots__ = ("asked_ms", "group", "heard_ms", "is_wanted", "manifest", "peer", "reading", "term", "want")

    def __init__(self, group: int, peer: int, manifest: Manifest, term: int, now_ms: int) -> None:
        self.group = group
        self.peer = peer
        self.manifest = manifest
        self.term = term
        self.heard_ms = now_ms
        self.asked_ms = now_ms
        self.is_wanted = False  # the receiver answered the offer
        self.reading = 0  # the disk request under way
        self.want = (0, 0, 0)  # chunk, offset, bytes


@final
class Incoming:
    """One snapshot being received."""

    __slots__ = (
        "_pieces",
        "asked_ms",
        "digest",
        "group",
        "have",
        "heard_ms",
        "is_published",
        "manifest",
        "reader",
        "sender",
        "term",
        "writing",
    )

    def __init__(self, group: Replica, sender: int, term: int, manifest: Manifest, now_ms: int) -> None:
        self.group = group
        self.sender = sender
        self.term = term
        self.manifest = manifest
        self.digest = manifest.digest()
        self.reader = SnapshotReader(group.machine, manifest)
        self.heard_ms = now_ms
        self.asked_ms = now_ms
        self.writing = 0  # the disk request under way
        self.is_published = False  # its manifest is written, or being written
        self.have = 0  # bytes of the chunk at hand
        self._pieces: list[bytes] = []

    @property
    def chunk(self) -> int:
        """The number of the chunk at hand, one more than there are when all are here."""
        return self.reader.chunks_read + 1

    def add(self, data: bytes) -> bytes:
        """A piece; returns the chunk when it is whole, else nothing."""
        self._pieces.append(data)
        self.have += len(data)
        chunk = self.manifest.chunks[self.reader.chunks_read]
        if self.have < chunk.size:
            return b""
        whole = b"".join(self._pieces)
        self._pieces = []
        self.have = 0
        return whole


@final
class Snapshots:
    """All transfers of one node."""

    __slots__ = (
        "_ended",
        "_incoming",
        "damaged",
        "items",
        "_now_ms",
        "_number",
        "_outgoing",
        "_received",
        "requests",
    )

    def __init__(self) -> None:
        self.items: list[tuple[int, Item]] = []  # (to, what is said) for peers; the storage takes them
        self._outgoing: dict[tuple[int, int], _Outgoing] = {}  # (group, peer)
        self._incoming: dict[int, Incoming] = {}  # group
        self.requests: list[DiskRequest] = []  # for the disk; the storage takes them
        self._number = NUMBER_BASE
        self._now_ms = 0
        self._ended: list[tuple[int, int]] = []
        self._received: list[Incoming] = []
        self.damaged: list[
            tuple[int, int]
        ] = []  # (group, index) of own snapshots that this disk damaged; housekeeping takes them

    # -- what the node sees -----------------------------------------------------------------------------------------

    def take_ended(self) -> list[tuple[int, int]]:
        """(group, peer) of transfers that are over, well or not: the leader is to ask what the peer has."""
        ended = self._ended
        self._ended = []
        return ended

    def take_received(self) -> list[Incoming]:
        """Snapshots that are durable here whole, manifest and all; `on_installed` is told what became of each."""
        received = self._received
        self._received = []
        return received

    def is_pinned(self, group: int, index: int) -> bool:
        """Whether a snapshot is being sent: its files must stay."""
        return any(each.group == group and each.manifest.index == index for each in self._outgoing.values())

    def on_item(self, sender: int, group: Replica, item: Item) -> bool:
        """An item of a transfer; False, and nothing changed, where it is none."""
        if item.kind == SNAPSHOT_PIECE:
            return self._on_piece(sender, group.number, item.body)
        if item.kind == SNAPSHOT_WANT:
            return self._on_want(sender, group.number, item.body)
        if item.kind == SNAPSHOT_OFFER:
            return self._on_offer(sender, group, item.body)
        if item.kind == SNAPSHOT_END:
            return self._on_end(sender, group.number, item.body)
        return False

    def on_clock(self, now_ms: int) -> None:
        """Ask again, or give up."""
        self._now_ms = now_ms
        if self.is_idle:
            return
        for sending in list(self._outgoing.values()):
            if now_ms - sending.heard_ms >= GIVE_UP_MS:
                self._drop_outgoing(sending)
            elif not sending.is_wanted and now_ms - sending.asked_ms >= ASK_AGAIN_MS:
                self._offer(sending)
        for incoming in list(self._incoming.values()):
            if now_ms - incoming.heard_ms >= GIVE_UP_MS:
                self._drop_incoming(incoming)
            elif not incoming.writing and now_ms - incoming.asked_ms >= ASK_AGAIN_MS:
                self._ask(incoming)

    def next_deadline_ms(self) -> int:
        """When to look again, 0 for never."""
        if self.is_idle:
            return 0
        times = [sending.heard_ms + GIVE_UP_MS for sending in self._outgoing.values()]
        times += [sending.asked_ms + ASK_AGAIN_MS for sending in self._outgoing.values() if not sending.is_wanted]
        for incoming in self._incoming.values():
            times.append(incoming.heard_ms + GIVE_UP_MS)
            if not incoming.writing:
                times.append(incoming.asked_ms + ASK_AGAIN_MS)
        return min(times, default=0)

    @property
    def is_idle(self) -> bool:
        """Nothing is on its way, and nobody was told what became of what was."""
        return not (self._outgoing or self._incoming or self._ended or self._received)

    def on_done(self, number: int, data: bytes) -> None:
        """A disk request of a transfer ended."""
        for sending in self._outgoing.values():
            if sending.reading == number:
                sending.reading = 0
                self._send_piece(sending, data)
                return
        for incoming in self._incoming.values():
            if incoming.writing == number:
                incoming.writing = 0
                self._on_written(incoming)
                return

    def on_read_failed(self, number: int) -> bool:
        """A disk request failed; True when it was the reading of a snapshot that is being sent."""
        for sending in self._outgoing.values():
            if sending.reading == number:
                sending.reading = 0
                self._send_piece(sending, b"")
                return True
        return False

    # -- sending ----------------------------------------------------------------------------------------------------

    def send(self, group: int, peer: int, manifest: Manifest, term: int) -> None:
        """Begin a transfer of a durable snapshot; one that is under way to this peer goes on."""
        sending = self._outgoing.get((group, peer))
        if sending is not None and sending.manifest.index == manifest.index:
            sending.term = term
            return
        sending = _Outgoing(group, peer, manifest, term, self._now_ms)
        self._outgoing[(group, peer)] = sending
        self._offer(sending)

    def _offer(self, sending: _Outgoing) -> None:
        sending.asked_ms = self._now_ms
        body = _TERM.pack(sending.term) + sending.manifest.encode()
        self._say(sending.peer, SNAPSHOT_OFFER, sending.group, body)

    def _on_want(self, sender: int, group: int, body: bytes) -> bool:
        """The receiver asks for a piece."""
        sending = self._outgoing.get((group, sender))
        if len(body) != _WANT.size:
            return False
        index, chunk, offset = _WANT.unpack(body)
        if sending is None or index != sending.manifest.index or sending.reading:
            return True
        chunks = sending.manifest.chunks
        if not 1 <= chunk <= len(chunks) or offset >= chunks[chunk - 1].size:
            return False
        sending.heard_ms = self._now_ms
        sending.is_wanted = True
        size = min(PIECE_BYTES, chunks[chunk - 1].size - offset)
        sending.want = (chunk, offset, size)
        sending.reading = self._next()
        name = chunks[chunk - 1].name
        self.requests.append(ReadFile(sending.reading, name, offset, size, BACKGROUND_LANE))
        return True

    def _send_piece(self, sending: _Outgoing, data: bytes) -> None:
        chunk, offset, size = sending.want
        if len(data) != size:
            self.damaged.append((sending.group, sending.manifest.index))
            self._drop_outgoing(sending)
            return
        body = _WANT.pack(sending.manifest.index, chunk, offset) + data
        self._say(sending.peer, SNAPSHOT_PIECE, sending.group, body)

    def _on_end(self, sender: int, group: int, body: bytes) -> bool:
        """The receiver is done with it."""
        sending = self._outgoing.get((group, sender))
        if len(body) != _END.size:
            return False
        index, outcome = _END.unpack(body)
        if sending is None or index != sending.manifest.index:
            return True
        if outcome == DAMAGED:
            self.damaged.append((group, index))
        self._drop_outgoing(sending)
        return True

    def _drop_outgoing(self, sending: _Outgoing) -> None:
        del self._outgoing[(sending.group, sending.peer)]
        self._ended.append((sending.group, sending.peer))

    # -- receiving --------------------------------------------------------------------------------------------------

    def _on_offer(self, sender: int, group: Replica, body: bytes) -> bool:
        manifest = _offered_manifest(group.number, body)
        if manifest is None:
            return False
        term: int = _TERM.unpack_from(body)[0]
        if not group.wants_snapshot(manifest.index):
            group.on_snapshot_unneeded(sender, term, manifest)
            self._tell_end(sender, group.number, manifest.index, REFUSED)
            return True
        incoming = self._incoming.get(group.number)
        if incoming is not None:
            if incoming.digest == manifest.digest():
                incoming.sender = sender
                incoming.term = max(incoming.term, term)
                incoming.heard_ms = self._now_ms
                if not incoming.writing:
                    self._ask(incoming)
                return True
            if sender != incoming.sender and term <= incoming.term:
                return True  # That one gives up first; this one is offered again.
            self._drop_incoming(incoming)
        incoming = Incoming(group, sender, term, manifest, self._now_ms)
        self._incoming[group.number] = incoming
        self._ask(incoming)
        return True

    def _on_piece(self, sender: int, group: int, body: bytes) -> bool:
        """A piece of the chunk at hand; anything else came twice or late."""
        incoming = self._incoming.get(group)
        if len(body) <= _WANT.size:
            return False
        index, chunk, offset = _WANT.unpack_from(body)
        if incoming is None or incoming.sender != sender or incoming.manifest.index != index or incoming.writing:
            return True
        if chunk != incoming.chunk or offset != incoming.have or chunk > len(incoming.manifest.chunks):
            return True
        data = body[_WANT.size :]
        if incoming.have + len(data) > incoming.manifest.chunks[chunk - 1].size:
            return False
        incoming.heard_ms = self._now_ms
        whole = incoming.add(data)
        if not whole:
            self._ask(incoming)
            return True
        try:
            incoming.reader.on_chunk(whole)
        except SnapshotDamaged:
            self._end(incoming, DAMAGED)
            return True
        incoming.writing = self._next()
        self.requests.append(WriteFile(incoming.writing, incoming.manifest.chunks[chunk - 1].name, whole))
        return True

    def _on_written(self, incoming: Incoming) -> None:
        manifest = incoming.manifest
        incoming.heard_ms = self._now_ms
        if incoming.is_published:
            del self._incoming[incoming.group.number]
            self._received.append(incoming)
        elif incoming.chunk <= len(manifest.chunks):
            self._ask(incoming)
        else:
            try:
                incoming.reader.check_whole()
            except SnapshotDamaged:
                self._end(incoming, DAMAGED)
                return
            # All chunks are durable: the manifest makes them a snapshot.
            incoming.is_published = True
            incoming.writing = self._next()
            name = manifest_name(manifest.group, manifest.index)
            self.requests.append(WriteFile(incoming.writing, name, manifest.encode()))

    def on_installed(self, incoming: Incoming, *, is_installed: bool) -> None:
        """The group took the received snapshot, or had no need of it any more."""
        outcome = INSTALLED if is_installed else REFUSED
        if not is_installed:
            self._abandon(incoming)
        self._tell_end(incoming.sender, incoming.group.number, incoming.manifest.index, outcome)

    def _ask(self, incoming: Incoming) -> None:
        incoming.asked_ms = self._now_ms
        body = _WANT.pack(incoming.manifest.index, incoming.chunk, incoming.have)
        self._say(incoming.sender, SNAPSHOT_WANT, incoming.group.number, body)

    def _end(self, incoming: Incoming, outcome: int) -> None:
        self._drop_incoming(incoming)
        self._tell_end(incoming.sender, incoming.group.number, incoming.manifest.index, outcome)

    def _tell_end(self, to: int, group: int, index: int, outcome: int) -> None:
        self._say(to, SNAPSHOT_END, group, _END.pack(index, outcome))

    def _drop_incoming(self, incoming: Incoming) -> None:
        del self._incoming[incoming.group.number]
        self._abandon(incoming)

    def _abandon(self, incoming: Incoming) -> None:
        """Delete its files, in this lane's order: behind what is being written, before what may be written again.

        A lost snapshot of the same index keeps its manifest: it says up to where this replica must be brought.
        """
        manifest = incoming.manifest
        names = [chunk.name for chunk in manifest.chunks]
        if incoming.is_published and not incoming.group.has_lost_state:
            names.insert(0, manifest_name(manifest.group, manifest.index))
        self.requests.append(DeleteFiles(self._next(), names))

    def _say(self, to: int, kind: int, group: int, body: bytes) -> None:
        self.items.append((to, Item(kind, group, body)))

    def _next(self) -> int:
        self._number += 1
        return self._number


def _offered_manifest(group: int, body: bytes) -> Manifest | None:
    """The manifest of an offer; None where it is none that could be received."""
    if len(body) < _TERM.size:
        return None
    try:
        manifest = decode_manifest(body[_TERM.size :], "the offered manifest")
        decode_membership(manifest.membership)
    except (SnapshotDamaged, ValueError):
        return None
    if manifest.group != group or not manifest.chunks or manifest.index < 1:
        return None
    for at, chunk in enumerate(manifest.chunks):
        if chunk.name != chunk_name(group, manifest.index, at + 1) or not 0 < chunk.size <= CHUNK_READ_MAX:
            return None
    return manifest
