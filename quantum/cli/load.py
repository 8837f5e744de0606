"""Load on a broker from one Python process: many clients, one loop, every message stamped and counted.

A publisher keeps at most `window` messages on the way: at QoS 1 and 2 until they are acknowledged, at QoS 0 until every
subscriber of its topic has them. What is measured is broker and generator together; the generator is Python and takes
part of the time, so numbers from here are a lower bound.
"""

import selectors
import struct
import time
from dataclasses import dataclass, field
from typing import Final

from quantum.cli.address import Address
from quantum.cli.transport import Tls, Transport, TransportClosed
from quantum.core.mqtt.client import NO_CREDIT, ClientConnection, ClientSession
from quantum.core.mqtt.packets import Connack, Packet, Puback, Pubcomp, Publish, Suback, Subscription

HEAD: Final = struct.Struct(">IQQ")  # publisher, sequence, monotonic ns
START_TIMEOUT_S: Final = 30.0
DRAIN_S: Final = 3.0
LATENCIES_MAX: Final = 200_000


@dataclass(slots=True)
class Shape:
    """Who sends to whom."""

    pattern: str  # pairs, fan-in, fan-out
    clients: int  # pairs, publishers of a fan-in, subscribers of a fan-out
    qos: int
    window: int
    payload_bytes: int
    duration_s: float
    version: int


@dataclass(slots=True)
class Counts:
    """What has happened since the measurement began."""

    sent: int = 0
    acknowledged: int = 0
    delivered: int = 0
    expected: int = 0
    duplicates: int = 0
    ack_us: list[int] = field(default_factory=list)
    delivery_us: list[int] = field(default_factory=list)


class LoadFailed(Exception):
    """The broker refused or dropped a client of the load."""


class LoadClient:
    """One connection."""

    def __init__(self, address: Address, tls: Tls, version: int, client_id: str) -> None:
        try:
            self.transport = Transport(address, tls, START_TIMEOUT_S)
        except TransportClosed as error:
            raise LoadFailed(str(error)) from error
        self.mqtt = ClientConnection(version, ClientSession())
        self.mqtt.connect(client_id, clean_start=True, keep_alive_s=60)
        self.number = 0
        self.topic_name = ""
        self.sequence = 0
        self.on_the_way = 0
        self.sent_ns: dict[int, int] = {}  # Packet Identifier → when

    def flush(self) -> None:
        """Send what is ready."""
        data = self.mqtt.take_bytes()
        if data:
            try:
                self.transport.send(data)
            except TransportClosed as error:
                raise LoadFailed(str(error)) from error

    def receive(self) -> list[Packet]:
        """What has arrived."""
        try:
            packets = self.mqtt.receive(self.transport.receive())
        except TransportClosed as error:
            raise LoadFailed(str(error)) from error
        if self.mqtt.failure is not None:
            raise LoadFailed(f"the broker broke the protocol: {self.mqtt.failure}")
        return packets


class Load:
    """Clients of one shape and their counters."""

    def __init__(self, address: Address, tls: Tls, shape: Shape, run: str) -> None:
        self.shape = shape
        self.counts = Counts()
        self.publishers: list[LoadClient] = []
        self.subscribers: list[LoadClient] = []
        self._selector = selectors.DefaultSelector()
        self._run = run
        self._fan = shape.clients if shape.pattern == "fan-out" else 1  # subscribers of a topic
        self._seen: dict[tuple[int, int], int] = {}  # (subscriber, publisher) → greatest sequence
        self._hiding: list[LoadClient] = []  # those whose transport may hold bytes although its socket is not readable
        self._arrived: dict[int, int] = {}  # publisher → deliveries of its messages
        publishers, subscribers = {"pairs": (1, 1), "fan-in": (1, 0), "fan-out": (0, 1)}[shape.pattern]
        for number in range(max(1, subscribers * shape.clients)):
            self.subscribers.append(self._client(address, tls, f"bench-{run}-s{number}", number))
        for number in range(max(1, publishers * shape.clients)):
            client = self._client(address, tls, f"bench-{run}-p{number}", number)
            client.topic_name = f"bench/{run}/{number}"
            self.publishers.append(client)

    def start(self) -> None:
        """Connect and subscribe every client. Raises: LoadFailed."""
        waiting = {id(client): True for client in (*self.publishers, *self.subscribers)}
        deadline = time.monotonic() + START_TIMEOUT_S
        for client in (*self.publishers, *self.subscribers):
            client.flush()
        while waiting:
            if time.monotonic() > deadline:
                raise LoadFailed(f"{len(waiting)} clients got no CONNACK or SUBACK within {START_TIMEOUT_S:g} s")
            for client in self._ready(0.1):
                for packet in client.receive():
                    if isinstance(packet, Connack):
                        self._on_connack(client, packet, waiting)
                    elif isinstance(packet, Suback):
                        if packet.reason_codes[0] >= 0x80:
                            raise LoadFailed(f"SUBACK with 0x{packet.reason_codes[0]:02x}")
                        waiting.pop(id(client), None)
                client.flush()

    def step(self, is_sending: bool) -> None:
        """One pass: take what came, acknowledge it, fill the windows."""
        for client in self._ready(0.0 if is_sending else 0.05):
            for packet in client.receive():
                self._on_packet(client, packet)
            client.flush()
        if is_sending:
            for client in self.publishers:
                self._fill(client)
                client.flush()

    def close(self) -> None:
        """Disconnect everybody."""
        for client in (*self.publishers, *self.subscribers):
            client.mqtt.disconnect()
            try:
                client.flush()
            except LoadFailed:
                continue
            client.transport.close()
        self._selector.close()

    def _client(self, address: Address, tls: Tls, client_id: str, number: int) -> LoadClient:
        client = LoadClient(address, tls, self.shape.version, client_id)
        client.number = number
        self._selector.register(client.transport, selectors.EVENT_READ, client)
        if address.is_tls or address.is_websocket:
            self._hiding.append(client)
        return client

    def _ready(self, timeout_s: float) -> list[LoadClient]:
        ready = [key.data for key, _ in self._selector.select(timeout_s)]
        for client in self._hiding:
            if client.transport.has_pending() and client not in ready:
                ready.append(client)
        return ready

    def _on_connack(self, client: LoadClient, packet: Connack, waiting: dict[int, bool]) -> None:
        if packet.reason_code:
            raise LoadFailed(f"CONNACK with 0x{packet.reason_code:02x}")
        if client.topic_name:
            waiting.pop(id(client), None)
            return
        is_pair = self.shape.pattern == "pairs"
        topic_filter = f"bench/{self._run}/{client.number if is_pair else '+'}"
        client.mqtt.subscribe([Subscription(topic_filter, self.shape.qos)])

    def _fill(self, client: LoadClient) -> None:
        shape, counts = self.shape, self.counts
        if shape.qos == 0:
            client.on_the_way = client.sequence - self._arrived.get(client.number, 0) // self._fan
        filler = bytes(max(0, shape.payload_bytes - HEAD.size))
        while client.on_the_way < shape.window:
            now_ns = time.monotonic_ns()
            payload = HEAD.pack(client.number, client.sequence, now_ns) + filler
            packet_id = client.mqtt.publish(client.topic_name, payload, shape.qos)
            if packet_id == NO_CREDIT:
                return
            if packet_id < 0:
                raise LoadFailed(f"{len(payload)} bytes are more than the broker takes")
            client.sequence += 1
            client.on_the_way += 1
            counts.sent += 1
            counts.expected += self._fan
            if packet_id:
                client.sent_ns[packet_id] = now_ns

    def _on_packet(self, client: LoadClient, packet: Packet) -> None:
        counts = self.counts
        if isinstance(packet, Publish):
            publisher, sequence, sent_ns = HEAD.unpack_from(packet.payload)
            if packet.qos:
                client.mqtt.ack(packet.packet_id)
            key = (client.number, publisher)
            if sequence <= self._seen.get(key, -1):
                counts.duplicates += 1
                return
            self._seen[key] = sequence
            self._arrived[publisher] = self._arrived.get(publisher, 0) + 1
            counts.delivered += 1
            if len(counts.delivery_us) < LATENCIES_MAX:
                counts.delivery_us.append((time.monotonic_ns() - sent_ns) // 1000)
        elif isinstance(packet, Puback | Pubcomp):
            if packet.reason_code >= 0x80:
                raise LoadFailed(f"a message was refused with 0x{packet.reason_code:02x}")
            client.on_the_way -= 1
            counts.acknowledged += 1
            sent_ns = client.sent_ns.pop(packet.packet_id, 0)
            if sent_ns and len(counts.ack_us) < LATENCIES_MAX:
                counts.ack_us.append((time.monotonic_ns() - sent_ns) // 1000)
