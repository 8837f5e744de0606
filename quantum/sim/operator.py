"""What an operator does to a cluster while it is in trouble: hands leadership over, changes who votes.

Asks as a person would, at the management API of the node that leads, and does not care whether it works. In the quiet
phase it insists, until everybody votes again. Source: FAULTS F46, F47.
"""

from typing import final

from quantum.core.node.inputs import AdminRequest
from quantum.core.node.outputs import AdminReply, Outputs
from quantum.sim import inside
from quantum.sim.host import Host
from quantum.sim.marks import Marks


@final
class Operator:
    """One for the whole cluster."""

    __slots__ = ("_hosts", "_marks", "_number", "_paths", "_states_asked", "has_changed", "states")

    def __init__(self, hosts: dict[int, Host], marks: Marks) -> None:
        self._hosts = hosts
        self._marks = marks
        self._number = 0
        self._paths: dict[int, str] = {}  # request → what it was for
        self._states_asked: dict[int, int] = {}  # request → node
        self.has_changed = False  # the membership, or it tried to
        self.states: dict[int, AdminReply] = {}  # node → what it said of itself when it was asked last

    def transfer(self, leader: Host, to: int) -> None:
        """Make another node the leader."""
        self._ask(leader, "transfer", {"to": str(to)})

    def change(self, leader: Host, voters: list[int]) -> None:
        """These nodes vote, the others learn."""
        self.has_changed = True
        learners = [number for number in self._hosts if number not in voters]
        query = {"voters": ",".join(map(str, voters)), "learners": ",".join(map(str, learners))}
        self._ask(leader, "membership", query)

    def ask_state(self, host: Host) -> None:
        """Let a node say whether it is ready."""
        self._number += 1
        self._paths[self._number] = "state"
        self._states_asked[self._number] = host.number
        self.states.pop(host.number, None)
        host.inputs.admin.append(AdminRequest(self._number, "GET", "/readyz", {}))
        host.want_turn()

    def is_restored(self, leader: Host | None) -> bool:
        """Everybody votes, as far as the leader knows."""
        if not self.has_changed:
            return True
        if leader is None or leader.node is None:
            return False
        membership = inside.raft_of(leader.node).membership
        return membership.voters == tuple(sorted(self._hosts)) and not membership.outgoing

    def take_replies(self, out: Outputs) -> None:
        """What a node answers."""
        for reply in out.admin:
            asked = self._states_asked.pop(reply.number, 0)
            if asked:
                self.states[asked] = reply
            self._marks.sometimes(f"operator.{self._paths.pop(reply.number, 'other')}.{reply.status}")

    def _ask(self, host: Host, what: str, query: dict[str, str]) -> None:
        self._number += 1
        self._paths[self._number] = what
        host.inputs.admin.append(AdminRequest(self._number, "POST", f"/cluster/{what}", query))
        host.want_turn()
