"""Goal: what is committed passes, and a run is worth its time. Method: a few dozen seeds of each profile, and a look at
what happened in them."""

import pytest
from click.testing import CliRunner

from quantum.cli.sim import sim
from quantum.sim import run
from quantum.sim.nemesis import KIND_NAMES
from quantum.sim.run import LITE, PROFILES, STANDARD, SweepResult, run_seed, sweep


def no_progress(total: SweepResult, result: run.SeedResult) -> None:
    """Nobody watches."""


@pytest.mark.parametrize("profile", PROFILES)
def test_first_seeds_are_clean(profile: str) -> None:
    total = sweep(1, 20, profile, 1, no_progress, 1)
    assert [] == [failure.violations for failure in total.failures]
    assert 20 == total.clean_count


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_nothing_that_a_run_is_for_is_missing_from_many() -> None:
    total = sweep(1, 100, STANDARD, 1, no_progress, 1)
    assert [] == [failure.violations for failure in total.failures]
    for name in KIND_NAMES[1:]:
        assert total.totals.get(f"fault {name}", 0) > 10, name
    for name in ("power_loss_count", "lost_sector_count", "refusal_count", "disk_errors", "cuts", "replay_count"):
        assert total.totals[name] > 10, name
    assert total.totals["deliveries"] > 10_000


def test_replay_is_compared_at_the_end_of_a_run() -> None:
    assert 1 == run_seed(2, LITE).stats["replay_count"]


def test_command_prints_options_first_and_then_verdict_and_digest() -> None:
    result = CliRunner().invoke(sim, ["--seed", "3", "--profile", "lite"])
    lines = result.output.splitlines()
    assert 0 == result.exit_code
    assert "seed 3, profile lite" == lines[0]
    assert f"verdict: clean, trace {run_seed(3, LITE).digest}" == lines[-1]


@pytest.mark.parametrize("arguments", [[], ["--seed", "1", "--seeds", "1..2"], ["--seeds", "2..1"], ["--seeds", "x"]])
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    assert 2 == CliRunner().invoke(sim, arguments).exit_code


def test_violation_exits_with_1_and_names_law_facts_and_command(monkeypatch: pytest.MonkeyPatch) -> None:
    # With no time allowed for settling, a run cannot be clean.
    monkeypatch.setattr(run, "QUIET_US", 1)
    monkeypatch.setattr(run, "SETTLE_US", -1)
    result = CliRunner().invoke(sim, ["--seed", "3", "--profile", "lite"])
    assert 1 == result.exit_code
    assert "law        L2" in result.output
    assert "it holds   everything healed at" in result.output
    assert "quantum sim --seed 3 --profile lite" in result.output
