"""Random entries for one partition, meant to be nasty: few names, many collisions, and knowledge of what is going on.

The generator is told what each entry led to, so that it can speak with live connection epochs and packet identifiers —
and, now and then, with stale ones. Three edges speak; their entries are mostly due, sometimes repeated, ahead of their
turn, or of an incarnation that is not open.
"""

from typing import Final, final

from quantum.core.broker.commands import (
    CLOSED_NORMALLY,
    CLOSED_WITH_WILL,
    HOUSEKEEPING,
    NEVER_S,
    ON_PUBACK,
    ON_PUBCOMP,
    ON_PUBREC,
    STRATEGY_NAMES,
    AcknowledgeDelivery,
    CloseEdge,
    CloseSession,
    Command,
    DropDelivery,
    Entry,
    GiveAgain,
    OpenEdge,
    OpenSession,
    PublishMessage,
    ReleaseMessage,
    SetBacklog,
    SetPolicy,
    SubscribeSession,
    UnsubscribeSession,
)
from quantum.core.broker.effects import Effects, SendPublish, SessionOpened
from quantum.core.broker.message import Message
from quantum.core.causes import CLIENT_PACKET_TOO_LARGE
from quantum.core.mqtt.packets import NO_EXPIRY, Subscription, Will
from quantum.core.prng import Prng

_CLIENT_IDS: Final = ("a", "b", "c", "d", "e")
_TOPIC_NAMES: Final = ("x", "x/y", "x/y/z", "w/y", "/x", "$SYS/x", "x/", "w")
_TOPIC_FILTERS: Final = ("x", "x/y", "+", "#", "x/#", "+/y", "x/+/z", "+/+", "/+", "$SYS/#", "x/+", "w/y")
_SHARED_FILTERS: Final = ("$share/g/x/#", "$share/g/+", "$share/h/x/#", "$share/h/#", "$share/g/x/y")
_EXPIRIES_S: Final = (0, 0, 1, 5, 30, 600, NEVER_S)
_DELAYS_S: Final = (0, 0, 1, 5, 60)
_MESSAGE_EXPIRIES_S: Final = (NO_EXPIRY, NO_EXPIRY, NO_EXPIRY, 0, 1, 3, 20)
_STEPS_MS: Final = (0, 0, 1, 10, 500, 1_000, 1_000, 5_000, 30_000, 700_000)
_ORPHANS_FROM: Final = 1_000_000  # numbers of messages that are given again, beyond those of the run's own
_RECEIVE_MAXIMA: Final = (1, 2, 3, 5, 65535)

# How likely each command is. Acknowledgements often enough for queues to drain, seldom enough for them to fill.
_WEIGHTS: Final = (14, 8, 13, 4, 34, 5, 22, 3, 3, 1)
_OPEN_SESSION: Final = 0
_CLOSE_SESSION: Final = 1
_SUBSCRIBE: Final = 2
_UNSUBSCRIBE: Final = 3
_PUBLISH: Final = 4
_RELEASE: Final = 5
_ACKNOWLEDGE: Final = 6
_DROP: Final = 7
_BACKLOG: Final = 8

# How likely each kind of entry is: an edge's in its turn, out of its turn, of another incarnation; opening, closing, policy.
_ENTRY_WEIGHTS: Final = (80, 4, 2, 2, 2, 2)
_OUT_OF_TURN: Final = 1
_OTHER_INCARNATION: Final = 2
_OPENING: Final = 3
_CLOSING: Final = 4
_SETTING_POLICY: Final = 5
_EDGE_COUNT: Final = 3


@final
class RandomCommands:
    """An endless sequence of entries. Ask for one with `next_entry`, tell what followed with `on_effects`."""

    def __init__(self, prng: Prng) -> None:
        self._prng = prng
        self._stamp_ms = 1_000_000
        self._entry = Entry(0, HOUSEKEEPING, 0, 0, [])
        self._epochs: dict[str, int] = {}  # client id → the last conn_epoch it was given
        self._was_ephemeral: dict[str, bool] = {}
        self._connected: dict[str, None] = {}
        self._orphans = prng.stream("orphans")
        self._may_be_tight = prng.stream("policy").chance(1, 2)
        self._incarnations: dict[int, int] = {}  # edge → its newest
        self._counted: dict[int, int] = {}  # edge that is open → its entries that counted
        self._sent: dict[str, list[tuple[int, int]]] = {}  # client id → (packet id, qos) it was sent, the latest last
        self._message_count = 0
        self._orphan_count = 0
        self._conn_count = 0

    def next_entry(self) -> Entry:
        """The next entry: mostly one or two commands, sometimes none. Its time may stand still or go back a little."""
        prng = self._prng
        self._stamp_ms += _STEPS_MS[prng.below(len(_STEPS_MS))]
        stamp_ms = self._stamp_ms - (prng.below(2_000) if prng.chance(1, 10) else 0)
        self._entry = self._next(stamp_ms)
        return self._entry

    def on_effects(self, effects: Effects) -> None:
        """What the last entry led to."""
        for edge, _ in effects.edges_closed:
            del self._counted[edge]
        for edge, incarnation, _ in effects.edges_opened:
            self._incarnations[edge] = incarnation
            self._counted[edge] = 0
        if effects.forward_seq and not effects.is_refused and effects.edge in self._counted:
            self._counted[effects.edge] = effects.forward_seq
        for command, result in zip(self._entry.commands, effects.results, strict=True):
            if isinstance(command, OpenSession) and isinstance(result, SessionOpened):
                self._epochs[command.client_id] = result.conn_epoch
                self._was_ephemeral[command.client_id] = result.is_ephemeral
                self._connected[command.client_id] = None
            elif isinstance(command, CloseSession) and result == 0:
                self._connected.pop(command.client_id, None)
        for send in effects.sends:
            if isinstance(send, SendPublish) and send.packet_id:
                sent = self._sent.setdefault(send.client_id, [])
                sent.append((send.packet_id, send.qos))
                del sent[:-8]

    # Private.

    def _next(self, stamp_ms: int) -> Entry:
        prng = self._prng
        kind = prng.choice_index(list(_ENTRY_WEIGHTS))
        edge = 1 + prng.below(_EDGE_COUNT)
        incarnation = self._incarnations.get(edge, 0)
        forward_seq = self._counted.get(edge, 0) + 1
        if kind == _SETTING_POLICY:
            return Entry(stamp_ms, HOUSEKEEPING, 0, 0, [self._policy()])
        if kind == _CLOSING:
            sender = prng.below(1 + _EDGE_COUNT)
            if prng.chance(1, 3):
                incarnation = _beside(prng, incarnation)
            closing = [CloseEdge(edge, incarnation), *self._commands()]
            if sender == HOUSEKEEPING:
                return Entry(stamp_ms, HOUSEKEEPING, 0, 0, closing)
            forward_seq = self._counted.get(sender, 0) + 1
            return Entry(stamp_ms, sender, self._incarnations.get(sender, 0), forward_seq, closing)
        if kind == _OPENING or edge not in self._counted:
            incarnation += 1
            if prng.chance(1, 6):
                incarnation = _beside(prng, incarnation)
            opening: list[Command] = [OpenEdge(edge, incarnation, prng.below(100))]
            if prng.chance(1, 12):
                opening += self._commands()
            return Entry(stamp_ms, edge, incarnation, 0 if prng.chance(11, 12) else forward_seq, opening)
        if kind == _OUT_OF_TURN:
            forward_seq = prng.below(forward_seq + 3)
        elif kind == _OTHER_INCARNATION:
            incarnation = _beside(prng, incarnation)
        return Entry(stamp_ms, edge, incarnation, forward_seq, self._commands())

    def _commands(self) -> list[Command]:
        commands = [self._command() for _ in range(self._prng.choice_index([1, 8, 4, 2, 1]))]
        if self._orphans.chance(1, 8):
            commands.append(self._give_again())
        return commands

    def _command(self) -> Command:
        prng = self._prng
        kind = prng.choice_index(list(_WEIGHTS))
        if kind == _OPEN_SESSION:
            return self._open_session()
        client_id = _CLIENT_IDS[prng.below(len(_CLIENT_IDS))]
        if client_id not in self._connected and self._connected and prng.chance(9, 10):
            client_id = list(self._connected)[prng.below(len(self._connected))]
        epoch = self._epoch(client_id)
        if kind == _CLOSE_SESSION:
            how = CLOSED_WITH_WILL if prng.chance(2, 3) else CLOSED_NORMALLY
            # DISCONNECT may not set an expiry where CONNECT set none [§3.14.2.2.2], so 0 is what it may say anywhere.
            return CloseSession(client_id, epoch, how, 0 if prng.chance(1, 6) else -1)
        if kind == _SUBSCRIBE:
            subscriptions = [self._subscription() for _ in range(1 + prng.below(2))]
            return SubscribeSession(client_id, epoch, subscriptions, prng.below(4))
        if kind == _UNSUBSCRIBE:
            return UnsubscribeSession(client_id, epoch, [self._subscription().topic_filter])
        if kind == _PUBLISH:
            return self._publish(client_id, epoch)
        if kind == _RELEASE:
            return ReleaseMessage(client_id, epoch, 1 + prng.below(4))
        if kind == _ACKNOWLEDGE:
            return self._acknowledge(client_id, epoch)
        if kind == _DROP:
            return DropDelivery(client_id, epoch, self._packet_id(client_id)[0], CLIENT_PACKET_TOO_LARGE.number)
        if kind == _BACKLOG:
            return SetBacklog(client_id, epoch, prng.chance(1, 2))
        return self._policy()

    def _epoch(self, client_id: str) -> int:
        epoch = self._epochs.get(client_id, 0)
        if self._prng.chance(1, 25):
            return max(0, epoch - self._prng.below(4))
        return epoch

    def _open_session(self) -> OpenSession:
        prng = self._prng
        client_id = _CLIENT_IDS[prng.below(len(_CLIENT_IDS))]
        expiry_s = _EXPIRIES_S[prng.below(len(_EXPIRIES_S))]
        self._conn_count += 1
        will: Will | None = None
        if prng.chance(1, 2):
            delay_s = _DELAYS_S[prng.below(len(_DELAYS_S))]
            message_expiry_s = _MESSAGE_EXPIRIES_S[prng.below(len(_MESSAGE_EXPIRIES_S))]
            topic_name = _TOPIC_NAMES[prng.below(len(_TOPIC_NAMES))]
            payload = self._payload()
            will = Will(topic_name, payload, prng.below(3), prng.chance(1, 3), b"", delay_s, message_expiry_s)
        receive_maximum = _RECEIVE_MAXIMA[prng.below(len(_RECEIVE_MAXIMA))]
        return OpenSession(client_id, prng.chance(1, 5), expiry_s, receive_maximum, self._conn_count, will)

    def _subscription(self) -> Subscription:
        prng = self._prng
        qos = prng.below(3)
        if prng.chance(1, 3):
            topic_filter = _SHARED_FILTERS[prng.below(len(_SHARED_FILTERS))]
            return Subscription(topic_filter, qos, False, prng.chance(1, 2), prng.below(3))
        topic_filter = _TOPIC_FILTERS[prng.below(len(_TOPIC_FILTERS))]
        return Subscription(topic_filter, qos, prng.chance(1, 4), prng.chance(1, 2), prng.below(3))

    def _publish(self, client_id: str, epoch: int) -> PublishMessage:
        prng = self._prng
        retain = prng.chance(1, 3)
        qos = prng.below(3) if retain else 1 + prng.below(2)  # QoS 0 is logged for retained messages only
        topic_name = _TOPIC_NAMES[prng.below(len(_TOPIC_NAMES))]
        expiry_s = _MESSAGE_EXPIRIES_S[prng.below(len(_MESSAGE_EXPIRIES_S))]
        message = Message(topic_name, self._payload(), qos, retain, b"", expiry_s, client_id)
        is_logged = qos == 2 and not self._was_ephemeral.get(client_id, True)
        return PublishMessage(epoch, 1 + prng.below(4) if is_logged else 0, message)

    def _give_again(self) -> GiveAgain:
        """What an edge may say of a message that was handed to it: any topic of any group, expired or not."""
        prng = self._orphans
        shared_filter = _SHARED_FILTERS[prng.below(len(_SHARED_FILTERS))]
        topic_name = _TOPIC_NAMES[prng.below(len(_TOPIC_NAMES))]
        expiry_s = _MESSAGE_EXPIRIES_S[prng.below(len(_MESSAGE_EXPIRIES_S))]
        self._orphan_count += 1
        payload = b"o%d" % self._orphan_count
        publisher = _CLIENT_IDS[prng.below(len(_CLIENT_IDS))]
        message = Message(topic_name, payload, 1 + prng.below(2), prng.chance(1, 3), b"", expiry_s, publisher)
        message.number = _ORPHANS_FROM + self._orphan_count
        if expiry_s != NO_EXPIRY:
            message.deadline_ms = self._stamp_ms + expiry_s * 500
        return GiveAgain(shared_filter, message)

    def _payload(self) -> bytes:
        self._message_count += 1
        return b"" if self._prng.chance(1, 8) else b"m%d" % self._message_count

    def _packet_id(self, client_id: str) -> tuple[int, int]:
        sent = self._sent.get(client_id, [])
        if not sent or self._prng.chance(1, 15):
            return 1 + self._prng.below(10), 1 + self._prng.below(2)
        return sent[self._prng.below(len(sent))]

    def _acknowledge(self, client_id: str, epoch: int) -> AcknowledgeDelivery:
        prng = self._prng
        packet_id, qos = self._packet_id(client_id)
        if prng.chance(1, 20):
            qos = 3 - qos
        step = ON_PUBACK if qos == 1 else (ON_PUBREC if prng.chance(1, 2) else ON_PUBCOMP)
        return AcknowledgeDelivery(client_id, epoch, packet_id, step, 0x80 if prng.chance(1, 12) else 0)

    def _policy(self) -> SetPolicy:
        prng = self._prng
        strategy = prng.below(len(STRATEGY_NAMES))
        if not self._may_be_tight or prng.chance(1, 4):
            return SetPolicy(100, 100, 100, 10_000, 100, 10_000, strategy)
        queue = (1 + prng.below(6), 10 + prng.below(40))
        retained = (1 + prng.below(6), 4 + prng.below(20))
        return SetPolicy(2 + prng.below(5), 1 + prng.below(6), *queue, *retained, strategy)


def _beside(prng: Prng, incarnation: int) -> int:
    """Another incarnation, one above or below."""
    return incarnation - 1 if incarnation and prng.chance(1, 2) else incarnation + 1
