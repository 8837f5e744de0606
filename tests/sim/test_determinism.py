"""Goal: a scenario is a run, byte for byte. Method: the same scenarios in fresh processes with different hash seeds and
in another order, a run replayed from its own schedule, and one with all that is open put into the scenario."""

import json
import os
import subprocess
import sys

import pytest

from quantum.sim.profiles import draw_faults, draw_options
from quantum.sim.run import run
from quantum.sim.scenario import MQTT, STANDARD, Scenario, copy_scenario

SEEDS = (1, 2, 3, 7)
PRINT_DIGESTS = """
import json, sys
from quantum.sim.run import run
from quantum.sim.scenario import Scenario
profile = sys.argv[1]
print(json.dumps({str(seed): run(Scenario(profile, seed)).digest for seed in json.loads(sys.argv[2])}))
"""


def digests_of(profile: str, seeds: list[int], hash_seed: str) -> dict[str, str]:
    """Run seeds in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_DIGESTS, profile, json.dumps(seeds)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    digests: dict[str, str] = json.loads(done.stdout)
    return digests


@pytest.mark.parametrize("profile", [MQTT, STANDARD])
def test_digest_is_the_same_under_other_hash_seeds_and_in_another_order(profile: str) -> None:
    first = digests_of(profile, list(SEEDS), "1")
    second = digests_of(profile, list(reversed(SEEDS)), "4242")
    assert first == second
    assert len(SEEDS) == len(dict.fromkeys(first.values()))


@pytest.mark.parametrize("profile", [MQTT, STANDARD])
def test_run_is_replayed_from_its_schedule(profile: str) -> None:
    scenario = Scenario(profile, 5)
    options = draw_options(scenario)
    faults = draw_faults(scenario, options)
    assert faults
    closed = copy_scenario(
        scenario,
        node_count=options.node_count,
        client_count=options.workload.client_count,
        duration_ms=options.world.duration_us // 1000,
        faults=faults,
    )
    assert run(scenario).digest == run(closed).digest


def test_another_schedule_is_another_run() -> None:
    faults = draw_faults(Scenario(MQTT, 5), draw_options(Scenario(MQTT, 5)))
    assert run(Scenario(MQTT, 5)).digest != run(Scenario(MQTT, 5, faults=faults[:-1])).digest


def test_class_that_is_off_leaves_the_draws_of_all_others_as_they_were() -> None:
    scenario = Scenario(MQTT, 5)
    faults = draw_faults(scenario, draw_options(scenario))
    kind = faults[0].kind
    without = copy_scenario(scenario, off=(kind,))
    assert [fault for fault in faults if fault.kind != kind] == draw_faults(without, draw_options(without))
