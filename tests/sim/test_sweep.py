"""Goal: a sweep makes every run once, loses none whatever happens in it, and sees when a seed is not one run. Method: the
toy world, in this process and in children, behaving badly where the environment says so."""

from collections.abc import Iterator

import pytest

from quantum.sim import sweep as sweeping
from quantum.sim.scenario import LITE, PROFILES, Scenario
from quantum.sim.sweep import HARNESS, Replayer, SweepPlan, SweepTotal, run_guarded, sweep
from tests.sim import toy

TOY = "tests.sim.toy"


@pytest.fixture(autouse=True)
def _toy_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sweeping.RUNNERS, LITE, TOY)  # type: ignore[misc]
    yield


def swept(first: int, last: int, **options: int) -> SweepTotal:
    plan = SweepPlan(Scenario(LITE, 0), first, last, **options)
    return sweep(plan, lambda total, seed, outcome: None)


def test_sweep_finds_what_single_runs_find() -> None:
    expected = {seed: toy.run(Scenario(LITE, seed)) for seed in range(1, 31)}
    total = swept(1, 30, failures_max=100)
    assert {seed: outcome.digest for seed, outcome in expected.items()} == total.digests
    laws = {seed: outcome.law for seed, outcome in expected.items() if outcome.law}
    assert laws == {seed: outcome.law for seed, outcome in total.failures.items()}
    assert sum(outcome.stats["events"] for outcome in expected.values()) == total.stats["events"]
    assert 30 == total.coverage.run_count
    assert len(laws) > 5


def test_children_find_the_same_as_this_process() -> None:
    alone = swept(1, 30, failures_max=100)
    together = swept(1, 30, failures_max=100, jobs=2)
    assert alone.digests == together.digests
    assert list(alone.failures) == list(together.failures)
    assert alone.coverage.counts == together.coverage.counts


def test_shards_have_every_seed_once() -> None:
    plans = [SweepPlan(Scenario(LITE, 0), 5, 104, shard, 7) for shard in range(1, 8)]
    seeds = [seed for plan in plans for seed in plan.seeds()]
    assert list(range(5, 105)) == sorted(seeds)
    assert {14, 15} == {len(plan.seeds()) for plan in plans}


def test_sweep_stops_after_enough_failures() -> None:
    total = swept(1, 1000, failures_max=3)
    assert (3, True) == (len(total.failures), total.is_cut)
    assert total.count < 100


def test_doubled_seeds_are_the_same_whatever_the_range() -> None:
    few, many = (SweepPlan(Scenario(LITE, 0), 1, last, double_per_mille=300) for last in (100, 1000))
    assert [few.is_double(seed) for seed in few.seeds()] == [many.is_double(seed) for seed in few.seeds()]
    assert 250 < sum(many.is_double(seed) for seed in many.seeds()) < 350


def test_doubled_seeds_of_a_deterministic_world_match() -> None:
    total = swept(1, 20, failures_max=100, double_per_mille=1000)
    assert (20, []) == (total.double_count, total.mismatches)


def test_doubled_seed_that_depends_on_the_hash_seed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(toy.ACTS_BADLY, "leak")
    total = swept(1, 3, failures_max=100, double_per_mille=1000)
    assert [1, 2, 3] == [mismatch.seed for mismatch in total.mismatches]
    assert total.mismatches[0].first != total.mismatches[0].second


def test_exception_of_a_run_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(toy.ACTS_BADLY, "raise 3")
    outcome = run_guarded(TOY, Scenario(LITE, 3), 60)
    assert HARNESS == outcome.law
    assert outcome.facts[1].startswith("KeyError in toy.py line ")


def test_run_without_an_end_is_an_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(toy.ACTS_BADLY, "hang 3")
    outcome = run_guarded(TOY, Scenario(LITE, 3), 1)
    assert (HARNESS, "it was still running after 1 s") == (outcome.law, outcome.facts[1])


def test_process_that_dies_costs_only_its_own_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = swept(1, 12, failures_max=100)
    monkeypatch.setenv(toy.ACTS_BADLY, "die 5")
    total = swept(1, 12, failures_max=100, jobs=2)
    assert HARNESS == total.failures[5].law
    assert "its process died" == total.failures[5].facts[1]
    assert {**expected.digests, 5: ""} == total.digests


def test_replayer_begins_only_what_is_asked_for() -> None:
    begun: list[int] = []

    def scenarios() -> Iterator[Scenario]:
        for seed in range(1000):
            begun.append(seed)
            yield Scenario(LITE, seed)

    with Replayer(TOY, 2) as replayer:
        outcomes = replayer.replay(scenarios())
        positions = [next(outcomes)[0] for _ in range(3)]
    assert 3 == len(set(positions))
    assert len(begun) < 20


def test_every_profile_has_a_world() -> None:
    assert set(PROFILES) == set(sweeping.RUNNERS)
