"""The world around one node: its process, its machine, its clients, and what goes wrong with them.

A small loop around `Node.turn`, like the reactor's, but over made-up time, disk and network. Outputs of one turn are
carried out in a drawn order of destinations, because the core promises nothing about it.
"""

import traceback
from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.node.config import NodeConfig
from quantum.core.node.inputs import TCP, Accepted, Inputs
from quantum.core.node.node import Node
from quantum.core.node.outputs import Outputs
from quantum.core.prng import Prng
from quantum.core.wal.requests import DiskDone, DiskRequest
from quantum.sim import autopsy, nemesis, trace
from quantum.sim.clients import ONLINE, Client, ClientPlan
from quantum.sim.disk import DiskOptions, SimDisk
from quantum.sim.nemesis import Fault
from quantum.sim.network import Link, Network, NetworkOptions
from quantum.sim.promises import Promises
from quantum.sim.scheduler import (
    CLIENT_DUE,
    DISK_STEP,
    FAULT_DUE,
    NODE_START,
    NODE_TURN,
    READER_RESUMES,
    TO_CLIENT,
    TO_NODE,
    Scheduler,
)
from quantum.sim.trace import Trace
from quantum.sim.workload import Behaviour

WALL_BASE_MS: Final = 1_700_000_000_000
FAREWELL_US: Final = 3_000_000  # so long after a DISCONNECT arrived, its will is surely gone
TURNS_MAX: Final = 60_000
LISTENER: Final = "tcp://sim:1883"

# How a process ends.
_BY_KILL: Final = -1


@final
@dataclass(slots=True)
class WorldOptions:
    """Drawn once per seed."""

    duration_us: int
    turn_us_max: int = 500  # how long a turn of the node takes
    burst_max: int = 10


@final
@dataclass(slots=True)
class Armed:
    """A crash that waits for the outputs of a turn."""

    restart_us: int
    served: int
    model: int  # of the power loss, _BY_KILL for a kill
    wants_writes: bool


@final
@dataclass(slots=True)
class Stats:
    """What a run contained, so that an empty one is noticed."""

    crash_count: int = 0
    power_loss_count: int = 0
    lost_sector_count: int = 0
    refusal_count: int = 0
    turn_count: int = 0
    recovery_count: int = 0
    replay_count: int = 0  # states compared with what the disk gives
    faults: dict[str, int] = field(default_factory=dict)


@final
class World:
    """One run. `run_until` moves time; the phases are the caller's."""

    __slots__ = (
        "_armed",
        "_autopsy",
        "_conn_count",
        "_conns",
        "_farewells",
        "_incarnation",
        "_inputs",
        "_is_up",
        "_mono_base_ms",
        "_node",
        "_node_config",
        "_order",
        "_out",
        "_paused_until_us",
        "_pending_rot",
        "_prng",
        "_start_prng",
        "_started_errors",
        "_turn_at_us",
        "_turn_prng",
        "_wall_offset_ms",
        "behaviours",
        "clients",
        "disk",
        "is_ready",
        "network",
        "options",
        "promises",
        "scheduler",
        "stats",
        "trace",
    )

    def __init__(
        self,
        prng: Prng,
        options: WorldOptions,
        node_config: NodeConfig,
        disk_options: DiskOptions,
        network_options: NetworkOptions,
        plans: list[ClientPlan],
        schedule: list[Fault],
    ) -> None:
        self._prng = prng
        self._order = prng.stream("order")
        self._turn_prng = prng.stream("turns")
        self._start_prng = prng.stream("starts")
        self._autopsy = prng.stream("autopsy")
        self.options = options
        self._node_config = node_config
        self.scheduler = Scheduler(prng.stream("ties"))
        self.trace = Trace()
        self.promises = Promises()
        self.stats = Stats()
        self.disk = SimDisk(prng.stream("disk"), disk_options)
        self.network = Network(prng.stream("network"), network_options, self.scheduler)
        self.clients: list[Client] = []
        self.behaviours: list[Behaviour] = []
        for plan in plans:
            self.add_client(plan)
        self._node: Node | None = None
        self._inputs = Inputs()
        self._out = Outputs()
        self._conns: dict[int, Link] = {}  # of this process, by conn_id
        self._conn_count = 0
        self._incarnation = 0
        self._is_up = False
        self.is_ready = False
        self._mono_base_ms = 0
        self._wall_offset_ms = 0
        self._paused_until_us = 0
        self._turn_at_us = -1  # the one valid NODE_TURN event
        self._armed: Armed | None = None
        self._farewells: dict[int, tuple[bytes, int]] = {}  # link → (will taken back, when its end arrived or 0)
        self._pending_rot: tuple[str, int, int] | None = None
        self._started_errors = 0
        for fault in schedule:
            self.scheduler.push(fault[0], FAULT_DUE, fault[1], fault)
        self.scheduler.push(0, NODE_START, 1, None)

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
        while not promises.violations:
            due = scheduler.pop(until_us)
            if due is None:
                return
            now_us, _, _, kind, number, payload = due
            promises.now_ms = now_us // 1000
            if kind == NODE_TURN:
                if self._is_up and now_us == self._turn_at_us and number == self._incarnation:
                    self._turn()
            elif kind == TO_NODE:
                self._to_node(self.network.links[number], payload)
            elif kind == TO_CLIENT:
                self._to_client(self.network.links[number], payload)
            elif kind == CLIENT_DUE:
                self._client_due(number)
            elif kind == DISK_STEP:
                if self._is_up and payload == self._incarnation:
                    self._disk_step(number)
            elif kind == FAULT_DUE:
                assert isinstance(payload, tuple)
                self._fault(payload)
            elif kind == NODE_START:
                self._start(number)
            else:
                assert kind == READER_RESUMES
                link = self.network.links[number]
                if self.network.resume_reader(link) and self._is_served(link):
                    self._inputs.unblocked.append(link.conn_id)
                    self._want_turn()

    def calm(self) -> None:
        """The quiet period begins: what is broken heals, clients come back and stay."""
        self.disk.disarm()
        self._armed = None
        for behaviour in self.behaviours:
            behaviour.begin_quiet(self.promises.now_ms)

    def is_draining(self) -> bool:
        """The node holds messages for clients that are connected."""
        node = self._node
        if node is None:
            return False
        views = [
            node.partition.session_view(client.plan.client_id) for client in self.clients if client.state == ONLINE
        ]
        return any(view.get("queued_messages") or view.get("inflight_messages") for view in views)

    def look_inside(self) -> None:
        """The checks for when nothing is under way."""
        node = self._node
        if node is None or not self.is_ready:
            self.promises.violate("L2", "everything healed long ago", "the node is not ready")
            return
        image = self.disk.durable_image()
        self.trace.record(self.scheduler.now_us, trace.STATE, 0, 0, node.partition.digest())
        self.stats.replay_count += autopsy.check_replay(node, image, self._node_config.storage, self.promises)
        autopsy.check_leaks(node, self.clients, self.promises)

    @property
    def node(self) -> Node | None:
        """The process's node, to be read only: by checkers."""
        return self._node

    def is_served(self, client: Client) -> bool:
        """The client has a connection that the node knows."""
        return client.link is not None and self._is_served(client.link)

    # -- the node's process -------------------------------------------------------------------------------------------

    def _start(self, incarnation: int) -> None:
        if self._is_up or incarnation != self._incarnation + 1:
            return
        self._incarnation = incarnation
        self._is_up = True
        self.is_ready = False
        self._started_errors = self.disk.error_count
        self._node = Node(self._node_config, self._start_prng.u64())
        self._inputs = Inputs()
        self._conns = {}
        self._conn_count = 0
        self._mono_base_ms = self._start_prng.below(1 << 40)
        self._paused_until_us = 0
        self.trace.record(self.scheduler.now_us, trace.STARTED, incarnation, 0, b"")
        self._want_turn()

    def _want_turn(self) -> None:
        """Something happened: a turn, as soon as the process is free."""
        at_us = max(self.scheduler.now_us + 1 + self._turn_prng.below(self.options.turn_us_max), self._paused_until_us)
        self._schedule_turn(at_us)

    def _schedule_turn(self, at_us: int) -> None:
        if not self._is_up or (self.scheduler.now_us < self._turn_at_us <= at_us):
            return
        self._turn_at_us = at_us
        self.scheduler.push(at_us, NODE_TURN, self._incarnation)

    def _turn(self) -> None:
        node = self._node
        assert node is not None
        now_us = self.scheduler.now_us
        if now_us < self._paused_until_us:
            self._schedule_turn(self._paused_until_us)
            return
        inputs = self._inputs
        inputs.now_ms = self._mono_base_ms + now_us // 1000
        inputs.wall_ms = WALL_BASE_MS + self._wall_offset_ms + now_us // 1000
        out = self._out
        out.clear()
        self.stats.turn_count += 1
        self._turn_at_us = -1
        try:
            node.turn(inputs, out)
        except Exception as error:  # An assertion, in most cases: the process would end here.
            frame = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{frame.filename.rpartition('/')[2]} line {frame.lineno}"
            self.promises.violate("ASSERT", "a turn never raises", f"{type(error).__name__} in {where}: {error}")
            return
        inputs.clear()
        self.trace.record(now_us, trace.TURN, len(out.writes), len(out.disk), b"")
        for event in out.events:
            self.trace.record(now_us, trace.EVENT, event.level, 0, event.name.encode())
        if out.is_ready:
            self.is_ready = True
            self.stats.recovery_count += 1
            self._heal_rot()
            self.trace.record(now_us, trace.READY, self._incarnation, 0, b"")
        if not self._carry_out(out):
            return
        if out.failure:
            self._on_failure(out.failure)
        elif out.deadline_ms:
            wait_us = (out.deadline_ms - self._mono_base_ms) * 1000 - now_us
            if wait_us <= 0:
                self._want_turn()
            else:
                self._schedule_turn(now_us + wait_us)
        if self.stats.turn_count > TURNS_MAX:
            self.promises.violate("L9", f"at most {TURNS_MAX} turns in a run", "the node is busy without cause")

    def _carry_out(self, out: Outputs) -> bool:
        """Serve destinations in a drawn order, each first in first out. False when the process died in between."""
        writes = dict(out.writes)
        conns = dict.fromkeys([*writes, *out.closes, *out.pauses, *out.resumes])
        lanes = dict.fromkeys(-1 - request.lane for request in out.disk)
        destinations = [*conns, *lanes]
        armed = self._armed
        if armed is not None and (out.writes if armed.wants_writes else destinations):
            self._armed = None
        else:
            armed = None
        closes = dict.fromkeys(out.closes)
        pauses = dict.fromkeys(out.pauses)
        resumes = dict.fromkeys(out.resumes)
        for served, at in enumerate(self._order.permutation(len(destinations))):
            if armed is not None and served > armed.served:
                break
            number = destinations[at]
            if number < 0:
                for request in out.disk:
                    if request.lane == -1 - number:
                        self._submit(request)
                continue
            link = self._conns.get(number)
            if link is None or not link.node_is_open:
                continue
            if number in writes:
                self._write(link, writes[number])
            if number in pauses:
                link.is_paused = True
            if number in resumes:
                self._resume(link)
            if number in closes:
                self._close(link)
        if armed is not None:
            self._crash(armed.model, armed.restart_us, 0)
            return False
        return True

    def _submit(self, request: DiskRequest) -> None:
        self.trace.record(self.scheduler.now_us, trace.DISK_REQUEST, request.lane, request.number, b"")
        self.disk.submit(request)
        self._start_disk()

    def _start_disk(self) -> None:
        for lane, wait_us in self.disk.start():
            self.scheduler.push(self.scheduler.now_us + wait_us, DISK_STEP, lane, self._incarnation)

    def _disk_step(self, lane: int) -> None:
        wait_us, done = self.disk.step(lane)
        if done is None:
            self.scheduler.push(self.scheduler.now_us + wait_us, DISK_STEP, lane, self._incarnation)
            return
        self._on_disk_done(lane, done)
        self._start_disk()

    def _on_disk_done(self, lane: int, done: DiskDone) -> None:
        self.trace.record(self.scheduler.now_us, trace.DISK_DONE, lane, done.number, done.data)
        self._inputs.disk_done.append(done)
        self._want_turn()

    def _on_failure(self, failure: str) -> None:
        """The node fenced itself. Only a disk that failed it is an excuse. Law FAIL CLOSED."""
        self.stats.refusal_count += 1
        self.trace.record(self.scheduler.now_us, trace.STOPPED, self._incarnation, 0, failure.encode())
        if self.disk.error_count == self._started_errors and self._pending_rot is None:
            self.promises.violate(
                "NO SILENT CUT", "the disk kept everything that was synced", f"the node says: {failure}"
            )
        self._heal_rot()
        self._crash(_BY_KILL, 100_000, 0)

    def _heal_rot(self) -> None:
        if self._pending_rot is not None:
            name, offset, bit = self._pending_rot
            self._pending_rot = None
            self.disk.heal_bit(name, offset, bit)

    def _crash(self, model: int, restart_us: int, again_us: int) -> None:
        """The process ends at once; with a `model`, the whole machine."""
        now_us = self.scheduler.now_us
        if not self._is_up:
            return
        self.stats.crash_count += 1
        if self._node is not None and self.is_ready and self._autopsy.chance(1, 4):
            autopsy.check_durable(self._node, self.disk.durable_image(), self._node_config.storage, self.promises)
        self._is_up = False
        self.is_ready = False
        self._node = None
        self._armed = None
        self._farewells = {}
        if model == _BY_KILL:
            self.disk.kill()
        else:
            self.stats.power_loss_count += 1
            self.disk.lose_power(model)
        self.stats.lost_sector_count = self.disk.lost_sector_count
        for link in self._conns.values():
            if link.node_is_open:
                self.network.lose_node(link)
        self._conns = {}
        self.scheduler.push(now_us + restart_us, NODE_START, self._incarnation + 1)
        if again_us:
            kind = nemesis.KILL if model == _BY_KILL else nemesis.POWER
            again: Fault = (now_us + restart_us + again_us, kind, restart_us, 0, max(model, 0))
            self.scheduler.push(again[0], FAULT_DUE, kind, again)

    # -- connections --------------------------------------------------------------------------------------------------

    def _is_served(self, link: Link) -> bool:
        return link.node_is_open and self._conns.get(link.conn_id) is link

    def _to_node(self, link: Link, item: object) -> None:
        if not link.node_is_open:
            return
        if not link.conn_id:
            self._accept(link)
        elif self._is_served(link):
            assert isinstance(item, bytes | str)
            if link.is_paused:
                link.held.append(item)
            else:
                self._receive(link, item)

    def _accept(self, link: Link) -> None:
        if not self._is_up:
            self.network.lose_node(link)
            return
        self._conn_count += 1
        link.conn_id = self._conn_count
        self._conns[link.conn_id] = link
        for number in [n for n, held in self._farewells.items() if not held[1]]:
            if self.network.links[number].client == link.client:
                del self._farewells[number]  # This connection takes over before the DISCONNECT arrives.
        self.trace.record(self.scheduler.now_us, trace.ACCEPTED, link.conn_id, link.client, b"")
        self._inputs.accepted.append(Accepted(link.conn_id, LISTENER, TCP, f"sim:{link.number}"))
        self._want_turn()

    def _receive(self, link: Link, item: bytes | str) -> None:
        now_us = self.scheduler.now_us
        if isinstance(item, bytes):
            if link.loses_bytes:
                return
            self.trace.record(now_us, trace.TO_NODE, link.conn_id, len(item), item)
            self._inputs.received.append((link.conn_id, item))
        else:
            self.trace.record(now_us, trace.NODE_CLOSED, link.conn_id, link.client, item.encode())
            link.node_is_open = False
            self._inputs.closed.append((link.conn_id, item))
            farewell = self._farewells.get(link.number)
            if farewell is not None and not link.is_half_open:
                self._farewells[link.number] = (farewell[0], now_us)
        self._want_turn()

    def _write(self, link: Link, data: bytes) -> None:
        if self.network.node_send(link, data):
            self._inputs.blocked.append(link.conn_id)
            self._want_turn()

    def _resume(self, link: Link) -> None:
        link.is_paused = False
        held, link.held = link.held, []
        for item in held:
            self._receive(link, item)

    def _close(self, link: Link) -> None:
        self.network.node_close(link)
        self._farewells.pop(link.number, None)
        self._inputs.closed.append((link.conn_id, "closed by the server"))
        self._want_turn()

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
            self._farewells[link.number] = (will_key, 0)
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
        self._check_farewells()
        self.trace.record(now_us, trace.CLIENT_ACTION, number, client.state, b"")
        self.scheduler.push(now_us + behaviour.think_us(), CLIENT_DUE, number)

    def _check_farewells(self) -> None:
        for number in list(self._farewells):
            will_key, at_us = self._farewells[number]
            if at_us and self.scheduler.now_us - at_us > FAREWELL_US:
                del self._farewells[number]
                self.promises.on_will_removed(
                    will_key, f"DISCONNECT with reason code 0 arrived at {at_us // 1000} ms and the node ran on"
                )

    # -- faults -------------------------------------------------------------------------------------------------------

    def _fault(self, fault: Fault) -> None:
        _, kind, a, b, c = fault
        name = nemesis.KIND_NAMES[kind]
        self.stats.faults[name] = self.stats.faults.get(name, 0) + 1
        self.trace.record(self.scheduler.now_us, trace.FAULT, kind, a, name.encode())
        if kind == nemesis.KILL:
            self._crash(_BY_KILL, a, b)
        elif kind == nemesis.POWER:
            self._crash(c, a, b)
        elif kind == nemesis.KILL_IN_OUTPUTS:
            self._armed = Armed(a, b, _BY_KILL, False)
        elif kind == nemesis.POWER_IN_OUTPUTS:
            self._armed = Armed(a, b, c, True)
        elif kind == nemesis.PAUSE:
            self._paused_until_us = self.scheduler.now_us + a
            self._farewells = {}
        elif kind == nemesis.WALL_JUMP:
            self._wall_offset_ms += a
        elif kind == nemesis.ROT:
            self._rot(a, b, c)
        else:
            self._fault_on_link(kind, self.clients[a].link, b)

    def _fault_on_link(self, kind: int, link: Link | None, b: int) -> None:
        if link is None:
            return
        if kind == nemesis.CUT:
            self.network.cut(link)
        elif kind == nemesis.CUT_TO_NODE:
            link.node_budget = b
        elif kind == nemesis.CUT_TO_CLIENT:
            link.client_budget = b
        elif kind == nemesis.HALF_OPEN:
            self.network.go_half_open(link)
        else:
            assert kind == nemesis.STALL_READER
            self.network.stall_reader(link)
            self.scheduler.push(self.scheduler.now_us + b, READER_RESUMES, link.number)

    def _rot(self, restart_us: int, part: int, bit: int) -> None:
        """Kill the node, and rot one bit of a batch behind which another one was synced."""
        if not self._is_up or self._pending_rot is not None:
            return
        self._crash(_BY_KILL, restart_us, 0)
        spot = self.disk.rot_spot(part, bit)
        if spot is not None:
            self._pending_rot = spot
            self.disk.flip_bit(*spot)
