"""What a seed of profile lite is like: drawn once, before anything happens; ranges first, then the run.

Every class of faults is on in about half of the seeds, so that no fault hides behind another one. Source: FAULTS §1.3,
§2.1 (swarm).
"""

from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.sim.raft_network import LinkOptions
from quantum.sim.scenario import NODES_MAX, Scenario, ScenarioWrong

# Fault classes of links: always at work when on.
LOSS: Final = "loss"
DOUBLE: Final = "double"
LATE: Final = "late"
NARROW: Final = "narrow"
FLIP: Final = "flip"
LINK_CLASSES: Final = (LOSS, DOUBLE, LATE, NARROW, FLIP)

# Fault classes that come and go; each is also the kind of its events.
PARTITION: Final = "partition"
ONE_WAY: Final = "one-way"
CLOG: Final = "clog"
LIFO: Final = "lifo"
FILTER: Final = "filter"
KILL: Final = "kill"
DOOM: Final = "doom"
POWER: Final = "power-loss"
PAUSE: Final = "pause"
DRIFT: Final = "drift"
SLOW_DISK: Final = "slow-disk"
ROT: Final = "rot"
WIPE: Final = "wipe"
REPLACE: Final = "replace"
MEMBERS: Final = "members"
TRANSFER: Final = "transfer"
COMPACT: Final = "compact"
EVENT_CLASSES: Final = (
    PARTITION,
    ONE_WAY,
    CLOG,
    LIFO,
    FILTER,
    KILL,
    DOOM,
    POWER,
    PAUSE,
    DRIFT,
    SLOW_DISK,
    ROT,
    WIPE,
    REPLACE,
    MEMBERS,
    TRANSFER,
    COMPACT,
)

# How the faults end: see raft_liveness.
FULL_HEAL: Final = 0
QUIET_HEAL: Final = 1
CORE_HEAL: Final = 2


@final
@dataclass(slots=True)
class RaftOptions:
    """Times in microseconds where nothing else is said, shares of 1024."""

    node_count: int
    client_count: int
    duration_ms: int
    warm_up_ms: int  # no faults until then
    classes: tuple[str, ...]  # those that are on
    raft: RaftConfig
    link: LinkOptions = field(default_factory=LinkOptions)
    sync_us_min: int = 100
    sync_us_mean: int = 1_000
    apply_bytes_max: int = 4096
    snapshot_every: int = 50  # applied entries
    snapshot_kept: int = 0  # entries that stay in memory behind a snapshot
    snapshot_delay_us: int = 5_000  # on the way to a peer
    snapshot_patience_us: int = 2_000_000  # until it is taken for lost
    op_gap_us: int = 100_000  # of one client, mean
    read_share: int = 256
    padding_max: int = 40
    heal: int = FULL_HEAL


def draw_options(prng: Prng, scenario: Scenario) -> RaftOptions:
    """What the seed says where the scenario says nothing. Every number is drawn, wanted or not."""
    node_count = (3, 5, 4, 7, 6)[prng.choice_index([60, 24, 7, 6, 3])]
    client_count = prng.between(1, 4)
    duration_ms = prng.between(6_000, 20_000)
    is_on = {name: prng.chance(1, 2) for name in (*LINK_CLASSES, *EVENT_CLASSES)}
    classes = tuple(name for name, on in is_on.items() if on and name not in scenario.off)
    raft = _draw_raft(prng)
    options = RaftOptions(
        node_count=node_count if scenario.node_count is None else scenario.node_count,
        client_count=client_count if scenario.client_count is None else scenario.client_count,
        duration_ms=duration_ms if scenario.duration_ms is None else scenario.duration_ms,
        warm_up_ms=3 * raft.election_timeout_ms,
        classes=classes,
        raft=raft,
        link=_draw_link(prng, classes),
        sync_us_min=prng.between(20, 500),
        sync_us_mean=(200, 1_000, 5_000, 20_000)[prng.choice_index([4, 4, 2, 1])],
        apply_bytes_max=(1, 200, 4096)[prng.below(3)],
        snapshot_every=prng.between(10, 200),
        snapshot_kept=prng.below(20) if prng.chance(1, 2) else 0,
        snapshot_delay_us=prng.between(1_000, 200_000),
        op_gap_us=(30_000, 100_000, 300_000)[prng.choice_index([1, 3, 2])],
        read_share=prng.between(64, 512),
        padding_max=prng.between(0, 200),
        heal=(FULL_HEAL, QUIET_HEAL, CORE_HEAL)[prng.choice_index([2, 1, 1])],
    )
    if not 3 <= options.node_count <= NODES_MAX:
        raise ScenarioWrong(f"node_count is {options.node_count}, allowed 3 to {NODES_MAX} in profile lite")
    return options


def _draw_raft(prng: Prng) -> RaftConfig:
    election_timeout_ms = (300, 500, 1000)[prng.below(3)]
    return RaftConfig(
        election_timeout_ms=election_timeout_ms,
        heartbeat_interval_ms=election_timeout_ms // prng.between(3, 8),
        append_bytes_max=(1, 300, 4096, 1_048_576)[prng.below(4)],
        append_entries_max=(1, 4, 64, 1024)[prng.below(4)],
        inflight_appends_max=(1, 2, 8, 64)[prng.below(4)],
        inflight_bytes_max=(1, 2_000, 16_777_216)[prng.below(3)],
        uncommitted_bytes_max=(400, 10_000, 67_108_864)[prng.below(3)],
        fetch_entries_max=(1, 3, 256)[prng.below(3)],
    )


def _draw_link(prng: Prng, classes: tuple[str, ...]) -> LinkOptions:
    drop_share = prng.between(1, 300)
    double_share = prng.between(1, 400)
    late_share = prng.between(100, 1024)
    bytes_per_ms = prng.between(20, 400)
    flip_share = prng.between(200, 1024)
    return LinkOptions(
        drop_share=drop_share if LOSS in classes else 0,
        double_share=double_share if DOUBLE in classes else 0,
        late_share=late_share if LATE in classes else 0,
        delay_us_min=prng.between(20, 3_000),
        delay_us_mean=(100, 1_000, 10_000, 40_000)[prng.choice_index([3, 4, 2, 1])],
        bytes_per_ms=bytes_per_ms if NARROW in classes else 0,
        flip_share=flip_share if FLIP in classes else 0,
    )
