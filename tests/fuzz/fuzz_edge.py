"""Clients of every version do all they may, and some they may not, in any order and cut anywhere: everybody who kept to the
standard is answered, and what they leave behind ends. Input: operations of two bytes, what and who, and how; raw bytes
follow where they are sent."""

from functools import cache

from quantum.core.broker.commands import SetPolicy
from quantum.core.edge import answers, edge, fanout, reading, slices
from quantum.core.edge.config import EdgeConfig
from quantum.core.mqtt import connection
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import (
    PUBACK,
    PUBREC,
    SUBACK,
    UNSUBACK,
    V5,
    V311,
    Connect,
    Disconnect,
    Pingreq,
    Publish,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from quantum.core.mqtt.properties import (
    MAXIMUM_PACKET_SIZE,
    RECEIVE_MAXIMUM,
    SESSION_EXPIRY_INTERVAL,
    SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS_MAXIMUM,
    Properties,
)
from tests.fuzz.desk import Client, Desk
from tests.fuzz.golden import VERSIONS, vectors
from tests.fuzz.limits import Limits, lowered

BYTES_MAX = 128
CONNECT, PUBLISH, SUBSCRIBE, UNSUBSCRIBE, ANSWER, CUT, TIME, BLOCK, UNBLOCK, HOLD, MANY, SPLIT, DISCONNECT, PING = (
    range(14)
)
CLOSE_EDGE, RAW, BURST, ANSWER_ALL, OPERATIONS = range(14, 19)
BURST_COUNT = 5  # PUBLISH packets one behind the other, each of which is answered
OPERATIONS_MAX = 60  # of one input, so that none is slow
MANY_MAX = 4  # of them with many filters
SESSION_EXPIRY_S_MAX = 1000
RECEIVE_MAXIMUM_5 = 2  # of the clients of 5.0 that set one
CLIENT_IDS = ("a", "b", "c", "")
TOPICS = ("t", "t/u", "s", "t/u/v")
FILTERS = ("t", "t/+", "#", "t/#", "$share/g/t", "$share/g/#", "+", "$share/h/+/u")
PAYLOADS = (b"", b"1", b"0123456789", bytes(700))
MANY_COUNTS = (4, 9, 20, 40)
CONFIG = EdgeConfig(
    packet_bytes_max=2_000,
    receive_maximum=4,
    send_window_max=3,
    topic_alias_maximum=3,
    topic_levels_max=24,
    session_expiry_s_max=SESSION_EXPIRY_S_MAX,
    queue_messages_max=6,
    queue_bytes_max=2_000,
    connections_max=5,
    out_bytes_max=2_000,
)
POLICY = SetPolicy(
    sessions_max=3,
    subscriptions_max=45,
    queue_messages_max=6,
    queue_bytes_max=2_000,
    retained_messages_max=3,
    retained_bytes_max=2_000,
)

LIMITS: Limits = (
    (slices, "SLICE_FILTERS", 6),
    (slices, "SLICE_LEVELS", 40),
    (slices, "FEW_FILTERS", 3),
    (connection, "FILTER_BYTES_AT_ONCE", 60),
    (connection, "FILTERS_AT_ONCE", 8),
    (connection, "PIECE_BYTES_MAX", 100),
    (connection, "TOPICS_CACHED_MAX", 2),
    (fanout, "PUMP_BYTES", 300),
    (edge, "PUMP_BYTES", 300),
    (answers, "PUMP_BYTES", 300),
    (fanout, "READ_BYTES", 100),
    (reading, "HELD_BYTES_MAX", 200),
)


def step(what: int, conn: int, how: int, data: bytes = b"") -> bytes:
    """An operation as bytes."""
    return bytes((what << 2 | conn, how)) + data


def raw(conn: int, data: bytes) -> bytes:
    """The operation that sends what it is given."""
    return step(RAW, conn, len(data), data)


# A publisher (1) and a subscriber (0) of each version, an exchange in each QoS, and both leave.
SEEDS = [
    step(CONNECT, 0, number | how)
    + step(CONNECT, 1, number | 0x14)
    + step(SUBSCRIBE, 0, 0x10)
    + b"".join([step(PUBLISH, 1, qos) + step(ANSWER, 1, 0) + step(ANSWER, 0, 0) for qos in (0, 1, 2, 6)])
    + ending
    for number in range(3)
    for how, ending in (
        (0x10, step(DISCONNECT, 0, 0)),
        (0x60, step(CUT, 0, 0) + step(CONNECT, 0, number) + step(CUT, 1, 0)),
    )
]
SEEDS += [  # Long SUBSCRIBE and UNSUBSCRIBE packets, whole, in pieces and with somebody going in the middle.
    step(CONNECT, 0, number | 0x10) + before + step(MANY, 0, how) + step(PUBLISH, 0, 1) + after
    for number in (1, 2)
    for how in (0x00, 0x01, 0x03, 0x0B, 0x1B, 0x42, 0x83)
    for before, after in ((b"", step(MANY, 0, how | 4)), (step(HOLD, 0, 1) + step(SPLIT, 0, 99), step(CUT, 0, 0)))
]
SEEDS += [  # Two members of a shared group, one that does not read, one that leaves; a will behind it.
    step(CONNECT, 0, 0xA2)
    + step(CONNECT, 1, 0x66)
    + step(SUBSCRIBE, 0, how)
    + step(SUBSCRIBE, 1, how)
    + step(CONNECT, 2, 0x1A)
    + step(BLOCK, 0, 0)
    + step(PUBLISH, 2, 0x61) * 3
    + step(ANSWER, 2, 0)
    + step(PUBLISH, 2, 0x62) * 3
    + step(CUT, 0, 0)
    + step(TIME, 0, 5)
    + step(ANSWER, 1, 0)
    for how in (0x14, 0x0D)
]
SEEDS += [  # Windows that are full, in each QoS, and what is queued behind them.
    step(CONNECT, 0, number | 0x10 | lasting)
    + step(CONNECT, 1, 0x16)
    + step(SUBSCRIBE, 0, 0x10)
    + step(BURST, 1, qos)
    + step(ANSWER_ALL, 0, 0) * 3
    for number in range(3)
    for lasting, qos in ((0, 1), (0x20, 2))
]
SEEDS += [step(CONNECT, 0, 0x12) + raw(0, data) for data in vectors(V5).values() if len(data) < 200]
SEEDS += [
    step(CONNECT, 0, 0x32) + step(PUBLISH, 0, 5) + step(CLOSE_EDGE, 0, 0) + step(CONNECT, 0, 2) + step(SUBSCRIBE, 0, 2)
]
SEEDS += [step(CONNECT, conn, 0x10 | conn << 2 | 2) for conn in range(4)]
SEEDS += [
    b"".join([step(CONNECT, conn, 0x12 | (conn & 3) << 2) for conn in (0, 1, 2, 3, 0, 1, 2, 3)]) + step(PING, 0, 0)
]


@cache
def connect(how: int) -> tuple[int, int, bytes]:
    """Bits: 2 of version, 2 of Client Identifier, Clean Start, a session that lasts, 2 of will. Its version, its Receive
    Maximum and its packet."""
    version = VERSIONS[(how & 3) % 3]
    kind = how >> 6
    will = (
        Will("t", b"gone", kind % 3, kind == 1, delay_s=kind - 2 if version == V5 and kind > 1 else 0) if kind else None
    )
    properties: Properties = {}
    receive_maximum = 3
    if version == V5 and how & 0x20:
        receive_maximum = RECEIVE_MAXIMUM_5
        properties = {SESSION_EXPIRY_INTERVAL: 60, RECEIVE_MAXIMUM: receive_maximum, TOPIC_ALIAS_MAXIMUM: 2}
        properties[MAXIMUM_PACKET_SIZE] = 500
    client_id = CLIENT_IDS[how >> 2 & 3]
    is_clean = bool(how & 0x10) or (not client_id and version < V5)
    packet = Connect(version, client_id, is_clean, 60 if how & 0x20 else 0, will=will, properties=properties)
    return version, receive_maximum, encode_packet(version, packet)


@cache
def many(version: int, how: int, packet_id: int) -> tuple[int, bytes]:
    """Bits: 2 of count, UNSUBSCRIBE, long filters, one that is none, deep ones. How many, and the packet."""
    count = MANY_COUNTS[how & 3]
    form = "/".join("abcdefgh") + "/%d" if how & 0x20 else "a long topic filter/%d" if how & 8 else "f/%d"
    filters = [form % number for number in range(count)]
    if how & 0x10:
        filters[count // 2] = "a#"
    if how & 4:
        return count, encode_packet(version, Unsubscribe(packet_id, filters))
    return count, encode_packet(version, Subscribe(packet_id, [Subscription(each, how & 1) for each in filters]))


class Play:
    """One input: four clients, and what they do."""

    def __init__(self) -> None:
        self.desk = Desk(CONFIG, POLICY)
        self.clients: list[Client | None] = [None] * 4
        self._split = 0  # of what is sent next, so many bytes go first
        self._packet_id = 0
        self._many_count = 0

    def run(self, data: bytes) -> None:
        at = 0
        for _ in range(OPERATIONS_MAX):
            if at + 2 > len(data):
                return
            what, conn, how = (data[at] >> 2) % OPERATIONS, data[at] & 3, data[at + 1]
            at += 2
            client = self.clients[conn]
            if what == RAW:
                if client is None:
                    client = self.clients[conn] = self.desk.open(V311, 3)
                client.is_wild = True
                self._send(client, data[at : at + how])
                at += how
            elif what == CONNECT:
                version, receive_maximum, packet = connect(how)
                client = self.clients[conn] = self.desk.open(version, receive_maximum)
                self._send(client, packet)
            elif client is not None and not client.is_closed:
                self._act(client, what, how)
            if what == TIME:
                self.desk.pass_time(100 << (how & 15))
            elif what == HOLD:
                self.desk.is_held = bool(how & 1)
                self.desk.let_count = how >> 1 & 3  # entries, then nothing again
                self.desk.settle()
            elif what == CLOSE_EDGE and not self.desk.is_held:
                self.desk.close_edge()
            elif what == SPLIT:
                self._split = how
            elif what == ANSWER_ALL:
                for each in self.clients:
                    if each is not None and not each.is_closed:
                        self._send(each, each.answers(0))

    def _act(self, client: Client, what: int, how: int) -> None:
        """What a client does on its connection."""
        if what == PUBLISH:
            self._publish(client, how)
        elif what == BURST:
            for _ in range(BURST_COUNT):
                self._publish(client, how)
                if client.is_closed:
                    break
                self._send(client, client.answers(0))
        elif what == SUBSCRIBE:
            ids: Properties = {SUBSCRIPTION_IDENTIFIER: [how]} if how & 0x80 and client.version == V5 else {}
            is_5, topic_filter = client.version == V5, FILTERS[how & 7]
            is_local = is_5 and how & 0x40 != 0 and "$" not in topic_filter
            wanted = Subscription(topic_filter, (how >> 3 & 3) % 3, is_local, is_local, how >> 5 & is_5)
            packet_id = self._next_id(client, SUBACK)
            self._send(client, encode_packet(client.version, Subscribe(packet_id, [wanted], ids)))
        elif what == UNSUBSCRIBE:
            packet_id = self._next_id(client, UNSUBACK)
            self._send(client, encode_packet(client.version, Unsubscribe(packet_id, [FILTERS[how & 7]])))
        elif what == MANY and self._many_count < MANY_MAX:
            self._many_count += 1
            packet_id = self._next_id(client, UNSUBACK if how & 4 else SUBACK)
            count, packet = many(client.version, how & 0x3F, packet_id)
            client.asked[UNSUBACK if how & 4 else SUBACK, packet_id] = count
            if how & 0x10:
                client.is_wild = True
            self._send(client, packet + (b"\xc0\x00" if how & 0x40 else b""))
        elif what == ANSWER:
            data = client.answers(how if how & 0x80 and client.version == V5 else 0)
            if how >= 0x80 and client.version == V5 and how not in (0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99):
                client.is_wild = True
            self._send(client, data)
        elif what == CUT:
            self.desk.cut(client)
        elif what in (BLOCK, UNBLOCK):
            (self.desk.edge.on_blocked if what == BLOCK else self.desk.edge.on_unblocked)(client.conn_id)
            self.desk.settle()
        elif what == DISCONNECT:
            client.is_wild = True  # and nothing it asked for need be answered
            self._send(client, encode_packet(client.version, Disconnect(how & 4 if client.version == V5 else 0)))
        elif what == PING:
            self._send(client, encode_packet(client.version, Pingreq()))

    def _publish(self, client: Client, how: int) -> None:
        """Bits: 2 of QoS, RETAIN, 2 of topic, 2 of payload, one of Message Expiry."""
        qos = (how & 3) % 3
        packet_id = self._next_id(client, PUBACK if qos == 1 else PUBREC) if qos else 0
        packet = Publish(TOPICS[how >> 3 & 3], PAYLOADS[how >> 5 & 3], qos, how & 4 != 0, packet_id=packet_id)
        if how & 0x80 and client.version == V5:
            packet.message_expiry_s = 1
        self._send(client, encode_packet(client.version, packet))

    def _next_id(self, client: Client, answer: int) -> int:
        self._packet_id += 1
        client.ask(answer, self._packet_id)
        return self._packet_id

    def _send(self, client: Client, data: bytes) -> None:
        data = client.rest + data
        client.rest = b""
        if self._split:
            client.rest = data[self._split :]
            data = data[: self._split]
            self._split = 0
        self.desk.send(client, data)

    def end(self) -> None:
        """Everybody is answered; then all is over, and nothing stays."""
        desk = self.desk
        desk.is_held = False
        for client in desk.clients.values():
            desk.edge.on_unblocked(client.conn_id)
        desk.settle()
        for client in desk.clients.values():
            if not (client.is_wild or client.is_closed or client.rest):
                assert {} == client.asked, "not answered"
                assert client.is_welcome
        self._check()
        for client in desk.clients.values():
            desk.cut(client)
        for _ in range(3):  # wills are published at the end of sessions, and sit in queues of others
            desk.pass_time(2_000 * SESSION_EXPIRY_S_MAX)
        counts = {name: n for name, n in desk.state.counts().items() if not name.startswith("retained")}
        assert not any(counts.values()), f"left behind: {counts}"
        assert {} == desk.edge.connections
        assert {} == desk.edge.fanout.sessions
        assert 0 == desk.edge.fanout.ledger.open
        assert not desk.edge.reading.is_due()
        self._check()

    def _check(self) -> None:
        assert self.desk.edge.fanout.ledger.is_balanced(), "the edge's ledger"
        assert self.desk.state.is_balanced(), "the partition's ledger"


def check(data: bytes) -> None:
    with lowered(LIMITS):
        play = Play()
        play.run(data)
        play.end()
