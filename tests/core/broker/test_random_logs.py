"""Random logs leave no trace of how they were applied: from bytes or objects, in one life or restored midway.

Method: seeded logs with right, wrong and stale commands; after every entry the ledger, the gauges and each session are
checked; twins must agree in effects and digest; at the end everything is closed and nothing may be left.
"""

import gc
import random

import pytest

from quantum.core.broker.commands import (
    CLOSED_NORMALLY,
    HOUSEKEEPING,
    CloseSession,
    Command,
    Entry,
    OpenEdge,
    OpenSession,
    PublishMessage,
    SetPolicy,
    decode_entry,
    encode_entry,
)
from quantum.core.broker.effects import SessionOpened
from quantum.core.broker.expiry import DUE_STEPS, SEND_MORE
from quantum.core.broker.inflight import OWED, SENT
from quantum.core.broker.message import Message
from quantum.core.broker.state import BrokerState
from tests.core.broker.random_log import CLIENTS, TOPICS, RandomLog, image_of, steps_of, written_log

SEEDS = range(25)
ENTRIES = 250


def _check(state: BrokerState) -> None:
    """What must hold between any two entries."""
    partition = state._partition
    accounting = partition.accounting
    assert accounting.is_balanced()
    sessions = list(partition.sessions.values())
    assert accounting.queued == sum(len(session.queue) for session in sessions)
    assert accounting.in_flight == sum(len(session.inflight.copies) for session in sessions)
    assert accounting.held_bytes == sum(session.held_bytes for session in sessions)
    assert partition.connected_count == sum(session.conn_epoch != 0 for session in sessions)
    assert partition.subscriptions.count == sum(len(session.subscriptions) for session in sessions)
    readers = partition.readers._deadline_ms
    epochs = [session.conn_epoch for session in sessions if session.conn_epoch]
    assert len(epochs) == len(set(epochs))
    for group in partition.subscriptions.groups.values():
        members = {name: group.members[name].receiver for name in sorted(group.members)}
        assert [
            name for name, receiver in members.items() if receiver.qos and not receiver.is_ephemeral
        ] == group.lasting
        assert [name for name in members if partition.sessions[name].conn_epoch] == group.online
    for session in sessions:
        shared = [topic_filter for topic_filter in session.subscriptions if topic_filter.startswith("$share/")]
        assert {name: partition.subscriptions.groups[name] for name in shared} == session.subscriber.groups
        copies = session.inflight.copies
        assert session.held_bytes == sum(c.size for c in [*copies.values(), *session.queue.to_list()])
        assert session.inflight.owed_count == sum(c.state == OWED for c in copies.values())
        if session.conn_epoch:
            assert sum(c.state == SENT for c in copies.values()) <= session.receive_maximum
            has_window = session.inflight.outstanding() < session.receive_maximum
            is_idle = has_window and (session.inflight.owed_count > 0 or not session.queue.is_empty())
            assert is_idle == ((SEND_MORE, session.client_id) in readers), "nothing will send more"
        else:
            assert not session.is_ephemeral
            assert session.expiry_s != 0
        if session.is_ephemeral:
            assert session.held_count() == 0
    if state._due_steps >= DUE_STEPS:
        assert partition.deadlines.first_ms() == 0 or partition.deadlines.first_ms() >= partition.stamp_ms


def _restored(state: BrokerState) -> BrokerState:
    twin = BrokerState(state._read_steps, state._due_steps, state._send_steps)
    for number in range(state.bucket_count):
        twin.decode_bucket(number, state.encode_bucket(number))
    twin.on_restored()
    return twin


@pytest.mark.parametrize("seed", SEEDS)
def test_invariants_hold_after_every_entry(seed: int) -> None:
    log = RandomLog(seed)
    state = BrokerState(*steps_of(seed))
    numbers: list[int] = []
    for index in range(1, ENTRIES):
        entry = log.first() if index == 1 else log.entry()
        effects = state.apply(index, encode_entry(entry), None)
        log.on_effects(entry, effects)
        numbers += [message.number for message, _ in effects.deliveries]
        _check(state)
    assert all(numbers)
    accounting = state.accounting
    assert accounting["delivered"]
    assert accounting["accepted"]


@pytest.mark.parametrize("seed", SEEDS)
def test_objects_of_the_proposer_and_bytes_of_the_log_have_the_same_effects(seed: int) -> None:
    from_bytes = BrokerState(*steps_of(seed))
    from_objects = BrokerState(*steps_of(seed))
    for index, data in enumerate(written_log(seed, ENTRIES), 1):
        expected = image_of(from_bytes.apply(index, data, None))
        assert expected == image_of(from_objects.apply(index, data, decode_entry(data)))
    assert from_bytes.digest() == from_objects.digest()


@pytest.mark.parametrize("seed", SEEDS)
def test_restored_state_behaves_like_the_one_that_was_never_cut(seed: int) -> None:
    entries = written_log(seed, ENTRIES)
    cuts = random.Random(seed).sample(range(2, ENTRIES), 4)
    state = BrokerState(*steps_of(seed))
    twin = BrokerState(*steps_of(seed))
    for index, data in enumerate(entries, 1):
        assert image_of(state.apply(index, data, None)) == image_of(twin.apply(index, data, None)), index
        if index in cuts:
            twin = _restored(twin)
            assert state.digest() == twin.digest()
            assert state.counts() == twin.counts()
            assert state.next_deadline_ms() == twin.next_deadline_ms()
            _check(twin)
    assert state.digest() == twin.digest()


@pytest.mark.parametrize("seed", SEEDS)
def test_snapshot_cut_in_slices_is_the_state_at_its_beginning(seed: int) -> None:
    entries = written_log(seed, ENTRIES)
    chance = random.Random(seed)
    at = chance.randrange(10, ENTRIES - 100)
    state = BrokerState(*steps_of(seed))
    pieces: list[tuple[int, bytes]] = []
    expected = b""
    for index, data in enumerate(entries, 1):
        state.apply(index, data, None)
        if index == at:
            expected = state.digest()
            state.cutter.begin(state.bucket_count)
        if state.cutter.is_cutting and chance.random() < 0.5:
            pieces += state.cutter.take_slice(chance.choice([1, 50, 500]))
    while state.cutter.is_cutting:
        pieces += state.cutter.take_slice(10_000)
    assert list(range(state.bucket_count)) == sorted(number for number, _ in pieces)
    twin = BrokerState(*steps_of(seed))
    for number, data in sorted(pieces):
        twin.decode_bucket(number, data)
    twin.on_restored()
    assert expected == twin.digest()
    assert expected != state.digest()


@pytest.mark.usefixtures("small_heap")
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_left_when_everybody_is_gone(seed: int) -> None:
    gc.collect()
    before = sum(isinstance(thing, Message) for thing in gc.get_objects())
    log = RandomLog(seed)
    state = BrokerState(*steps_of(seed))
    for index in range(1, ENTRIES):
        entry = log.first() if index == 1 else log.entry()
        log.on_effects(entry, state.apply(index, encode_entry(entry), None))
    partition = state._partition
    policy = SetPolicy(100, 10, 10, 1000, 100, 1000)
    state.apply(ENTRIES, encode_entry(Entry(log.now_ms, HOUSEKEEPING, 0, 0, [policy])), None)
    state.apply(0, encode_entry(Entry(0, 3, 1, 0, [OpenEdge(3, 1, 1)])), None)
    for number, client_id in enumerate(CLIENTS):
        opening = Entry(0, 3, 1, 2 * number + 1, [OpenSession(client_id, False, 0, 1, 1)])
        opened = state.apply(0, encode_entry(opening), None).results[0]
        assert isinstance(opened, SessionOpened)
        deletions: list[Command] = [
            PublishMessage(opened.conn_epoch, 0, Message(topic_name, b"", 1, True, b"", -1, client_id))
            for topic_name in TOPICS
        ]
        close = CloseSession(client_id, opened.conn_epoch, CLOSED_NORMALLY, 0)
        state.apply(0, encode_entry(Entry(0, 3, 1, 2 * number + 2, [*deletions, close])), None)
    while state.next_deadline_ms():
        state.apply(0, encode_entry(Entry(log.now_ms, HOUSEKEEPING, 0, 0, [])), None)
    assert 0 == max(state.counts().values())
    assert partition.subscriptions.is_empty()
    assert partition.retained.is_empty()
    assert not any(partition.session_buckets) and not any(partition.retained_buckets)
    del entry, deletions, opened, opening
    gc.collect()
    assert before == sum(isinstance(thing, Message) for thing in gc.get_objects())
