"""What goes wrong in a lite run, and when: a schedule drawn before the run, or given, and one executor for both.

A fault that means "the leader" says so and is resolved when it begins, so that a schedule keeps its meaning when other
faults are taken out of it. Damage is bounded by a budget, so that the laws stay strict: of each entry at most as many
copies are damaged as voters may fail, and at most so many voters are unsound at once. Source: FAULTS §2.1.
"""

from typing import TYPE_CHECKING, Final, final

from quantum.core.prng import Prng
from quantum.core.raft.membership import Membership
from quantum.core.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from quantum.sim import raft_options as fault
from quantum.sim.raft_budget import DamageBudget
from quantum.sim.raft_driver import RESTART_US, MessageOnTheWay, cut_snapshot, turn
from quantum.sim.raft_due import FAULT, FAULT_END, MESSAGE, OPERATOR, START
from quantum.sim.raft_options import RaftOptions
from quantum.sim.raft_replica import NEVER, Replica
from quantum.sim.scenario import FaultEvent

if TYPE_CHECKING:
    from quantum.sim.raft_world import RaftWorld

NODES_AT_MOST: Final = 9  # that ever exist in one run
OPERATOR_US: Final = 400_000  # an operator tries again this often
FILTERS: Final = (
    (AppendEntriesReply,),
    (RequestVoteReply, RequestPreVoteReply),
    (Heartbeat, HeartbeatReply),
    (AppendEntries,),
    (HeartbeatReply,),
    (RequestVote,),
    (RequestPreVote,),
)
WEIGHTS: Final = {
    fault.PARTITION: 6,
    fault.ONE_WAY: 4,
    fault.CLOG: 3,
    fault.LIFO: 2,
    fault.FILTER: 3,
    fault.KILL: 6,
    fault.DOOM: 6,
    fault.POWER: 6,
    fault.PAUSE: 4,
    fault.DRIFT: 2,
    fault.SLOW_DISK: 3,
    fault.ROT: 6,
    fault.WIPE: 2,
    fault.REPLACE: 1,
    fault.MEMBERS: 10,
    fault.TRANSFER: 3,
    fault.COMPACT: 2,
}
INSTANT: Final = (fault.ROT, fault.MEMBERS, fault.TRANSFER, fault.COMPACT, fault.DOOM, fault.REPLACE)
TO_ALL: Final = 1  # of 8 power losses hits every machine at once


def draw_faults(prng: Prng, options: RaftOptions) -> list[FaultEvent]:
    """The schedule of a seed."""
    kinds = [name for name in fault.EVENT_CLASSES if name in options.classes]
    # Switched-off classes draw nothing: a seed with a class off is another schedule, a frozen one is what it was.
    faults: list[FaultEvent] = []
    if not kinds:
        return faults
    gap_us = (150_000, 500_000, 1_500_000)[prng.below(3)]
    at_us = options.warm_up_ms * 1000
    while True:
        at_us += prng.between(gap_us // 8, 2 * gap_us)
        if at_us >= options.duration_ms * 1000:
            return faults
        kind = kinds[prng.choice_index([WEIGHTS[name] for name in kinds])]
        duration_us = (20_000, 300_000, 2_000_000, 6_000_000)[prng.choice_index([2, 4, 4, 1])]
        duration_us = 0 if kind in INSTANT else prng.between(duration_us // 10, duration_us)
        order = prng.permutation(options.node_count)
        nodes = tuple([each + 1 for each in order])
        args = {"pick": prng.u64() >> 1}
        if prng.chance(1, 3):
            args["leader"] = 1
        if prng.chance(1, 2) and kind in (fault.KILL, fault.POWER):
            args["armed"] = 1
        faults.append(FaultEvent(at_us, kind, duration_us, nodes, args))


@final
class RaftNemesis:
    """Carries a schedule out."""

    __slots__ = ("_active", "_budget", "_doom", "_pick", "_waiting", "_wanted", "_world", "faults")

    def __init__(self, world: "RaftWorld", faults: list[FaultEvent]) -> None:
        self._world = world
        self._budget = DamageBudget(world)
        self.faults = faults
        self._active: dict[int, list[tuple[int, int]]] = {}  # what a fault holds: pairs of nodes, or (node, 0)
        self._wanted: Membership | None = None  # what an operator is after
        self._waiting: dict[int, int] = {}  # armed faults, and the nodes they wait for
        self._pick = 0
        self._doom = 0  # effects that a leader still has when it was asked for a change, 0 for all
        for number, event in enumerate(faults):
            world.scheduler.push(event.at_us, FAULT, number)

    # -- begin and end ------------------------------------------------------------------------------------------------

    def on_due(self, number: int) -> None:
        """A fault begins."""
        event = self.faults[number]
        world = self._world
        if event.kind in world.scenario.off or world.now_us > world.options.duration_ms * 1000:
            return
        self._pick = event.args.get("pick", 0)
        nodes = self._nodes(event)
        if number in self._waiting:
            nodes = [self._waiting.pop(number)]
        elif nodes and event.args.get("armed", 0) and world.replicas[nodes[0]].disk.flight is None:
            # It strikes when this node writes something next: what is not synced is what can be lost. F41
            self._waiting[number] = nodes[0]
            world.armed[nodes[0]] = number
            return
        if not nodes:
            return
        if world.story is not None:
            named = ", ".join([str(node) for node in nodes])
            world.story.on_fault(world.now_us, f"{event.kind}: nodes {named}", ends=False)
        held = self._begin(event, nodes)
        if held:
            world.marks.sometimes(f"lite.fault.{event.kind}")
            if event.kind not in INSTANT:
                self._active[number] = held
                world.scheduler.push(world.now_us + max(1, event.duration_us), FAULT_END, number)

    def on_end(self, number: int) -> None:
        """A fault that lasts is over."""
        held = self._active.pop(number, None)
        if held is None:
            return
        world = self._world
        event = self.faults[number]
        if world.story is not None:
            world.story.on_fault(world.now_us, f"{event.kind} ends", ends=True)
        self._end(event.kind, event.args.get("pick", 0), held)

    def end_all(self) -> None:
        """Every fault is over, and no more begins."""
        for number in sorted(self._active):
            self.on_end(number)

    def _nodes(self, event: FaultEvent) -> list[int]:
        """Who it hits, first of all the leader where that is meant. Nodes that are not there suffer nothing."""
        nodes = [node for node in event.nodes if node in self._world.replicas]
        if event.args.get("leader", 0):
            leader = self._world.leader()
            if leader is not None:
                nodes = [leader.node] + [node for node in nodes if node != leader.node]
        return nodes

    def _draw(self, bound: int) -> int:
        """The next number that a fault brought with it."""
        self._pick, drawn = divmod(self._pick, bound)
        return drawn

    def _begin(self, event: FaultEvent, nodes: list[int]) -> list[tuple[int, int]]:
        kind = event.kind
        first = self._world.replicas[nodes[0]]
        if kind in (fault.PARTITION, fault.ONE_WAY, fault.CLOG, fault.LIFO, fault.FILTER):
            return self._begin_network(event, nodes)
        if kind in (fault.KILL, fault.POWER, fault.WIPE):
            return self._begin_outage(kind, nodes)
        if kind == fault.PAUSE:
            first.pause_count += 1
            if self._draw(2):
                first.clock.freeze(self._world.now_us, event.duration_us)
            return [(first.node, 0)]
        if kind == fault.DRIFT:
            ppm = (500, 100_000, -500, -100_000)[self._draw(4)]
            self._drift(first, ppm)
            return [(first.node, 0)]
        if kind == fault.SLOW_DISK:
            first.slow_us += (10_000, 200_000, 3_000_000)[self._draw(3)]
            return [(first.node, 0)]
        return self._strike(kind, first, nodes)

    def _strike(self, kind: str, first: Replica, nodes: list[int]) -> list[tuple[int, int]]:
        """Faults of an instant."""
        world = self._world
        done = True
        if kind == fault.DOOM:
            first.doom = 1 + self._draw(6) if first.raft is not None else 0
            done = first.doom > 0
        elif kind == fault.ROT:
            done = self._rot(first)
            if done and self._draw(2):
                # Damage is found when a log is read, and that is at a start.
                world.kill(first, is_written=True)
                world.scheduler.push(world.now_us + RESTART_US, START, first.node)
        elif kind == fault.TRANSFER:
            done = self._transfer(nodes)
        elif kind == fault.COMPACT:
            if first.raft is not None and not first.pause_count:
                cut_snapshot(world, first, first.raft)
        elif kind == fault.MEMBERS:
            done = self._change_members()
        elif kind == fault.REPLACE:
            done = self._replace(first)
        return [(first.node, 0)] if done else []

    def _end(self, kind: str, pick: int, held: list[tuple[int, int]]) -> None:
        world = self._world
        network = world.network
        for node, other in held:
            replica = world.replicas.get(node)
            if kind in (fault.PARTITION, fault.ONE_WAY):
                network.heal(node, other)
            elif kind == fault.CLOG:
                for incarnation, message in network.unclog(node, other):
                    way = MessageOnTheWay(node, incarnation, message, 0)
                    world.scheduler.push(world.now_us + 1 + pick % 1000, MESSAGE, other, way)
            elif kind == fault.FILTER:
                for each in FILTERS[other]:
                    network.unfilter(each)
            elif replica is not None:
                self._relieve(kind, pick, replica)

    def _relieve(self, kind: str, pick: int, replica: Replica) -> None:
        world = self._world
        if kind in (fault.KILL, fault.POWER, fault.WIPE):
            replica.down_count -= 1
            world.start(replica)
        elif kind == fault.PAUSE:
            replica.pause_count -= 1
            replica.clock.drift(world.now_us, 0)  # It runs again, if it stood still.
            if not replica.pause_count:
                world.resume(replica)
        elif kind == fault.DRIFT:
            self._drift(replica, 0)
        elif kind == fault.SLOW_DISK:
            replica.slow_us = max(0, replica.slow_us - (10_000, 200_000, 3_000_000)[pick % 3])

    def _drift(self, replica: Replica, ppm: int) -> None:
        replica.clock.drift(self._world.now_us, ppm)
        replica.timer_us = replica.timer_ms = NEVER  # It was set by the other pace.
        if replica.raft is not None and not replica.pause_count:
            turn(self._world, replica)

    # -- network ------------------------------------------------------------------------------------------------------

    def _begin_network(self, event: FaultEvent, nodes: list[int]) -> list[tuple[int, int]]:
        network = self._world.network
        if event.kind == fault.FILTER:
            kind = self._draw(len(FILTERS))
            for each in FILTERS[kind]:
                network.filter(each)
            return [(0, kind)]
        everybody = list(self._world.replicas)
        if event.kind == fault.LIFO:
            until_us = self._world.now_us + min(event.duration_us, 500_000)
            for sender in everybody:
                network.link(sender, nodes[0]).lifo_us = until_us
            return [(nodes[0], 0)]
        pairs = self._pairs(event.kind, nodes, everybody)
        for sender, to in pairs:
            if event.kind == fault.CLOG:
                network.clog(sender, to)
            else:
                network.cut(sender, to)
        return pairs

    def _pairs(self, kind: str, nodes: list[int], everybody: list[int]) -> list[tuple[int, int]]:
        """The links that a cut takes: F5 to F7."""
        first = nodes[0]
        others = [node for node in everybody if node != first]
        if kind == fault.ONE_WAY:
            if self._draw(2):
                return [(first, other) for other in others]
            return [(other, first) for other in others]
        if kind == fault.CLOG:
            return [(first, other) for other in others[: 1 + self._draw(len(others))]] if others else []
        shape = self._draw(4)
        if shape == 0:
            return both_ways([(first, other) for other in others])
        if shape == 1:
            # The first is with a minority or with a majority, as it comes.
            count = 1 + self._draw(max(1, len(nodes) - 1))
            side, rest = nodes[:count], [node for node in everybody if node not in nodes[:count]]
            return both_ways([(one, other) for one in side for other in rest])
        if shape == 2:
            # A bridge: two halves that share the first.
            half = len(others) // 2
            return both_ways([(one, other) for one in others[:half] for other in others[half:]])
        # A ring: everybody hears two neighbours.
        count = len(nodes)
        pairs = [
            (nodes[at], nodes[other])
            for at in range(count)
            for other in range(at + 1, count)
            if other - at not in (1, count - 1)
        ]
        return both_ways(pairs or [(nodes[0], nodes[-1])])

    # -- machines and disks -------------------------------------------------------------------------------------------

    def _begin_outage(self, kind: str, nodes: list[int]) -> list[tuple[int, int]]:
        world = self._world
        hit = nodes[:1]
        if kind == fault.POWER and self._draw(8) < TO_ALL:
            hit = list(world.replicas)
        held: list[tuple[int, int]] = []
        for node in hit:
            replica = world.replicas[node]
            if kind == fault.KILL:
                world.kill(replica, is_written=self._draw(2) == 1)
            elif kind == fault.POWER:
                fate = self._draw(3)
                is_garbage = fate == 1 and self._budget.may_be_unsound(replica)  # Nobody can tell it from rot.
                world.lose_power(replica, survives=fate == 0, is_garbage=is_garbage)
            elif node in world.initial.voters and self._budget.may_be_unsound(replica):
                # A number that joined later promised never to come back without its disk.
                world.kill(replica, is_written=False)
                replica.applied_floor = max(replica.applied_floor, replica.disk.held.last)
                replica.disk.wipe()
                world.oracles.ballots.on_wiped(node)
            else:
                continue
            replica.down_count += 1
            held.append((node, 0))
        return held

    def _rot(self, replica: Replica) -> bool:
        """Damage a batch, or the snapshot, as far as the budget goes."""
        disk = replica.disk
        if self._draw(3) == 0:
            if disk.snapshot is None or not self._budget.may_be_unsound(replica):
                return False
            disk.snapshot.is_damaged = True
            self._world.marks.sometimes("lite.rot.snapshot")
            return True
        if not disk.batches:
            return False
        count = len(disk.batches)
        at = count - 1 - self._draw(min(count, 4)) if self._draw(2) else self._draw(count)
        batch = disk.batches[at]
        if batch.is_damaged:
            return False
        batch.is_damaged = True
        if not self._budget.may_be_unsound(replica) and not self._budget.is_repairable(at, replica):
            batch.is_damaged = False
            return False
        self._world.marks.sometimes("lite.rot.batch")
        return True

    # -- operators ----------------------------------------------------------------------------------------------------

    def _transfer(self, nodes: list[int]) -> bool:
        leader = self._world.leader()
        if leader is None or leader.raft is None or leader.pause_count:
            return False
        others = [node for node in nodes if node != leader.node]
        if not others:
            return False
        result = leader.raft.transfer_leadership(others[0])
        turn(self._world, leader)
        return result == 0

    def _change_members(self) -> bool:
        """An operator wants other members: one more, one less, or a learner; now and then several at once."""
        world = self._world
        leader = world.leader()
        if leader is None or leader.raft is None or self._wanted is not None:
            return False
        current = leader.raft.membership
        if current.is_joint():
            return False
        voters, learners = list(current.voters), list(current.learners)
        for _ in range(1 + self._draw(4)):
            self._change(voters, learners)
        if not 2 <= len(voters) <= 7:
            return False
        self._want(Membership(tuple(sorted(voters)), (), tuple(sorted(learners))))
        self._doom = self._draw(24)
        return True

    def _change(self, voters: list[int], learners: list[int]) -> None:
        world = self._world
        what = self._draw(4)
        if what == 0 and len(voters) > 2:
            voters.remove(voters[self._draw(len(voters))])
        elif what == 1 and learners:
            voters.append(learners.pop(self._draw(len(learners))))
        elif what == 2 and len(voters) > 3:
            learners.append(voters.pop(self._draw(len(voters))))
        else:
            spare = [
                node for node in world.replicas if node not in voters + learners and not world.replicas[node].is_dead
            ]
            if not spare and len(world.replicas) < NODES_AT_MOST:
                spare = [self._add_node().node]
            if spare:
                (voters if self._draw(2) else learners).append(spare[0])

    def _add_node(self) -> Replica:
        world = self._world
        replica = world.add(max(world.replicas) + 1)
        world.start(replica)
        return replica

    def _replace(self, replica: Replica) -> bool:
        """A machine is gone for ever; another one takes its place under a number of its own."""
        world = self._world
        leader = world.leader()
        if leader is None or leader.raft is None or self._wanted is not None or len(world.replicas) >= NODES_AT_MOST:
            return False
        current = leader.raft.membership
        if current.is_joint() or replica.node not in current.voters or not self._budget.may_be_unsound(replica):
            return False
        world.kill(replica, is_written=False)
        replica.is_dead = True
        voters = [node for node in current.voters if node != replica.node] + [self._add_node().node]
        self._want(Membership(tuple(sorted(voters)), (), current.learners))
        return True

    def _want(self, wanted: Membership) -> None:
        self._wanted = wanted
        self._world.scheduler.push(self._world.now_us, OPERATOR, 0)

    def on_operator(self) -> None:
        """Ask whoever leads, until it is so."""
        world = self._world
        wanted = self._wanted
        if wanted is None:
            return
        leader = world.leader()
        if leader is not None and leader.raft is not None and not leader.pause_count:
            raft = leader.raft
            if raft.membership == wanted and raft.may_change_membership():
                self._wanted = None
                world.marks.sometimes("lite.members.changed")
                return
            result = raft.propose_membership(wanted)
            if result > 0 and 0 < self._doom < 8 and fault.DOOM in world.options.classes:
                leader.doom = self._doom  # Let it die in the middle of the change.
            self._doom = 0
            turn(world, leader)
        world.scheduler.push(world.now_us + OPERATOR_US, OPERATOR, 0)

    def give_up(self) -> None:
        """Operators stop asking."""
        self._wanted = None

    @property
    def is_at_rest(self) -> bool:
        """No operator is after anything."""
        return self._wanted is None


def both_ways(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Each link and the one back."""
    return pairs + [(to, sender) for sender, to in pairs]
