"""One scenario is one run: what is drawn, the phase with faults, the quiet phase, the verdict.

A run is a function of its scenario alone. Between runs nothing is shared; the collector of garbage stands still during
a run.
"""

import gc
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, final

from quantum.core.edge.config import EdgeConfig
from quantum.core.mqtt.packets import V5, Subscription
from quantum.core.node.config import NodeConfig
from quantum.core.node.storage import Identity, StorageConfig
from quantum.core.prng import Prng
from quantum.sim import nemesis
from quantum.sim.clients import ClientPlan
from quantum.sim.history import History
from quantum.sim.profiles import RunOptions, draw_faults, draw_options
from quantum.sim.scenario import MQTT, Outcome, Scenario, copy_scenario
from quantum.sim.workload import draw_plans
from quantum.sim.world import World

QUIET_US: Final = 6_000_000  # the least length of the quiet period
SETTLE_US: Final = 30_000_000  # the most: L2
READ_US: Final = 3_000_000  # for the reader of retained messages
STEP_US: Final = 500_000
STALLED_US: Final = 2_000_000  # without any delivery, though some are owed
# What makes clients and broker measure different times.
_UNEVEN: Final = (
    nemesis.PAUSE,
    nemesis.PAUSE_LEADER,
    nemesis.SUSPEND,
    nemesis.STALL_READER,
    nemesis.WALL_JUMP,
    nemesis.DRIFT,
)


def run(scenario: Scenario, history: History | None = None) -> Outcome:
    """One run."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _run(scenario)
    finally:
        if was_enabled:
            gc.enable()


def _run(scenario: Scenario) -> Outcome:
    options = draw_options(scenario)
    faults = draw_faults(scenario, options)
    root = Prng(scenario.seed)
    plans = draw_plans(root.stream("plans"), options.workload) if options.workload.client_count else []
    world = World(
        root.stream("world"),
        options.world,
        [_node_config(options, number) for number in range(1, options.node_count + 1)],
        [replace(options.disk) for _ in range(options.node_count)],
        options.network,
        options.peers,
        plans,
        faults,
    )
    world.promises.is_time_even = not any(event.kind in _UNEVEN for event in faults)
    world.run_until(options.world.duration_us)
    _settle(world)
    frozen = None
    if world.promises.violations:
        frozen = copy_scenario(
            scenario,
            node_count=options.node_count,
            client_count=options.workload.client_count,
            duration_ms=options.world.duration_us // 1000,
            faults=faults,
        )
    classes = list(options.standing)
    classes += [name for name in options.nemesis.classes if name not in scenario.off]
    return _outcome(world, tuple(classes), frozen)


def _node_config(options: RunOptions, number: int) -> NodeConfig:
    return NodeConfig(
        Identity("sim", f"node-{number}"),
        edge=EdgeConfig(receive_maximum=options.receive_maximum),
        storage=StorageConfig(
            segment_bytes=options.segment_bytes,
            snapshot_log_bytes=options.snapshot_log_bytes,
            snapshot_slice_bytes=options.snapshot_slice_bytes,
        ),
        turn_bytes_max=options.turn_bytes_max,
        redecode_share=options.redecode_share,
    )


def _outcome(world: World, classes: tuple[str, ...], frozen: Scenario | None) -> Outcome:
    promises = world.promises
    violation = promises.violations[0] if promises.violations else None
    stats: dict[str, int] = {
        "events": world.scheduler.count,
        "simulated_ms": world.scheduler.now_us // 1000,
        "records": world.trace.count,
        "turns": world.stats.turn_count,
        "crashes": world.stats.crash_count,
        "power_losses": world.stats.power_loss_count,
        "refusals": world.stats.refusal_count,
        "recoveries": world.stats.recovery_count,
        "replays_compared": world.stats.replay_count,
        "published": len(promises.published),
        "deliveries": promises.delivery_count,
        "client_cuts": world.network.cut_count,
        "peer_frames": world.peers.frame_count,
        "peer_frames_lost": world.peers.drop_count + world.peers.cut_count,
    }
    disks = [host.disk for host in world.hosts.values()]
    stats["syncs"] = sum(disk.sync_count for disk in disks)
    stats["disk_errors"] = sum(disk.error_count for disk in disks)
    stats["lost_sectors"] = sum(disk.lost_sector_count for disk in disks)
    for kind, count in world.faults.counts.items():
        stats[f"fault {kind}"] = count
    return Outcome(
        law=violation.law if violation else "",
        facts=(violation.first, violation.second) if violation else ("", ""),
        digest=world.trace.digest(),
        stats=stats,
        marks=world.marks.counts,
        at_us=world.scheduler.now_us if violation else 0,
        frozen=frozen,
        classes=classes,
        tail=world.trace.lines() if violation else [],
    )


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
        promises.finish([client.plan.client_id for client in world.clients if client.plan.client_id == "monitor"])
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


# -- the command's view ---------------------------------------------------------------------------------------------


LITE: Final = "lite"
STANDARD: Final = "standard"
PROFILES: Final = (STANDARD, LITE)


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


def run_seed(seed: int, profile: str = STANDARD) -> SeedResult:
    """One run, as a text."""
    outcome = run(Scenario(MQTT, seed))
    violations = [f"{outcome.law}: {outcome.facts[0]}; {outcome.facts[1]}"] if outcome.law else []
    verdict = "violation" if violations else "clean"
    return SeedResult(seed, verdict, outcome.law, violations, outcome.digest, dict(outcome.stats), outcome.tail)


def describe(seed: int, profile: str) -> list[str]:
    """What a seed has drawn, for people."""
    return [f"seed {seed}, profile {profile}", *describe_scenario(Scenario(MQTT, seed))]


def describe_scenario(scenario: Scenario) -> list[str]:
    """What a scenario draws, for people."""
    options = draw_options(scenario)
    lines: list[str] = []
    for name, value in asdict(options).items():
        if isinstance(value, dict):
            text = " ".join(f"{key}={item}" for key, item in value.items() if key != "classes")
        else:
            text = str(value)
        lines.append(f"  {name}: {text}")
    lines.append(
        f"  faults: {' '.join(options.nemesis.classes) or 'none'}, {len(draw_faults(scenario, options))} in all"
    )
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
