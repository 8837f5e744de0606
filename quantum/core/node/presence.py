"""Which nodes belong to the cluster, and that this one belongs to it and lives.

Every member lets every other one hear of it from time to time, whoever leads: the leader closes the edges of those that
fell silent, and a new leader must not mistake for silent whom it only had nothing to say to.
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
        "others",
    )

    def __init__(self, node: int, replica: Replica, peers: Peers, timeout_ms: int) -> None:
        self._node = node
        self._replica = replica
        self._peers = peers
        self._greet_ms = max(1, timeout_ms // GREETINGS)
        self._latest: Membership | None = None
        self._committed: Membership | None = None
        self._next_ms = 0
        self.is_member = True  # as far as is committed
        self.others: list[int] = []  # members, as the log has it

    def advance(self, now_ms: int) -> bool:
        """Follow the membership, and greet whom nothing was said to for some time. True when it may have changed."""
        raft = self._replica.raft
        latest = raft.memberships.latest
        is_followed = latest is self._latest and latest is self._committed
        if is_followed:
            if now_ms < self._next_ms or not self.others:
                return False
        else:
            self._follow(latest, raft.membership_at(self._replica.applied_index))
        peers = self._peers
        next_ms = 0
        for node in self.others:
            due_ms = peers.spoken_ms(node) + self._greet_ms
            if now_ms >= due_ms or not peers.spoken_ms(node):
                peers.greet(node)
                due_ms = now_ms + self._greet_ms
            next_ms = due_ms if not next_ms else min(next_ms, due_ms)
        self._next_ms = next_ms
        return not is_followed

    def _follow(self, latest: Membership, committed: Membership) -> None:
        if latest is not self._latest:
            self._latest = latest
            self.others = [node for node in latest.members() if node != self._node]
        if committed is not self._committed:
            self._forget(committed)

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
