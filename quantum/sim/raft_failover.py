"""How long nobody can write after a leader was killed, with the timers that are shipped: profile failover.

One number a seed; the distribution is over seeds. A machine next to the others: links of some tenths of a millisecond,
syncs of about one. Kills at any moment between two heartbeats.
"""

from typing import TYPE_CHECKING, Final

from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.sim.raft_laws import broken
from quantum.sim.raft_network import LinkOptions
from quantum.sim.raft_options import RaftOptions
from quantum.sim.scenario import Scenario

if TYPE_CHECKING:
    from quantum.sim.raft_world import RaftWorld

STEP_US: Final = 1_000
PATIENCE_US: Final = 60_000_000


def failover_options(prng: Prng, scenario: Scenario) -> RaftOptions:
    """Nothing is drawn but the moment."""
    duration_ms = 3_000 + prng.below(500)
    return RaftOptions(
        node_count=3 if scenario.node_count is None else scenario.node_count,
        client_count=4 if scenario.client_count is None else scenario.client_count,
        duration_ms=duration_ms if scenario.duration_ms is None else scenario.duration_ms,
        warm_up_ms=0,
        classes=(),
        raft=RaftConfig(),
        link=LinkOptions(delay_us_min=100, delay_us_mean=200),
        sync_us_min=300,
        sync_us_mean=700,
        snapshot_every=1_000,
        op_gap_us=10_000,
    )


def unavailable_ms(world: "RaftWorld") -> int:
    """Kill whoever leads; returns how long no write was answered. Raises: LawBroken."""
    world.run_until(world.options.duration_ms * 1000)
    leader = world.leader()
    if leader is None:
        broken("L1", f"{world.options.node_count} whole nodes have a leader", f"none at {world.now_us // 1000} ms")
    world.kill(leader, is_written=True)
    leader.down_count += 1
    begun_us = world.now_us
    answered = len(world.operations.answered)
    while len(world.operations.answered) == answered:  # Writes: reads may have been on their way back.
        if world.now_us - begun_us > PATIENCE_US:
            broken(
                "L1", "a quorum is whole", f"{PATIENCE_US // 1_000_000} s after its leader was killed it serves nobody"
            )
        world.run_until(world.now_us + STEP_US)
    return (world.now_us - begun_us) // 1000
