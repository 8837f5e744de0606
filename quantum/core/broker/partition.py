"""Everything one partition remembers, in one record that the rules share. No rule lives here.

Sessions and retained messages are spread over buckets by a hash of their name; whoever changes a session calls
`before_change` first.
"""

import hashlib
from typing import Final, final

from quantum.core.broker.accounting import Accounting
from quantum.core.broker.commands import SetPolicy
from quantum.core.broker.edges import Edges
from quantum.core.broker.expiry import Deadlines
from quantum.core.broker.message import Message
from quantum.core.broker.retained import Retained
from quantum.core.broker.retained_run import RetainedCursor
from quantum.core.broker.session import Session
from quantum.core.broker.session_image import SessionImage
from quantum.core.broker.subscriptions import Subscriptions
from quantum.core.state_machine import BucketCutter

SESSION_BUCKETS: Final = 64
RETAINED_BUCKETS: Final = 64
FIRST_RETAINED_BUCKET: Final = 1 + SESSION_BUCKETS
BUCKET_COUNT: Final = 1 + SESSION_BUCKETS + RETAINED_BUCKETS

# The limits before the first SetPolicy of the log. A leader proposes the tenant's own before it lets anybody in.
SESSIONS_MAX_DEFAULT: Final = 100_000
SUBSCRIPTIONS_MAX_DEFAULT: Final = 1_000
QUEUE_MESSAGES_MAX_DEFAULT: Final = 10_000
QUEUE_BYTES_MAX_DEFAULT: Final = 64 * 1024 * 1024
RETAINED_MESSAGES_MAX_DEFAULT: Final = 100_000
RETAINED_BYTES_MAX_DEFAULT: Final = 256 * 1024 * 1024


@final
class Partition:
    """The state of one partition of one tenant; it does not know which."""

    __slots__ = (
        "accounting",
        "connected_count",
        "cutter",
        "deadlines",
        "due_left",
        "edges",
        "has_policy",
        "last_epoch",
        "policy",
        "readers",
        "reads_left",
        "retained",
        "retained_buckets",
        "sends_left",
        "session_buckets",
        "sessions",
        "stamp_ms",
        "subscriptions",
    )

    def __init__(self, cutter: BucketCutter, route_number: int) -> None:
        self.cutter = cutter
        self.has_policy = False  # whether the log set one
        self.policy = SetPolicy(
            SESSIONS_MAX_DEFAULT,
            SUBSCRIPTIONS_MAX_DEFAULT,
            QUEUE_MESSAGES_MAX_DEFAULT,
            QUEUE_BYTES_MAX_DEFAULT,
            RETAINED_MESSAGES_MAX_DEFAULT,
            RETAINED_BYTES_MAX_DEFAULT,
        )
        self.stamp_ms = 0  # replicated time, monotone
        self.last_epoch = 0  # the newest conn_epoch
        self.edges = Edges()
        self.accounting = Accounting()
        self.sessions: dict[str, Session] = {}  # by Client Identifier
        self.session_buckets: list[dict[str, Session]] = [{} for _ in range(SESSION_BUCKETS)]
        self.connected_count = 0
        self.subscriptions = Subscriptions(route_number)
        self.retained = Retained()
        self.reads_left = 0  # topics that this entry may still look at for those who subscribed
        self.retained_buckets: list[dict[str, None]] = [{} for _ in range(RETAINED_BUCKETS)]  # Topic Names
        self.deadlines = Deadlines()
        self.due_left = 0  # steps that this entry may still take for what is due, see `DUE_STEPS`
        self.readers = Deadlines()  # of the kind SEND_MORE: what is read and sent has bounds of its own
        self.sends_left = 0  # copies that this entry may still send or drop for those who come back or read on

    def before_change(self, session: Session) -> None:
        """Must precede the first change of a session in each apply; cheap to call again."""
        if self.cutter.is_cutting and self.cutter.wants(session.bucket, session.client_id):
            self.cutter.keep(session.bucket, session.client_id, SessionImage(session))

    def before_making(self, session: Session) -> None:
        """Likewise for a session that is not entered yet."""
        if self.cutter.wants(session.bucket, session.client_id):
            self.cutter.keep(session.bucket, session.client_id, None)

    def add_session(self, session: Session) -> None:
        """Enter a session under its Client Identifier."""
        assert session.client_id not in self.sessions
        self.sessions[session.client_id] = session
        self.session_buckets[session.bucket - 1][session.client_id] = session

    def remove_session(self, session: Session) -> None:
        del self.sessions[session.client_id]
        del self.session_buckets[session.bucket - 1][session.client_id]

    def put_retained(self, message: Message) -> None:
        """Keep a message in place of its topic's earlier one."""
        bucket = retained_bucket_of(message.topic_name)
        self._keep_retained(bucket, message.topic_name)
        self.retained.put(message)
        self.retained_buckets[bucket - FIRST_RETAINED_BUCKET][message.topic_name] = None

    def read_retained(self, cursor: RetainedCursor) -> list[Message]:
        """The next messages of a cursor, as many as this entry may still read, and at least one topic's."""
        messages, steps = self.retained.read(cursor, self.stamp_ms, max(1, self.reads_left))
        self.reads_left -= steps
        return messages

    def remove_retained(self, topic_name: str) -> None:
        bucket = retained_bucket_of(topic_name)
        self._keep_retained(bucket, topic_name)
        self.retained.remove(topic_name)
        del self.retained_buckets[bucket - FIRST_RETAINED_BUCKET][topic_name]

    def _keep_retained(self, bucket: int, topic_name: str) -> None:
        if self.cutter.wants(bucket, topic_name):
            self.cutter.keep(bucket, topic_name, self.retained.of(topic_name))


def session_bucket_of(client_id: str) -> int:
    """The bucket of a session: 1..64."""
    return 1 + _hash_byte(client_id) % SESSION_BUCKETS


def retained_bucket_of(topic_name: str) -> int:
    """The bucket of a retained message: 65..128."""
    return FIRST_RETAINED_BUCKET + _hash_byte(topic_name) % RETAINED_BUCKETS


def _hash_byte(name: str) -> int:
    return hashlib.blake2b(name.encode(), digest_size=1).digest()[0]
