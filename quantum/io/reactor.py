"""The loop around one node: everything that arrived in one pass of the event loop becomes one turn.

Whatever happens is appended to the `Inputs` that collect, and one turn is scheduled; after the turn every connection gets
at most one write. The reactor knows connections by number only and looks into no bytes.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol, final

from quantum.core.edge.users import UserFile
from quantum.core.events import Event
from quantum.core.node.inputs import Accepted, AdminRequest, Inputs
from quantum.core.node.outputs import AdminReply, Outputs
from quantum.core.wal.requests import DiskDone
from quantum.io.disk import Disk


class Turning(Protocol):
    """What the reactor drives: `Node`, or a small stand-in in a test."""

    def turn(self, inputs: Inputs, out: Outputs) -> None: ...


class Connection(Protocol):
    """One accepted connection, as the reactor sees it."""

    conn_id: int

    def write(self, data: bytes) -> None: ...

    def close(self, with_farewell: bool) -> None:
        """End it after what was written; `with_farewell` when the peer ought to read the last bytes first."""
        ...

    def abort(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


@final
class Reactor:
    """Collects inputs, runs turns, carries out outputs."""

    __slots__ = (
        "_admin_number",
        "_admin_pending",
        "_conn_id",
        "_deadline_ms",
        "_disk",
        "_ended",
        "_flow",
        "_is_over",
        "_is_scheduled",
        "_loop",
        "_node",
        "_on_events",
        "_on_failure",
        "_out",
        "_timer",
        "_timer_at_ms",
        "connections",
        "failure",
        "inputs",
        "turn_count",
    )

    def __init__(
        self,
        node: Turning,
        disk: Disk,
        loop: asyncio.AbstractEventLoop,
        on_events: Callable[[list[Event]], None],
        on_failure: Callable[[], None],
    ) -> None:
        self._node = node
        self._disk = disk
        self._loop = loop
        self._on_events = on_events
        self._on_failure = on_failure
        self._out = Outputs()
        self._is_scheduled = False
        self._is_over = False
        self._flow: dict[int, bool] = {}  # connection → whether it is blocked, where that changed since the last turn
        self._conn_id = 0
        self._admin_number = 0
        self._admin_pending: dict[int, Callable[[AdminReply], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at_ms = 0
        self._deadline_ms = 0
        self._ended: asyncio.Future[None] = loop.create_future()
        self.inputs = Inputs()  # of the next turn
        self.connections: dict[int, Connection] = {}
        self.failure = ""
        self.turn_count = 0

    def start(self) -> None:
        """Begin to turn; the first turn has no inputs but the clocks."""
        self._disk.start(self._loop, self.on_disk_done)
        self.schedule()

    async def wait_ended(self) -> None:
        """Return when the node is stopped, or raise what a turn raised."""
        await self._ended

    def close(self) -> None:
        """Turn no more, and cut every connection that is left."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self.connections.values()):
            connection.abort()
        self._disk.close()

    def schedule(self) -> None:
        """There is something for the next turn."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._turn)

    def take_conn_id(self) -> int:
        self._conn_id += 1
        return self._conn_id

    def on_accepted(self, connection: Connection, accepted: Accepted) -> None:
        self.connections[accepted.conn_id] = connection
        self.inputs.accepted.append(accepted)
        self.schedule()

    def on_received(self, conn_id: int, data: bytes) -> None:
        self.inputs.received.append((conn_id, data))
        if not self._is_scheduled:
            self.schedule()

    def on_closed(self, conn_id: int, text: str) -> None:
        if self.connections.pop(conn_id, None) is not None:
            self.inputs.closed.append((conn_id, text))
            self.schedule()

    def on_blocked(self, conn_id: int) -> None:
        """The lists have no order between them, so a change that came back within one turn is told of at most once."""
        self._on_flow(conn_id, is_blocked=True)

    def on_unblocked(self, conn_id: int) -> None:
        self._on_flow(conn_id, is_blocked=False)

    def _on_flow(self, conn_id: int, *, is_blocked: bool) -> None:
        if self._flow.get(conn_id, is_blocked) != is_blocked:
            del self._flow[conn_id]
        else:
            self._flow[conn_id] = is_blocked
            self.schedule()

    def on_disk_done(self, done: DiskDone) -> None:
        self.inputs.disk_done.append(done)
        self.schedule()

    def on_stop_wanted(self) -> None:
        self.inputs.stopping = True
        self.schedule()

    def on_users(self, file: UserFile) -> None:
        """The users file was read again."""
        self.inputs.users = file
        self.schedule()

    def ask(
        self, method: str, path: str, query: dict[str, str], body: bytes, on_reply: Callable[[AdminReply], None]
    ) -> int:
        """Put an operator's question into the next turn; returns its number."""
        self._admin_number += 1
        self._admin_pending[self._admin_number] = on_reply
        self.inputs.admin.append(AdminRequest(self._admin_number, method, path, query, body))
        self.schedule()
        return self._admin_number

    def withdraw(self, number: int) -> None:
        """Nobody waits for this answer any more."""
        self._admin_pending.pop(number, None)

    def _turn(self) -> None:
        self._is_scheduled = False
        if self._is_over:
            return
        inputs, out = self.inputs, self._out
        inputs.now_ms = monotonic_ms()
        inputs.wall_ms = wall_ms()
        if self._flow:
            inputs.blocked = [conn_id for conn_id, is_blocked in self._flow.items() if is_blocked]
            inputs.unblocked = [conn_id for conn_id, is_blocked in self._flow.items() if not is_blocked]
            self._flow = {}
        out.clear()
        self.turn_count += 1
        try:
            self._node.turn(inputs, out)
            inputs.clear()
            self._carry_out(out)
        except BaseException as error:
            # A node that raised is wrong about itself; nothing it would say after this can be trusted.
            self._is_over = True
            if not self._ended.done():
                self._ended.set_exception(error)

    def _carry_out(self, out: Outputs) -> None:
        if out.disk:
            self._disk.submit(out.disk)  # first: the disk works while the sockets are written
        connections = self.connections
        for conn_id, data in out.writes:
            connection = connections.get(conn_id)
            if connection is not None:
                connection.write(data)
        if out.closes:
            written = {conn_id for conn_id, _ in out.writes}
            for conn_id in out.closes:
                connection = connections.get(conn_id)
                if connection is not None:
                    connection.close(conn_id in written)
        for conn_id in out.pauses:
            connection = connections.get(conn_id)
            if connection is not None:
                connection.pause_reading()
        for conn_id in out.resumes:
            connection = connections.get(conn_id)
            if connection is not None:
                connection.resume_reading()
        for reply in out.admin:
            on_reply = self._admin_pending.pop(reply.number, None)
            if on_reply is not None:
                on_reply(reply)
        if out.events:
            self._on_events(out.events)
        if out.failure and not self.failure:
            self.failure = out.failure
            self._on_failure()
        if out.is_stopped:
            self._is_over = True
            if not self._ended.done():
                self._ended.set_result(None)
            return
        self._arm(out.deadline_ms)

    def _arm(self, deadline_ms: int) -> None:
        """Have a turn at the deadline. A timer that is due earlier stays and looks again when it fires."""
        self._deadline_ms = deadline_ms
        if deadline_ms == 0 or self._is_scheduled:
            return
        if deadline_ms <= self.inputs.now_ms:
            self.schedule()
            return
        if self._timer is not None:
            if self._timer_at_ms <= deadline_ms:
                return
            self._timer.cancel()
        self._timer_at_ms = deadline_ms
        self._timer = self._loop.call_later((deadline_ms - self.inputs.now_ms) / 1000, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._is_over or self._is_scheduled or self._deadline_ms == 0:
            return  # a scheduled turn gives a deadline of its own
        left_ms = self._deadline_ms - monotonic_ms()
        if left_ms <= 0:
            self.schedule()
        else:
            self._timer_at_ms = self._deadline_ms
            self._timer = self._loop.call_later(left_ms / 1000, self._on_timer)
