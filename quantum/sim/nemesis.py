"""What goes wrong, and when: a list of faults drawn before the run, so that it can be replayed, shortened and shrunk.

A fault is five numbers `(at_us, kind, a, b, c)`; the meaning of a, b and c stands beside each kind. Which kinds a seed
has at all is drawn first (swarm), because a run with every fault at once finds less than runs with few. Source: FAULTS
§1.3, §2.1.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.prng import Prng
from quantum.sim.disk import POWER_MODELS

Fault = tuple[int, int, int, int, int]

KILL: Final = 1  # a: microseconds until the restart, b: microseconds from the restart to another kill, 0 for none
POWER: Final = 2  # a: until the restart, b: from the restart to another power loss, c: model
KILL_IN_OUTPUTS: Final = 3  # a: until the restart, b: how many destinations of the next turn are still served
POWER_IN_OUTPUTS: Final = 4  # a: until the restart, b: likewise, c: model; waits for a turn that writes to a client
PAUSE: Final = 5  # a: microseconds
WALL_JUMP: Final = 6  # a: milliseconds, may be negative
CUT: Final = 7  # a: client
CUT_TO_NODE: Final = 8  # a: client, b: bytes towards the node before the break
CUT_TO_CLIENT: Final = 9  # a: client, b: bytes towards the client before the break
HALF_OPEN: Final = 10  # a: client
STALL_READER: Final = 11  # a: client, b: microseconds
ROT: Final = 12  # a: until the restart, b: which synced batch counted from the first, of 1000 parts, c: bit of it
KIND_NAMES: Final = (
    "",
    "kill",
    "power",
    "kill-in-outputs",
    "power-in-outputs",
    "pause",
    "wall-jump",
    "cut",
    "cut-to-node",
    "cut-to-client",
    "half-open",
    "stall-reader",
    "rot",
)
# How often a kind comes relative to the others, where it is on.
_WEIGHTS: Final = (0, 3, 3, 2, 3, 1, 1, 4, 3, 3, 1, 1, 1)
_LITE: Final = (KILL, POWER, CUT, KILL_IN_OUTPUTS)


@final
@dataclass(slots=True)
class NemesisOptions:
    """Drawn once per seed."""

    kinds: list[int]
    gap_us_max: int = 2_000_000  # between two faults
    restart_us_max: int = 400_000
    recrash_share: int = 20  # of 100 crashes, how many strike again during recovery


def draw_nemesis(prng: Prng, is_lite: bool) -> NemesisOptions:
    """Each kind is on with one chance in two."""
    known = _LITE if is_lite else tuple(range(1, len(KIND_NAMES)))
    return NemesisOptions(
        kinds=[kind for kind in known if prng.chance(1, 2)],
        gap_us_max=prng.between(300_000, 4_000_000),
        restart_us_max=prng.between(10_000, 2_000_000),
        recrash_share=prng.below(50),
    )


def draw_schedule(prng: Prng, options: NemesisOptions, client_count: int, duration_us: int) -> list[Fault]:
    """The faults of a run. The first second is free of them: what never worked cannot break."""
    schedule: list[Fault] = []
    if not options.kinds:
        return schedule
    weights = [_WEIGHTS[kind] for kind in options.kinds]
    at_us = 500_000
    while True:
        at_us += 1 + prng.below(options.gap_us_max)
        if at_us >= duration_us:
            return schedule
        kind = options.kinds[prng.choice_index(weights)]
        schedule.append(_draw_fault(prng, options, client_count, at_us, kind))


def _draw_fault(prng: Prng, options: NemesisOptions, client_count: int, at_us: int, kind: int) -> Fault:
    restart_us = 1_000 + prng.below(options.restart_us_max)
    client = prng.below(client_count)
    if kind in (KILL, POWER):
        again_us = 1 + prng.below(30_000) if prng.chance(options.recrash_share, 100) else 0
        return at_us, kind, restart_us, again_us, prng.below(len(POWER_MODELS))
    if kind in (KILL_IN_OUTPUTS, POWER_IN_OUTPUTS):
        return at_us, kind, restart_us, prng.below(4), prng.below(len(POWER_MODELS))
    if kind == PAUSE:
        return at_us, kind, prng.between(10_000, 3_000_000), 0, 0
    if kind == WALL_JUMP:
        size_ms = (1_000, 60_000, 3_600_000, 86_400_000)[prng.below(4)]
        return at_us, kind, prng.between(-size_ms, size_ms), 0, 0
    if kind in (CUT_TO_NODE, CUT_TO_CLIENT):
        return at_us, kind, client, prng.below((8, 64, 512)[prng.below(3)]), 0
    if kind == STALL_READER:
        return at_us, kind, client, prng.between(10_000, 2_000_000), 0
    if kind == ROT:
        return at_us, kind, restart_us, prng.below(1000), prng.below(1 << 20)
    return at_us, kind, client, 0, 0
