"""Accepted stream connections: an event-loop transport on one side, the reactor's inputs and outputs on the other.

All connections read into one shared buffer, because `buffer_updated` runs to its end before the next read. A plain
connection hands bytes on as they are; a layered one passes them through sans-IO layers (TLS, WebSocket) first.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, cast, final

from quantum.core.node.inputs import Accepted
from quantum.io.reactor import Reactor

RECEIVE_BYTES: Final = 256 * 1024
WRITE_HIGH_BYTES: Final = 128 * 1024  # a transport that holds more is blocked; the kernel's buffer comes before it
WRITE_LOW_BYTES: Final = 32 * 1024
LINGER_S: Final = 2.0  # for a peer to read our last bytes and close
# Of one loop pass: neither a storm of handshakes nor a flood of frames may starve who is connected.
HANDSHAKE_SLICE_NS: Final = 4_000_000
HANDSHAKE_BYTES_MAX: Final = 64 * 1024

_RECEIVE_BUFFER: Final = memoryview(bytearray(RECEIVE_BYTES))


class LayerError(Exception):
    """The peer did not keep to the layer's protocol, or did not prove who it is. The text says how."""


class Layer(Protocol):
    """One protocol between the transport and MQTT: bytes in, bytes out, no socket."""

    is_open: bool  # its handshake is done
    is_ended: bool  # the peer has said that nothing more will come
    has_more: bool  # it left some of what it received for later: `receive(b"")` goes on with it

    def receive(self, data: bytes) -> bytes:
        """Bytes for the layer above. Raises: LayerError."""
        ...

    def take_replies(self) -> bytes:
        """Bytes this layer itself wants sent: handshakes, alerts, pongs."""
        ...

    def send(self, data: bytes) -> bytes:
        """`data` of the layer above, as this layer sends it."""
        ...

    def close(self) -> bytes:
        """The layer's farewell."""
        ...

    def describe(self, accepted: Accepted) -> None:
        """Add what the handshake has shown."""
        ...


def peer_text(transport: asyncio.BaseTransport) -> str:
    """`HOST:PORT` of the other side, `[HOST]:PORT` for IPv6, "" when it is gone already."""
    name = transport.get_extra_info("peername")
    if not name:
        return ""
    return f"[{name[0]}]:{name[1]}" if ":" in name[0] else f"{name[0]}:{name[1]}"


class StreamConnection(asyncio.BufferedProtocol):
    """What plain and layered connections share: the transport's callbacks and the ways to end."""

    __slots__ = ("_is_closing", "_linger", "_reactor", "_transport", "conn_id")

    _transport: asyncio.Transport

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._linger: asyncio.TimerHandle | None = None
        self._is_closing = False
        self.conn_id = 0

    def get_buffer(self, sizehint: int) -> Any:
        return _RECEIVE_BUFFER

    def pause_writing(self) -> None:
        self._reactor.on_blocked(self.conn_id)

    def resume_writing(self) -> None:
        self._reactor.on_unblocked(self.conn_id)

    def pause_reading(self) -> None:
        if not self._is_closing:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        if not self._is_closing:
            self._transport.resume_reading()

    def abort(self) -> None:
        self._transport.abort()

    def close(self, with_farewell: bool) -> None:
        """End the connection after what was written.

        A socket that is closed with bytes unread resets the peer, which may then lose our last packet: it is half-closed
        instead, and what still comes is thrown away until the peer has closed too, or `LINGER_S` is over.
        """
        if self._is_closing:
            return
        self._is_closing = True
        transport = self._transport
        if transport.is_closing():
            return
        if with_farewell and transport.can_write_eof():
            transport.write_eof()
            transport.resume_reading()
        else:
            transport.close()
        self._linger = asyncio.get_running_loop().call_later(LINGER_S, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._is_closing = True
        self._on_lost("" if exc is None else str(exc))

    def _set_transport(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_BYTES, low=WRITE_LOW_BYTES)

    def _on_lost(self, text: str) -> None:
        self._reactor.on_closed(self.conn_id, text or "closed")


@final
class PlainConnection(StreamConnection):
    """MQTT straight on the transport."""

    __slots__ = ("_listener",)

    def __init__(self, reactor: Reactor, listener: str) -> None:
        super().__init__(reactor)
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._set_transport(transport)
        reactor = self._reactor
        self.conn_id = reactor.take_conn_id()
        reactor.on_accepted(self, Accepted(self.conn_id, self._listener, "tcp", peer_text(transport)))

    def buffer_updated(self, nbytes: int) -> None:
        if not self._is_closing:
            self._reactor.on_received(self.conn_id, bytes(_RECEIVE_BUFFER[:nbytes]))

    def write(self, data: bytes) -> None:
        self._transport.write(data)


@final
class Handshakes:
    """Connections whose handshakes are under way, and how many there may be. They, and those that left some of what came for
    later, get a few milliseconds of work per loop pass."""

    __slots__ = ("_count_max", "_is_scheduled", "_loop", "_ready", "_timeout_s", "count", "on_failed")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        count_max: int,
        timeout_ms: int,
        on_failed: Callable[[str, str, str], None],
    ) -> None:
        self._loop = loop
        self._count_max = count_max
        self._timeout_s = timeout_ms / 1000
        self._ready: deque[LayeredConnection] = deque()
        self._is_scheduled = False
        self.count = 0
        self.on_failed = on_failed  # told (listener, peer, text)

    def begin(self, connection: "LayeredConnection") -> asyncio.TimerHandle | None:
        """Let a handshake start; the timer that limits it, or None when too many are under way."""
        if self.count >= self._count_max:
            return None
        self.count += 1
        return self._loop.call_later(self._timeout_s, connection.on_handshake_timeout)

    def put(self, connection: "LayeredConnection") -> None:
        """`connection` has bytes to work through."""
        self._ready.append(connection)
        if not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._run)

    def _run(self) -> None:
        stop_ns = time.monotonic_ns() + HANDSHAKE_SLICE_NS
        while self._ready:
            self._ready.popleft().step()
            if time.monotonic_ns() >= stop_ns:
                break
        self._is_scheduled = len(self._ready) > 0
        if self._is_scheduled:
            self._loop.call_soon(self._run)


@final
class LayeredConnection(StreamConnection):
    """MQTT inside one or more layers, the outermost first. The node hears of it when all layers are open."""

    __slots__ = (
        "_failure",
        "_handshake_size",
        "_handshakes",
        "_held",
        "_is_behind",
        "_is_blocked",
        "_is_paused",
        "_layers",
        "_listener",
        "_name",
        "_timer",
    )

    def __init__(
        self, reactor: Reactor, handshakes: Handshakes, listener: str, name: str, layers: tuple[Layer, ...]
    ) -> None:
        super().__init__(reactor)
        self._handshakes = handshakes
        self._listener = listener
        self._name = name  # "tls", "ws" or "wss"
        self._layers = layers
        self._held = b""  # received, waiting for their turn in the queue of handshakes
        self._handshake_size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._failure = ""
        self._is_behind = False  # a layer has more: nothing is read until that is worked through
        self._is_blocked = False  # the transport holds enough that the peer has not taken
        self._is_paused = False  # by the node

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._set_transport(transport)
        self._timer = self._handshakes.begin(self)
        if self._timer is None:
            self._refuse("too many handshakes under way")

    def buffer_updated(self, nbytes: int) -> None:
        if self._is_closing:
            return
        data = bytes(_RECEIVE_BUFFER[:nbytes])
        if self.conn_id == 0:
            self._hold(data)
            return
        self._pass_on(data)

    def write(self, data: bytes) -> None:
        if self._is_closing:
            return  # The peer's farewell ended it, and the node, which hears of that later, still sends.
        try:
            for layer in reversed(self._layers):
                data = layer.send(data)
        except LayerError as error:
            self._failure = str(error)
            self._transport.abort()
            return
        self._transport.write(data)

    def close(self, with_farewell: bool) -> None:
        if not self._is_closing:
            self._say_goodbye()
        super().close(with_farewell=True)  # the layers' own farewell is one

    def pause_writing(self) -> None:
        self._is_blocked = True
        if self.conn_id:
            super().pause_writing()

    def resume_writing(self) -> None:
        self._is_blocked = False
        if self.conn_id:
            super().resume_writing()
        if not self._is_closing:
            self._send_replies()

    def pause_reading(self) -> None:
        self._is_paused = True
        super().pause_reading()

    def resume_reading(self) -> None:
        self._is_paused = False
        if not self._is_behind:
            super().resume_reading()

    def on_handshake_timeout(self) -> None:
        self._timer = None
        self._handshakes.count -= 1
        self._refuse("the handshake took longer than listeners.connect_timeout_ms")

    def step(self) -> None:
        """Work through what is held, or go on with what was left. Called by the queue of handshakes."""
        data, self._held = self._held, b""
        if self._is_closing:
            return
        if self.conn_id:
            self._pass_on(b"")
            return
        try:
            data = self._receive(data)
        except LayerError as error:
            self._refuse(str(error))
            return
        self._send_replies()
        if all(layer.is_open for layer in self._layers):
            self._open(data)
        elif self._handshake_size > HANDSHAKE_BYTES_MAX:
            self._refuse(f"a handshake of more than {HANDSHAKE_BYTES_MAX} bytes")
        elif self._is_ended():
            self._refuse("the peer ended the handshake")
        else:
            self._transport.resume_reading()

    def _hold(self, data: bytes) -> None:
        if not self._held:
            self._handshakes.put(self)
        self._held += data
        self._handshake_size += len(data)
        if len(self._held) > HANDSHAKE_BYTES_MAX:
            self._transport.pause_reading()

    def _open(self, data: bytes) -> None:
        self._stop_timer()
        self.conn_id = self._reactor.take_conn_id()
        accepted = Accepted(self.conn_id, self._listener, self._name, peer_text(self._transport))
        for layer in self._layers:
            layer.describe(accepted)
        self._reactor.on_accepted(self, accepted)
        if data:
            self._reactor.on_received(self.conn_id, data)
        self._transport.resume_reading()
        self._look_ahead()

    def _pass_on(self, data: bytes) -> None:
        """Through the layers to the node."""
        try:
            data = self._receive(data)
        except LayerError as error:
            self._failure = str(error)
            self._end()
            return
        if data:
            self._reactor.on_received(self.conn_id, data)
        if not self._is_blocked:  # a peer that pings and reads nothing is not kept answers without end
            self._send_replies()
        self._look_ahead()

    def _look_ahead(self) -> None:
        """End with the peer, or read on, when the layers are done with what came: TLS may have met its end behind frames
        that were left for later."""
        if any(layer.has_more for layer in self._layers):
            self._is_behind = True
            self._transport.pause_reading()
            self._handshakes.put(self)
        elif self._is_ended():
            self._end()
        elif self._is_behind:
            self._is_behind = False
            if not self._is_paused:
                self._transport.resume_reading()

    def _receive(self, data: bytes) -> bytes:
        for layer in self._layers:
            data = layer.receive(data)
        return data

    def _send_replies(self) -> None:
        data = b""
        for layer in reversed(self._layers):
            if data:
                data = layer.send(data)
            data = layer.take_replies() + data
        if data:
            self._transport.write(data)

    def _is_ended(self) -> bool:
        return any(layer.is_ended for layer in self._layers)

    def _end(self) -> None:
        """Close from our side after the peer's farewell or mistake; the node hears of it when the transport is gone."""
        with contextlib.suppress(LayerError):
            self._send_replies()
        self.close(with_farewell=True)

    def _say_goodbye(self) -> None:
        """Each open layer's farewell, wrapped by the layers outside it."""
        data = b""
        for layer in reversed(self._layers):
            try:
                if data:
                    data = layer.send(data)
                if layer.is_open:
                    data += layer.close()
            except LayerError:
                return
        if data:
            self._transport.write(data)

    def _refuse(self, text: str) -> None:
        self._stop_timer()
        self._handshakes.on_failed(self._listener, peer_text(self._transport), text)
        self._end()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._handshakes.count -= 1

    def _on_lost(self, text: str) -> None:
        if self.conn_id == 0:
            if self._timer is not None:
                self._stop_timer()
                self._handshakes.on_failed(self._listener, "", text or "the peer left before the handshake was done")
            return
        super()._on_lost(self._failure or text)
