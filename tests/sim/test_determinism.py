"""Goal: a seed is a run, byte for byte. Method: the same seeds in fresh processes with different hash seeds and in
another order, and a run replayed from its own schedule."""

import json
import os
import subprocess
import sys

import pytest

from quantum.sim.run import LITE, STANDARD, draw_faults, draw_options, run_seed

SEEDS = (1, 2, 3, 7)
PRINT_DIGESTS = """
import json, sys
from quantum.sim.run import run_seed
print(json.dumps({str(seed): run_seed(seed).digest for seed in json.loads(sys.argv[1])}))
"""


def digests_of(seeds: list[int], hash_seed: str) -> dict[str, str]:
    """Run seeds in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-c", PRINT_DIGESTS, json.dumps(seeds)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    digests: dict[str, str] = json.loads(done.stdout)
    return digests


def test_digest_is_the_same_under_other_hash_seeds_and_in_another_order() -> None:
    first = digests_of(list(SEEDS), "1")
    second = digests_of(list(reversed(SEEDS)), "4242")
    assert first == second
    assert len(SEEDS) == len(dict.fromkeys(first.values()))


@pytest.mark.parametrize("profile", [LITE, STANDARD])
def test_run_is_replayed_from_its_schedule(profile: str) -> None:
    schedule = draw_faults(5, draw_options(5, profile))
    assert schedule
    assert run_seed(5, profile).digest == run_seed(5, profile, schedule).digest


def test_another_schedule_is_another_run() -> None:
    schedule = draw_faults(5, draw_options(5, STANDARD))
    assert run_seed(5).digest != run_seed(5, STANDARD, schedule[:-1]).digest
