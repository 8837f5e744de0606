"""A simulated MQTT client of version 3.1.1 or 5.0: one session, and the connections it comes and goes with.

Keeps the client's half of the protocol as the specification wants it, apart from the broker's code, and tells the book of
promises what it sees. What to do and when is the workload's; here is how. Source: MQTT 5.0 §3, §4.4.
"""

from dataclasses import dataclass, field
from typing import Final, final

from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.errors import MqttError
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, Framer
from quantum.core.mqtt.packets import (
    QOS_0,
    QOS_1,
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
from quantum.core.mqtt.properties import (
    MAXIMUM_PACKET_SIZE,
    RECEIVE_MAXIMUM,
    SESSION_EXPIRY_INTERVAL,
    SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS_MAXIMUM,
    Properties,
)
from quantum.core.prng import Prng
from quantum.sim.client_plan import NEVER_S, ClientPlan
from quantum.sim.inbound import Inbound
from quantum.sim.network import Link, Network
from quantum.sim.outbound import WANTS_PUBACK, WANTS_PUBREC, Outbound
from quantum.sim.promises import Promises
from quantum.sim.publications import Publications
from quantum.sim.session_page import Session

__all__ = ["CONNECTING", "OFFLINE", "ONLINE", "Client", "ClientPlan"]

OFFLINE: Final = 0
CONNECTING: Final = 1
ONLINE: Final = 2

RECEIVE_MAXIMUM_DEFAULT: Final = 65535
EXPIRY_SLACK_MS: Final = 1_000  # clocks of two leaders
DISCONNECT_WITH_WILL: Final = 0x04
DISCONNECT_FIRST_BYTE: Final = b"\xe0"
SESSION_TAKEN_OVER: Final = b"\x8e"  # its reason code, behind the length
# Bytes that are no packet: a reserved packet type, a PUBLISH with QoS 3, flags that are not allowed.
BROKEN_BYTES: Final = (b"\x00\x00", b"\x36\x02\x00\x00", b"\x83\x00")


@final
@dataclass(slots=True, eq=False)
class _Request:
    """A SUBSCRIBE or UNSUBSCRIBE without answer."""

    subscriptions: list[Subscription] = field(default_factory=list)
    topic_filters: list[str] = field(default_factory=list)
    sent_at: int = 0
    sent_ms: int = 0


@final
class Client:
    """One client. The world feeds it bytes and ends; the workload calls its verbs."""

    __slots__ = (
        "_asked_ms",
        "_framer",
        "_held_acks",
        "_host",
        "_inbound",
        "_last_will_key",
        "_network",
        "_old_link",
        "_outbound",
        "_prng",
        "_promises",
        "_publications",
        "_requests",
        "_resumable_will_key",
        "_sent_clean",
        "_server_window",
        "_will_count",
        "_will_key",
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
        self.session: Session = promises.session(
            plan.client_id, plan.share_group, plan.expiry_s == NEVER_S, plan.packet_bytes_max
        )
        self.state = OFFLINE
        self.link: Link | None = None
        self.since_ms = 0  # when something last moved
        self._asked_ms = 0  # when the last CONNECT left
        self.connack_count = 0
        self.needs_clean = False
        self.is_prompt = False  # acknowledges at once
        self.has_left = False  # for good
        self.left_half_open = False  # and the node could not notice
        self.finds_retained = False  # collects retained messages at the end
        self.retained: dict[str, bytes] = {}
        self.wills_due: list[bytes] = []  # of connections that ended without DISCONNECT
        self._framer = Framer(PACKET_BYTES_LIMIT)
        self._publications = Publications(plan, prng)
        self._outbound = Outbound(self.session, promises)
        limit = plan.receive_maximum if plan.version == V5 else RECEIVE_MAXIMUM_DEFAULT
        self._inbound = Inbound(self.session, limit, plan.alias_max, promises)
        self._requests: dict[int, _Request] = {}
        self._held_acks: list[Publish | Pubrel] = []
        self._host = 0  # the node that accepted it last
        self._old_link: Link | None = None  # of the connection that was taken over, still open at this end
        self._last_will_key = b""
        self._resumable_will_key = b""  # of the last connection, which ended without DISCONNECT
        self._server_window = RECEIVE_MAXIMUM_DEFAULT
        self._sent_clean = False
        self._will_count = 0
        self._will_key = b""

    @property
    def is_settled(self) -> bool:
        """Connected, and no exchange is open."""
        return self.state == ONLINE and not (self._outbound or self._inbound or self._requests or self._held_acks)

    @property
    def open_count(self) -> int:
        """Exchanges that wait for the server."""
        return len(self._outbound) + len(self._requests)

    @property
    def is_lasting(self) -> bool:
        """The session outlives this connection. v3.1.1 §3.1.2.4: one that began clean does not."""
        return self.plan.is_persistent and (self.plan.version == V5 or not self._sent_clean)

    @property
    def has_requests(self) -> bool:
        """A SUBSCRIBE or UNSUBSCRIBE waits for its answer."""
        return bool(self._requests)

    @property
    def will_key(self) -> bytes:
        """The will of the open connection, b"" when it has none."""
        return self._will_key

    @property
    def has_old_link(self) -> bool:
        """Another connection of this client was accepted, and this end of the one before is still open."""
        return self._old_link is not None and self._old_link.client_is_open

    # -- verbs of the workload ----------------------------------------------------------------------------------------

    def connect(self, clean_start: bool) -> None:
        """Open a connection, leaving an earlier one to itself: to the broker that is a take-over."""
        plan = self.plan
        self._old_link = self.link if self.state == ONLINE else None
        if self.link is not None:
            self._promises.book.sometimes("mqtt.client.takeover")
            self._forget_connection()
        self.link = self._network.open(plan.number)
        self.state = CONNECTING
        self.since_ms = self._asked_ms = self._promises.now_ms
        self._framer = Framer(PACKET_BYTES_LIMIT)
        self._sent_clean = clean_start or self.needs_clean or not plan.is_persistent
        if self._sent_clean:
            self.needs_clean = plan.is_persistent
            self._forget_session()
        properties: Properties = {}
        if plan.version == V5:
            properties[RECEIVE_MAXIMUM] = plan.receive_maximum
            if plan.is_persistent:
                properties[SESSION_EXPIRY_INTERVAL] = plan.expiry_s
            if plan.packet_bytes_max:
                properties[MAXIMUM_PACKET_SIZE] = plan.packet_bytes_max
            if plan.alias_max:
                properties[TOPIC_ALIAS_MAXIMUM] = plan.alias_max
        clean = self._sent_clean
        self._promises.on_connect(self.session, clean)
        self._send(
            Connect(plan.version, plan.client_id, clean, plan.keep_alive_s, will=self._will(), properties=properties)
        )

    def publish(self, prng: Prng) -> None:
        """Send one message, if the window has room."""
        packet, key = self._publications.draw(prng)
        if packet is not None and not (
            packet.qos and len(self._outbound) >= min(self.plan.window, self._server_window)
        ):
            self.send_publish(packet, key)

    def send_publish(self, packet: Publish, key: bytes) -> None:
        """Send this message, which nobody sent yet."""
        assert self.link is not None
        self._publications.last_number += 1
        if packet.qos:
            packet.packet_id = self._outbound.new_id(dict.fromkeys(self._requests))
        number = self._publications.last_number
        self._promises.on_publish(self.plan.client_id, number, key, packet, self.link.number)
        if packet.qos:
            self._outbound.on_sent(packet, key)
        self._send(self._publications.with_alias(packet))

    def probe(self) -> None:
        """Send one message of QoS 0 that everybody is to get who is there."""
        if self.plan.topics:
            packet, key = self._publications.draw_probe()
            self.send_publish(packet, key)
            self._promises.on_probe(key)

    def publish_on_old_link(self) -> None:
        """Write on the connection that was taken over: nobody may act on it. [MQTT-3.1.4-3]"""
        old, link = self._old_link, self.link
        self._old_link = None
        if old is None or link is None or not self.plan.topics:
            return
        packet, key = self._publications.draw_stale()
        client_id = self.plan.client_id
        self._promises.on_publish(client_id, self._publications.last_number, key, packet, old.number)
        self._promises.on_stale_publish(
            key, f"{client_id} had its connection {link.number} accepted before it wrote {key!r} on {old.number}"
        )
        self._network.client_send(old, encode_packet(self.plan.version, packet))

    def subscribe(self, subscriptions: list[Subscription]) -> None:
        """Send one SUBSCRIBE for those that have the same Subscription Identifier."""
        by_id: dict[int, list[Subscription]] = {}
        for subscription in subscriptions:
            by_id.setdefault(self._subscription_id(subscription), []).append(subscription)
        for subscription_id, group in by_id.items():
            packet_id = self._outbound.new_id(dict.fromkeys(self._requests))
            for subscription in group:
                self._promises.on_subscribe(self.session, subscription, subscription_id)
            book = self._promises.book
            self._requests[packet_id] = _Request(group, sent_at=book.clock, sent_ms=book.now_ms)
            properties: Properties = {SUBSCRIPTION_IDENTIFIER: [subscription_id]} if subscription_id else {}
            self._send(Subscribe(packet_id, group, properties))

    def unsubscribe(self, topic_filter: str) -> None:
        """Send one UNSUBSCRIBE."""
        packet_id = self._outbound.new_id(dict.fromkeys(self._requests))
        self._promises.on_unsubscribe(self.session, topic_filter)
        book = self._promises.book
        self._requests[packet_id] = _Request(topic_filters=[topic_filter], sent_at=book.clock, sent_ms=book.now_ms)
        self._send(Unsubscribe(packet_id, [topic_filter]))

    def disconnect(self) -> None:
        """End the connection as the specification wants it."""
        assert self.link is not None
        self._send(Disconnect())
        self._network.client_close(self.link)
        self._will_key = b""
        self._forget_connection()

    def disconnect_for_good(self) -> None:
        """End the connection, and the session with it. [MQTT-3.1.2-23]"""
        assert self.link is not None
        self._promises.on_let_go(self.session)
        self._send(Disconnect(properties={SESSION_EXPIRY_INTERVAL: 0}))
        self._network.client_close(self.link)
        self._will_key = b""
        self._forget_connection()

    def disconnect_with_will(self) -> None:
        """End it, and ask for the will all the same. 3.14.2.1"""
        assert self.link is not None
        self._send(Disconnect(DISCONNECT_WITH_WILL))
        self.drop()

    def drop(self) -> None:
        """End the connection without a word."""
        assert self.link is not None
        self._network.client_close(self.link)
        self._forget_connection()

    def send_broken_bytes(self, prng: Prng) -> None:
        """Write what is no packet, and go. M19: nobody else may notice."""
        assert self.link is not None
        self._network.client_send(self.link, BROKEN_BYTES[prng.below(len(BROKEN_BYTES))])
        self._promises.book.sometimes("mqtt.client.broken-bytes")
        self.drop()

    def leave(self) -> None:
        """Go without a word, and never come back."""
        self.has_left = True
        self._promises.on_left(self.session)
        mine = [link for link in self._network.links.values() if link.client == self.plan.number]
        if any(link.is_half_open and link.node_is_open for link in mine):
            self.left_half_open = True
            self._promises.on_will_unknown(self._last_will_key)
            self._promises.on_will_unknown(self._resumable_will_key)
        if self.link is not None:
            self.drop()
        for link in mine:
            # Connections it left open when it opened another: with the process its sockets are gone.
            self._network.client_close(link)

    def ping(self) -> None:
        """Send PINGREQ."""
        self._send(Pingreq())

    def release_acks(self) -> None:
        """Send the acknowledgements that waited, in the order of what they acknowledge. [MQTT-4.6.0-2]"""
        acks, self._held_acks = self._held_acks, []
        for packet in acks:
            self._send_ack(packet)

    # -- what the world feeds -----------------------------------------------------------------------------------------

    def on_bytes(self, link: Link, data: bytes) -> None:
        """Bytes of the server. Those of a connection that was left are not read."""
        if link is not self.link:
            self._on_bytes_of_old_link(link, data)
            return
        plan = self.plan
        try:
            frames = self._framer.feed(data)
            packets = [decode_packet(plan.version, first, body) for first, body in frames]
        except MqttError as error:
            self._promises.violate("M19", f"{plan.client_id} spoke MQTT", f"it got bytes that are none: {error}")
            self.drop()
            return
        if plan.packet_bytes_max:
            for _, body in frames:
                if len(body) + 2 > plan.packet_bytes_max:  # [MQTT-3.1.2-24]
                    self._promises.violate(
                        "M14",
                        f"{plan.client_id} has a Maximum Packet Size of {plan.packet_bytes_max}",
                        f"it got a packet of at least {len(body) + 2} bytes",
                    )
        self.since_ms = self._promises.now_ms
        for packet in packets:
            if self.link is link:
                self._on_packet(packet)

    def _on_bytes_of_old_link(self, link: Link, data: bytes) -> None:
        """Only a DISCONNECT at their end is of interest. [MQTT-3.1.4-3]"""
        at = data.rfind(DISCONNECT_FIRST_BYTE)
        if link is self._old_link and at >= 0 and data[at + 2 : at + 3] == SESSION_TAKEN_OVER:
            self._promises.book.sometimes("mqtt.takeover.told")

    def on_end(self, link: Link) -> None:
        """The connection ended under the client."""
        link.client_is_open = False
        if link is self.link:
            self._forget_connection()

    # -- private ------------------------------------------------------------------------------------------------------

    def _send(self, packet: Packet) -> None:
        assert self.link is not None
        self._network.client_send(self.link, encode_packet(self.plan.version, packet))

    def _will(self) -> Will | None:
        self._will_key = b""
        plan = self.plan
        if not plan.has_will:
            return None
        self._will_count += 1
        self._will_key = self._last_will_key = f"will {plan.client_id} {self._will_count}".encode()
        will = Will(
            f"will/{plan.client_id}", self._will_key, plan.will_qos, plan.is_will_retained, delay_s=plan.will_delay_s
        )
        self._promises.on_will_sent(plan.client_id, will, self.is_lasting)
        return will

    def _subscription_id(self, subscription: Subscription) -> int:
        plan = self.plan
        if plan.version != V5 or not plan.subscription_ids:
            return 0
        for known, subscription_id in zip(plan.subscriptions, plan.subscription_ids, strict=True):
            if known.topic_filter == subscription.topic_filter:
                return subscription_id
        return 0

    def _forget_connection(self) -> None:
        """What ends with the connection."""
        promises = self._promises
        self._resumable_will_key = b""
        if self.state == ONLINE:
            if self._will_key:
                self.wills_due.append(self._will_key)
                self._resumable_will_key = self._will_key
            promises.on_requests_lost(self.session)
            self._outbound.on_connection_ends()
        elif self.link is not None and self.link.conn_id and self.plan.is_persistent:
            promises.on_connect_abandoned(self.session, self._sent_clean, self.is_lasting)
        self._will_key = self._outbound.will_key = b""
        self.link = None
        self.state = OFFLINE
        self._requests = {}
        self._held_acks = []
        self._publications.on_connection_ends()
        self._inbound.on_connection_ends()
        if not self.is_lasting:
            self._forget_session()
            promises.on_session_ends(self.session)

    def _forget_session(self) -> None:
        self._outbound.forget()
        self._inbound.forget()

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
            self._answer(self._outbound.on_accepted(packet.packet_id, packet.reason_code, WANTS_PUBACK))
        elif isinstance(packet, Pubrec):
            self._answer(self._outbound.on_accepted(packet.packet_id, packet.reason_code, WANTS_PUBREC))
        elif isinstance(packet, Pubcomp):
            self._outbound.on_pubcomp(packet.packet_id)
        elif isinstance(packet, Pubrel):
            self._inbound.on_pubrel(packet)
            self._ack(packet)
        elif isinstance(packet, Suback | Unsuback):
            self._on_request_done(packet)
        elif isinstance(packet, Disconnect):
            if self.link is not None:
                self._network.client_close(self.link)
            self._forget_connection()

    def _answer(self, pubrel: Pubrel | None) -> None:
        if pubrel is not None:
            self._send(pubrel)

    def _on_connack(self, packet: Connack) -> None:
        plan = self.plan
        promises = self._promises
        if packet.reason_code:
            assert self.link is not None
            self._network.client_close(self.link)
            self._forget_connection()
            return
        self.connack_count += 1
        self.state = ONLINE
        self.needs_clean = False
        # A node that is cut off may serve on after the others closed its connections: what it told last says nothing.
        lapse_ms = promises.now_ms - self.session.alive_ms + EXPIRY_SLACK_MS
        may_have_expired = not self.session.never_expires and (
            not promises.is_time_even or lapse_ms >= plan.expiry_s * 1000
        )
        if not packet.session_present:
            self._forget_session()  # [MQTT-3.2.2-5]
        promises.on_connack(self.session, packet.session_present, self._sent_clean, may_have_expired, self.is_lasting)
        promises.on_alive(self.session, b"", 0, self._asked_ms)
        if packet.session_present and self.session.is_loose:
            self._inbound.doubt()
        self._inbound.on_connected(packet.session_present)
        assert self.link is not None
        book = promises.book
        if self._host not in (0, self.link.host):
            book.sometimes("mqtt.client.moved")
            book.marks.sometimes_if(packet.session_present, "mqtt.session.resumed-elsewhere")
            book.marks.sometimes_if(self.has_old_link, "mqtt.client.takeover-elsewhere")
        self._host = self.link.host
        if packet.session_present and self._resumable_will_key:
            promises.on_will_resumed(self._resumable_will_key)
        if self._will_key:
            promises.on_will_armed(self._will_key, self._asked_ms)
        self._outbound.will_key = self._will_key
        window = packet.properties.get(RECEIVE_MAXIMUM, RECEIVE_MAXIMUM_DEFAULT)
        alias_max = packet.properties.get(TOPIC_ALIAS_MAXIMUM, 0)
        assert isinstance(window, int)
        assert isinstance(alias_max, int)
        self._server_window = window
        self._publications.server_alias_max = alias_max
        for waiting in self._outbound.resend():
            self._send(waiting)
        if not packet.session_present and plan.subscriptions:
            self.subscribe(plan.subscriptions)

    def _on_request_done(self, packet: Suback | Unsuback) -> None:
        request = self._requests.pop(packet.packet_id, None)
        if request is None:
            self._promises.violate(
                "M14",
                f"{self.plan.client_id} has no request {packet.packet_id}",
                f"it got {type(packet).__name__} {packet.packet_id}",
            )
            return
        self._promises.on_alive(self.session, self._will_key, request.sent_at, request.sent_ms)
        if isinstance(packet, Unsuback):
            for topic_filter in request.topic_filters:
                self._promises.on_unsuback(self.session, topic_filter)
        else:
            for subscription, reason_code in zip(request.subscriptions, packet.reason_codes, strict=False):
                self._promises.on_suback(self.session, subscription.topic_filter, reason_code)

    def _on_publish(self, packet: Publish) -> None:
        is_for_application = self._inbound.on_publish(packet)
        if self.finds_retained and packet.retain:
            self.retained[packet.topic_name] = packet.payload
        if is_for_application:
            self._promises.on_delivery(self.session, packet, self.plan.version)
        if packet.qos != QOS_0:
            self._ack(packet)

    def _ack(self, packet: Publish | Pubrel) -> None:
        if self._held_acks or (not self.is_prompt and self._prng.chance(self.plan.ack_delay_share, 100)):
            self._held_acks.append(packet)
        else:
            self._send_ack(packet)

    def _send_ack(self, packet: Publish | Pubrel) -> None:
        self._inbound.on_acked(packet)
        if isinstance(packet, Pubrel):
            self._send(Pubcomp(packet.packet_id))
        elif packet.qos == QOS_1:
            self._send(Puback(packet.packet_id))
        else:
            self._send(Pubrec(packet.packet_id))
