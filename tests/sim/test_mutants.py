"""Goal: the simulator finds the bugs it is there for. Method: plant one at a time in a copy of the product, and run
seeds on the copy in a process of its own until a law is broken."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.sim.cluster_mutants import CLUSTER_MUTANTS, SURVIVORS
from tests.sim.mutants import MUTANTS, Mutant

PACKAGE = Path(__file__).resolve().parents[2] / "quantum"
ALL = MUTANTS + CLUSTER_MUTANTS
SEEDS_MAX = 500
# A machine with little time takes each n-th bug; `tests.sim.mutant_table` tells of all of them.
EVERY = int(os.environ.get("MUTANTS_EVERY", "1"))
HUNTED = [mutant for mutant in ALL if mutant.name not in SURVIVORS][::EVERY]
HUNT = """
import sys
import quantum
from quantum.sim.run import run
from quantum.sim.scenario import Scenario

assert quantum.__file__.startswith(sys.argv[1]), quantum.__file__
for seed in range(1, int(sys.argv[2]) + 1):
    outcome = run(Scenario(sys.argv[3], seed))
    if outcome.law:
        print(seed, outcome.law, *outcome.facts)
        break
"""


def plant(mutant: Mutant, root: Path) -> None:
    """A copy of the package with the bug in it."""
    shutil.copytree(PACKAGE, root / "quantum", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    for path, old, new in mutant.pieces():
        file = root / "quantum" / path
        text = file.read_text(encoding="utf-8")
        assert 1 == text.count(old), f"{path} holds the text of this mutant {text.count(old)} times"
        file.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize("mutant", ALL, ids=lambda mutant: mutant.name)
def test_text_of_mutant_stands_exactly_once(mutant: Mutant) -> None:
    for path, old, new in mutant.pieces():
        assert 1 == (PACKAGE / path).read_text(encoding="utf-8").count(old)
        assert old != new


def test_survivors_are_planted_bugs_and_few() -> None:
    assert set() == set(SURVIVORS) - {mutant.name for mutant in ALL}
    assert len(SURVIVORS) <= 1  # one more than there is now is one too many


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", HUNTED, ids=lambda mutant: mutant.name)
def test_mutant_is_found(mutant: Mutant, tmp_path: Path) -> None:
    plant(mutant, tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", HUNT, str(tmp_path), str(SEEDS_MAX), mutant.profile],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    assert done.stdout, f"not found in {SEEDS_MAX} seeds"
