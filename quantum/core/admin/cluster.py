"""What operators ask of the cluster: who takes part, who leads, how far everybody is; and what they may change there.

A change is asked of the node that leads; any other one says who that is. 202 means begun: `/cluster` shows the rest.
"""

from typing import Final

from quantum.core.group import Replica
from quantum.core.node.inputs import AdminRequest
from quantum.core.node.outputs import AdminReply
from quantum.core.node.storage import Storage

ROLE_NAMES: Final = ("follower", "pre-candidate", "candidate", "leader")
RESOURCES: Final = (
    "GET /cluster, POST /cluster/transfer?to=<node>, POST /cluster/membership?voters=<nodes>&learners=<nodes>"
)


def answer_cluster(request: AdminRequest, storage: Storage) -> AdminReply:
    """The reply to a request below /cluster."""
    path = request.path.rstrip("/")
    if (request.method, path) == ("GET", "/cluster"):
        groups = [_view(group) for group in storage.groups.values() if group.is_started]
        return AdminReply(request.number, 200, {"node": storage.identity.node, "groups": groups})
    if path not in ("/cluster", "/cluster/transfer", "/cluster/membership"):
        return _error(request, 404, f"no resource {path}, known are {RESOURCES}")
    if path == "/cluster" or request.method != "POST":
        return _error(request, 405, f"{request.method} on {path}, known are {RESOURCES}")
    groups_started = [group for group in storage.groups.values() if group.is_started]
    if not groups_started:
        return _error(request, 503, "the node is booting")
    for group in groups_started:
        if not group.is_leading:
            who = f"ask node {group.leader}, which leads" if group.leader else "no leader is known, ask again"
            return _error(request, 409, f"this node does not lead group {group.number}: {who}")
    change = _transfer if path == "/cluster/transfer" else _change_membership
    for group in groups_started:
        status, text = change(request, group)
        if status != 202:
            return _error(request, status, text)
    return AdminReply(request.number, 202, {"begun": True})


def _transfer(request: AdminRequest, group: Replica) -> tuple[int, str]:
    to = _nodes(request.query.get("to", ""))
    if to is None or len(to) != 1:
        return 400, f"to={request.query.get('to', '')!r}, allowed the number of one voter"
    text = group.hand_over(to[0])
    return (409, text) if text else (202, "")


def _change_membership(request: AdminRequest, group: Replica) -> tuple[int, str]:
    voters = _nodes(request.query.get("voters", ""))
    learners = _nodes(request.query.get("learners", ""))
    if not voters or learners is None:
        return 400, "voters and learners are node numbers with commas between them, voters at least one"
    text = group.change_membership(tuple(voters), tuple(learners))
    return (409, text) if text else (202, "")


def _nodes(text: str) -> list[int] | None:
    """Node numbers, ascending; None where the text is no such list."""
    nodes: list[int] = []
    for part in text.split(",") if text else []:
        if not (part.isascii() and part.isdigit() and len(part) <= 9) or int(part) in nodes or int(part) == 0:
            return None
        nodes.append(int(part))
    return sorted(nodes)


def _view(group: Replica) -> dict[str, object]:
    raft = group.raft
    membership = raft.membership
    return {
        "group": group.number,
        "role": ROLE_NAMES[raft.role],
        "term": raft.current_term,
        "leader": raft.leader,
        "voters": list(membership.voters),
        "outgoing": list(membership.outgoing),
        "learners": list(membership.learners),
        "commit_index": raft.commit_index,
        "applied_index": group.applied_index,
        "durable_index": raft.durable_index,
        "last_index": raft.last_index,
        "first_index": raft.log.first_index,
        "snapshot_index": group.snapshot_index,
        "is_tail_doubtful": raft.doubt.is_tail_doubtful,
        "is_vote_doubtful": raft.doubt.is_vote_doubtful,
        "first_lost_index": raft.log.first_lost,
        "is_state_lost": group.has_lost_state,
        "followers": group.progress(),
    }


def _error(request: AdminRequest, status: int, text: str) -> AdminReply:
    return AdminReply(request.number, status, {"error": text})
