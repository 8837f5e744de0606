"""Goal: a failing run becomes the smallest one that breaks the same law, whoever makes the replays. Method: a toy world
whose smallest failing schedule is known, from many seeds; small lists with known minimal subsets."""

from collections.abc import Iterable, Iterator

import pytest

from quantum.sim.scenario import FaultEvent, Outcome, Scenario, copy_scenario
from quantum.sim.shrink import Shrunk, shrink, size_of
from quantum.sim.sweep import Replayer
from tests.sim import toy

TOY = "tests.sim.toy"


def replay(scenarios: Iterable[Scenario]) -> Iterator[tuple[int, Outcome]]:
    for at, scenario in enumerate(scenarios):
        yield at, toy.run(scenario)


def failing_seeds(law: str, count: int) -> list[int]:
    seeds = (seed for seed in range(10_000) if toy.run(Scenario("lite", seed)).law == law)
    return [next(seeds) for _ in range(count)]


def shrunk_seed(seed: int, jobs: int = 1, replays_max: int = 800) -> Shrunk:
    scenario = Scenario("lite", seed)
    return shrink(scenario, toy.run(scenario), replay, jobs, replays_max)


@pytest.mark.parametrize("seed", failing_seeds("TOY-ACK", 8))
def test_schedule_shrinks_to_the_two_faults_and_one_operation_that_are_needed(seed: int) -> None:
    shrunk = shrunk_seed(seed)
    faults = shrunk.scenario.faults or []
    assert "TOY-ACK" == shrunk.outcome.law
    assert ["kill", "partition"] == sorted(fault.kind for fault in faults)
    assert [(2,), (2,)] == [fault.nodes for fault in faults]
    assert [{"shape": 0}, {"shape": 0}] == [fault.args for fault in faults]
    assert 3 == size_of(shrunk.scenario, shrunk.outcome)
    assert 2 == shrunk.scenario.node_count
    assert {"loss", "jitter"} == set(shrunk.scenario.off)
    assert shrunk.is_minimal


@pytest.mark.parametrize("seed", failing_seeds("TOY-PAUSE", 3))
def test_only_the_same_law_is_accepted(seed: int) -> None:
    shrunk = shrunk_seed(seed)
    assert "TOY-PAUSE" == shrunk.outcome.law
    assert ["pause"] * 3 == [fault.kind for fault in shrunk.scenario.faults or []]
    assert 3 == size_of(shrunk.scenario, shrunk.outcome)
    assert [0, 0, 0] == [fault.at_us for fault in shrunk.scenario.faults or []]


def test_times_become_round_and_quiet_goes() -> None:
    seed = failing_seeds("TOY-ACK", 1)[0]
    faults = shrunk_seed(seed).scenario.faults or []
    assert all(fault.at_us % 1_000 == 0 for fault in faults)
    assert 0 == faults[0].at_us


def test_result_breaks_the_law_again_when_it_is_run() -> None:
    shrunk = shrunk_seed(failing_seeds("TOY-ACK", 1)[0])
    again = toy.run(shrunk.scenario)
    assert ("TOY-ACK", shrunk.outcome.digest) == (again.law, again.digest)


@pytest.mark.parametrize("replays_max", [1, 7, 30, 800])
def test_result_does_not_depend_on_how_many_replays_are_made_at_once(replays_max: int) -> None:
    seed = failing_seeds("TOY-ACK", 1)[0]
    alone = shrunk_seed(seed, 1, replays_max)
    together = shrunk_seed(seed, 5, replays_max)
    assert (alone.scenario, alone.steps, alone.replay_count) == (
        together.scenario,
        together.steps,
        together.replay_count,
    )


def test_replays_end_at_their_bound_and_the_result_says_so() -> None:
    seed = failing_seeds("TOY-ACK", 1)[0]
    shrunk = shrunk_seed(seed, 1, 5)
    assert (5, False, "TOY-ACK") == (shrunk.replay_count, shrunk.is_minimal, shrunk.outcome.law)


def test_candidate_is_never_made_twice() -> None:
    seen: list[Scenario] = []

    def counting(scenarios: Iterable[Scenario]) -> Iterator[tuple[int, Outcome]]:
        for at, scenario in enumerate(scenarios):
            assert scenario not in seen
            seen.append(scenario)
            yield at, toy.run(scenario)

    scenario = Scenario("lite", failing_seeds("TOY-ACK", 1)[0])
    shrunk = shrink(scenario, toy.run(scenario), counting)
    assert len(seen) == shrunk.replay_count > 10


def test_children_find_the_same_as_this_process() -> None:
    scenario = Scenario("lite", failing_seeds("TOY-ACK", 1)[0])
    with Replayer(TOY, 2) as replayer:
        shrunk = shrink(scenario, toy.run(scenario), replayer.replay, 2, 60)
    assert shrunk_seed(scenario.seed, 1, 60).scenario == shrunk.scenario


def test_a_schedule_that_does_not_repeat_its_law_is_shrunk_without_being_frozen() -> None:
    def forgetful(scenarios: Iterable[Scenario]) -> Iterator[tuple[int, Outcome]]:
        for at, scenario in enumerate(scenarios):
            is_same = scenario.faults is None and scenario.duration_ms is None
            law = "L" if is_same and 0 not in scenario.clients_off else ""
            yield at, Outcome(law, ("", ""), "", {}, {}, op_counts=(1, 1, 1))

    scenario = Scenario("lite", 1)
    frozen = copy_scenario(scenario, faults=[FaultEvent(1, "kill")], duration_ms=5)
    shrunk = shrink(scenario, Outcome("L", ("", ""), "", {}, {}, 9, frozen, op_counts=(1, 1, 1)), forgetful)
    assert (None, (1, 2)) == (shrunk.scenario.faults, shrunk.scenario.clients_off)
    assert "does not break the law again" in shrunk.steps[0]


@pytest.mark.parametrize("needed", [[], [0], [9], [3, 4], [0, 9], [1, 4, 7], list(range(10))])
def test_any_needed_subset_is_found(needed: list[int]) -> None:
    def subset(scenarios: Iterable[Scenario]) -> Iterator[tuple[int, Outcome]]:
        for at, scenario in enumerate(scenarios):
            there = [fault.args["id"] for fault in scenario.faults or []]
            law = "L" if all(number in there for number in needed) else ""
            yield at, Outcome(law, ("", ""), "", {}, {}, 10)

    faults = [FaultEvent(0, "kill", args={"id": number}) for number in range(10)]
    scenario = Scenario("lite", 1, 3, 0, 0, faults)
    outcome = Outcome("L", ("", ""), "", {}, {}, 10, scenario)
    shrunk = shrink(scenario, outcome, subset)
    kept = [fault.args["id"] for fault in shrunk.scenario.faults or []]
    assert needed == kept


def lucky(scenarios: Iterable[Scenario]) -> Iterator[tuple[int, Outcome]]:
    """A world whose law breaks once a client did all of its first 90 operations; by luck of the draw, its first 3."""
    for at, scenario in enumerate(scenarios):
        needed = 3 if scenario.seed % 8 == 1 else 90
        is_broken = not any(scenario.is_op_off(0, op) for op in range(needed)) and 0 not in scenario.clients_off
        outcome = Outcome("LUCK" if is_broken else "", ("", ""), "", {}, {}, needed * 1000, op_counts=(needed + 10,))
        outcome.frozen = copy_scenario(scenario, faults=[])
        yield at, outcome


def test_another_seed_is_taken_where_the_law_breaks_sooner() -> None:
    scenario = Scenario("lite", 10)
    outcome = next(lucky([scenario]))[1]
    shrunk = shrink(scenario, outcome, lucky, replays_max=800)
    assert 17 == shrunk.scenario.seed
    assert 3 == size_of(shrunk.scenario, shrunk.outcome)
    assert shrunk.is_minimal


SCHEDULE = [FaultEvent(at * 1_000_001, "pause") for at in range(200)]


def needing_all(scenarios: Iterable[Scenario]) -> Iterator[tuple[int, Outcome]]:
    """A world whose law breaks when nothing of a long schedule is left out, and one operation is not."""
    for at, scenario in enumerate(scenarios):
        is_broken = scenario.faults == SCHEDULE and not scenario.is_op_off(0, 5) and 0 not in scenario.clients_off
        yield at, Outcome("ALL" if is_broken else "", ("", ""), "", {}, {}, 200_000_000, op_counts=(100,))


def test_long_list_that_gives_nothing_leaves_replays_for_the_others() -> None:
    scenario = Scenario("lite", 17, faults=SCHEDULE)
    outcome = next(needing_all([scenario]))[1]
    shrunk = shrink(scenario, outcome, needing_all, replays_max=150)
    assert 201 == size_of(shrunk.scenario, shrunk.outcome)
    assert not shrunk.scenario.is_op_off(0, 5)
    assert not shrunk.is_minimal
