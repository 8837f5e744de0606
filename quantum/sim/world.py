"""The world around a cluster: its nodes and their machines, their clients, and what goes wrong with all of them.

A loop over one heap of events. Outputs of one turn are carried out in a drawn order of destinations, because the core
promises nothing about it. After every turn the cluster's laws are checked from outside (`laws`).
"""

from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.node.config import NodeConfig
from quantum.core.node.outputs import Outputs
from quantum.core.prng import Prng
from quantum.sim import autopsy, inside, trace
from quantum.sim.clients import ONLINE, Client, ClientPlan
from quantum.sim.disk import LANES, DiskOptions
from quantum.sim.farewells import Farewells
from quantum.sim.faults import REFUSAL_RESTART_US, Crash, Faults
from quantum.sim.host import BY_KILL, Host
from quantum.sim.marks import Marks
from quantum.sim.network import Link, Network, NetworkOptions
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
from quantum.sim.trace import Trace
from quantum.sim.workload import Behaviour

TURNS_MAX: Final = 60_000  # of one node, in a minute of simulated time

# Destinations of one turn's outputs, beside connections, which are positive: lanes of the disk, then nodes.
_LANE: Final = -1
_PEER: Final = -1000


@final
@dataclass(slots=True)
class WorldOptions:
    """Drawn once per seed."""

    duration_us: int
    turn_us_max: int = 500  # how long a turn of a node takes
    burst_max: int = 10
    wall_skew_ms: int = 0  # how far apart the wall clocks of two nodes are, at most
    stay_share: int = 50  # of 100 reconnects, how many go to the node before


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
        "_attempts",
        "_autopsy",
        "_choices",
        "_farewells",
        "_prng",
        "behaviours",
        "clients",
        "faults",
        "hosts",
        "marks",
        "network",
        "options",
        "peers",
        "promises",
        "scheduler",
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
    ) -> None:
        self._prng = prng
        self._autopsy = prng.stream("autopsy")
        self.options = options
        self.scheduler = Scheduler(prng.stream("ties"))
        self.trace = Trace()
        self.promises = Promises()
        self.marks = Marks()
        self.stats = Stats()
        self.network = Network(prng.stream("network"), network_options, self.scheduler)
        self.peers = PeerNetwork(prng.stream("peers"), peer_options, self.scheduler)
        self.clients: list[Client] = []
        self.behaviours: list[Behaviour] = []
        self._attempts: dict[int, int] = {}  # client → connections so far
        self._choices: dict[int, int] = {}  # client → the node it went to last
        self._farewells = Farewells()
        self.hosts: dict[int, Host] = {}
        for number, (config, disk) in enumerate(zip(node_configs, disk_options, strict=True), 1):
            self._add_host(number, config, disk)
        self.faults = Faults(self.hosts, self.clients, self.network, self.peers, self.scheduler)
        for plan in plans:
            self.add_client(plan)
        for event in schedule:
            self.scheduler.push(event.at_us, FAULT_DUE, 0, event)

    def _add_host(self, number: int, config: NodeConfig, disk_options: DiskOptions) -> None:
        prng = self._prng.stream(f"node {number}")
        skew_ms = prng.below(self.options.wall_skew_ms + 1)
        host = Host(number, config, prng, disk_options, self.network, self.scheduler, self.options.turn_us_max, skew_ms)
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

    def node_for(self, client: int, attempt: int) -> int:
        """Which node a client goes to with its connection number `attempt`: often the one it had, else another."""
        count = len(self.hosts)
        if count == 1:
            return next(iter(self.hosts))
        prng = self._prng.stream(f"choice {client} {attempt}")
        last = self._choices.get(client)
        if last is None or last not in self.hosts or not prng.chance(self.options.stay_share, 100):
            last = list(self.hosts)[prng.below(count)]
        self._choices[client] = last
        return last

    def run_until(self, until_us: int) -> None:
        """Carry out everything that is due up to then; stops at the first violation."""
        promises = self.promises
        scheduler = self.scheduler
        while not promises.violations:
            due = scheduler.pop(until_us)
            if due is None:
                return
            promises.now_ms = due[0] // 1000
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
                self._to_node(self.network.links[due[4]], due[5])
            elif kind == TO_CLIENT:
                self._to_client(self.network.links[due[4]], due[5])
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
                host.start()
                self.trace.record(self.scheduler.now_us, trace.STARTED, number, host.incarnation, b"")
        else:
            assert kind == READER_RESUMES
            link = self.network.links[number]
            if self.network.resume_reader(link):
                host = self.hosts[link.host]
                if host.sockets.serves(link):
                    host.sockets.unblock(link)
                    host.want_turn()

    def calm(self) -> None:
        """The quiet period begins: what is broken heals, clients come back and stay."""
        self.faults.heal()
        self.peers.calm()
        for behaviour in self.behaviours:
            behaviour.begin_quiet(self.promises.now_ms)

    def leader(self) -> Host | None:
        """The node that leads, as checkers see it."""
        return self.faults.leader()

    def is_draining(self) -> bool:
        """Some node holds messages for clients that are connected."""
        for host in self.hosts.values():
            node = host.node
            if node is None:
                continue
            for client in self.clients:
                if client.state == ONLINE:
                    view = node.partition.session_view(client.plan.client_id)
                    if view.get("queued_messages") or view.get("inflight_messages"):
                        return True
        return False

    def look_inside(self) -> None:
        """The checks for when nothing is under way."""
        for host in self.hosts.values():
            node = host.node
            if node is None or not host.is_ready:
                self.promises.violate("L2", "everything healed long ago", f"node {host.number} is not ready")
                return
            digest = node.partition.digest()
            self.trace.record(self.scheduler.now_us, trace.STATE, host.number, inside.applied_index(node), digest)
            image = host.disk.durable_image()
            self.stats.replay_count += autopsy.check_replay(node, image, host.config.storage, self.promises)
        leader = self.leader()
        if leader is not None and leader.node is not None:
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
        if out.is_ready:
            host.is_ready = True
            stats.recovery_count += 1
            host.heal_rot()
            self.trace.record(now_us, trace.READY, host.number, host.incarnation, b"")
        if not self._carry_out(host, out):
            return
        if out.failure:
            self._on_failure(host, out.failure)
        else:
            host.keep_deadline()
        count = stats.turns[host.number] = stats.turns.get(host.number, 0) + 1
        if count > TURNS_MAX * (1 + now_us // 60_000_000):
            self.promises.violate(
                "L9", f"at most {TURNS_MAX} turns in a minute", f"node {host.number} is busy without cause"
            )

    def _carry_out(self, host: Host, out: Outputs) -> bool:
        """Serve destinations in a drawn order, each first in first out. False when the process died in between."""
        writes = dict(out.writes)
        destinations = list(dict.fromkeys([*writes, *out.closes, *out.pauses, *out.resumes]))
        if out.disk:
            destinations += dict.fromkeys(_LANE - request.lane for request in out.disk)
        if out.peer_frames:
            destinations += dict.fromkeys(_PEER - to for to, _ in out.peer_frames)
        armed = host.armed
        if armed is not None and (out.writes if armed.wants_writes else destinations):
            host.armed = None
        else:
            armed = None
        if not destinations:
            return True
        closes = dict.fromkeys(out.closes)
        pauses = dict.fromkeys(out.pauses)
        resumes = dict.fromkeys(out.resumes)
        for served, at in enumerate(host.order.permutation(len(destinations))):
            if armed is not None and served > armed.served:
                break
            number = destinations[at]
            if number <= _PEER:
                self._send_frames(host, out, _PEER - number)
                continue
            if number < 0:
                for request in out.disk:
                    if request.lane == _LANE - number:
                        self.trace.record(
                            self.scheduler.now_us,
                            trace.DISK_REQUEST,
                            host.number << 8 | request.lane,
                            request.number,
                            b"",
                        )
                        host.submit(request)
                continue
            link = host.sockets.open_link(number)
            if link is None:
                continue
            if number in writes:
                host.sockets.write(link, writes[number])
            if number in pauses:
                link.is_paused = True
            if number in resumes:
                for item in host.sockets.resume(link):
                    self._receive(host, link, item)
            if number in closes:
                host.sockets.close(link)
                self._farewells.forget(link.number)
        if host.inputs.blocked or host.inputs.closed:
            host.want_turn()
        if armed is not None:
            self.crash(Crash(host, armed.model, armed.restart_us))
            return False
        return True

    def _send_frames(self, host: Host, out: Outputs, receiver: int) -> None:
        for to, data in out.peer_frames:
            if to == receiver:
                self.trace.record(self.scheduler.now_us, trace.PEER_SENT, host.number << 32 | to, len(data), data)
                self.peers.send(PeerFrame(host.number, to, data, 0))

    def _on_peer_frame(self, due: Due) -> None:
        frame = due[5]
        assert isinstance(frame, PeerFrame)
        host = self.hosts.get(due[4])
        if host is not None and host.is_up:
            self.trace.record(due[0], trace.PEER_FRAME, frame.sender << 32 | due[4], len(frame.data), frame.data)
            host.inputs.peer_frames.append(frame.data)
            host.want_turn()

    def _on_disk_step(self, due: Due) -> None:
        number, lane = divmod(due[4], len(LANES))
        host = self.hosts[number]
        if host.is_up and due[5] == host.incarnation:
            done = host.disk_step(lane)
            if done is not None:
                self.trace.record(due[0], trace.DISK_DONE, number << 8 | lane, done.number, done.data)

    def _on_failure(self, host: Host, failure: str) -> None:
        """The node fenced itself. Only a disk that failed it is an excuse. Law FAIL CLOSED."""
        self.stats.refusal_count += 1
        self.trace.record(self.scheduler.now_us, trace.STOPPED, host.number, host.incarnation, failure.encode())
        if host.disk.error_count == host.errors_at_start and host.rot is None:
            self.promises.violate(
                "NO SILENT CUT",
                f"the disk of node {host.number} kept everything that was synced",
                f"the node says: {failure}",
            )
        host.heal_rot()
        self.crash(Crash(host, BY_KILL, REFUSAL_RESTART_US))

    # -- crashes and faults -------------------------------------------------------------------------------------------

    def crash(self, crash: Crash) -> None:
        """A process ends at once; with a model of power loss, its whole machine."""
        host = crash.host
        if not host.is_up:
            return
        now_us = self.scheduler.now_us
        self.stats.crash_count += 1
        if host.node is not None and host.is_ready and self._autopsy.chance(1, 4):
            autopsy.check_durable(host.node, host.disk.durable_image(), host.config.storage, self.promises)
        if crash.model != BY_KILL:
            self.stats.power_loss_count += 1
        self._disturb()
        host.end(crash.model)
        host.start_at(now_us + crash.restart_us)
        if crash.again is not None:
            self.scheduler.push(now_us + crash.restart_us + crash.again.at_us, FAULT_DUE, 0, crash.again)

    def _fault(self, event: FaultEvent) -> None:
        number = event.nodes[0] if event.nodes else 0
        self.trace.record(self.scheduler.now_us, trace.FAULT, number, event.duration_us, event.kind.encode())
        for crash in self.faults.begin(event):
            self.crash(crash)
        if "client" not in event.args:
            self._disturb()

    def _disturb(self) -> None:
        self._farewells.on_disturbed()

    # -- connections --------------------------------------------------------------------------------------------------

    def _to_node(self, link: Link, item: object) -> None:
        if not link.node_is_open:
            return
        assert isinstance(item, bytes | str)
        if not link.conn_id:
            self._accept(link)
            return
        host = self.hosts[link.host]
        if host.sockets.serves(link):
            self._receive(host, link, item)

    def _accept(self, link: Link) -> None:
        attempt = self._attempts[link.client] = self._attempts.get(link.client, 0) + 1
        link.host = self.node_for(link.client, attempt)
        host = self.hosts[link.host]
        if not host.is_up or self.faults.unreached.get(link.host):
            self.network.lose_node(link)
            return
        host.sockets.accept(link)
        self._farewells.on_reconnected(link.client)
        self.trace.record(self.scheduler.now_us, trace.ACCEPTED, host.number << 32 | link.conn_id, link.client, b"")
        host.want_turn()

    def _receive(self, host: Host, link: Link, item: bytes | str) -> None:
        if not host.sockets.receive(link, item):
            return
        now_us = self.scheduler.now_us
        at = host.number << 32 | link.conn_id
        if isinstance(item, bytes):
            if link.loses_bytes:
                return
            self.trace.record(now_us, trace.TO_NODE, at, len(item), item)
        else:
            self.trace.record(now_us, trace.NODE_CLOSED, at, link.client, item.encode())
            if not link.is_half_open:
                self._farewells.on_arrived(link.number, now_us)
        host.want_turn()

    def _to_client(self, link: Link, item: object) -> None:
        if not link.client_is_open:
            return
        client = self.clients[link.client]
        if isinstance(item, bytes):
            if not link.loses_bytes:
                self.trace.record(self.scheduler.now_us, trace.TO_CLIENT, link.client, len(item), item)
                client.on_bytes(link, item)
        else:
            self.trace.record(self.scheduler.now_us, trace.CLIENT_CLOSED, link.client, link.number, b"")
            client.on_end(link)

    def _client_due(self, number: int) -> None:
        behaviour = self.behaviours[number]
        client = self.clients[number]
        now_us = self.scheduler.now_us
        link = client.link
        will_key = behaviour.act(now_us // 1000)
        if will_key and link is not None:
            self._farewells.on_sent(link.number, number, will_key)
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
        for key, at_us in self._farewells.take_certain(now_us):
            self.promises.on_will_removed(
                key, f"DISCONNECT with reason code 0 arrived at {at_us // 1000} ms and the node ran on"
            )
        self.trace.record(now_us, trace.CLIENT_ACTION, number, client.state, b"")
        self.scheduler.push(now_us + behaviour.think_us(), CLIENT_DUE, number)
