"""What a seed draws before it runs, one table of ranges a profile.

First which faults there are at all, then how strong, then the workload; each from a stream of its own, so that a fault
class that is switched off leaves the rest of the run's draws as they were.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.broker.commands import HASH_TOPIC, LEAST_INFLIGHT, ROUND_ROBIN
from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.sim import nemesis
from quantum.sim.disk import DiskOptions
from quantum.sim.nemesis import NemesisOptions, draw_nemesis
from quantum.sim.network import NetworkOptions
from quantum.sim.peer_network import PeerOptions
from quantum.sim.scenario import BEYOND, MQTT, POWER, SOAK, STANDARD, STORAGE, FaultEvent, Scenario
from quantum.sim.tempo import draw_tempo
from quantum.sim.workload import WorkloadOptions, draw_workload
from quantum.sim.world import WorldOptions

# Classes that are no events of a schedule: they are there for the whole run.
DROP: Final = "drop"
DUPLICATE: Final = "duplicate"
REPLAY: Final = "replay"
DELAY: Final = "delay"
REORDER: Final = "reorder"
FLIP: Final = "flip"
SEGMENTS: Final = "segments"
STALL: Final = "stall"
SYNC_ERRORS: Final = "sync-errors"
SPACE_ERRORS: Final = "space-errors"
READ_ERRORS: Final = "read-errors"
OUTRUN: Final = "outrun"  # logs are short, and one node is cut off until the others have nothing but snapshots for it
QUIET_HEAL: Final = "quiet-heal"  # the nodes must agree before any client says a word
CORE_HEAL: Final = "core-heal"  # a minority stays broken
STANDING: Final = (
    DROP,
    DUPLICATE,
    REPLAY,
    DELAY,
    REORDER,
    FLIP,
    SEGMENTS,
    STALL,
    SYNC_ERRORS,
    SPACE_ERRORS,
    READ_ERRORS,
    OUTRUN,
)

# Of 100 seeds, how many have a standing class at all.
_STANDING_SHARES: Final = {
    DROP: 50,
    DUPLICATE: 50,
    REPLAY: 30,
    DELAY: 50,
    REORDER: 40,
    FLIP: 30,
    SEGMENTS: 90,
    STALL: 25,
    SYNC_ERRORS: 16,
    SPACE_ERRORS: 12,
    READ_ERRORS: 12,
    OUTRUN: 6,
}


@final
@dataclass(slots=True)
class Profile:
    """Ranges, both ends included."""

    nodes: tuple[int, int]
    clients: tuple[int, int]
    duration_ms: tuple[int, int]  # of the phase with faults
    dwell_us_max: int = 8_000_000
    pace: int = 100  # of 100, how long the gaps are between faults and between what a client does
    always: tuple[str, ...] = ()  # classes that every seed has
    never: tuple[str, ...] = ()
    certain: tuple[str, ...] = ()  # of those that every seed has, what strikes at least once, late in the run
    is_strict: bool = True  # damage stays within what a cluster survives


PROFILES: Final = {
    STANDARD: Profile(nodes=(3, 5), clients=(3, 8), duration_ms=(5_000, 16_000), dwell_us_max=7_000_000, pace=80),
    MQTT: Profile(nodes=(1, 1), clients=(3, 8), duration_ms=(4_000, 14_000)),
    STORAGE: Profile(
        nodes=(3, 5),
        clients=(3, 5),
        duration_ms=(6_000, 14_000),
        always=(nemesis.HARM, nemesis.POWER_IN_OUTPUTS, nemesis.POWER_IN_DISK),
        never=(nemesis.SUSPEND, nemesis.WALL_JUMP, nemesis.BRIDGE, nemesis.RING, nemesis.CLOG),
        certain=(nemesis.HARM,),
    ),
    POWER: Profile(
        nodes=(3, 5),
        clients=(3, 6),
        duration_ms=(4_000, 10_000),
        always=(nemesis.POWER_ALL, nemesis.POWER_IN_OUTPUTS),
        certain=(nemesis.POWER_ALL,),
    ),
    BEYOND: Profile(
        nodes=(3, 5),
        clients=(3, 5),
        duration_ms=(6_000, 14_000),
        always=(nemesis.HARM, nemesis.WIPE, nemesis.ROLL_BACK, nemesis.MISDIRECT),
        certain=(nemesis.HARM, nemesis.ROLL_BACK),
        is_strict=False,
    ),
    SOAK: Profile(nodes=(5, 7), clients=(8, 16), duration_ms=(60_000, 240_000), dwell_us_max=30_000_000),
}


@final
@dataclass(slots=True)
class RunOptions:
    """All that is drawn before a run begins."""

    node_count: int
    standing: tuple[str, ...]
    world: WorldOptions
    workload: WorkloadOptions
    nemesis: NemesisOptions
    disk: DiskOptions
    network: NetworkOptions
    peers: PeerOptions
    segment_bytes: int
    snapshot_log_bytes: int
    snapshot_slice_bytes: int
    redecode_share: int
    receive_maximum: int
    turn_bytes_max: int
    raft: RaftConfig
    edge_timeout_ms: int
    shared_strategy: int
    heal: int  # one of settle's ways


def draw_options(scenario: Scenario) -> RunOptions:
    """The ranges of a seed; what the scenario says itself is taken from there."""
    root = Prng(scenario.seed)
    profile = PROFILES[scenario.profile]
    prng = root.stream("config")
    sizes = root.stream("sizes")
    node_count = sizes.between(*profile.nodes)
    duration_ms = sizes.between(*profile.duration_ms)
    client_count = sizes.between(*profile.clients)
    if scenario.node_count is not None:
        node_count = scenario.node_count
    if scenario.duration_ms is not None:
        duration_ms = scenario.duration_ms
    standing = _draw_standing(root.stream("standing"), scenario, node_count)
    workload = draw_workload(root.stream("workload"), False)
    workload.client_count = client_count if scenario.client_count is None else scenario.client_count
    workload.think_us_max = workload.think_us_max * profile.pace // 100
    faults = draw_nemesis(root.stream("nemesis"), node_count, profile.dwell_us_max)
    faults.gap_us_max = faults.gap_us_max * profile.pace // 100
    known = [name for name in nemesis.CLASSES if name in faults.classes or name in profile.always]
    known = [name for name in known if name not in profile.never and node_count >= nemesis.nodes_min(name)]
    faults.classes = [name for name in known if name != nemesis.ROLL_BACK or not profile.is_strict]
    segment_bytes = 4096 * prng.between(1, 16)
    if OUTRUN in standing:
        segment_bytes = 4096
    return RunOptions(
        node_count=node_count,
        standing=standing,
        world=WorldOptions(
            duration_us=duration_ms * 1000,
            turn_us_max=prng.between(20, 4_000),
            burst_max=workload.burst_max,
            wall_skew_ms=prng.below(200),
            stay_share=(0, 50, 90)[prng.below(3)],
            is_strict=profile.is_strict,
            has_model=prng.chance(1, 2),
            tempo=draw_tempo(root.stream("tempo"), duration_ms * 1000),
        ),
        workload=workload,
        nemesis=faults,
        disk=_draw_disk(root.stream("disk options"), standing),
        network=_draw_network(root.stream("network options"), standing),
        peers=_draw_peers(root.stream("peer options"), standing),
        segment_bytes=segment_bytes,
        snapshot_log_bytes=segment_bytes * prng.between(1, 8),
        snapshot_slice_bytes=prng.between(256, 16_384),
        redecode_share=1 if prng.chance(3, 4) else 16,
        receive_maximum=(2, 10, 256)[prng.below(3)],
        turn_bytes_max=(200, 4_000, 4_194_304)[prng.choice_index([1, 1, 4])],
        raft=_draw_raft(root.stream("raft")),
        edge_timeout_ms=root.stream("edge timeout").between(1_500, 6_000),
        shared_strategy=(ROUND_ROBIN, HASH_TOPIC, LEAST_INFLIGHT)[root.stream("shared").choice_index([2, 1, 1])],
        heal=_draw_heal(root.stream("heal"), scenario, node_count),
    )


def draw_faults(scenario: Scenario, options: RunOptions) -> list[FaultEvent]:
    """The schedule a seed runs with: the scenario's own, or drawn; without what the scenario switches off."""
    faults = scenario.faults
    if faults is None:
        drawn = nemesis.draw_schedule(
            Prng(scenario.seed).stream("schedule"),
            options.nemesis,
            options.node_count,
            max(1, options.workload.client_count),
            options.world.duration_us,
        )
        faults = sorted(drawn + _certain(scenario, options) + _outrun(scenario, options), key=_time_of)
    return [event for event in faults if event.kind not in scenario.off]


def _time_of(event: FaultEvent) -> int:
    return event.at_us


def _certain(scenario: Scenario, options: RunOptions) -> list[FaultEvent]:
    """What every seed of the profile has at least once, late in the run, mid-traffic."""
    events: list[FaultEvent] = []
    for kind in PROFILES[scenario.profile].certain:
        if options.node_count >= nemesis.nodes_min(kind):
            prng = Prng(scenario.seed).stream(f"certain {kind}")
            at_us = options.world.duration_us * prng.between(50, 95) // 100
            events.append(nemesis.draw_fault(prng, options.nemesis, kind, options.node_count, at_us))
    return events


def _outrun(scenario: Scenario, options: RunOptions) -> list[FaultEvent]:
    """A node is cut off; meanwhile the others snapshot what it misses, and are killed, so that they have it nowhere else.
    Its own edge stands open all the while."""
    if OUTRUN not in options.standing:
        return []
    prng = Prng(scenario.seed).stream("outrun fault")
    begin_us = options.world.duration_us * prng.between(10, 50) // 100
    duration_us = prng.between(1_500_000, 6_000_000)
    alone = 1 + prng.below(options.node_count)
    events = [FaultEvent(begin_us, nemesis.PARTITION, duration_us, (alone,))]
    at_us = begin_us + duration_us * prng.between(60, 95) // 100
    for number in range(1, options.node_count + 1):
        if number != alone:
            event = FaultEvent(at_us, nemesis.KILL, prng.between(1_000, 100_000), (number,), {"again_us": 0})
            events.append(event)
    return events


def _draw_standing(prng: Prng, scenario: Scenario, node_count: int) -> tuple[str, ...]:
    chosen = [name for name in STANDING if prng.stream(name).chance(_STANDING_SHARES[name], 100)]
    of_peers = (DROP, DUPLICATE, REPLAY, DELAY, REORDER, FLIP, OUTRUN)
    return tuple(name for name in chosen if name not in scenario.off and (node_count > 1 or name not in of_peers))


def _draw_disk(prng: Prng, standing: tuple[str, ...]) -> DiskOptions:
    is_slow = prng.chance(1, 5)
    options = DiskOptions(
        step_us_max=prng.between(20, 300),
        sync_us_min=prng.between(50, 500),
        sync_us_max=prng.between(500, 30_000 if is_slow else 5_000),
        stall_share=prng.between(1, 100),
        sync_error_share=prng.between(1, 60),
        space_error_share=prng.between(1, 20),
        read_error_share=prng.between(1, 60),
    )
    if STALL not in standing:
        options.stall_share = 0
    if SYNC_ERRORS not in standing:
        options.sync_error_share = 0
    if SPACE_ERRORS not in standing:
        options.space_error_share = 0
    if READ_ERRORS not in standing:
        options.read_error_share = 0
    return options


def _draw_heal(prng: Prng, scenario: Scenario, node_count: int) -> int:
    way = prng.choice_index([2, 1, 1])
    name = ("", QUIET_HEAL, CORE_HEAL)[way]
    return 0 if name in scenario.off or node_count < 3 else way


def _draw_raft(prng: Prng) -> RaftConfig:
    election_timeout_ms = (200, 400, 1_000)[prng.below(3)]
    return RaftConfig(
        election_timeout_ms=election_timeout_ms,
        heartbeat_interval_ms=max(1, election_timeout_ms // prng.between(3, 8)),
        append_bytes_max=(2_000, 1_048_576)[prng.below(2)],
        append_entries_max=(2, 16, 1024)[prng.below(3)],
        inflight_appends_max=(1, 4, 64)[prng.below(3)],
        fetch_entries_max=(1, 8, 256)[prng.below(3)],
    )


def _draw_network(prng: Prng, standing: tuple[str, ...]) -> NetworkOptions:
    options = NetworkOptions(
        delay_us_min=prng.between(10, 500),
        delay_us_max=prng.between(500, 20_000),
        split_share=prng.below(400),
        tiny_share=prng.below(200),
        reset_share=prng.below(1000),
    )
    if SEGMENTS not in standing:
        options.split_share = 0
    return options


def _draw_peers(prng: Prng, standing: tuple[str, ...]) -> PeerOptions:
    options = PeerOptions(
        delay_us_min=prng.between(50, 500),
        delay_us_max=prng.between(500, 5_000),
        drop_share=prng.between(1, (20, 100, 300)[prng.below(3)]),
        duplicate_share=prng.between(1, (20, 500)[prng.below(2)]),
        replay_share=prng.between(1, 50),
        replay_us_max=(100_000, 5_000_000, 60_000_000)[prng.below(3)],
        spike_share=prng.between(1, 100),
        spike_us_max=prng.between(5_000, 400_000),
        flip_share=prng.between(1, 50),
        is_reordering=REORDER in standing,
    )
    if DROP not in standing:
        options.drop_share = 0
    if DUPLICATE not in standing:
        options.duplicate_share = 0
    if REPLAY not in standing:
        options.replay_share = 0
    if DELAY not in standing:
        options.spike_share = 0
    if FLIP not in standing:
        options.flip_share = 0
    return options
