"""What checkers read of a running node: the one place of the simulator that knows where a node keeps it.

Read only. Nothing here goes through what the node answers to anybody.
"""

from quantum.core.node.node import PARTITION, Node
from quantum.core.raft.raft import LEADER, Raft


def raft_of(node: Node) -> Raft:
    """The consensus state of the default tenant's one partition."""
    return node.storage.groups[PARTITION].raft


def applied_index(node: Node) -> int:
    """The last entry that its state machine has seen."""
    return node.storage.groups[PARTITION].applied_index


def current_term(node: Node) -> int:
    """As it knows it."""
    return raft_of(node).current_term


def is_leading(node: Node) -> bool:
    """It thinks that it leads."""
    return raft_of(node).role == LEADER
