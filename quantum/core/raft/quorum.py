"""Counting: which index a quorum has, whether a vote is won. A joint membership needs a quorum of both its sets.

Source: Raft §5.3, §6; thesis §4.3.
"""

from collections.abc import Callable
from typing import Final

from quantum.core.raft.membership import Membership

PENDING: Final = 0
WON: Final = 1
DEFEATED: Final = 2


def quorum_index(membership: Membership, index_of: Callable[[int], int]) -> int:
    """The greatest index that a quorum has, when each voter has what `index_of` says."""
    index = _majority_index(membership.voters, index_of)
    if membership.outgoing:
        index = min(index, _majority_index(membership.outgoing, index_of))
    return index


def _majority_index(voters: tuple[int, ...], index_of: Callable[[int], int]) -> int:
    indexes = sorted([index_of(node) for node in voters], reverse=True)
    return indexes[len(indexes) // 2]


def is_quorum(membership: Membership, nodes: dict[int, bool]) -> bool:
    """Whether the nodes with True are a quorum."""
    return vote_outcome(membership, nodes) == WON


def vote_outcome(membership: Membership, votes: dict[int, bool]) -> int:
    """WON, DEFEATED when it cannot be won any more, PENDING otherwise."""
    outcome = _majority_outcome(membership.voters, votes)
    if not membership.outgoing:
        return outcome
    other = _majority_outcome(membership.outgoing, votes)
    if DEFEATED in (outcome, other):
        return DEFEATED
    return WON if outcome == other == WON else PENDING


def _majority_outcome(voters: tuple[int, ...], votes: dict[int, bool]) -> int:
    needed = len(voters) // 2 + 1
    granted = 0
    refused = 0
    for node in voters:
        vote = votes.get(node)
        if vote is not None:
            if vote:
                granted += 1
            else:
                refused += 1
    if granted >= needed:
        return WON
    return DEFEATED if refused > len(voters) - needed else PENDING
