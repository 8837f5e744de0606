"""The one door: `Node.turn()`. All that happened goes in as lists, all that follows comes out as lists.

Wiring and addresses only: which room is told first, and where a result goes. No rule of MQTT, Raft or the log is here.
"""

from typing import Final, final

from quantum.core.admin.admin import Admin, NodeStatus
from quantum.core.broker.commands import HOUSEKEEPING, Command, Entry, OpenEdge, encode_entry, stamped
from quantum.core.broker.effects import Effects
from quantum.core.broker.state import BrokerState
from quantum.core.causes import DISK_FAILED, NOT_READY, PENDING_MAX, SHUTTING_DOWN, TURN_BYTES_MAX
from quantum.core.edge.edge import Edge
from quantum.core.edge.pending import Batch, Pending
from quantum.core.events import Event
from quantum.core.node.backlog import Backlog
from quantum.core.node.config import NodeConfig
from quantum.core.node.inputs import Inputs
from quantum.core.node.outputs import Outputs
from quantum.core.node.storage import Storage
from quantum.core.prng import Prng

PARTITION: Final = 1  # the group of the default tenant's one partition
TIME_STEP_MS: Final = 1  # a due deadline is proposed at most once for each turn

RECOVERING: Final = 0
OPENING: Final = 1  # the log is replayed; the edge announces itself in it
READY: Final = 2
STOPPING: Final = 3
STOPPED: Final = 4
FAILED: Final = 5


@final
class Node:
    """One node of the cluster: an edge, its partitions and their log."""

    __slots__ = (
        "_admin",
        "_backlog",
        "_config",
        "_edge",
        "_goodbyes",
        "_is_started",
        "_nonce",
        "_partition",
        "_pending",
        "_redecode",
        "_state",
        "_storage",
        "_time_index",
        "_wall_ms",
    )

    def __init__(self, config: NodeConfig, seed: int) -> None:
        prng = Prng(seed)
        self._config = config
        self._partition = BrokerState()
        self._storage = Storage(config.identity, config.storage, {PARTITION: self._partition})
        self._edge = Edge(config.edge, self._partition, prng.stream("client ids"))
        self._admin = Admin()
        self._pending = Pending(config.edge.edge)
        self._backlog = Backlog()
        self._redecode = prng.stream("redecode")
        self._nonce = prng.stream("edge nonce").u64()
        self._state = RECOVERING
        self._is_started = False
        self._goodbyes = False  # connections were told that the node stops
        self._time_index = 0  # the entry that was proposed to let time pass
        self._wall_ms = 0

    @property
    def partition(self) -> BrokerState:
        """The replicated state, to be read only: by checkers and tools."""
        return self._partition

    @property
    def edge(self) -> Edge:
        """The edge, to be read only: by checkers and tools."""
        return self._edge

    @property
    def storage(self) -> Storage:
        """The log, to be read only: by checkers and tools."""
        return self._storage

    def turn(self, inputs: Inputs, out: Outputs) -> None:
        """One pass over everything that happened. Fills `out`, which the driver has cleared."""
        storage = self._storage
        edge = self._edge
        self._wall_ms = inputs.wall_ms
        if not self._is_started:
            self._is_started = True
            storage.start()
        if self._state < STOPPED:
            if inputs.disk_done:
                storage.on_disk_done(inputs.disk_done)
            edge.on_clock(inputs.now_ms, inputs.wall_ms)
            self._on_applied()
            self._on_connections(inputs)
            if inputs.stopping and self._state < STOPPING:
                self._state = STOPPING
            self._advance()
        wants_turn = self._finish(inputs, out)
        self._answer_admin(inputs, out)
        self._set_deadline(inputs, out, wants_turn)

    # -- in -------------------------------------------------------------------------------------------------------

    def _on_applied(self) -> None:
        for _, effects in self._storage.take_applied():
            assert isinstance(effects, Effects)
            if effects.index == self._time_index:
                self._time_index = 0
            for edge, incarnation, nonce in effects.edges_opened:
                if edge == self._config.edge.edge and nonce == self._nonce:
                    self._pending.open(incarnation)
                    self._edge.on_edge_opened()
            self._edge.on_applied(self._pending.take(effects), effects)

    def _on_connections(self, inputs: Inputs) -> None:
        edge = self._edge
        for accepted in inputs.accepted:
            edge.on_accepted(accepted.conn_id, accepted.listener, accepted.peer, accepted.certificate_name)
        for conn_id in inputs.blocked:
            edge.on_blocked(conn_id)
        for conn_id in inputs.unblocked:
            edge.on_unblocked(conn_id)
        backlog = self._backlog
        budget = self._config.turn_bytes_max
        is_full = self._storage.pending_bytes > self._config.edge.pending_bytes_max
        while len(backlog) and budget > 0 and not is_full:
            conn_id, data, reason = backlog.pop()
            if data is None:
                edge.on_closed(conn_id, reason)
            else:
                budget -= len(data)
                edge.on_received(conn_id, data)
        for conn_id, data in inputs.received:
            if budget > 0 and not is_full and not (len(backlog) and backlog.holds(conn_id)):
                budget -= len(data)
                edge.on_received(conn_id, data)
            else:
                edge.causes.count(PENDING_MAX if is_full else TURN_BYTES_MAX, 1)
                backlog.push(conn_id, data, "")
        for conn_id, reason in inputs.closed:
            if len(backlog) and backlog.holds(conn_id):
                backlog.push(conn_id, None, reason)
            else:
                edge.on_closed(conn_id, reason)

    def _advance(self) -> None:
        """Move through the states of a node's life, and propose what this turn collected."""
        storage = self._storage
        if storage.failure:
            self._fail()
            return
        if self._state == RECOVERING and storage.is_ready:
            self._state = OPENING
            if not self._partition.has_policy(self._config.policy):
                self._propose_entry(Entry(self._wall_ms, HOUSEKEEPING, 0, 0, [self._config.policy]))
            edge = self._config.edge.edge
            incarnation = self._partition.edge_incarnation(edge) + 1
            opening: list[Command] = [OpenEdge(edge, incarnation, self._nonce)]
            self._propose_entry(Entry(self._wall_ms, edge, incarnation, 0, opening))
        if self._state == OPENING and storage.pending_bytes == 0 and self._pending.incarnation:
            self._state = READY
        if self._state == STOPPING:
            self._stop()
        if self._state in (READY, STOPPING):
            batch = self._edge.take_batch()
            if batch is not None:
                self._propose(batch)
            elif self._state == READY:
                self._let_time_pass()
        storage.flush()
        self._on_applied()

    def _propose(self, batch: Batch) -> None:
        unapplied = self._pending.add(batch)
        share = self._config.redecode_share
        kept = None
        if not share or self._redecode.below(16) >= share:
            kept = self._pending.entry(unapplied, self._wall_ms)
        self._storage.propose(PARTITION, stamped(unapplied.data, self._wall_ms), kept)

    def _propose_entry(self, entry: Entry) -> int:
        return self._storage.propose(PARTITION, encode_entry(entry), entry)

    def _let_time_pass(self) -> None:
        """Expiry, will delay and session end are log entries: an empty one moves the replicated time on."""
        due_ms = self._partition.next_deadline_ms()
        if due_ms and due_ms <= self._wall_ms and not self._time_index:
            self._time_index = self._propose_entry(Entry(self._wall_ms, HOUSEKEEPING, 0, 0, []))

    def _stop(self) -> None:
        """What was received is made durable and answered, then everybody is told."""
        if self._storage.pending_bytes or len(self._backlog) or len(self._pending):
            return
        if not self._goodbyes:
            self._goodbyes = True
            self._edge.on_stopping(SHUTTING_DOWN)
            self._edge.take_batch()  # sessions end in the log when the node opens its edge again
            self._state = STOPPED

    def _fail(self) -> None:
        """The disk cannot be trusted: nothing more is acknowledged by this process (FAULTS W7)."""
        self._state = FAILED
        self._edge.on_failed(DISK_FAILED)

    # -- out ------------------------------------------------------------------------------------------------------

    def _finish(self, inputs: Inputs, out: Outputs) -> bool:
        edge = self._edge
        wants_turn = edge.flush()
        out.writes, edge.writes = edge.writes, []
        out.closes, edge.closes = edge.closes, []
        out.pauses = edge.take_pauses() + self._backlog.pauses
        out.resumes = edge.take_resumes() + self._backlog.resumes
        self._backlog.pauses = []
        self._backlog.resumes = []
        out.disk = self._storage.take_requests()
        out.events = self._storage.take_events() + edge.take_events()
        if self._state == READY and not self._admin.is_announced:
            self._admin.is_announced = True
            out.events.append(Event("node_ready", 20, None, {"applied_index": self._storage.replay_applied}))
            out.is_ready = True
        out.failure = self._storage.failure
        out.is_stopped = self._state == STOPPED
        return wants_turn

    def _answer_admin(self, inputs: Inputs, out: Outputs) -> None:
        if inputs.admin:
            status = NodeStatus(self._reasons(), self._edge, self._partition, self._storage, self._wall_ms)
            for request in inputs.admin:
                out.admin.append(self._admin.answer(request, status))

    def _reasons(self) -> list[str]:
        """Why the node is not ready; empty when it is."""
        if self._state == READY:
            return []
        storage = self._storage
        if self._state == FAILED:
            return [f"{DISK_FAILED.id}: {storage.failure}"]
        if self._state in (STOPPING, STOPPED):
            return [SHUTTING_DOWN.id]
        return [f"{NOT_READY.id}: replayed {storage.replay_applied} of {storage.replay_target} entries"]

    def _set_deadline(self, inputs: Inputs, out: Outputs, wants_turn: bool) -> None:
        if self._state >= STOPPED:
            return
        storage = self._storage
        is_full = storage.pending_bytes > self._config.edge.pending_bytes_max
        if wants_turn or storage.has_work or (len(self._backlog) and not is_full):
            out.deadline_ms = inputs.now_ms
            return
        deadline_ms = self._edge.next_deadline_ms()
        due_ms = self._partition.next_deadline_ms()
        if due_ms and not self._time_index and self._state == READY:
            at_ms = inputs.now_ms + max(TIME_STEP_MS, due_ms - inputs.wall_ms)
            if not deadline_ms or at_ms < deadline_ms:
                deadline_ms = at_ms
        out.deadline_ms = deadline_ms
