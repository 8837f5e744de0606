"""Which nodes belong to the cluster, and which of them live, as far as this one hears.

Every member lets every other one hear of it from time to time, whoever leads: an edge tells what is published at QoS 0
to those that live, and the leader closes the edges of those that fell silent.
"""

from typing import Final, final

from quantum.core.group import Replica
from quantum.core.node.peers import Peers
from quantum.core.raft.membership import Membership

GREETINGS: Final = 4  # in the time after which a silent node counts as gone


@final
class Presence:
    """The members other than this node."""

    __slots__ = (
        "_committed",
        "_greet_ms",
        "_latest",
        "_next_ms",
        "_node",
        "_peers",
        "_replica",
        "is_member",
        "live",
        "others",
        "timeout_ms",
    )

    def __init__(self, node: int, replica: Replica, peers: Peers, timeout_ms: int) -> None:
        self._node = node
        self._replica = replica
        self._peers = peers
        self.timeout_ms = timeout_ms
        self._greet_ms = max(1, timeout_ms // GREETINGS)
        self._latest: Membership | None = None
        self._committed: Membership | None = None
        self._next_ms = 0
        self.is_member = True  # as far as is committed
        self.others: list[int] = []  # members, as the log has it
        self.live: list[int] = []  # those of them that were heard lately

    @property
    def live_count(self) -> int:
        """How many other nodes live."""
        return len(self.live)

    def advance(self, now_ms: int) -> None:
        """Look around, and greet whom nothing was said to for some time."""
        raft = self._replica.raft
        if not self.others and raft.membership is self._latest is self._committed:
            return
        if raft.membership is not self._latest:
            self._latest = raft.membership
            self.others = [node for node in raft.membership.members() if node != self._node]
        committed = raft.membership_at(self._replica.applied_index)
        if committed is not self._committed:
            self._forget(committed)
        if not self.others:
            self.live = []
            self._next_ms = 0
            return
        peers = self._peers
        self.live = [node for node in self.others if self.is_live(node, now_ms)]
        next_ms = 0
        for node in self.others:
            due_ms = peers.spoken_ms(node) + self._greet_ms
            if now_ms >= due_ms or not peers.spoken_ms(node):
                peers.greet(node)
                due_ms = now_ms + self._greet_ms
            next_ms = due_ms if not next_ms else min(next_ms, due_ms)
        self._next_ms = next_ms

    def is_live(self, node: int, now_ms: int) -> bool:
        """Whether a node was heard lately."""
        heard_ms = self._peers.heard_ms(node)
        return heard_ms > 0 and now_ms - heard_ms < self.timeout_ms

    def _forget(self, committed: Membership) -> None:
        """A node that a committed change took out is no member for good: its number is not used again. thesis §4.2.3"""
        before = self._committed
        self._committed = committed
        self.is_member = self._node in committed.members()
        if before is not None:
            members = committed.members()
            for node in before.members():
                if node not in members and node != self._node:
                    self._peers.on_removed(node)

    def next_deadline_ms(self) -> int:
        """When to look again, 0 for never."""
        return self._next_ms
