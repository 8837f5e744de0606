"""The second phase of a lite run: faults end, and the group must come back, in three forms.

*Full heal*: everything works again, and clients go on. *Quiet heal*: the same without any client, because a new entry
would unstick what is stuck. *Core*: only a quorum works again, everybody else stays broken for ever, each in a way of
its own. Bounds are in simulated time; slow links and disks only have to get on, not to be fast. Source: FAULTS §2.5.
"""

from typing import TYPE_CHECKING, Final

from quantum.core.prng import Prng
from quantum.sim.raft_laws import broken
from quantum.sim.raft_nemesis import RaftNemesis
from quantum.sim.raft_network import LinkOptions
from quantum.sim.raft_operations import READ, WRITE, Operation
from quantum.sim.raft_options import CORE_HEAL, FULL_HEAL, QUIET_HEAL
from quantum.sim.raft_replica import Replica

if TYPE_CHECKING:
    from quantum.sim.raft_world import RaftWorld

STEP_US: Final = 250_000
STUCK_TIMEOUTS: Final = 20  # longest election timeouts without any progress
WRITES: Final = 3
STABLE_TIMEOUTS: Final = 10
STABLE_OF: Final = 8  # one seed of these is watched for quiet afterwards
LAWS: Final = {FULL_HEAL: "L3", QUIET_HEAL: "L6", CORE_HEAL: "L5"}


class BeyondBudget(Exception):
    """The faults took more than can be got back."""


def come_back(world: "RaftWorld", nemesis: RaftNemesis, prng: Prng) -> None:
    """Heal, and see that the group is one again and serves. Raises: LawBroken."""
    heal = world.options.heal
    core = _core(world, prng) if heal == CORE_HEAL else []
    if heal == CORE_HEAL and not core:
        heal = FULL_HEAL  # No quorum is sound: nobody could come back without the others.
    nemesis.end_all()
    world.network.heal_all()
    world.network.options = LinkOptions(
        delay_us_min=world.options.link.delay_us_min, delay_us_mean=world.options.link.delay_us_mean
    )
    if heal == CORE_HEAL:
        nemesis.give_up()
        _break_others(world, core, prng)
    else:
        core = [node for node, replica in world.replicas.items() if not replica.is_dead]
    world.has_clients = heal != QUIET_HEAL
    for node in core:
        replica = world.replicas[node]
        replica.doom = 0
        world.start(replica)
    world.marks.sometimes(("lite.heal.full", "lite.heal.quiet", "lite.heal.core")[heal])
    if heal != QUIET_HEAL and world.options.client_count > len(world.scenario.clients_off):
        world.run_until(world.now_us + 4 * STEP_US)
    world.has_clients = False
    _converge(world, nemesis, core, LAWS[heal])
    _serve(world, core, prng)
    _converge(world, nemesis, core, LAWS[heal])
    world.operations.check_kept(world.oracles.committed)
    if world.scenario.seed % STABLE_OF == 0:
        _stay(world, core)


def _core(world: "RaftWorld", prng: Prng) -> list[int]:
    """A quorum of sound voters, where all agree who votes; nobody otherwise."""
    memberships = [replica.disk.held.memberships[-1][1] for replica in world.replicas.values() if not replica.is_dead]
    latest = max(memberships, key=lambda membership: (memberships.count(membership), membership.voters))
    for replica in world.replicas.values():
        known = {replica.disk.held.memberships[-1][1].voters: True}
        if replica.raft is not None:
            known[replica.raft.membership.voters] = True
        if latest.is_joint() or (replica.node in latest.voters and list(known) != [latest.voters]):
            return []
    sound = [node for node in latest.voters if world.replicas[node].is_sound()]
    needed = len(latest.voters) // 2 + 1
    order = prng.permutation(len(sound))
    return sorted([sound[at] for at in order[:needed]]) if len(sound) >= needed else []


def _break_others(world: "RaftWorld", core: list[int], prng: Prng) -> None:
    for node, replica in world.replicas.items():
        if node in core or replica.is_dead:
            continue
        how = prng.below(5)
        if how == 0:
            world.kill(replica, is_written=True)
            replica.is_dead = True
        elif how == 1:
            replica.pause_count += 1
        elif how == 2:
            replica.slow_us += 2_000_000
            world.start(replica)
        else:
            world.start(replica)
            for other in core:
                if how == 3:
                    world.network.cut(node, other)
                else:
                    world.network.cut(other, node)


def _timeout_us(world: "RaftWorld") -> int:
    return 2 * world.options.raft.election_timeout_ms * 1000


def _converge(world: "RaftWorld", nemesis: RaftNemesis, core: list[int], law: str) -> None:
    """All of the core agree on everything; on the way there, something gets on all the time."""
    replicas = [world.replicas[node] for node in core]
    best = -1
    since_us = world.now_us
    while True:
        missing = _missing(world, nemesis, replicas)
        if not missing:
            return
        progress = sum([_progress(replica) for replica in replicas])
        if progress > best:
            best = progress
            since_us = world.now_us
        elif world.now_us - since_us > STUCK_TIMEOUTS * _timeout_us(world):
            if _is_beyond_budget(world, replicas):
                raise BeyondBudget
            broken(
                law,
                f"nodes {core} are whole and hear each other since {since_us // 1000} ms at least",
                f"at {world.now_us // 1000} ms {missing}",
            )
        world.run_until(world.now_us + STEP_US)


def _is_beyond_budget(world: "RaftWorld", replicas: list[Replica]) -> bool:
    """Too few are sound to go on without the others, and what was lost nobody can prove: the end of some log is gone
    everywhere, or an entry is in nobody's log any more, but in a snapshot, or was never sent. A group that halts then does
    right. Source: FAULTS W13"""
    leader = world.leader()
    members = replicas if leader is None or leader.raft is None else []
    sound = [replica for replica in members if replica.is_sound()]
    if not members or len(sound) > len(members) // 2:
        return False
    rafts = [replica.raft for replica in members if replica.raft is not None]
    best = max([(raft.log.last_term, raft.log.last_index) for raft in rafts], default=(0, 0))
    for raft in rafts:
        log = raft.log
        if not raft.doubt.is_settled and raft.doubt.floor > best:
            return True  # A peer told of this end of a log, then lost it: whether it was committed, nobody can tell.
        for index in range(log.first_index, log.last_index):
            if log.is_lost(index) and not any(
                other.applied_index >= index
                or (other.log.term_at(index) > 0 and other.log.term_at(index + 1) == log.term_at(index + 1))
                for other in rafts
                if other is not raft
            ):
                return True
    return False


def _progress(replica: Replica) -> int:
    raft = replica.raft
    if raft is None:
        return 0
    return raft.applied_index + raft.durable_index + raft.repair.filled_count + raft.doubt.is_settled


def _missing(world: "RaftWorld", nemesis: RaftNemesis, replicas: list[Replica]) -> str:
    """What keeps the group from being one, "" for nothing."""
    leader = world.leader()
    if leader is None or leader.raft is None:
        return "nobody leads"
    office = leader.raft
    if leader not in replicas and not leader.slow_us:
        return f"node {leader.node} leads from outside"
    if not office.is_committed_in_own_term() or office.commit_index != office.last_index:
        return f"leader {leader.node} has committed {office.commit_index} of {office.last_index}"
    membership = office.membership
    if membership.is_joint() or not nemesis.is_at_rest:
        return "a membership change is under way"
    members = membership.members()
    for replica in replicas:
        raft = replica.raft
        if replica.node not in members:
            continue
        if raft is None or raft.current_term != office.current_term or raft.leader != leader.node:
            return f"node {replica.node} does not follow leader {leader.node}"
        if raft.applied_index != office.commit_index or replica.machine.chain != leader.machine.chain:
            return f"node {replica.node} has applied {raft.applied_index} of {office.commit_index}"
        if raft.log.lost or raft.snapshot_index_min or not raft.doubt.is_settled:
            return f"node {replica.node} still misses or doubts something"
    return ""


def _serve(world: "RaftWorld", core: list[int], prng: Prng) -> None:
    """New writes, and a read of every core member, are answered, one after the other."""
    client = world.options.client_count
    number = 0
    for what in [0] * WRITES + core:
        until_us = world.now_us + STUCK_TIMEOUTS * _timeout_us(world)
        asked: list[Operation] = []
        asked_us = 0
        while not any(operation.place for operation in asked):
            leader = world.leader()
            members = [] if leader is None or leader.raft is None else leader.raft.membership.members()
            if what and what not in members:
                break
            if leader is not None and (not asked or world.now_us - asked_us > 4 * _timeout_us(world)):
                # A refused one, or one that was lost with its leader, is asked again as another one.
                operation = Operation(client, number, prng, world.options)
                operation.kind = READ if what else WRITE
                number += 1
                asked_us = world.now_us
                asked.append(operation)
                world.ask_node(operation, world.replicas[what] if what else leader)
            if world.now_us > until_us:
                kind = "read" if what else "write"
                broken(
                    "L2", "the group was one, and new operations were asked of it", f"no {kind} was answered in time"
                )
            world.run_until(world.now_us + STEP_US // 5)


def _stay(world: "RaftWorld", core: list[int]) -> None:
    """R18: nobody asks for a new term while all is well."""
    leader = world.leader()
    assert leader is not None
    assert leader.raft is not None
    term = leader.raft.current_term
    world.run_until(world.now_us + STABLE_TIMEOUTS * _timeout_us(world))
    for node in core:
        raft = world.replicas[node].raft
        if raft is not None and raft.current_term > term:
            broken("R18", f"the group was one in term {term}", f"node {node} went to term {raft.current_term}")
