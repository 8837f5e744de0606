"""Goal: profile lite and the exhaustive search find the bugs of consensus that they are there for. Method: plant one at a
time in a copy of the product, and look for a broken law in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.mutants import Mutant
from tests.sim.raft_mutants import EXHAUSTIVE, FOUND_AT, RAFT_MUTANTS
from tests.sim.test_mutants import EVERY, PACKAGE, plant

SEEDS_MAX = 1000
HUNT = """
import sys
import quantum
from quantum.sim.raft_run import run
from quantum.sim.scenario import LITE, Scenario

assert quantum.__file__.startswith(sys.argv[1]), quantum.__file__
for seed in range(1, int(sys.argv[2]) + 1):
    outcome = run(Scenario(LITE, seed))
    if outcome.law:
        print(seed, outcome.law, *outcome.facts)
        break
"""
SEARCH = """
import sys
import quantum
from quantum.sim.raft_exhaustive import Budget, SmallWorld, explore, led_world
from quantum.sim.raft_laws import LawBroken

assert quantum.__file__.startswith(sys.argv[1]), quantum.__file__
for build, budget in (
    (led_world, Budget(1, 1, 1, 2, is_prompt=True)),
    (SmallWorld, Budget(2, 0, 1, 2, is_prompt=True)),
    (led_world, Budget(0, 1, 1, 2)),
    (SmallWorld, Budget(1, 0, 1, 2)),
):
    try:
        found = explore(build(budget), int(sys.argv[2]))
    except (LawBroken, AssertionError) as end:
        print("at the beginning", end)
        break
    if found.law:
        print(found.state_count, found.law, *found.facts, *found.path)
        break
"""


@pytest.mark.parametrize("mutant", RAFT_MUTANTS, ids=lambda mutant: mutant.name)
def test_text_of_mutant_stands_exactly_once(mutant: Mutant) -> None:
    text = (PACKAGE / mutant.path).read_text(encoding="utf-8")
    assert 1 == text.count(mutant.old)
    assert mutant.old != mutant.new


def test_names_are_unique_and_there_are_enough() -> None:
    names = [mutant.name for mutant in RAFT_MUTANTS]
    assert sorted(set(names)) == sorted(names)
    assert 45 <= len(names)
    assert set() == set(EXHAUSTIVE) - set(names)
    assert set(names) == set(FOUND_AT)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", RAFT_MUTANTS[::EVERY], ids=lambda mutant: mutant.name)
def test_mutant_is_found_by_seeds(mutant: Mutant, tmp_path: Path) -> None:
    assert hunt(mutant, tmp_path, HUNT, SEEDS_MAX), f"not found in {SEEDS_MAX} seeds"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "mutant", [mutant for mutant in RAFT_MUTANTS if mutant.name in EXHAUSTIVE][::EVERY], ids=lambda mutant: mutant.name
)
def test_mutant_is_found_by_exhaustive_search(mutant: Mutant, tmp_path: Path) -> None:
    assert hunt(mutant, tmp_path, SEARCH, 4_000), "not found"


def hunt(mutant: Mutant, root: Path, script: str, number: int) -> str:
    """What a script printed that ran on a copy of the product with the bug in it."""
    plant(mutant, root)
    done = subprocess.run(
        [sys.executable, "-c", script, str(root), str(number)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    return done.stdout
