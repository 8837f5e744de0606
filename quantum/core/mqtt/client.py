"""The client's side of MQTT: what a session remembers, and one Network Connection at a time that serves it.

`ClientSession` outlives its connections and holds what the standard calls the client's Session State; everything in
`ClientConnection` ends with the socket. Neither knows sockets or clocks: bytes collect until `take_bytes`, time comes in
with `tick`. Source: MQTT 5.0 §3.1.2.11, §4.1, §4.3, §4.4, §4.9.
"""

from typing import Final, final

from quantum.core.mqtt.decode import decode_packet
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.errors import MqttError, ProtocolError
from quantum.core.mqtt.framer import PACKET_BYTES_LIMIT, Framer
from quantum.core.mqtt.packets import (
    QOS_0,
    QOS_1,
    V5,
    V31,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
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
    SERVER_KEEP_ALIVE,
    TOPIC_ALIAS_MAXIMUM,
    Properties,
)
from quantum.core.mqtt.reason_codes import PACKET_IDENTIFIER_NOT_FOUND, RECEIVE_MAXIMUM_EXCEEDED, TOPIC_ALIAS_INVALID
from quantum.core.mqtt.topics import check_topic_filter, check_topic_name

RECEIVE_MAXIMUM_DEFAULT: Final = 65_535  # 3.1.2.11.3
PACKET_ID_MAX: Final = 65_535
NO_CREDIT: Final = -1  # `publish`: the server's Receive Maximum is used up
PACKET_TOO_LARGE: Final = -2  # `publish`: above the server's Maximum Packet Size. [MQTT-3.2.2-15]

_FAILED: Final = 0x80  # 2.4: Reason Codes from here on are failures


@final
class ClientSession:
    """What a client remembers between connections. Source: MQTT 5.0 §4.1."""

    __slots__ = ("_next_packet_id", "published", "received", "released", "requested")

    def __init__(self) -> None:
        self._next_packet_id = 1
        self.published: dict[int, Publish] = {}  # QoS 1 and 2 without PUBACK or PUBREC, in the order of sending
        self.released: dict[int, bool] = {}  # PUBREL without PUBCOMP, in the order of PUBREC
        self.received: dict[int, bool] = {}  # QoS 2 from the server, until its PUBREL
        self.requested: dict[int, bool] = {}  # SUBSCRIBE and UNSUBSCRIBE without an answer

    def clear(self) -> None:
        """The server has no session: everything is forgotten. [MQTT-3.2.2-5]"""
        self.published = {}
        self.released = {}
        self.received = {}
        self.requested = {}

    def take_packet_id(self) -> int:
        """A Packet Identifier that is not in use, 0 when all are. [MQTT-2.2.1-3]"""
        for _ in range(PACKET_ID_MAX):
            packet_id = self._next_packet_id
            self._next_packet_id = packet_id % PACKET_ID_MAX + 1
            if not (packet_id in self.published or packet_id in self.released or packet_id in self.requested):
                return packet_id
        return 0


@final
class ClientConnection:
    """One Network Connection to a server, from CONNECT to its end."""

    __slots__ = (
        "_aliases_in",
        "_aliases_out",
        "_framer",
        "_is_clean",
        "_is_moved",
        "_last_sent_ms",
        "_out",
        "_ping_sent_ms",
        "_resend",
        "_ticked_ms",
        "unacknowledged",
        "credit",
        "failure",
        "is_connected",
        "keep_alive_ms",
        "peer_alias_max",
        "peer_packet_bytes_max",
        "peer_receive_maximum",
        "receive_maximum",
        "session",
        "topic_alias_maximum",
        "version",
    )

    def __init__(self, version: int, session: ClientSession) -> None:
        self.version = version
        self.session = session
        self.failure: MqttError | None = None  # what the server broke; nothing is read after it
        self.is_connected = False  # a CONNACK that accepts has arrived, and no DISCONNECT went either way
        self.keep_alive_ms = 0
        self.receive_maximum = RECEIVE_MAXIMUM_DEFAULT
        self.topic_alias_maximum = 0
        self.peer_receive_maximum = RECEIVE_MAXIMUM_DEFAULT
        self.peer_packet_bytes_max = PACKET_BYTES_LIMIT
        self.peer_alias_max = 0
        self.credit = 0  # QoS 1 and 2 PUBLISH packets that may still be sent
        self._framer = Framer(PACKET_BYTES_LIMIT)
        self._out: list[bytes] = []
        self._resend: list[int] = []  # of a resumed session, still without credit
        self.unacknowledged: dict[int, int] = {}  # Packet Identifier → QoS of what the server waits for
        self._aliases_in: dict[int, str] = {}
        self._aliases_out: dict[str, int] = {}
        self._ticked_ms = 0
        self._last_sent_ms = 0
        self._ping_sent_ms = -1  # -1 while no PINGRESP is owed
        self._is_clean = True
        self._is_moved = False  # something was sent since the last tick

    # -- what the application does ---------------------------------------------------------------------------------

    def connect(
        self,
        client_id: str,
        *,
        clean_start: bool,
        keep_alive_s: int,
        username: str | None = None,
        password: bytes | None = None,
        will: Will | None = None,
        properties: Properties | None = None,
    ) -> None:
        """The first packet. Maxima in `properties` hold for this side from now on."""
        properties = properties or {}
        self._is_clean = clean_start
        if clean_start:
            self.session.clear()
        self.keep_alive_ms = keep_alive_s * 1000
        self.receive_maximum = _int_of(properties, RECEIVE_MAXIMUM, RECEIVE_MAXIMUM_DEFAULT)
        self.topic_alias_maximum = _int_of(properties, TOPIC_ALIAS_MAXIMUM, 0)
        self._framer.packet_bytes_max = _int_of(properties, MAXIMUM_PACKET_SIZE, PACKET_BYTES_LIMIT)
        self._send(Connect(self.version, client_id, clean_start, keep_alive_s, username, password, will, properties))

    def publish(
        self,
        topic_name: str,
        payload: bytes,
        qos: int = QOS_0,
        *,
        retain: bool = False,
        properties: bytes = b"",
        message_expiry_s: int = -1,
    ) -> int:
        """Returns the Packet Identifier, 0 at QoS 0, or NO_CREDIT or PACKET_TOO_LARGE with nothing sent.

        `properties` is what `encode_forwarded` makes. Raises: ProtocolError (0x90) for a bad Topic Name.
        """
        assert self.is_connected
        check_topic_name(topic_name)
        if qos != QOS_0 and (self.credit == 0 or self._resend):
            return NO_CREDIT  # What is resent goes first. [MQTT-4.6.0-1]
        packet_id = 0
        if qos != QOS_0:
            packet_id = self.session.take_packet_id()
            if packet_id == 0:
                return NO_CREDIT
        packet = Publish(topic_name, payload, qos, retain, False, packet_id, properties, message_expiry_s)
        if not self._send_publish(packet):
            return PACKET_TOO_LARGE
        if qos != QOS_0:
            self.session.published[packet_id] = packet
            self.credit -= 1
        return packet_id

    def subscribe(self, subscriptions: list[Subscription], properties: Properties | None = None) -> int:
        """Returns the Packet Identifier, 0 when none is free. Raises: ProtocolError (0x8F) for a bad Topic Filter."""
        assert subscriptions
        for subscription in subscriptions:
            check_topic_filter(subscription.topic_filter)
        packet_id = self.session.take_packet_id()
        if packet_id:
            self.session.requested[packet_id] = True
            self._send(Subscribe(packet_id, subscriptions, properties or {}))
        return packet_id

    def unsubscribe(self, topic_filters: list[str], properties: Properties | None = None) -> int:
        """Returns the Packet Identifier, 0 when none is free. Raises: ProtocolError (0x8F) for a bad Topic Filter."""
        assert topic_filters
        for topic_filter in topic_filters:
            check_topic_filter(topic_filter)
        packet_id = self.session.take_packet_id()
        if packet_id:
            self.session.requested[packet_id] = True
            self._send(Unsubscribe(packet_id, topic_filters, properties or {}))
        return packet_id

    def ack(self, packet_id: int, reason_code: int = 0) -> None:
        """Take over a QoS 1 or 2 message: PUBACK or PUBREC. Call in the order of arrival. [MQTT-4.6.0-2]"""
        qos = self.unacknowledged[packet_id]
        if qos == QOS_1:
            del self.unacknowledged[packet_id]
            self._send(Puback(packet_id, reason_code))
            return
        if reason_code >= _FAILED:
            del self.unacknowledged[packet_id]
            self.session.received.pop(packet_id, None)  # The exchange ends with it. [MQTT-4.3.3-9]
        self._send(Pubrec(packet_id, reason_code))

    def auth(self, reason_code: int, properties: Properties) -> None:
        """The next step of enhanced authentication. Source: MQTT 5.0 §4.12."""
        assert self.version == V5
        self._send(Auth(reason_code, properties))

    def disconnect(self, reason_code: int = 0, properties: Properties | None = None) -> None:
        """The last packet. [MQTT-3.14.4-2]"""
        self._send(Disconnect(reason_code, properties or {}))
        self.is_connected = False

    def tick(self, now_ms: int) -> None:
        """Send PINGREQ when nothing was sent for the Keep Alive. [MQTT-3.1.2-20]

        What was sent between two ticks counts as sent at the first, so a ping is rather early than late.
        """
        if self._is_moved:
            self._last_sent_ms = self._ticked_ms
            self._is_moved = False
        self._ticked_ms = now_ms
        if not self.is_connected or not self.keep_alive_ms or self._ping_sent_ms >= 0:
            return
        if now_ms - self._last_sent_ms >= self.keep_alive_ms:
            self._send(Pingreq())
            self._ping_sent_ms = now_ms

    def is_silent(self, now_ms: int) -> bool:
        """Whether a PINGRESP is owed for longer than the Keep Alive; the connection is to be closed then. 3.1.2.10"""
        return self._ping_sent_ms >= 0 and now_ms - self._ping_sent_ms >= self.keep_alive_ms

    def take_bytes(self) -> bytes:
        """What is to be sent, in order."""
        out = self._out
        if not out:
            return b""
        self._out = []
        return b"".join(out) if len(out) > 1 else out[0]

    # -- what the server does --------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Packet]:
        """The packets that `data` completes, without QoS 2 messages that were seen before.

        PUBREC and PUBREL are answered here, PUBLISH by `ack`. Where the server breaks the protocol, the packets before
        are returned and `failure` is set.
        """
        packets: list[Packet] = []
        if self.failure is not None:
            return packets
        try:
            frames = self._framer.feed(data)
            while frames:
                for first, body in frames:
                    packet = decode_packet(self.version, first, body)
                    if self._on_packet(packet):
                        packets.append(packet)
                frames = self._framer.feed(b"")
        except MqttError as error:
            self.failure = error
            if self.version == V5 and self.is_connected:
                self._send(Disconnect(error.reason_code))  # [MQTT-4.13.1-1]
            self.is_connected = False
        return packets

    def _on_packet(self, packet: Packet) -> bool:
        """Whether the application is to see the packet. Raises: ProtocolError."""
        if isinstance(packet, Connack):
            self._on_connack(packet)
            return True
        if isinstance(packet, Auth):
            return True  # before CONNACK too. 4.12
        if isinstance(packet, Disconnect) and self.version == V5:
            self.is_connected = False
            return True
        if not self.is_connected:
            raise ProtocolError("packet that is no CONNACK on a connection not accepted yet", "MQTT-3.2.0-1")
        if isinstance(packet, Publish):
            return self._on_publish(packet)
        if isinstance(packet, Puback):
            self._on_puback(packet)
        elif isinstance(packet, Pubrec):
            self._on_pubrec(packet)
        elif isinstance(packet, Pubrel):
            self._on_pubrel(packet)
        elif isinstance(packet, Pubcomp):
            if self.session.released.pop(packet.packet_id, None) is not None:
                self._restore_credit()
        elif isinstance(packet, (Suback, Unsuback)):
            if self.session.requested.pop(packet.packet_id, None) is None:
                raise ProtocolError(f"answer to request {packet.packet_id}, which is not open", "MQTT-2.2.1-6")
        elif isinstance(packet, Pingresp):
            self._ping_sent_ms = -1
        else:
            raise ProtocolError(f"{type(packet).__name__}, which servers do not send", "§2.1.2")
        return True

    def _on_connack(self, packet: Connack) -> None:
        if self.is_connected:
            raise ProtocolError("second CONNACK on one connection", "MQTT-3.2.0-2")
        if packet.reason_code != 0:
            return
        if packet.session_present and self._is_clean:
            raise ProtocolError("CONNACK with Session Present 1 behind Clean Start 1, allowed 0", "MQTT-3.2.2-4")
        properties = packet.properties
        self.is_connected = True
        self.peer_receive_maximum = _int_of(properties, RECEIVE_MAXIMUM, RECEIVE_MAXIMUM_DEFAULT)
        self.peer_packet_bytes_max = _int_of(properties, MAXIMUM_PACKET_SIZE, PACKET_BYTES_LIMIT)
        self.peer_alias_max = _int_of(properties, TOPIC_ALIAS_MAXIMUM, 0)
        self.keep_alive_ms = _int_of(properties, SERVER_KEEP_ALIVE, self.keep_alive_ms // 1000) * 1000
        self.credit = self.peer_receive_maximum
        # MQTT 3.1 knows no Session Present, so a session that was asked for counts as there: better twice than never.
        is_present = packet.session_present if self.version != V31 else not self._is_clean
        if not is_present:
            self.session.clear()
            return
        self.session.requested = {}  # Their answers do not survive a connection. 4.4
        for packet_id in self.session.released:
            self._send(Pubrel(packet_id))  # [MQTT-4.4.0-1]
        self._resend = list(self.session.published)
        self._send_again()

    def _on_publish(self, packet: Publish) -> bool:
        if packet.topic_alias:
            self._resolve_alias(packet)
        if packet.qos == QOS_0:
            return True
        packet_id = packet.packet_id
        if packet_id not in self.unacknowledged and len(self.unacknowledged) >= self.receive_maximum:
            raise ProtocolError(
                f"more than {self.receive_maximum} unacknowledged messages", "MQTT-3.3.4-9", RECEIVE_MAXIMUM_EXCEEDED
            )
        self.unacknowledged[packet_id] = packet.qos
        if packet.qos == QOS_1:
            return True
        if packet_id in self.session.received:
            self._send(Pubrec(packet_id))  # The message is owned already. [MQTT-4.3.3-10]
            return False
        self.session.received[packet_id] = True
        return True

    def _on_puback(self, packet: Puback) -> None:
        published = self.session.published.get(packet.packet_id)
        if published is None:
            return  # Of a message forgotten with an earlier session; harmless.
        if published.qos != QOS_1:
            raise ProtocolError(f"PUBACK for {packet.packet_id}, which is QoS 2", "MQTT-4.3.3-4")
        self._settle(packet.packet_id)

    def _on_pubrec(self, packet: Pubrec) -> None:
        published = self.session.published.get(packet.packet_id)
        if published is not None and published.qos == QOS_1:
            raise ProtocolError(f"PUBREC for {packet.packet_id}, which is QoS 1", "MQTT-4.3.2-3")
        if packet.reason_code >= _FAILED:
            if published is not None:
                self._settle(packet.packet_id)
            return
        if published is None and packet.packet_id not in self.session.released:
            self._send(Pubrel(packet.packet_id, PACKET_IDENTIFIER_NOT_FOUND if self.version == V5 else 0))
            return
        self._forget_published(packet.packet_id)
        self.session.released[packet.packet_id] = True
        self._send(Pubrel(packet.packet_id))  # [MQTT-4.3.3-4]

    def _on_pubrel(self, packet: Pubrel) -> None:
        known = self.session.received.pop(packet.packet_id, None)
        self.unacknowledged.pop(packet.packet_id, None)
        reason_code = 0 if known is not None or self.version < V5 else PACKET_IDENTIFIER_NOT_FOUND
        self._send(Pubcomp(packet.packet_id, reason_code))  # [MQTT-4.3.3-11]

    def _settle(self, packet_id: int) -> None:
        """A message has its last answer; a resend that is still waiting for credit is not needed any more."""
        if self._forget_published(packet_id):
            self._restore_credit()

    def _forget_published(self, packet_id: int) -> bool:
        """True when the message was sent on this connection, and so holds credit."""
        self.session.published.pop(packet_id, None)
        if packet_id in self._resend:
            self._resend.remove(packet_id)
            return False
        return True

    def _restore_credit(self) -> None:
        """One message more may be sent, never more than the server's Receive Maximum. 4.9"""
        if self.credit < self.peer_receive_maximum:
            self.credit += 1
        self._send_again()

    def _send_again(self) -> None:
        """Resend what the session still holds, oldest first, as far as credit goes. [MQTT-4.4.0-1] [MQTT-4.6.0-1]"""
        while self._resend and self.credit:
            packet = self.session.published[self._resend.pop(0)]
            again = Publish(
                packet.topic_name,
                packet.payload,
                packet.qos,
                packet.retain,
                True,  # [MQTT-3.3.1-1]
                packet.packet_id,
                packet.properties,
                packet.message_expiry_s,
            )
            if self._send_publish(again):
                self.credit -= 1
            else:
                del self.session.published[packet.packet_id]  # This server will never take it. [MQTT-3.2.2-15]

    def _resolve_alias(self, packet: Publish) -> None:
        """Raises: ProtocolError (0x94)."""
        alias = packet.topic_alias
        if alias > self.topic_alias_maximum:
            raise ProtocolError(
                f"Topic Alias {alias}, allowed {self.topic_alias_maximum}", "MQTT-3.1.2-26", TOPIC_ALIAS_INVALID
            )
        if packet.topic_name:
            self._aliases_in[alias] = packet.topic_name
            return
        if alias not in self._aliases_in:
            raise ProtocolError(f"Topic Alias {alias}, which was never set", "§3.3.4")
        packet.topic_name = self._aliases_in[alias]

    def _send_publish(self, packet: Publish) -> bool:
        """False when the server would not accept the size. Uses a Topic Alias where the server offers one."""
        alias = 0
        wire_name = packet.topic_name
        if self.peer_alias_max:
            alias = self._aliases_out.get(packet.topic_name, 0)
            if alias:
                wire_name = ""
            elif len(self._aliases_out) < self.peer_alias_max:
                alias = len(self._aliases_out) + 1  # [MQTT-3.3.2-9]
        wire = packet
        if alias:
            wire = Publish(
                wire_name,
                packet.payload,
                packet.qos,
                packet.retain,
                packet.dup,
                packet.packet_id,
                packet.properties,
                packet.message_expiry_s,
                alias,
            )
        data = encode_packet(self.version, wire)
        if alias and len(data) > self.peer_packet_bytes_max:
            alias = 0  # It costs three bytes, and may be what makes the packet too large.
            data = encode_packet(self.version, packet)
        if len(data) > self.peer_packet_bytes_max:
            return False
        if alias:
            self._aliases_out[packet.topic_name] = alias
        self._append(data)
        return True

    def _send(self, packet: Packet) -> None:
        self._append(encode_packet(self.version, packet))

    def _append(self, data: bytes) -> None:
        self._out.append(data)
        self._is_moved = True


def _int_of(properties: Properties, identifier: int, default: int) -> int:
    value = properties.get(identifier, default)
    assert isinstance(value, int)
    return value
