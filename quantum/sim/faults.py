"""Carries faults out on the world: each `FaultEvent` of a schedule, drawn or written by hand, when its time has come.

A fault that lasts is ended by the world when it says so, and all are when the world heals. Crashes are handed back: the
world has more to do for them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final

from quantum.sim import damage, inside, nemesis
from quantum.sim.clients import Client
from quantum.sim.damage import Budget, Harm
from quantum.sim.frame_filter import FrameFilter
from quantum.sim.host import BY_KILL, Armed, ArmedStep, Host
from quantum.sim.network import Link, Network
from quantum.sim.operator import Operator
from quantum.sim.peer_network import PeerFrame, PeerNetwork, flipped
from quantum.sim.scenario import FaultEvent
from quantum.sim.scheduler import FAULT_ENDS, READER_RESUMES, Scheduler

REFUSAL_RESTART_US: Final = 100_000  # until a process is started again that ended by itself


_HARMS: Final = (nemesis.HARM, nemesis.ROLL_BACK, nemesis.WIPE, nemesis.MISDIRECT)
# They end a process at once.
_CRASHES: Final = (
    nemesis.KILL,
    nemesis.POWER,
    nemesis.KILL_LEADER,
    nemesis.CRASH_LOOP,
    nemesis.ROT,
    nemesis.HARM,
    nemesis.ROLL_BACK,
    nemesis.WIPE,
)


@final
@dataclass(slots=True)
class Crash:
    """A process that is to end now."""

    host: Host
    model: int  # of the power loss, BY_KILL for a kill
    restart_us: int
    again: FaultEvent | None = None  # follows; its time counts from the restart


@final
class Faults:
    """What is broken at the moment."""

    __slots__ = (
        "_active",
        "budget",
        "operator",
        "_clients",
        "_count",
        "_filter",
        "_hosts",
        "_is_healed",
        "_network",
        "_peers",
        "_scheduler",
        "counts",
        "unreached",
    )

    def __init__(
        self,
        hosts: dict[int, Host],
        clients: list[Client],
        network: Network,
        peers: PeerNetwork,
        scheduler: Scheduler,
        *,
        operator: Operator,
        frame_filter: FrameFilter,
        is_strict: bool,
        voters_min: int,
    ) -> None:
        self._hosts = hosts
        self._clients = clients
        self._network = network
        self._peers = peers
        self._scheduler = scheduler
        self._active: dict[int, tuple[FaultEvent, Callable[[], None]]] = {}
        self._count = 0
        self._is_healed = False
        self.budget = Budget(voters_min if is_strict else len(hosts), is_strict)
        self.operator = operator
        self._filter = frame_filter
        self.unreached: dict[int, int] = {}  # node → how many faults keep clients away from it
        self.counts: dict[str, int] = {}

    def begin(self, event: FaultEvent) -> list[Crash]:
        """The time of a fault has come."""
        if self._is_healed:
            return []  # What follows a crash that struck in time.
        kind = event.kind
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if "client" in event.args:
            self._on_link(event)
            return []
        if kind in (nemesis.POWER_ALL,):
            return self._power_all(event)
        if kind == nemesis.FILTER:
            what = event.args["what"]
            self._filter.begin(what)
            self._last(event, lambda: self._filter.end(what))
            return []
        if kind in (nemesis.TRANSFER, nemesis.MEMBERS):
            self._operate(event)
            return []
        if kind == nemesis.LEADER_MINORITY:
            self._leader_minority(event)
            return []
        host = self._target(event)
        if host is None:
            return []
        if kind in _CRASHES:
            return self._crash(host, event)
        self._on_host(host, event)
        return []

    def end(self, number: int) -> None:
        """The time of a lasting fault is over."""
        active = self._active.pop(number, None)
        if active is not None:
            active[1]()

    def heal(self) -> None:
        """Everything that is broken is whole again."""
        self._is_healed = True
        for number in list(self._active):
            self.end(number)
        for host in self._hosts.values():
            host.armed = None
            host.armed_step = None
            host.disk.disarm()

    @property
    def is_cluster_disturbed(self) -> bool:
        """Something lasts that keeps nodes from talking or working."""
        return any(event.kind != nemesis.CLIENT_PARTITION for event, _ in self._active.values())

    # -- whom -----------------------------------------------------------------------------------------------------

    def leader(self) -> Host | None:
        """The node that leads in the highest term."""
        found: Host | None = None
        highest = -1
        for host in self._hosts.values():
            node = host.node
            if node is not None and inside.is_leading(node) and inside.current_term(node) > highest:
                found = host
                highest = inside.current_term(node)
        return found

    def _target(self, event: FaultEvent) -> Host | None:
        if event.kind in (nemesis.KILL_LEADER, nemesis.PAUSE_LEADER):
            return self.leader()
        return self._hosts.get(event.nodes[0]) if event.nodes else None

    # -- processes and machines -----------------------------------------------------------------------------------

    def _crash(self, host: Host, event: FaultEvent) -> list[Crash]:
        if not host.is_up or not self._may_harm(host, event):
            return []
        again: FaultEvent | None = None
        args = event.args
        if args.get("again_us"):
            kind = nemesis.POWER if event.kind == nemesis.POWER else nemesis.KILL
            again = FaultEvent(args["again_us"], kind, event.duration_us, (host.number,), {**args, "again_us": 0})
        elif args.get("count", 0) > 1:
            again = FaultEvent(
                args["gap_us"], event.kind, event.duration_us, event.nodes, {**args, "count": args["count"] - 1}
            )
        model = args["model"] if event.kind == nemesis.POWER else BY_KILL
        crash = Crash(host, model, event.duration_us, again)
        if event.kind == nemesis.ROT:
            if host.rot is not None or host.harm is not None:
                return []
            if len(self._hosts) > 1:
                host.harm = Harm(damage.ROT_BIT, args["part"], args["choice"])
                return [crash]
            # The bit turns when the process is gone: what it would read back of its own cache is as it was.
            host.rots_at_end = (args["part"], args["choice"])
        elif event.kind == nemesis.HARM:
            host.harm = Harm(args["harm"], args["part"], args["choice"])
        elif event.kind == nemesis.WIPE:
            host.harm = Harm(damage.WIPE, 0, 0)
        elif event.kind == nemesis.ROLL_BACK:
            host.harm = Harm(damage.ROLL_BACK, args["part"], 0)
        return [crash]

    def _may_harm(self, host: Host, event: FaultEvent) -> bool:
        """Lasting damage is taken from the budget; beyond it, it does not happen."""
        if event.kind not in _HARMS and not (event.kind == nemesis.ROT and len(self._hosts) > 1):
            return True
        return self.budget.take(host.number, host.incarnation)

    def _power_all(self, event: FaultEvent) -> list[Crash]:
        crashes: list[Crash] = []
        for host in self._hosts.values():
            if host.is_up:
                restart_us = event.duration_us + len(crashes) * event.args.get("stagger_us", 0)
                crashes.append(Crash(host, event.args["model"], restart_us))
        return crashes

    def _on_host(self, host: Host, event: FaultEvent) -> None:
        kind = event.kind
        args = event.args
        now_us = self._scheduler.now_us
        if kind in (nemesis.PAUSE, nemesis.PAUSE_LEADER, nemesis.SUSPEND):
            host.pause(event.duration_us)
            if kind == nemesis.SUSPEND:
                host.clock.freeze(now_us, event.duration_us)
        elif kind == nemesis.KILL_IN_OUTPUTS:
            host.armed = Armed(event.duration_us, args["served"], BY_KILL, False)
        elif kind == nemesis.POWER_IN_OUTPUTS:
            host.armed = Armed(event.duration_us, args["served"], args["model"], True)
        elif kind == nemesis.WALL_JUMP:
            host.clock.wall_offset_ms += args["by_ms"]
        elif kind == nemesis.COARSE_CLOCK:
            host.clock.coarsen(args["step_ms"])
        elif kind == nemesis.DRIFT:
            host.clock.drift(now_us, args["ppm"])
            self._last(event, lambda: host.clock.drift(self._scheduler.now_us, 0))
        elif kind == nemesis.SYNC_ERROR:
            host.disk.fails_next_sync = True
        elif kind == nemesis.MISDIRECT:
            if host.is_up and self._may_harm(host, event):
                host.disk.misdirects_next = True
                if args.get("kill"):
                    host.armed_step = ArmedStep(event.duration_us, "AppendLog", 0, BY_KILL)
        elif kind in (nemesis.KILL_IN_DISK, nemesis.POWER_IN_DISK):
            request = nemesis.IN_DISK[args["request"]]
            host.armed_step = ArmedStep(event.duration_us, request, args["step"], args.get("model", BY_KILL))
        elif kind == nemesis.READ_ONLY:
            host.disk.is_read_only = True
            self._last(event, host.disk.remount)
        elif kind == nemesis.SLOW_DISK:
            host.disk.extra_sync_us = args["delay_us"]
            self._last(event, host.disk.speed_up)
        elif kind == nemesis.DISK_FULL:
            host.disk.is_full = True
            self._last(event, host.disk.free_space)
        else:
            self._on_peers(host.number, event)

    def _last(self, event: FaultEvent, undo: Callable[[], None]) -> None:
        """The fault is there until its time is over."""
        self._count += 1
        self._active[self._count] = (event, undo)
        self._scheduler.push(self._scheduler.now_us + event.duration_us, FAULT_ENDS, self._count)

    def _operate(self, event: FaultEvent) -> None:
        leader = self.leader()
        if leader is None:
            return
        if event.kind == nemesis.TRANSFER:
            self.operator.transfer(leader, event.nodes[0])
        else:
            self.operator.change(leader, list(event.nodes))
            self._last(event, self.restore_members)

    def restore_members(self) -> None:
        """Everybody votes again, if somebody leads who can be asked."""
        leader = self.leader()
        if leader is not None and not self.operator.is_restored(leader):
            self.operator.change(leader, list(self._hosts))

    # -- between nodes --------------------------------------------------------------------------------------------

    def _on_peers(self, number: int, event: FaultEvent) -> None:
        kind = event.kind
        nodes = event.nodes
        args = event.args
        everybody = list(self._hosts)
        others = [other for other in everybody if other != number]
        if kind == nemesis.PARTITION:
            self._cut(event, split(everybody, list(nodes)))
        elif kind == nemesis.BRIDGE:
            ends = list(nodes[1:])
            half = ends[: len(ends) // 2]
            self._cut(event, split(ends, half))
        elif kind == nemesis.RING:
            beside = {(a, b) for a, b in zip(nodes, (*nodes[1:], nodes[0]), strict=True)}
            self._cut(
                event,
                [(a, b) for a in nodes for b in nodes if a != b and (a, b) not in beside and (b, a) not in beside],
            )
        elif kind == nemesis.ONE_WAY:
            self._cut(event, [(nodes[0], nodes[1])])
        elif kind == nemesis.DEAF:
            self._cut(event, [(other, number) for other in others])
        elif kind == nemesis.MUTE:
            self._cut(event, [(number, other) for other in others])
        elif kind == nemesis.CLIENT_PARTITION:
            self._keep_clients_away(event, number)
        elif kind == nemesis.FOREIGN_FRAME:
            self._foreign(nodes, args["choice"])
        else:
            self._on_link_between(nodes[0], nodes[1], event)

    def _on_link_between(self, sender: int, receiver: int, event: FaultEvent) -> None:
        args = event.args
        link = self._peers.link(sender, receiver)
        if event.kind == nemesis.CLOG:
            self._peers.clog(sender, receiver)
            link.is_reversing = bool(args["is_reversing"])
            self._last(event, lambda: self._peers.unclog(sender, receiver))
        elif event.kind == nemesis.SLOW_LINK:
            link.extra_us = args["delay_us"]
            self._last(event, link.speed_up)
        else:
            assert event.kind == nemesis.NARROW_LINK
            link.bytes_per_ms = args["bytes_per_ms"]
            link.queue_bytes_max = args["queue_bytes"]
            self._last(event, link.widen)

    def _leader_minority(self, event: FaultEvent) -> None:
        leader = self.leader()
        if leader is not None:
            others = [number for number in self._hosts if number != leader.number]
            side = [leader.number, *others[: event.args["count"]]]
            self._cut(event, split(list(self._hosts), side))

    def _cut(self, event: FaultEvent, pairs: list[tuple[int, int]]) -> None:
        for sender, receiver in pairs:
            self._peers.cut(sender, receiver)
        self._last(event, lambda: self._mend(pairs))

    def _mend(self, pairs: list[tuple[int, int]]) -> None:
        for sender, receiver in pairs:
            self._peers.mend(sender, receiver)

    def _foreign(self, nodes: tuple[int, ...], choice: int) -> None:
        """Bytes that no node of this cluster sent just now: an old frame, one that is no frame, or one cut short."""
        kept = [frame for sender in self._hosts for frame in self._peers.link(sender, nodes[0]).kept]
        data = b"\xff" * (choice % 300)
        if kept and choice % 4:
            data = kept[choice % len(kept)].data
            if choice % 4 == 1:
                data = data[: choice % (len(data) + 1)]
            elif choice % 4 == 2 and data:
                data = flipped(data, self._peers.link(nodes[0], nodes[1]).prng)
        self._peers.inject(PeerFrame(nodes[1], nodes[0], data, 0))

    # -- clients --------------------------------------------------------------------------------------------------

    def _keep_clients_away(self, event: FaultEvent, number: int) -> None:
        self.unreached[number] = self.unreached.get(number, 0) + 1
        for link in self._network.links.values():
            if link.host == number and link.client_is_open:
                self._network.cut(link)
        self._last(event, lambda: self._let_clients_in(number))

    def _let_clients_in(self, number: int) -> None:
        self.unreached[number] -= 1

    def _on_link(self, event: FaultEvent) -> None:
        number = event.args["client"]
        link: Link | None = self._clients[number].link if number < len(self._clients) else None
        if link is None:
            return
        kind = event.kind
        if kind == nemesis.CUT:
            self._network.cut(link)
        elif kind == nemesis.CUT_TO_NODE:
            link.node_budget = event.args["bytes"]
        elif kind == nemesis.CUT_TO_CLIENT:
            link.client_budget = event.args["bytes"]
        elif kind == nemesis.HALF_OPEN:
            self._network.go_half_open(link)
        else:
            assert kind == nemesis.STALL_READER
            self._network.stall_reader(link)
            self._scheduler.push(self._scheduler.now_us + event.duration_us, READER_RESUMES, link.number)


def split(everybody: list[int], side: list[int]) -> list[tuple[int, int]]:
    """The directed links between one side and the rest."""
    rest = [number for number in everybody if number not in side]
    return [(a, b) for a in side for b in rest] + [(b, a) for a in side for b in rest]
