"""A session as it is at one moment, for the snapshot: taken fast, encoded later.

It shares what nobody changes: subscriptions, messages and copies, but for a copy's state while it is in flight. So a
session that is owed a hundred thousand messages is taken in a few milliseconds.
"""

from typing import Any, Final, final

from quantum.core.broker.queue import Copy
from quantum.core.broker.retained_run import RetainedRun
from quantum.core.broker.session import Session
from quantum.core.broker.subscriptions import SubscriptionRecord

QUEUED: Final = 0  # the state of a copy that is not in flight


@final
class SessionImage:
    """All of a session that is encoded."""

    __slots__ = (
        "copies",
        "ends_ms",
        "head",
        "is_behind",
        "left_index",
        "next_packet_id",
        "queue",
        "received",
        "released",
        "run_rows",
        "subscriptions",
        "will",
        "will_due_ms",
    )

    def __init__(self, session: Session) -> None:
        inflight = session.inflight
        self.head: tuple[Any, ...] = (
            session.client_id,
            session.session_epoch,
            session.is_ephemeral,
            session.expiry_s,
            session.conn_epoch,
            session.edge,
            session.conn_id,
            session.receive_maximum,
        )
        self.will = session.will
        self.will_due_ms = session.will_due_ms
        self.ends_ms = session.ends_ms
        self.subscriptions: list[SubscriptionRecord] = list(session.subscriptions.values())
        self.received = session.received.to_list()
        self.next_packet_id = inflight.next_packet_id
        self.copies: list[tuple[int, Copy, int]] = [
            (packet_id, copy, copy.state) for packet_id, copy in inflight.copies.items()
        ]
        self.queue: list[Copy] = session.queue.to_list()
        self.released = list(inflight.released)
        self.left_index = session.left_index
        self.is_behind = session.is_behind
        self.run_rows = [_run_row(copies, run) for copies, run in session.queue.unread_runs()]


def _run_row(copies: int, run: RetainedRun) -> tuple[Any, ...]:
    """What is not read yet of a run, behind so many copies."""
    cursor = run.cursor
    return (
        copies,
        cursor.topic_filter,
        cursor.number_max,
        cursor.left_out,
        cursor.bound,
        run.qos_max,
        run.subscription_ids,
    )
