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
TRUNCATE: Final = 4
REPAIR: Final = 5
NOTE: Final = 6

_ENTRY: Final = Struct("<BIQQBI")  # frame kind, group, index, term, entry kind, data bytes; REPAIR too
_HARD_STATE: Final = Struct("<BIQIB")  # frame kind, group, term, voted_for, doubts
_SNAPSHOT: Final = Struct("<BIQQ32sI")  # frame kind, group, index, term, manifest digest, membership bytes
_TRUNCATE: Final = Struct("<BIQ")  # frame kind, group, index
_NOTE: Final = Struct("<BQQQQ")  # frame kind, segment, offset, first lost sequence, next valid sequence
ENTRY_HEAD_BYTES: Final = _ENTRY.size

_TAIL_DOUBT: Final = 1
_VOTE_DOUBT: Final = 2


@final
@dataclass(slots=True)
class HardState:
    """What a voter must never forget, and what it doubts. Source: Raft figure 2, persistent state."""

    group: int
    term: int
    voted_for: int
    is_tail_doubtful: bool = False  # entries behind the last may have been durable
    is_vote_doubtful: bool = False  # a later term or vote may have been durable


@final
@dataclass(slots=True)
class SnapshotMark:
    """A snapshot that is whole and durable: the log up to its index may go."""

    group: int
    index: int
    term: int
    digest: bytes
    membership: bytes = b""  # of the group as of that index, as a MEMBERSHIP entry has it; b"" where it never changed


@final
@dataclass(slots=True)
class GroupEntry:
    """An entry with the group it belongs to."""

    group: int
    entry: Entry


@final
@dataclass(slots=True)
class Truncate:
    """Entries from `index` on are gone."""

    group: int
    index: int


@final
@dataclass(slots=True)
class Repair:
    """An entry that was lost, in its old place; nothing behind it changes."""

    group: int
    entry: Entry


@final
@dataclass(slots=True)
class Note:
    """A damage of this log that its node knows of, so that it is doubted once and not at every start."""

    segment: int
    offset: int
    first_lost: int
    next_valid: int
    group: int = 0  # it concerns all of them


Frame = HardState | SnapshotMark | GroupEntry | Truncate | Repair | Note


def encode_entry_frame(group: int, index: int, term: int, kind: int, data: bytes) -> bytes:
    """One entry; the same bytes serve every disk and wire."""
    return _ENTRY.pack(ENTRY, group, index, term, kind, len(data)) + data


def encode_repair_frame(group: int, index: int, term: int, kind: int, data: bytes) -> bytes:
    """Inverse of what `decode_frames` does to a Repair."""
    return _ENTRY.pack(REPAIR, group, index, term, kind, len(data)) + data


def encode_hard_state(state: HardState) -> bytes:
    """Inverse of what `decode_frames` does to it."""
    doubts = (_TAIL_DOUBT if state.is_tail_doubtful else 0) | (_VOTE_DOUBT if state.is_vote_doubtful else 0)
    return _HARD_STATE.pack(HARD_STATE, state.group, state.term, state.voted_for, doubts)


def encode_snapshot_mark(mark: SnapshotMark) -> bytes:
    """Inverse of what `decode_frames` does to it."""
    head = _SNAPSHOT.pack(SNAPSHOT, mark.group, mark.index, mark.term, mark.digest, len(mark.membership))
    return head + mark.membership


def encode_truncate(truncate: Truncate) -> bytes:
    """Inverse of what `decode_frames` does to it."""
    return _TRUNCATE.pack(TRUNCATE, truncate.group, truncate.index)


def encode_note(note: Note) -> bytes:
    """Inverse of what `decode_frames` does to it."""
    return _NOTE.pack(NOTE, note.segment, note.offset, note.first_lost, note.next_valid)


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
            if kind in (ENTRY, REPAIR):
                _, group, index, term, entry_kind, data_bytes = _ENTRY.unpack_from(body, at)
                at += ENTRY_HEAD_BYTES
                entry = Entry(index, term, entry_kind, _bytes(body, at, data_bytes))
                frames.append(GroupEntry(group, entry) if kind == ENTRY else Repair(group, entry))
                at += data_bytes
            elif kind == HARD_STATE:
                _, group, term, voted_for, doubts = _HARD_STATE.unpack_from(body, at)
                if doubts > _TAIL_DOUBT | _VOTE_DOUBT:
                    raise ValueError(f"hard state with doubts {doubts}, known 0 to 3")
                frames.append(HardState(group, term, voted_for, doubts & _TAIL_DOUBT > 0, doubts & _VOTE_DOUBT > 0))
                at += _HARD_STATE.size
            elif kind == SNAPSHOT:
                _, group, index, term, digest, membership_bytes = _SNAPSHOT.unpack_from(body, at)
                at += _SNAPSHOT.size
                frames.append(SnapshotMark(group, index, term, digest, _bytes(body, at, membership_bytes)))
                at += membership_bytes
            elif kind == TRUNCATE:
                _, group, index = _TRUNCATE.unpack_from(body, at)
                frames.append(Truncate(group, index))
                at += _TRUNCATE.size
            elif kind == NOTE:
                _, segment, offset, first_lost, next_valid = _NOTE.unpack_from(body, at)
                frames.append(Note(segment, offset, first_lost, next_valid))
                at += _NOTE.size
            else:
                raise ValueError(f"frame kind {kind}, known 1 to 6")
    except error as short:
        raise ValueError(f"frame cut short: {short}") from short
    return frames


def _bytes(body: bytes, at: int, size: int) -> bytes:
    if at + size > len(body):
        raise ValueError(f"frame with {size} bytes of data, {len(body) - at} left")
    return body[at : at + size]
