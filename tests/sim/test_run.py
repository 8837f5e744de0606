"""Goal: what is committed passes, and a run is worth its time. Method: a few dozen seeds of each profile, and a look at
what happened in them."""

import pytest

from quantum.sim import nemesis, run
from quantum.sim.scenario import MQTT, Outcome, Scenario


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


@pytest.mark.parametrize("profile", [MQTT])
def test_first_seeds_are_clean(profile: str) -> None:
    found = outcomes(profile, 20)
    assert [] == [(seed, item.law, item.facts) for seed, item in enumerate(found, 1) if item.law]
    assert all(0 < item.stats["events"] for item in found)


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
    monkeypatch.setattr(run, "QUIET_US", 1)
    monkeypatch.setattr(run, "SETTLE_US", -1)
    outcome = run.run(Scenario(MQTT, 3))
    assert "L2" == outcome.law
    assert outcome.facts[0].startswith("everything healed at")
    assert outcome.frozen is not None
    assert outcome.frozen.faults is not None
    again = run.run(outcome.frozen)
    assert (outcome.law, outcome.facts, outcome.digest) == (again.law, again.facts, again.digest)
