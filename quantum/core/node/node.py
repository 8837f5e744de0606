"""The one door: `Node.turn()`. All that happened goes in as lists, all that follows comes out as lists.

Wiring and addresses only: which room is told first, and where a result goes. No rule of MQTT, Raft or the log is here.
"""

from typing import Final, final

from quantum.core.admin.admin import Admin, NodeStatus
from quantum.core.broker.effects import Effects
from quantum.core.broker.state import BrokerState
from quantum.core.causes import (
    DISK_FAILED,
    EDGE_CLOSED,
    NOT_READY,
    PEER_ITEM_REFUSED,
    PENDING_MAX,
    SHUTTING_DOWN,
    TURN_BYTES_MAX,
)
from quantum.core.edge.edge import Edge
from quantum.core.edge.relay import EVERYBODY
from quantum.core.events import Event
from quantum.core.node.backlog import Backlog
from quantum.core.node.clock import Clock
from quantum.core.node.config import NodeConfig
from quantum.core.node.inputs import Inputs
from quantum.core.node.outputs import Outputs
from quantum.core.node.peer_frames import EPHEMERAL, FORWARD, FORWARD_STATE, PeerFrame
from quantum.core.node.peers import Peers
from quantum.core.node.presence import Presence
from quantum.core.node.router import Router
from quantum.core.node.stewardship import Stewardship
from quantum.core.node.storage import Identity, Storage
from quantum.core.prng import Prng

PARTITION: Final = 1  # the group of the default tenant's one partition
STOP_WAIT_MS: Final = 5_000  # for answers to what was received; without a leader they may never come

RECOVERING: Final = 0
OPENING: Final = 1  # this replica takes part; the edge announces itself in the log
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
        "_clock",
        "_config",
        "_edge",
        "_is_leaving",
        "_is_started",
        "_partition",
        "_peers",
        "_presence",
        "_router",
        "_state",
        "_stewardship",
        "_stop_at_ms",
        "_storage",
    )

    def __init__(self, config: NodeConfig, seed: int) -> None:
        prng = Prng(seed)
        self._config = config
        number = config.node_number
        identity = Identity(config.identity.cluster_id, config.identity.node_id, number, config.voters)
        nonce = prng.stream("edge nonce").u64()
        self._partition = BrokerState()
        self._storage = Storage(
            identity, config.storage, {PARTITION: self._partition}, config.raft, prng.stream("raft")
        )
        self._edge = Edge(config.edge, self._partition, prng.stream("client ids"))
        replica = self._storage.groups[PARTITION]
        self._clock = Clock()
        self._peers = Peers(number, nonce, self._edge.causes, self._clock)
        self._router = Router(
            number,
            nonce,
            replica,
            self._partition,
            self._peers,
            self._clock,
            prng.stream("redecode"),
            config.redecode_share,
        )
        timeout_ms = config.edge_timeout_ms
        self._presence = Presence(number, replica, self._peers, timeout_ms)
        self._stewardship = Stewardship(
            number, self._router, self._partition, self._peers, self._clock, config.policy, timeout_ms
        )
        self._admin = Admin()
        self._backlog = Backlog()
        self._state = RECOVERING
        self._is_started = False
        self._is_leaving = False  # connections were told that the node stops
        self._stop_at_ms = 0  # when waiting for the last answers ends

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

    @property
    def peers(self) -> Peers:
        """The other nodes as this one knows them, to be read only: by checkers and tools."""
        return self._peers

    def turn(self, inputs: Inputs, out: Outputs) -> None:
        """One pass over everything that happened. Fills `out`, which the driver has cleared."""
        clock = self._clock
        clock.now_ms = inputs.now_ms
        clock.wall_ms = inputs.wall_ms
        storage = self._storage
        if not self._is_started:
            self._is_started = True
            storage.start()
        if self._state < STOPPED:
            if inputs.disk_done:
                storage.on_disk_done(inputs.disk_done)
            self._edge.on_clock(inputs.now_ms, inputs.wall_ms)
            storage.on_clock(inputs.now_ms)
            for data in inputs.peer_frames:
                self._on_peer_frame(data)
            self._on_applied()
            self._on_connections(inputs)
            if inputs.stopping and self._state < STOPPING:
                self._begin_stop()
            self._advance()
        wants_turn = self._finish(out)
        if inputs.admin and self._answer_admin(inputs, out):
            wants_turn = True
        self._set_deadline(inputs, out, wants_turn)

    # -- in -------------------------------------------------------------------------------------------------------

    def _on_peer_frame(self, data: bytes) -> None:
        frame = self._peers.on_frame(data)
        if frame is None:
            return
        if self._peers.lost:
            for lost in self._peers.take_lost():
                self._storage.on_peer_lost(lost)
        for item in frame.items:
            if item.kind in (FORWARD, FORWARD_STATE, EPHEMERAL):
                is_understood = item.group == PARTITION and self._on_edge_item(frame, item.kind, item.body)
            else:
                is_understood = self._storage.on_item(frame.sender, item)
            if not is_understood:
                self._edge.causes.count(PEER_ITEM_REFUSED, 1)

    def _on_edge_item(self, frame: PeerFrame, kind: int, body: bytes) -> bool:
        if kind == FORWARD:
            return self._router.on_forward(frame.sender, body)
        if kind == FORWARD_STATE:
            return self._router.on_forward_state(frame.sender, body)
        self._edge.on_ephemeral(frame.sender, frame.nonce, body)
        return True

    def _on_applied(self) -> None:
        edge = self._edge
        router = self._router
        if self._storage.installed:
            # Effects were missed: whatever this node's connections were owed is owed to their next connections.
            self._storage.installed = []
            router.on_closed()
            self._reopen()
        for _, effects in self._storage.take_applied():
            assert isinstance(effects, Effects)
            was_open = router.is_open
            batch = router.on_applied(effects)
            if was_open and not router.is_open:
                self._reopen()
            elif router.is_open and not was_open:
                edge.on_edge_opened()
            edge.on_applied(batch, effects)

    def _reopen(self) -> None:
        """This incarnation of the edge is over; the node opens the next."""
        self._edge.on_edge_closed(EDGE_CLOSED)
        if self._state == READY:
            self._state = OPENING

    def _on_connections(self, inputs: Inputs) -> None:
        edge = self._edge
        if inputs.users is not None:
            edge.on_users(inputs.users)
        for accepted in inputs.accepted:
            edge.on_accepted(accepted.conn_id, accepted.listener, accepted.peer, accepted.certificate_name)
        for conn_id in inputs.blocked:
            edge.on_blocked(conn_id)
        for conn_id in inputs.unblocked:
            edge.on_unblocked(conn_id)
        edge.read_on()
        backlog = self._backlog
        budget = self._config.turn_bytes_max
        is_full = self._is_full()
        while len(backlog) and budget > 0 and not is_full:
            conn_id, data, reason = backlog.pop()
            if not backlog.holds(conn_id):
                edge.on_backlog(conn_id, waits=False)
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
                edge.on_backlog(conn_id, waits=True)
        for conn_id, reason in inputs.closed:
            if len(backlog) and backlog.holds(conn_id):
                backlog.push(conn_id, None, reason)
            else:
                edge.on_closed(conn_id, reason)

    def _is_full(self) -> bool:
        return self._router.pending.size > self._config.edge.pending_bytes_max

    def _advance(self) -> None:
        """Move through the states of a node's life, and propose what this turn collected."""
        storage = self._storage
        router = self._router
        if storage.failure:
            self._fail()
            return
        if self._state == RECOVERING and storage.is_serving:
            self._state = OPENING
            self._peers.open(storage.identity.cluster_id)
        if self._state == OPENING and router.is_open:
            self._state = READY
        if self._state == STOPPING:
            self._stop()
        if self._state != RECOVERING:
            router.look()
            if router.is_open and self._state in (READY, STOPPING):
                batch = self._edge.take_batch()
                if batch is not None:
                    router.submit(batch)
            self._stewardship.advance(storage.groups[PARTITION].applied_index)
            if self._presence.advance(self._clock.now_ms):
                self._edge.on_peers(len(self._presence.others))
            if not self._presence.is_member and router.is_open:
                router.on_closed()
                self._reopen()
            router.pump(wants_open=self._wants_open())
        if storage.flush():
            self._on_applied()

    def _wants_open(self) -> bool:
        return self._state == OPENING and self._presence.is_member

    def _begin_stop(self) -> None:
        if self._storage.is_serving:
            self._storage.groups[PARTITION].step_aside()
        self._state = STOPPING
        self._stop_at_ms = self._clock.now_ms + STOP_WAIT_MS

    def _stop(self) -> None:
        """What was received is made durable and answered, then everybody is told. In a cluster the edge closes too: the
        others need not find out; a sole node's sessions end when it opens its edge again."""
        router = self._router
        is_late = self._clock.now_ms >= self._stop_at_ms
        is_quiet = not (self._storage.pending_bytes or len(self._backlog) or len(router.pending))
        if self._is_leaving:
            if is_late or not router.is_open:
                self._state = STOPPED
        elif is_quiet or is_late:
            self._is_leaving = True
            self._edge.on_stopping(SHUTTING_DOWN)
            left = self._edge.take_last()
            if is_late or not router.is_open or not self._presence.others:
                self._state = STOPPED
            else:
                router.submit_close(left)

    def _fail(self) -> None:
        """The disk cannot be trusted: nothing more is acknowledged by this process (FAULTS W7)."""
        self._state = FAILED
        self._edge.on_failed(DISK_FAILED)

    # -- out ------------------------------------------------------------------------------------------------------

    def _finish(self, out: Outputs) -> bool:
        edge = self._edge
        wants_turn = edge.flush()
        if edge.writes:
            out.writes, edge.writes = edge.writes, []
        if edge.closes:
            out.closes, edge.closes = edge.closes, []
        out.pauses = edge.reading.take_pauses()
        out.resumes = edge.reading.take_resumes()
        out.disk = self._storage.take_requests()
        out.peer_frames = self._take_frames()
        out.events = self._storage.take_events() + edge.take_events()
        if self._state == READY and not self._admin.is_announced:
            self._admin.is_announced = True
            out.events.append(Event("node_ready", 20, None, {"applied_index": self._storage.replay_applied}))
            out.is_ready = True
        out.failure = self._storage.failure
        out.is_stopped = self._state == STOPPED
        return wants_turn

    def _take_frames(self) -> list[tuple[int, bytes]]:
        peers = self._peers
        bodies = self._edge.take_ephemeral()
        if self._state in (RECOVERING, FAILED):
            return []
        for to, item in self._storage.take_items():
            peers.add(to, item.kind, item.group, item.body)
        for to, body in bodies:
            for each in self._presence.others if to == EVERYBODY else [to]:
                peers.add(each, EPHEMERAL, PARTITION, body)
        return peers.take_frames()

    def _answer_admin(self, inputs: Inputs, out: Outputs) -> bool:
        """True when something may have been changed, and another turn is due."""
        frames = self._peers.frames_received, self._peers.frames_sent
        status = NodeStatus(self._reasons(), self._edge, self._partition, self._storage, self._clock.wall_ms, frames)
        for request in inputs.admin:
            out.admin.append(self._admin.answer(request, status))
        return any(request.method != "GET" for request in inputs.admin)

    def _reasons(self) -> list[str]:
        """Why the node is not ready; empty when it is."""
        storage = self._storage
        if self._state == READY:
            if storage.groups[PARTITION].leader:
                return []
            return [f"{NOT_READY.id}: no leader; this node does not reach a quorum of the voters, or an election is on"]
        if self._state == FAILED:
            return [f"{DISK_FAILED.id}: {storage.failure}"]
        if self._state in (STOPPING, STOPPED):
            return [SHUTTING_DOWN.id]
        if self._state == OPENING and not self._presence.is_member:
            return [f"{NOT_READY.id}: this node is no member of the cluster; see /cluster"]
        if self._state == OPENING:
            leader = storage.groups[PARTITION].leader
            return [f"{NOT_READY.id}: " + (f"node {leader} leads, the edge is being opened" if leader else "no leader")]
        return [f"{NOT_READY.id}: replayed {storage.replay_applied} of {storage.replay_target} segments"]

    def _set_deadline(self, inputs: Inputs, out: Outputs, wants_turn: bool) -> None:
        if self._state >= STOPPED:
            return
        storage = self._storage
        if wants_turn or storage.has_work or (len(self._backlog) and not self._is_full()):
            out.deadline_ms = inputs.now_ms
            return
        deadline_ms = _earlier(self._edge.next_deadline_ms(), storage.next_deadline_ms())
        if self._state != RECOVERING:
            deadline_ms = _earlier(deadline_ms, self._router.next_deadline_ms(wants_open=self._wants_open()))
            if self._presence.others:
                deadline_ms = _earlier(deadline_ms, self._presence.next_deadline_ms())
            deadline_ms = _earlier(deadline_ms, self._stewardship.next_deadline_ms())
        if self._state == STOPPING:
            deadline_ms = _earlier(deadline_ms, self._stop_at_ms)
        out.deadline_ms = deadline_ms


def _earlier(one_ms: int, other_ms: int) -> int:
    """The earlier of two times; 0 stands for never."""
    if one_ms and other_ms:
        return one_ms if one_ms < other_ms else other_ms
    return one_ms or other_ms
