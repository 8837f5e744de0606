"""Goal: what a writer reports as durable is, and a hard state only when it is durable twice. Method: batches taken one by
one, their frames read back."""

from quantum.core.raft.entry import COMMAND
from quantum.core.wal.batch import NO_DIGEST, decode_batch
from quantum.core.wal.frame import Frame, GroupEntry, HardState, decode_frames, encode_entry_frame, encode_hard_state
from quantum.core.wal.segment import HEAD_BYTES, identity_salt
from quantum.core.wal.writer import Append, LogPosition, Writer

SALT = identity_salt("cluster", "node")


def fresh(segment_bytes: int = 65_536, batch_bytes_max: int = 4096) -> Writer:
    writer = Writer(SALT, segment_bytes, batch_bytes_max, LogPosition(1, 0, 1, NO_DIGEST))
    writer.add_segment(1, segment_bytes)
    return writer


def add_entry(writer: Writer, group: int, index: int, sequence: int, size: int = 1) -> None:
    writer.add(encode_entry_frame(group, index, 1, COMMAND, b"x" * size), group, index, sequence)


def add_vote(writer: Writer, group: int, term: int, sequence: int) -> None:
    writer.add_hard_state(encode_hard_state(HardState(group, term, 1)), group, sequence)


def taken(writer: Writer) -> Append:
    append = writer.take_append()
    assert append is not None
    return append


def frames(append: Append) -> list[Frame]:
    head = 0 if append.offset else HEAD_BYTES
    batch = decode_batch(SALT, 1, bytes(append.offset) + append.data, append.offset + head)
    assert batch is not None
    return decode_frames(batch.body)


def test_entries_count_once_their_batch_is_durable() -> None:
    writer = fresh()
    add_entry(writer, 1, 5, 11)
    add_entry(writer, 2, 9, 3)
    taken(writer)
    assert writer.take_append() is None
    add_entry(writer, 1, 6, 12)
    assert {1: 11, 2: 3} == writer.on_durable()
    taken(writer)
    assert {1: 12} == writer.on_durable()
    assert writer.is_idle()


def test_without_a_sequence_the_index_is_reported() -> None:
    writer = fresh()
    writer.add(encode_entry_frame(1, 7, 1, COMMAND, b""), 1, 7)
    writer.add(encode_hard_state(HardState(1, 1, 1)), 0, 0)
    taken(writer)
    assert {1: 7} == writer.on_durable()


def test_a_hard_state_alone_makes_a_second_batch_and_counts_then() -> None:
    writer = fresh()
    add_vote(writer, 1, 4, 1)
    assert [HardState(1, 4, 1)] == frames(taken(writer))
    assert {} == writer.on_durable()
    assert not writer.is_idle()
    assert 0 < writer.pending_bytes
    assert [HardState(1, 4, 1)] == frames(taken(writer))
    assert {1: 1} == writer.on_durable()
    assert writer.is_idle()
    assert 0 == writer.pending_bytes
    assert writer.take_append() is None


def test_what_stands_behind_a_hard_state_waits_for_its_copy_and_what_stands_before_does_not() -> None:
    writer = fresh()
    add_entry(writer, 1, 5, 1)
    add_vote(writer, 1, 4, 2)
    add_entry(writer, 1, 6, 3)
    add_entry(writer, 2, 8, 1)
    taken(writer)
    assert {1: 1, 2: 1} == writer.on_durable()
    add_entry(writer, 1, 7, 4)
    second = frames(taken(writer))
    assert HardState(1, 4, 1) == second[0]
    assert isinstance(second[1], GroupEntry)
    assert {1: 4} == writer.on_durable()


def test_a_hard_state_in_each_batch_counts_one_batch_later() -> None:
    writer = fresh()
    add_vote(writer, 1, 4, 1)
    taken(writer)
    add_vote(writer, 1, 5, 2)
    assert {} == writer.on_durable()
    assert [HardState(1, 4, 1), HardState(1, 5, 1)] == frames(taken(writer))
    assert {1: 1} == writer.on_durable()
    assert [HardState(1, 5, 1)] == frames(taken(writer))
    assert {1: 2} == writer.on_durable()
    assert writer.is_idle()


def test_the_last_of_several_hard_states_in_a_batch_is_the_one_written_again() -> None:
    writer = fresh()
    add_vote(writer, 1, 4, 1)
    add_vote(writer, 1, 5, 2)
    add_vote(writer, 2, 7, 1)
    taken(writer)
    writer.on_durable()
    assert [HardState(1, 5, 1), HardState(2, 7, 1)] == frames(taken(writer))
    assert {1: 2, 2: 1} == writer.on_durable()


def test_copies_stand_in_the_order_of_the_last_of_each() -> None:
    writer = fresh()
    add_vote(writer, 1, 4, 1)
    writer.add_hard_state(encode_hard_state(HardState(1, 4, 1)), 99, 1)
    add_vote(writer, 1, 5, 2)
    taken(writer)
    writer.on_durable()
    assert [HardState(1, 4, 1), HardState(1, 5, 1)] == frames(taken(writer))


def test_a_batch_is_bounded_and_the_rest_comes_next() -> None:
    writer = fresh(batch_bytes_max=1000)
    for index in range(1, 6):
        add_entry(writer, 1, index, index, 400)
    assert 2 == len(frames(taken(writer)))
    assert {1: 2} == writer.on_durable()
    assert 2 == len(frames(taken(writer)))
    assert {1: 4} == writer.on_durable()


def test_the_greatest_index_of_a_segment_outlives_a_truncation() -> None:
    writer = fresh()
    add_entry(writer, 1, 9, 1)
    add_entry(writer, 1, 4, 2)
    taken(writer)
    assert {1: {1: 9}} == writer.last_index


def test_a_copy_that_finds_no_room_goes_into_the_next_segment() -> None:
    writer = fresh(segment_bytes=512)
    add_vote(writer, 1, 4, 1)
    add_entry(writer, 1, 5, 2, 300)
    taken(writer)
    writer.on_durable()
    assert writer.take_append() is None
    assert (2, 512) == writer.take_create()
    writer.add_segment(2, 512)
    assert "wal/segment-0000000002.log" == taken(writer).name
    assert {1: 2} == writer.on_durable()


def test_notes_stand_in_front_of_everything() -> None:
    writer = Writer(SALT, 512, 512, LogPosition(1, 0, 1, NO_DIGEST, [encode_hard_state(HardState(3, 1, 1))]))
    writer.add_segment(1, 512)
    add_vote(writer, 1, 4, 1)
    assert [HardState(3, 1, 1), HardState(1, 4, 1)] == frames(taken(writer))
