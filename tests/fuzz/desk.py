"""An edge and its partition over a log that never fails, without a node around them: made in an instant, for inputs by the
thousand. Clients keep to the standard until they are `is_wild`, and hold the server to it."""

from quantum.core.broker.commands import (
    HOUSEKEEPING,
    CloseEdge,
    Command,
    Entry,
    OpenEdge,
    SetPolicy,
    encode_entry,
    stamped,
)
from quantum.core.broker.state import BrokerState
from quantum.core.causes import EDGE_CLOSED
from quantum.core.edge.config import EdgeConfig
from quantum.core.edge.edge import Edge
from quantum.core.edge.pending import Pending
from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, Framer
from quantum.core.mqtt.packets import (
    PUBACK,
    PUBCOMP,
    PUBREC,
    SUBACK,
    UNSUBACK,
    V5,
    Connack,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Unsuback,
)
from quantum.core.prng import Prng

TURNS_MAX = 2_000
READ_STEPS = 3  # of retained messages in one entry
DUE_STEPS = 2  # of what is due
SEND_STEPS = 2  # of what waits for who comes back
EDGE = 1
REFUSED = 0x80  # 2.4: Reason Codes from here on are failures


class Client:
    """One connection's other end: what it asked for, and what it owes."""

    def __init__(self, conn_id: int, version: int, receive_maximum: int) -> None:
        self.conn_id = conn_id
        self.version = version
        self.receive_maximum = receive_maximum
        self.is_wild = False  # it has sent what a client would not
        self.is_closed = False
        self.is_welcome = False
        self.rest = b""  # of what it sends, still to be sent
        self.asked: dict[tuple[int, int], int] = {}  # (type of the answer, Packet Identifier) → reason codes in it
        self.owed: dict[int, int] = {}  # Packet Identifier → QoS of a PUBLISH it was sent; 3 behind its PUBREC
        self.received: list[int] = []  # its PUBLISH packets that were answered with PUBREC
        self.released: list[int] = []  # PUBREL packets it was sent
        self._framer = Framer(PACKET_BYTES_LIMIT)

    def on_bytes(self, data: bytes) -> None:
        """What the server wrote."""
        if self.is_wild:
            return  # nobody knows which version it speaks
        for first, body in self._framer.feed(data):
            self._on_packet(decode_packet(self.version, first, body))

    def ask(self, kind: int, packet_id: int, count: int = 1) -> None:
        self.asked[kind, packet_id] = count

    def answers(self, reason_code: int) -> bytes:
        """All that it owes, encoded."""
        packets: list[Packet] = [Pubcomp(packet_id) for packet_id in self.released]
        self.released = []
        for packet_id, qos in list(self.owed.items()):
            if qos == 1:
                packets.append(Puback(packet_id, reason_code))
                del self.owed[packet_id]
            elif qos == 2:
                packets.append(Pubrec(packet_id, reason_code))
                self.owed[packet_id] = 3
                if reason_code >= REFUSED:
                    del self.owed[packet_id]
        for packet_id in self.received:
            packets.append(Pubrel(packet_id))
            self.ask(PUBCOMP, packet_id)
        self.received = []
        return b"".join([encode_packet(self.version, packet) for packet in packets])

    def _on_packet(self, packet: Packet) -> None:
        assert isinstance(packet, Connack) != self.is_welcome, f"{packet} as first packet, or CONNACK later"
        self.is_welcome = True
        if isinstance(packet, Publish) and packet.qos:
            assert packet.packet_id not in self.owed, "a Packet Identifier in use [MQTT-2.2.1-4]"
            self.owed[packet.packet_id] = packet.qos
            assert len(self.owed) <= self.receive_maximum, "above Receive Maximum [MQTT-3.3.4-9]"
        elif isinstance(packet, Pubrel):
            self.owed.pop(packet.packet_id, None)
            self.released.append(packet.packet_id)
        elif isinstance(packet, Puback):
            self._on_answer(PUBACK, packet.packet_id)
        elif isinstance(packet, Pubrec):
            self._on_answer(PUBREC, packet.packet_id)
            if packet.reason_code < REFUSED:
                self.received.append(packet.packet_id)
        elif isinstance(packet, Pubcomp):
            self._on_answer(PUBCOMP, packet.packet_id)
        elif isinstance(packet, Suback):
            count = self._on_answer(SUBACK, packet.packet_id)
            assert len(packet.reason_codes) == count, "[MQTT-3.8.4-6]"
        elif isinstance(packet, Unsuback):
            count = self._on_answer(UNSUBACK, packet.packet_id)
            assert len(packet.reason_codes) == (count if self.version == V5 else 0), "[MQTT-3.11.3-2]"

    def _on_answer(self, kind: int, packet_id: int) -> int:
        count = self.asked.pop((kind, packet_id), 0)
        assert count, f"answer {kind} of {packet_id}, which nobody asked for"
        return count


class Desk:
    """Drives turns. With `is_held` the log takes entries and gives none back, but for `let_count`."""

    def __init__(self, config: EdgeConfig, policy: SetPolicy) -> None:
        self.state = BrokerState(READ_STEPS, DUE_STEPS, SEND_STEPS)
        self.edge = Edge(config, self.state, Prng(1))
        self.clients: dict[int, Client] = {}
        self.is_held = False
        self.let_count = 0
        self.now_ms = 1_000_000
        self._pending = Pending(EDGE)
        self._log: list[tuple[bytes, Entry | None]] = []  # what is not applied
        self._leaving: list[int] = []  # connections that the server closed, and whose transports are not gone yet
        self._index = 0
        self._incarnation = 0
        self._conn_id = 0
        self._append(Entry(self.now_ms, HOUSEKEEPING, 0, 0, [policy]))
        self.settle()

    def open(self, version: int, receive_maximum: int) -> Client:
        """A connection without a byte."""
        self._conn_id += 1
        client = self.clients[self._conn_id] = Client(self._conn_id, version, receive_maximum)
        self.edge.on_accepted(self._conn_id, "tcp://127.0.0.1:1883", "127.0.0.1:50000", "")
        return client

    def send(self, client: Client, data: bytes) -> None:
        """Bytes from a client."""
        if not client.is_closed:
            self.edge.on_received(client.conn_id, data)
            self.settle()

    def cut(self, client: Client) -> None:
        """The transport breaks."""
        if not client.is_closed:
            client.is_closed = True
            self.edge.on_closed(client.conn_id, "reset")
            self.settle()

    def close_edge(self) -> None:
        """The log takes the edge for lost."""
        self._append(Entry(self.now_ms, HOUSEKEEPING, 0, 0, [CloseEdge(EDGE, self._incarnation)]))
        self.settle()

    def pass_time(self, ms: int) -> None:
        """And what the server closed is closed."""
        self.now_ms += ms
        leaving, self._leaving = self._leaving, []
        for conn_id in leaving:
            self.edge.on_closed(conn_id, "closed by the server")
        for _ in range(TURNS_MAX):  # an entry does a few of the things that are due
            if not 0 < self.state.next_deadline_ms() <= self.now_ms:
                break
            self._append(Entry(self.now_ms, HOUSEKEEPING, 0, 0, []))
            self.settle()
            if self.is_held:
                break
        self.settle()

    def settle(self) -> None:
        """Turns until nothing is due."""
        for _ in range(TURNS_MAX):
            if not self._turn():
                return
        raise AssertionError("the edge never comes to rest")

    def _turn(self) -> bool:
        """One turn, in a node's order; True when another is due at once."""
        edge = self.edge
        edge.on_clock(self.now_ms, self.now_ms)
        count = min(len(self._log), self.let_count if self.is_held else len(self._log))
        self.let_count -= min(count, self.let_count)
        applied, self._log = self._log[:count], self._log[count:]
        for data, entry in applied:
            self._apply(data, entry)
        edge.read_on()
        if self._pending.incarnation:
            batch = edge.take_batch()
            if batch is not None:
                unapplied = self._pending.add(batch)
                # From its bytes or as it is: a replica and the proposer take both ways.
                entry = self._pending.entry(unapplied, self.now_ms) if unapplied.forward_seq & 1 else None
                self._log.append((stamped(unapplied.data, self.now_ms), entry))
        elif not self._log:
            opening: list[Command] = [OpenEdge(EDGE, self._incarnation + 1, 7)]
            self._append(Entry(self.now_ms, EDGE, self._incarnation + 1, 0, opening))
        wants_turn = edge.flush()
        for conn_id, data in edge.writes:
            assert conn_id not in self._leaving, "a write behind the close"
            self.clients[conn_id].on_bytes(data)
        for conn_id in edge.closes:
            assert not self.clients[conn_id].is_closed, "closed twice, or behind the transport's end"
            self.clients[conn_id].is_closed = True
        self._leaving += edge.closes
        edge.writes, edge.closes = [], []
        edge.take_events()
        edge.take_ephemeral()
        edge.reading.take_pauses()
        edge.reading.take_resumes()
        return wants_turn or (bool(self._log) and (not self.is_held or self.let_count > 0))

    def _append(self, entry: Entry) -> None:
        self._log.append((encode_entry(entry), None))

    def _apply(self, data: bytes, entry: Entry | None) -> None:
        self._index += 1
        effects = self.state.apply(self._index, data, entry)
        for _, incarnation in effects.edges_closed:
            if incarnation == self._pending.incarnation:
                self._pending = Pending(EDGE)
                self.edge.on_edge_closed(EDGE_CLOSED)
        for _, incarnation, _ in effects.edges_opened:
            self._incarnation = incarnation
            self._pending.open(incarnation)
            self.edge.on_edge_opened()
        self.edge.on_applied(self._pending.take(effects), effects)
