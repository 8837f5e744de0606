"""What a replica may have forgotten, and how its peers settle that (law NO SILENT CUT).

Two things can be missing after damage. *Term and vote*: the replica then takes part in nothing until every other voter
has told its term. Whoever it may have voted for is among them, or forgot as well; it stays out of all terms up to the
greatest. *The tail*: entries it acknowledged may be gone, so it must not help elect a leader without them. Either a
leader of its own term or a later one says how far its log goes, and the replica has caught up with that; or all other
voters told their last entry, and only a log that is no older than all of those gets its vote. One of them holds each
committed entry as long as the damage is within budget (FAULTS §2.1), so the argument of Raft §5.4.3 holds.

Replies carry a nonce of this life, because a heartbeat from before the crash may say less than was acknowledged since.
"""

from typing import final

from quantum.core.raft.membership import Membership, decode_membership
from quantum.core.raft.messages import LastEntryReply


@final
class Doubt:
    """The doubts of one life of a replica. Replies are those of other voters."""

    __slots__ = ("_is_floor_set", "_replies", "floor", "is_tail_doubtful", "is_vote_doubtful", "nonce", "target")

    def __init__(self, nonce: int, *, is_tail_doubtful: bool, is_vote_doubtful: bool) -> None:
        self.nonce = nonce
        self.is_tail_doubtful = is_tail_doubtful
        self.is_vote_doubtful = is_vote_doubtful
        self.target: tuple[int, int] = (0, 0)  # (term, last index) of a leader that answered
        self.floor = (0, 0)  # (term, index) below which no log gets our vote, once everybody answered
        self._is_floor_set = False
        self._replies: dict[int, LastEntryReply] = {}

    @property
    def is_settled(self) -> bool:
        """There is nothing to ask."""
        return not (self.is_tail_doubtful or self.is_vote_doubtful)

    def on_reply(self, sender: int, reply: LastEntryReply) -> None:
        """A peer answered."""
        if reply.nonce != self.nonce:
            return
        self._replies[sender] = reply
        if reply.is_leader:
            self.target = max(self.target, (reply.term, reply.last_index))

    def others(self, node: int, membership: Membership, membership_index: int) -> list[int]:
        """The other voters, of the newest membership that anybody knows."""
        for reply in self._replies.values():
            if reply.membership_index > membership_index:
                membership_index = reply.membership_index
                membership = decode_membership(reply.membership)
        return [each for each in membership.all_voters() if each != node]

    def has_heard(self, others: list[int]) -> bool:
        """Whether all of them told."""
        return all(each in self._replies for each in others)

    def greatest_term(self) -> int:
        """Of all that answered."""
        return max([reply.term for reply in self._replies.values()], default=0)

    def set_floor(self) -> None:
        """Every other voter answered: logs are compared with the best of theirs, as it was then."""
        if not self._is_floor_set:
            self._is_floor_set = True
            self.floor = max([(reply.last_term, reply.last_index) for reply in self._replies.values()], default=(0, 0))

    def begin_anew(self, nonce: int) -> None:
        """The tail is in doubt once more: what was answered before says nothing of it."""
        self.nonce = nonce
        self.is_tail_doubtful = True
        self.target = (0, 0)
        self._is_floor_set = False
        self._replies = {}

    def may_count_on(self, last_term: int, last_index: int) -> bool:
        """Whether a log that ends so may lead with our help."""
        return not self.is_tail_doubtful or self.is_above_floor(last_term, last_index)

    def is_above_floor(self, last_term: int, last_index: int) -> bool:
        """Whether everybody answered, and nobody has a better log."""
        return self._is_floor_set and (last_term, last_index) >= self.floor
