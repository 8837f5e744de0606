"""How much damage a lite run may do, so that its laws stay strict.

At most as many voters as may fail are unsound at once, in what way ever. Beyond that, entries may be damaged on any disk as
long as each can be proved by another one. Source: FAULTS §2.1, "budget".
"""

from typing import TYPE_CHECKING, final

from quantum.sim.raft_replica import Replica

if TYPE_CHECKING:
    from quantum.sim.raft_world import RaftWorld


@final
class DamageBudget:
    """Looks at every disk anew each time: what was repaired may be damaged again."""

    __slots__ = ("_world",)

    def __init__(self, world: "RaftWorld") -> None:
        self._world = world

    def voters(self) -> list[int]:
        """Of all memberships that may be in force anywhere."""
        voters: dict[int, bool] = {}
        for replica in self._world.replicas.values():
            for _, membership in replica.disk.held.memberships:
                for node in membership.all_voters():
                    voters[node] = True
        return sorted(voters)

    def failures_max(self) -> int:
        """How many voters may fail: by the smallest set of voters that may be in force."""
        least = len(self._world.initial.voters)
        for replica in self._world.replicas.values():
            for _, membership in replica.disk.held.memberships:
                least = min(least, len(membership.voters), len(membership.outgoing) or least)
        return (least - 1) // 2

    def _unsound_count(self, but: Replica) -> int:
        replicas = self._world.replicas
        return len(
            [node for node in self.voters() if node in replicas and node != but.node and not replicas[node].is_sound()]
        )

    def may_be_unsound(self, replica: Replica) -> bool:
        """Whether its disk may go, with all others as they are."""
        return self._unsound_count(replica) < self.failures_max()

    def is_repairable(self, at: int, replica: Replica) -> bool:
        """Whether damage on more disks than may fail can be repaired all the same: no disk loses the end of its log or
        a vote, and of each damaged entry another disk has a copy, and one of the entry behind it that proves it."""
        batches = replica.disk.batches
        neighbours = batches[max(0, at - 1) : at] + batches[at + 1 : at + 2]
        if at == len(batches) - 1 or any(each.is_damaged for each in neighbours) or self.failures_max() == 0:
            return False
        replicas = [self._world.replicas[node] for node in self.voters() if node in self._world.replicas]
        if any(each.is_dead or each.disk.held.last < each.applied_floor for each in replicas):
            return False
        intact = {each.node: each.disk.intact_entries() for each in replicas}
        for each in replicas:
            held = each.disk.held
            own = intact[each.node]
            for index in range(held.snapshot_index + 1, held.last + 1):
                if index in own:
                    continue
                behind = held.entries.get(index + 1)
                if behind is None or not any(
                    index in others and others.get(index + 1) == behind.term
                    for node, others in intact.items()
                    if node != each.node
                ):
                    return False
        return True
