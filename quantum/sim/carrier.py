"""Carries out what a turn of a node wants: writes, closes, disk requests, frames to other nodes.

Destinations are served in a drawn order, each first in first out, because the core promises nothing about it. A crash
may wait here for a turn with the right outputs, and falls between two destinations.
"""

from typing import Final, final

from quantum.core.node.outputs import Outputs
from quantum.core.wal.requests import AppendLog
from quantum.sim import crash_matrix, trace
from quantum.sim.connections import Connections
from quantum.sim.farewells import Farewells
from quantum.sim.faults import Crash
from quantum.sim.frame_filter import FrameFilter
from quantum.sim.host import Armed, Host
from quantum.sim.marks import Marks
from quantum.sim.peer_network import PeerFrame, PeerNetwork
from quantum.sim.scheduler import Scheduler
from quantum.sim.scribe import Scribe
from quantum.sim.trace import Trace

# Destinations beside connections, which are positive: lanes of the disk, then nodes.
_LANE: Final = -1
_PEER: Final = -1000


@final
class Carrier:
    """One for the whole world."""

    __slots__ = ("_connections", "_farewells", "_filter", "_marks", "_peers", "_scheduler", "_scribe", "_trace")

    def __init__(
        self,
        connections: Connections,
        peers: PeerNetwork,
        marks: Marks,
        trace: Trace,
        scheduler: Scheduler,
        farewells: Farewells,
        scribe: Scribe | None,
        frame_filter: FrameFilter,
    ) -> None:
        self._connections = connections
        self._peers = peers
        self._marks = marks
        self._trace = trace
        self._scheduler = scheduler
        self._farewells = farewells
        self._scribe = scribe
        self._filter = frame_filter

    def carry_out(self, host: Host, out: Outputs) -> Crash | None:
        """Serve all destinations, or those before the crash that is returned."""
        destinations: list[int] = []
        if out.writes or out.closes or out.pauses or out.resumes:
            numbers = [*[number for number, _ in out.writes], *out.closes, *out.pauses, *out.resumes]
            destinations += dict.fromkeys(numbers)
        if out.disk:
            destinations += dict.fromkeys([_LANE - request.lane for request in out.disk])
        if out.peer_frames:
            destinations += dict.fromkeys([_PEER - to for to, _ in out.peer_frames])
        if not destinations:
            return None
        order = destinations
        if len(destinations) > 1:
            order = [destinations[at] for at in host.order.permutation(len(destinations))]
        armed = host.armed
        if armed is not None and armed.wants_writes and not out.writes:
            armed = None
        if armed is None:
            self._serve(host, out, order)
        else:
            self._serve(host, out, order[: armed.served + 1])
        if host.inputs.blocked or host.inputs.closed:
            host.want_turn()
        if self._scribe is not None:
            self._scribe.end_turn(host.number)
        return None if armed is None else self._strike(host, out, armed, order)

    def _strike(self, host: Host, out: Outputs, armed: Armed, order: list[int]) -> Crash:
        host.armed = None
        names = [_name_of(out, number) for number in order]
        served = armed.served + 1
        crash_matrix.note_outputs(self._marks, host, armed.model, names[:served], names[served:])
        return Crash(host, armed.model, armed.restart_us)

    def _serve(self, host: Host, out: Outputs, order: list[int]) -> None:
        writes = dict(out.writes)
        for number in order:
            if number <= _PEER:
                self._send(host, out, _PEER - number)
            elif number < 0:
                self._submit(host, out, _LANE - number)
            else:
                self._serve_link(host, out, number, writes.get(number))

    def _serve_link(self, host: Host, out: Outputs, number: int, data: bytes | None) -> None:
        sockets = host.sockets
        link = sockets.open_link(number)
        if link is None:
            return
        if data is not None:
            sockets.write(link, data)
        if number in out.pauses:
            link.is_paused = True
        if number in out.resumes:
            for item in sockets.resume(link):
                self._connections.receive(host, link, item)
        if number in out.closes:
            sockets.close(link)
            self._farewells.forget(link.number)

    def _submit(self, host: Host, out: Outputs, lane: int) -> None:
        now_us = self._scheduler.now_us
        for request in out.disk:
            if request.lane != lane:
                continue
            self._trace.record(now_us, trace.DISK_REQUEST, host.number << 8 | lane, request.number, b"")
            host.submit(request)
            if self._scribe is not None:
                size = f", {len(request.data)} bytes" if isinstance(request, AppendLog) else ""
                self._scribe.on_request(host.number, request.number, type(request).__name__ + size)

    def _send(self, host: Host, out: Outputs, receiver: int) -> None:
        scribe = self._scribe
        for to, data in out.peer_frames:
            if to != receiver:
                continue
            self._trace.record(self._scheduler.now_us, trace.PEER_SENT, host.number << 32 | to, len(data), data)
            data = self._filter.thin(host.number, to, data)
            number = scribe.on_sent(host.number, to, data) if scribe is not None else 0
            if not self._peers.send(PeerFrame(host.number, to, data, number)) and scribe is not None:
                scribe.on_dropped(host.number, to, number, "lost")


def _name_of(out: Outputs, number: int) -> str:
    """What a destination is served with."""
    if number <= _PEER:
        return "peer-frames"
    if number < 0:
        return "+".join(dict.fromkeys(crash_matrix.disk_kinds(out, _LANE - number)))
    return "close" if number in out.closes else "write"
