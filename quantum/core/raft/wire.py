"""Messages as bytes. Little-endian; a byte of kind, fixed fields, then entries where there are some.

Nothing is allocated by a length that is not covered by bytes at hand.
"""

from struct import Struct, error
from typing import Final

from quantum.core.raft.entry import COMMAND, MEMBERSHIP, NO_OP, Entry
from quantum.core.raft.membership import decode_membership
from quantum.core.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    FetchEntries,
    FetchEntriesReply,
    Heartbeat,
    HeartbeatReply,
    LastEntryReply,
    Message,
    ReadIndexReply,
    RequestLastEntry,
    RequestPreVote,
    RequestPreVoteReply,
    RequestReadIndex,
    RequestSnapshot,
    RequestVote,
    RequestVoteReply,
    TimeoutNow,
)

# Kinds are part of the wire format: append, never renumber.
REQUEST_PRE_VOTE: Final = 1
REQUEST_PRE_VOTE_REPLY: Final = 2
REQUEST_VOTE: Final = 3
REQUEST_VOTE_REPLY: Final = 4
APPEND_ENTRIES: Final = 5
APPEND_ENTRIES_REPLY: Final = 6
HEARTBEAT: Final = 7
HEARTBEAT_REPLY: Final = 8
TIMEOUT_NOW: Final = 9
REQUEST_READ_INDEX: Final = 10
READ_INDEX_REPLY: Final = 11
FETCH_ENTRIES: Final = 12
FETCH_ENTRIES_REPLY: Final = 13
REQUEST_LAST_ENTRY: Final = 14
LAST_ENTRY_REPLY: Final = 15
REQUEST_SNAPSHOT: Final = 16

_VOTE: Final = Struct("<BQQQ?")
_PRE_VOTE: Final = Struct("<BQQQ")
_VOTED: Final = Struct("<BQ?")
_APPEND: Final = Struct("<BQQQQQI")
_APPENDED: Final = Struct("<BQ?QQQ?Q")
_HEARTBEAT: Final = Struct("<BQQQQ?Q")
_BEATEN: Final = Struct("<BQQ?QQ")
_TWO: Final = Struct("<BQQ")
_THREE: Final = Struct("<BQQQ")
_FETCHED: Final = Struct("<BQQQQI")
_ONE: Final = Struct("<BQ")
_LAST: Final = Struct("<BQQQQ?QH")
_ENTRY: Final = Struct("<QQBI")  # index, term, kind, data bytes


class MessageDamaged(Exception):
    """Bytes that are no message; the text says why."""


def encode_message(message: Message) -> bytes:
    """Inverse of `decode_message`."""
    if isinstance(message, AppendEntries):
        head = _APPEND.pack(
            APPEND_ENTRIES,
            message.term,
            message.previous_index,
            message.previous_term,
            message.commit_index,
            message.sequence,
            len(message.entries),
        )
        return _with_entries(head, message.entries)
    if isinstance(message, AppendEntriesReply):
        return _APPENDED.pack(
            APPEND_ENTRIES_REPLY,
            message.term,
            message.is_accepted,
            message.index,
            message.hint_index,
            message.hint_term,
            message.is_lost,
            message.snapshot_index_min,
        )
    if isinstance(message, Heartbeat):
        return _HEARTBEAT.pack(
            HEARTBEAT,
            message.term,
            message.commit_index,
            message.read_sequence,
            message.last_index,
            message.is_idle,
            message.sequence,
        )
    if isinstance(message, HeartbeatReply):
        return _BEATEN.pack(
            HEARTBEAT_REPLY,
            message.term,
            message.read_sequence,
            message.is_idle,
            message.proved_index,
            message.sequence,
        )
    return _encode_rare(message)


def _encode_rare(message: Message) -> bytes:
    if isinstance(message, RequestPreVote):
        return _PRE_VOTE.pack(REQUEST_PRE_VOTE, message.term, message.last_index, message.last_term)
    if isinstance(message, RequestPreVoteReply):
        return _VOTED.pack(REQUEST_PRE_VOTE_REPLY, message.term, message.is_granted)
    if isinstance(message, RequestVote):
        return _VOTE.pack(REQUEST_VOTE, message.term, message.last_index, message.last_term, message.is_transfer)
    if isinstance(message, RequestVoteReply):
        return _VOTED.pack(REQUEST_VOTE_REPLY, message.term, message.is_granted)
    if isinstance(message, TimeoutNow):
        return _TWO.pack(TIMEOUT_NOW, message.term, message.index)
    if isinstance(message, RequestReadIndex):
        return _TWO.pack(REQUEST_READ_INDEX, message.term, message.context)
    if isinstance(message, ReadIndexReply):
        return _THREE.pack(READ_INDEX_REPLY, message.term, message.context, message.index)
    if isinstance(message, FetchEntries):
        return _THREE.pack(FETCH_ENTRIES, message.first, message.last, message.next_term)
    if isinstance(message, FetchEntriesReply):
        head = _FETCHED.pack(
            FETCH_ENTRIES_REPLY,
            message.next_index,
            message.next_term,
            message.previous_term,
            message.leader_term,
            len(message.entries),
        )
        return _with_entries(head, message.entries)
    if isinstance(message, RequestLastEntry):
        return _ONE.pack(REQUEST_LAST_ENTRY, message.nonce)
    if isinstance(message, RequestSnapshot):
        return _THREE.pack(REQUEST_SNAPSHOT, message.term, message.index_min, message.index_term)
    assert isinstance(message, LastEntryReply), message
    head = _LAST.pack(
        LAST_ENTRY_REPLY,
        message.nonce,
        message.term,
        message.last_index,
        message.last_term,
        message.is_leader,
        message.membership_index,
        len(message.membership),
    )
    return head + message.membership


def _with_entries(head: bytes, entries: list[Entry]) -> bytes:
    parts = [head]
    for entry in entries:
        parts.append(_ENTRY.pack(entry.index, entry.term, entry.kind, len(entry.data)))
        parts.append(entry.data)
    return b"".join(parts)


def decode_message(data: bytes) -> Message:
    """The message that `data` is, whole. Raises: MessageDamaged."""
    if not data:
        raise MessageDamaged("empty message")
    try:
        return _decode(data[0], data)
    except error as short:
        raise MessageDamaged(f"message of kind {data[0]} and {len(data)} bytes: {short}") from short


def _decode(kind: int, data: bytes) -> Message:
    if kind == APPEND_ENTRIES:
        _, term, previous_index, previous_term, commit_index, sequence, count = _APPEND.unpack_from(data)
        entries = _decode_entries(data, _APPEND.size, count)
        if entries and entries[0].index != previous_index + 1:
            raise MessageDamaged(f"entries from {entries[0].index} behind previous_index {previous_index}")
        return AppendEntries(term, previous_index, previous_term, commit_index, entries, sequence)
    if kind == APPEND_ENTRIES_REPLY:
        _, term, is_accepted, index, hint_index, hint_term, is_lost, snapshot_index_min = _APPENDED.unpack(data)
        return AppendEntriesReply(term, is_accepted, index, hint_index, hint_term, is_lost, snapshot_index_min)
    if kind == HEARTBEAT:
        _, term, commit_index, read_sequence, last_index, is_idle, sequence = _HEARTBEAT.unpack(data)
        return Heartbeat(term, commit_index, read_sequence, last_index, is_idle, sequence)
    if kind == HEARTBEAT_REPLY:
        _, term, read_sequence, is_idle, proved_index, sequence = _BEATEN.unpack(data)
        return HeartbeatReply(term, read_sequence, is_idle, proved_index, sequence)
    return _decode_rare(kind, data)


def _decode_rare(kind: int, data: bytes) -> Message:
    if kind == REQUEST_PRE_VOTE:
        _, term, last_index, last_term = _PRE_VOTE.unpack(data)
        return RequestPreVote(term, last_index, last_term)
    if kind == REQUEST_VOTE:
        _, term, last_index, last_term, is_transfer = _VOTE.unpack(data)
        return RequestVote(term, last_index, last_term, is_transfer)
    if kind in (REQUEST_PRE_VOTE_REPLY, REQUEST_VOTE_REPLY):
        _, term, is_granted = _VOTED.unpack(data)
        return (
            RequestVoteReply(term, is_granted) if kind == REQUEST_VOTE_REPLY else RequestPreVoteReply(term, is_granted)
        )
    if kind in (TIMEOUT_NOW, REQUEST_READ_INDEX):
        _, term, number = _TWO.unpack(data)
        return TimeoutNow(term, number) if kind == TIMEOUT_NOW else RequestReadIndex(term, number)
    if kind in (READ_INDEX_REPLY, FETCH_ENTRIES):
        _, first, second, third = _THREE.unpack(data)
        return ReadIndexReply(first, second, third) if kind == READ_INDEX_REPLY else FetchEntries(first, second, third)
    if kind == FETCH_ENTRIES_REPLY:
        _, next_index, next_term, previous_term, leader_term, count = _FETCHED.unpack_from(data)
        entries = _decode_entries(data, _FETCHED.size, count)
        if entries and entries[-1].index != next_index - 1:
            raise MessageDamaged(f"fetched entries end with {entries[-1].index}, not before {next_index}")
        return FetchEntriesReply(next_index, next_term, previous_term, entries, leader_term)
    if kind == REQUEST_LAST_ENTRY:
        return RequestLastEntry(_ONE.unpack(data)[1])
    if kind == REQUEST_SNAPSHOT:
        _, term, index_min, index_term = _THREE.unpack(data)
        return RequestSnapshot(term, index_min, index_term)
    if kind == LAST_ENTRY_REPLY:
        _, nonce, term, last_index, last_term, is_leader, membership_index, size = _LAST.unpack_from(data)
        if len(data) != _LAST.size + size:
            raise MessageDamaged(f"membership of {size} bytes, {len(data) - _LAST.size} there")
        _check_membership(data[_LAST.size :])
        return LastEntryReply(nonce, term, last_index, last_term, is_leader, membership_index, data[_LAST.size :])
    raise MessageDamaged(f"message of kind {kind}, known 1 to {REQUEST_SNAPSHOT}")


def _decode_entries(data: bytes, at: int, count: int) -> list[Entry]:
    """Entries with ascending indexes without a gap, and terms that do not fall, to the end of `data`."""
    entries: list[Entry] = []
    for _ in range(count):
        index, term, kind, size = _ENTRY.unpack_from(data, at)
        at += _ENTRY.size
        if at + size > len(data):
            raise MessageDamaged(f"entry of {size} bytes, {len(data) - at} left")
        if kind not in (COMMAND, NO_OP, MEMBERSHIP):
            raise MessageDamaged(f"entry of kind {kind}, known {COMMAND} to {MEMBERSHIP}")
        if index < 1 or term < 1:
            raise MessageDamaged(f"entry of index {index} and term {term}, both begin with 1")
        if entries and (index != entries[-1].index + 1 or term < entries[-1].term):
            raise MessageDamaged(f"entry ({index}, {term}) behind ({entries[-1].index}, {entries[-1].term})")
        entry = Entry(index, term, kind, data[at : at + size])
        if kind == MEMBERSHIP:
            _check_membership(entry.data)
        entries.append(entry)
        at += size
    if at != len(data):
        raise MessageDamaged(f"{len(data) - at} bytes behind the last of {count} entries")
    return entries


def _check_membership(data: bytes) -> None:
    """What is in force as soon as it is appended must be right before. Raises: MessageDamaged."""
    try:
        decode_membership(data)
    except ValueError as wrong:
        raise MessageDamaged(str(wrong)) from wrong
