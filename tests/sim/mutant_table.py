"""The table of planted bugs: which seed finds each, by what law, and how long that takes.

Usage: python -m tests.sim.mutant_table [--seeds N] [--seconds S] [--shard i/n] [--only WORDS].
It prints one row of Markdown a mutant, and ends with 1 when fewer than 95 of 100 were found.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from quantum.sim.scenario import LITE
from tests.sim.cluster_mutants import CLUSTER_MUTANTS
from tests.sim.mutants import MUTANTS, Mutant
from tests.sim.raft_mutants import RAFT_MUTANTS
from tests.sim.test_mutants import HUNT, plant
from tests.sim.test_raft_mutants import HUNT as HUNT_LITE


def found(mutant: Mutant, script: str, seeds: int, seconds: int) -> str:
    """Seed, law and facts of the first violation, "" without one in the seeds or the time there is."""
    with tempfile.TemporaryDirectory() as root:
        plant(mutant, Path(root))
        environment = {**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", script, root, str(seeds), mutant.profile]
        try:
            done = subprocess.run(
                command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return ""
        if done.returncode:
            return f"- ended by {done.stderr.strip().splitlines()[-1][:80]}"
        return done.stdout.strip()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=1500)
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--shard", default="1/1", help="i/n: each n-th mutant, from the i-th on")
    parser.add_argument("--only", default="", help="mutants whose name has these words in it")
    options = parser.parse_args()
    first, every = [int(part) for part in options.shard.split("/")]
    raft = [(mutant, HUNT_LITE, LITE) for mutant in RAFT_MUTANTS]
    rest = [(mutant, HUNT, mutant.profile) for mutant in MUTANTS + CLUSTER_MUTANTS]
    chosen = [each for each in raft + rest if options.only in each[0].name][first - 1 :: every]
    print("| planted bug | file | profile | seed | law | s |\n| --- | --- | --- | ---: | --- | ---: |")
    missed = 0
    for mutant, script, profile in chosen:
        begin = time.monotonic()
        words = found(mutant, script, options.seeds, options.seconds).split(maxsplit=2)
        missed += not words
        seed, law = (words[0], words[1]) if words else ("none", "")
        took_s = time.monotonic() - begin
        print(f"| {mutant.name} | {mutant.path} | {profile} | {seed} | {law} | {took_s:.0f} |", flush=True)
    print(f"\n{len(chosen) - missed} of {len(chosen)} found")
    return 0 if missed * 20 <= len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
