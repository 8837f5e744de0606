"""Goal: a report says what a sweep found, shards merge to the whole and to nothing else, and two sweeps compare seed by
seed. Method: reports of the toy world, taken apart and put together."""

from collections.abc import Iterator

import pytest

from quantum.sim import sweep as sweeping
from quantum.sim.marks import Threshold, crash_cell, crash_matrix
from quantum.sim.report import (
    Report,
    ReportWrong,
    command_of,
    decode_report,
    differences,
    encode_report,
    merge_reports,
    percentile,
    report_of,
)
from quantum.sim.scenario import LITE, Outcome, Scenario
from quantum.sim.sweep import HARNESS, SweepPlan, SweepTotal, sweep


@pytest.fixture(autouse=True)
def _toy_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sweeping.RUNNERS, LITE, "tests.sim.toy")  # type: ignore[misc]
    yield


def report(shard: int = 1, shards: int = 1, last: int = 12) -> Report:
    plan = SweepPlan(Scenario(LITE, 0), 1, last, shard, shards, failures_max=100)
    return report_of(plan, sweep(plan, lambda total, seed, outcome: None))


def test_decoding_gives_back_what_was_encoded() -> None:
    one = report()
    assert one == decode_report(encode_report(one))
    assert one.failures
    assert one.mark_runs


EMPTY = encode_report(report_of(SweepPlan(Scenario(LITE, 0), 1, 1), SweepTotal()))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no report: input data was truncated"),
        (b"\xff", "no report: "),
        (b"[]", "no report: expected"),
        (b"{}", "no report: object missing required field"),
        (EMPTY.replace(b'"format": 1', b'"format": 2'), "report of format 2, allowed 1"),
    ],
    ids=["empty", "bytes", "list", "object", "format"],
)
def test_wrong_files_are_refused(data: bytes, said: str) -> None:
    with pytest.raises(ReportWrong) as raised:
        decode_report(data)
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)


def test_shards_merge_to_the_whole_in_any_order() -> None:
    whole, merged = report(), merge_reports([report(2, 3), report(3, 3), report(1, 3)])
    assert whole.digests == dict(sorted(merged.digests.items()))
    assert whole.failures == merged.failures
    assert whole.mark_counts == dict(sorted(merged.mark_counts.items()))
    assert whole.stats == dict(sorted(merged.stats.items()))
    assert [1, 2, 3] == merged.shards_in


def test_shards_that_are_no_whole_are_refused() -> None:
    first, second = report(1, 2), report(2, 2)
    for shards, said in (
        ([first], "shard 2 of 2 is missing"),
        ([first, first], "shard 1 comes twice"),
        ([first, report(2, 2, last=13)], "last_seed 13 beside 12"),
    ):
        with pytest.raises(ReportWrong, match=said):
            merge_reports(shards)
    assert 12 == merge_reports([first, second]).count


def test_differences_are_of_seeds_that_both_have() -> None:
    one, other = report(), report(last=10)
    assert [] == differences(one, other)
    other.digests[3] = "x"
    assert [(3, one.digests[3], "x")] == differences(one, other)


def test_samples_of_shards_come_together_in_order() -> None:
    total = SweepTotal()
    total.add(1, Outcome("", ("", ""), "", {}, {}, samples={"unavailable_ms": [30, 10]}))
    one = report_of(SweepPlan(Scenario(LITE, 0), 1, 2, 1, 2), total)
    other = report_of(SweepPlan(Scenario(LITE, 0), 1, 2, 2, 2), total)
    assert {"unavailable_ms": [10, 10, 30, 30]} == merge_reports([one, other]).samples


@pytest.mark.parametrize(("per_cent", "expected"), [(0, 1), (1, 1), (50, 50), (99, 99), (100, 100)])
def test_percentiles_are_values_that_were_there(per_cent: int, expected: int) -> None:
    assert expected == percentile(list(range(1, 101)), per_cent)
    assert 7 == percentile([7], per_cent)


def test_command_names_all_that_is_not_drawn() -> None:
    outcome = Outcome("R7", ("", ""), "ab" * 16, {}, {})
    assert command_of(Scenario(LITE, 5), outcome).endswith(":lite:5:1:abababab")
    scenario = Scenario(LITE, 5, node_count=3, off=("loss", "kill"))
    assert "quantum sim --seed 5 --profile lite --nodes 3 --off loss --off kill" == command_of(scenario, outcome)
    assert "quantum sim --seed 5 --profile lite" == command_of(
        Scenario(LITE, 5), Outcome(HARNESS, ("", ""), "", {}, {})
    )


def test_coverage_of_a_report_is_held_against_thresholds() -> None:
    one = report()
    assert [] == one.coverage().missing([Threshold("kill"), Threshold("kill", per_mille=100)])
    assert 1 == len(one.coverage().missing([Threshold("never")]))


def test_crash_matrix_has_a_line_for_each_effect_and_counts_its_cells() -> None:
    counts = {crash_cell("kill", "leader", "sync"): 3, crash_cell("power", "follower", "sync"): 1, "other": 5}
    lines = crash_matrix(counts)
    assert "crash matrix: 2 of 12 cells, killed/lost power" == lines[0]
    assert ["leader", "follower", "pre-candidate", "candidate", "learner", "recovering"] == lines[1].split()
    assert ["sync", "3/-", "-/1", "-/-", "-/-", "-/-", "-/-"] == lines[2].split()
    assert [] == crash_matrix({"other": 1})
