"""Runs of profiles lite and failover: consensus alone, thousands of seeds a minute."""

import traceback

from quantum.core.prng import Prng
from quantum.sim.history import History
from quantum.sim.raft_due import NAMES
from quantum.sim.raft_failover import failover_options, unavailable_ms
from quantum.sim.raft_laws import LawBroken
from quantum.sim.raft_liveness import BeyondBudget, come_back
from quantum.sim.raft_nemesis import RaftNemesis, draw_faults
from quantum.sim.raft_options import draw_options
from quantum.sim.raft_world import RaftWorld
from quantum.sim.scenario import FAILOVER, Outcome, Scenario, copy_scenario

ASSERTED = "ASSERT"  # a replica stopped itself


def run(scenario: Scenario, history: History | None = None) -> Outcome:
    """One run: safety under faults, then liveness after them."""
    root = Prng(scenario.seed)
    is_failover = scenario.profile == FAILOVER
    options = (failover_options if is_failover else draw_options)(root.stream("config"), scenario)
    faults = draw_faults(root.stream("nemesis"), options) if scenario.faults is None else scenario.faults
    law, facts = "", ("", "")
    samples: dict[str, list[int]] = {}
    world = RaftWorld(scenario, options, root, history)
    nemesis = RaftNemesis(world, faults)
    world.nemesis = nemesis
    try:
        world.begin()
        if is_failover:
            samples["unavailable_ms"] = [unavailable_ms(world)]
        else:
            world.run_until(options.duration_ms * 1000)
            come_back(world, nemesis, root.stream("heal"))
    except BeyondBudget:
        world.marks.sometimes("lite.beyond-budget")
    except LawBroken as end:
        law, facts = end.law, end.facts
    except Exception as error:
        law, facts = ASSERTED, (f"no input makes a replica stop: {where_of(error)}", f"{type(error).__name__}: {error}")
    stats = {
        "events": world.event_count,
        "simulated_ms": world.now_us // 1000,
        "messages": world.network.sent_count,
        "committed": world.oracles.exposed_index,
        "terms": world.oracles.max_term,
        "operations": world.operations.begun_count,
        "answered": world.operations.answered_count,
    }
    outcome = Outcome(
        law,
        facts,
        world.trace.digest(),
        stats,
        world.marks.counts,
        classes=options.classes,
        op_counts=tuple(world.op_counts),
        samples=samples,
    )
    if law:
        outcome.at_us = world.now_us
        outcome.tail = world.trace.lines(NAMES)
        outcome.frozen = copy_scenario(
            scenario,
            node_count=options.node_count,
            client_count=options.client_count,
            duration_ms=options.duration_ms,
            faults=faults,
        )
        if world.story is not None:
            world.story.on_violation(world.now_us, f"{law}: {facts[0]}; {facts[1]}")
    return outcome


def where_of(error: Exception) -> str:
    """File and line, of the product where it was there."""
    frames = traceback.extract_tb(error.__traceback__)
    for frame in reversed(frames):
        if "/core/" in frame.filename:
            return f"{frame.filename.rpartition('/')[2]} line {frame.lineno}"
    return f"{frames[-1].filename.rpartition('/')[2]} line {frames[-1].lineno}"
