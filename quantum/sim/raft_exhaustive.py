"""Every order of events in a very small group: three replicas, a few timeouts, proposals, crashes, and all that follows.

Where runs of many seeds meet rare orders by chance, this meets all of them, as far as its budget goes: which message
arrives next, which disk is done next, who loses its process in between. States that were seen are not looked at again.
Most bugs of real systems needed few events (FAULTS §3.2). Pre-votes are answered at once: they promise nothing.
"""

import pickle
from dataclasses import dataclass
from typing import Final, final

from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.core.raft.membership import Membership
from quantum.core.raft.messages import Message, RequestPreVote, RequestPreVoteReply
from quantum.core.raft.raft import Raft
from quantum.core.raft.records import HardStateRecord
from quantum.core.raft.role import LEADER
from quantum.core.raft.wire import encode_message
from quantum.sim.marks import Marks
from quantum.sim.raft_disk import RaftDisk
from quantum.sim.raft_laws import LawBroken
from quantum.sim.raft_machine import Machine, encode_command
from quantum.sim.raft_operations import Operations
from quantum.sim.raft_oracles import RaftOracles
from quantum.sim.raft_watch import Watch

NODES: Final = (1, 2, 3)
CONFIG: Final = RaftConfig(append_entries_max=2, inflight_appends_max=2)
DELIVER: Final = "deliver"
SYNC: Final = "sync"
TIMEOUT: Final = "timeout"
PROPOSE: Final = "propose"
CRASH: Final = "crash"
LOSE: Final = "lose"  # a message arrives, and the process ends before what follows from it is synced


@final
@dataclass(slots=True)
class Budget:
    """How often each thing may happen on one path."""

    timeouts: int
    proposals: int
    crashes: int
    in_flight: int = 4  # messages; what is sent beyond that is lost
    is_prompt: bool = False  # disks are done at once, but for a crash: fewer orders, so that longer paths fit


@final
@dataclass(slots=True)
class Found:
    """What a search came to."""

    state_count: int
    step_count: int
    is_complete: bool  # nothing within the budget is left
    law: str = ""
    facts: tuple[str, str] = ("", "")
    path: tuple[str, ...] = ()


@final
class SmallWorld:
    """Three replicas, their disks, and the messages under way. Copied whole for every step."""

    __slots__ = ("budget", "disks", "lives", "machines", "messages", "oracles", "rafts", "serial", "watches")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        membership = Membership(NODES)
        self.disks = {node: RaftDisk(node, membership) for node in NODES}
        self.oracles = RaftOracles(CONFIG, self.disks, Operations(), Marks())
        self.messages: list[tuple[int, int, Message]] = []  # (sender, to, message)
        self.rafts: dict[int, Raft] = {}
        self.watches: dict[int, Watch] = {}
        self.machines: dict[int, Machine] = {}
        self.lives = 0
        self.serial = 0
        for node in NODES:
            # They have been up before: nobody doubts anything.
            self.disks[node].append([HardStateRecord(0, 0)], 1)
            self._finish(node)
            self._begin(node)

    def _finish(self, node: int) -> int:
        disk = self.disks[node]
        sequence = 0
        while disk.begin_batch():
            sequence = disk.end_batch()
            self.oracles.ballots.on_synced(node, disk)
        return sequence

    def _begin(self, node: int) -> None:
        self.lives += 1
        recovered = self.disks[node].recover()
        raft = Raft(node, CONFIG, Prng(self.lives), recovered, 0)
        self.rafts[node] = raft
        self.machines[node] = Machine()
        self.watches[node] = Watch(node, self.lives, raft, self.disks[node], recovered)
        self.oracles.on_start(self.watches[node], recovered)
        self._turn(node)

    # -- steps --------------------------------------------------------------------------------------------------------

    def steps(self) -> list[tuple[str, int]]:
        """What may happen next: (kind, which message or node)."""
        found: list[tuple[str, int]] = []
        seen: dict[tuple[int, int, bytes], bool] = {}
        for at, (sender, to, message) in enumerate(self.messages):
            key = (sender, to, encode_message(message))
            if key not in seen:
                seen[key] = True
                found.append((DELIVER, at))
                if self.budget.is_prompt and self.budget.crashes:
                    found.append((LOSE, at))
        for node in NODES:
            if self.disks[node].is_busy:
                found.append((SYNC, node))
            if self.budget.crashes:
                found.append((CRASH, node))
            is_leader = self.rafts[node].role == LEADER
            if self.budget.proposals and is_leader:
                found.append((PROPOSE, node))
            if self.budget.timeouts and not is_leader:
                found.append((TIMEOUT, node))
        return found

    def step(self, kind: str, number: int) -> str:
        """Let it happen; returns it in words. Raises: LawBroken."""
        text = f"{kind} {number}"
        if kind in (DELIVER, LOSE):
            sender, number, message = self.messages.pop(number)
            text = f"{kind} {type(message).__name__} from {sender} to {number}"
            self.rafts[number].on_message(sender, message)
            if kind == LOSE:
                self._turn(number)
                self._crash(number)
        elif kind == SYNC:
            self.rafts[number].on_persisted(self._finish(number))
        elif kind == PROPOSE:
            self.budget.proposals -= 1
            self.serial += 1
            self.rafts[number].propose(encode_command(self.serial, 0, 0))
        elif kind == TIMEOUT:
            self.budget.timeouts -= 1
            self._time_out(number)
        else:
            self._crash(number)
        self._turn(number)
        self._settle()
        return text

    def _crash(self, node: int) -> None:
        self.budget.crashes -= 1
        self.disks[node].kill(is_written=False)
        self._begin(node)

    def _time_out(self, node: int) -> None:
        """It hears of no leader for long; nor does anybody else but a leader itself, whom nothing tells."""
        for other in NODES:
            raft = self.rafts[other]
            if other != node and raft.role != LEADER:
                raft.now_ms += CONFIG.election_timeout_ms
        raft = self.rafts[node]
        raft.on_clock(max(raft.now_ms, raft.next_deadline_ms()))

    def _settle(self) -> None:
        """What is not to be interleaved with anything: pre-votes, and prompt disks."""
        while True:
            busy = [node for node in NODES if self.disks[node].is_busy] if self.budget.is_prompt else []
            for node in busy:
                self.rafts[node].on_persisted(self._finish(node))
                self._turn(node)
            for at, (sender, to, message) in enumerate(self.messages):
                if isinstance(message, RequestPreVote | RequestPreVoteReply):
                    del self.messages[at]
                    self.rafts[to].on_message(sender, message)
                    self._turn(to)
                    break
            else:
                if not busy:
                    return

    def _turn(self, node: int) -> None:
        raft = self.rafts[node]
        watch = self.watches[node]
        oracles = self.oracles
        records = raft.take_records()
        if records:
            oracles.on_records(watch, records)
            self.disks[node].append(records, raft.record_sequence)
        for to, message in raft.take_messages():
            oracles.gates.on_send(watch, to, message)
            if len(self.messages) < self.budget.in_flight:
                self.messages.append((node, to, message))
        machine = self.machines[node]
        for entry in raft.take_committed(1 << 20):
            machine.apply(entry)
            oracles.on_apply(watch, entry, machine.chain)
        raft.on_applied(max(machine.index, raft.applied_index))
        oracles.after_event(watch)

    # -- equality -----------------------------------------------------------------------------------------------------

    def digest(self) -> tuple[object, ...]:
        """Equal for states from which the same can follow. Clocks count only as far as a leader is still believed in."""
        parts: list[object] = [(self.budget.timeouts, self.budget.proposals, self.budget.crashes)]
        for node in NODES:
            raft = self.rafts[node]
            log = raft.log
            held = self.disks[node].held
            office = raft.leadership
            parts.append(
                (
                    (raft.current_term, raft.voted_for, raft.role, raft.leader, raft.commit_index, raft.durable_index),
                    tuple([log.term_at(index) for index in range(1, log.last_index + 1)]),
                    tuple(sorted(raft.votes.items())),
                    raft.verified_index,
                    raft.now_ms - raft.leader_heard_ms < CONFIG.election_timeout_ms,
                    (held.term, held.vote, held.last, held.term_at(held.last), self.disks[node].is_busy),
                    ()
                    if office is None
                    else tuple([(each.match_index, each.next_index, each.state) for each in office.followers.values()]),
                )
            )
        parts.append(tuple(sorted([(sender, to, encode_message(message)) for sender, to, message in self.messages])))
        return tuple(parts)


def explore(world: SmallWorld, states_max: int) -> Found:
    """All that can follow, nearest first, until a law breaks."""
    seen: dict[tuple[object, ...], bool] = {world.digest(): True}
    frontier: list[tuple[bytes, tuple[str, ...]]] = [(pickle.dumps(world, pickle.HIGHEST_PROTOCOL), ())]
    step_count = 0
    at = 0
    while at < len(frontier):
        blob, path = frontier[at]
        frontier[at] = (b"", ())
        at += 1
        for kind, number in pickle.loads(blob).steps():
            copy: SmallWorld = pickle.loads(blob)
            step_count += 1
            try:
                text = copy.step(kind, number)
            except LawBroken as end:
                return Found(len(seen), step_count, False, end.law, end.facts, (*path, f"{kind} {number}"))
            except AssertionError as error:
                return Found(len(seen), step_count, False, "ASSERT", ("", str(error)), (*path, f"{kind} {number}"))
            digest = copy.digest()
            if digest not in seen:
                if len(seen) >= states_max:
                    return Found(len(seen), step_count, False)
                seen[digest] = True
                frontier.append((pickle.dumps(copy, pickle.HIGHEST_PROTOCOL), (*path, text)))
    return Found(len(seen), step_count, True)


def led_world(budget: Budget) -> SmallWorld:
    """Node 1 leads in term 1, its first entry is committed everywhere."""
    world = SmallWorld(Budget(1, 0, 0, 8))
    world.step(TIMEOUT, 1)
    for _ in range(100):
        steps = world.steps()
        if not steps:
            break
        world.step(*steps[0])
    assert world.rafts[1].role == LEADER
    world.budget = budget
    return world
