"""What operators ask of this node: is it alive, may it be used, what does it refuse and why.

(request, status) → reply. Nothing is changed from here but what `cluster` lets operators change.
"""

from dataclasses import dataclass
from typing import final

from quantum.core.admin.cluster import answer_cluster
from quantum.core.admin.metrics import samples
from quantum.core.broker.state import BrokerState
from quantum.core.edge.edge import Edge
from quantum.core.node.inputs import AdminRequest
from quantum.core.node.outputs import AdminReply
from quantum.core.node.storage import Storage

STATE_NAMES = ("connecting", "authenticating", "opening", "open", "closed")


@final
@dataclass(slots=True)
class NodeStatus:
    """What a reply may be drawn from, as of the end of a turn."""

    reasons: list[str]  # why the node is not ready
    edge: Edge
    partition: BrokerState
    storage: Storage
    wall_ms: int
    peer_frames: tuple[int, int] = (0, 0)  # received and sent


@final
class Admin:
    """Answers by path."""

    __slots__ = ("is_announced",)

    def __init__(self) -> None:
        self.is_announced = False  # the log has said that the node serves

    def answer(self, request: AdminRequest, status: NodeStatus) -> AdminReply:
        """The reply to one request."""
        path = request.path.rstrip("/")
        if path == "/cluster" or path.startswith("/cluster/"):
            return answer_cluster(request, status.storage)
        if request.method != "GET":
            return AdminReply(request.number, 405, {"error": f"{request.method} on {path}, allowed GET"})
        if path in ("/livez", "/health"):
            return AdminReply(request.number, 200, {"live": True})
        if path in ("/readyz", "/ready"):
            return self._readyz(request, status)
        if path == "/metrics":
            rows = samples(status.edge, status.partition, status.storage, not status.reasons, status.peer_frames)
            return AdminReply(request.number, 200, {"samples": rows})
        if path == "/why":
            return self._why(request, status)
        if path.startswith("/why/client/"):
            return self._why_client(request, status, path[len("/why/client/") :])
        known = "/livez, /readyz, /metrics, /why, /why/client/<id>, /cluster, /v1/version"
        return AdminReply(request.number, 404, {"error": f"no resource {path}, known are {known}"})

    def _readyz(self, request: AdminRequest, status: NodeStatus) -> AdminReply:
        is_ready = not status.reasons
        body: dict[str, object] = {
            "ready": is_ready,
            "reasons": status.reasons,
            "durability": "relaxed" if status.storage.is_relaxed else "strict",
            "replay_applied": status.storage.replay_applied,
            "replay_target": status.storage.replay_target,
        }
        return AdminReply(request.number, 200 if is_ready else 503, body)

    def _why(self, request: AdminRequest, status: NodeStatus) -> AdminReply:
        causes = status.edge.causes
        body: dict[str, object] = {
            "generated_at_ms": status.wall_ms,
            "not_ready": status.reasons,
            "totals": [{"cause": cause.id, "count": count, "text": cause.text} for cause, count in causes.totals()],
            "recent": causes.recent(),
        }
        return AdminReply(request.number, 200, body)

    def _why_client(self, request: AdminRequest, status: NodeStatus, client_id: str) -> AdminReply:
        edge = status.edge
        session = status.partition.session_view(client_id)
        recent = edge.causes.recent(client_id)
        connection = edge.fanout.sessions.get(client_id)
        if not session and connection is None and not recent:
            return AdminReply(
                request.number, 404, {"error": f"no session, connection or recent outcome of {client_id!r}"}
            )
        body: dict[str, object] = {"client_id": client_id, "session": session, "recent": recent, "connection": None}
        if connection is not None:
            queue = connection.queue
            body["connection"] = {
                "conn_id": connection.conn_id,
                "listener": connection.listener,
                "peer": connection.peer,
                "identity": connection.identity,
                "state": STATE_NAMES[connection.state],
                "protocol_version": connection.wire.version,
                "keep_alive_ms": connection.keep_alive_ms,
                "is_blocked": connection.is_blocked,
                "is_paused": connection.paused_by != 0,
                "publishes_open": connection.publishes_open,
                "inflight": len(queue.inflight) if queue else 0,
                "queued": queue.waiting_count if queue else 0,
            }
        return AdminReply(request.number, 200, body)
