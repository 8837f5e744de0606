"""The `$SYS` topics: what this node knows of itself and its partition, as messages for whoever subscribes to them.

They are the server's own: no client publishes there, no filter that begins with a wildcard matches them [MQTT-4.7.2-1],
they are in no log and are not retained. Each node tells its own clients. All of them come once an interval, and within a
second of a SUBSCRIBE to one of them. Source: MQTT 5.0 §4.7.2.
"""

from typing import Final, final

from quantum.core.broker.message import Message
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.connections import EdgeConnection
from quantum.core.edge.fanout import Fanout
from quantum.core.edge.route_reader import RouteReader

ROOT: Final = "$SYS/broker/"
ASKED_MS: Final = 1_000  # from a SUBSCRIBE to the first values; also the least time between two publications

TOPICS: Final = (
    "version",
    "uptime",
    "connections",
    "clients/connected",
    "clients/disconnected",
    "clients/total",
    "subscriptions/count",
    "shared_subscriptions/count",
    "retained messages/count",
    "messages/queued",
    "messages/inflight",
    "publish/messages/received",
    "publish/messages/sent",
    "publish/messages/dropped",
)


@final
class SysTopics:
    """Publishes when it is time. Without subscribers that costs one look-up for each topic."""

    __slots__ = ("_config", "_connections", "_due_ms", "_fanout", "_now_ms", "_routes", "_started_ms")

    def __init__(
        self, config: EdgeConfig, fanout: Fanout, routes: RouteReader, connections: dict[int, EdgeConnection]
    ) -> None:
        assert config.sys_interval_s > 0
        self._config = config
        self._fanout = fanout
        self._routes = routes
        self._connections = connections
        self._started_ms = -1
        self._now_ms = 0
        self._due_ms = 0

    def on_clock(self, now_ms: int) -> None:
        """The monotonic clock as of this turn."""
        self._now_ms = now_ms
        if self._started_ms < 0:
            self._started_ms = now_ms
        elif now_ms < self._due_ms:
            return
        else:
            self._publish()
        self._due_ms = now_ms + self._config.sys_interval_s * 1000

    def on_subscribe(self, topic_filter: str) -> None:
        """A client asks for a filter; values are due soon where it is one of these topics'."""
        if "$SYS/" in topic_filter:
            self._due_ms = min(self._due_ms, self._now_ms + ASKED_MS)

    def next_ms(self) -> int:
        """When `on_clock` must be called; a time once it was called first."""
        assert self._started_ms >= 0
        return self._due_ms

    def _publish(self) -> None:
        fanout = self._fanout
        values: dict[str, str] = {}
        for name in TOPICS:
            if fanout.has_receivers(ROOT + name):
                if not values:
                    values = self._values()
                fanout.deliver_own(Message(ROOT + name, values[name].encode(), 0, False))

    def _values(self) -> dict[str, str]:
        counts = self._routes.counts()
        ledger = self._fanout.ledger
        return {
            "version": f"Quantum {self._config.server_version}",
            "uptime": str((self._now_ms - self._started_ms) // 1000),
            "connections": str(len(self._connections)),
            "clients/connected": str(counts["connected"]),
            "clients/disconnected": str(counts["sessions"] - counts["connected"]),
            "clients/total": str(counts["sessions"]),
            "subscriptions/count": str(counts["subscriptions"]),
            "shared_subscriptions/count": str(counts["shared_groups"]),
            "retained messages/count": str(counts["retained_messages"]),
            "messages/queued": str(counts["queued_messages"]),
            "messages/inflight": str(counts["inflight_messages"]),
            "publish/messages/received": str(ledger.received),
            "publish/messages/sent": str(ledger.delivered + ledger.sent),
            "publish/messages/dropped": str(sum(ledger.dropped.values())),
        }
