"""Writes a random log for one partition, by the rules and against them, and watches what a client would see of it."""

import dataclasses
import random

from quantum.core.broker.commands import (
    HOUSEKEEPING,
    NEVER_S,
    ON_PUBACK,
    ON_PUBCOMP,
    ON_PUBREC,
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
    encode_entry,
)
from quantum.core.broker.effects import Effects, Receiver, SendPublish, SendPubrel, SessionOpened
from quantum.core.broker.message import Message
from quantum.core.broker.state import BrokerState
from quantum.core.causes import CLIENT_PACKET_TOO_LARGE
from quantum.core.mqtt.packets import NO_EXPIRY, Subscription, Will

CLIENTS = [f"c{number}" for number in range(7)]
TOPICS = ["a", "b", "a/b", "a/c", "$x/a", "b/b/b"]
FILTERS = [
    "a",
    "b",
    "a/b",
    "+",
    "#",
    "a/+",
    "a/#",
    "+/b",
    "$x/#",
    "$share/g/a",
    "$share/g/#",
    "$share/h/a",
    "$share/g/a/+",
]


class RandomLog:
    """Each `entry` is random in what it holds, and knows enough of the answers to be right about half of the time."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._orphans = random.Random(-seed - 1)
        self._orphan_count = 0
        self.now_ms = 1_000_000
        self.epochs: dict[str, int] = {}
        self.flights: dict[str, dict[int, int]] = {}  # the next step by packet id, of what a client has not finished
        self.receive_maximum: dict[str, int] = {}
        self._edges: dict[int, tuple[int, int, bool]] = {}  # edge → incarnation, forward_seq, whether it is open

    def first(self) -> Entry:
        return Entry(self.now_ms, HOUSEKEEPING, 0, 0, [SetPolicy(5, 6, 12, 400, 4, 60)])

    def entry(self) -> Entry:
        chance = self._chance
        self.now_ms += chance.choice([0, 0, 1, 500, 1000, 3000, -2000])
        edge = chance.randint(1, 2)
        incarnation, seq, is_open = self._edges.get(edge, (0, 0, False))
        if chance.random() < 0.05:
            seq += chance.choice([-2, -1, 1])
        if chance.random() < 0.02:
            incarnation += chance.choice([-1, 1])
        roll = chance.random()
        if not is_open or roll < 0.01:
            incarnation = max(0, incarnation + 1)
            return Entry(self.now_ms, edge, incarnation, 0, [OpenEdge(edge, incarnation, chance.randint(1, 99))])
        if roll < 0.02:
            return Entry(self.now_ms, HOUSEKEEPING, 0, 0, [CloseEdge(edge, max(0, incarnation))])
        if roll < 0.03:
            limits = (chance.randint(3, 7), chance.randint(2, 8), chance.randint(1, 12), 400, 4, chance.randint(20, 80))
            return Entry(self.now_ms, HOUSEKEEPING, 0, 0, [SetPolicy(*limits, chance.randint(0, 2))])
        commands = [self._command() for _ in range(chance.choice([0, 1, 1, 1, 2, 5]))]
        if self._orphans.random() < 0.1:
            commands.append(self._orphan())
        return Entry(self.now_ms, edge, max(0, incarnation), max(0, seq + 1), commands)

    def _orphan(self) -> GiveAgain:
        chance = self._orphans
        self._orphan_count += 1
        payload = b"o" * chance.randint(0, 20)
        message = Message(chance.choice(TOPICS), payload, chance.randint(1, 2), chance.random() < 0.5)
        message.number = 1_000_000 + self._orphan_count
        message.deadline_ms = chance.choice([0, 0, self.now_ms, self.now_ms + 5000])
        return GiveAgain(chance.choice(FILTERS), message)

    def on_effects(self, entry: Entry, effects: Effects) -> None:
        """Learn from the answers, and check what every client would check."""
        for edge, incarnation in effects.edges_closed:
            self._edges[edge] = (incarnation, 0, False)
        for edge, incarnation, _ in effects.edges_opened:
            self._edges[edge] = (incarnation, 0, True)
        if effects.forward_seq and not effects.is_refused:
            self._edges[effects.edge] = (effects.incarnation, effects.forward_seq, True)
        for command, result in zip(entry.commands, effects.results, strict=True):
            if isinstance(command, OpenSession) and isinstance(result, SessionOpened):
                self.epochs[command.client_id] = result.conn_epoch
                self.receive_maximum[command.client_id] = command.receive_maximum
                self.flights[command.client_id] = {}
            if isinstance(command, AcknowledgeDelivery | DropDelivery) and result == 0:
                self._settle(command)
        for send in effects.sends:
            if send.conn_epoch != self.epochs.get(send.client_id):
                continue  # of a connection that another one in the same entry took over
            flights = self.flights[send.client_id]
            if isinstance(send, SendPublish) and send.packet_id:
                assert send.packet_id not in flights, "packet id sent twice on one connection"
                flights[send.packet_id] = ON_PUBACK if send.qos == 1 else ON_PUBREC
            elif isinstance(send, SendPubrel):
                flights[send.packet_id] = ON_PUBCOMP

    def _settle(self, command: AcknowledgeDelivery | DropDelivery) -> None:
        if isinstance(command, AcknowledgeDelivery) and command.step == ON_PUBREC and command.reason_code < 0x80:
            return
        if command.conn_epoch == self.epochs.get(command.client_id):
            self.flights[command.client_id].pop(command.packet_id, None)

    def _command(self) -> Command:
        chance = self._chance
        client_id = chance.choice(CLIENTS)
        epoch = self.epochs.get(client_id, 0)
        if chance.random() < 0.03:
            epoch -= 1
        roll = chance.random()
        if roll < 0.02:
            return SetBacklog(client_id, epoch, chance.random() < 0.5)
        if roll < 0.35:
            return self._publish(client_id, epoch)
        if roll < 0.55:
            return self._acknowledge(client_id, epoch)
        if roll < 0.70:
            return self._open(client_id)
        if roll < 0.78:
            return CloseSession(client_id, epoch, chance.randrange(2), chance.choice([-1, -1, 0, 2, NEVER_S]))
        if roll < 0.90:
            return self._subscribe(client_id, epoch)
        if roll < 0.94:
            return UnsubscribeSession(client_id, epoch, chance.sample(FILTERS, 3))
        return ReleaseMessage(client_id, epoch, chance.randint(1, 3))

    def _publish(self, client_id: str, epoch: int) -> Command:
        chance = self._chance
        qos = chance.choice([1, 1, 2])
        retain = chance.random() < 0.2
        packet_id = chance.randint(1, 3) if qos == 2 and chance.random() < 0.7 else 0
        payload = chance.choice([b"", b"x", b"0123456789" * chance.randint(1, 5)])
        expiry_s = chance.choice([NO_EXPIRY, NO_EXPIRY, 0, 1, 4])
        if retain and chance.random() < 0.3:
            qos = packet_id = 0
        message = Message(chance.choice(TOPICS), payload, qos, retain, b"", expiry_s, client_id)
        return PublishMessage(epoch, packet_id, message)

    def _acknowledge(self, client_id: str, epoch: int) -> Command:
        chance = self._chance
        busy = sorted(name for name, flights in self.flights.items() if flights)
        if busy and chance.random() < 0.8:
            client_id = chance.choice(busy)
            epoch = self.epochs[client_id]
        flights = self.flights.get(client_id, {})
        packet_id = chance.choice(list(flights)) if flights and chance.random() < 0.9 else chance.randint(1, 8)
        if chance.random() < 0.05:
            return DropDelivery(client_id, epoch, packet_id, CLIENT_PACKET_TOO_LARGE.number)
        reason_code = 0 if chance.random() < 0.9 else 0x80
        step = chance.choice([ON_PUBACK, ON_PUBREC, ON_PUBCOMP])
        if chance.random() < 0.8:
            step = flights.get(packet_id, step)
        return AcknowledgeDelivery(client_id, epoch, packet_id, step, reason_code)

    def _open(self, client_id: str) -> Command:
        chance = self._chance
        will = None
        if chance.random() < 0.5:
            will = Will(
                chance.choice(TOPICS),
                b"will",
                chance.randrange(3),
                chance.random() < 0.2,
                b"",
                chance.choice([0, 2, 9]),
            )
        return OpenSession(
            client_id,
            chance.random() < 0.15,
            chance.choice([0, 2, 5, NEVER_S]) if client_id > "c2" else 0,
            chance.randint(1, 4),
            chance.randint(1, 99),
            will,
        )

    def _subscribe(self, client_id: str, epoch: int) -> Command:
        chance = self._chance
        subscriptions = []
        for topic_filter in chance.sample(FILTERS, chance.randint(1, 3)):
            is_shared = topic_filter.startswith("$share/")
            subscriptions.append(
                Subscription(
                    topic_filter,
                    chance.randrange(3),
                    not is_shared and chance.random() < 0.3,
                    chance.random() < 0.3,
                    chance.randrange(3),
                )
            )
        return SubscribeSession(client_id, epoch, subscriptions, chance.randint(0, 3))


def image_of(effects: Effects) -> object:
    """Everything in an `Effects` as plain values, without what is only unique in a process."""
    return (
        effects.index,
        effects.stamp_ms,
        (effects.edge, effects.incarnation, effects.forward_seq, effects.is_refused, effects.has_left),
        (effects.edges_opened, effects.edges_closed),
        [repr(result) if not hasattr(result, "retained") else _subscribed(result) for result in effects.results],
        [repr(close) for close in effects.closes],
        [(_message(message), [_values(r) for r in route.receivers]) for message, route in effects.deliveries],
        [
            (_message(send.message), *(value for name, value in _named(send) if name != "message"))
            if isinstance(send, SendPublish)
            else repr(send)
            for send in effects.sends
        ],
    )


def _subscribed(result: object) -> object:
    codes = result.reason_codes  # type: ignore[attr-defined]
    retained = result.deliveries()  # type: ignore[attr-defined]
    return (codes, [(_message(item.message), item.qos, item.subscription_ids) for item in retained])


def _named(thing: object) -> list[tuple[str, object]]:
    return [(field.name, getattr(thing, field.name)) for field in dataclasses.fields(thing)]  # type: ignore[arg-type]


def _values(receiver: Receiver) -> list[object]:
    return [_values(value) if isinstance(value, Receiver) else value for _, value in _named(receiver)]


def _message(message: Message) -> list[object]:
    return [value for name, value in _named(message) if name != "encoded"]


def steps_of(seed: int) -> tuple[int, int, int]:
    """How many retained topics an entry reads, how much it does of what is due, and how many waiting copies it sends: in
    most runs so little that later entries go on."""
    return (1, 2, 1024)[seed % 3], (512, 1, 3, 512)[seed % 4], (1024, 1, 2, 1024, 1)[seed % 5]


def written_log(seed: int, count: int) -> list[bytes]:
    """The entries of a random log, without looking at anything but the answers."""
    log = RandomLog(seed)
    state = BrokerState(*steps_of(seed))
    entries = []
    for index in range(1, count + 1):
        entry = log.first() if index == 1 else log.entry()
        entries.append(encode_entry(entry))
        log.on_effects(entry, state.apply(index, entries[-1], None))
    return entries
