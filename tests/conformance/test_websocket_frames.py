"""Goal: MQTT over WebSocket (chapter 6) is the same stream of packets; method: upgrades and frames by hand, cut anywhere,
right and wrong.
"""

import base64
import hashlib
import socket
from collections.abc import Iterator
from typing import Self

import pytest

from tests.conformance import raw
from tests.conformance.broker_process import BrokerProcess
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import message, opened
from tests.conformance.raw import Received, Will
from tests.conformance.statements import statement

# RFC 6455 §5.2, §1.3
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FINAL = 0x80
KEY = base64.b64encode(b"sixteen bytes of").decode()
ACCEPT = base64.b64encode(hashlib.sha1(KEY.encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
MASK = b"\x11\x22\x33\x44"


def frame(opcode: int, payload: bytes, *, first: int = FINAL, masked: bool = True) -> bytes:
    """A frame from a client. `first` holds FIN and the reserved bits."""
    size = len(payload)
    bit = 0x80 if masked else 0
    if size < 126:
        head = bytes((first | opcode, bit | size))
    elif size < 65536:
        head = bytes((first | opcode, bit | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((first | opcode, bit | 127)) + size.to_bytes(8, "big")
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


class WebSocket:
    """One WebSocket connection, driven frame by frame."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=raw.TIMEOUT_S)
        self._bytes = b""  # as they came
        self._stream = b""  # of MQTT
        self.pongs: list[bytes] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # what is read next tells

    def upgrade(self, *, path: str = "/mqtt", subprotocol: str | None = "mqtt", version: str = "13") -> str:
        """Ask for the upgrade; the head of the answer."""
        lines = [f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {KEY}", f"Sec-WebSocket-Version: {version}"]
        if subprotocol is not None:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        self.send("\r\n".join([*lines, "", ""]).encode())
        return self.head()

    def head(self) -> str:
        """The head of an HTTP answer."""
        while b"\r\n\r\n" not in self._bytes:
            self._more()
        head, self._bytes = self._bytes.split(b"\r\n\r\n", 1)
        return head.decode()

    def packets(self, *packets: bytes) -> None:
        """Send packets, each in a binary frame of its own."""
        for packet in packets:
            self.send(frame(BINARY, packet))

    def expect(self, kind: int, version: int) -> Received:
        """The next packet, which must be of this type."""
        packet = self.read(version)
        assert kind == packet.type, f"expected {raw.NAMES[kind]}, came {packet}"
        return packet

    def read(self, version: int) -> Received:
        """The next packet, wherever the frames end that hold it."""
        while (packet := self._packet(version)) is None:
            opcode, payload = self.frame()
            if opcode == PONG:
                self.pongs.append(payload)
                continue
            assert opcode in (BINARY, CONTINUATION), f"frame {opcode} {payload!r}"
            self._stream += payload
        return packet

    def frame(self) -> tuple[int, bytes]:
        """The next frame from the server: its opcode and payload. Servers do not mask."""
        head = self._take(2)
        assert 0 == head[0] & 0x70, "reserved bits"
        assert head[1] < 0x80, "a masked frame from a server"
        size = head[1]
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return head[0] & 15, self._take(size)

    def expect_closed(self) -> int:
        """What the server says when it closes: the status of its Close frame, or 0 without one. Packets may come first."""
        status = 0
        while True:
            try:
                opcode, payload = self.frame()
            except EOFError:
                return status
            if opcode == CLOSE:
                status = int.from_bytes(payload[:2], "big")

    def _packet(self, version: int) -> Received | None:
        size = place = 0
        for at, byte in enumerate(self._stream[1:5], 2):
            size |= (byte & 0x7F) << place
            place += 7
            if byte < 0x80:
                if len(self._stream) < at + size:
                    return None
                first, body = self._stream[0], self._stream[at : at + size]
                self._stream = self._stream[at + size :]
                return raw.decode(version, first >> 4, first & 15, body)
        return None

    def _take(self, size: int) -> bytes:
        while len(self._bytes) < size:
            self._more()
        out, self._bytes = self._bytes[:size], self._bytes[size:]
        return out

    def _more(self) -> None:
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise AssertionError(f"nothing within {raw.TIMEOUT_S} s") from None
        except ConnectionResetError:
            data = b""
        if not data:
            raise EOFError
        self._bytes += data


@pytest.fixture
def websocket(broker: BrokerProcess) -> Iterator[WebSocket]:
    """A connection that has not asked for the upgrade yet."""
    with WebSocket(broker.ports["ws"]) as connection:
        yield connection


def open_session(websocket: WebSocket, version: int, client_id: str, *, will: Will | None = None) -> None:
    """Upgrade, CONNECT, CONNACK."""
    assert websocket.upgrade().startswith("HTTP/1.1 101 ")
    websocket.packets(raw.connect(version, client_id, will=will))
    assert 0 == websocket.expect(raw.CONNACK, version).code


# -- the upgrade ------------------------------------------------------------------------------------------------------


@statement("MQTT-6.0.0-3", "MQTT-6.0.0-4", "311:MQTT-6.0.0-3", "311:MQTT-6.0.0-4")
@pytest.mark.parametrize("offered", ["mqtt", "chat, mqtt", "mqtt,chat", "mqttv3.1, mqtt", "mqtt, mqttv3.1"])
def test_the_subprotocol_is_mqtt(websocket: WebSocket, offered: str) -> None:
    head = websocket.upgrade(subprotocol=offered)
    fields = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head.split("\r\n")[1:]}
    assert head.startswith("HTTP/1.1 101 ")
    assert "mqtt" == fields["sec-websocket-protocol"]
    assert ACCEPT == fields["sec-websocket-accept"]


@statement("MQTT-6.0.0-3", "311:MQTT-6.0.0-3")
@pytest.mark.parametrize("offered", [None, "chat", "mqttx", "MQTT"])
def test_an_upgrade_without_the_subprotocol_is_refused(websocket: WebSocket, offered: str | None) -> None:
    assert websocket.upgrade(subprotocol=offered).startswith("HTTP/1.1 400 ")


@statement("MQTT-6.0.0-3", "311:MQTT-6.0.0-3")
@pytest.mark.parametrize(
    "request_head, status",
    [
        ("GET /other HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", "404"),
        ("GET /mqtt HTTP/1.1\r\nHost: a\r\n", "400"),
        ("POST /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", "400"),
        ("GET /mqtt HTTP/1.0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n", "400"),
        ("GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n", "400"),
    ],
    ids=["path", "no-upgrade", "post", "http-1.0", "h2c"],
)
def test_what_is_no_upgrade_is_answered_in_http(
    websocket: WebSocket, bystander: Bystander, request_head: str, status: str
) -> None:
    rest = f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
    websocket.send((request_head + rest).encode())
    assert status == websocket.head().split(" ")[1]


def test_another_version_of_websocket_is_told_the_right_one(websocket: WebSocket) -> None:
    """RFC 6455 §4.4."""
    head = websocket.upgrade(version="8")
    assert head.startswith("HTTP/1.1 426 ")
    assert "sec-websocket-version: 13" in head.lower()


def test_mqtt_on_the_websocket_port_closes(websocket: WebSocket, bystander: Bystander) -> None:
    websocket.send(raw.connect(5, "lost") + raw.pingreq() * 40)
    with pytest.raises(EOFError):
        while True:
            websocket.head()


# -- packets in frames ------------------------------------------------------------------------------------------------


@statement("MQTT-6.0.0-2", "311:MQTT-6.0.0-2")
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_packets_may_be_cut_into_frames_anywhere(
    websocket: WebSocket, target: Target, version: int, name: str, size: int
) -> None:
    """CONNECT included, with an empty frame between any two."""
    payload = b"x" * 500
    stream = (
        raw.connect(version, name)
        + raw.subscribe(version, 1, (f"{name}/t", 1))
        + raw.publish(version, f"{name}/t", payload, qos=1, packet_id=2)
        + raw.pingreq()
    )
    assert websocket.upgrade().startswith("HTTP/1.1 101 ")
    for at in range(0, len(stream), size):
        websocket.send(frame(BINARY, stream[at : at + size]) + frame(BINARY, b""))
    assert 0 == websocket.expect(raw.CONNACK, version).code
    came = {packet.type: packet for packet in (websocket.read(version) for _ in range(4))}
    assert {raw.SUBACK, raw.PUBACK, raw.PUBLISH, raw.PINGRESP} == set(came)
    assert payload == came[raw.PUBLISH].payload


@statement("MQTT-6.0.0-2", "311:MQTT-6.0.0-2")
def test_a_frame_may_hold_many_packets(websocket: WebSocket, target: Target, version: int, name: str) -> None:
    open_session(websocket, version, name)
    publications = [raw.publish(version, f"{name}/t", b"x", qos=1, packet_id=n) for n in range(1, 101)]
    websocket.send(frame(BINARY, b"".join(publications)))
    assert list(range(1, 101)) == [websocket.expect(raw.PUBACK, version).packet_id for _ in range(100)]


@statement("MQTT-6.0.0-2", "311:MQTT-6.0.0-2")
def test_a_fragmented_message_with_a_ping_inside_is_one_stream(
    websocket: WebSocket, target: Target, version: int, name: str
) -> None:
    open_session(websocket, version, name)
    packet = raw.publish(version, f"{name}/t", b"x" * 300, qos=1, packet_id=9)
    websocket.send(frame(BINARY, packet[:1], first=0))
    websocket.send(frame(PING, b"alive?"))
    websocket.send(frame(CONTINUATION, packet[1:100], first=0) + frame(CONTINUATION, b"", first=0))
    websocket.send(frame(CONTINUATION, packet[100:]))
    assert 9 == websocket.expect(raw.PUBACK, version).packet_id
    assert [b"alive?"] == websocket.pongs


@statement("MQTT-6.0.0-2", "311:MQTT-6.0.0-2")
@pytest.mark.parametrize("size", [125, 126, 65_535, 65_536, 200_000])
def test_frames_of_each_length_hold_packets(
    websocket: WebSocket, target: Target, version: int, name: str, size: int
) -> None:
    open_session(websocket, version, name)
    websocket.packets(raw.subscribe(version, 1, (f"{name}/t", 0)))
    websocket.expect(raw.SUBACK, version)
    with opened(target, version, f"{name}-p") as publisher:
        websocket.packets(raw.publish(version, f"{name}/t", bytes(size)))
        assert bytes(size) == websocket.expect(raw.PUBLISH, version).payload
        publisher.publish(f"{name}/t", bytes(size), qos=1)
        assert bytes(size) == websocket.expect(raw.PUBLISH, version).payload


@statement("MQTT-6.0.0-2", "MQTT-4.13.1-1", "311:MQTT-6.0.0-2")
def test_a_frame_of_a_terabyte_is_read_as_it_comes_and_no_further_than_a_packet_may_go(
    websocket: WebSocket, target: Target, name: str, bystander: Bystander
) -> None:
    """Its packets are answered though it has no end, until one is larger than the server takes."""
    assert websocket.upgrade().startswith("HTTP/1.1 101 ")
    head = bytes((FINAL | BINARY, 0xFF)) + (1 << 40).to_bytes(8, "big") + MASK
    stream = raw.connect(5, name) + raw.publish(5, f"{name}/t", b"x", qos=1, packet_id=3)
    websocket.send(head + _masked(stream, 0))
    connack = websocket.expect(raw.CONNACK, 5)
    assert 3 == websocket.expect(raw.PUBACK, 5).packet_id
    maximum = connack.value(raw.MAXIMUM_PACKET_SIZE)
    assert isinstance(maximum, int)
    websocket.send(_masked(b"\x30" + raw.varint(maximum), len(stream)))
    assert 0x95 == websocket.expect(raw.DISCONNECT, 5).code
    assert websocket.expect_closed() in (0, 1000)


def _masked(data: bytes, at: int) -> bytes:
    """Bytes of a frame from its byte `at` on."""
    return bytes(byte ^ MASK[(at + number) % 4] for number, byte in enumerate(data))


# -- what is wrong ----------------------------------------------------------------------------------------------------


@statement("MQTT-6.0.0-1", "311:MQTT-6.0.0-1")
@pytest.mark.parametrize("when", ["before-connect", "behind-connect"])
def test_a_text_frame_closes(
    websocket: WebSocket, target: Target, version: int, name: str, when: str, bystander: Bystander
) -> None:
    will = Will(f"{name}/ws/will", b"will", qos=1)
    with opened(target, version, f"{name}-w") as witness:
        witness.subscribe((f"{name}/ws/#", 0))
        if when == "before-connect":
            websocket.upgrade()
            websocket.send(frame(TEXT, raw.connect(version, "text")))
        else:
            open_session(websocket, version, name, will=will)
            websocket.send(frame(TEXT, raw.publish(version, f"{name}/ws/t", b"x")))
        assert 1003 == websocket.expect_closed()
        if when == "behind-connect":
            assert b"will" == message(witness).payload
        witness.expect_silence()


@statement("MQTT-6.0.0-1", "311:MQTT-6.0.0-1")
@pytest.mark.parametrize(
    "data, status",
    [
        (frame(BINARY, b"\xc0\0", masked=False), 1002),
        (frame(BINARY, b"\xc0\0", first=FINAL | 0x40), 1002),
        (frame(0x3, b""), 1002),
        (frame(0xB, b""), 1002),
        (frame(CONTINUATION, b"\xc0\0"), 1002),
        (frame(BINARY, b"\xc0", first=0) + frame(BINARY, b"\0"), 1002),
        (frame(PING, b"", first=0), 1002),
        (frame(PING, bytes(126)), 1002),
        (bytes((FINAL | BINARY, 0xFF)) + b"\xff" * 8 + MASK, 1002),
        (frame(CLOSE, b"\x03"), 1002),
    ],
    ids="unmasked reserved-bit opcode-3 opcode-b continuation interleaved cut-ping long-ping length close-1".split(),
)
def test_a_frame_that_is_wrong_closes(
    websocket: WebSocket, target: Target, name: str, data: bytes, status: int, bystander: Bystander
) -> None:
    will = Will(f"{name}/will", b"will", qos=1)
    with opened(target, 5, f"{name}-w") as witness:
        witness.subscribe((f"{name}/will", 0))
        open_session(websocket, 5, name, will=will)
        websocket.send(data)
        assert websocket.expect_closed() in (0, status)
        assert b"will" == message(witness).payload


@statement("MQTT-4.13.1-1", "MQTT-6.0.0-2", "311:MQTT-4.8.0-1")
def test_a_packet_that_is_wrong_closes_the_websocket_too(
    websocket: WebSocket, target: Target, version: int, name: str, bystander: Bystander
) -> None:
    open_session(websocket, version, name)
    websocket.packets(b"\0\0")
    if version == 5:
        assert 0x81 == websocket.expect(raw.DISCONNECT, version).code
    assert websocket.expect_closed() in (0, 1000)


@statement("MQTT-3.14.4-3", "MQTT-3.1.2-8", "311:MQTT-3.14.4-3", "311:MQTT-3.1.2-8")
@pytest.mark.parametrize("is_polite", [True, False], ids=["disconnect", "close-frame"])
def test_a_close_frame_is_no_disconnect(
    websocket: WebSocket, target: Target, version: int, name: str, is_polite: bool
) -> None:
    """The end of the WebSocket is the end of the Network Connection: without DISCONNECT the will goes."""
    will = Will(f"{name}/will", b"will", qos=1)
    with opened(target, version, f"{name}-w") as witness:
        witness.subscribe((f"{name}/will", 0))
        open_session(websocket, version, name, will=will)
        if is_polite:
            websocket.packets(raw.disconnect(version))
            assert websocket.expect_closed() in (0, 1000)
        else:
            websocket.send(frame(CLOSE, (1000).to_bytes(2, "big")))
            assert 1000 == websocket.expect_closed()
            assert b"will" == message(witness).payload
        with opened(target, version, name):
            witness.expect_silence()
