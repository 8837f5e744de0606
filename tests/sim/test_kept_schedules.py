"""Goal: what once broke a law stays mended. Method: every kept schedule, the smallest that showed a bug, is run again.

A seed means another run as soon as anything draws differently; its schedule still names the same faults at the same
moments. `quantum sim --seed N --shrink --save fixtures/sim/what-went-wrong.json` makes one.
"""

from pathlib import Path

import pytest

from quantum.sim.scenario import decode_scenario, encode_scenario
from quantum.sim.sweep import runner_of
from tests.tidy.sources import ROOT

SCHEDULES = sorted((ROOT / "fixtures" / "sim").glob("*.json"))


@pytest.mark.parametrize("path", SCHEDULES, ids=lambda path: path.stem)
def test_kept_schedule_is_clean(path: Path) -> None:
    scenario = decode_scenario(path.read_text(encoding="utf-8"))
    outcome = runner_of(scenario.profile)(scenario, None)
    assert ("", ("", "")) == (outcome.law, outcome.facts)
    assert 0 < outcome.stats["events"]


@pytest.mark.parametrize("path", SCHEDULES, ids=lambda path: path.stem)
def test_kept_schedule_is_in_canonical_form(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text == encode_scenario(decode_scenario(text))


def test_some_are_kept() -> None:
    assert 2 <= len(SCHEDULES)
