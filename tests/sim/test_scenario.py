"""Goal: a scenario survives being written and read, wrong files are refused in one line that names the key, and marks
are counted as a campaign needs them. Method: round trips over drawn scenarios, tables of wrong files, arbitrary JSON."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum.sim import history as telling
from quantum.sim.history import CLIENT_LANE, DELIVER, NOTE, SEND, History, client_lane, lane_name
from quantum.sim.marks import Coverage, Marks, MarksWrong, Threshold, decode_thresholds
from quantum.sim.scenario import (
    PROFILES,
    FaultEvent,
    Scenario,
    ScenarioWrong,
    copy_scenario,
    decode_scenario,
    encode_scenario,
    scenario_digest,
)

FAULTS = st.builds(
    FaultEvent,
    at_us=st.integers(0, 10**9),
    kind=st.text(min_size=1, max_size=20),
    duration_us=st.integers(0, 10**9),
    nodes=st.lists(st.integers(1, 9), max_size=3).map(tuple),
    args=st.dictionaries(st.text(max_size=5), st.integers(-(2**40), 2**40), max_size=3),
)
SCENARIOS = st.builds(
    Scenario,
    profile=st.sampled_from(PROFILES),
    seed=st.integers(0, 2**64),
    node_count=st.none() | st.integers(1, 7),
    client_count=st.none() | st.integers(0, 50),
    duration_ms=st.none() | st.integers(0, 10**6),
    faults=st.none() | st.lists(FAULTS, max_size=5),
    off=st.lists(st.text(min_size=1, max_size=5), max_size=3).map(tuple),
    clients_off=st.lists(st.integers(0, 50), max_size=3).map(tuple),
    ops_off=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 9), st.integers(9, 99)), max_size=3).map(tuple),
)


def a_file(**changes: object) -> str:
    document: dict[str, object] = {"format": 1, "profile": "lite", "seed": 7}
    document.update(changes)
    return json.dumps(document)


@given(SCENARIOS)
def test_decoding_gives_back_what_was_encoded(scenario: Scenario) -> None:
    text = encode_scenario(scenario)
    assert scenario == decode_scenario(text)
    assert text == encode_scenario(decode_scenario(text))


@given(SCENARIOS, SCENARIOS)
def test_digests_are_equal_when_scenarios_are(one: Scenario, other: Scenario) -> None:
    assert (one == other) == (scenario_digest(one) == scenario_digest(other))


def test_file_has_one_fault_a_line() -> None:
    faults = [FaultEvent(5, "kill", nodes=(2,)), FaultEvent(9, "partition", 100, (1, 2), {"shape": 3})]
    lines = encode_scenario(Scenario("lite", 7, faults=faults)).splitlines()
    assert ' {"at_us": 5, "kind": "kill", "nodes": [2]},' in lines
    assert ' {"at_us": 9, "kind": "partition", "duration_us": 100, "nodes": [1, 2], "args": {"shape": 3}}' in lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "not JSON: expecting value in line 1, column 1"),
        ('{"format": 1,\n "profile": }', "not JSON: expecting value in line 2"),
        ("[]", "the file is [], allowed an object"),
        ("[" * 100_000, "not a scenario"),
        ('{"seed": ' + "9" * 10_000 + "}", "not a scenario"),
        ('{"format": 1, "profile": "lite"}', "the file has no key 'seed'"),
        ('{"format": 1, "profile": "lite", "seed": 1, "seed": 2}', 'key "seed" comes twice'),
        (a_file(format=2), "format is 2, allowed 1"),
        (a_file(profile="quick"), 'profile is "quick", allowed lite, standard, soak, storage, mqtt'),
        (a_file(seed=-1), "seed is -1, allowed a whole number from 0"),
        (a_file(seed=True), "seed is true"),
        (a_file(seed=1.5), "seed is 1.5"),
        (a_file(sede=1), 'the file has the key "sede", allowed format, profile, seed'),
        (a_file(node_count=8), "node_count is 8, allowed a whole number from 1 to 7"),
        (a_file(faults={}), "faults is {}, allowed a list"),
        (a_file(faults=[7]), "faults[0] is 7, allowed an object"),
        (a_file(faults=[{"at_us": 1}]), "faults[0] has no key 'kind'"),
        (a_file(faults=[{"at_us": 1, "kind": ""}]), "faults[0].kind"),
        (a_file(faults=[{"at_us": "soon", "kind": "kill"}]), 'faults[0].at_us is "soon"'),
        (a_file(faults=[{"at_us": 1, "kind": "kill", "node": 1}]), 'faults[0] has the key "node"'),
        (a_file(faults=[{"at_us": 1, "kind": "kill", "nodes": [-1]}]), "faults[0].nodes[0] is -1"),
        (a_file(faults=[{"at_us": 1, "kind": "kill", "args": 5}]), "faults[0].args is 5, allowed an object"),
        (a_file(faults=[{"at_us": 1, "kind": "kill", "args": {"x": "y"}}]), 'faults[0].args.x is "y"'),
        (a_file(off=["loss", 3]), "off[1] is 3, allowed a word"),
        (a_file(clients_off=3), "clients_off is 3, allowed a list"),
        (a_file(ops_off=[[1, 2]]), "ops_off[0] is [1, 2], allowed [client, first, last]"),
        (a_file(ops_off=[[1, 3, 2]]), "ops_off[0] is [1, 3, 2]"),
    ],
)
def test_wrong_file_is_refused_in_one_line_that_names_the_key(text: str, expected: str) -> None:
    with pytest.raises(ScenarioWrong) as caught:
        decode_scenario(text)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
KEYS = ("node_count", "client_count", "duration_ms", "faults", "off", "clients_off", "ops_off")


@given(st.dictionaries(st.sampled_from(KEYS), JSON, max_size=3))
def test_any_values_are_a_scenario_or_refused(values: dict[str, object]) -> None:
    try:
        decode_scenario(a_file(**values))
    except ScenarioWrong as wrong:
        assert "\n" not in str(wrong)


def test_copy_shares_nothing_that_can_change() -> None:
    first = Scenario("lite", 1, faults=[FaultEvent(1, "kill", args={"x": 1})])
    second = copy_scenario(first, seed=2)
    assert second.faults is not None
    second.faults[0].args["x"] = 2
    assert first.faults is not None
    assert {"x": 1} == first.faults[0].args
    assert (1, 2) == (first.seed, second.seed)


def test_op_is_off_when_a_range_of_its_client_has_it() -> None:
    scenario = Scenario("lite", 1, ops_off=((0, 2, 3), (1, 0, 9)))
    assert [False, False, True, True, False] == [scenario.is_op_off(0, op) for op in range(5)]
    assert [True, False] == [scenario.is_op_off(1, op) for op in (9, 10)]


def test_history_numbers_events_and_prints_one_line_each() -> None:
    history = History()
    sent = history.add(1_500, 1, SEND, "AppendEntries", (0,), a=2)
    history.add(2_750, 2, DELIVER, "AppendEntries", (sent,), a=1)
    assert (1, [(), (1,)]) == (sent, [event.causes for event in history.events])
    assert "2        2.750 ms  node 2      deliver      AppendEntries  <- 1" == history.lines()[1].strip()


def test_history_refuses_a_cause_that_comes_after() -> None:
    with pytest.raises(AssertionError):
        History().add(0, 1, SEND, "early", (1,))


def test_history_forgets_its_oldest_half_when_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "EVENTS_MAX", 10)
    history = History()
    for at in range(25):
        history.add(at, 1, NOTE, f"event {at}", (at,))
    assert len(history.events) <= 10
    assert 25 == history.forgotten_count + len(history.events)
    assert ["event 23", "event 24"] == [event.text for event in history.events[-2:]]
    assert list(range(history.forgotten_count + 1, 26)) == [event.number for event in history.events]


def test_lanes_have_names() -> None:
    assert ["world", "node 3", "client 0", "client 12"] == [
        lane_name(lane) for lane in (0, 3, CLIENT_LANE, client_lane(12))
    ]


def test_coverage_counts_sums_and_runs() -> None:
    coverage = Coverage()
    for times in (0, 3, 1):
        marks = Marks()
        marks.sometimes("always")
        for _ in range(times):
            marks.sometimes("often")
        marks.sometimes_if(False, "never")
        coverage.add(marks.counts)
    assert ({"always": 3, "often": 4}, {"always": 3, "often": 2}) == (coverage.counts, coverage.runs)
    assert [] == coverage.missing([Threshold("always", 3, 1000), Threshold("often", 4, 666)])
    assert [
        "never: met 0 times, required 1",
        "often: met in 2 of 3 runs, required 700 per mille",
        "always: met 3 times, required 4",
    ] == coverage.missing([Threshold("never"), Threshold("often", 1, 700), Threshold("always", 4)])


def test_thresholds_are_read_from_a_file() -> None:
    text = '{"a": 3, "b": {"per_mille": 500}}'
    assert [Threshold("a", 3, 0), Threshold("b", 1, 500)] == decode_thresholds(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", "not JSON"),
        ("[]", "not an object of marks"),
        ('{"a": -1}', "a is -1, allowed a whole number of 0 or more"),
        ('{"a": {"counts": 1}}', 'a has the key "counts"'),
        ('{"a": {"per_mille": true}}', "a.per_mille is true"),
        ('{"": 1}', "mark of 0 characters"),
    ],
)
def test_wrong_thresholds_are_refused(text: str, expected: str) -> None:
    with pytest.raises(MarksWrong, match="^" + expected.replace("[", r"\[").replace(".", r"\.")):
        decode_thresholds(text)
