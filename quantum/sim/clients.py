"""A simulated MQTT client of version 3.1.1 or 5.0: one session, and the connections it comes and goes with.

Holds the client's half of every exchange as the specification wants it, apart from the broker's code, and tells the book
of promises what it sees. What to do and when is the workload's; here is how. Source: MQTT 5.0 §4.3, §4.4.
"""

from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.errors import MqttError
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, Framer
from quantum.core.mqtt.packets import (
    NO_EXPIRY,
    QOS_0,
    QOS_1,
    QOS_2,
    V5,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from quantum.core.mqtt.properties import RECEIVE_MAXIMUM, SESSION_EXPIRY_INTERVAL
from quantum.core.prng import Prng
from quantum.sim.network import Link, Network
from quantum.sim.promises import Promises, Session, delete_key

OFFLINE: Final = 0
CONNECTING: Final = 1
ONLINE: Final = 2

RECEIVE_MAXIMUM_DEFAULT: Final = 65535
PACKET_IDS: Final = 24  # small, so that ids are used again while others are open

# How far an outgoing exchange has come.
WANTS_PUBACK: Final = 1
WANTS_PUBREC: Final = 2
WANTS_PUBCOMP: Final = 3


@final
@dataclass(slots=True, eq=False)
class ClientPlan:
    """Who a client is; drawn by the workload."""

    number: int
    client_id: str
    version: int
    is_persistent: bool
    expiry_s: int  # of the session, for persistent ones; NEVER_S does not end
    keep_alive_s: int
    receive_maximum: int
    share_group: str
    subscriptions: list[Subscription]
    topics: list[str]  # it publishes to
    retained_topics: list[str]  # nobody else publishes to them
    has_will: bool
    will_delay_s: int
    qos_weights: list[int]
    action_weights: list[int]
    think_us_max: int
    ack_delay_share: int  # of 100 ticks, on how many acknowledgements wait for the next
    window: int  # exchanges it keeps open
    expiry_share: int  # of 100 publications of a 5.0 client, how many have a Message Expiry Interval
    payload_bytes_max: int


@final
@dataclass(slots=True, eq=False)
class _Outgoing:
    packet: Publish
    key: bytes
    state: int


@final
@dataclass(slots=True, eq=False)
class _Request:
    """A SUBSCRIBE or UNSUBSCRIBE without answer."""

    subscriptions: list[Subscription] = field(default_factory=list)
    topic_filters: list[str] = field(default_factory=list)


@final
class Client:
    """One client. The world feeds it bytes and ends; the workload calls its verbs."""

    __slots__ = (
        "_framer",
        "_held_acks",
        "_in_open",
        "_in_qos2",
        "_last_id",
        "_last_link",
        "_last_will_key",
        "_network",
        "_next_number",
        "_out",
        "_prng",
        "_promises",
        "_requests",
        "_sent_clean",
        "_server_window",
        "_will_count",
        "_will_key",
        "closed_ms",
        "connack_count",
        "finds_retained",
        "has_left",
        "is_prompt",
        "left_half_open",
        "link",
        "needs_clean",
        "plan",
        "retained",
        "session",
        "since_ms",
        "state",
        "wills_due",
    )

    def __init__(self, plan: ClientPlan, prng: Prng, network: Network, promises: Promises) -> None:
        self.plan = plan
        self._prng = prng
        self._network = network
        self._promises = promises
        self.session: Session = promises.session(plan.client_id, plan.share_group, plan.expiry_s == 0xFFFFFFFF)
        self.state = OFFLINE
        self.link: Link | None = None
        self.since_ms = 0  # when something last moved
        self.closed_ms = 0  # when the last connection ended
        self.connack_count = 0
        self.needs_clean = False
        self.is_prompt = False  # acknowledges at once
        self.has_left = False  # for good
        self.left_half_open = False  # and the node could not notice
        self.finds_retained = False  # collects retained messages at the end
        self.retained: dict[str, bytes] = {}
        self.wills_due: list[bytes] = []  # of connections that ended without DISCONNECT
        self._framer = Framer(PACKET_BYTES_LIMIT)
        self._out: dict[int, _Outgoing] = {}  # in their order of first sending
        self._in_qos2: dict[int, bool] = {}  # received, PUBREL to come
        self._in_open: dict[int, bytes] = {}  # QoS 1 and 2 not yet acknowledged for good → payload
        self._requests: dict[int, _Request] = {}
        self._held_acks: list[Packet] = []
        self._last_id = 0
        self._last_link: Link | None = None
        self._last_will_key = b""
        self._next_number = 0
        self._server_window = RECEIVE_MAXIMUM_DEFAULT
        self._sent_clean = False
        self._will_count = 0
        self._will_key = b""

    @property
    def is_settled(self) -> bool:
        """Connected, and no exchange is open."""
        return self.state == ONLINE and not (self._out or self._in_qos2 or self._requests or self._held_acks)

    @property
    def open_count(self) -> int:
        """Exchanges that wait for the server."""
        return len(self._out) + len(self._requests)

    @property
    def is_lasting(self) -> bool:
        """The session outlives this connection. v3.1.1 §3.1.2.4: one that began clean does not."""
        return self.plan.is_persistent and (self.plan.version == V5 or not self._sent_clean)

    @property
    def has_requests(self) -> bool:
        """A SUBSCRIBE or UNSUBSCRIBE waits for its answer."""
        return bool(self._requests)

    # -- verbs of the workload ----------------------------------------------------------------------------------------

    def connect(self, clean_start: bool) -> None:
        """Open a connection, leaving an earlier one to itself: to the broker that is a take-over."""
        plan = self.plan
        if self.link is not None:
            self._forget_connection()
        self.link = self._last_link = self._network.open(plan.number)
        self.state = CONNECTING
        self.since_ms = self._promises.now_ms
        self._framer = Framer(PACKET_BYTES_LIMIT)
        self._sent_clean = clean_start or self.needs_clean or not plan.is_persistent
        if self._sent_clean:
            self.needs_clean = plan.is_persistent
            self._forget_session()
        properties: dict[int, int | str | bytes | list[int] | list[tuple[str, str]]] = {}
        if plan.version == V5:
            properties[RECEIVE_MAXIMUM] = plan.receive_maximum
            if plan.is_persistent:
                properties[SESSION_EXPIRY_INTERVAL] = plan.expiry_s
        clean = self._sent_clean
        self._promises.on_connect(self.session, clean)
        self._send(
            Connect(plan.version, plan.client_id, clean, plan.keep_alive_s, will=self._will(), properties=properties)
        )

    def _will(self) -> Will | None:
        self._will_key = b""
        if not self.plan.has_will:
            return None
        self._will_count += 1
        self._will_key = f"will {self.plan.client_id} {self._will_count}".encode()
        topic_name = f"will/{self.plan.client_id}"
        self._last_will_key = self._will_key
        self._promises.on_will_sent(self._will_key, topic_name)
        return Will(topic_name, self._will_key, QOS_1, False, delay_s=self.plan.will_delay_s)

    def publish(self) -> None:
        """Send one message, if the window has room."""
        plan = self.plan
        qos = self._prng.choice_index(plan.qos_weights)
        is_retained = bool(plan.retained_topics) and self._prng.chance(1, 3)
        if is_retained:
            at = self._prng.below(len(plan.retained_topics))
            topic_name = plan.retained_topics[at]
            # One QoS a topic: a QoS 1 message that is sent again may come behind a later one of QoS 2.
            qos = QOS_1 if at % 2 else QOS_2
        elif plan.topics:
            topic_name = plan.topics[self._prng.below(len(plan.topics))]
        else:
            return
        if qos and len(self._out) >= min(plan.window, self._server_window):
            return
        self._next_number += 1
        key = payload = f"{plan.client_id} {self._next_number} ".encode() + bytes(
            self._prng.below(plan.payload_bytes_max)
        )
        if is_retained and self._prng.chance(1, 4):
            key, payload = delete_key(topic_name, self._next_number), b""
        expiry_s = NO_EXPIRY
        if plan.version == V5 and not is_retained and self._prng.chance(plan.expiry_share, 100):
            expiry_s = self._prng.between(2, 8)
        packet = Publish(topic_name, payload, qos, is_retained, message_expiry_s=expiry_s)
        if qos:
            packet.packet_id = self._new_id()
            self._out[packet.packet_id] = _Outgoing(packet, key, WANTS_PUBACK if qos == QOS_1 else WANTS_PUBREC)
        self._promises.on_publish(plan.client_id, self._next_number, key, packet)
        self._send(packet)

    def subscribe(self, subscriptions: list[Subscription]) -> None:
        """Send one SUBSCRIBE."""
        packet_id = self._new_id()
        self._requests[packet_id] = _Request(subscriptions=subscriptions)
        for subscription in subscriptions:
            self._promises.on_subscribe(self.session, subscription.topic_filter, subscription.qos)
        self._send(Subscribe(packet_id, subscriptions))

    def unsubscribe(self, topic_filter: str) -> None:
        """Send one UNSUBSCRIBE."""
        packet_id = self._new_id()
        self._requests[packet_id] = _Request(topic_filters=[topic_filter])
        self._promises.on_unsubscribe(self.session, topic_filter)
        self._send(Unsubscribe(packet_id, [topic_filter]))

    def disconnect(self) -> None:
        """End the connection as the specification wants it."""
        assert self.link is not None
        self._send(Disconnect())
        self._network.client_close(self.link)
        self._will_key = b""
        self._forget_connection()

    def drop(self) -> None:
        """End the connection without a word."""
        assert self.link is not None
        self._network.client_close(self.link)
        self._forget_connection()

    def leave(self) -> None:
        """Go without a word, and never come back."""
        self.has_left = True
        self.session.has_left = True
        if self._last_link is not None and self._last_link.is_half_open:
            self.left_half_open = True
            self._promises.on_will_unknown(self._last_will_key)
        if self.link is not None:
            self.drop()

    def ping(self) -> None:
        """Send PINGREQ."""
        self._send(Pingreq())

    def release_acks(self) -> None:
        """Send the acknowledgements that waited, in the order of what they acknowledge. [MQTT-4.6.0-2]"""
        acks, self._held_acks = self._held_acks, []
        for packet in acks:
            self._send_ack(packet)

    @property
    def will_key(self) -> bytes:
        """The will of the open connection, b"" when it has none."""
        return self._will_key

    # -- what the world feeds -----------------------------------------------------------------------------------------

    def on_bytes(self, link: Link, data: bytes) -> None:
        """Bytes of the server. Those of a connection that was left are not read."""
        if link is not self.link:
            return
        try:
            frames = self._framer.feed(data)
            packets = [decode_packet(self.plan.version, first, body) for first, body in frames]
        except MqttError as error:
            self._promises.violate("M19", f"{self.plan.client_id} spoke MQTT", f"it got bytes that are none: {error}")
            self.drop()
            return
        self.since_ms = self._promises.now_ms
        for packet in packets:
            if self.link is link:
                self._on_packet(packet)

    def on_end(self, link: Link) -> None:
        """The connection ended under the client."""
        link.client_is_open = False
        if link is self.link:
            self._forget_connection()

    # -- private ------------------------------------------------------------------------------------------------------

    def _send(self, packet: Packet) -> None:
        assert self.link is not None
        self._network.client_send(self.link, encode_packet(self.plan.version, packet))

    def _new_id(self) -> int:
        for _ in range(65535):
            self._last_id = self._last_id % max(PACKET_IDS, 2 * len(self._out) + 8) + 1
            if self._last_id not in self._out and self._last_id not in self._requests:
                break
        return self._last_id

    def _forget_connection(self) -> None:
        """What ends with the connection."""
        if self.state == ONLINE:
            self.closed_ms = self._promises.now_ms
            if self._will_key:
                self.wills_due.append(self._will_key)
        self._will_key = b""
        self.link = None
        self.state = OFFLINE
        self._requests = {}
        self._held_acks = []
        self._in_open = {}
        if not self.is_lasting:
            self._forget_session()
            self._promises.on_session_ends(self.session)

    def _forget_session(self) -> None:
        self._out = {}
        self._in_qos2 = {}
        self._in_open = {}

    def _on_packet(self, packet: Packet) -> None:
        if self.state == CONNECTING:
            if isinstance(packet, Connack):
                self._on_connack(packet)
            else:
                self._promises.violate(
                    "MQTT-3.2.0-1", f"{self.plan.client_id} waits for CONNACK", f"it got {type(packet).__name__}"
                )
        elif isinstance(packet, Publish):
            self._on_publish(packet)
        elif isinstance(packet, Puback):
            self._on_accepted(packet.packet_id, packet.reason_code, WANTS_PUBACK)
        elif isinstance(packet, Pubrec):
            self._on_accepted(packet.packet_id, packet.reason_code, WANTS_PUBREC)
        elif isinstance(packet, Pubcomp):
            outgoing = self._out.get(packet.packet_id)
            if outgoing is None or outgoing.state != WANTS_PUBCOMP:
                self._unexpected("PUBCOMP", packet.packet_id)
            else:
                del self._out[packet.packet_id]
        elif isinstance(packet, Pubrel):
            self._ack(packet)
        elif isinstance(packet, Suback):
            self._on_suback(packet)
        elif isinstance(packet, Unsuback):
            for topic_filter in self._requests.pop(packet.packet_id, _Request()).topic_filters:
                self._promises.on_unsuback(self.session, topic_filter)
        elif isinstance(packet, Disconnect):
            if self.link is not None:
                self._network.client_close(self.link)
            self._forget_connection()

    def _unexpected(self, name: str, packet_id: int) -> None:
        self._promises.violate(
            "M14", f"{self.plan.client_id} has no exchange {packet_id} that waits for it", f"it got {name} {packet_id}"
        )

    def _on_connack(self, packet: Connack) -> None:
        plan = self.plan
        if packet.reason_code:
            assert self.link is not None
            self._network.client_close(self.link)
            self._forget_connection()
            return
        self.connack_count += 1
        self.state = ONLINE
        self.needs_clean = False
        offline_ms = self._promises.now_ms - self.closed_ms
        may_have_expired = not self.session.never_expires and (
            not self._promises.is_time_even or offline_ms >= plan.expiry_s * 1000
        )
        if not packet.session_present:
            self._forget_session()  # [MQTT-3.2.2-5]
        self._promises.on_connack(self.session, packet.session_present, self._sent_clean, may_have_expired)
        if self._will_key:
            self._promises.on_will_armed(self._will_key)
        window = packet.properties.get(RECEIVE_MAXIMUM, RECEIVE_MAXIMUM_DEFAULT)
        assert isinstance(window, int)
        self._server_window = window
        for packet_id, outgoing in self._out.items():  # 4.4: in their order
            if outgoing.state == WANTS_PUBCOMP:
                self._send(Pubrel(packet_id))
            else:
                outgoing.packet.dup = True
                self._promises.on_republish(outgoing.key)
                self._send(outgoing.packet)
        if not packet.session_present and plan.subscriptions:
            self.subscribe(plan.subscriptions)

    def _on_accepted(self, packet_id: int, reason_code: int, state: int) -> None:
        outgoing = self._out.get(packet_id)
        if state == WANTS_PUBREC and outgoing is not None and outgoing.state == WANTS_PUBCOMP:
            self._send(Pubrel(packet_id))  # The PUBREC came again, behind a PUBLISH that was sent again.
            return
        if outgoing is None or outgoing.state != state:
            self._unexpected("PUBACK" if state == WANTS_PUBACK else "PUBREC", packet_id)
            return
        self._promises.on_accepted(outgoing.key, reason_code)
        if state == WANTS_PUBACK or reason_code >= 0x80:
            del self._out[packet_id]
            return
        outgoing.state = WANTS_PUBCOMP
        self._send(Pubrel(packet_id))

    def _on_suback(self, packet: Suback) -> None:
        request = self._requests.pop(packet.packet_id, _Request())
        for subscription, reason_code in zip(request.subscriptions, packet.reason_codes, strict=False):
            self._promises.on_suback(self.session, subscription.topic_filter, reason_code)

    def _on_publish(self, packet: Publish) -> None:
        if self.finds_retained and packet.retain:
            self.retained[packet.topic_name] = packet.payload
        if packet.qos == QOS_0:
            self._promises.on_delivery(self.session, packet, self.plan.version)
            return
        packet_id = packet.packet_id
        is_known = packet.qos == QOS_2 and packet_id in self._in_qos2
        other = self._in_open.get(packet_id)
        if other is not None and other != packet.payload:
            self._promises.violate(
                "M14",
                f"{self.plan.client_id} has not acknowledged the message with Packet Identifier {packet_id}",
                f"it got {packet.payload[:24]!r} with the same Packet Identifier",
            )
        self._in_open[packet_id] = packet.payload
        limit = self.plan.receive_maximum if self.plan.version == V5 else RECEIVE_MAXIMUM_DEFAULT
        if len(self._in_open) > limit:
            self._promises.violate(
                "M14",
                f"{self.plan.client_id} has a Receive Maximum of {limit}",
                f"it holds {len(self._in_open)} messages that it has not acknowledged",
            )
        if not is_known:
            self._promises.on_delivery(self.session, packet, self.plan.version)
        if packet.qos == QOS_2:
            self._in_qos2[packet_id] = True
        self._ack(packet)

    def _ack(self, packet: Packet) -> None:
        if self._held_acks or (not self.is_prompt and self._prng.chance(self.plan.ack_delay_share, 100)):
            self._held_acks.append(packet)
        else:
            self._send_ack(packet)

    def _send_ack(self, packet: Packet) -> None:
        if isinstance(packet, Pubrel):
            self._in_qos2.pop(packet.packet_id, None)
            self._in_open.pop(packet.packet_id, None)
            self._send(Pubcomp(packet.packet_id))
            return
        assert isinstance(packet, Publish)
        if packet.qos == QOS_1:
            self._in_open.pop(packet.packet_id, None)
            self._send(Puback(packet.packet_id))
        else:
            self._send(Pubrec(packet.packet_id))
