"""What goes wrong, and when: a list of faults drawn before the run, so that it can be replayed, shortened and shrunk.

Which classes a seed has at all is drawn first (swarm), because a run with every fault at once finds less than runs with
few. What each fault does to the world is in `faults`; a `FaultEvent` names its class, for how long, which nodes, and
numbers by name. Source: FAULTS §1.3, §2.1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from quantum.core.prng import Prng
from quantum.sim.disk import POWER_MODELS
from quantum.sim.frame_filter import KINDS
from quantum.sim.scenario import FaultEvent

# A process and its machine. duration_us: until it starts again.
KILL: Final = "kill"  # again_us: from the restart to another one, 0 for none
POWER: Final = "power"  # again_us, model
POWER_ALL: Final = "power-all"  # every machine at once; model, stagger_us between the restarts
KILL_LEADER: Final = "kill-leader"  # whoever leads then
KILL_IN_OUTPUTS: Final = "kill-in-outputs"  # served: how many destinations of its next turn are still served
POWER_IN_OUTPUTS: Final = "power-in-outputs"  # served, model; waits for a turn that writes to a client
CRASH_LOOP: Final = "crash-loop"  # count, gap_us: from each restart to the next kill
PAUSE: Final = "pause"  # duration_us
PAUSE_LEADER: Final = "pause-leader"
SUSPEND: Final = "suspend"  # a pause in which the monotonic clock stands still too
# Clocks.
WALL_JUMP: Final = "wall-jump"  # by_ms, may be negative
DRIFT: Final = "drift"  # ppm, may be negative; for duration_us
COARSE_CLOCK: Final = "coarse-clock"  # step_ms
# Clients and their connections. client: its number
CUT: Final = "cut"
CUT_TO_NODE: Final = "cut-to-node"  # bytes: towards the node before the break
CUT_TO_CLIENT: Final = "cut-to-client"  # bytes: towards the client before the break
HALF_OPEN: Final = "half-open"
STALL_READER: Final = "stall-reader"  # for duration_us
CLIENT_PARTITION: Final = "client-partition"  # one node is reached by no client, for duration_us
# Between nodes, for duration_us.
PARTITION: Final = "partition"  # nodes: one side
LEADER_MINORITY: Final = "leader-minority"  # whoever leads then is alone, or with count others
BRIDGE: Final = "bridge"  # nodes: all of them; the first one reaches both halves of the others
RING: Final = "ring"  # nodes: all of them; each reaches the two beside it
ONE_WAY: Final = "one-way"  # nodes: from, to
DEAF: Final = "deaf"  # one node receives nothing
MUTE: Final = "mute"  # what one node sends gets lost
CLOG: Final = "clog"  # nodes: from, to; is_reversing: what waited arrives last in first out
SLOW_LINK: Final = "slow-link"  # nodes: from, to; delay_us
NARROW_LINK: Final = "narrow-link"  # nodes: from, to; bytes_per_ms, queue_bytes
FILTER: Final = "filter"  # what: of frame_filter.KINDS, lost on every link
FOREIGN_FRAME: Final = "foreign-frame"  # nodes: to; choice
# Operators.
TRANSFER: Final = "transfer"  # nodes: whom the leader is asked to hand over to
MEMBERS: Final = "members"  # nodes: who is to vote, for duration_us; the others learn
# Disks.
ROT: Final = "rot"  # kill, and one bit of a synced batch turns: part (of 1000) says which, choice which bit
SYNC_ERROR: Final = "sync-error"  # the next sync of the log fails
SLOW_DISK: Final = "slow-disk"  # delay_us for every sync, for duration_us
DISK_FULL: Final = "disk-full"  # no file is created, for duration_us
READ_ONLY: Final = "read-only"  # nothing is written, for duration_us
HARM: Final = "harm"  # kill, and the disk is damaged: harm is one of damage.KINDS, part, choice
ROLL_BACK: Final = "roll-back"  # kill, and the disk is as it was at some earlier crash; part
WIPE: Final = "wipe"  # kill, and the disk is empty
MISDIRECT: Final = "misdirect"  # the next append goes over an earlier one, its sync succeeds; kill: 1 before another
KILL_IN_DISK: Final = "kill-in-disk"  # request: of IN_DISK, step: before which step of the next one
POWER_IN_DISK: Final = "power-in-disk"  # request, step, model
IN_DISK: Final = ("AppendLog", "CreateFile", "WriteFile", "DeleteFiles")

_WEIGHTS: Final = {
    KILL: 3,
    POWER: 3,
    POWER_ALL: 2,
    KILL_LEADER: 3,
    KILL_IN_OUTPUTS: 2,
    POWER_IN_OUTPUTS: 3,
    CRASH_LOOP: 1,
    PAUSE: 1,
    PAUSE_LEADER: 1,
    SUSPEND: 1,
    WALL_JUMP: 1,
    DRIFT: 1,
    COARSE_CLOCK: 1,
    CUT: 4,
    CUT_TO_NODE: 3,
    CUT_TO_CLIENT: 3,
    HALF_OPEN: 1,
    STALL_READER: 1,
    CLIENT_PARTITION: 1,
    PARTITION: 3,
    LEADER_MINORITY: 3,
    BRIDGE: 1,
    RING: 1,
    ONE_WAY: 2,
    DEAF: 1,
    MUTE: 1,
    CLOG: 2,
    SLOW_LINK: 1,
    NARROW_LINK: 1,
    FILTER: 2,
    FOREIGN_FRAME: 1,
    TRANSFER: 2,
    MEMBERS: 2,
    ROT: 1,
    SYNC_ERROR: 1,
    SLOW_DISK: 1,
    DISK_FULL: 1,
    READ_ONLY: 1,
    HARM: 2,
    ROLL_BACK: 1,
    WIPE: 1,
    MISDIRECT: 1,
    KILL_IN_DISK: 2,
    POWER_IN_DISK: 2,
}
CLASSES: Final = tuple(_WEIGHTS)
# Those that need somebody else.
_NODES_MIN: Final = {
    POWER_ALL: 2,
    KILL_LEADER: 2,
    PAUSE_LEADER: 2,
    CLIENT_PARTITION: 2,
    PARTITION: 2,
    LEADER_MINORITY: 2,
    BRIDGE: 3,
    RING: 4,
    ONE_WAY: 2,
    DEAF: 2,
    MUTE: 2,
    CLOG: 2,
    SLOW_LINK: 2,
    NARROW_LINK: 2,
    FILTER: 2,
    FOREIGN_FRAME: 2,
    TRANSFER: 2,
    MEMBERS: 3,
    HARM: 3,
    ROLL_BACK: 3,
    WIPE: 3,
    MISDIRECT: 3,
}
QUIET_AT_FIRST_US: Final = 500_000  # what never worked cannot break


def nodes_min(kind: str) -> int:
    """How many nodes a class needs to mean anything."""
    return _NODES_MIN.get(kind, 1)


@final
@dataclass(slots=True)
class NemesisOptions:
    """Drawn once per seed."""

    classes: list[str]
    gap_us_max: int = 2_000_000  # between two faults
    restart_us_max: int = 400_000
    recrash_share: int = 20  # of 100 crashes, how many strike again during recovery
    dwell_us_min: int = 200_000  # what lasts, lasts at least so long
    dwell_us_max: int = 5_000_000


def draw_nemesis(prng: Prng, node_count: int, dwell_us_max: int) -> NemesisOptions:
    """Each class is on with one chance in two."""
    chosen = [name for name in CLASSES if prng.stream(name).chance(1, 2)]
    return NemesisOptions(
        classes=[name for name in chosen if node_count >= nodes_min(name)],
        gap_us_max=prng.between(300_000, 4_000_000),
        restart_us_max=prng.between(10_000, 2_000_000),
        recrash_share=prng.below(50),
        dwell_us_min=prng.between(50_000, 500_000),
        dwell_us_max=prng.between(600_000, dwell_us_max),
    )


def draw_schedule(
    prng: Prng, options: NemesisOptions, node_count: int, client_count: int, duration_us: int
) -> list[FaultEvent]:
    """The faults of a run, ascending in time."""
    schedule: list[FaultEvent] = []
    if not options.classes:
        return schedule
    weights = [_WEIGHTS[name] for name in options.classes]
    at_us = QUIET_AT_FIRST_US
    while True:
        at_us += 1 + prng.below(options.gap_us_max)
        if at_us >= duration_us:
            return schedule
        kind = options.classes[prng.choice_index(weights)]
        # From a stream of its own: what one fault draws moves no other.
        own = prng.stream(f"fault {len(schedule)}")
        event = FaultEvent(at_us, kind)
        _DRAWS[kind](own, options, node_count, client_count, event)
        schedule.append(event)


def draw_fault(prng: Prng, options: NemesisOptions, kind: str, node_count: int, at_us: int) -> FaultEvent:
    """One fault of a class that does not concern a client."""
    event = FaultEvent(at_us, kind)
    _DRAWS[kind](prng, options, node_count, 1, event)
    return event


_Draw = Callable[[Prng, NemesisOptions, int, int, FaultEvent], None]


def _one(prng: Prng, node_count: int) -> tuple[int, ...]:
    return (1 + prng.below(node_count),)


def _two(prng: Prng, node_count: int) -> tuple[int, ...]:
    order = prng.permutation(node_count)
    return order[0] + 1, order[1] + 1


def _crash(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.duration_us = 1_000 + prng.below(options.restart_us_max)
    if event.kind != KILL_LEADER:
        event.nodes = _one(prng, node_count)
    event.args["again_us"] = 1 + prng.below(30_000) if prng.chance(options.recrash_share, 100) else 0
    if event.kind == POWER:
        event.args["model"] = prng.below(len(POWER_MODELS))


def _power_all(prng: Prng, options: NemesisOptions, _nodes: int, _: int, event: FaultEvent) -> None:
    event.duration_us = 1_000 + prng.below(options.restart_us_max)
    event.args["model"] = prng.below(len(POWER_MODELS))
    event.args["stagger_us"] = prng.below((1, 10_000, 1_000_000)[prng.below(3)])


def _in_outputs(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.duration_us = 1_000 + prng.below(options.restart_us_max)
    event.nodes = _one(prng, node_count)
    event.args["served"] = prng.below(4 + node_count)
    if event.kind == POWER_IN_OUTPUTS:
        event.args["model"] = prng.below(len(POWER_MODELS))


def _crash_loop(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.duration_us = 1_000 + prng.below(options.restart_us_max)
    event.nodes = _one(prng, node_count)
    event.args["count"] = prng.between(2, 6)
    event.args["gap_us"] = 1 + prng.below((2_000, 20_000, 200_000)[prng.below(3)])


def _pause(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.duration_us = prng.between(10_000, 3_000_000 if prng.chance(3, 4) else options.dwell_us_max)
    if event.kind != PAUSE_LEADER:
        event.nodes = _one(prng, node_count)


def _wall_jump(prng: Prng, _options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.nodes = _one(prng, node_count)
    size_ms = (1_000, 60_000, 3_600_000, 86_400_000)[prng.below(4)]
    event.args["by_ms"] = prng.between(-size_ms, size_ms)


def _drift(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    _for_a_while(prng, options, event)
    event.nodes = _one(prng, node_count)
    size = (500, 100_000)[prng.below(2)]
    event.args["ppm"] = prng.between(-size, size)


def _coarse_clock(prng: Prng, _options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.nodes = _one(prng, node_count)
    event.args["step_ms"] = (10, 16, 100)[prng.below(3)]


def _link(prng: Prng, options: NemesisOptions, _nodes: int, client_count: int, event: FaultEvent) -> None:
    event.args["client"] = prng.below(client_count)
    if event.kind in (CUT_TO_NODE, CUT_TO_CLIENT):
        event.args["bytes"] = prng.below((8, 64, 512)[prng.below(3)])
    if event.kind == STALL_READER:
        event.duration_us = prng.between(10_000, 2_000_000)


def _on_one(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    _for_a_while(prng, options, event)
    event.nodes = _one(prng, node_count)
    if event.kind == SLOW_DISK:
        event.args["delay_us"] = prng.between(10_000, (50_000, 300_000, 3_000_000)[prng.below(3)])


def _partition(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    _for_a_while(prng, options, event)
    side = 1 if prng.chance(1, 2) else prng.between(1, max(1, node_count // 2))
    event.nodes = tuple(sorted(number + 1 for number in prng.permutation(node_count)[:side]))


def _leader_minority(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    _for_a_while(prng, options, event)
    event.args["count"] = prng.below((node_count + 1) // 2)


def _order(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    _for_a_while(prng, options, event)
    event.nodes = tuple(number + 1 for number in prng.permutation(node_count))


def _directed(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    _for_a_while(prng, options, event)
    event.nodes = _two(prng, node_count)
    if event.kind == CLOG:
        event.args["is_reversing"] = prng.below(2)
    elif event.kind == SLOW_LINK:
        event.args["delay_us"] = prng.between(1_000, (20_000, 500_000)[prng.below(2)])
    elif event.kind == NARROW_LINK:
        event.args["bytes_per_ms"] = prng.between(1, 200)
        event.args["queue_bytes"] = prng.between(200, 20_000)


def _foreign_frame(prng: Prng, _options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.nodes = _two(prng, node_count)
    event.args["choice"] = prng.below(1 << 32)


def _filter(prng: Prng, options: NemesisOptions, _nodes: int, _: int, event: FaultEvent) -> None:
    _for_a_while(prng, options, event)
    event.args["what"] = prng.below(len(KINDS))


def _members(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    _for_a_while(prng, options, event)
    event.nodes = tuple(sorted(number + 1 for number in prng.permutation(node_count)[: node_count - 1]))


def _rot(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.duration_us = 1_000 + prng.below(options.restart_us_max)
    event.nodes = _one(prng, node_count)
    event.args["part"] = prng.below(1000)
    event.args["choice"] = prng.below(1 << 20)


def _harm(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.duration_us = 1_000 + prng.below(options.restart_us_max)
    event.nodes = _one(prng, node_count)
    if event.kind == HARM:
        event.args["harm"] = prng.choice_index([4, 2, 1, 1])
        event.args["part"] = prng.below(1000)
        event.args["choice"] = prng.below(1 << 20)
    elif event.kind == ROLL_BACK:
        event.args["part"] = prng.below(1000)


def _in_disk(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.duration_us = 1_000 + prng.below(options.restart_us_max)
    event.nodes = _one(prng, node_count)
    request = prng.choice_index([3, 2, 2, 2])
    event.args["request"] = request
    event.args["step"] = prng.below((2, 4, 4, 2)[request])
    if event.kind == POWER_IN_DISK:
        event.args["model"] = prng.below(len(POWER_MODELS))


def _sync_error(prng: Prng, _options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.nodes = _one(prng, node_count)


def _misdirect(prng: Prng, options: NemesisOptions, node_count: int, _: int, event: FaultEvent) -> None:
    event.nodes = _one(prng, node_count)
    event.args["kill"] = prng.below(2)
    event.duration_us = 1_000 + prng.below(options.restart_us_max)


def _for_a_while(prng: Prng, options: NemesisOptions, event: FaultEvent) -> None:
    event.duration_us = prng.between(options.dwell_us_min, options.dwell_us_max)


_DRAWS: Final[dict[str, _Draw]] = {
    KILL: _crash,
    POWER: _crash,
    POWER_ALL: _power_all,
    KILL_LEADER: _crash,
    KILL_IN_OUTPUTS: _in_outputs,
    POWER_IN_OUTPUTS: _in_outputs,
    CRASH_LOOP: _crash_loop,
    PAUSE: _pause,
    PAUSE_LEADER: _pause,
    SUSPEND: _pause,
    WALL_JUMP: _wall_jump,
    DRIFT: _drift,
    COARSE_CLOCK: _coarse_clock,
    CUT: _link,
    CUT_TO_NODE: _link,
    CUT_TO_CLIENT: _link,
    HALF_OPEN: _link,
    STALL_READER: _link,
    CLIENT_PARTITION: _on_one,
    PARTITION: _partition,
    LEADER_MINORITY: _leader_minority,
    BRIDGE: _order,
    RING: _order,
    ONE_WAY: _directed,
    DEAF: _on_one,
    MUTE: _on_one,
    CLOG: _directed,
    SLOW_LINK: _directed,
    NARROW_LINK: _directed,
    FILTER: _filter,
    FOREIGN_FRAME: _foreign_frame,
    TRANSFER: _sync_error,
    MEMBERS: _members,
    ROT: _rot,
    SYNC_ERROR: _sync_error,
    SLOW_DISK: _on_one,
    DISK_FULL: _on_one,
    READ_ONLY: _on_one,
    HARM: _harm,
    ROLL_BACK: _harm,
    WIPE: _harm,
    MISDIRECT: _misdirect,
    KILL_IN_DISK: _in_disk,
    POWER_IN_DISK: _in_disk,
}
assert tuple(_DRAWS) == CLASSES
