"""What checkers read of a running node: the one place of the simulator that knows where a node keeps it.

Read only. Nothing here goes through what the node answers to anybody.
"""

from quantum.core.node.node import PARTITION, Node
from quantum.core.raft.raft import Raft
from quantum.core.raft.role import LEADER
from quantum.sim.witness import Ledger, Witness


def raft_of(node: Node) -> Raft:
    """The consensus state of the default tenant's one partition."""
    return node.storage.groups[PARTITION].raft


def watch(node: Node, number: int, ledger: Ledger) -> None:
    """Put a witness between the replica of a new process and its machine."""
    replica = node.storage.groups[PARTITION]
    replica.machine = Witness(number, replica, node.partition, ledger)


def applied_index(node: Node) -> int:
    """The last entry that its state machine has seen."""
    return node.storage.groups[PARTITION].applied_index


def current_term(node: Node) -> int:
    """As it knows it."""
    return node.storage.groups[PARTITION].term


def is_leading(node: Node) -> bool:
    """It thinks that it leads."""
    return node.storage.groups[PARTITION].role == LEADER


def plain_numbers(node: Node) -> tuple[int, int, int, int, int]:
    """role, term, commit, applied and durable index of its replica; its role in the numbers of a history."""
    raft = raft_of(node)
    return raft.role, raft.current_term, raft.commit_index, applied_index(node), raft.durable_index


def is_started(node: Node) -> bool:
    """Its replica takes part: the boot has come so far."""
    return node.storage.groups[PARTITION].is_started


def is_learner(node: Node) -> bool:
    """It is told everything and asked nothing."""
    raft = raft_of(node)
    return raft.node in raft.membership.learners


def is_leader_role(role: int) -> bool:
    """The role of a leader."""
    return role == LEADER


def is_whole(node: Node, index: int) -> bool:
    """Its log has no hole and no doubt, and its machine has what was committed up to `index`."""
    raft = raft_of(node)
    is_complete = not raft.log.lost and not raft.snapshot_index_min and raft.doubt.is_settled
    return is_complete and applied_index(node) >= index
