"""Goal: every message comes back as it was, and any other bytes are refused in one way, without belief in a length. Method:
drawn messages, whole, cut at every byte, and with every bit turned."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantum.core.raft.entry import COMMAND, MEMBERSHIP, NO_OP, Entry
from quantum.core.raft.membership import Membership, encode_membership
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
from quantum.core.raft.wire import APPEND_ENTRIES, REQUEST_SNAPSHOT, MessageDamaged, decode_message, encode_message

U64 = st.integers(0, 2**64 - 1)
INDEX = st.integers(1, 2**60)
MEMBERSHIP_DATA = encode_membership(Membership((1, 2), (1, 3), (4,)))


@st.composite
def entries_before(draw: st.DrawFn, next_index: int, count_max: int = 5) -> list[Entry]:
    """Entries whose last is in front of `next_index`."""
    count = draw(st.integers(0, min(count_max, next_index - 1)))
    terms = sorted(draw(st.lists(st.integers(1, 2**64 - 1), min_size=count, max_size=count)))
    entries = []
    for at, term in enumerate(terms):
        kind = draw(st.sampled_from((COMMAND, NO_OP, MEMBERSHIP)))
        data = MEMBERSHIP_DATA if kind == MEMBERSHIP else draw(st.binary(max_size=40))
        entries.append(Entry(next_index - count + at, term, kind, data))
    return entries


@st.composite
def append_entries(draw: st.DrawFn) -> AppendEntries:
    next_index = draw(INDEX)
    entries = draw(entries_before(next_index))
    return AppendEntries(draw(U64), next_index - len(entries) - 1, draw(U64), draw(U64), entries, draw(U64))


@st.composite
def fetch_entries_reply(draw: st.DrawFn) -> FetchEntriesReply:
    next_index = draw(INDEX)
    return FetchEntriesReply(next_index, draw(U64), draw(U64), draw(entries_before(next_index)), draw(U64))


MESSAGES: st.SearchStrategy[Message] = st.one_of(
    append_entries(),
    fetch_entries_reply(),
    st.builds(AppendEntriesReply, U64, st.booleans(), U64, U64, U64, st.booleans(), U64),
    st.builds(Heartbeat, U64, U64, U64, U64, st.booleans(), U64),
    st.builds(HeartbeatReply, U64, U64, st.booleans(), U64, U64),
    st.builds(RequestPreVote, U64, U64, U64),
    st.builds(RequestPreVoteReply, U64, st.booleans()),
    st.builds(RequestVote, U64, U64, U64, st.booleans()),
    st.builds(RequestVoteReply, U64, st.booleans()),
    st.builds(TimeoutNow, U64, U64),
    st.builds(RequestReadIndex, U64, U64),
    st.builds(ReadIndexReply, U64, U64, U64),
    st.builds(FetchEntries, U64, U64, U64),
    st.builds(RequestLastEntry, U64),
    st.builds(RequestSnapshot, U64, U64, U64),
    st.builds(LastEntryReply, U64, U64, U64, U64, st.booleans(), U64, st.just(MEMBERSHIP_DATA)),
)


@given(MESSAGES)
@settings(max_examples=300, deadline=None)
def test_messages_come_back_as_they_were(message: Message) -> None:
    assert message == decode_message(encode_message(message))


@given(MESSAGES)
@settings(max_examples=60, deadline=None)
def test_messages_that_are_cut_or_continued_are_refused(message: Message) -> None:
    data = encode_message(message)
    for cut in range(len(data)):
        with pytest.raises(MessageDamaged):
            decode_message(data[:cut])
    with pytest.raises(MessageDamaged):
        decode_message(data + b"\0")


@given(MESSAGES)
@settings(max_examples=60, deadline=None)
def test_turned_bits_give_another_message_or_one_refusal(message: Message) -> None:
    data = encode_message(message)
    for bit in range(8 * len(data)):
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << bit % 8
        try:
            other = decode_message(bytes(turned))
        except MessageDamaged:
            continue
        assert isinstance(other, Message)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_message_or_one_refusal(data: bytes) -> None:
    try:
        decode_message(data)
    except MessageDamaged as damage:
        assert str(damage)


@pytest.mark.parametrize("count", [2**32 - 1, 2**31, 2**24])
def test_nothing_is_allocated_by_a_length_that_is_not_proved(count: int) -> None:
    head = bytes([APPEND_ENTRIES]) + bytes(32) + count.to_bytes(4, "little")
    huge = head + (1).to_bytes(8, "little") + (1).to_bytes(8, "little") + b"\0" + count.to_bytes(4, "little")
    tracemalloc.start()
    for data in (head, huge):
        with pytest.raises(MessageDamaged):
            decode_message(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 100_000 > peak


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (AppendEntries(1, 5, 1, 0, [Entry(7, 1, COMMAND, b"")]), "behind previous_index"),
        (AppendEntries(1, 5, 1, 0, [Entry(6, 1, COMMAND, b""), Entry(8, 1, COMMAND, b"")]), "behind"),
        (AppendEntries(1, 5, 1, 0, [Entry(6, 2, COMMAND, b""), Entry(7, 1, COMMAND, b"")]), "behind"),
        (AppendEntries(1, 5, 1, 0, [Entry(6, 0, COMMAND, b"")]), "term 0"),
        (AppendEntries(1, 5, 1, 0, [Entry(6, 1, 255, b"")]), "kind 255"),
        (AppendEntries(1, 5, 1, 0, [Entry(6, 1, MEMBERSHIP, b"what")]), "membership"),
        (FetchEntriesReply(5, 1, 1, [Entry(5, 1, COMMAND, b"")]), "not before 5"),
        (LastEntryReply(1, 1, 1, 1, True, 1, b"what"), "membership"),
    ],
)
def test_what_no_replica_may_believe_is_refused(message: Message, why: str) -> None:
    with pytest.raises(MessageDamaged, match=why):
        decode_message(encode_message(message))


def test_kinds_that_are_not_known_are_refused() -> None:
    for kind in (0, REQUEST_SNAPSHOT + 1, 255):
        with pytest.raises(MessageDamaged, match=f"kind {kind}"):
            decode_message(bytes([kind]) + bytes(60))
