"""One seed is one run: what is drawn, the active phase, the quiet phase, the verdict. And many seeds over processes.

A run is a function of its seed, profile and schedule alone. Between seeds nothing is shared; the collector of garbage
stands still during a run.
"""

import gc
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final, final

from quantum.core.edge.config import EdgeConfig
from quantum.core.mqtt.packets import V5, Subscription
from quantum.core.node.config import NodeConfig
from quantum.core.node.storage import Identity, StorageConfig
from quantum.core.prng import Prng
from quantum.sim.clients import ClientPlan
from quantum.sim.disk import DiskOptions
from quantum.sim.nemesis import (
    KIND_NAMES,
    PAUSE,
    STALL_READER,
    WALL_JUMP,
    Fault,
    NemesisOptions,
    draw_nemesis,
    draw_schedule,
)
from quantum.sim.network import NetworkOptions
from quantum.sim.workload import WorkloadOptions, draw_plans, draw_workload
from quantum.sim.world import World, WorldOptions

LITE: Final = "lite"
STANDARD: Final = "standard"
PROFILES: Final = (LITE, STANDARD)
QUIET_US: Final = 6_000_000  # the least length of the quiet period
SETTLE_US: Final = 30_000_000  # the most: L2
READ_US: Final = 3_000_000  # for the reader of retained messages
STEP_US: Final = 500_000
STALLED_US: Final = 2_000_000  # without any delivery, though some are owed


@final
@dataclass(slots=True)
class SeedOptions:
    """All that is drawn before a run begins."""

    world: WorldOptions
    workload: WorkloadOptions
    nemesis: NemesisOptions
    disk: DiskOptions
    network: NetworkOptions
    segment_bytes: int
    snapshot_log_bytes: int
    snapshot_slice_bytes: int
    redecode_share: int
    receive_maximum: int
    turn_bytes_max: int


@final
@dataclass(slots=True)
class SeedResult:
    """The outcome of one seed; `violations` are texts, so that it travels between processes."""

    seed: int
    verdict: str  # "clean" or "violation"
    law: str
    violations: list[str]
    digest: str
    stats: dict[str, Any]
    tail: list[str] = field(default_factory=list)  # the last records of a run that failed


def draw_options(seed: int, profile: str) -> SeedOptions:
    """The ranges of a seed: first which faults there are at all, then how strong."""
    root = Prng(seed)
    is_lite = profile == LITE
    prng = root.stream("config")
    is_slow = prng.chance(1, 5)
    disk = DiskOptions(
        step_us_max=prng.between(20, 300),
        sync_us_min=prng.between(50, 500),
        sync_us_max=prng.between(500, 30_000 if is_slow else 5_000),
        stall_share=prng.between(1, 100) if prng.chance(1, 4) else 0,
    )
    network = NetworkOptions(
        delay_us_min=prng.between(10, 500),
        delay_us_max=prng.between(500, 20_000),
        split_share=prng.below(400),
        tiny_share=prng.below(200),
        reset_share=prng.below(1000),
    )
    if not is_lite:
        disk.sync_error_share = prng.between(1, 60) if prng.chance(1, 6) else 0
        disk.space_error_share = prng.between(1, 20) if prng.chance(1, 8) else 0
        disk.read_error_share = prng.between(1, 60) if prng.chance(1, 8) else 0
    segment_bytes = 4096 * prng.between(1, 16)
    workload = draw_workload(root.stream("workload"), is_lite)
    return SeedOptions(
        world=WorldOptions(
            duration_us=prng.between(4_000_000, 8_000_000 if is_lite else 14_000_000),
            turn_us_max=prng.between(20, 2_000),
            burst_max=workload.burst_max,
        ),
        workload=workload,
        nemesis=draw_nemesis(root.stream("nemesis"), is_lite),
        disk=disk,
        network=network,
        segment_bytes=segment_bytes,
        snapshot_log_bytes=segment_bytes * prng.between(1, 8),
        snapshot_slice_bytes=prng.between(256, 16_384),
        redecode_share=1 if prng.chance(3, 4) else 16,
        receive_maximum=(2, 10, 256)[prng.below(3)],
        turn_bytes_max=(200, 4_000, 4_194_304)[prng.choice_index([1, 1, 4])],
    )


def draw_faults(seed: int, options: SeedOptions) -> list[Fault]:
    """The schedule a seed runs with when none is given."""
    return draw_schedule(
        Prng(seed).stream("schedule"), options.nemesis, options.workload.client_count, options.world.duration_us
    )


def run_seed(seed: int, profile: str = STANDARD, schedule: list[Fault] | None = None) -> SeedResult:
    """One run. `schedule` replaces the drawn faults."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _run(seed, profile, schedule)
    finally:
        if was_enabled:
            gc.enable()


def _run(seed: int, profile: str, schedule: list[Fault] | None) -> SeedResult:
    options = draw_options(seed, profile)
    faults = draw_faults(seed, options) if schedule is None else schedule
    root = Prng(seed)
    plans = draw_plans(root.stream("plans"), options.workload)
    config = NodeConfig(
        Identity("sim", "node-1"),
        edge=EdgeConfig(receive_maximum=options.receive_maximum),
        storage=StorageConfig(
            segment_bytes=options.segment_bytes,
            snapshot_log_bytes=options.snapshot_log_bytes,
            snapshot_slice_bytes=options.snapshot_slice_bytes,
        ),
        turn_bytes_max=options.turn_bytes_max,
        redecode_share=options.redecode_share,
    )
    world = World(root.stream("world"), options.world, config, options.disk, options.network, plans, faults)
    kinds = dict.fromkeys(fault[1] for fault in faults)
    world.promises.is_time_even = not (PAUSE in kinds or STALL_READER in kinds or WALL_JUMP in kinds)
    world.run_until(options.world.duration_us)
    _settle(world)
    return _result(seed, world)


def _settle(world: World) -> None:
    """The quiet phase: everybody comes back, all that is owed is delivered, and the checkers finish. L2."""
    promises = world.promises
    scheduler = world.scheduler
    world.calm()
    start_us = scheduler.now_us
    world.run_until(start_us + QUIET_US)
    while not promises.violations and not all(behaviour.is_done for behaviour in world.behaviours):
        if scheduler.now_us > start_us + SETTLE_US:
            late = [behaviour.client for behaviour in world.behaviours if not behaviour.is_done]
            promises.violate(
                "L2",
                f"everything healed at {start_us // 1000} ms",
                f"{late[0].plan.client_id} still waits at {scheduler.now_us // 1000} ms",
            )
            return
        world.run_until(scheduler.now_us + STEP_US)
    # Long queues take their time; what is owed is late when nothing moves any more.
    while not promises.violations and (promises.owed() or world.is_draining()):
        count = promises.delivery_count
        world.run_until(scheduler.now_us + STALLED_US)
        if count == promises.delivery_count:
            break
    reader = world.add_client(_reader_plan(len(world.clients)))
    reader.finds_retained = True
    world.behaviours[-1].begin_quiet(promises.now_ms)
    world.behaviours[-1].leaves = False
    world.behaviours[-1].has_said_last = True
    world.run_until(scheduler.now_us + READ_US)
    if not promises.violations:
        if not reader.is_settled:
            promises.violate("L2", "the node serves everybody", "a new client could not subscribe in 3 s")
        promises.finish(["monitor"])
        promises.check_retained(reader.plan.client_id, reader.retained)
        world.look_inside()


def _reader_plan(number: int) -> ClientPlan:
    return ClientPlan(
        number=number,
        client_id="reader",
        version=V5,
        is_persistent=False,
        expiry_s=0,
        keep_alive_s=60,
        receive_maximum=65535,
        share_group="",
        subscriptions=[Subscription("r/#", 2)],
        topics=[],
        retained_topics=[],
        has_will=False,
        will_delay_s=0,
        qos_weights=[1, 0, 0],
        action_weights=[1],
        think_us_max=10_000,
        ack_delay_share=0,
        window=1,
        expiry_share=0,
        payload_bytes_max=1,
    )


def _result(seed: int, world: World) -> SeedResult:
    promises = world.promises
    stats = asdict(world.stats)
    stats.update(
        events=world.scheduler.count,
        records=world.trace.count,
        simulated_ms=world.scheduler.now_us // 1000,
        published=len(promises.published),
        deliveries=promises.delivery_count,
        syncs=world.disk.sync_count,
        disk_errors=world.disk.error_count,
        cuts=world.network.cut_count,
    )
    violations = promises.violations
    return SeedResult(
        seed=seed,
        verdict="violation" if violations else "clean",
        law=violations[0].law if violations else "",
        violations=[str(violation) for violation in violations],
        digest=world.trace.digest(),
        stats=stats,
        tail=world.trace.lines() if violations else [],
    )


def describe(seed: int, profile: str) -> list[str]:
    """What a seed has drawn, for people."""
    options = draw_options(seed, profile)
    lines = [f"seed {seed}, profile {profile}"]
    for name, value in asdict(options).items():
        if isinstance(value, dict):
            text = " ".join(f"{key}={item}" for key, item in value.items() if key != "kinds")
        else:
            text = str(value)
        lines.append(f"  {name}: {text}")
    faults = [KIND_NAMES[kind] for kind in options.nemesis.kinds]
    lines.append(f"  faults: {' '.join(faults) or 'none'}, {len(draw_faults(seed, options))} in all")
    return lines


# -- many seeds ---------------------------------------------------------------------------------------------------------


@final
@dataclass(slots=True)
class SweepResult:
    """The outcome of a range of seeds."""

    profile: str
    first_seed: int
    last_seed: int
    clean_count: int = 0
    seconds: float = 0.0
    failures: list[SeedResult] = field(default_factory=list)
    totals: dict[str, int] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)

    def add(self, result: SeedResult) -> None:
        """Count one seed."""
        self.digests[result.seed] = result.digest
        if result.violations:
            self.failures.append(result)
        else:
            self.clean_count += 1
        for key, value in result.stats.items():
            if isinstance(value, int):
                self.totals[key] = self.totals.get(key, 0) + value
            elif isinstance(value, dict):
                for fault, count in value.items():
                    self.totals[f"fault {fault}"] = self.totals.get(f"fault {fault}", 0) + count

    @property
    def count(self) -> int:
        """Seeds that ran."""
        return self.clean_count + len(self.failures)

    def seeds_per_minute(self) -> int:
        """On all processes together."""
        return int(self.count * 60 / self.seconds) if self.seconds else 0

    def to_json(self) -> str:
        """The report."""
        return json.dumps(asdict(self), indent=2, sort_keys=True)


def _run_in_child(job: tuple[int, str]) -> SeedResult:
    result = run_seed(job[0], job[1])
    gc.collect()
    return result


def sweep(
    first_seed: int,
    last_seed: int,
    profile: str,
    jobs: int,
    on_progress: Callable[[SweepResult, SeedResult], None],
    failures_max: int,
) -> SweepResult:
    """Run a range of seeds over processes; stops early after `failures_max` failures."""
    total = SweepResult(profile, first_seed, last_seed)
    started = time.monotonic()
    work = ((seed, profile) for seed in range(first_seed, last_seed + 1))

    def note(result: SeedResult) -> bool:
        total.add(result)
        total.seconds = time.monotonic() - started
        on_progress(total, result)
        return len(total.failures) < failures_max

    if jobs == 1:
        for job in work:
            if not note(_run_in_child(job)):
                break
        return total
    # A fresh interpreter for each process: nothing of the parent can leak into a run.
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        for result in pool.imap_unordered(_run_in_child, work, chunksize=4):
            if not note(result):
                pool.terminate()
                break
    total.failures.sort(key=lambda failed: failed.seed)
    return total
