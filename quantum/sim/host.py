"""One node of the world: a process that comes and goes, the machine it runs on, its disk and its clocks.

A small loop around `Node.turn`, like the reactor's. The host schedules its turns and disk steps itself; what leaves a
turn is carried out by the world, which knows where it goes.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.node.config import NodeConfig
from quantum.core.node.inputs import Inputs
from quantum.core.node.node import Node
from quantum.core.node.outputs import Outputs
from quantum.core.prng import Prng
from quantum.core.wal.requests import AppendLog, DiskDone, DiskRequest
from quantum.core.wal.segment import identity_salt
from quantum.sim.damage import WIPE, Harm, do_harm
from quantum.sim.disk import LANES, DiskOptions, SimDisk
from quantum.sim.host_clock import HostClock
from quantum.sim.network import Network
from quantum.sim.scheduler import DISK_STEP, NODE_START, NODE_TURN, Scheduler
from quantum.sim.sockets import Sockets
from quantum.sim.synced_log import SyncedLog

BY_KILL: Final = -1  # how a process ends, beside the models of a power loss


@final
@dataclass(slots=True)
class Armed:
    """A crash that waits for the outputs of a turn."""

    restart_us: int
    served: int  # destinations that are still served
    model: int  # of the power loss, BY_KILL for a kill
    wants_writes: bool  # it waits for a turn that writes to a client


@final
@dataclass(slots=True)
class ArmedStep:
    """A crash that waits for a step of a disk request; the step itself is not carried out any more."""

    restart_us: int
    request: str  # the name of its class
    step: int
    model: int


@final
@dataclass(slots=True)
class Rot:
    """A bit that was turned on a disk and is turned back when the node has said what it thinks of it."""

    name: str
    offset: int
    bit: int


@final
class Host:
    """A node by its number, and what it runs on."""

    __slots__ = (
        "_appends",
        "_deadline_us",
        "_network",
        "_scheduler",
        "_soon_us",
        "_start_prng",
        "_timer_us",
        "_turn_prng",
        "_turn_us_max",
        "armed",
        "armed_step",
        "clock",
        "config",
        "disk",
        "errors_at_start",
        "event",
        "failure",
        "harm",
        "harm_done",
        "incarnation",
        "inputs",
        "log",
        "is_gone",
        "keeps_images",
        "is_ready",
        "is_up",
        "node",
        "number",
        "order",
        "out",
        "paused_until_us",
        "rot",
        "rots_at_end",
        "sockets",
        "starts_at_us",
        "whole_index",
    )

    def __init__(
        self,
        number: int,
        config: NodeConfig,
        prng: Prng,
        disk_options: DiskOptions,
        network: Network,
        scheduler: Scheduler,
        turn_us_max: int,
        wall_offset_ms: int = 0,
    ) -> None:
        self.number = number
        self.config = config
        self.order = prng.stream("order")
        self._turn_prng = prng.stream("turns")
        self._start_prng = prng.stream("starts")
        self._network = network
        self._scheduler = scheduler
        self._turn_us_max = turn_us_max
        self.disk = SimDisk(prng.stream("disk"), disk_options)
        self.log = SyncedLog(identity_salt(config.identity.cluster_id, config.identity.node_id))
        self._appends: dict[int, AppendLog] = {}  # under way, by number
        self.clock = HostClock(0, wall_offset_ms)
        self.node: Node | None = None
        self.inputs = Inputs()
        self.out = Outputs()
        self.sockets = Sockets(network, self.inputs)
        self.incarnation = 0
        self.is_up = False
        self.is_ready = False
        self.is_gone = False  # for good: its disk was wiped, or it stays broken
        self.paused_until_us = 0
        self.starts_at_us = 0  # of a process that is down and comes back
        self.armed: Armed | None = None
        self.rot: Rot | None = None
        self.rots_at_end: tuple[int, int] | None = None  # which bit turns when the process is gone
        self.harm: Harm | None = None  # the same for what stays damaged
        self.keeps_images = False  # of its disk, so that it can be rolled back
        self.harm_done = ""  # in words, the last one
        self.armed_step: ArmedStep | None = None
        self.errors_at_start = 0
        self.whole_index = 0  # what was committed when its process started
        self.failure = ""  # why the last turn raised
        self.event = 0  # of the history: the last thing that happened here
        # Of the NODE_TURN events under way two count: the turn that is wanted soon, and a timer that is not later than the
        # node's deadline. A deadline that moves on leaves its timer where it is, to be set again when it fires.
        self._soon_us = -1
        self._timer_us = -1
        self._deadline_us = -1

    # -- the process ----------------------------------------------------------------------------------------------

    def start_at(self, at_us: int) -> None:
        """The machine starts the process then."""
        self.starts_at_us = at_us
        self._scheduler.push(at_us, NODE_START, self.number, self.incarnation + 1)

    def start(self) -> None:
        """A new process."""
        assert not self.is_up
        now_us = self._scheduler.now_us
        self.incarnation += 1
        self.is_up = True
        self.is_ready = False
        self.errors_at_start = self.disk.error_count
        self.node = Node(self.config, self._start_prng.u64())
        self.inputs = Inputs()
        self.sockets = Sockets(self._network, self.inputs)
        self.clock.reboot(now_us, self._start_prng.below(1 << 40))
        self.paused_until_us = 0
        self._soon_us = self._timer_us = self._deadline_us = -1
        self.want_turn()

    def end(self, model: int) -> None:
        """The process ends at once; with a model of power loss, the whole machine."""
        assert self.is_up
        self.is_up = False
        self.is_ready = False
        self.node = None
        self.armed = None
        self.armed_step = None
        self._appends = {}
        if self.keeps_images:
            self.disk.keep_image()
        if model == BY_KILL:
            self.disk.kill()
        else:
            self.disk.lose_power(model)
        self.sockets.end()
        if self.rots_at_end is not None:
            self._turn_bit(*self.rots_at_end)
            self.rots_at_end = None
        if self.harm is not None:
            self.harm_done = do_harm(self.disk, self.harm)
            if self.harm.kind == WIPE:
                self.log.forget()
            self.harm = None

    def pause(self, for_us: int) -> None:
        """The process stands still; what arrives waits."""
        self.paused_until_us = max(self.paused_until_us, self._scheduler.now_us + for_us)

    @property
    def is_paused(self) -> bool:
        """The process stands still."""
        return self._scheduler.now_us < self.paused_until_us

    # -- turns ----------------------------------------------------------------------------------------------------

    def want_turn(self) -> None:
        """Something happened: a turn, as soon as the process is free."""
        if not self.is_up:
            return
        now_us = self._scheduler.now_us
        if now_us < self._soon_us <= now_us + 1:
            return
        at_us = now_us + 1 + self._turn_prng.below(self._turn_us_max)
        self._turn_at(at_us if at_us > self.paused_until_us else self.paused_until_us)

    def _turn_at(self, at_us: int) -> None:
        if self._scheduler.now_us < self._soon_us <= at_us:
            return
        self._soon_us = at_us
        self._scheduler.push(at_us, NODE_TURN, self.number, self.incarnation)

    def _set_timer(self) -> None:
        self._timer_us = self._deadline_us
        self._scheduler.push(self._timer_us, NODE_TURN, self.number, self.incarnation)

    def is_due(self, incarnation: object) -> bool:
        """Whether an event of a turn counts: the process is up, and a turn is wanted now, or its deadline is reached."""
        if not self.is_up or incarnation != self.incarnation:
            return False
        now_us = self._scheduler.now_us
        if now_us == self._soon_us:
            return True
        if now_us != self._timer_us:
            return False
        self._timer_us = -1
        if self._deadline_us > now_us:
            self._set_timer()
            return False
        return self._deadline_us == now_us

    def turn(self) -> bool:
        """Give the process one turn; its outputs are in `out`. False when there was none, `failure` says when it died."""
        node = self.node
        assert node is not None
        now_us = self._scheduler.now_us
        self._soon_us = -1
        if now_us < self.paused_until_us:
            self._turn_at(self.paused_until_us)
            return False
        self._deadline_us = -1
        inputs = self.inputs
        inputs.now_ms = self.clock.now_ms(now_us)
        inputs.wall_ms = self.clock.wall_ms(now_us)
        out = self.out
        out.clear()
        try:
            node.turn(inputs, out)
        except Exception as error:  # An assertion, in most cases: the process would end here.
            self.failure = f"{type(error).__name__} in {_place_of(error)}: {error}"
            return False
        inputs.clear()
        return True

    def keep_deadline(self) -> None:
        """The node said by when it wants its next turn."""
        deadline_ms = self.out.deadline_ms
        if deadline_ms:
            at_us = self.clock.real_us_at(deadline_ms, self._scheduler.now_us)
            if at_us <= self._scheduler.now_us:
                self.want_turn()
                return
            self._deadline_us = at_us
            if self._timer_us < 0 or at_us < self._timer_us:
                self._set_timer()

    # -- the disk -------------------------------------------------------------------------------------------------

    def submit(self, request: DiskRequest) -> None:
        """Hand a request to the disk."""
        if isinstance(request, AppendLog):
            self._appends[request.number] = request
        self.disk.submit(request)
        self._start_disk()

    def disk_step(self, lane: int) -> DiskDone | None:
        """Carry out the due step of a lane; the request's end is an input of the next turn."""
        wait_us, done = self.disk.step(lane)
        if done is None:
            self._push_step(lane, wait_us)
            return None
        append = self._appends.pop(done.number, None)
        if append is not None and not done.error:
            self.log.on_synced(append.name, append.offset, append.data)
        self.inputs.disk_done.append(done)
        self.want_turn()
        self._start_disk()
        return done

    def _start_disk(self) -> None:
        for lane, wait_us in self.disk.start():
            self._push_step(lane, wait_us)

    def _push_step(self, lane: int, wait_us: int) -> None:
        self._scheduler.push(
            self._scheduler.now_us + wait_us, DISK_STEP, self.number * len(LANES) + lane, self.incarnation
        )

    # -- rot ------------------------------------------------------------------------------------------------------

    def _turn_bit(self, part: int, choice: int) -> None:
        """Turn one bit of a batch behind which others were synced."""
        spot = self.disk.rot_spot(part, choice)
        if spot is not None:
            self.rot = Rot(*spot)
            self.disk.flip_bit(*spot)

    def heal_rot(self) -> None:
        """The bit is as it was."""
        rot, self.rot = self.rot, None
        if rot is not None:
            self.disk.heal_bit(rot.name, rot.offset, rot.bit)


def _place_of(error: Exception) -> str:
    """File and line, found without reading any file: that is forbidden here."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    if at is None:
        return "nowhere"
    return f"{at.tb_frame.f_code.co_filename.rpartition('/')[2]} line {at.tb_lineno}"
