"""Packets by hand over a real socket, so that a test can send what no client library would.

Nothing of `quantum` is imported here: a mistake in Quantum's codec must not hide itself.
Versions are the Protocol Level of CONNECT: 3 is MQTT 3.1, 4 is 3.1.1, 5 is 5.0.
"""

import itertools
import os
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

# 2.1.2 Control Packet type
CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15
NAMES = (
    "0 CONNECT CONNACK PUBLISH PUBACK PUBREC PUBREL PUBCOMP "
    "SUBSCRIBE SUBACK UNSUBSCRIBE UNSUBACK PINGREQ PINGRESP DISCONNECT AUTH"
).split()

# 2.2.2.2 Property identifiers
PAYLOAD_FORMAT_INDICATOR, MESSAGE_EXPIRY_INTERVAL, CONTENT_TYPE = 0x01, 0x02, 0x03
RESPONSE_TOPIC, CORRELATION_DATA, SUBSCRIPTION_IDENTIFIER = 0x08, 0x09, 0x0B
SESSION_EXPIRY_INTERVAL, ASSIGNED_CLIENT_IDENTIFIER, SERVER_KEEP_ALIVE = 0x11, 0x12, 0x13
AUTHENTICATION_METHOD, AUTHENTICATION_DATA, REQUEST_PROBLEM_INFORMATION = 0x15, 0x16, 0x17
WILL_DELAY_INTERVAL, REQUEST_RESPONSE_INFORMATION, RESPONSE_INFORMATION = 0x18, 0x19, 0x1A
SERVER_REFERENCE, REASON_STRING, RECEIVE_MAXIMUM, TOPIC_ALIAS_MAXIMUM, TOPIC_ALIAS = 0x1C, 0x1F, 0x21, 0x22, 0x23
MAXIMUM_QOS, RETAIN_AVAILABLE, USER_PROPERTY, MAXIMUM_PACKET_SIZE = 0x24, 0x25, 0x26, 0x27
WILDCARD_AVAILABLE, SUBSCRIPTION_IDENTIFIERS_AVAILABLE, SHARED_AVAILABLE = 0x28, 0x29, 0x2A

BYTE, TWO, FOUR, VARINT, UTF8, BINARY, PAIR = "byte", "two", "four", "varint", "utf8", "binary", "pair"
KIND = {
    **dict.fromkeys((0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A), BYTE),
    **dict.fromkeys((0x13, 0x21, 0x22, 0x23), TWO),
    **dict.fromkeys((0x02, 0x11, 0x18, 0x27), FOUR),
    **dict.fromkeys((0x03, 0x08, 0x12, 0x15, 0x1A, 0x1C, 0x1F), UTF8),
    **dict.fromkeys((0x09, 0x16), BINARY),
    0x0B: VARINT,
    0x26: PAIR,
}

Value = int | str | bytes | tuple[str, str]
Property = tuple[int, Value]
TIMEOUT_S = 5
_anonymous = itertools.count(1)


class Address(Protocol):
    """Where a broker listens."""

    host: str
    port: int


@dataclass
class Will:
    """The Will Message of a CONNECT."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    properties: Sequence[Property] = ()


def u16(number: int) -> bytes:
    """A Two Byte Integer."""
    return struct.pack(">H", number)


def u32(number: int) -> bytes:
    """A Four Byte Integer."""
    return struct.pack(">I", number)


def varint(number: int) -> bytes:
    """A Variable Byte Integer, in as few bytes as it needs."""
    assert 0 <= number <= 268_435_455
    out = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        out.append(low | 0x80 if number else low)
        if not number:
            return bytes(out)


def binary(data: bytes) -> bytes:
    """Binary Data: two bytes of length in front."""
    return u16(len(data)) + data


def utf8(text: str) -> bytes:
    """A UTF-8 Encoded String."""
    return binary(text.encode())


def prop(identifier: int, value: Value) -> bytes:
    """One property, without the length that stands before all of them."""
    kind = KIND[identifier]
    head = varint(identifier)
    if isinstance(value, tuple):
        assert kind == PAIR
        return head + utf8(value[0]) + utf8(value[1])
    if isinstance(value, str):
        assert kind == UTF8
        return head + utf8(value)
    if isinstance(value, bytes):
        assert kind in (BINARY, UTF8)  # a string of bytes that are no UTF-8 may be wanted
        return head + binary(value)
    if kind == VARINT:
        return head + varint(value)
    return head + value.to_bytes({BYTE: 1, TWO: 2, FOUR: 4}[kind], "big")


def props(*pairs: Property) -> bytes:
    """Properties with their length."""
    body = b"".join(prop(identifier, value) for identifier, value in pairs)
    return varint(len(body)) + body


def packet(kind: int, flags: int, *parts: bytes) -> bytes:
    """A whole Control Packet with a right Remaining Length."""
    body = b"".join(parts)
    return bytes((kind << 4 | flags,)) + varint(len(body)) + body


def _props(version: int, properties: Sequence[Property]) -> bytes:
    if version < 5:
        assert not properties
        return b""
    return props(*properties)


def connect(
    version: int,
    client_id: str,
    *,
    clean: bool = True,
    keep_alive: int = 60,
    flags: int | None = None,
    properties: Sequence[Property] = (),
    will: Will | None = None,
    username: str | None = None,
    password: bytes | None = None,
) -> bytes:
    """A CONNECT. `flags` replaces the Connect Flags that follow from the rest."""
    bits = 0x02 if clean else 0
    payload = utf8(client_id)
    if will is not None:
        bits |= 0x04 | will.qos << 3 | (0x20 if will.retain else 0)
        payload += _props(version, will.properties) + utf8(will.topic) + binary(will.payload)
    if username is not None:
        bits |= 0x80
        payload += utf8(username)
    if password is not None:
        bits |= 0x40
        payload += binary(password)
    head = utf8("MQIsdp" if version == 3 else "MQTT") + bytes((version, bits if flags is None else flags))
    return packet(CONNECT, 0, head, u16(keep_alive), _props(version, properties), payload)


def publish(
    version: int,
    topic: str,
    payload: bytes,
    *,
    qos: int = 0,
    retain: bool = False,
    dup: bool = False,
    packet_id: int = 0,
    properties: Sequence[Property] = (),
) -> bytes:
    """A PUBLISH. It has a Packet Identifier if its QoS is above 0."""
    flags = (8 if dup else 0) | qos << 1 | (1 if retain else 0)
    identifier = u16(packet_id) if qos else b""
    return packet(PUBLISH, flags, utf8(topic), identifier, _props(version, properties), payload)


def subscribe(version: int, packet_id: int, *filters: tuple[str, int], properties: Sequence[Property] = ()) -> bytes:
    """A SUBSCRIBE. The second of each pair is the byte of Subscription Options: before 5.0 the QoS."""
    body = b"".join(utf8(topic_filter) + bytes((options,)) for topic_filter, options in filters)
    return packet(SUBSCRIBE, 2, u16(packet_id), _props(version, properties), body)


def unsubscribe(version: int, packet_id: int, *filters: str, properties: Sequence[Property] = ()) -> bytes:
    """An UNSUBSCRIBE."""
    body = b"".join(utf8(topic_filter) for topic_filter in filters)
    return packet(UNSUBSCRIBE, 2, u16(packet_id), _props(version, properties), body)


def ack(version: int, kind: int, packet_id: int, code: int = 0, properties: Sequence[Property] = ()) -> bytes:
    """A PUBACK, PUBREC, PUBREL or PUBCOMP. Reason Code 0 without properties is left out, as it may be."""
    flags = 2 if kind == PUBREL else 0
    if version < 5 or (code == 0 and not properties):
        return packet(kind, flags, u16(packet_id))
    return packet(kind, flags, u16(packet_id), bytes((code,)), props(*properties))


def pingreq() -> bytes:
    """A PINGREQ."""
    return packet(PINGREQ, 0)


def disconnect(version: int, code: int = 0, properties: Sequence[Property] = ()) -> bytes:
    """A DISCONNECT. Before 5.0 it says nothing."""
    if version < 5 or (code == 0 and not properties):
        return packet(DISCONNECT, 0)
    return packet(DISCONNECT, 0, bytes((code,)), props(*properties))


def auth(code: int, properties: Sequence[Property] = ()) -> bytes:
    """An AUTH of 5.0."""
    return packet(AUTH, 0, bytes((code,)), props(*properties))


def closes(broker: Address, version: int, data: bytes, code: int | None = None) -> None:
    """Assert that the broker ends an open connection that sends `data`, in 5.0 with this Reason Code."""
    with Raw(broker) as connection:
        connection.open(version)
        connection.send(data)
        connection.expect_closed(code)


class _Cursor:
    """Reads a body from its start; whatever is missing is an AssertionError."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def take(self, size: int) -> bytes:
        assert len(self.rest) >= size, f"{size} bytes wanted, {len(self.rest)} there"
        out, self.rest = self.rest[:size], self.rest[size:]
        return out

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def varint(self) -> int:
        value = 0
        for place in range(4):
            byte = self.number(1)
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                assert place == 0 or byte != 0, "a Variable Byte Integer in more bytes than it needs [MQTT-1.5.5-1]"
                return value
        raise AssertionError("a Variable Byte Integer of five bytes")

    def binary(self) -> bytes:
        return self.take(self.number(2))

    def utf8(self) -> str:
        text = self.binary().decode()  # strict: surrogates are refused [MQTT-1.5.4-1]
        assert "\0" not in text, "U+0000 in a string [MQTT-1.5.4-2]"
        return text

    def properties(self) -> list[Property]:
        inner = _Cursor(self.take(self.varint()))
        out: list[Property] = []
        while inner.rest:
            identifier = inner.varint()
            kind = KIND[identifier]
            value: Value
            if kind == PAIR:
                value = (inner.utf8(), inner.utf8())
            elif kind == UTF8:
                value = inner.utf8()
            elif kind == BINARY:
                value = inner.binary()
            elif kind == VARINT:
                value = inner.varint()
            else:
                value = inner.number({BYTE: 1, TWO: 2, FOUR: 4}[kind])
            out.append((identifier, value))
        return out


@dataclass
class Received:
    """A packet as it came, and what it says. What a packet of its type does not have is as it is here."""

    type: int
    flags: int
    body: bytes
    packet_id: int = 0
    code: int = 0
    codes: list[int] = field(default_factory=list)
    topic: str = ""
    payload: bytes = b""
    properties: list[Property] = field(default_factory=list)
    session_present: bool = False

    @property
    def qos(self) -> int:
        """Of a PUBLISH."""
        return self.flags >> 1 & 3

    @property
    def retain(self) -> bool:
        """Of a PUBLISH."""
        return bool(self.flags & 1)

    @property
    def dup(self) -> bool:
        """Of a PUBLISH."""
        return bool(self.flags & 8)

    def values(self, identifier: int) -> list[Value]:
        """All values of a property, in the order they came."""
        return [value for name, value in self.properties if name == identifier]

    def value(self, identifier: int) -> Value | None:
        """The value of a property that may come once, or None."""
        values = self.values(identifier)
        assert len(values) <= 1, f"property 0x{identifier:02X} came {len(values)} times in {self}"
        return values[0] if values else None

    def __str__(self) -> str:
        return (
            f"{NAMES[self.type]} flags {self.flags:04b} {self.body.hex(' ')} code 0x{self.code:02X} {self.properties}"
        )


def decode(version: int, kind: int, flags: int, body: bytes) -> Received:
    """A packet that a server sent. Raises AssertionError if it is none that a server may send."""
    out = Received(kind, flags, body)
    cursor = _Cursor(body)
    if kind == PUBLISH:
        out.topic = cursor.utf8()
        assert out.qos < 3
        out.packet_id = cursor.number(2) if out.qos else 0
        out.properties = cursor.properties() if version == 5 else []
        out.payload = cursor.take(len(cursor.rest))
        return out
    assert flags == (2 if kind == PUBREL else 0), f"{NAMES[kind]} with flags {flags:04b} [MQTT-2.1.3-1]"
    if kind == CONNACK:
        acknowledge = cursor.number(1)
        assert acknowledge < 2, f"Connect Acknowledge Flags {acknowledge:08b} [MQTT-3.2.2-1]"
        out.session_present = acknowledge == 1
        out.code = cursor.number(1)
        out.properties = cursor.properties() if version == 5 else []
    elif kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        out.packet_id = cursor.number(2)
        if version == 5 and cursor.rest:
            out.code = cursor.number(1)
            out.properties = cursor.properties() if cursor.rest else []
    elif kind in (SUBACK, UNSUBACK):
        out.packet_id = cursor.number(2)
        out.properties = cursor.properties() if version == 5 else []
        if kind == SUBACK or version == 5:
            out.codes = list(cursor.take(len(cursor.rest)))
    elif kind in (DISCONNECT, AUTH):
        assert version == 5, f"{NAMES[kind]} from a server before 5.0"
        if cursor.rest:
            out.code = cursor.number(1)
            out.properties = cursor.properties() if cursor.rest else []
    else:
        assert kind == PINGRESP, f"{NAMES[kind]} from a server"
    assert cursor.rest == b"", f"{len(cursor.rest)} bytes left over in {out}"
    return out


class Raw:
    """One Network Connection, driven packet by packet."""

    def __init__(self, broker: Address, version: int = 5) -> None:
        self.version = version
        self._says_why = bool(getattr(broker, "says_why", False))
        self._socket = socket.create_connection((broker.host, broker.port), timeout=TIMEOUT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the Network Connection without a DISCONNECT."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes as they are. A server that closed already is found by what is read next."""
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def open(
        self,
        version: int,
        client_id: str = "",
        *,
        clean: bool = True,
        keep_alive: int = 60,
        properties: Sequence[Property] = (),
        will: Will | None = None,
        username: str | None = None,
        password: bytes | None = None,
    ) -> Received:
        """Send CONNECT and return a CONNACK that accepts. Without a `client_id` the server assigns one, but to 3.1."""
        self.version = version
        if version == 3 and not client_id:
            client_id = f"a{os.getpid()}-{next(_anonymous)}"
        self.send(
            connect(
                version,
                client_id,
                clean=clean,
                keep_alive=keep_alive,
                properties=properties,
                will=will,
                username=username,
                password=password,
            )
        )
        connack = self.expect(CONNACK)
        assert connack.code == 0, f"refused: {connack}"
        return connack

    def read(self) -> Received:
        """The next packet. AssertionError if none comes or the stream ended."""
        received = self.read_or_end()
        assert received is not None, "the server closed where a packet was expected"
        return received

    def expect(self, kind: int) -> Received:
        """The next packet, which must be of this type."""
        received = self.read()
        assert received.type == kind, f"expected {NAMES[kind]}, came {received}"
        return received

    def expect_closed(self, code: int | None = None) -> None:
        """End of stream; in 5.0 a DISCONNECT with this Reason Code (None: an error, whichever) may come first.

        Of a broker that says why (Quantum) it must come first.
        """
        received = self.read_or_end()
        if received is None:
            assert self.version < 5 or not self._says_why, "closed without DISCONNECT"
            return
        assert received.type == DISCONNECT, f"expected DISCONNECT or the end, came {received}"
        assert received.code == code or (code is None and received.code >= 0x80), f"expected {code}, came {received}"
        self.expect_end()

    def expect_refused(self, *codes: int) -> None:
        """End of stream in answer to a CONNECT; a CONNACK with one of these codes may come first.

        Without codes none may come: of what is no MQTT nothing is answered. Of a broker that says why it must.
        """
        received = self.read_or_end()
        if received is None:
            assert not codes or not self._says_why, "closed without CONNACK"
            return
        assert received.type == CONNACK, f"expected CONNACK or the end, came {received}"
        assert received.code in codes, f"expected one of {[hex(code) for code in codes]}, came {received}"
        assert not received.session_present, "Session Present beside an error [MQTT-3.2.2-6]"
        self.expect_end()

    def rest(self) -> bytes:
        """All bytes up to the end of the stream, undecoded."""
        out = self._buffer
        self._buffer = b""
        while True:
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise AssertionError(f"the stream did not end within {TIMEOUT_S} s") from None
            except ConnectionResetError:
                data = b""
            if not data:
                return out
            out += data

    def expect_silence(self) -> None:
        """Nothing is on its way: PINGRESP is the next packet.

        It only says so of what the broker had done before: let a publisher see its own PUBACK or PINGRESP first.
        """
        self.ping()

    def ping(self) -> None:
        """A PINGREQ, and its PINGRESP as the next packet: all that was sent before it has been read."""
        self.send(pingreq())
        self.expect(PINGRESP)

    def subscribe(self, *filters: tuple[str, int], packet_id: int = 1, properties: Sequence[Property] = ()) -> Received:
        """SUBSCRIBE, and its SUBACK as the next packet."""
        self.send(subscribe(self.version, packet_id, *filters, properties=properties))
        suback = self.expect(SUBACK)
        assert suback.packet_id == packet_id, f"SUBACK for another packet: {suback}"
        return suback

    def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int = 0,
        retain: bool = False,
        packet_id: int = 1,
        properties: Sequence[Property] = (),
    ) -> None:
        """PUBLISH and see it through: PUBACK, or PUBREC and PUBCOMP, or for QoS 0 a PINGRESP."""
        self.send(
            publish(self.version, topic, payload, qos=qos, retain=retain, packet_id=packet_id, properties=properties)
        )
        if qos == 0:
            self.ping()
        elif qos == 1:
            assert self.expect(PUBACK).packet_id == packet_id
        else:
            assert self.expect(PUBREC).packet_id == packet_id
            self.send(ack(self.version, PUBREL, packet_id))
            assert self.expect(PUBCOMP).packet_id == packet_id

    def disconnect(self, code: int = 0, properties: Sequence[Property] = ()) -> None:
        """DISCONNECT, and wait for the server to close."""
        self.send(disconnect(self.version, code, properties))
        self.expect_end()

    def expect_end(self) -> None:
        """The stream ends, without a packet before."""
        received = self.read_or_end()
        assert received is None, f"expected the end, came {received}"

    def read_or_end(self) -> Received | None:
        """The next packet, or None at the end of the stream."""
        first = self._take(1, at_end=True)
        if not first:
            return None
        size = place = 0
        while True:
            byte = self._take(1)[0]
            size |= (byte & 0x7F) << 7 * place
            place += 1
            if byte < 0x80:
                break
            assert place < 4, "a Remaining Length of five bytes"
        return decode(self.version, first[0] >> 4, first[0] & 0x0F, self._take(size))

    def _take(self, size: int, *, at_end: bool = False) -> bytes:
        while len(self._buffer) < size:
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                raise AssertionError(f"no packet within {TIMEOUT_S} s") from None
            except ConnectionResetError:
                data = b""
            if not data:
                assert at_end and not self._buffer, "the stream ended within a packet"
                return b""
            self._buffer += data
        out, self._buffer = self._buffer[:size], self._buffer[size:]
        return out
