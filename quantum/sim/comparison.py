"""Where the broker and the naive model differ, in words. What MQTT leaves free is brought into one order first.

Free is the order between sessions; within one session the order of what it is sent is compared.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from quantum.core.broker.effects import (
    Effects,
    Receiver,
    Refused,
    Result,
    SendPublish,
    SendPubrel,
    SessionOpened,
    Subscribed,
)
from quantum.core.broker.message import Message
from quantum.core.broker.state import BrokerState
from quantum.sim.model import Model
from quantum.sim.model_session import Delivery, ModelEffects, ModelResult, SessionModel

_CONNECTED_ONLY: Final = ("edge", "conn_id", "receive_maximum", "window_used")


def compare(model_effects: ModelEffects, effects: Effects) -> list[str]:
    """The differences between the model's effects and the broker's; none if they agree."""
    differences: list[str] = []
    _differ(differences, "replicated time", model_effects.stamp_ms, effects.stamp_ms)
    _differ(differences, "refusal of the entry", model_effects.is_refused, effects.is_refused)
    _differ(differences, "edges opened", model_effects.edges_opened, effects.edges_opened)
    _differ(differences, "edges closed", model_effects.edges_closed, effects.edges_closed)
    results = [_result(result) for result in effects.results]
    _differ(differences, "count of results", len(model_effects.results), len(results))
    for number, (ours, theirs) in enumerate(zip(model_effects.results, results, strict=False)):
        _differ(differences, f"result {number}", _without_receiver(ours), theirs)
    closes = [(c.client_id, c.conn_epoch, c.edge, c.conn_id, c.cause.id) for c in effects.closes]
    _differ(differences, "closes", model_effects.closes, closes)
    ours_by_message = _by_message(model_effects.deliveries)
    _differ_in_list(differences, "delivery", ours_by_message, _by_message(_copies(effects)))
    sends = [_send(send) for send in effects.sends]
    for send in effects.sends:
        if isinstance(send, SendPublish):
            _differ(differences, "stamp of a send", model_effects.stamp_ms, send.stamp_ms)
    ours_by_client = sorted(model_effects.sends, key=_client_and_kind)
    _differ_in_list(differences, "send", ours_by_client, sorted(sends, key=_client_and_kind))
    return differences


def compare_state(model: Model, view_of: Callable[[str], dict[str, object]]) -> list[str]:
    """The differences between the model's sessions and the broker's views of them."""
    differences: list[str] = []
    for client_id in sorted(model.sessions):
        view = view_of(client_id)
        if not view:
            differences.append(f"session {client_id}: the model has it, the broker does not")
            continue
        for name, value in _view(model.sessions[client_id]).items():
            if view["is_connected"] or name not in _CONNECTED_ONLY:
                _differ(differences, f"{name} of session {client_id}", value, view[name])
    return differences


def compare_edges(model: Model, state: BrokerState) -> list[str]:
    """The differences between the model's edges and the broker's."""
    differences: list[str] = []
    for number in sorted(model.edges):
        edge = model.edges[number]
        ours = (edge.incarnation, edge.nonce, edge.is_open, edge.counted)
        incarnation, nonce = state.edge_incarnation(number), state.edge_nonce(number)
        theirs = (incarnation, nonce, state.is_edge_open(number), state.edge_forward_seq(number))
        _differ(differences, f"edge {number}", ours, theirs)
    open_edges = [(number, edge.incarnation) for number, edge in sorted(model.edges.items()) if edge.is_open]
    _differ(differences, "open edges", open_edges, state.open_edges())
    return differences


def _view(session: SessionModel) -> dict[str, object]:
    return {
        "session_epoch": session.session_epoch,
        "conn_epoch": session.conn_epoch,
        "is_connected": session.conn_epoch != 0,
        "is_ephemeral": session.is_ephemeral,
        "is_behind": session.is_behind,
        "edge": session.edge,
        "conn_id": session.conn_id,
        "expiry_s": session.expiry_s,
        "ends_ms": session.ends_ms,
        "receive_maximum": session.receive_maximum,
        "window_used": session.window_used(),
        "has_will": session.will is not None,
        "will_due_ms": session.will_due_ms,
        "subscriptions": sorted(session.subscriptions),
        "received_packet_ids": len(session.received),
        "inflight_messages": len(session.inflight) + len(session.released),
        "queued_messages": len(session.queue),
        "queued_bytes": sum(held.message.size() for held in session.held()),
    }


def _differ(differences: list[str], what: str, ours: object, theirs: object) -> None:
    if ours != theirs:
        differences.append(f"{what}: the model says {ours!r}, the broker {theirs!r}")


def _differ_in_list(differences: list[str], what: str, ours: list[Any], theirs: list[Any]) -> None:
    for number in range(max(len(ours), len(theirs))):
        left = ours[number] if number < len(ours) else None
        right = theirs[number] if number < len(theirs) else None
        if left != right:
            differences.append(f"{what} {number} of {len(ours)} and {len(theirs)}: model {left!r}, broker {right!r}")
            return  # what follows is shifted and says nothing


def _result(result: Result) -> ModelResult:
    if isinstance(result, int):
        return result
    if isinstance(result, Refused):
        return ("refused", result.cause.id)
    if isinstance(result, SessionOpened):
        return ("opened", result.session_present, result.session_epoch, result.conn_epoch, result.is_ephemeral)
    if isinstance(result, Subscribed):
        owed = [(r.message.topic_name, r.message.payload, r.qos, r.subscription_ids) for r in result.deliveries()]
        return ("subscribed", result.reason_codes, owed)
    return ("unsubscribed", result.reason_codes)


def _without_receiver(result: ModelResult) -> ModelResult:
    """A retained delivery needs no receiver where the command's answer holds it, and its RETAIN is always set."""
    if isinstance(result, int) or result[0] != "subscribed":
        return result
    return (result[0], result[1], [(copy[1], copy[2], copy[3], copy[5]) for copy in result[2]])


def _copies(effects: Effects) -> list[tuple[object, Delivery]]:
    copies: list[tuple[object, Delivery]] = []
    for message, route in effects.deliveries:
        for each in route.receivers:
            receiver = each.of(message.client_id)
            if receiver is not None:
                copies.append((message, _copy(message, receiver)))
    return copies


def _copy(message: Message, receiver: Receiver) -> Delivery:
    qos = min(message.qos, receiver.qos)
    retain = message.retain and receiver.retain_as_published
    return (receiver.client_id, message.topic_name, message.payload, qos, retain, tuple(receiver.subscription_ids))


def _by_message(copies: Sequence[tuple[object, Delivery]]) -> list[Delivery]:
    """The copies in the order of their messages; those of one message ascending by client id."""
    ordered: list[Delivery] = []
    group: list[Delivery] = []
    last: object = None
    for message, copy in copies:
        if message is not last:
            ordered += sorted(group)
            group = []
        group.append(copy)
        last = message
    return ordered + sorted(group)


def _send(send: SendPublish | SendPubrel) -> tuple[Any, ...]:
    if isinstance(send, SendPublish):
        message = send.message
        head = ("publish", send.client_id, send.conn_epoch, send.edge, send.conn_id)
        body = (message.topic_name, message.payload, send.qos, send.packet_id, send.dup, send.retain)
        return (*head, *body, tuple(send.subscription_ids), message.deadline_ms)
    return ("pubrel", send.client_id, send.conn_epoch, send.edge, send.conn_id, send.packet_id)


def _client_and_kind(send: tuple[Any, ...]) -> tuple[str, str]:
    """PUBLISH and PUBREL may overtake each other; each kind keeps its own order. 4.6"""
    return send[1], send[0]
