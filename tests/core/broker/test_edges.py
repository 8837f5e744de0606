"""Goal: an edge's entries count once, in their turn, and only under the incarnation that is open. Method: entries by
hand, repeated, skipped, from the dead and from strangers; what is refused leaves the state as it was."""

import pytest

from quantum.core.broker import edges
from quantum.core.broker.commands import (
    CLOSED_NORMALLY,
    HOUSEKEEPING,
    CloseEdge,
    CloseSession,
    Command,
    Entry,
    OpenEdge,
    OpenSession,
    PublishMessage,
    SetPolicy,
    decode_entry,
    encode_entry,
    stamped,
)
from quantum.core.broker.effects import Refused
from quantum.core.broker.message import Message
from quantum.core.mqtt.packets import Will
from tests.core.broker.tape import BIG, POLICY, START_MS, Tape


def _entry(edge: int, incarnation: int, forward_seq: int, *commands: Command) -> Entry:
    return Entry(START_MS, edge, incarnation, forward_seq, list(commands))


def _opened(edge: int = 1) -> Tape:
    tape = Tape()
    tape.do(OpenEdge(edge, 1, 7))
    return tape


def _refusals(tape: Tape, entry: Entry) -> list[str]:
    """Why the entry was refused, which must change nothing at all."""
    before = tape.state.digest()
    effects = tape.apply(entry)
    assert effects.is_refused
    assert before == tape.state.digest()
    assert [] == effects.edges_opened + effects.closes + effects.deliveries + effects.sends
    return [tape.refused_by(result) for result in effects.results]


def test_entries_count_once_and_in_their_turn() -> None:
    tape = _opened()
    opening = OpenSession("c", True, 0, 1, 1)
    for forward_seq in (2, 3):
        assert ["edge_stale"] == _refusals(tape, _entry(1, 1, forward_seq, opening))
    effects = tape.apply(_entry(1, 1, 1, opening))
    assert (1, 1, 1, False) == (effects.edge, effects.incarnation, effects.forward_seq, effects.is_refused)
    assert ["edge_stale"] == _refusals(tape, _entry(1, 1, 1, opening))
    assert ["edge_stale"] == _refusals(tape, _entry(1, 1, 3, opening))
    assert not tape.apply(_entry(1, 1, 2)).is_refused
    assert 2 == tape.state.edge_forward_seq(1)


@pytest.mark.parametrize(("edge", "incarnation"), [(1, 0), (1, 2), (2, 1)])
def test_other_incarnations_and_strangers_change_nothing(edge: int, incarnation: int) -> None:
    tape = _opened()
    assert ["edge_stale"] == _refusals(tape, _entry(edge, incarnation, 1, OpenSession("c", True, 0, 1, 1)))


def test_refused_entry_still_lets_time_pass() -> None:
    tape = _opened()
    tape.open("c", expiry_s=5)
    tape.cut("c")
    effects = tape.apply(Entry(START_MS + 5_000, 1, 1, 99, [OpenSession("d", True, 0, 1, 1)]))
    assert effects.is_refused
    assert START_MS + 5_000 == effects.stamp_ms
    assert {} == tape.state.session_view("c")


def test_refused_publish_is_in_no_column_of_the_ledger() -> None:
    tape = _opened()
    tape.open("c")
    before = tape.state.accounting
    publish = PublishMessage(tape.epochs["c"], 0, Message("t", b"", 1, False, client_id="c"))
    assert ["edge_stale"] == _refusals(tape, _entry(1, 1, 9, publish))
    assert before == tape.state.accounting


@pytest.mark.parametrize("incarnation", [0, 1, 3])
def test_edge_opens_only_under_the_incarnation_after_its_last(incarnation: int) -> None:
    tape = _opened()
    entry = _entry(1, incarnation, 0, OpenEdge(1, incarnation, 8))
    assert ["edge_stale"] == _refusals(tape, entry)
    assert 7 == tape.state.edge_nonce(1)


def test_of_two_processes_that_ask_for_one_incarnation_the_first_gets_it() -> None:
    tape = Tape()
    assert [(1, 1, 7)] == tape.do(OpenEdge(1, 1, 7)).edges_opened
    assert ["edge_stale"] == _refusals(tape, _entry(1, 1, 0, OpenEdge(1, 1, 8)))
    assert (1, 7, True) == (tape.state.edge_incarnation(1), tape.state.edge_nonce(1), tape.state.is_edge_open(1))


@pytest.mark.parametrize(
    "entry",
    [
        _entry(1, 2, 0, OpenEdge(2, 1, 7)),
        _entry(1, 2, 0, OpenEdge(1, 3, 7)),
        _entry(1, 2, 0),
        _entry(1, 2, 0, OpenEdge(1, 2, 7), OpenSession("c", True, 0, 1, 1)),
        _entry(1, 2, 0, OpenSession("c", True, 0, 1, 1)),
        _entry(1, 1, 0, OpenSession("c", True, 0, 1, 1)),
    ],
)
def test_opening_stands_alone_and_speaks_of_its_own_edge(entry: Entry) -> None:
    tape = _opened()
    assert ["edge_stale"] * len(entry.commands) == _refusals(tape, entry)


def test_what_each_may_say() -> None:
    tape = _opened()
    own = tape.apply(_entry(1, 1, 1, POLICY, OpenEdge(1, 2, 9), CloseEdge(2, 1)))
    assert ["edge_stale"] * 3 == [tape.refused_by(result) for result in own.results]
    leader = tape.apply(_entry(HOUSEKEEPING, 0, 0, OpenSession("c", True, 0, 1, 1), OpenEdge(2, 1, 9), POLICY))
    assert [Refused, Refused, int] == [result.__class__ for result in leader.results]
    assert [(1, 1)] == tape.state.open_edges()


def test_new_incarnation_of_an_edge_ends_its_earlier_connections_only() -> None:
    tape = _opened()
    tape.open("ephemeral", edge=1)
    tape.open("replicated", edge=1, expiry_s=BIG)
    tape.open("elsewhere", edge=2)
    effects = tape.do(OpenEdge(1, 2, 8))
    assert ([(1, 1)], [(1, 2, 8)]) == (effects.edges_closed, effects.edges_opened)
    assert {} == tape.state.session_view("ephemeral")
    assert not tape.state.session_view("replicated")["is_connected"]
    assert tape.state.session_view("elsewhere")["is_connected"]
    assert 2 == tape.state.edge_incarnation(1)
    assert not tape.apply(_entry(1, 2, 1)).is_refused


def test_closed_edge_loses_its_connections_and_is_silent_until_it_opens_anew() -> None:
    tape = _opened()
    tape.open("watch", edge=2)
    tape.subscribe("watch", "w")
    tape.open("c", expiry_s=BIG, will=Will("w", b"gone", 1, False))
    tape.open("d")
    effects = tape.do(CloseEdge(1, 1))
    assert [0] == effects.results
    assert [(1, 1)] == effects.edges_closed
    assert [("gone", ("watch",))] == tape.delivered()
    assert (False, {}) == (tape.state.session_view("c")["is_connected"], tape.state.session_view("d"))
    assert [(2, 1)] == tape.state.open_edges()
    close = CloseSession("c", tape.epochs["c"], CLOSED_NORMALLY)
    for forward_seq in (tape.state.edge_forward_seq(1), tape.state.edge_forward_seq(1) + 1):
        assert ["edge_stale"] == _refusals(tape, _entry(1, 1, forward_seq, close))
    assert ["edge_stale"] == _refusals(tape, _entry(1, 1, 0, OpenEdge(1, 1, 7)))
    assert [] == tape.do(OpenEdge(1, 2, 7)).edges_closed
    tape.open("c", expiry_s=BIG)
    assert tape.state.session_view("c")["is_connected"]


@pytest.mark.parametrize("command", [CloseEdge(1, 2), CloseEdge(1, 0), CloseEdge(2, 1), CloseEdge(2, 0)])
def test_closing_another_incarnation_changes_nothing(command: CloseEdge) -> None:
    tape = _opened()
    tape.open("c")
    before = tape.state.digest()
    assert "edge_stale" == tape.refused_by(tape.one(command))
    assert before == tape.state.digest()


def test_edge_that_takes_its_leave_opens_nothing_more_in_the_same_entry() -> None:
    tape = _opened()
    effects = tape.apply(_entry(1, 1, 1, CloseEdge(1, 1), OpenSession("c", True, 0, 1, 1)))
    assert [0, "edge_stale"] == [effects.results[0], tape.refused_by(effects.results[1])]
    assert [(1, 1)] == effects.edges_closed
    assert {} == tape.state.session_view("c")


def test_edges_are_part_of_the_snapshot() -> None:
    tape = _opened()
    tape.open("c", edge=4, expiry_s=BIG)
    tape.do(CloseEdge(4, 1))
    tape.do(OpenEdge(3, 1, 99))
    twin = tape.restored()
    for edge in (1, 3, 4, 5):
        ours = (tape.state.edge_incarnation(edge), tape.state.edge_nonce(edge), tape.state.is_edge_open(edge))
        assert ours == (twin.edge_incarnation(edge), twin.edge_nonce(edge), twin.is_edge_open(edge))
        assert tape.state.edge_forward_seq(edge) == twin.edge_forward_seq(edge)
    assert tape.state.digest() == twin.digest()
    data = encode_entry(_entry(4, 2, 0, OpenEdge(4, 2, 5)))
    assert tape.state.apply(99, data, None).edges_opened == twin.apply(99, data, None).edges_opened == [(4, 2, 5)]


def test_edges_are_bounded() -> None:
    tape = Tape()
    for edge in range(1, edges.EDGES_MAX + 1):
        tape.do(OpenEdge(edge, 1, 1))
    assert ["edges_max"] == _refusals(tape, _entry(9_999, 1, 0, OpenEdge(9_999, 1, 1)))
    assert not tape.do(OpenEdge(5, 2, 1)).is_refused


def test_stamp_is_set_without_touching_the_rest() -> None:
    commands: list[Command] = [CloseEdge(1, 1), SetPolicy(1, 2, 3, 4, 5, 6), OpenEdge(3, 4, 1 << 63)]
    data = encode_entry(Entry(0, 7, 3, 1 << 40, commands))
    assert Entry(1 << 45, 7, 3, 1 << 40, commands) == decode_entry(stamped(data, 1 << 45))


def test_a_session_remembers_when_its_last_connection_ended() -> None:
    tape = Tape()
    assert 0 == tape.open("c", expiry_s=BIG).left_index
    assert not tape.effects.has_left
    tape.cut("c")
    cut_index = tape.index
    assert tape.effects.has_left
    assert cut_index == tape.open("c", expiry_s=BIG, edge=2).left_index
    assert not tape.effects.has_left
    assert tape.index + 1 == tape.open("c", expiry_s=BIG).left_index  # taken over
    assert tape.effects.has_left
    tape.do(CloseEdge(1, 1))
    closed_index = tape.index
    assert tape.effects.has_left
    tape.state = tape.restored()
    assert closed_index == tape.open("c", expiry_s=BIG).left_index
    assert tape.state.digest() == tape.restored().digest()
    assert tape.index + 1 == tape.open("c", clean_start=True).left_index
    tape.cut("c")
    assert not tape.effects.has_left  # the session ended with it
    assert 0 == tape.open("c").left_index
