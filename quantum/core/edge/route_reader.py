"""What the edge asks of this node's replica, for what is in no log."""

from typing import Protocol

from quantum.core.broker.effects import Pick, Route
from quantum.core.broker.message import Message
from quantum.core.broker.retained_run import RetainedCursor


class RouteReader(Protocol):
    """The topic index of this node's replica, for QoS 0, which is in no log."""

    def route(self, topic_name: str) -> Route:
        """Receivers of the topic as of the last applied entry."""
        ...

    def pick_shared(self, topic_name: str) -> tuple[Pick, ...]:
        """One member of each shared group that matches, for one message."""
        ...

    def read_retained(self, cursor: RetainedCursor) -> list[Message]:
        """More of the retained messages that a subscription is owed; none does not mean that the cursor is at its end."""
        ...

    def is_shared_member(self, shared_filter: str, client_id: str) -> bool:
        """Whether the client's session is in the shared group."""
        ...

    def is_backlog_weighed(self) -> bool:
        """Whether it matters for shared groups that a client is behind."""
        ...

    def counts(self) -> dict[str, int]:
        """How much of everything there is."""
        ...
