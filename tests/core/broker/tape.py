"""Drives one partition by hand: commands in, effects out, every entry through its bytes, the ledger checked each time."""

import msgpack

from quantum.core.broker.commands import (
    CLOSED_NORMALLY,
    CLOSED_WITH_WILL,
    HOUSEKEEPING,
    ON_PUBACK,
    ON_PUBCOMP,
    ON_PUBREC,
    AcknowledgeDelivery,
    CloseEdge,
    CloseSession,
    Command,
    Entry,
    OpenEdge,
    OpenSession,
    PublishMessage,
    ReleaseMessage,
    SetPolicy,
    SubscribeSession,
    UnsubscribeSession,
    encode_entry,
)
from quantum.core.broker.effects import Effects, Refused, SendPublish, SendPubrel, SessionOpened, Subscribed
from quantum.core.broker.message import Message
from quantum.core.broker.state import BrokerState
from quantum.core.mqtt.packets import NO_EXPIRY, Subscription, Will

POLICY = SetPolicy(1000, 100, 1000, 1_000_000, 1000, 1_000_000)
START_MS = 1_000_000
BIG = 3600


class Tape:
    """A partition whose clock starts at START_MS and moves only when told."""

    def __init__(self, policy: SetPolicy = POLICY) -> None:
        self.state = BrokerState()
        self.index = 0
        self.now_ms = START_MS
        self.epochs: dict[str, int] = {}
        self.effects = Effects(0, 0)
        self.last_entry = Entry(0, HOUSEKEEPING, 0, 0, [])
        self.do(policy)

    def apply(self, entry: Entry) -> Effects:
        """One entry as it is."""
        self.index += 1
        self.last_entry = entry
        self.effects = self.state.apply(self.index, encode_entry(entry), None)
        assert self.state.is_balanced(), self.state.accounting
        assert len(entry.commands) == len(self.effects.results)
        return self.effects

    def do(self, *commands: Command, edge: int = 1) -> Effects:
        """One entry: of the leader for what is the leader's to say, else of an edge in its turn, opened at need."""
        first = commands[0] if commands else None
        if first is None or isinstance(first, SetPolicy | CloseEdge):
            return self.apply(Entry(self.now_ms, HOUSEKEEPING, 0, 0, list(commands)))
        if isinstance(first, OpenEdge):
            return self.apply(Entry(self.now_ms, first.edge, first.incarnation, 0, list(commands)))
        if not self.state.is_edge_open(edge):
            self.do(OpenEdge(edge, self.state.edge_incarnation(edge) + 1, 1))
        seq = self.state.edge_forward_seq(edge) + 1
        return self.apply(Entry(self.now_ms, edge, self.state.edge_incarnation(edge), seq, list(commands)))

    def one(self, command: Command) -> object:
        return self.do(command).results[0]

    def pass_s(self, seconds: int) -> Effects:
        self.now_ms += seconds * 1000
        return self.do()

    def open(
        self,
        client_id: str,
        *,
        expiry_s: int = 0,
        clean_start: bool = False,
        receive_maximum: int = 100,
        edge: int = 1,
        conn_id: int = 1,
        will: Will | None = None,
    ) -> SessionOpened:
        command = OpenSession(client_id, clean_start, expiry_s, receive_maximum, conn_id, will)
        result = self.do(command, edge=edge).results[0]
        assert isinstance(result, SessionOpened), result
        self.epochs[client_id] = result.conn_epoch
        return result

    def close(self, client_id: str, how: int = CLOSED_NORMALLY, expiry_s: int = -1) -> Effects:
        return self.do(CloseSession(client_id, self.epochs[client_id], how, expiry_s))

    def cut(self, client_id: str) -> Effects:
        return self.close(client_id, CLOSED_WITH_WILL)

    def subscribe(self, client_id: str, *filters: Subscription | str, subscription_id: int = 0) -> Subscribed:
        subscriptions = [Subscription(item, 2) if isinstance(item, str) else item for item in filters]
        command = SubscribeSession(client_id, self.epochs[client_id], subscriptions, subscription_id)
        result = self.one(command)
        assert isinstance(result, Subscribed), result
        return result

    def unsubscribe(self, client_id: str, *filters: str) -> object:
        return self.one(UnsubscribeSession(client_id, self.epochs[client_id], list(filters)))

    def publish(
        self,
        client_id: str,
        topic_name: str,
        payload: bytes = b"x",
        *,
        qos: int = 1,
        retain: bool = False,
        packet_id: int = 0,
        expiry_s: int = NO_EXPIRY,
    ) -> object:
        message = Message(topic_name, payload, qos, retain, b"", expiry_s, client_id)
        return self.one(PublishMessage(self.epochs[client_id], packet_id, message))

    def release(self, client_id: str, packet_id: int) -> object:
        return self.one(ReleaseMessage(client_id, self.epochs[client_id], packet_id))

    def _ack(self, client_id: str, packet_id: int, step: int, reason_code: int) -> object:
        return self.one(AcknowledgeDelivery(client_id, self.epochs[client_id], packet_id, step, reason_code))

    def puback(self, client_id: str, packet_id: int, reason_code: int = 0) -> object:
        return self._ack(client_id, packet_id, ON_PUBACK, reason_code)

    def pubrec(self, client_id: str, packet_id: int, reason_code: int = 0) -> object:
        return self._ack(client_id, packet_id, ON_PUBREC, reason_code)

    def pubcomp(self, client_id: str, packet_id: int, reason_code: int = 0) -> object:
        return self._ack(client_id, packet_id, ON_PUBCOMP, reason_code)

    def refused_by(self, result: object) -> str:
        assert isinstance(result, Refused), result
        return result.cause.id

    def sent(self) -> list[tuple[str, str, int, int, bool]]:
        """What the last entry sends to replicated sessions: (client, payload or PUBREL, qos, packet id, dup)."""
        rows = []
        for send in self.effects.sends:
            if isinstance(send, SendPubrel):
                rows.append((send.client_id, "PUBREL", 2, send.packet_id, False))
            else:
                assert isinstance(send, SendPublish)
                rows.append((send.client_id, send.message.payload.decode(), send.qos, send.packet_id, send.dup))
        return rows

    def delivered(self) -> list[tuple[str, tuple[str, ...]]]:
        """What the last entry gives to edges: (payload, receivers)."""
        return [
            (message.payload.decode(), tuple(receiver.client_id for receiver in route.receivers))
            for message, route in self.effects.deliveries
        ]

    def count(self, column: str, cause_id: str = "") -> int:
        value = self.state.accounting[column]
        if isinstance(value, int):
            return value
        return value.get(cause_id, 0)

    def memory(self) -> list[bytes]:
        """All that the state holds, but for whose turn it is: that moves with every entry that counts."""
        buckets = [self.state.encode_bucket(number) for number in range(self.state.bucket_count)]
        common = list(msgpack.unpackb(buckets[0]))
        del common[3]
        return [msgpack.packb(common), *buckets[1:]]

    def restored(self) -> BrokerState:
        """A second machine, from the buckets of this one."""
        state = BrokerState()
        for number in range(state.bucket_count):
            state.decode_bucket(number, self.state.encode_bucket(number))
        state.on_restored()
        return state
