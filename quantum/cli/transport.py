"""A stream of bytes to a broker over a socket, TLS or WebSocket, read when there is something and never waited for.

The caller waits: `fileno` goes into select. What TLS or WebSocket keep inside is handed over by the same `receive`.
"""

import socket
import ssl
from dataclasses import dataclass
from typing import Final

import wsproto
from wsproto.connection import ConnectionType
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)

from quantum.cli.address import Address

RECEIVE_BYTES: Final = 65536


class TransportClosed(Exception):
    """The stream cannot be opened, or has ended; the text says how."""


class TransportRefused(TransportClosed):
    """Trying again cannot help: a certificate, a file of one, or what the other end speaks is wrong."""


@dataclass(slots=True)
class Tls:
    """Files in PEM that a TLS connection uses."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    is_insecure: bool = False  # do not verify the broker; for a first try with self-made certificates

    def context(self) -> ssl.SSLContext:
        """Raises: OSError, ssl.SSLError where a file cannot be used."""
        context = ssl.create_default_context(cafile=self.ca)
        if self.is_insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert:
            context.load_cert_chain(self.cert, self.key)
        return context


class Transport:
    """One open stream. Raises TransportClosed from every method once it has ended."""

    def __init__(self, address: Address, tls: Tls, timeout_s: float) -> None:
        self._tls_socket: ssl.SSLSocket | None = None
        self._websocket: wsproto.WSConnection | None = None
        self._is_accepted = False
        self._early = b""  # MQTT bytes that came with the answer to the WebSocket handshake
        try:
            self._socket: socket.socket = socket.create_connection((address.host, address.port), timeout_s)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            raise TransportClosed(f"cannot reach {address}: {error.strerror or error}") from error
        try:
            if address.is_tls:
                context = tls.context()
                context.set_alpn_protocols(["http/1.1"] if address.is_websocket else ["mqtt"])
                self._tls_socket = context.wrap_socket(self._socket, server_hostname=address.host)
                self._socket = self._tls_socket
            if address.is_websocket:
                self._upgrade(address)
        except (ssl.SSLEOFError, TimeoutError, ConnectionError) as error:
            self._socket.close()
            raise TransportClosed(f"{address}: handshake cut off: {error}") from error
        except OSError as error:  # ssl.SSLError is one, and so is a file that is not there
            self._socket.close()
            raise TransportRefused(f"{address}: TLS failed: {error}") from error
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """The descriptor to select on."""
        return self._socket.fileno()

    def has_pending(self) -> bool:
        """Whether `receive` has bytes although the descriptor is not readable."""
        return bool(self._early) or (self._tls_socket is not None and self._tls_socket.pending() > 0)

    def receive(self) -> bytes:
        """What has arrived, or b"" where nothing has."""
        if self._early:
            early, self._early = self._early, b""
            return early
        data = self._receive_raw()
        if self._websocket is None or not data:
            return data
        self._websocket.receive_data(data)
        return b"".join(self._payloads(self._websocket))

    def send(self, data: bytes) -> None:
        """Hand all bytes to the operating system; waits while its buffer is full."""
        if self._websocket is not None:
            data = self._websocket.send(BytesMessage(data))
        self._send_raw(data)

    def close(self) -> None:
        """End the stream; never raises."""
        if self._websocket is not None and self._is_accepted:
            try:
                self._send_raw(self._websocket.send(CloseConnection(code=1000)))
            except (TransportClosed, wsproto.utilities.LocalProtocolError):
                self._is_accepted = False
        self._socket.close()

    def _upgrade(self, address: Address) -> None:
        websocket = wsproto.WSConnection(ConnectionType.CLIENT)
        self._websocket = websocket
        host = f"{address.host}:{address.port}"
        self._send_raw(websocket.send(Request(host=host, target=address.path, subprotocols=["mqtt"])))
        early = []
        while not self._is_accepted:
            data = self._receive_raw()
            if data:
                websocket.receive_data(data)
                early.extend(self._payloads(websocket))
        self._early = b"".join(early)

    def _payloads(self, websocket: wsproto.WSConnection) -> list[bytes]:
        payloads = []
        for event in websocket.events():
            payloads.append(self._on_event(websocket, event))
        return payloads

    def _on_event(self, websocket: wsproto.WSConnection, event: Event) -> bytes:
        if isinstance(event, BytesMessage):
            return bytes(event.data)
        if isinstance(event, AcceptConnection):
            if event.subprotocol != "mqtt":
                raise TransportRefused(f"WebSocket subprotocol {event.subprotocol}, allowed mqtt")
            self._is_accepted = True
        elif isinstance(event, RejectConnection):
            raise TransportRefused(f"WebSocket handshake answered with HTTP {event.status_code}, expected 101")
        elif isinstance(event, CloseConnection):
            raise TransportClosed(f"the broker closed the WebSocket with code {event.code}")
        elif isinstance(event, Ping):
            self._send_raw(websocket.send(event.response()))
        elif isinstance(event, TextMessage):
            raise TransportClosed("a WebSocket text frame, allowed binary [MQTT-6.0.0-1]")
        return b""

    def _receive_raw(self) -> bytes:
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except (ssl.SSLEOFError, ConnectionError, TimeoutError) as error:
            raise TransportClosed(f"connection lost: {error}") from error
        except ssl.SSLError as error:  # TLS 1.3 refuses a client's certificate after the handshake
            raise TransportRefused(f"TLS failed: {error}") from error
        except OSError as error:
            raise TransportClosed(f"connection lost: {error}") from error
        if not data:
            raise TransportClosed("the broker closed the connection")
        return data

    def _send_raw(self, data: bytes) -> None:
        is_blocking = self._socket.gettimeout() != 0
        try:
            if not is_blocking:
                self._socket.settimeout(30)
            self._socket.sendall(data)
        except OSError as error:
            raise TransportClosed(f"connection lost: {error}") from error
        finally:
            if not is_blocking and self._socket.fileno() >= 0:
                self._socket.setblocking(False)
