"""Listeners: which URL becomes which chain of transport and layers, and what may be bound at all.

What is not protected by TLS and proof of who clients are is served to this machine only; the refusal names the fix.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, final
from urllib.parse import urlsplit

from quantum.core.node.inputs import TCP, TLS, WS, WSS
from quantum.io.connections import Handshakes, Layer, LayeredConnection, PlainConnection
from quantum.io.reactor import Reactor
from quantum.io.tls import TlsContexts, TlsLayer

BACKLOG: Final = 4096  # a fleet that reconnects at once waits in the kernel, not for a retransmitted SYN
SCHEMES: Final = (TCP, TLS, WS, WSS)


class ListenerError(Exception):
    """A listener that cannot be; the text is one line and names the fix."""


@final
@dataclass(slots=True)
class ListenerUrl:
    """`SCHEME://HOST:PORT`, taken apart."""

    scheme: str
    host: str
    port: int  # 0 lets the system choose

    @property
    def is_secure(self) -> bool:
        return self.scheme in (TLS, WSS)

    @property
    def text(self) -> str:
        return f"{self.scheme}://{address_text(self.host, self.port)}"


def address_text(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_url(text: str) -> ListenerUrl:
    """Raises: ListenerError."""
    allowed = f"listener {text!r}, allowed tcp://, tls://, ws:// or wss:// with HOST:PORT, such as tcp://127.0.0.1:1883"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ListenerError(allowed) from None
    if parts.scheme not in SCHEMES or not host or port is None or parts.path not in ("", "/") or parts.query:
        raise ListenerError(allowed)
    if parts.username is not None or parts.fragment:
        raise ListenerError(allowed)
    return ListenerUrl(parts.scheme, host, port)


def parse_address(text: str) -> tuple[str, int]:
    """`HOST:PORT` or `[HOST]:PORT`. Raises: ListenerError."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or "/" in text or "@" in text:
        raise ListenerError(f"address {text!r}, allowed HOST:PORT, such as 127.0.0.1:9090")
    return host, port


def is_loopback(host: str) -> bool:
    """Only this machine can reach it. A name other than `localhost` is not believed."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_exposure(url: ListenerUrl, *, has_own_certificate: bool, has_client_ca: bool, has_users: bool) -> None:
    """Refuse to serve strangers without proof of who they are (FAIL CLOSED): client certificates, or users and nobody
    else. Raises: ListenerError."""
    if is_loopback(url.host):
        return
    if not url.is_secure:
        secure = {TCP: TLS, WS: WSS}[url.scheme]
        raise ListenerError(
            f"{url.text} would serve other machines without TLS; use {secure}://{address_text(url.host, url.port)} "
            "with tls.cert, tls.key and tls.client_ca, or bind 127.0.0.1"
        )
    if not has_own_certificate or not (has_client_ca or has_users):
        raise ListenerError(
            f"{url.text} would serve other machines without knowing who they are; set tls.cert, tls.key and "
            "tls.client_ca for client certificates, or auth.users_file and mqtt.allow_anonymous=false in place of "
            "the last, or bind 127.0.0.1"
        )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. Raises: ListenerError."""
    address = address_text(host, port)
    try:
        family, kind, protocol, _, name = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ListenerError(f"{address} cannot be looked up: {error.strerror}") from None
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        # Inherited by every accepted connection: small packets leave at once, and the accept path sets nothing.
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound.bind(name)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise ListenerError(f"{address} cannot be bound: {error.strerror}") from None
    return bound


def bound_address(bound: socket.socket) -> str:
    """`HOST:PORT` as the system gave it."""
    name = bound.getsockname()
    return address_text(name[0], name[1])


@final
class Listener:
    """One open port that turns connections into inputs."""

    __slots__ = ("_bound", "_server", "address", "url")

    def __init__(self, url: ListenerUrl) -> None:
        """Bind. Raises: ListenerError."""
        self._bound = bind(url.host, url.port)
        self._server: asyncio.Server | None = None
        self.address = bound_address(self._bound)
        self.url = url

    async def open(self, reactor: Reactor, handshakes: Handshakes, contexts: TlsContexts | None) -> None:
        """Start to accept."""
        loop = asyncio.get_running_loop()
        factory = self._factory(reactor, handshakes, contexts)
        self._server = await loop.create_server(factory, sock=self._bound, backlog=BACKLOG)

    def close(self) -> None:
        """Accept no more; connections that stand are not touched."""
        if self._server is not None:
            self._server.close()
        self._bound.close()

    def _factory(
        self, reactor: Reactor, handshakes: Handshakes, contexts: TlsContexts | None
    ) -> Callable[[], asyncio.BaseProtocol]:
        scheme, name = self.url.scheme, f"{self.url.scheme}://{self.address}"
        if scheme == TCP:
            return lambda: PlainConnection(reactor, name)
        chain = _layers_of(scheme, contexts)
        return lambda: LayeredConnection(reactor, handshakes, name, scheme, chain())


def _layers_of(scheme: str, contexts: TlsContexts | None) -> Callable[[], tuple[Layer, ...]]:
    if scheme == TLS:
        assert contexts is not None
        tls = contexts
        return lambda: (TlsLayer(tls),)
    from quantum.io.websocket import WebSocketLayer  # wsproto and h11 are loaded where they are used

    if scheme == WS:
        return lambda: (WebSocketLayer(),)
    assert contexts is not None
    outer = contexts
    return lambda: (TlsLayer(outer), WebSocketLayer())
