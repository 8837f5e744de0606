"""One scenario is one run: what is drawn, the phase with faults, the quiet phase, the verdict.

A run is a function of its scenario alone. Between runs nothing is shared; the collector of garbage stands still during
a run.
"""

import gc
from dataclasses import replace
from typing import Final

from quantum.core.edge.config import EdgeConfig
from quantum.core.node.config import NodeConfig, default_policy
from quantum.core.node.storage import Identity, StorageConfig
from quantum.core.prng import Prng
from quantum.sim import nemesis
from quantum.sim.history import History
from quantum.sim.profiles import RunOptions, draw_faults, draw_options
from quantum.sim.scenario import Outcome, Scenario, copy_scenario
from quantum.sim.scribe import CLUSTER, Scribe
from quantum.sim.settle import settle
from quantum.sim.tripwires import Tripwires
from quantum.sim.workload import draw_plans
from quantum.sim.world import World

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
        with Tripwires():
            return _run(scenario, None if history is None else Scribe(history))
    finally:
        if was_enabled:
            gc.enable()


def _run(scenario: Scenario, scribe: Scribe | None) -> Outcome:
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
        scribe,
    )
    for number, behaviour in enumerate(world.behaviours):
        behaviour.is_off = number in scenario.clients_off
        behaviour.ops_off = [(first, last) for client, first, last in scenario.ops_off if client == number]
    # With several nodes a message may wait for a leader before it is stamped, and a clock be another's afterwards.
    is_alone = options.node_count == 1 or not faults
    world.promises.is_time_even = is_alone and not any(event.kind in _UNEVEN for event in faults)
    world.run_until(options.world.duration_us)
    settle(world, options.heal, root.stream("heal"))
    if not options.world.is_strict:
        world.forgive()
    frozen = None
    if world.promises.violations:
        if scribe is not None:
            broken = world.promises.violations[0]
            scribe.on_violation(broken.law, broken.first, broken.second)
        frozen = copy_scenario(
            scenario,
            node_count=options.node_count,
            client_count=options.workload.client_count,
            duration_ms=options.world.duration_us // 1000,
            faults=faults,
        )
    classes = list(options.standing)
    classes += [name for name in options.nemesis.classes if name not in scenario.off]
    outcome = _outcome(world, tuple(classes), frozen)
    outcome.op_counts = tuple(behaviour.op_count for behaviour in world.behaviours[: len(plans)])
    return outcome


def _node_config(options: RunOptions, number: int) -> NodeConfig:
    return NodeConfig(
        Identity(CLUSTER, f"node-{number}"),
        edge=EdgeConfig(receive_maximum=options.receive_maximum),
        policy=replace(default_policy(), shared_strategy=options.shared_strategy),
        storage=StorageConfig(
            segment_bytes=options.segment_bytes,
            snapshot_log_bytes=options.snapshot_log_bytes,
            snapshot_slice_bytes=options.snapshot_slice_bytes,
        ),
        turn_bytes_max=options.turn_bytes_max,
        redecode_share=options.redecode_share,
        node_number=number,
        voters=tuple(range(1, options.node_count + 1)),
        raft=options.raft,
        edge_timeout_ms=options.edge_timeout_ms,
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
