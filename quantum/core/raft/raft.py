"""One voter's consensus state: terms, votes, indexes. Entry data is opaque, durability is reported from outside.

A group of one voter is a cluster like any other: it elects itself in a new term, persists term and vote before it acts
on them, begins its term with an entry of its own, and commits by durable indexes only. Source: Raft §5, figure 2.
"""

from typing import Final, final

FOLLOWER: Final = 0
LEADER: Final = 2


@final
class Raft:
    """The state of figure 2, for the voters `{node}`."""

    __slots__ = (
        "_durable_index",
        "_term_start",
        "commit_index",
        "current_term",
        "last_index",
        "node",
        "role",
        "voted_for",
    )

    def __init__(self, node: int, current_term: int, voted_for: int, last_index: int) -> None:
        self.node = node
        self.current_term = current_term
        self.voted_for = voted_for
        self.last_index = last_index
        self.commit_index = 0
        self.role = FOLLOWER
        self._durable_index = 0
        self._term_start = 0  # the index of the own-term entry

    def become_leader(self) -> int:
        """Start a term and win it with the one vote there is; returns the index for the term's own NO_OP entry.

        The caller persists `current_term` and `voted_for` together with or before that entry.
        """
        self.current_term += 1
        self.voted_for = self.node
        self.role = LEADER
        self._term_start = self.append()
        return self._term_start

    def append(self) -> int:
        """The index of a new entry in the current term."""
        assert self.role == LEADER
        self.last_index += 1
        return self.last_index

    def on_durable(self, index: int) -> bool:
        """Entries up to `index` are on this voter's disk, and so on a quorum's; True when the commit index moved.

        Only an entry of the current term commits by counting; it takes all before it along. Raft §5.4.2
        """
        assert index <= self.last_index
        if index <= self._durable_index:
            return False
        self._durable_index = index
        if index < self._term_start or index <= self.commit_index:
            return False
        self.commit_index = index
        return True

    def is_committed_in_own_term(self) -> bool:
        """The leader knows which entries are committed. Raft §8"""
        return self.role == LEADER and self.commit_index >= self._term_start
