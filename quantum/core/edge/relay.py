"""QoS 0 between the nodes: what the clients of one edge publish, for the connections of all others. It is in no log.

An edge tells every other one what was published, once; each routes it by its own replica, so that a subscriber that has
its SUBACK is found wherever it is. Only for a shared group the origin chooses, and names the member and its connection.

Bodies of one process are numbered, and a number counts only if it is above all before it: what a network repeats or
brings late is not delivered twice, nor out of order. A body also says up to where its receiver must have applied the log,
`after_index`, so that

- a QoS 0 message that went through the log, because it was retained, is not overtaken by a later one that did not;
- no session gets a message on two connections, one after the other or, while node B has not heard that its connection
  is over, side by side: 1. it has one at B 2. it gets another at C 3. what a client of A published is told to both. If A
  had applied the end of the connection at B, B applies it first and serves nobody; if not, the message is from before
  that end, and the connection at C does not get it.
"""

from typing import Any, Final, final

import msgpack

from quantum.core.broker.effects import Effects, Pick
from quantum.core.broker.message import Message
from quantum.core.causes import PEER_ITEM_REFUSED, RELAY_BYTES_MAX, RELAY_REPEATED
from quantum.core.flow import CauseLedger
from quantum.core.mqtt.connection import PublishRun
from quantum.core.mqtt.packets import NO_EXPIRY
from quantum.core.mqtt.wire import STRING_BYTES_MAX

EVERYBODY: Final = 0  # in place of an edge: all other nodes that live
HELD_BYTES_MAX: Final = 16_777_216  # bodies that wait for the log; past it they are dropped
PROCESSES_MAX: Final = 16  # of one sender whose last numbers are remembered

# Kinds of rows; append, never renumber.
_RUN: Final = 1
_MESSAGE: Final = 2
_PICK: Final = 3

_EXPIRY_S_MAX: Final = 0xFFFFFFFF  # 3.3.2.3.3
_SUBSCRIPTION_ID_MAX: Final = 268_435_455  # 3.8.2.1.2


@final
class Relayed:
    """One thing that was published elsewhere: a run of packets, or a message, for one member or for whom it concerns."""

    __slots__ = ("after_index", "is_v5", "message", "pick", "publisher", "run")

    def __init__(
        self, publisher: str, run: PublishRun | None, is_v5: bool, message: Message | None, pick: Pick | None
    ) -> None:
        self.after_index = 0  # of its body
        self.publisher = publisher
        self.run = run
        self.is_v5 = is_v5  # the protocol of the run's packets
        self.message = message
        self.pick = pick

    def count(self) -> int:
        """How many messages."""
        return 1 if self.run is None else self.run.count


@final
class _Body:
    __slots__ = ("after_index", "items", "number", "size")

    def __init__(self, number: int, after_index: int, items: list[Relayed], size: int) -> None:
        self.number = number
        self.after_index = after_index
        self.items = items
        self.size = size
        for item in items:
            item.after_index = after_index


@final
class Relay:
    """What this edge has to say to others, and what it was told by them."""

    __slots__ = (
        "_after_index",
        "_bodies",
        "_causes",
        "_for_all",
        "_for_one",
        "_held",
        "_held_bytes",
        "_last",
        "_number",
        "applied_index",
        "has_peers",
    )

    def __init__(self, causes: CauseLedger) -> None:
        self._causes = causes
        self.has_peers = False  # other nodes live
        self._for_all: list[tuple[Any, ...]] = []
        self._for_one: dict[int, list[tuple[Any, ...]]] = {}  # by edge
        self._bodies: list[tuple[int, bytes]] = []  # to be taken
        self._number = 0  # of the last body
        self.applied_index = 0
        self._after_index = 0  # of the last entry that must not be overtaken
        # sender → nonce of its process → number of its last body: a frame of an earlier process may come late.
        self._last: dict[int, dict[int, int]] = {}
        self._held: list[_Body] = []  # in the order in which they came
        self._held_bytes = 0

    # -- out ------------------------------------------------------------------------------------------------------

    def add_run(self, publisher: str, is_v5: bool, run: PublishRun) -> None:
        """A run of packets, for everybody."""
        self._for_all.append((_RUN, publisher, is_v5, run.topic_name, run.frames, run.frame_size, run.head_size))

    def add_message(self, message: Message) -> None:
        """One message, for everybody."""
        self._for_all.append((_MESSAGE, *_row_of(message)))

    def add_pick(self, pick: Pick, message: Message) -> None:
        """One message, for one member of a shared group."""
        row = (_PICK, *_row_of(message), pick.client_id, pick.conn_epoch, pick.subscription_ids, pick.shared_filter)
        self._for_one.setdefault(pick.edge, []).append(row)

    def fence(self) -> None:
        """What is said from here on is for replicas that have applied as much as this one."""
        self._close_bodies()
        self._after_index = self.applied_index

    def take_bodies(self) -> list[tuple[int, bytes]]:
        """(edge or EVERYBODY, body) for everything that was added."""
        self._close_bodies()
        bodies = self._bodies
        self._bodies = []
        return bodies

    def _close_bodies(self) -> None:
        if self._for_all:
            self._bodies.append((EVERYBODY, self._encode(self._for_all)))
            self._for_all = []
        if self._for_one:
            for edge, rows in self._for_one.items():
                self._bodies.append((edge, self._encode(rows)))
            self._for_one = {}

    def _encode(self, rows: list[tuple[Any, ...]]) -> bytes:
        self._number += 1
        data: bytes = msgpack.packb((self._number, self._after_index, rows))
        return data

    # -- in -------------------------------------------------------------------------------------------------------

    def on_body(self, sender: int, nonce: int, data: bytes, clock_ms: int) -> list[Relayed]:
        """What another edge's process said; what is to be delivered now."""
        body = _decode(data, clock_ms)
        if body is None:
            self._causes.count(PEER_ITEM_REFUSED, 1)
            return []
        numbers = self._last.setdefault(sender, {})
        if body.number <= numbers.get(nonce, 0):
            self._causes.count(RELAY_REPEATED, _count(body))
            return []
        numbers[nonce] = body.number
        if len(numbers) > PROCESSES_MAX:
            del numbers[next(iter(numbers))]
        if body.after_index <= self.applied_index:
            return body.items
        if self._held_bytes + body.size > HELD_BYTES_MAX:
            self._causes.count(RELAY_BYTES_MAX, _count(body))
            return []
        self._held.append(body)
        self._held_bytes += body.size
        return []

    def on_applied(self, effects: Effects) -> None:
        """The log is applied up to here."""
        self.applied_index = effects.index
        if effects.has_left:
            self.fence()

    def take_held(self) -> list[Relayed]:
        """What waited for an entry that is applied."""
        if not self._held:
            return []
        ready: list[Relayed] = []
        held: list[_Body] = []
        for body in self._held:
            if body.after_index <= self.applied_index:
                ready += body.items
                self._held_bytes -= body.size
            else:
                held.append(body)
        self._held = held
        return ready


def _count(body: _Body) -> int:
    return sum([item.count() for item in body.items])


def _row_of(message: Message) -> tuple[Any, ...]:
    return (
        message.client_id,
        message.topic_name,
        message.payload,
        message.properties,
        message.message_expiry_s,
        message.deadline_ms,
    )


def _decode(data: bytes, clock_ms: int) -> _Body | None:
    """The body, or None where the bytes are none. Its sender's checksum held: it is of another version, or our fault."""
    try:
        number, after_index, rows = msgpack.unpackb(data, use_list=False)
        items = [_relayed_of(row, clock_ms) for row in rows]
        if not isinstance(number, int) or not isinstance(after_index, int):
            return None
    except (ValueError, TypeError, IndexError):
        return None
    return _Body(number, after_index, items, len(data))


def _relayed_of(row: tuple[Any, ...], clock_ms: int) -> Relayed:
    kind = row[0]
    if kind == _RUN:
        _, publisher, is_v5, topic_name, frames, frame_size, head_size = row
        _check((publisher, topic_name), str)
        _check_size(topic_name)
        _check((frames,), bytes)
        _check((frame_size, head_size), int)
        if not 0 < head_size <= frame_size or not frames or len(frames) % frame_size:
            raise ValueError("a run that is not made of whole packets")
        return Relayed(
            publisher,
            PublishRun(topic_name, frames, frame_size, head_size, len(frames) // frame_size),
            bool(is_v5),
            None,
            None,
        )
    if kind not in (_MESSAGE, _PICK):
        raise ValueError(f"a row of kind {kind}, allowed 1 to 3")
    publisher, topic_name, payload, properties, expiry_s, deadline_ms = row[1:7]
    _check((publisher, topic_name), str)
    _check_size(topic_name)
    _check((payload, properties), bytes)
    _check((expiry_s, deadline_ms), int)
    if not NO_EXPIRY <= expiry_s <= _EXPIRY_S_MAX:
        raise ValueError(f"an expiry of {expiry_s} s, allowed 0 to {_EXPIRY_S_MAX}")
    message = Message(topic_name, payload, 0, False, properties, expiry_s, publisher)
    if expiry_s >= 0:
        # The origin's clock may be ahead: no more than the whole interval is left here.
        message.deadline_ms = min(deadline_ms, clock_ms + expiry_s * 1000)
    if kind == _MESSAGE:
        return Relayed(publisher, None, False, message, None)
    client_id, conn_epoch, subscription_ids, shared_filter = row[7:11]
    _check((client_id, shared_filter), str)
    _check((subscription_ids,), tuple)
    _check((conn_epoch, *subscription_ids), int)
    if subscription_ids and not 0 < min(subscription_ids) <= max(subscription_ids) <= _SUBSCRIPTION_ID_MAX:
        raise ValueError(f"a Subscription Identifier out of 1 to {_SUBSCRIPTION_ID_MAX}")
    return Relayed(publisher, None, False, message, Pick(client_id, 0, conn_epoch, subscription_ids, shared_filter))


def _check_size(topic_name: str) -> None:
    if not 0 < len(topic_name.encode()) <= STRING_BYTES_MAX:
        raise ValueError(f"a Topic Name of {len(topic_name)} characters")


def _check(values: tuple[Any, ...], kind: type) -> None:
    for value in values:
        if not isinstance(value, kind):
            raise TypeError(f"{type(value).__name__} in a row, allowed {kind.__name__}")
