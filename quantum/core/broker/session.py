"""What is remembered of one session. How it begins and ends is in lifecycle.py, what it is owed in outgoing.py."""

from dataclasses import dataclass
from typing import final

from quantum.core.broker.dedupe import ReceivedIds
from quantum.core.broker.inflight import Inflight
from quantum.core.broker.queue import Queue
from quantum.core.broker.subscriptions import Subscriber, SubscriptionRecord
from quantum.core.mqtt.packets import Will


@final
@dataclass(init=False, slots=True, eq=False)
class Session:
    """A session, connected or not.

    A session created with expiry 0 is ephemeral until it ends: its queue and its exchanges live at its edge, and it
    ends with its connection. Any other is replicated until it ends, whatever its later connections ask for.
    """

    client_id: str
    session_epoch: int
    is_ephemeral: bool
    bucket: int
    expiry_s: int
    conn_epoch: int  # 0 while not connected
    edge: int
    conn_id: int
    left_index: int  # of the entry that ended the last connection of its client, 0 if there was none
    receive_maximum: int
    will: Will | None  # of the connection; while not connected the one that is still to be published
    will_due_ms: int  # while not connected: when the will is published, 0 for not before the session ends
    ends_ms: int  # while not connected: when the session ends, 0 for never
    subscriber: Subscriber  # what all its subscriptions have in common
    subscriptions: dict[str, SubscriptionRecord]  # by Topic Filter, `$share/group/filter` in one piece
    received: ReceivedIds
    inflight: Inflight
    queue: Queue
    held_bytes: int  # queued and in flight
    is_behind: bool  # an ephemeral one's edge says that messages wait for its client

    def __init__(self, client_id: str, session_epoch: int, bucket: int, *, is_ephemeral: bool) -> None:
        self.client_id = client_id
        self.session_epoch = session_epoch
        self.is_ephemeral = is_ephemeral
        self.bucket = bucket
        self.expiry_s = 0
        self.conn_epoch = 0
        self.edge = 0
        self.conn_id = 0
        self.left_index = 0
        self.receive_maximum = 1
        self.will = None
        self.will_due_ms = 0
        self.ends_ms = 0
        self.subscriber = Subscriber(client_id)
        self.subscriptions = {}
        self.received = ReceivedIds()
        self.inflight = Inflight()
        self.queue = Queue()
        self.held_bytes = 0
        self.is_behind = False

    def held_count(self) -> int:
        """Copies queued and in flight."""
        return len(self.queue) + len(self.inflight.copies)
