"""The way of an edge's commands into the log: to the leader, wherever it is, again until they are applied.

An edge numbers its entries by `forward_seq`. The leader appends each number once and in order; what it cannot append now
it drops, and says which number it expects. The log itself lets a number count only in its turn, so that nothing here is
needed for safety: a resend costs bytes, never a second effect. The leader's own edge takes the same way, without frames.
"""

from collections import deque
from struct import Struct, error
from typing import Final, final

from quantum.core.broker.commands import (
    CloseEdge,
    Command,
    Entry,
    GiveAgain,
    OpenEdge,
    decode_entry,
    encode_entry,
    stamped,
)
from quantum.core.broker.effects import Effects
from quantum.core.broker.state import BrokerState
from quantum.core.edge.pending import Batch, Pending, Unapplied
from quantum.core.group import Replica
from quantum.core.node.clock import Clock
from quantum.core.node.peer_frames import FORWARD, FORWARD_STATE
from quantum.core.node.peers import Peers
from quantum.core.prng import Prng

RESEND_MS: Final = 1_000  # without a sign of progress
OPEN_RETRY_MS: Final = 300
WINDOW_BYTES: Final = 16_777_216  # on their way to a leader elsewhere
STATE_GAP_MS: Final = 20  # between two resends that the leader asked for

_STATE: Final = Struct("<QQQ")  # term, incarnation, the forward_seq that is expected


@final
class Router:
    """Both ends of the way: this node's edge, and this node as the leader of all edges."""

    __slots__ = (
        "_answered",
        "_answered_ms",
        "_asked_ms",
        "_clock",
        "_expected",
        "_group",
        "_leader",
        "_node",
        "_nonce",
        "_open_at_ms",
        "_partition",
        "_peers",
        "_progress_ms",
        "_redecode",
        "_redecode_share",
        "_term",
        "_unsent",
        "_unsent_bytes",
        "is_open",
        "leading_term",
        "pending",
    )

    def __init__(
        self,
        node: int,
        nonce: int,
        group: Replica,
        partition: BrokerState,
        peers: Peers,
        clock: Clock,
        redecode: Prng,
        redecode_share: int,
    ) -> None:
        self._node = node
        self._nonce = nonce
        self._group = group
        self._partition = partition
        self._peers = peers
        self._clock = clock
        self._redecode = redecode
        self._redecode_share = redecode_share
        self.pending = Pending(node)
        self.is_open = False  # the log knows this process as its edge
        self._unsent: deque[Unapplied] = deque()
        self._unsent_bytes = 0
        self._leader = 0
        self._term = 0
        self._progress_ms = 0  # when something was last sent for the first time, or applied
        self._asked_ms = 0  # when the leader last had something sent again
        self._open_at_ms = 0  # when to ask for the edge to be opened; 0 for now
        self.leading_term = 0  # the term in which this node leads and knows all that was appended before; 0 for none
        self._expected: dict[int, tuple[int, int]] = {}  # edge → (incarnation, next forward_seq to append)
        self._answered: dict[int, None] = {}  # edges that were told in this millisecond what is expected
        self._answered_ms = 0

    # -- this node's edge -------------------------------------------------------------------------------------------

    def submit(self, batch: Batch) -> None:
        """Commands of this node's edge."""
        unapplied = self.pending.add(batch)
        if not self._unsent and len(self.pending) == 1:
            self._progress_ms = self._clock.now_ms
        self._unsent.append(unapplied)
        self._unsent_bytes += len(unapplied.data)

    def submit_close(self, left: list[GiveAgain]) -> None:
        """Close this node's edge: as if all its connections were cut. What they leave to others goes behind that."""
        batch = Batch()
        batch.add(CloseEdge(self._node, self.pending.incarnation), None)
        for command in left:
            batch.add(command, None)
        self.submit(batch)

    def on_applied(self, effects: Effects) -> Batch | None:
        """The batch that an applied entry answers, if it is one of this edge."""
        for edge, incarnation in effects.edges_closed:
            self._expected.pop(edge, None)
            if edge == self._node and incarnation == self.pending.incarnation:
                self.on_closed()
        for edge, incarnation, nonce in effects.edges_opened:
            self._expected.pop(edge, None)
            if edge == self._node and nonce == self._nonce:
                self.pending.open(incarnation)
                self.is_open = True
                self._forget_unsent()
        batch = self.pending.take(effects)
        if batch is not None:
            self._progress_ms = self._clock.now_ms
            if self._unsent and self._unsent[0].forward_seq == effects.forward_seq:
                self._unsent_bytes -= len(self._unsent.popleft().data)
        return batch

    def on_closed(self) -> None:
        """This incarnation of the edge is over; what it had still to say is void."""
        self.pending = Pending(self._node)
        self.is_open = False
        self._forget_unsent()
        self._open_at_ms = 0

    def _forget_unsent(self) -> None:
        self._unsent.clear()
        self._unsent_bytes = 0

    def _send_again(self) -> None:
        self._unsent = deque(self.pending.unapplied())
        self._unsent_bytes = self.pending.size
        self._progress_ms = self._clock.now_ms

    def look(self) -> None:
        """See who leads, and whether this node may append for others."""
        group = self._group
        raft = group.raft
        leader, term = raft.leader, raft.current_term
        if leader != self._leader or term != self._term:
            self._leader = leader
            self._term = term
            self._send_again()
            self._open_at_ms = 0
        leadership = raft.leadership
        if leadership is None or group.applied_index < leadership.term_start:
            self.leading_term = 0
        elif self.leading_term != term:
            self._lead(term)

    def pump(self, *, wants_open: bool) -> None:
        """Send what the leader may not have."""
        if not self._is_led():
            return
        leader = self._leader
        if wants_open and not self.is_open and self._clock.now_ms >= self._open_at_ms:
            self._open_at_ms = self._clock.now_ms + OPEN_RETRY_MS
            self._ask_open(leader)
        if leader != self._node:
            self._forward(leader)
        elif self._unsent:
            self._append_own()

    def _is_led(self) -> bool:
        """There is a leader to ask: this node itself only once it may append."""
        return self._leader != 0 and (self._leader != self._node or self.leading_term != 0)

    def _lead(self, term: int) -> None:
        """The leader's part begins when everything from before its term is applied: then the state says what is next."""
        self.leading_term = term
        self._expected = {}
        self._send_again()
        for edge, _ in self._partition.open_edges():
            if edge != self._node:
                self._tell_expected(edge)

    def _ask_open(self, leader: int) -> None:
        incarnation = self._partition.edge_incarnation(self._node) + 1
        commands: list[Command] = [OpenEdge(self._node, incarnation, self._nonce)]
        entry = Entry(0, self._node, incarnation, 0, commands)
        if leader == self._node:
            self._append(encode_entry(entry), Entry(self._clock.wall_ms, self._node, incarnation, 0, commands))
        else:
            self._peers.add(leader, FORWARD, self._group.number, encode_entry(entry))

    def _append_own(self) -> None:
        unsent = self._unsent
        while unsent:
            first = unsent[0]
            share = self._redecode_share
            kept: Entry | None = None
            if not share or self._redecode.below(16) >= share:
                kept = self.pending.entry(first, self._clock.wall_ms)
            if not self._append(first.data, kept):
                return
            unsent.popleft()
            self._unsent_bytes -= len(first.data)

    def _forward(self, leader: int) -> None:
        if len(self.pending) > len(self._unsent) and self._clock.now_ms - self._progress_ms >= RESEND_MS:
            self._send_again()
        unsent = self._unsent
        while unsent and self.pending.size - self._unsent_bytes < WINDOW_BYTES:
            first = unsent.popleft()
            self._unsent_bytes -= len(first.data)
            self._peers.add(leader, FORWARD, self._group.number, first.data)

    def on_forward_state(self, sender: int, body: bytes) -> bool:
        """The leader says what it expects next of this edge; False where it is not understood."""
        if len(body) != _STATE.size:
            return False
        term, incarnation, expected = _STATE.unpack(body)
        if sender != self._leader or term != self._term or incarnation != self.pending.incarnation:
            return True
        if self._clock.now_ms - self._asked_ms < STATE_GAP_MS or not len(self.pending):
            return True
        waiting = self.pending.unapplied()
        if waiting[-1].forward_seq >= expected:
            self._asked_ms = self._clock.now_ms
            self._unsent = deque([each for each in waiting if each.forward_seq >= expected])
            self._unsent_bytes = sum([len(each.data) for each in self._unsent])
        return True

    def next_deadline_ms(self, *, wants_open: bool) -> int:
        """When to look again, 0 for no need."""
        if not self._is_led():
            return 0
        if self._leader == self._node and not wants_open:
            return 0
        due_ms = 0
        if wants_open and not self.is_open:
            due_ms = max(self._open_at_ms, 1)
        if self._leader != self._node and len(self.pending) > len(self._unsent):
            at_ms = self._progress_ms + RESEND_MS
            due_ms = at_ms if not due_ms else min(due_ms, at_ms)
        return due_ms

    # -- this node as the leader ------------------------------------------------------------------------------------

    def on_forward(self, sender: int, data: bytes) -> bool:
        """Commands of another node's edge; False where they are not understood."""
        if not self._group.is_ready_to_lead or self.leading_term != self._group.term:
            return True  # It sends again when it hears of a leader.
        try:
            entry = decode_entry(data)
        except (ValueError, TypeError, IndexError, KeyError, AssertionError, error):
            return False
        if entry.edge != sender:
            return False
        entry.stamp_ms = self._clock.wall_ms
        if entry.forward_seq == 0:
            if entry.incarnation == self._partition.edge_incarnation(sender) + 1:
                self._append(data, entry)
            return True
        incarnation, expected = self._expected_of(sender)
        if entry.incarnation == incarnation and entry.forward_seq == expected:
            if self._append(data, entry):
                self._expected[sender] = (incarnation, expected + 1)
        elif entry.incarnation == incarnation and entry.forward_seq > expected:
            self._tell_expected(sender)
        return True

    def _expected_of(self, edge: int) -> tuple[int, int]:
        found = self._expected.get(edge)
        if found is None:
            if not self._partition.is_edge_open(edge):
                return 0, 0
            found = (self._partition.edge_incarnation(edge), self._partition.edge_forward_seq(edge) + 1)
            self._expected[edge] = found
        return found

    def _tell_expected(self, edge: int) -> None:
        if self._answered_ms != self._clock.now_ms:
            self._answered_ms = self._clock.now_ms
            self._answered = {}
        if edge not in self._answered:
            self._answered[edge] = None
            incarnation, expected = self._expected_of(edge)
            body = _STATE.pack(self.leading_term, incarnation, expected)
            self._peers.add(edge, FORWARD_STATE, self._group.number, body)

    def append_housekeeping(self, entry: Entry) -> int:
        """The leader's own entry; its index, or a negative reason."""
        assert self.leading_term
        return self._group.propose(encode_entry(entry), entry)

    def _append(self, data: bytes, kept: Entry | None) -> bool:
        return self._group.propose(stamped(data, self._clock.wall_ms), kept) > 0
