"""The server's side of one Network Connection: bytes in, packets out, and the rules that end with the socket.

It knows framing, the order of packets, the maxima both sides agreed on and Topic Aliases; it does not know sessions,
tenants or who else is connected. Bytes to send collect in `out`, in order; whoever owns the connection takes them.

Hot packets are not built into objects that nobody reads: QoS 0 PUBLISH packets that can be forwarded as they are come
as a `PublishRun`, and a successful PUBACK, PUBREC, PUBREL or PUBCOMP without properties as the int
`packet type << 16 | Packet Identifier`.

What costs much to read is not read in one go: reading stops behind so many bytes of SUBSCRIBE and UNSUBSCRIBE packets,
and one that is longer comes out when it was read piece by piece.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.core.mqtt.decode import decode_packet, filter_reader
from quantum.core.mqtt.encode import encode_packet, encode_publish
from quantum.core.mqtt.errors import MalformedPacket, MqttError, ProtocolError, UnsupportedProtocol
from quantum.core.mqtt.filters import FilterReader
from quantum.core.mqtt.packets import (
    CONNECT,
    NO_EXPIRY,
    V5,
    V311,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Unsuback,
)
from quantum.core.mqtt.properties import (
    MAXIMUM_PACKET_SIZE,
    REASON_STRING,
    RECEIVE_MAXIMUM,
    REQUEST_PROBLEM_INFORMATION,
    REQUEST_RESPONSE_INFORMATION,
    TOPIC_ALIAS_MAXIMUM,
    USER_PROPERTY,
    Properties,
    decode_properties,
)
from quantum.core.mqtt.topics import check_topic_name

TOPICS_CACHED_MAX: Final = 64  # topic names a connection keeps as checked strings
TOPIC_CACHED_BYTES_MAX: Final = 256  # longer ones are read anew each time: ten thousand clients have such a cache each
ALIASES_OUT_MAX: Final = 256  # set towards one client, however many it would take: each keeps its Topic Name
RECEIVE_MAXIMUM_DEFAULT: Final = 65535  # 3.1.2.11.3
# One call reads this much of SUBSCRIBE and UNSUBSCRIBE packets: some hundred filters, which take less than a millisecond.
FILTER_BYTES_AT_ONCE: Final = 4096  # of packets that are read whole
FILTERS_AT_ONCE: Final = 256  # of a longer packet
PIECE_BYTES_MAX: Final = 16_384  # of a longer packet, and a filter
_CONNECT_V5_PROPERTIES: Final = 10  # where its properties begin: behind flags and Keep Alive
_CONNECT_V5: Final = b"\x00\x04MQTT\x05"  # 3.1.2.1, 3.1.2.2: how the body of a CONNECT of 5.0 begins
PACKET_BYTES_LIMIT: Final = 268_435_460  # 2.1.4: four bytes of Remaining Length, and the fixed header


@final
@dataclass(init=False, slots=True, eq=False)
class PublishRun:
    """Consecutive QoS 0 PUBLISH packets of one topic and one size, without RETAIN and properties, as they were received.

    `frames` holds `count` packets of `frame_size` bytes; the first `head_size` bytes of each are the same.
    """

    topic_name: str
    frames: bytes
    frame_size: int
    head_size: int
    count: int

    def __init__(self, topic_name: str, frames: bytes, frame_size: int, head_size: int, count: int) -> None:
        self.topic_name = topic_name
        self.frames = frames
        self.frame_size = frame_size
        self.head_size = head_size
        self.count = count

    def payloads(self) -> list[bytes]:
        """The payload of each packet, in order."""
        frames = self.frames
        size = self.frame_size
        return [frames[at + self.head_size : at + size] for at in range(0, len(frames), size)]


Inbound = Packet | PublishRun | int
# Packets of which a Reason String or User Properties may be left out. 3.2.2.3.9 and alike
_Explained = Connack | Puback | Pubrec | Pubrel | Pubcomp | Suback | Unsuback | Disconnect | Auth


@final
class ServerConnection:
    """One client's Network Connection as the server sees it."""

    __slots__ = (
        "_aliases_in",
        "_aliases_out",
        "_chunks",
        "_chunks_bytes",
        "_chunks_need",
        "_filter_bytes",
        "_filters",
        "_topics",
        "failure",
        "is_stopped",
        "is_v5",
        "out",
        "packet_bytes_max",
        "peer_alias_max",
        "peer_packet_bytes_max",
        "peer_receive_maximum",
        "topic_alias_maximum",
        "version",
        "wants_problem_information",
        "wants_response_information",
    )

    def __init__(self, packet_bytes_max: int, topic_alias_maximum: int) -> None:
        self.packet_bytes_max = packet_bytes_max
        self.topic_alias_maximum = topic_alias_maximum
        self.version = 0  # 0 until CONNECT arrived
        self.is_v5 = False
        self.out: list[bytes] = []
        self.failure: MqttError | None = None  # what the peer broke; nothing is read after it
        self.peer_receive_maximum = RECEIVE_MAXIMUM_DEFAULT
        self.peer_packet_bytes_max = PACKET_BYTES_LIMIT
        self.peer_alias_max = 0
        self.wants_problem_information = True
        self.wants_response_information = False
        self.is_stopped = False  # there is more to read: call `receive` with b"" in a later turn
        self._filters: FilterReader | None = None  # a long SUBSCRIBE or UNSUBSCRIBE that is being read
        self._filter_bytes = 0  # of SUBSCRIBE and UNSUBSCRIBE packets read since reading last stopped
        self._topics: dict[bytes, str] = {}
        self._aliases_in: dict[int, str] | None = None
        self._aliases_out: dict[str, int] | None = None
        self._chunks: list[bytes] | None = None  # the partial packet
        self._chunks_bytes = 0
        self._chunks_need = 0

    # -- in ------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Inbound]:
        """The packets that `data` completes. Where one breaks the protocol, those before it are returned and `failure`
        is set. Reading stops behind a CONNECT: call again with b"" when it is answered; and where `is_stopped` is set."""
        packets: list[Inbound] = []
        if self.failure is not None:
            return packets
        if self.is_stopped:
            if data:
                self.hold(data)
            if self._filters is not None:
                self._read_filters(self._filters, packets)
                return packets
            self.is_stopped = False
            data = b""
        chunks = self._chunks
        if chunks is not None:
            if data:
                chunks.append(data)
                self._chunks_bytes += len(data)
            if self._chunks_bytes < self._chunks_need:
                return packets
            data = b"".join(chunks)
            self._chunks = None
        self._chunks_need = 0
        try:
            pos = self._parse(data, packets)
        except MqttError as error:
            self.failure = error.with_traceback(None)  # whose frames would hold this connection in a cycle
            self.is_stopped = False
            return packets
        if pos < len(data):
            self._chunks = [data[pos:] if pos else data]
            self._chunks_bytes = len(data) - pos
        elif self.is_stopped and self._filters is None:
            self.is_stopped = False
        return packets

    def hold(self, data: bytes) -> int:
        """Keep bytes without reading them; returns how many are kept."""
        if self._chunks is None:
            self._chunks = []
            self._chunks_bytes = 0
        self._chunks.append(data)
        self._chunks_bytes += len(data)
        return self._chunks_bytes

    def _parse(self, data: bytes, packets: list[Inbound]) -> int:
        """Parse from the front of `data` into `packets`; returns where the unread rest begins."""
        size = len(data)
        pos = 0
        topics = self._topics
        is_v5 = self.is_v5
        version = self.version
        while pos + 2 <= size:
            first = data[pos]
            length = data[pos + 1]
            at = pos + 2
            if length & 0x80:
                at = self._length_end(data, pos, size)
                if at == 0:
                    return pos
                length = (length & 0x7F) | ((data[pos + 2] & 0x7F) << 7)
                if at > pos + 3:
                    length |= (data[pos + 3] & 0x7F) << 14
                    if at > pos + 4:
                        length |= data[pos + 4] << 21
            end = at + length
            if end > size or end - pos > self.packet_bytes_max or not version:
                if not self._admit(first, end - pos, size - pos):
                    return pos
            elif first == 0x30:
                name_end = at + 2
                if length > 2:
                    name_end += (data[at] << 8) | data[at + 1]
                known = topics.get(data[at + 2 : name_end])
                if is_v5:
                    name_end += 1
                if known is not None and name_end <= end and not (is_v5 and data[name_end - 1]):
                    head = data[pos:name_end]
                    frame_size = end - pos
                    stop = end
                    while data.startswith(head, stop) and stop + frame_size <= size:
                        stop += frame_size
                    packets.append(
                        PublishRun(known, data[pos:stop], frame_size, name_end - pos, (stop - pos) // frame_size)
                    )
                    pos = stop
                    continue
            elif first < 0x40 and first >= 0x30 and first & 0x06 != 0x06:
                name_end = at + 2
                if length > 4:
                    name_end += (data[at] << 8) | data[at + 1]
                known = topics.get(data[at + 2 : name_end])
                body = name_end + 3 if is_v5 else name_end + 2
                if known is not None and first & 0x06 and body <= end and not (is_v5 and data[body - 1]):
                    packet_id = (data[name_end] << 8) | data[name_end + 1]
                    if packet_id:
                        packets.append(
                            Publish(known, data[body:end], (first >> 1) & 3, first & 1 == 1, first & 8 == 8, packet_id)
                        )
                        pos = end
                        continue
            elif length == 2 and (first == 0x40 or first == 0x50 or first == 0x62 or first == 0x70):
                packet_id = (data[at] << 8) | data[at + 1]
                if packet_id:
                    packets.append(((first >> 4) << 16) | packet_id)
                    pos = end
                    continue
            if first & 0xD0 == 0x80 and self._is_long(first, data, at, end):
                return end
            packets.append(self._decode(first, data[at:end]))
            pos = end
            if not version or self.is_stopped:
                return pos
        return pos

    def _is_long(self, first: int, data: bytes, at: int, end: int) -> bool:
        """Count a SUBSCRIBE or UNSUBSCRIBE; True for one that is read piece by piece, in later calls."""
        self._filter_bytes += end - at
        if self._filter_bytes <= FILTER_BYTES_AT_ONCE:
            return False
        self._filter_bytes = 0
        self.is_stopped = True
        if end - at <= FILTER_BYTES_AT_ONCE:
            return False
        self._filters = filter_reader(self.version, first, data[at:end])
        return True

    def _read_filters(self, filters: FilterReader, packets: list[Inbound]) -> None:
        try:
            packet = filters.read(FILTERS_AT_ONCE, PIECE_BYTES_MAX)
        except MqttError as error:
            self.failure = error.with_traceback(None)
            self.is_stopped = False
            return
        if packet is not None:
            packets.append(packet)
            self._filters = None
            self.is_stopped = self._chunks is not None

    def _length_end(self, data: bytes, pos: int, size: int) -> int:
        """Where the body begins behind a Remaining Length of more than one byte; 0 when more bytes are needed."""
        for at in range(pos + 2, pos + 5):
            if at >= size:
                return 0
            if data[at] < 0x80:
                if data[at] == 0:
                    raise MalformedPacket("Remaining Length not in its shortest form", "MQTT-1.5.5-1")
                return at + 1
        raise MalformedPacket("Remaining Length of more than 4 bytes", "MQTT-1.5.5-1")

    def _admit(self, first: int, packet_bytes: int, have: int) -> bool:
        """Refuse what may never be buffered; False when the packet is allowed but not whole yet."""
        if not self.version and first >> 4 != CONNECT:
            raise ProtocolError(f"first packet has type {first >> 4}, allowed CONNECT", "MQTT-3.1.0-1")
        if packet_bytes > self.packet_bytes_max:
            raise ProtocolError(
                f"packet of {packet_bytes} bytes, allowed {self.packet_bytes_max}", "MQTT-3.2.2-15", reason_code=0x95
            )
        if packet_bytes > have:
            self._chunks_need = packet_bytes
            return False
        return True

    def _decode(self, first: int, body: bytes) -> Packet:
        """Any packet, the careful way."""
        if not self.version:
            # A CONNECT of 5.0 that cannot be read any further is still answered in 5.0. [MQTT-3.1.4-1]
            self.is_v5 = body.startswith(_CONNECT_V5)
        elif first >> 4 == CONNECT:
            raise ProtocolError("second CONNECT on one connection", "MQTT-3.1.0-2")  # Whatever stands in it.
        try:
            packet = decode_packet(self.version, first, body)
        except MqttError:
            if self.is_v5 and not self.version:
                self._on_broken_connect(body)
            raise
        if packet.__class__ is Publish:
            assert isinstance(packet, Publish)
            self._resolve_alias(packet)
            if packet.topic_name:
                check_topic_name(packet.topic_name)
                self._remember_topic(packet.topic_name)
        elif isinstance(packet, Connect):
            self._on_connect(packet)
        elif isinstance(packet, Auth) and not self.is_v5:
            raise ProtocolError("AUTH, allowed in 5.0 only", "MQTT-2.1.2")
        elif first >> 4 not in _FROM_CLIENT:
            raise ProtocolError(f"packet type {first >> 4} is sent by servers only", "MQTT-3.1.2-3")
        return packet

    def _remember_topic(self, topic_name: str) -> None:
        topic = topic_name.encode()
        if len(topic) > TOPIC_CACHED_BYTES_MAX:
            return
        if len(self._topics) >= TOPICS_CACHED_MAX:
            self._topics.clear()
        self._topics[topic] = topic_name

    def _on_connect(self, packet: Connect) -> None:
        self.version = packet.protocol_version
        if self.version < V5:
            return
        self.is_v5 = True
        self._on_properties(packet.properties)

    def _on_broken_connect(self, body: bytes) -> None:
        """What a CONNECT says of packets to its client holds for the refusal too. [MQTT-3.2.2-19]"""
        try:
            properties, _ = decode_properties(body, _CONNECT_V5_PROPERTIES, CONNECT)
        except MqttError:
            return
        self._on_properties(properties)

    def _on_properties(self, properties: Properties) -> None:
        self.peer_receive_maximum = _int_of(properties, RECEIVE_MAXIMUM, RECEIVE_MAXIMUM_DEFAULT)
        self.peer_packet_bytes_max = _int_of(properties, MAXIMUM_PACKET_SIZE, PACKET_BYTES_LIMIT)
        self.peer_alias_max = min(_int_of(properties, TOPIC_ALIAS_MAXIMUM, 0), ALIASES_OUT_MAX)
        self.wants_problem_information = _int_of(properties, REQUEST_PROBLEM_INFORMATION, 1) == 1
        self.wants_response_information = _int_of(properties, REQUEST_RESPONSE_INFORMATION, 0) == 1

    def _resolve_alias(self, packet: Publish) -> None:
        """3.3.2.3.4: a Topic Alias names the topic it was last sent with on this connection."""
        alias = packet.topic_alias
        if alias == 0:
            if not packet.topic_name:
                raise ProtocolError("PUBLISH with neither Topic Name nor Topic Alias", "MQTT-3.3.2-8")
            return
        if alias > self.topic_alias_maximum:
            raise ProtocolError(
                f"Topic Alias {alias}, allowed 1 to {self.topic_alias_maximum}", "MQTT-3.3.2-9", reason_code=0x94
            )
        if self._aliases_in is None:
            self._aliases_in = {}
        if packet.topic_name:
            self._aliases_in[alias] = packet.topic_name
            return
        topic_name = self._aliases_in.get(alias)
        if topic_name is None:
            raise ProtocolError(f"Topic Alias {alias} was never set", "MQTT-3.3.2-12", reason_code=0x82)
        packet.topic_name = topic_name

    # -- out -----------------------------------------------------------------------------------------------------

    def send(self, packet: Packet) -> None:
        """Queue a packet other than PUBLISH. A Reason String or User Property that the client did not ask for, or that
        would not fit its Maximum Packet Size, is left out. [MQTT-3.1.2-29] [MQTT-3.2.2-19] [MQTT-3.2.2-20]"""
        data = encode_packet(self.version or V5, packet)
        if self.is_v5 and isinstance(packet, _Explained):
            asked = self.wants_problem_information or isinstance(packet, (Connack, Disconnect))
            if len(data) > self.peer_packet_bytes_max or not asked:
                packet.properties.pop(REASON_STRING, None)
                packet.properties.pop(USER_PROPERTY, None)
                data = encode_packet(V5, packet)
                if len(data) > self.peer_packet_bytes_max:
                    return  # [MQTT-3.1.2-24]
        self.out.append(data)

    def may_send(self, packet: Packet) -> bool:
        """Whether a packet is as small as the client takes them. [MQTT-3.1.2-24]"""
        return not self.is_v5 or len(encode_packet(V5, packet)) <= self.peer_packet_bytes_max

    def refuse_connect(self, error: MqttError) -> None:
        """Answer a CONNECT that could not be read. [MQTT-3.1.4-1] [MQTT-3.1.2-2]

        A client of an unknown version gets the oldest answer there is, unless it is newer than 5.0. Any other first
        packet gets none. v3.1.1 [MQTT-3.1.2-2]
        """
        if isinstance(error, UnsupportedProtocol):
            if error.level > V5:
                self.out.append(encode_packet(V5, Connack(False, 0x84)))
            else:
                self.out.append(encode_packet(V311, Connack(False, 1)))
        elif self.is_v5:
            self.send(Connack(False, error.reason_code, {REASON_STRING: str(error)}))

    def encode_publish(
        self,
        topic_name: str,
        payload: bytes,
        qos: int,
        retain: bool,
        dup: bool,
        packet_id: int,
        properties: bytes,
        expiry_s: int,
        subscription_ids: tuple[int, ...],
    ) -> bytes:
        """A PUBLISH for this client with all that belongs to one hop; b"" when it is larger than the client accepts.

        Raises nothing; an alias is only set when the packet is really returned. [MQTT-3.1.2-24]
        """
        if not self.is_v5:
            return encode_publish(self.version, topic_name.encode(), payload, qos, retain, dup, packet_id, b"")
        topic = topic_name.encode()
        alias = 0
        is_new_alias = False
        if self.peer_alias_max:
            aliases = self._aliases_out
            if aliases is None:
                aliases = self._aliases_out = {}
            alias = aliases.get(topic_name, 0)
            if alias:
                topic = b""
            elif len(aliases) < self.peer_alias_max:
                alias = len(aliases) + 1
                is_new_alias = True
        block = hop_properties(expiry_s, alias, subscription_ids) + properties
        data = encode_publish(self.version, topic, payload, qos, retain, dup, packet_id, block)
        if len(data) > self.peer_packet_bytes_max:
            if not alias:
                return b""
            # The alias is the server's own wish, and costs three bytes: without it the packet may fit. [MQTT-3.1.2-25]
            block = hop_properties(expiry_s, 0, subscription_ids) + properties
            data = encode_publish(self.version, topic_name.encode(), payload, qos, retain, dup, packet_id, block)
            return data if len(data) <= self.peer_packet_bytes_max else b""
        if is_new_alias:
            assert self._aliases_out is not None
            self._aliases_out[topic_name] = alias
        return data


_FROM_CLIENT: Final = {
    1: True,
    3: True,
    4: True,
    5: True,
    6: True,
    7: True,
    8: True,
    10: True,
    12: True,
    14: True,
    15: True,
}


def hop_properties(expiry_s: int, alias: int, subscription_ids: tuple[int, ...]) -> bytes:
    """The PUBLISH properties that belong to one hop, encoded, without the length in front. Source: MQTT 5.0 §3.3.2.3."""
    block = b""
    if expiry_s != NO_EXPIRY:
        block += b"\x02" + expiry_s.to_bytes(4, "big")
    if alias:
        block += b"\x23" + alias.to_bytes(2, "big")
    for number in subscription_ids:
        block += b"\x0b"
        while number >= 0x80:
            block += bytes((number & 0x7F | 0x80,))
            number >>= 7
        block += bytes((number,))
    return block


def _int_of(properties: Properties, identifier: int, default: int) -> int:
    value = properties.get(identifier, default)
    assert isinstance(value, int)
    return value
