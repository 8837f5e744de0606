"""The door of the room: buckets, deadlines, operators' views, and the cost of the hot path.

Method: single facts that the rule by rule tests do not look at.
"""

import time
from collections.abc import Callable

import pytest

from quantum.core.broker.commands import (
    CloseEdge,
    DropDelivery,
    Entry,
    OpenEdge,
    OpenSession,
    PublishMessage,
    SubscribeSession,
    encode_entry,
)
from quantum.core.broker.expiry import SESSION_EXPIRY, WITHDRAWN_MIN, Deadlines
from quantum.core.broker.message import Message
from quantum.core.broker.partition import BUCKET_COUNT, retained_bucket_of, session_bucket_of
from quantum.core.broker.state import BrokerState
from quantum.core.mqtt.packets import Subscription, Will
from quantum.core.snapshot.chunks import SLICES, SnapshotWriter
from tests.core.broker.tape import BIG, Tape


def test_buckets_of_names_never_move() -> None:
    """Frozen: snapshots of other versions rely on them."""
    assert 129 == BUCKET_COUNT
    assert [47, 4, 52] == [session_bucket_of(name) for name in ("", "client", "ключ")]
    assert [111, 68, 116] == [retained_bucket_of(name) for name in ("", "client", "ключ")]
    assert all(1 <= session_bucket_of(str(n)) <= 64 < retained_bucket_of(str(n)) <= 128 for n in range(1000))


def test_publish_to_ephemeral_receivers_touches_only_the_common_bucket() -> None:
    tape = Tape()
    tape.open("p")
    tape.open("s")
    tape.subscribe("s", "t")
    before = [tape.state.encode_bucket(number) for number in range(BUCKET_COUNT)]
    tape.publish("p", "t")
    changed = [number for number in range(BUCKET_COUNT) if before[number] != tape.state.encode_bucket(number)]
    assert [0] == changed


def _prepared() -> Tape:
    """A replicated session `c` with something of everything, and absent ones: `gone` ends in 10 s, `bare` in 3."""
    tape = Tape()
    tape.open("p")
    tape.open("gone", expiry_s=10, will=Will("w", b"w", 1, True, b"", 5))
    tape.subscribe("gone", "t")
    tape.cut("gone")
    tape.open("bare", expiry_s=3)
    tape.cut("bare")
    tape.open("c", expiry_s=BIG, receive_maximum=2, will=Will("w", b"w", 1, False))
    tape.subscribe("c", "t", "u/#")
    tape.publish("c", "r", qos=2, packet_id=9, retain=True, expiry_s=7)
    for qos in (1, 2, 1):
        tape.publish("p", "t", qos=qos)
    return tape


CHANGES: dict[str, Callable[[Tape], object]] = {
    "open": lambda tape: tape.open("fresh", expiry_s=5),
    "resume": lambda tape: tape.open("gone", expiry_s=10),
    "take over": lambda tape: tape.open("c", expiry_s=BIG),
    "clean start": lambda tape: tape.open("c", clean_start=True),
    "close": lambda tape: tape.close("c"),
    "end": lambda tape: tape.close("c", expiry_s=0),
    "cut": lambda tape: tape.cut("c"),
    "open edge": lambda tape: tape.do(OpenEdge(1, 2, 7)),
    "close edge": lambda tape: tape.do(CloseEdge(1, 1)),
    "subscribe": lambda tape: tape.subscribe("c", "v"),
    "unsubscribe": lambda tape: tape.unsubscribe("c", "t"),
    "publish": lambda tape: tape.publish("p", "t"),
    "publish qos 2": lambda tape: tape.publish("c", "nobody", qos=2, packet_id=10),
    "retain": lambda tape: tape.publish("p", "r2", retain=True),
    "delete retained": lambda tape: tape.publish("p", "r", b"", retain=True),
    "release": lambda tape: tape.release("c", 9),
    "puback": lambda tape: tape.puback("c", 1),
    "pubrec": lambda tape: tape.pubrec("c", 2),
    "drop": lambda tape: tape.do(DropDelivery("c", tape.epochs["c"], 1, 51)),
    "session expiry": lambda tape: tape.pass_s(3),
    "will delay": lambda tape: tape.pass_s(5),
    "retained expiry": lambda tape: tape.pass_s(7),
    "all of them": lambda tape: tape.pass_s(10),
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_snapshot_that_began_before_a_change_does_not_see_it(change: str) -> None:
    tape = _prepared()
    before = [tape.state.encode_bucket(number) for number in range(BUCKET_COUNT)]
    tape.state.cutter.begin(BUCKET_COUNT)
    CHANGES[change](tape)
    pieces: dict[int, bytes] = {}
    while tape.state.cutter.is_cutting:
        pieces.update(tape.state.cutter.take_slice(1_000_000))
    assert before == [pieces[number] for number in range(BUCKET_COUNT)]
    assert before[1:] != [tape.state.encode_bucket(number) for number in range(1, BUCKET_COUNT)]


def test_message_owed_to_many_sessions_of_a_bucket_is_encoded_once() -> None:
    tape = Tape()
    tape.open("p")
    bucket = session_bucket_of("s0")
    names = [name for name in (f"s{n}" for n in range(1000)) if session_bucket_of(name) == bucket][:5]
    for name in names:
        tape.open(name, expiry_s=BIG)
        tape.subscribe(name, "t")
    tape.publish("p", "t", b"p" * 10_000)
    assert 5 == len(names)
    assert 10_000 < len(tape.state.encode_bucket(bucket)) < 20_000
    sessions = tape.restored()._partition.sessions
    assert 1 == len({id(sessions[name].inflight.copies[1].message) for name in names})


def test_deadlines_of_a_client_that_reconnects_for_ever_stay_bounded() -> None:
    deadlines = Deadlines()
    for turn in range(10_000):
        deadlines.set(SESSION_EXPIRY, "c", turn + 1_000_000)
        deadlines.withdraw(SESSION_EXPIRY, "c")
        assert deadlines.heap_size() <= 2 * len(deadlines) + WITHDRAWN_MIN
    assert 0 == deadlines.first_ms()


def test_due_things_come_by_deadline_then_name_then_kind() -> None:
    deadlines = Deadlines()
    for kind, name, deadline_ms in [(2, "a", 20), (1, "b", 10), (1, "a", 20), (0, "b", 20), (0, "c", 5), (0, "z", 21)]:
        deadlines.set(kind, name, deadline_ms)
    deadlines.set(0, "c", 30)
    due = []
    while (item := deadlines.pop_due(20)) is not None:
        due.append(item)
    assert [(1, "b"), (1, "a"), (2, "a"), (0, "b")] == due
    assert 21 == deadlines.first_ms()


def test_entry_without_commands_moves_the_time() -> None:
    tape = Tape()
    effects = tape.pass_s(5)
    assert (tape.now_ms, []) == (effects.stamp_ms, effects.results)


def test_view_of_a_session_says_why_nothing_arrives() -> None:
    tape = Tape()
    tape.open("p")
    tape.open("s", expiry_s=BIG, receive_maximum=1, edge=2, conn_id=9)
    tape.subscribe("s", "t")
    tape.publish("p", "t", b"12")
    tape.publish("p", "t", b"34")
    view = tape.state.session_view("s")
    expected = {"edge": 2, "conn_id": 9, "window_used": 1, "receive_maximum": 1, "queued_messages": 1}
    assert expected.items() <= view.items()
    assert {"queued_bytes": 6, "subscriptions": ["t"]}.items() <= view.items()
    assert {} == tape.state.session_view("nobody")


def test_a_publish_costs_microseconds() -> None:
    """A generous bound: it fails when the hot path scans or allocates without need, not when the machine is busy."""
    state = BrokerState()
    opening = [OpenSession("p", True, 0, 10, 1), OpenSession("s", True, 0, 10, 2)]
    state.apply(1, encode_entry(Entry(1000, 1, 1, 0, [OpenEdge(1, 1, 1)])), None)
    subscribing = SubscribeSession("s", 2, [Subscription("t/+", 1)], 0)
    state.apply(2, encode_entry(Entry(1000, 1, 1, 1, [*opening, subscribing])), None)
    publishes = [PublishMessage(1, 0, Message("t/1", b"x" * 64, 1, False, b"", -1, "p")) for _ in range(200)]
    data = [encode_entry(Entry(1000, 1, 1, seq, list(publishes))) for seq in range(2, 102)]
    began = time.process_time()
    for index in range(100):
        state.apply(3 + index, data[index], None)
    assert time.process_time() - began < 20_000 * 8e-6
    assert 20_000 == state.accounting["delivered"]


def test_reset_forgets_everything_and_numbers_no_route_twice() -> None:
    tape = _prepared()
    empty = BrokerState().digest()
    route = tape.state.route("t")
    data = [tape.state.encode_bucket(number) for number in range(BUCKET_COUNT)]
    digest = tape.state.digest()
    tape.state.cutter.begin(BUCKET_COUNT)
    tape.state.reset()
    assert empty == tape.state.digest()
    assert not tape.state.cutter.is_cutting
    for number in range(BUCKET_COUNT):
        tape.state.decode_bucket(number, data[number])
    tape.state.on_restored()
    assert digest == tape.state.digest()
    assert route.number < tape.state.route("t").number


def _many_absent(count: int) -> Tape:
    """Sessions in all buckets, without their clients and subscribed to the same topic, and a publisher."""
    tape = Tape()
    tape.open("p")
    for number in range(count):
        tape.open(f"c{number}", expiry_s=BIG)
        tape.subscribe(f"c{number}", "t")
        tape.cut(f"c{number}")
    return tape


def test_entry_that_changes_records_of_all_buckets_encodes_none_of_them_for_the_snapshot_being_cut() -> None:
    tape = _many_absent(300)
    before = [tape.state.encode_bucket(number) for number in range(BUCKET_COUNT)]
    cutter = tape.state.cutter
    cutter.begin(BUCKET_COUNT)
    tape.publish("p", "t", retain=True)
    tape.open("new", expiry_s=BIG)
    tape.open("c0", clean_start=True)
    assert [0] == [number for number, _ in cutter._saved]
    now = [tape.state.encode_bucket(number) for number in range(BUCKET_COUNT)]
    assert 64 < sum(one != other for one, other in zip(before, now, strict=True))
    assert list(enumerate(before)) == sorted(cutter.take_slice(1 << 30))
    assert {} == cutter._kept


def test_snapshot_given_up_leaves_nothing_to_the_next_one() -> None:
    tape = _many_absent(3)
    cutter = tape.state.cutter
    cutter.begin(BUCKET_COUNT)
    tape.publish("p", "t")
    cutter.abandon()
    before = [tape.state.encode_bucket(number) for number in range(BUCKET_COUNT)]
    cutter.begin(BUCKET_COUNT)
    assert list(enumerate(before)) == sorted(cutter.take_slice(1 << 30))


def test_chunk_of_a_snapshot_is_gathered_in_slices() -> None:
    state = _many_absent(300).state
    largest = max(len(state.encode_bucket(number)) for number in range(BUCKET_COUNT))
    writer = SnapshotWriter(state, 1, 1, 1, b"", 8_000)
    sizes: list[int] = []
    while not writer.is_gathered:
        writer.gather()
        sizes.append(writer._gathered_bytes - sum(sizes))
    assert sum(sizes) >= 8_000 > max(sizes)
    assert max(sizes) < 8_000 // SLICES + largest
    assert writer.next_chunk() is not None
    assert not writer.is_gathered
