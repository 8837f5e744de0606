"""Frames: what a batch of the log is made of. Each belongs to one group; a batch may hold frames of many.

All numbers are little-endian. A frame has no checksum of its own, the batch around it has.
"""

from dataclasses import dataclass
from struct import Struct, error
from typing import Final, final

from quantum.core.raft.entry import Entry

ENTRY: Final = 1
HARD_STATE: Final = 2
SNAPSHOT: Final = 3

_ENTRY: Final = Struct("<BIQQBI")  # frame kind, group, index, term, entry kind, data bytes
_HARD_STATE: Final = Struct("<BIQI")  # frame kind, group, term, voted_for
_SNAPSHOT: Final = Struct("<BIQQ32s")  # frame kind, group, index, term, manifest digest
ENTRY_HEAD_BYTES: Final = _ENTRY.size


@final
@dataclass(slots=True)
class HardState:
    """What a voter must never forget. Source: Raft figure 2, persistent state."""

    group: int
    term: int
    voted_for: int


@final
@dataclass(slots=True)
class SnapshotMark:
    """A snapshot that is whole and durable: the log up to its index may go."""

    group: int
    index: int
    term: int
    digest: bytes


@final
@dataclass(slots=True)
class GroupEntry:
    """An entry with the group it belongs to."""

    group: int
    entry: Entry


Frame = HardState | SnapshotMark | GroupEntry


def encode_entry_frame(group: int, index: int, term: int, kind: int, data: bytes) -> bytes:
    """One entry; the same bytes serve every disk and wire."""
    return _ENTRY.pack(ENTRY, group, index, term, kind, len(data)) + data


def encode_hard_state(state: HardState) -> bytes:
    """Inverse of what `decode_frames` does to it."""
    return _HARD_STATE.pack(HARD_STATE, state.group, state.term, state.voted_for)


def encode_snapshot_mark(mark: SnapshotMark) -> bytes:
    """Inverse of what `decode_frames` does to it."""
    return _SNAPSHOT.pack(SNAPSHOT, mark.group, mark.index, mark.term, mark.digest)


def decode_frames(body: bytes) -> list[Frame]:
    """The frames of a batch whose checksum held.

    Raises: ValueError where they are none, which no writer of this format produced.
    """
    frames: list[Frame] = []
    at = 0
    size = len(body)
    try:
        while at < size:
            kind = body[at]
            if kind == ENTRY:
                _, group, index, term, entry_kind, data_bytes = _ENTRY.unpack_from(body, at)
                at += ENTRY_HEAD_BYTES
                if at + data_bytes > size:
                    raise ValueError(f"entry of {data_bytes} bytes, {size - at} left")
                frames.append(GroupEntry(group, Entry(index, term, entry_kind, body[at : at + data_bytes])))
                at += data_bytes
            elif kind == HARD_STATE:
                _, group, term, voted_for = _HARD_STATE.unpack_from(body, at)
                frames.append(HardState(group, term, voted_for))
                at += _HARD_STATE.size
            elif kind == SNAPSHOT:
                _, group, index, term, digest = _SNAPSHOT.unpack_from(body, at)
                frames.append(SnapshotMark(group, index, term, digest))
                at += _SNAPSHOT.size
            else:
                raise ValueError(f"frame kind {kind}, known 1 to 3")
    except error as short:
        raise ValueError(f"frame cut short: {short}") from short
    return frames
