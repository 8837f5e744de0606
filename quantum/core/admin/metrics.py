"""The node's numbers as metric samples: names, kinds and helps are here, the driver renders them."""

from typing import final

from quantum.core.broker.state import BrokerState
from quantum.core.edge.edge import Edge
from quantum.core.node.storage import Storage

Labels = dict[str, str]


@final
class Samples:
    """Collects `[name, kind, help, [[labels, value], ...]]` rows."""

    __slots__ = ("rows",)

    def __init__(self) -> None:
        self.rows: list[list[object]] = []

    def counter(self, name: str, text: str, values: list[tuple[Labels, int]]) -> None:
        """A number that only grows."""
        self.rows.append([name, "counter", text, [[labels, value] for labels, value in values]])

    def gauges(self, name: str, text: str, values: list[tuple[Labels, int]]) -> None:
        """Numbers as they are now, one for each label."""
        self.rows.append([name, "gauge", text, [[labels, value] for labels, value in values]])

    def gauge(self, name: str, text: str, value: int) -> None:
        """A number as it is now."""
        self.rows.append([name, "gauge", text, [[{}, value]]])


def samples(
    edge: Edge, partition: BrokerState, storage: Storage, is_ready: bool, peer_frames: tuple[int, int]
) -> list[list[object]]:
    """All metrics of the node."""
    out = Samples()
    ledger = edge.fanout.ledger
    counts = partition.counts()
    out.gauge("quantum_ready", "1 when /readyz answers 200", 1 if is_ready else 0)
    out.gauge("quantum_connections", "Open network connections", len(edge.connections))
    for key in sorted(counts):
        out.gauge(f"quantum_{key}", f"Replicated state: {key.replace('_', ' ')}", counts[key])
    out.counter("quantum_edge_publishes_received", "PUBLISH packets received", [({}, ledger.received)])
    out.counter("quantum_edge_deliveries_created", "Messages owed to connections", [({}, ledger.created)])
    out.counter("quantum_edge_deliveries_delivered", "Messages delivered to connections", [({}, ledger.delivered)])
    out.counter("quantum_edge_deliveries_expired", "Messages expired at the edge", [({}, ledger.expired)])
    out.counter(
        "quantum_edge_deliveries_given_back", "Messages left for other members of a group", [({}, ledger.given_back)]
    )
    out.gauge("quantum_edge_deliveries_open", "Messages queued or in flight at the edge", ledger.open)
    out.gauge(
        "quantum_edge_ledger_balanced", "1 while nothing is lost without a cause", 1 if ledger.is_balanced() else 0
    )
    totals = edge.causes.totals()
    if totals:
        out.counter(
            "quantum_causes", "Refusals, drops, throttles and closes", [({"cause": cause.id}, n) for cause, n in totals]
        )
    out.gauge("quantum_wal_pending_bytes", "Proposed and not yet durable", storage.pending_bytes)
    out.gauge("quantum_replay_applied", "Entries replayed since start", storage.replay_applied)
    out.gauge("quantum_replay_target", "Entries to replay at start", storage.replay_target)
    out.counter("quantum_peer_frames_received", "Frames of other nodes that were believed", [({}, peer_frames[0])])
    out.counter("quantum_peer_frames_sent", "Frames to other nodes", [({}, peer_frames[1])])
    _add_groups(out, storage)
    return out.rows


def _add_groups(out: Samples, storage: Storage) -> None:
    """Consensus, as far as this node knows it."""
    groups = [group for group in storage.groups.values() if group.is_started]
    for name, text, values in (
        ("term", "Current term", [group.term for group in groups]),
        ("is_leading", "1 while this node leads the group", [1 if group.is_leading else 0 for group in groups]),
        ("commit_index", "Committed up to here", [group.raft.commit_index for group in groups]),
        ("applied_index", "Applied up to here", [group.applied_index for group in groups]),
        ("snapshot_index", "The newest snapshot on this disk", [group.snapshot_index for group in groups]),
    ):
        labelled: list[tuple[Labels, int]] = []
        for group, value in zip(groups, values, strict=True):
            labelled.append(({"group": str(group.number)}, value))
        if labelled:
            out.gauges(f"quantum_group_{name}", text, labelled)
