"""A world of consensus alone: replicas of one group with a toy machine, disks, clocks, a network and clients.

It is the loop around `Raft`: what is due next, and to whom it happens; what a process does about it is in `raft_driver`.
Nothing here decides what goes wrong, see `raft_nemesis`, nor what is right, see `raft_oracles`. A run is a function of
its scenario.
"""

from typing import TYPE_CHECKING, Final, final

from quantum.core.prng import Prng
from quantum.core.raft.membership import Membership
from quantum.core.raft.role import LEADER
from quantum.sim.history import History
from quantum.sim.marks import UNSYNCED_LOSS, Marks, crash_cell
from quantum.sim.raft_disk import RaftDisk
from quantum.sim.raft_driver import (
    on_message,
    on_operation,
    on_snapshot_late,
    on_snapshot_stored,
    on_snapshot_written,
    on_synced,
    on_timer,
    store_snapshot,
    turn,
)
from quantum.sim.raft_due import (
    CLIENT,
    FAULT,
    FAULT_END,
    MESSAGE,
    OPERATOR,
    SNAPSHOT_ARRIVED,
    SNAPSHOT_LATE,
    SNAPSHOT_STORED,
    SNAPSHOT_WRITTEN,
    START,
    SYNCED,
    TIMER,
)
from quantum.sim.raft_laws import broken
from quantum.sim.raft_network import RaftNetwork, exponential
from quantum.sim.raft_operations import WRITE, Operation, Operations
from quantum.sim.raft_options import RaftOptions
from quantum.sim.raft_oracles import RaftOracles
from quantum.sim.raft_replica import Replica
from quantum.sim.raft_story import RaftStory
from quantum.sim.raft_trace import RaftTrace
from quantum.sim.scenario import Scenario
from quantum.sim.scheduler import Scheduler

if TYPE_CHECKING:
    from quantum.sim.raft_nemesis import RaftNemesis

SAME_INSTANT_MAX: Final = 5_000  # events without time passing: R17
QUIET_GAPS: Final = 30  # a client that falls silent does so for about as many gaps


@final
class RaftWorld:
    """All replicas, and the order in which things happen to them."""

    __slots__ = (
        "_instant_count",
        "_instant_us",
        "_root",
        "armed",
        "client_prngs",
        "disks",
        "event_count",
        "has_clients",
        "initial",
        "marks",
        "nemesis",
        "network",
        "now_us",
        "op_counts",
        "operations",
        "options",
        "oracles",
        "replicas",
        "scenario",
        "scheduler",
        "story",
        "trace",
    )

    def __init__(self, scenario: Scenario, options: RaftOptions, root: Prng, history: History | None) -> None:
        self.scenario = scenario
        self.options = options
        self._root = root
        self.story = None if history is None else RaftStory(history)
        self.marks = Marks()
        self.trace = RaftTrace()
        self.scheduler = Scheduler(root.stream("tie"))
        self.now_us = 0
        self.network = RaftNetwork(root.stream("network"), options.link)
        self.initial = Membership(tuple(range(1, options.node_count + 1)))
        self.disks: dict[int, RaftDisk] = {}
        self.replicas: dict[int, Replica] = {}
        self.operations = Operations()
        self.oracles = RaftOracles(options.raft, self.disks, self.operations, self.marks)
        self.client_prngs = [root.stream(f"client-{client}") for client in range(options.client_count)]
        self.op_counts = [0] * options.client_count
        self.has_clients = True
        self.nemesis: RaftNemesis | None = None
        self.armed: dict[int, int] = {}  # nodes whose next write a fault waits for, and the number of the fault
        self.event_count = 0
        self._instant_us = -1
        self._instant_count = 0

    def begin(self) -> None:
        """Start every node and every client. Raises: LawBroken."""
        for node in self.initial.voters:
            self.add(node)
            self.start(self.replicas[node])
        for client in range(self.options.client_count):
            self.scheduler.push(self._gap_us(client), CLIENT, client)

    # -- time ---------------------------------------------------------------------------------------------------------

    def run_until(self, until_us: int) -> None:
        """Everything that is due up to then. Raises: LawBroken."""
        scheduler = self.scheduler
        replicas = self.replicas
        while True:
            due = scheduler.pop(until_us)
            if due is None:
                self.now_us = scheduler.now_us
                return
            at_us, _, _, kind, number, payload = due
            self.now_us = at_us
            self.event_count += 1
            if at_us != self._instant_us:
                self._instant_us = at_us
                self._instant_count = 0
            else:
                self._count_instant()
            if kind <= TIMER:
                replica = replicas[number]
                if replica.pause_count:
                    replica.stalled.append((kind, payload))
                elif kind == MESSAGE:
                    on_message(self, replica, payload)  # type: ignore[arg-type]
                else:
                    on_timer(self, replica, payload)  # type: ignore[arg-type]
            elif kind == CLIENT:
                self._on_client(number)
            elif kind <= SNAPSHOT_LATE:
                self.on_due(replicas[number], kind, payload)
            else:
                self._on_world(kind, number, payload)

    def _count_instant(self) -> None:
        self._instant_count += 1
        if self._instant_count > SAME_INSTANT_MAX:
            broken("R17", f"at most {SAME_INSTANT_MAX} events at one instant", f"more at {self.now_us} us")

    def on_due(self, replica: Replica, kind: int, payload: object) -> None:
        """Something happens to a process, unless it is paused."""
        if replica.pause_count:
            replica.stalled.append((kind, payload))
        elif kind == MESSAGE:
            on_message(self, replica, payload)  # type: ignore[arg-type]
        elif kind == TIMER:
            on_timer(self, replica, payload)  # type: ignore[arg-type]
        elif kind == SYNCED:
            on_synced(self, replica, payload)  # type: ignore[arg-type]
        elif kind == SNAPSHOT_WRITTEN:
            on_snapshot_written(self, replica, payload)  # type: ignore[arg-type]
        elif kind == SNAPSHOT_ARRIVED:
            store_snapshot(self, replica, payload)  # type: ignore[arg-type]
        elif kind == SNAPSHOT_STORED:
            on_snapshot_stored(self, replica, payload)  # type: ignore[arg-type]
        elif kind == SNAPSHOT_LATE:
            on_snapshot_late(self, replica, payload)  # type: ignore[arg-type]
        else:
            on_operation(self, replica, payload)  # type: ignore[arg-type]

    def _on_world(self, kind: int, number: int, payload: object) -> None:
        nemesis = self.nemesis
        if kind == START:
            self.start(self.replicas[number])
        elif nemesis is None:
            raise AssertionError(f"event of kind {kind} without a nemesis")
        elif kind == FAULT:
            nemesis.on_due(number)
        elif kind == FAULT_END:
            nemesis.on_end(number)
        else:
            assert kind == OPERATOR
            nemesis.on_operator()

    # -- nodes --------------------------------------------------------------------------------------------------------

    def add(self, node: int) -> Replica:
        """A node under a number that was not there before."""
        assert node not in self.replicas
        replica = Replica(node, self.initial, self._root)
        self.replicas[node] = replica
        self.disks[node] = replica.disk
        return replica

    def start(self, replica: Replica) -> None:
        """Its process begins, if nothing keeps it from that."""
        if replica.raft is not None or replica.down_count or replica.is_dead:
            return
        recovered = replica.begin_process(self.options.raft, self.now_us)
        assert replica.watch is not None
        if self.story is not None:
            self.story.on_start(self.now_us, replica)
        self.trace.record(self.now_us, START, replica.node, replica.incarnation, replica.disk.held.last, 0)
        self.oracles.on_start(replica.watch, recovered)
        turn(self, replica)

    def kill(self, replica: Replica, *, is_written: bool, effect: str = "") -> None:
        """Its process ends; what it wrote reaches the disk, or not. `effect` is what it was about to do."""
        if replica.raft is None:
            return
        if not effect:
            effect = "idle" if replica.disk.flight is None else ("before-sync" if is_written else "before-write")
        self.marks.sometimes(crash_cell("kill", role_of(replica), effect))
        if self.story is not None:
            self.story.on_kill(self.now_us, replica)
        replica.disk.kill(is_written)
        replica.lose_process()

    def lose_power(self, replica: Replica, *, survives: bool, is_garbage: bool) -> None:
        """Its machine stops; what was not synced is there, or not, or is garbage."""
        if self.story is not None:
            self.story.on_power(self.now_us, replica)
        is_unsynced = replica.disk.flight is not None
        if replica.raft is not None:
            effect = (
                ("after-write" if survives else "torn-write" if is_garbage else "before-sync")
                if is_unsynced
                else "idle"
            )
            self.marks.sometimes(crash_cell("power", role_of(replica), effect))
        self.marks.sometimes_if(is_unsynced and not survives, UNSYNCED_LOSS)
        replica.disk.lose_power(survives, is_garbage)
        replica.lose_process()

    def resume(self, replica: Replica) -> None:
        """It was paused: what came meanwhile comes at once, in order."""
        stalled = replica.stalled
        replica.stalled = []
        for kind, payload in stalled:
            self.on_due(replica, kind, payload)
        if replica.raft is not None:
            turn(self, replica)

    def leader(self) -> Replica | None:
        """Whoever runs and leads in the latest term."""
        found: Replica | None = None
        term = 0
        for replica in self.replicas.values():
            raft = replica.raft
            if raft is not None and raft.role == LEADER and raft.current_term > term:
                found, term = replica, raft.current_term
        return found

    # -- clients ------------------------------------------------------------------------------------------------------

    def _gap_us(self, client: int) -> int:
        drawn = self.client_prngs[client].u64()
        gap_us = exponential(drawn, self.options.op_gap_us)
        if drawn & 255 < 3:
            return gap_us * QUIET_GAPS
        return gap_us // 50 if drawn & 255 > 220 else gap_us

    def _on_client(self, client: int) -> None:
        operation = Operation(client, self.op_counts[client], self.client_prngs[client], self.options)
        self.op_counts[client] += 1
        self.scheduler.push(self.now_us + self._gap_us(client), CLIENT, client)
        scenario = self.scenario
        if not self.has_clients or client in scenario.clients_off:
            return
        if scenario.ops_off and scenario.is_op_off(client, operation.number):
            return
        self.ask(operation)

    def ask(self, operation: Operation) -> None:
        """A client asks a node: writes mostly the leader, as clients learn who that is; reads mostly anybody, because who
        was deposed unseen would answer them wrongly."""
        is_to_leader = (operation.target & 3 > 0) == (operation.kind == WRITE)
        replica = self.leader() if is_to_leader else None
        if replica is None:
            running = [each for each in self.replicas.values() if each.raft is not None]
            if not running:
                return
            replica = running[(operation.target >> 2) % len(running)]
        self.ask_node(operation, replica)

    def ask_node(self, operation: Operation, replica: Replica) -> None:
        """A client asks this node."""
        self.operations.on_begin(operation)
        if self.story is not None:
            self.story.on_ask(self.now_us, operation)
        if replica.pause_count:
            replica.stalled.append((CLIENT, operation))
        else:
            on_operation(self, replica, operation)


def role_of(replica: Replica) -> str:
    """What a running replica is, for the crash matrix."""
    raft = replica.raft
    assert raft is not None
    if not raft.doubt.is_settled or raft.log.lost or raft.snapshot_index_min:
        return "recovering"
    if not raft.membership.is_voter(replica.node):
        return "learner"
    return ("follower", "pre-candidate", "candidate", "leader")[raft.role]
