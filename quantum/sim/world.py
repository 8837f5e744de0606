"""The world around a cluster: its nodes and their machines, their clients, and what goes wrong with all of them.

A loop over one heap of events. Outputs of one turn are carried out in a drawn order of destinations, because the core
promises nothing about it. After every turn the cluster's laws are checked from outside (`laws`).
"""

from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.node.config import NodeConfig
from quantum.core.node.node import Node
from quantum.core.prng import Prng
from quantum.sim import autopsy, crash_matrix, inside, nemesis, trace
from quantum.sim.carrier import Carrier
from quantum.sim.clients import ONLINE, Client, ClientPlan
from quantum.sim.connections import Connections
from quantum.sim.damage import WIPE, Harm
from quantum.sim.disk import LANES, POWER_MODELS, DiskOptions
from quantum.sim.farewells import Farewells
from quantum.sim.faults import REFUSAL_RESTART_US, Crash, Faults
from quantum.sim.frame_filter import FrameFilter
from quantum.sim.host import BY_KILL, Host
from quantum.sim.laws import Laws
from quantum.sim.marks import UNSYNCED_LOSS, Marks
from quantum.sim.network import Network, NetworkOptions
from quantum.sim.operator import Operator
from quantum.sim.peer_network import PeerFrame, PeerNetwork, PeerOptions
from quantum.sim.promises import Promises
from quantum.sim.scenario import FaultEvent
from quantum.sim.scheduler import (
    CLIENT_DUE,
    DISK_STEP,
    FAULT_DUE,
    FAULT_ENDS,
    NODE_START,
    NODE_TURN,
    PEER_FRAME,
    READER_RESUMES,
    TO_CLIENT,
    TO_NODE,
    Due,
    Scheduler,
)
from quantum.sim.scribe import CLUSTER, Scribe
from quantum.sim.tempo import BURST, USUAL, Tempo
from quantum.sim.trace import Trace
from quantum.sim.witness import Ledger
from quantum.sim.workload import Behaviour

# What holds whatever is damaged: nobody gets what was never sent, to where it was not sent, or bytes that are no packet;
# and a node that cannot serve says so.
NEVER_LAWS: Final = ("M4", "M7", "M14", "M19", "L10")
HUSHED_US: Final = 100_000

# How a node is lost for good.
DEAD: Final = 0
ISOLATED: Final = 1
MUTE: Final = 2
DEAF: Final = 3

RECKLESS_TURNS_MAX: Final = 15_000  # of one node, in a run beyond the budget
TURNS_MAX: Final = 60_000  # of one node, in a minute of simulated time


@final
@dataclass(slots=True)
class WorldOptions:
    """Drawn once per seed."""

    duration_us: int
    turn_us_max: int = 500  # how long a turn of a node takes
    burst_max: int = 10
    wall_skew_ms: int = 0  # how far apart the wall clocks of two nodes are, at most
    stay_share: int = 50  # of 100 reconnects, how many go to the node before
    is_strict: bool = True  # damage stays within what the cluster survives
    has_model: bool = True  # the reference model follows the log
    tempo: Tempo = field(default_factory=lambda: Tempo([]))


@final
@dataclass(slots=True)
class Stats:
    """What a run contained, so that an empty one is noticed."""

    crash_count: int = 0
    power_loss_count: int = 0
    refusal_count: int = 0
    turn_count: int = 0
    recovery_count: int = 0
    replay_count: int = 0  # states compared with what the disk gives
    turns: dict[int, int] = field(default_factory=dict)  # by node


@final
class World:
    """One run. `run_until` moves time; the phases are the caller's."""

    __slots__ = (
        "_autopsy",
        "_carrier",
        "_farewells",
        "_prng",
        "behaviours",
        "clients",
        "connections",
        "faults",
        "hosts",
        "is_hushed",
        "laws",
        "ledger",
        "marks",
        "network",
        "operator",
        "options",
        "peers",
        "promises",
        "scheduler",
        "scribe",
        "stats",
        "trace",
    )

    def __init__(
        self,
        prng: Prng,
        options: WorldOptions,
        node_configs: list[NodeConfig],
        disk_options: list[DiskOptions],
        network_options: NetworkOptions,
        peer_options: PeerOptions,
        plans: list[ClientPlan],
        schedule: list[FaultEvent],
        scribe: Scribe | None,
    ) -> None:
        self._prng = prng
        self._autopsy = prng.stream("autopsy")
        self.options = options
        self.scheduler = Scheduler(prng.stream("ties"))
        self.trace = Trace()
        self.marks = Marks()
        self.promises = Promises(self.marks)
        self.ledger = Ledger(self.promises, options.has_model)
        self.scribe = scribe
        self.stats = Stats()
        self.is_hushed = False  # no client does anything
        self.network = Network(prng.stream("network"), network_options, self.scheduler)
        self.peers = PeerNetwork(prng.stream("peers"), peer_options, self.scheduler)
        self.clients: list[Client] = []
        self.behaviours: list[Behaviour] = []
        self._farewells = Farewells()
        self.hosts: dict[int, Host] = {}
        for number, (config, disk) in enumerate(zip(node_configs, disk_options, strict=True), 1):
            self._add_host(number, config, disk)
        self.laws = Laws(self.promises, self.marks, {number: host.log for number, host in self.hosts.items()})
        self.operator = Operator(self.hosts, self.marks)
        frame_filter = FrameFilter(CLUSTER)
        has_changes = any(event.kind == nemesis.MEMBERS for event in schedule)
        self.faults = Faults(
            self.hosts,
            self.clients,
            self.network,
            self.peers,
            self.scheduler,
            operator=self.operator,
            frame_filter=frame_filter,
            is_strict=options.is_strict,
            voters_min=len(self.hosts) - has_changes,
        )
        self.connections = Connections(
            prng.stream("choices"),
            options.stay_share,
            self.hosts,
            self.clients,
            self.network,
            self.faults.unreached,
            self._farewells,
            self.trace,
            self.scheduler,
            scribe,
        )
        self._carrier = Carrier(
            self.connections, self.peers, self.marks, self.trace, self.scheduler, self._farewells, scribe, frame_filter
        )
        for plan in plans:
            self.add_client(plan)
        for event in schedule:
            self.scheduler.push(event.at_us, FAULT_DUE, 0, event)

    def _add_host(self, number: int, config: NodeConfig, disk_options: DiskOptions) -> None:
        prng = self._prng.stream(f"node {number}")
        skew_ms = prng.below(self.options.wall_skew_ms + 1)
        host = Host(number, config, prng, disk_options, self.network, self.scheduler, self.options.turn_us_max, skew_ms)
        host.keeps_images = not self.options.is_strict
        self.hosts[number] = host
        host.start_at(self.scheduler.now_us)

    def add_client(self, plan: ClientPlan) -> Client:
        """A client that begins to act at once."""
        number = len(self.clients)
        assert number == plan.number
        stream = self._prng.stream(f"client {number}")
        client = Client(plan, stream.stream("packets"), self.network, self.promises)
        behaviour = Behaviour(client, stream.stream("acts"), self.options.burst_max)
        self.clients.append(client)
        self.behaviours.append(behaviour)
        self.scheduler.push(self.scheduler.now_us + behaviour.think_us(), CLIENT_DUE, number)
        return client

    def run_until(self, until_us: int) -> None:
        """Carry out everything that is due up to then; stops at the first violation."""
        promises = self.promises
        scheduler = self.scheduler
        while True:
            if promises.violations:
                if self.options.is_strict:
                    return
                self.forgive()
                if promises.violations:
                    return
            due = scheduler.pop(until_us)
            if due is None:
                return
            promises.now_ms = due[0] // 1000
            if self.scribe is not None:
                self.scribe.now_us = due[0]
            kind = due[3]
            if kind == NODE_TURN:
                host = self.hosts[due[4]]
                if host.is_due(due[5]):
                    self._turn(host)
            elif kind == PEER_FRAME:
                self._on_peer_frame(due)
            elif kind == DISK_STEP:
                self._on_disk_step(due)
            elif kind == TO_NODE:
                self.connections.to_node(self.network.links[due[4]], due[5])
            elif kind == TO_CLIENT:
                self.connections.to_client(self.network.links[due[4]], due[5])
            elif kind == CLIENT_DUE:
                self._client_due(due[4])
            else:
                self._on_rare(due)

    def _on_rare(self, due: Due) -> None:
        _, _, _, kind, number, payload = due
        if kind == FAULT_DUE:
            assert isinstance(payload, FaultEvent)
            self._fault(payload)
        elif kind == FAULT_ENDS:
            self.faults.end(number)
        elif kind == NODE_START:
            host = self.hosts[number]
            if not host.is_up and payload == host.incarnation + 1 and not host.is_gone:
                host.log.on_process()
                host.start()
                assert host.node is not None
                inside.watch(host.node, number, self.ledger)
                host.whole_index = self.laws.exposed_index
                self.trace.record(self.scheduler.now_us, trace.STARTED, number, host.incarnation, b"")
                if self.scribe is not None:
                    self.scribe.on_start(number, host.incarnation)
        else:
            assert kind == READER_RESUMES
            link = self.network.links[number]
            if self.network.resume_reader(link):
                host = self.hosts[link.host]
                if host.sockets.serves(link):
                    host.sockets.unblock(link)
                    host.want_turn()

    def forgive(self) -> None:
        """Beyond the budget a cluster may lose what it promised; it may not make anything up."""
        violations = self.promises.violations
        violations[:] = [each for each in violations if each.law in NEVER_LAWS]

    def heal(self) -> None:
        """What is broken is whole again."""
        self.faults.heal()
        self.peers.calm()

    def call_back(self) -> None:
        """The quiet period begins: clients come back and stay."""
        for behaviour in self.behaviours:
            behaviour.begin_quiet(self.promises.now_ms)

    def lose_for_good(self, host: Host, how: int) -> None:
        """A node that nobody will repair. Its clients go elsewhere."""
        host.is_gone = True
        number = host.number
        self._disturb()
        for link in self.network.links.values():
            if link.host == number and link.client_is_open:
                self.network.cut(link)
        if how == DEAD:
            self.crash(Crash(host, BY_KILL, 1))
        for other in self.hosts:
            if other != number and how in (ISOLATED, MUTE):
                self.peers.cut(number, other)
            if other != number and how in (ISOLATED, DEAF):
                self.peers.cut(other, number)
        if how == DEAF:
            # It still says that it lives, and nobody learns of its connections: their wills may wait for ever.
            for client in self.clients:
                if client.link is not None and client.link.host == number:
                    self.promises.on_will_unknown(client.will_key)

    def leader(self) -> Host | None:
        """The node that leads, as checkers see it."""
        return self.faults.leader()

    def is_draining(self) -> bool:
        """Some node holds messages for clients that are connected."""
        for host in self.hosts.values():
            node = host.node
            if node is None or host.is_gone:
                continue
            for client in self.clients:
                if client.state == ONLINE:
                    view = node.partition.session_view(client.plan.client_id)
                    if view.get("queued_messages") or view.get("inflight_messages"):
                        return True
        return False

    def look_inside(self, *, has_leak_check: bool) -> None:
        """The checks for when nothing is under way."""
        for host in self.hosts.values():
            if host.is_gone:
                continue
            node = host.node
            if node is None or not host.is_ready:
                self.promises.violate("L2", "everything healed long ago", f"node {host.number} is not ready")
                return
            digest = node.partition.digest()
            self.trace.record(self.scheduler.now_us, trace.STATE, host.number, inside.applied_index(node), digest)
            self.ledger.on_state(host.number, inside.applied_index(node), node.partition)
            if not self.faults.budget.is_damaged(host.number):
                self.stats.replay_count += autopsy.check_replay(host, node, self.promises)
        leader = self.leader()
        if has_leak_check and leader is not None and leader.node is not None:
            autopsy.check_leaks(leader.node, self.clients, self.promises)

    def is_served(self, client: Client) -> bool:
        """The client has a connection that its node knows."""
        link = client.link
        return link is not None and link.host in self.hosts and self.hosts[link.host].sockets.serves(link)

    # -- turns --------------------------------------------------------------------------------------------------------

    def _turn(self, host: Host) -> None:
        stats = self.stats
        stats.turn_count += 1
        if not host.turn():
            if host.failure:
                self.promises.violate("ASSERT", "a turn never raises", f"node {host.number}: {host.failure}")
            return
        now_us = self.scheduler.now_us
        out = host.out
        self.trace.record(now_us, trace.TURN, host.number << 32 | len(out.writes), len(out.disk), b"")
        for event in out.events:
            self.trace.record(now_us, trace.EVENT, host.number, event.level, event.name.encode())
            self.marks.sometimes(f"event.{event.name}")
            if event.name == "snapshot_installed":
                self.promises.on_disturbed()  # What was given meanwhile to the connections of its edge, nobody has.
        if out.admin:
            self.operator.take_replies(out)
        if self.scribe is not None:
            self.scribe.on_turn(host, out)
        if out.is_ready:
            host.is_ready = True
            stats.recovery_count += 1
            host.heal_rot()
            self.trace.record(now_us, trace.READY, host.number, host.incarnation, b"")
        node = host.node
        assert node is not None
        if inside.is_started(node):
            self.laws.after_turn(host, node, now_us)
            if host.is_ready and self.faults.budget.is_damaged(host.number):
                self._look_for_damage(host, node)
        crash = self._carrier.carry_out(host, out)
        if crash is not None:
            self.crash(crash)
            return
        if out.failure:
            self._on_failure(host, out.failure)
        else:
            host.keep_deadline()
        count = stats.turns[host.number] = stats.turns.get(host.number, 0) + 1
        if count > RECKLESS_TURNS_MAX and not self.options.is_strict:
            # Beyond the budget a node need not get anywhere; it is as good as halted.
            self.lose_for_good(host, DEAD)
        elif count > TURNS_MAX * (1 + now_us // 60_000_000):
            self.promises.violate(
                "L9", f"at most {TURNS_MAX} turns in a minute", f"node {host.number} is busy without cause"
            )

    def _look_for_damage(self, host: Host, node: Node) -> None:
        """A later process than the damaged one has everything again that was committed when it started."""
        if not inside.is_whole(node, host.whole_index):
            return
        if self.faults.budget.on_whole(host.number, host.incarnation):
            self.marks.sometimes("storage.damage.repaired")

    def _on_peer_frame(self, due: Due) -> None:
        frame = due[5]
        assert isinstance(frame, PeerFrame)
        host = self.hosts.get(due[4])
        if frame.is_replay and self.peers.is_calm:
            return
        if host is not None and host.is_up:
            self.trace.record(due[0], trace.PEER_FRAME, frame.sender << 32 | due[4], len(frame.data), frame.data)
            if self.scribe is not None:
                self.scribe.on_delivered(frame.sender, due[4], frame.event)
            host.inputs.peer_frames.append(frame.data)
            host.want_turn()
        elif self.scribe is not None:
            self.scribe.on_dropped(frame.sender, due[4], frame.event, "nobody there")

    def _on_disk_step(self, due: Due) -> None:
        number, lane = divmod(due[4], len(LANES))
        host = self.hosts[number]
        if host.is_up and due[5] == host.incarnation:
            armed = host.armed_step
            is_waiting = host.disk.misdirects_next  # for the write that goes astray
            if armed is not None and not is_waiting and (armed.request, armed.step) in host.disk.active_steps():
                host.armed_step = None
                self.crash(Crash(host, armed.model, armed.restart_us))
                return
            done = host.disk_step(lane)
            if done is not None:
                self.trace.record(due[0], trace.DISK_DONE, number << 8 | lane, done.number, done.data)
                if self.scribe is not None:
                    self.scribe.on_done(number, done.number, done.error)

    def _on_failure(self, host: Host, failure: str) -> None:
        """The node fenced itself. Only a disk that failed it is an excuse. Law FAIL CLOSED."""
        self.stats.refusal_count += 1
        self.trace.record(self.scheduler.now_us, trace.STOPPED, host.number, host.incarnation, failure.encode())
        is_damaged = self.faults.budget.is_damaged(host.number)
        if host.disk.error_count == host.errors_at_start and host.rot is None and not is_damaged:
            self.promises.violate(
                "NO SILENT CUT",
                f"the disk of node {host.number} kept everything that was synced",
                f"the node says: {failure}",
            )
        host.heal_rot()
        if is_damaged and host.disk.error_count == host.errors_at_start:
            # It will not start with this disk: the operator gives it an empty one.
            self.marks.sometimes("storage.damage.refused")
            host.harm = Harm(WIPE, 0, 0)
            if self.options.is_strict:
                self.promises.violate(
                    "W5",
                    f"node {host.number} has peers that can mend it: {host.harm_done or 'a write went astray'}",
                    f"the node says: {failure}",
                )
        self.crash(Crash(host, BY_KILL, REFUSAL_RESTART_US))

    # -- crashes and faults -------------------------------------------------------------------------------------------

    def crash(self, crash: Crash) -> None:
        """A process ends at once; with a model of power loss, its whole machine."""
        host = crash.host
        if not host.is_up:
            return
        now_us = self.scheduler.now_us
        self.stats.crash_count += 1
        is_damaged = self.faults.budget.is_damaged(host.number)
        if host.node is not None and host.is_ready and not is_damaged and self._autopsy.chance(1, 4):
            autopsy.check_durable(host, host.node, self.promises)
        if crash.model != BY_KILL:
            self.stats.power_loss_count += 1
        self._disturb()
        crash_matrix.note_crash(self.marks, host, crash.model)
        unsynced = host.disk.unsynced_count
        lost = host.disk.lost_sector_count
        host.end(crash.model)
        lost = host.disk.lost_sector_count - lost
        self.marks.sometimes_if(lost > 0, UNSYNCED_LOSS)
        if self.scribe is not None and crash.model == BY_KILL:
            self.scribe.on_kill(host.number, "killed")
        elif self.scribe is not None:
            self.scribe.on_power(host.number, POWER_MODELS[crash.model], unsynced, lost)
        host.start_at(now_us + crash.restart_us)
        if crash.again is not None:
            self.scheduler.push(now_us + crash.restart_us + crash.again.at_us, FAULT_DUE, 0, crash.again)

    def _fault(self, event: FaultEvent) -> None:
        number = event.nodes[0] if event.nodes else 0
        self.trace.record(self.scheduler.now_us, trace.FAULT, number, event.duration_us, event.kind.encode())
        if self.scribe is not None:
            numbers = " ".join(f"{name}={value}" for name, value in event.args.items())
            self.scribe.on_fault(number if number in self.hosts else 0, f"{event.kind} {numbers}".rstrip())
        for crash in self.faults.begin(event):
            self.crash(crash)
        if "client" not in event.args:
            self._disturb()

    def _is_calm(self) -> bool:
        """Every node works, they reach each other, and one of them leads."""
        return not self.faults.is_cluster_disturbed and all(
            host.is_ready and not host.is_paused for host in self.hosts.values()
        )

    def _is_edge_of_gone_open(self) -> bool:
        """The log still gives messages to the connections of a node that nobody will repair."""
        gone = [number for number, host in self.hosts.items() if host.is_gone]
        return any(
            not host.is_gone and host.node is not None and any(map(host.node.partition.is_edge_open, gone))
            for host in self.hosts.values()
        )

    def _disturb(self) -> None:
        self._farewells.on_disturbed()
        self.promises.on_disturbed()

    def _client_due(self, number: int) -> None:
        behaviour = self.behaviours[number]
        client = self.clients[number]
        if self.is_hushed:
            self.scheduler.push(self.scheduler.now_us + HUSHED_US, CLIENT_DUE, number)
            return
        now_us = self.scheduler.now_us
        link = client.link
        will_key = behaviour.act(now_us // 1000)
        if will_key and link is not None:
            self._farewells.on_sent(link.number, number, link.host, will_key)
        if client.wills_due:
            is_final = client.has_left and not client.left_half_open and self.promises.is_time_even
            if client.plan.will_delay_s == 0 or is_final:
                for key in client.wills_due:
                    self.promises.on_will_due(key)
            client.wills_due = []
        if behaviour.is_stalled:
            self.promises.violate(
                "L2",
                f"{client.plan.client_id} is connected, everything is healed and the node runs",
                f"it got no byte since {client.since_ms} ms, though it sent PINGREQ",
            )
        if not self._is_calm():
            self._disturb()
        elif self._is_edge_of_gone_open():
            self.promises.on_disturbed()
        for key, at_us in self._farewells.take_certain(now_us):
            self.promises.on_will_removed(
                key, f"DISCONNECT with reason code 0 arrived at {at_us // 1000} ms and the node ran on"
            )
        self.trace.record(now_us, trace.CLIENT_ACTION, number, client.state, b"")
        tempo = self.options.tempo
        share = tempo.at(now_us)
        if share != USUAL:
            self.marks.sometimes("load.burst" if share == BURST else "load.lull")
        self.scheduler.push(tempo.next_us(now_us, behaviour.think_us()), CLIENT_DUE, number)
