"""Goal: consensus alone keeps its laws under every fault of profile lite, and a run of it is a function of its scenario.
Method: a few seeds on each run of the tests, thousands in a campaign; seeds that once broke a law stay here."""

import pytest

from quantum.sim.history import DELIVER, SEND, VIOLATION, History
from quantum.sim.raft_options import EVENT_CLASSES
from quantum.sim.raft_run import run
from quantum.sim.scenario import FAILOVER, FaultEvent, Scenario, copy_scenario

# What each of them showed once.
KEPT_SEEDS = {
    457: "a doubled acknowledgement of a follower that doubts its log doubled the probes, without end",
    272: "a follower that lost its snapshot was sent another one for every acknowledgement",
    89: "a replica that doubts its vote asked a voter that had been replaced, for ever",
    4785: "entries of another log stayed behind an installed snapshot, once the entry at its index was deleted",
    9088: "a removed voter with the longest log took an old snapshot's membership for the one it was removed from",
    26: "three proposals beyond uncommitted_bytes_max",
}


@pytest.mark.parametrize("seed", [*range(1, 13), *KEPT_SEEDS])
def test_seed_is_clean(seed: int) -> None:
    outcome = run(Scenario("lite", seed))
    assert ("", ("", "")) == (outcome.law, outcome.facts)
    assert 0 < outcome.stats["answered"]


def test_same_scenario_gives_same_digest_with_and_without_a_history() -> None:
    history = History()
    outcome = run(Scenario("lite", 3))
    again = run(Scenario("lite", 3), history)
    assert (outcome.digest, outcome.stats, outcome.marks) == (again.digest, again.stats, again.marks)
    assert {SEND, DELIVER} < {event.kind for event in history.events}
    assert VIOLATION not in {event.kind for event in history.events}


def test_other_seed_is_another_run() -> None:
    assert run(Scenario("lite", 4)).digest != run(Scenario("lite", 5)).digest


def test_a_client_taken_out_leaves_what_the_others_ask_for() -> None:
    scenario = Scenario("lite", 6, client_count=3, duration_ms=4000, faults=[])
    whole, without = run(scenario), run(copy_scenario(scenario, clients_off=(1,)))
    assert whole.op_counts == without.op_counts
    assert whole.stats["operations"] > without.stats["operations"]


def test_classes_that_are_off_do_not_happen() -> None:
    outcome = run(Scenario("lite", 7, off=EVENT_CLASSES))
    assert [] == [mark for mark in outcome.marks if mark.startswith("lite.fault")]


def test_a_given_schedule_is_carried_out() -> None:
    faults = [FaultEvent(4_000_000, "kill", 500_000, (1, 2, 3), {"leader": 1}), FaultEvent(6_000_000, "power-loss", 1)]
    outcome = run(Scenario("lite", 8, node_count=3, duration_ms=8000, faults=faults))
    assert "" == outcome.law
    assert 1 == outcome.marks["lite.fault.kill"]
    assert [] != [mark for mark in outcome.marks if mark.startswith("crash.kill.leader")], "the leader was meant"
    assert "lite.fault.power-loss" not in outcome.marks, "a fault that names nobody does nothing"


def test_a_killed_leader_is_replaced_within_the_election_timeout_and_its_spread() -> None:
    samples = [ms for seed in range(6) for ms in run(Scenario(FAILOVER, seed)).samples["unavailable_ms"]]
    assert 6 == len(samples)
    assert 800 < min(samples), "a follower waits for its leader before it asks for votes"
    assert max(samples) < 4_500, "two rounds of elections at most, but by rare chance"
