"""Where two runs of one scenario part: the first event that is not the same in both.

Both are made in fresh interpreters under hash seeds of their own, with a history each; only the first lines that differ
travel back.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, final

from quantum.sim.history import History
from quantum.sim.scenario import Scenario
from quantum.sim.sweep import RUNNERS, child_of, import_runner

BLOCK: Final = 1000  # lines a digest


@final
@dataclass(slots=True)
class Divergence:
    """The first lines that differ; "" where a run had ended. Both are "" when only the digests differ."""

    number: int  # of the line, from 1; 0 when no line differs
    first: str
    second: str


def find_divergence(scenario: Scenario, hash_seeds: tuple[int, int]) -> Divergence:
    """Run it twice and compare: digests of blocks first, then the lines of the first block that differs."""
    runner = RUNNERS[scenario.profile]
    with child_of(hash_seeds[0], runner) as one, child_of(hash_seeds[1], runner) as other:
        blocks = one.submit(block_digests, runner, scenario), other.submit(block_digests, runner, scenario)
        here, there = (future.result() for future in blocks)
        common = min(len(here), len(there))
        block = next((at for at in range(common) if here[at] != there[at]), common)
        lines = one.submit(block_lines, runner, scenario, block), other.submit(block_lines, runner, scenario, block)
        first, second = (future.result() for future in lines)
    for at in range(max(len(first), len(second))):
        pair = tuple(lines[at] if at < len(lines) else "" for lines in (first, second))
        if pair[0] != pair[1]:
            return Divergence(block * BLOCK + at + 1, pair[0], pair[1])
    return Divergence(0, "", "")


def block_digests(runner: str, scenario: Scenario) -> list[str]:
    """Of every thousand lines of the run's history."""
    lines = _lines(runner, scenario)
    return [
        hashlib.blake2b("\n".join(lines[at : at + BLOCK]).encode(), digest_size=8).hexdigest()
        for at in range(0, len(lines), BLOCK)
    ]


def block_lines(runner: str, scenario: Scenario, block: int) -> list[str]:
    """The lines of one block; none behind the last."""
    return _lines(runner, scenario)[block * BLOCK : (block + 1) * BLOCK]


def _lines(runner: str, scenario: Scenario) -> list[str]:
    history = History()
    import_runner(runner)(scenario, history)
    return history.lines()
