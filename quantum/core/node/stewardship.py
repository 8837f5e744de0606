"""What only the leader appends, in nobody's name: the tenant's limits, the passing of time, the end of silent edges."""

from typing import Final, final

from quantum.core.broker.commands import HOUSEKEEPING, CloseEdge, Command, Entry, SetPolicy
from quantum.core.broker.state import BrokerState
from quantum.core.node.clock import Clock
from quantum.core.node.peers import Peers
from quantum.core.node.router import Router

TIME_STEP_MS: Final = 1  # a due deadline is proposed at most once for each turn


@final
class Stewardship:
    """The duties of this node while it leads."""

    __slots__ = (
        "_clock",
        "_closing",
        "_has_others",
        "_look_at_ms",
        "_node",
        "_partition",
        "_peers",
        "_policy",
        "_policy_index",
        "_router",
        "_since_ms",
        "_term",
        "_time_index",
        "_timeout_ms",
    )

    def __init__(
        self,
        node: int,
        router: Router,
        partition: BrokerState,
        peers: Peers,
        clock: Clock,
        policy: SetPolicy,
        timeout_ms: int,
    ) -> None:
        self._node = node
        self._router = router
        self._partition = partition
        self._peers = peers
        self._clock = clock
        self._policy = policy
        self._timeout_ms = timeout_ms
        self._term = 0  # in which these duties were taken up, 0 while another node leads
        self._since_ms = 0
        self._policy_index = 0  # the entry that sets the limits
        self._time_index = 0  # the entry that lets time pass
        self._closing: dict[int, int] = {}  # edge → incarnation that is being closed
        self._look_at_ms = 0  # when an edge may be found silent
        self._has_others = False  # edges of other nodes are open

    def advance(self, applied_index: int) -> None:
        """Append what is due."""
        term = self._router.leading_term
        if term != self._term:
            self._term = term
            self._since_ms = self._clock.now_ms
            self._policy_index = 0
            self._time_index = 0
            self._closing = {}
            self._look_at_ms = self._clock.now_ms
        if not term:
            return
        if not self._policy_index and not self._partition.has_policy(self._policy):
            self._policy_index = max(0, self._append([self._policy]))
        if self._time_index <= applied_index:
            self._time_index = 0
            due_ms = self._partition.next_deadline_ms()
            if due_ms and due_ms <= self._clock.wall_ms:
                # Expiry, will delay and session end are log entries: an empty one moves the replicated time on.
                self._time_index = max(0, self._append([]))
        if self._clock.now_ms >= self._look_at_ms:
            self._close_silent()

    def _append(self, commands: list[Command]) -> int:
        return self._router.append_housekeeping(Entry(self._clock.wall_ms, HOUSEKEEPING, 0, 0, commands))

    def _close_silent(self) -> None:
        """A node that nobody hears has lost its connections, as far as its clients and everybody else can tell."""
        self._look_at_ms = self._clock.now_ms + self._timeout_ms
        self._has_others = False
        for edge, incarnation in self._partition.open_edges():
            if edge == self._node:
                continue
            self._has_others = True
            # A new leader gives everybody the time to be heard by it.
            due_ms = max(self._peers.heard_ms(edge), self._since_ms) + self._timeout_ms
            if self._clock.now_ms < due_ms:
                self._look_at_ms = min(self._look_at_ms, due_ms)
            elif self._closing.get(edge) != incarnation and self._append([CloseEdge(edge, incarnation)]) > 0:
                self._closing[edge] = incarnation

    def next_deadline_ms(self) -> int:
        """When to look again, 0 for never."""
        if not self._term:
            return 0
        next_ms = 0
        due_ms = self._partition.next_deadline_ms()
        if due_ms and not self._time_index:
            next_ms = self._clock.now_ms + max(TIME_STEP_MS, due_ms - self._clock.wall_ms)
        if self._has_others and (not next_ms or self._look_at_ms < next_ms):
            next_ms = self._look_at_ms
        return next_ms
