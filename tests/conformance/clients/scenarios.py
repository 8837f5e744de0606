"""What every client does, once a scenario, in words that all clients have."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.conformance.broker_process import BrokerProcess
from tests.conformance.clients.client import Client, Driver, Message, Opening

_CLIENT_NUMBERS = count(1)
LARGE_BYTES = 1_000_000


@dataclass
class Cell:
    """One client in one version against one broker; topics and client ids are its own."""

    driver: Driver
    version: str
    broker: BrokerProcess
    certificates: Path
    topic: str
    clients: list[Client] = field(default_factory=list)

    def opening(self, scheme: str = "tcp") -> Opening:
        """How the cell's clients connect. A client id of 3.1 has 23 characters at most."""
        certificates = self.certificates if scheme == "tls" else None
        client_id = f"matrix-{next(_CLIENT_NUMBERS)}"
        return Opening(self.version, client_id, self.broker.ports[scheme], scheme, certificates)

    def client(self, opening: Opening | None = None) -> Client:
        """A client that is closed with the cell."""
        client = self.driver.client(opening or self.opening())
        self.clients.append(client)
        return client

    def close(self) -> None:
        """Close what the scenario left open."""
        while self.clients:
            self.clients.pop().close()


def numbers(upto: int) -> Iterator[bytes]:
    """Payloads that show their order."""
    return (b"%d" % number for number in range(upto))


def take(client: Client, amount: int) -> list[bytes]:
    """The payloads of the next messages."""
    return [client.next_message().payload for _ in range(amount)]


def connect(cell: Cell) -> None:
    client = cell.client()
    assert not client.open()
    client.disconnect()


def _round_trip(cell: Cell, qos: int, scheme: str = "tcp") -> None:
    subscriber, publisher = cell.client(cell.opening(scheme)), cell.client(cell.opening(scheme))
    subscriber.open(f"{cell.topic}/+", qos)
    publisher.open()
    for payload in numbers(10):
        publisher.publish(f"{cell.topic}/a", payload, qos)
    got = [subscriber.next_message() for _ in range(10)]
    assert [Message(f"{cell.topic}/a", payload, qos, False) for payload in numbers(10)] == got
    publisher.disconnect()
    subscriber.disconnect()


def qos_0(cell: Cell) -> None:
    _round_trip(cell, 0)


def qos_1(cell: Cell) -> None:
    _round_trip(cell, 1)


def qos_2(cell: Cell) -> None:
    _round_trip(cell, 2)


def retained(cell: Cell) -> None:
    """A later subscriber gets it as retained, an earlier one as live; an empty one removes it."""
    state, publisher = f"{cell.topic}/state", cell.client()
    publisher.open()
    publisher.publish(state, b"on", 1, True)
    first = cell.client()
    first.open(f"{cell.topic}/#", 1)
    assert Message(state, b"on", 1, True) == first.next_message()
    publisher.publish(state, b"", 1, True)
    assert Message(state, b"", 1, False) == first.next_message()
    second = cell.client()
    second.open(f"{cell.topic}/#", 1)
    publisher.publish(f"{cell.topic}/end", b"end", 1)
    assert b"end" == second.next_message().payload


def will(cell: Cell) -> None:
    """It is sent when the connection is cut, and after DISCONNECT only where that asks for it."""
    watcher = cell.client()
    watcher.open(f"{cell.topic}/#", 1)
    cut, polite = cell.opening(), cell.opening()
    cut.will = Message(f"{cell.topic}/cut", b"gone", 1, False)
    polite.will = Message(f"{cell.topic}/polite", b"gone", 1, False)
    leaving = cell.client(polite)
    leaving.open()
    leaving.disconnect()
    if cell.version in cell.driver.leaves_with_will:
        assert polite.will == watcher.next_message()
    dying = cell.client(cut)
    dying.open()
    dying.cut()
    assert cut.will == watcher.next_message()
    watcher.publish(f"{cell.topic}/end", b"end", 1)
    assert b"end" == watcher.next_message().payload


def _leave(cell: Cell, opening: Opening, qos: int) -> None:
    """A session that is kept, with a subscription, whose client is away."""
    away = cell.client(opening)
    assert not away.open(f"{cell.topic}/#", qos)
    away.disconnect()


def _come_back(cell: Cell, opening: Opening) -> Client:
    back = cell.client(opening)
    assert back.open() in (True, None)
    return back


def resume(cell: Cell) -> None:
    """A session that was away gets what it missed, in order, and is subscribed still."""
    opening = cell.opening()
    opening.is_kept = True
    _leave(cell, opening, 2)
    publisher = cell.client()
    publisher.open()
    for payload in numbers(5):
        publisher.publish(f"{cell.topic}/one", payload, 1)
    for payload in numbers(5):
        publisher.publish(f"{cell.topic}/two", payload, 2)
    back = _come_back(cell, opening)
    got = [back.next_message() for _ in range(10)]
    for qos, topic_name in ((1, "one"), (2, "two")):  # Paho and MQTT.js hand QoS 2 over at PUBREL
        expected = [Message(f"{cell.topic}/{topic_name}", payload, qos, False) for payload in numbers(5)]
        assert expected == [message for message in got if message.qos == qos]
    publisher.publish(f"{cell.topic}/end", b"end", 1)
    assert b"end" == back.next_message().payload


def killed(cell: Cell) -> None:
    """What was acknowledged before the broker was killed is there when it comes back: messages, session, retained."""
    opening = cell.opening()
    opening.is_kept = True
    _leave(cell, opening, 1)
    publisher = cell.client()
    publisher.open()
    for payload in numbers(5):
        publisher.publish(f"{cell.topic}/a", payload, 1)
    publisher.publish(f"{cell.topic}/state", b"on", 2, True)
    cell.broker.kill()
    publisher.close()
    cell.broker.start()
    back = _come_back(cell, opening)
    assert [*numbers(5), b"on"] == take(back, 6)
    later = cell.client()
    later.open(f"{cell.topic}/#", 1)
    assert Message(f"{cell.topic}/state", b"on", 1, True) == later.next_message()


def returning(cell: Cell) -> None:
    """The library connects again by itself after the broker was killed, and its session goes on."""
    opening = cell.opening()
    opening.is_kept = opening.is_returning = True
    subscriber = cell.client(opening)
    subscriber.open(f"{cell.topic}/#", 1)
    cell.broker.restart()
    publisher = cell.client()
    publisher.open()
    for payload in numbers(3):
        publisher.publish(f"{cell.topic}/a", payload, 1)
    assert [*numbers(3)] == take(subscriber, 3)


def publishing(cell: Cell) -> None:
    """The broker is killed and comes back while a client publishes at QoS 2: every message arrives once, in order."""
    subscriber = cell.opening()
    subscriber.is_kept = True
    _leave(cell, subscriber, 2)
    opening = cell.opening()
    opening.is_kept = opening.is_returning = True
    publisher = cell.client(opening)
    publisher.open()
    outage = threading.Thread(target=cell.broker.restart)
    published = 0
    outage.start()
    try:
        while published < 5 or outage.is_alive():
            publisher.publish(f"{cell.topic}/a", b"%d" % published, 2)
            published += 1
    finally:
        outage.join()
    publisher.publish(f"{cell.topic}/a", b"end", 2)
    assert [*numbers(published), b"end"] == take(_come_back(cell, subscriber), published + 1)


def shared(cell: Cell) -> None:
    """Two members get every message once, and half of them each."""
    members = [cell.client(), cell.client()]
    for member in members:
        member.open(f"$share/group/{cell.topic}/#", 1)
    publisher = cell.client()
    publisher.open()
    for payload in numbers(10):
        publisher.publish(f"{cell.topic}/a", payload, 1)
    halves = [take(member, 5) for member in members]
    assert sorted(numbers(10)) == sorted(halves[0] + halves[1])
    assert halves == [sorted(half) for half in halves]


def large(cell: Cell) -> None:
    payload = bytes(range(256)) * (LARGE_BYTES // 256)
    subscriber, publisher = cell.client(), cell.client()
    subscriber.open(cell.topic, 1)
    publisher.open()
    publisher.publish(cell.topic, payload, 1)
    assert payload == subscriber.next_message().payload


def mutual_tls(cell: Cell) -> None:
    _round_trip(cell, 1, "tls")


def websocket(cell: Cell) -> None:
    _round_trip(cell, 2, "ws")


SCENARIOS: dict[str, Callable[[Cell], None]] = {
    "connect": connect,
    "QoS 0": qos_0,
    "QoS 1": qos_1,
    "QoS 2": qos_2,
    "retained": retained,
    "will": will,
    "resume": resume,
    "broker killed": killed,
    "returns by itself": returning,
    "publishes on": publishing,
    "shared": shared,
    "1 MB": large,
    "mutual TLS": mutual_tls,
    "websocket": websocket,
}
