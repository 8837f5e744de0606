"""Where a broker listens, as its user writes it: tcp://host:port, tls://host:port, ws://host:port/path, wss://…"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import click

PORTS: Final = {"tcp": 1883, "tls": 8883, "ws": 8084, "wss": 8085}
ALIASES: Final = {"mqtt": "tcp", "mqtts": "tls", "ssl": "tls"}


@dataclass(slots=True)
class Address:
    """One listener of a broker."""

    scheme: str  # tcp, tls, ws, wss
    host: str
    port: int
    path: str = "/mqtt"  # of a WebSocket

    @property
    def is_tls(self) -> bool:
        """Whether bytes are encrypted on the way."""
        return self.scheme in ("tls", "wss")

    @property
    def is_websocket(self) -> bool:
        """Whether MQTT rides in WebSocket frames."""
        return self.scheme in ("ws", "wss")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path if self.is_websocket else ''}"


def looks_like_address(word: str) -> bool:
    """Whether a word that stands where a topic is wanted begins as a listener does."""
    scheme, separator, _ = word.partition("://")
    return bool(separator) and ALIASES.get(scheme, scheme) in PORTS


def parse_address(text: str) -> Address:
    """Raises: click.UsageError."""
    try:
        parts = urlsplit(text if "://" in text else f"tcp://{text}")
        port = parts.port
    except ValueError as error:
        raise click.UsageError(f"--url {text}: {error}") from error
    scheme = ALIASES.get(parts.scheme, parts.scheme)
    if scheme not in PORTS:
        allowed = ", ".join(f"{name}://" for name in PORTS)
        raise click.UsageError(f"--url {text}: scheme {parts.scheme}, allowed {allowed}")
    if not parts.hostname:
        raise click.UsageError(f"--url {text}: no host, write {scheme}://HOST:PORT")
    return Address(scheme, parts.hostname, PORTS[scheme] if port is None else port, parts.path or "/mqtt")


def address_of(url: str | None, host: str, port: int | None, wants_tls: bool) -> Address:
    """The listener that the options --url, --host, --port and --tls name together. Raises: click.UsageError."""
    if url is not None:
        address = parse_address(url)
        if wants_tls and not address.is_tls:
            address.scheme = "wss" if address.is_websocket else "tls"
        return address
    scheme = "tls" if wants_tls else "tcp"
    return Address(scheme, host, PORTS[scheme] if port is None else port)
