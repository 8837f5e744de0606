"""A client that keeps its connection: opens it, waits on it, and opens it again after a pause when it is lost.

The rules of MQTT are in quantum.core.mqtt.client; here are the socket, the clock and the patience.
"""

import random
import select
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from quantum.cli.address import Address
from quantum.cli.backoff import Backoff
from quantum.cli.transport import Tls, Transport, TransportClosed, TransportRefused
from quantum.core.mqtt.client import ClientConnection, ClientSession
from quantum.core.mqtt.packets import V5, Connack, Disconnect, Packet, Publish, Will
from quantum.core.mqtt.properties import REASON_STRING, SESSION_EXPIRY_INTERVAL, USER_PROPERTY, Properties
from quantum.core.mqtt.reason_codes import reason_name

CONNECT_TIMEOUT_S: Final = 10.0
# Refusals that another try may not meet: unavailable, busy, shutting down, quota, rate. 3.x: server unavailable.
TRANSIENT_V5: Final = frozenset({0x88, 0x89, 0x8B, 0x97, 0x9F})
TRANSIENT_V3: Final = frozenset({3})
RETURN_CODES: Final = (
    "accepted",
    "unacceptable protocol version",
    "identifier rejected",
    "server unavailable",
    "bad user name or password",
    "not authorized",
)


class ConnectionLost(Exception):
    """The connection is gone, or was not let in for a reason that may pass."""


class ConnectionRefused(Exception):
    """Trying again cannot help."""


@dataclass(slots=True)
class Identity:
    """Who connects where, and what stays when the connection ends."""

    address: Address
    tls: Tls
    version: int
    client_id: str
    clean_start: bool
    session_expiry_s: int = 0
    keep_alive_s: int = 60
    username: str | None = None
    password: bytes | None = None
    will: Will | None = None
    user_properties: list[tuple[str, str]] = field(default_factory=list)


class BrokerConnection:
    """One session over as many sockets as it takes."""

    def __init__(self, identity: Identity, log: Callable[[str], None]) -> None:
        self.identity = identity
        self.session = ClientSession()
        self.mqtt = ClientConnection(identity.version, self.session)
        self.is_session_present = False
        self.forgotten: list[Publish] = []  # sent, without an answer, and the broker knows nothing of them any more
        self._log = log
        self._transport: Transport | None = None
        self._backoff = Backoff(random.Random())
        self._was_open = False
        self._early: list[Packet] = []  # came in one piece with CONNACK: what a resumed session was owed
        self._unanswered: list[Publish] = []  # when the connection was lost; a try that fails keeps them

    def open(self, patience_s: float) -> None:
        """Connect, trying again for `patience_s` (0: for ever). Raises: ConnectionRefused."""
        give_up = time.monotonic() + patience_s
        while True:
            try:
                self._open_once()
                self._backoff.reset()
                return
            except ConnectionLost as error:
                delay_ms = self._backoff.next_ms()
                if patience_s and time.monotonic() + delay_ms / 1000 >= give_up:
                    raise ConnectionRefused(f"{error}; gave up after {patience_s:g} s") from error
                self._log(f"{error}; next try in {delay_ms} ms")
                time.sleep(delay_ms / 1000)

    def poll(self, timeout_s: float, descriptor: int | None = None) -> tuple[list[Packet], bool]:
        """Send what is ready, wait until something comes, and return it, and whether `descriptor` can be read.

        Raises: ConnectionLost, ConnectionRefused.
        """
        transport = self._transport
        assert transport is not None
        if self._early:
            early, self._early = self._early, []
            return early, False
        try:
            self.mqtt.tick(_now_ms())
            self._send(transport)
            watched = [transport.fileno()] if descriptor is None else [transport.fileno(), descriptor]
            readable = select.select(watched, [], [], 0 if transport.has_pending() else timeout_s)[0]
            packets: list[Packet] = []
            if transport.has_pending() or transport.fileno() in readable:
                packets = self.mqtt.receive(transport.receive())
                while transport.has_pending():
                    packets += self.mqtt.receive(transport.receive())
            self._send(transport)
        except TransportRefused as error:
            self._drop()
            raise ConnectionRefused(str(error)) from error
        except TransportClosed as error:
            self._drop()
            raise ConnectionLost(str(error)) from error
        self._check(packets)
        return packets, descriptor is not None and descriptor in readable

    def close(self) -> None:
        """DISCONNECT and close; never raises."""
        transport = self._transport
        if transport is None:
            return
        try:
            if self.mqtt.is_connected:
                self.mqtt.disconnect()
            self._send(transport)
        except TransportClosed as error:
            self._log(str(error))
        self._drop()

    def cut(self) -> None:
        """Close the socket without DISCONNECT, so that the broker sends the will."""
        self._drop()

    def _open_once(self) -> None:
        identity = self.identity
        if self.session.published:
            self._unanswered = list(self.session.published.values())
        try:
            self._transport = Transport(identity.address, identity.tls, CONNECT_TIMEOUT_S)
        except TransportRefused as error:
            raise ConnectionRefused(str(error)) from error
        except TransportClosed as error:
            raise ConnectionLost(str(error)) from error
        self.mqtt = ClientConnection(identity.version, self.session)
        properties: Properties = {}
        if identity.version == V5:
            if identity.session_expiry_s:
                properties[SESSION_EXPIRY_INTERVAL] = identity.session_expiry_s
            if identity.user_properties:
                properties[USER_PROPERTY] = list(identity.user_properties)
        self.mqtt.connect(
            identity.client_id,
            # A clean start is wanted once: what the session holds after that is ours.
            clean_start=identity.clean_start and not (self._was_open and identity.session_expiry_s),
            keep_alive_s=identity.keep_alive_s,
            username=identity.username,
            password=identity.password,
            will=identity.will,
            properties=properties,
        )
        connack = self._await_connack()
        self.is_session_present = connack.session_present
        self._was_open = True
        if not connack.session_present:
            self.forgotten.extend(self._unanswered)
        self._unanswered = []

    def _await_connack(self) -> Connack:
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        while time.monotonic() < deadline:
            packets = self.poll(0.2)[0]
            for position, packet in enumerate(packets):
                if isinstance(packet, Connack):
                    self._check_connack(packet)
                    self._early = packets[position + 1 :]
                    return packet
        self._drop()
        raise ConnectionLost(f"{self.identity.address}: no CONNACK within {CONNECT_TIMEOUT_S:g} s")

    def _check_connack(self, connack: Connack) -> None:
        code = connack.reason_code
        if code == 0:
            return
        self._drop()
        if self.identity.version == V5:
            text, is_transient = reason_name(code), code in TRANSIENT_V5
        else:
            text = RETURN_CODES[code] if code < len(RETURN_CODES) else f"return code {code}"
            is_transient = code in TRANSIENT_V3
        text = f"{self.identity.address} refused the connection: {text}{explanation(connack.properties)}"
        if is_transient:
            raise ConnectionLost(text)
        raise ConnectionRefused(text)

    def _check(self, packets: list[Packet]) -> None:
        failure = self.mqtt.failure
        if failure is not None:
            self._drop()
            raise ConnectionRefused(f"the broker broke the protocol: {failure}")
        for packet in packets:
            if isinstance(packet, Disconnect):
                self._drop()
                text = f"the broker disconnected: {reason_name(packet.reason_code)}{explanation(packet.properties)}"
                if packet.reason_code in TRANSIENT_V5:
                    raise ConnectionLost(text)
                raise ConnectionRefused(text)
        if self.mqtt.is_silent(_now_ms()):
            self._drop()
            raise ConnectionLost("the broker does not answer PINGREQ")

    def _send(self, transport: Transport) -> None:
        data = self.mqtt.take_bytes()
        if data:
            transport.send(data)

    def _drop(self) -> None:
        self._early = []
        if self._transport is not None:
            self._transport.close()
            self._transport = None


def explanation(properties: Properties) -> str:
    """The Reason String as the end of a sentence, or nothing."""
    text = properties.get(REASON_STRING)
    return f" ({text})" if isinstance(text, str) else ""


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
