"""What the naive broker remembers and answers: messages, sessions, edges and effects, in lists and plain tuples."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, final

from quantum.core.mqtt.packets import Subscription, Will

AWAITS_PUBACK: Final = "puback"
AWAITS_PUBREC: Final = "pubrec"
AWAITS_PUBCOMP: Final = "pubcomp"

# A result is a reason code, ("refused", cause id), ("opened", …), ("subscribed", codes, retained) or ("unsubscribed", codes).
ModelResult = int | tuple[Any, ...]
# (client_id, topic_name, payload, qos, retain, subscription ids)
Delivery = tuple[str, str, bytes, int, bool, tuple[int, ...]]


@final
@dataclass(slots=True, eq=False)
class Application:
    """An Application Message; two of the same content are two messages."""

    topic_name: str
    payload: bytes
    qos: int
    retain: bool
    publisher: str
    deadline_ms: int  # 0 for never

    def size(self) -> int:
        return len(self.topic_name) + len(self.payload)


@final
@dataclass(slots=True, eq=False)
class Held:
    """One message held for one replicated session, queued or in flight."""

    message: Application
    qos: int
    retain: bool
    ids: tuple[int, ...]
    shared: str  # the shared Topic Filter it came by, "" for none
    packet_id: int = 0
    awaits: str = ""
    is_sent: bool = False  # on the connection that is open


@final
@dataclass(slots=True, eq=False)
class Subscribed:
    """One subscription of one session."""

    options: Subscription
    identifier: int

    def ids(self) -> tuple[int, ...]:
        return (self.identifier,) if self.identifier else ()


@final
@dataclass(slots=True, eq=False)
class SessionModel:
    """A session and, while it has one, its connection."""

    client_id: str
    session_epoch: int
    is_ephemeral: bool
    conn_epoch: int = 0  # 0 while it is not connected
    edge: int = 0
    conn_id: int = 0
    expiry_s: int = 0
    receive_maximum: int = 0
    ends_ms: int = 0
    will: Will | None = None
    will_due_ms: int = 0
    subscriptions: dict[str, Subscribed] = field(default_factory=dict)
    queue: list[Held] = field(default_factory=list)
    inflight: list[Held] = field(default_factory=list)  # in the order they were first sent
    released: list[Held] = field(default_factory=list)  # await PUBCOMP, in the order of their PUBREC
    received: list[int] = field(default_factory=list)
    last_packet_id: int = 0
    is_behind: bool = False

    def held(self) -> list[Held]:
        return self.queue + self.inflight + self.released

    def window_used(self) -> int:
        return len(self.released) + sum(1 for held in self.inflight if held.is_sent)


@final
@dataclass(slots=True, eq=False)
class EdgeModel:
    """One edge that opened, or none yet."""

    incarnation: int = 0
    nonce: int = 0
    is_open: bool = False
    counted: int = 0  # its entries that counted under this incarnation


@final
@dataclass(slots=True, eq=False)
class ModelEffects:
    """What follows from one entry, in plain tuples."""

    stamp_ms: int
    results: list[ModelResult] = field(default_factory=list)
    closes: list[tuple[str, int, int, int, str]] = field(default_factory=list)
    deliveries: list[tuple[Application, Delivery]] = field(default_factory=list)
    sends: list[tuple[Any, ...]] = field(default_factory=list)
    is_refused: bool = False
    edges_opened: list[tuple[int, int, int]] = field(default_factory=list)
    edges_closed: list[tuple[int, int]] = field(default_factory=list)


def matches(topic_filter: str, topic_name: str) -> bool:
    """Whether a non-shared filter matches, level by level. Source: MQTT 5.0 §4.7."""
    wanted, given = topic_filter.split("/"), topic_name.split("/")
    if given[0].startswith("$") and wanted[0] in ("+", "#"):
        return False  # [MQTT-4.7.2-1]
    while wanted:
        level = wanted.pop(0)
        if level == "#":
            return True  # also the parent level itself
        if not given or level not in ("+", given.pop(0)):
            return False
    return not given


def is_shared(topic_filter: str) -> bool:
    return topic_filter.startswith("$share/")


def filter_of(topic_filter: str) -> str:
    """What a filter matches topics with: a shared one without its `$share/group/`."""
    return topic_filter.split("/", 2)[2] if is_shared(topic_filter) else topic_filter


def in_order_of_ring(topic_name: str, client_ids: list[str]) -> list[str]:
    """Members of a shared group as a topic meets them on the ring: 32 points each, from the topic's own place upwards."""
    points: list[tuple[int, str]] = []
    for client_id in client_ids:
        for block in range(4):
            person = f"member {block}".encode()
            digest = hashlib.blake2b(client_id.encode(), digest_size=64, person=person).digest()
            points += [(int.from_bytes(digest[at : at + 8], "big"), client_id) for at in range(0, 64, 8)]
    place = int.from_bytes(hashlib.blake2b(topic_name.encode(), digest_size=8, person=b"topic").digest(), "big")
    met = [client_id for point, client_id in sorted(points) if point >= place]
    met += [client_id for point, client_id in sorted(points) if point < place]
    return list(dict.fromkeys(met))
