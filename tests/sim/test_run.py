"""Goal: what is committed passes, and a run is worth its time. Method: a few dozen seeds of each profile, and a look at
what happened in them."""

import pytest

from quantum.sim import nemesis, run, settle
from quantum.sim.history import (
    APPLY,
    CLIENT,
    COMMIT,
    DELIVER,
    DURABLE,
    FSYNC_BEGIN,
    FSYNC_END,
    PACKET,
    ROLE,
    SEND,
    START,
    History,
)
from quantum.sim.profiles import draw_options
from quantum.sim.scenario import BEYOND, MQTT, POWER, STANDARD, STORAGE, FaultEvent, Outcome, Scenario
from quantum.sim.synced_log import SyncedLog


def outcomes(profile: str, count: int) -> list[Outcome]:
    """The first seeds of a profile, one after the other."""
    return [run.run(Scenario(profile, seed)) for seed in range(1, count + 1)]


def totals(found: list[Outcome]) -> dict[str, int]:
    """All their numbers together."""
    total: dict[str, int] = {}
    for outcome in found:
        for name, value in outcome.stats.items():
            total[name] = total.get(name, 0) + value
    return total


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("profile", "count"), [(MQTT, 20), (STANDARD, 8), (STORAGE, 4), (POWER, 4), (BEYOND, 5)])
def test_first_seeds_are_clean(profile: str, count: int) -> None:
    found = outcomes(profile, count)
    assert [] == [(seed, item.law, item.facts) for seed, item in enumerate(found, 1) if item.law]
    assert all(0 < item.stats["events"] for item in found)
    assert 500 < totals(found)["deliveries"]  # Nothing is always clean.


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_that_a_run_is_for_is_missing_from_many() -> None:
    found = outcomes(MQTT, 100)
    assert [] == [item.facts for item in found if item.law]
    total = totals(found)
    for kind in nemesis.CLASSES:
        if nemesis.nodes_min(kind) == 1:
            assert total.get(f"fault {kind}", 0) > 10, kind
    for name in ("power_losses", "lost_sectors", "refusals", "disk_errors", "client_cuts", "replays_compared"):
        assert total[name] > 10, name
    assert total["deliveries"] > 10_000


def test_replay_is_compared_at_the_end_of_a_run() -> None:
    assert 1 == run.run(Scenario(MQTT, 2)).stats["replays_compared"]


def test_run_without_clients_and_faults_is_clean() -> None:
    outcome = run.run(Scenario(MQTT, 3, client_count=0, duration_ms=500, faults=[]))
    assert "" == outcome.law
    assert 0 == outcome.stats["deliveries"]


def test_violation_names_law_and_facts_and_leaves_nothing_open(monkeypatch: pytest.MonkeyPatch) -> None:
    # With no time allowed for settling, a run cannot be clean.
    monkeypatch.setattr(settle, "QUIET_US", 1)
    monkeypatch.setattr(settle, "SETTLE_US", -1)
    outcome = run.run(Scenario(MQTT, 3))
    assert "L2" == outcome.law
    assert outcome.facts[0].startswith("everything healed at")
    assert outcome.frozen is not None
    assert outcome.frozen.faults is not None
    again = run.run(outcome.frozen)
    assert (outcome.law, outcome.facts, outcome.digest) == (again.law, again.facts, again.digest)


def test_every_machine_loses_power_in_every_seed_of_the_power_profile() -> None:
    outcome = run.run(Scenario(POWER, 2, node_count=3))
    assert "" == outcome.law
    assert 1 <= outcome.stats[f"fault {nemesis.POWER_ALL}"]
    assert 3 <= outcome.stats["power_losses"]


def test_rot_on_every_replica_in_its_own_place_is_repaired() -> None:
    faults = [
        FaultEvent(
            2_000_000 + number * 2_500_000, nemesis.HARM, 10_000, (number,), {"harm": 0, "part": part, "choice": 9}
        )
        for number, part in ((1, 100), (2, 500), (3, 900))
    ]
    outcome = run.run(Scenario(STORAGE, 4, node_count=3, duration_ms=10_000, faults=faults))
    assert ("", ("", "")) == (outcome.law, outcome.facts)
    assert 3 == outcome.marks["storage.damage.repaired"]


def test_wiped_node_comes_back_whole() -> None:
    faults = [FaultEvent(3_000_000, nemesis.WIPE, 10_000, (2,), {})]
    outcome = run.run(Scenario(STANDARD, 5, node_count=3, duration_ms=6_000, faults=faults))
    assert ("", ("", "")) == (outcome.law, outcome.facts)
    assert 1 == outcome.marks["storage.damage.repaired"]


@pytest.mark.parametrize("way", [settle.FULL, settle.QUIET, settle.CORE])
def test_cluster_heals_in_each_way(way: int) -> None:
    seed = next(seed for seed in range(1, 200) if way == draw_options(Scenario(STANDARD, seed, node_count=5)).heal)
    faults = [FaultEvent(1_000_000, nemesis.PARTITION, 900_000, (1, 2), {})]
    outcome = run.run(Scenario(STANDARD, seed, node_count=5, duration_ms=2_500, faults=faults))
    assert ("", ("", "")) == (outcome.law, outcome.facts)
    assert (way == settle.QUIET) == ("heal.quiet" in outcome.marks)
    assert (way == settle.CORE) == any(mark.startswith("heal.core.") for mark in outcome.marks)


def test_operator_moves_leadership_and_votes() -> None:
    faults = [
        FaultEvent(2_000_000, nemesis.MEMBERS, 1_500_000, (1, 2, 3), {}),
        FaultEvent(2_500_000, nemesis.TRANSFER, 0, (2,), {}),
        FaultEvent(4_500_000, nemesis.TRANSFER, 0, (3,), {}),
    ]
    outcome = run.run(Scenario(STANDARD, 5, node_count=4, duration_ms=6_000, faults=faults))
    assert ("", ("", "")) == (outcome.law, outcome.facts)
    assert 2 == outcome.marks["operator.membership.202"]
    assert 1 <= outcome.marks["operator.transfer.202"]


def test_history_changes_nothing_and_tells_of_everything() -> None:
    history = History()
    scenario = Scenario(STANDARD, 2, node_count=3, duration_ms=3_000)
    assert run.run(scenario).digest == run.run(scenario, history).digest
    seen = {event.kind for event in history.events}
    assert {SEND, DELIVER, START, ROLE, FSYNC_BEGIN, FSYNC_END, COMMIT, APPLY, DURABLE, PACKET, CLIENT} <= seen
    begun = {event.number for event in history.events}
    assert all(cause in begun for event in history.events for cause in event.causes)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_node_that_runs_on_a_disk_without_its_log_is_caught(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # A disk that says that it synced, and did not: nothing that rests on it is durable.
    monkeypatch.setattr(SyncedLog, "on_synced", lambda *_: None)
    outcome = run.run(Scenario(STANDARD, number, duration_ms=1_000, faults=[]))
    assert "R7" == outcome.law
