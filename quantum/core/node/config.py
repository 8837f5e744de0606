"""All that a node is told when it starts; `io.config` makes it from flags, environment and file."""

from dataclasses import dataclass, field, replace
from typing import final

from quantum.core.broker.commands import SetPolicy
from quantum.core.edge.config import EdgeConfig
from quantum.core.node.storage import Identity, StorageConfig
from quantum.core.raft.config import RaftConfig


def default_policy() -> SetPolicy:
    """The limits of a partition, as in `config/quantum.toml`."""
    return SetPolicy(
        sessions_max=1_000_000,
        subscriptions_max=10_000,
        queue_messages_max=100_000,
        queue_bytes_max=67_108_864,
        retained_messages_max=1_000_000,
        retained_bytes_max=1_073_741_824,
    )


@final
@dataclass(slots=True)
class NodeConfig:
    """`identity` names a fresh data directory; an existing one keeps the identity it has."""

    identity: Identity
    edge: EdgeConfig = field(default_factory=EdgeConfig)
    policy: SetPolicy = field(default_factory=default_policy)
    storage: StorageConfig = field(default_factory=StorageConfig)
    turn_bytes_max: int = 4_194_304  # received bytes worked through in one turn; the rest waits for the next
    redecode_share: int = 0  # of 16 entries, how many are applied from their bytes instead of the proposer's objects
    node_number: int = 1  # in the cluster: never used again for another disk
    voters: tuple[int, ...] = (1,)  # of a cluster that begins; one that has begun keeps what its log says
    raft: RaftConfig = field(default_factory=RaftConfig)
    edge_timeout_ms: int = 10_000  # a node not heard of for so long loses its connections: the leader closes its edge

    def __post_init__(self) -> None:
        assert self.node_number >= 1
        assert self.voters == tuple(sorted(dict.fromkeys(self.voters)))
        assert self.voters and self.voters[0] >= 1
        # What is acknowledged before it is durable must not be a vote, nor an entry that others count on.
        assert not self.storage.is_relaxed or self.voters == (self.node_number,)
        assert self.edge_timeout_ms > 2 * self.raft.heartbeat_interval_ms
        if self.edge.edge != self.node_number:
            self.edge = replace(self.edge, edge=self.node_number)
