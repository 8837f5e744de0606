"""Who takes part in a group: voters, learners, and while voters change, both the old and the new set of them.

A membership is in force from the moment its entry is appended, committed or not; when the entry is truncated, the one
before is in force again. Source: Raft §6, thesis §4.3.
"""

from dataclasses import dataclass
from struct import Struct, error
from typing import Final, final

_COUNTS: Final = Struct("<HHH")  # voters, outgoing voters, learners
_NODE: Final = Struct("<I")
MEMBERS_MAX: Final = 64


@final
@dataclass(slots=True)
class Membership:
    """Nodes ascending. With `outgoing` the group is joint: a quorum is one of `voters` and one of `outgoing`."""

    voters: tuple[int, ...]
    outgoing: tuple[int, ...] = ()
    learners: tuple[int, ...] = ()

    def members(self) -> list[int]:
        """Everybody who gets the log, each once, ascending."""
        return sorted(dict.fromkeys(self.voters + self.outgoing + self.learners))

    def is_voter(self, node: int) -> bool:
        """Whether the node's vote and disk count."""
        return node in self.voters or node in self.outgoing

    def is_joint(self) -> bool:
        """Whether voters are being changed."""
        return len(self.outgoing) > 0

    def all_voters(self) -> list[int]:
        """The voters of both sets, each once, ascending."""
        return sorted(dict.fromkeys(self.voters + self.outgoing))


def encode_membership(membership: Membership) -> bytes:
    """The data of a MEMBERSHIP entry."""
    parts = [_COUNTS.pack(len(membership.voters), len(membership.outgoing), len(membership.learners))]
    for node in membership.voters + membership.outgoing + membership.learners:
        parts.append(_NODE.pack(node))
    return b"".join(parts)


def decode_membership(data: bytes) -> Membership:
    """Inverse of `encode_membership`. Raises: ValueError."""
    try:
        voters, outgoing, learners = _COUNTS.unpack_from(data)
    except error as short:
        raise ValueError(f"membership of {len(data)} bytes is cut short") from short
    count = voters + outgoing + learners
    if len(data) != _COUNTS.size + count * _NODE.size or voters == 0 or count > 3 * MEMBERS_MAX:
        raise ValueError(f"membership of {len(data)} bytes names {voters}, {outgoing} and {learners} nodes")
    nodes: list[int] = [_NODE.unpack_from(data, _COUNTS.size + at * _NODE.size)[0] for at in range(count)]
    parts = (nodes[:voters], nodes[voters : voters + outgoing], nodes[voters + outgoing :])
    for part in parts:
        if part != sorted(dict.fromkeys(part)):
            raise ValueError(f"membership names nodes twice or in disorder: {part}")
    return Membership(tuple(parts[0]), tuple(parts[1]), tuple(parts[2]))


def refusal_of(current: Membership, wanted: Membership) -> str:
    """Why a change to `wanted` cannot be asked for, "" when it can."""
    if wanted.outgoing:
        return "a change names the voters that shall be, the joint membership follows from it"
    if not wanted.voters:
        return "a group needs at least one voter"
    if len(wanted.voters) + len(wanted.learners) > MEMBERS_MAX:
        return f"{len(wanted.voters) + len(wanted.learners)} members, allowed {MEMBERS_MAX}"
    for nodes in (wanted.voters, wanted.learners):
        if list(nodes) != sorted(dict.fromkeys(nodes)) or (nodes and nodes[0] < 1):
            return f"nodes must be ascending, each once, from 1: {nodes}"
    if [node for node in wanted.learners if node in wanted.voters]:
        return "a node is a voter or a learner, not both"
    if wanted == current:
        return "nothing would change"
    return ""


@final
class MembershipHistory:
    """The memberships of a log: the one before its first entry, and each one appended since."""

    __slots__ = ("_appended", "_base")

    def __init__(self, base_index: int, base: Membership) -> None:
        self._base = (base_index, base)
        self._appended: list[tuple[int, Membership]] = []

    @property
    def latest(self) -> Membership:
        """The membership in force."""
        return self._appended[-1][1] if self._appended else self._base[1]

    @property
    def latest_index(self) -> int:
        """The entry that put it in force."""
        return self._appended[-1][0] if self._appended else self._base[0]

    def at(self, index: int) -> Membership:
        """The membership as of an index at or behind the base."""
        found = self._base[1]
        for at, membership in self._appended:
            if at > index:
                break
            found = membership
        return found

    def since(self, index: int) -> list[Membership]:
        """The membership as of an index at or behind the base, and all that were appended later."""
        return [self.at(index)] + [membership for at, membership in self._appended if at > index]

    def append(self, index: int, membership: Membership) -> None:
        """A MEMBERSHIP entry was appended."""
        assert index > self.latest_index
        self._appended.append((index, membership))

    def truncate(self, index: int) -> None:
        """Entries from `index` on are gone."""
        self._appended = [each for each in self._appended if each[0] < index]

    def remove(self, index: int) -> None:
        """The entry at `index` is lost, or was another one."""
        self._appended = [each for each in self._appended if each[0] != index]

    def restore(self, index: int, membership: Membership) -> None:
        """The entry at `index`, which was lost, is back."""
        self.remove(index)
        at = len([each for each in self._appended if each[0] < index])
        self._appended.insert(at, (index, membership))

    def rebase(self, index: int, membership: Membership) -> None:
        """Entries up to `index` are in a snapshot, with the membership as of there."""
        self._base = (index, membership)
        self._appended = [each for each in self._appended if each[0] > index]
