"""MQTT over WebSocket as a layer without a socket: the upgrade on h11, the frames by wsproto.

Packets and frames have nothing to do with each other: a packet may span frames and a frame may hold several packets
[MQTT-6.0.0-2], so the frames' payloads are one byte stream.
"""

from binascii import a2b_base64
from typing import Final, final

from wsproto import ConnectionType
from wsproto.connection import Connection, ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.handshake import H11Handshake
from wsproto.utilities import ProtocolError, RemoteProtocolError

from quantum.core.node.inputs import Accepted
from quantum.io.connections import LayerError

PATHS: Final = ("/mqtt", "/")
SUBPROTOCOLS: Final = ("mqtt", "mqttv3.1")  # [MQTT-6.0.0-3]; the second is what v3.1 clients offer
KEY_BYTES: Final = 16  # RFC 6455 §4.1, point 7
CLOSE_NORMAL: Final = 1000  # RFC 6455 §7.4.1
CLOSE_UNSUPPORTED_DATA: Final = 1003
STEP_FRAMES_MAX: Final = 256  # about 2 ms; a buffer full of empty frames would take a hundred times as long


@final
class WebSocketLayer:
    """The server's side of one WebSocket connection."""

    __slots__ = ("_frames", "_handshake", "_pong", "_replies", "has_more", "is_ended", "is_open")

    def __init__(self) -> None:
        self._handshake: H11Handshake | None = H11Handshake(ConnectionType.SERVER)  # dropped when it is done
        self._frames: Connection | None = None
        self._replies = b""
        self._pong = b""  # answers the last ping, and with it all before. RFC 6455 §5.5.3
        self.has_more = False
        self.is_open = False
        self.is_ended = False

    def receive(self, data: bytes) -> bytes:
        if self.is_ended:
            return b""
        if self._handshake is not None:
            return self._receive_upgrade(self._handshake, data) if data else b""
        assert self._frames is not None
        self._frames.receive_data(data)
        return self._read(self._frames)

    def take_replies(self) -> bytes:
        replies = self._replies + self._pong
        self._replies = self._pong = b""
        return replies

    def send(self, data: bytes) -> bytes:
        if self._frames is None or self._frames.state is not ConnectionState.OPEN:
            return b""  # the peer has closed; what is for it goes nowhere
        return self._frames.send(BytesMessage(data))

    def close(self) -> bytes:
        if self._frames is None or self._frames.state is not ConnectionState.OPEN:
            return b""
        return self._frames.send(CloseConnection(CLOSE_NORMAL))

    def describe(self, accepted: Accepted) -> None:
        """The upgrade shows nothing that the node asks for."""

    def _receive_upgrade(self, handshake: H11Handshake, data: bytes) -> bytes:
        try:
            handshake.receive_data(data)
            request = next(handshake.events(), None)
        except RemoteProtocolError as error:
            hint = error.event_hint if isinstance(error.event_hint, RejectConnection) else RejectConnection()
            raise self._reject(handshake, hint, str(error)) from None
        except (ValueError, UnicodeError):
            raise LayerError("WebSocket: an upgrade that cannot be read") from None
        if request is None:
            return b""
        assert isinstance(request, Request)
        if request.target.partition("?")[0] not in PATHS:
            text = f"path {request.target[:64]!r}, allowed {' and '.join(PATHS)}"
            raise self._reject(handshake, RejectConnection(status_code=404), text)
        if not _is_key(dict(request.extra_headers).get(b"sec-websocket-key", b"")):
            text = "a Sec-WebSocket-Key that is not 16 bytes in base64, RFC 6455 §4.2.1"
            raise self._reject(handshake, RejectConnection(status_code=400), text)
        subprotocol = next((name for name in SUBPROTOCOLS if name in request.subprotocols), None)
        if subprotocol is None:
            text = "no Sec-WebSocket-Protocol of mqtt [MQTT-6.0.0-3]"
            raise self._reject(handshake, RejectConnection(status_code=400), text)
        self._replies += handshake.send(AcceptConnection(subprotocol=subprotocol))
        self._frames = handshake.connection
        self._handshake = None
        self.is_open = True
        assert self._frames is not None
        # A client must wait for the answer (RFC 6455 §4.1). What one sends without waiting may come in one piece with
        # its upgrade, and wsproto leaves that behind in h11.
        self._frames.receive_data(handshake._h11_connection.trailing_data[0])
        return self._read(self._frames)

    def _reject(self, handshake: H11Handshake, rejection: RejectConnection, text: str) -> LayerError:
        """Answer the upgrade in HTTP and say what was wrong with it."""
        body = f"{text}\n".encode()
        headers = [(b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(body)), (b"Connection", b"close")]
        try:
            self._replies += handshake.send(
                RejectConnection(
                    status_code=rejection.status_code, headers=[*rejection.headers, *headers], has_body=True
                )
            )
            self._replies += handshake.send(RejectData(body, body_finished=True))
        except (ProtocolError, ValueError):
            # The request was so broken that h11 will not frame an answer to it.
            self._replies = b"HTTP/1.1 400 \r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self.is_ended = True
        return LayerError(f"WebSocket: {text}")

    def _read(self, frames: Connection) -> bytes:
        pieces: list[bytes] = []
        self.has_more = False
        for number, event in enumerate(frames.events(), 1):
            if isinstance(event, BytesMessage):
                pieces.append(bytes(event.data))
            elif isinstance(event, Ping):
                self._pong = frames.send(event.response())
            elif isinstance(event, TextMessage):  # [MQTT-6.0.0-1]
                self._end(frames.send(CloseConnection(CLOSE_UNSUPPORTED_DATA, "MQTT is binary [MQTT-6.0.0-1]")))
                break
            elif isinstance(event, CloseConnection):
                if frames.state is ConnectionState.REMOTE_CLOSING:
                    self._end(frames.send(event.response()))
                elif frames.state is ConnectionState.OPEN:
                    self._end(frames.send(CloseConnection(event.code)))  # wsproto could not parse the frames
                self.is_ended = True
                break
            if number == STEP_FRAMES_MAX:
                self.has_more = True
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _end(self, farewell: bytes) -> None:
        self._replies += self._pong + farewell
        self._pong = b""
        self.is_ended = True


def _is_key(text: bytes) -> bool:
    try:
        return len(a2b_base64(text, strict_mode=True)) == KEY_BYTES
    except ValueError:
        return False
