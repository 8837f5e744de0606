"""Management HTTP: h11 on a plain socket, each request put into a turn of the node and answered from it.

The paths and their meaning are the node's; here are only the protocol, its limits, and the rendering of `/metrics`.
"""

import asyncio
import json
from collections.abc import Iterator
from typing import Final, cast, final
from urllib.parse import parse_qsl, unquote, urlsplit

import h11
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import quantum
from quantum.core.node.outputs import AdminReply
from quantum.io.reactor import Reactor

HEADERS_BYTES_MAX: Final = 65_536
BODY_BYTES_MAX: Final = 4_194_304
CONNECTIONS_MAX: Final = 64
REQUEST_TIMEOUT_S: Final = 30  # for a request to come, whole, and the answer before it to be taken
_JSON: Final = "application/json"
_METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"


@final
class ManagementServer:
    """Accepts operators' connections."""

    __slots__ = ("_address", "_count", "_reactor", "_server")

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._count = 0
        self._server: asyncio.Server | None = None
        self._address = ""

    @property
    def address(self) -> str:
        """HOST:PORT as bound."""
        return self._address

    async def open(self, host: str, port: int) -> None:
        """Bind and accept. Raises: OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Exchange(self, self._reactor), host, port)
        bound = self._server.sockets[0].getsockname()
        self._address = f"[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"{bound[0]}:{bound[1]}"

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    def admit(self) -> bool:
        """Whether one more connection may be served."""
        self._count += 1
        return self._count <= CONNECTIONS_MAX

    def leave(self) -> None:
        self._count -= 1


@final
class _Exchange(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, server: ManagementServer, reactor: Reactor) -> None:
        self._server = server
        self._reactor = reactor
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEADERS_BYTES_MAX)
        self._request: h11.Request | None = None
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._asked = 0
        self._is_blocked = False  # the peer has not taken its answers: it is given no more
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        stream = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass
        self._transport = stream
        if not self._server.admit():
            stream.abort()
            return
        self._start_timer(stream)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.leave()
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        if self._asked:
            self._reactor.withdraw(self._asked)

    def data_received(self, data: bytes) -> None:
        self._http.receive_data(data)
        self._advance()

    def eof_received(self) -> bool:
        """The peer asks no more; what it has asked is answered, and `_advance` closes behind that."""
        self._http.receive_data(b"")
        self._advance()
        return True

    def pause_writing(self) -> None:
        self._is_blocked = True

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._advance()

    def _start_timer(self, transport: asyncio.Transport) -> None:
        """Bytes that trickle in put nothing off: so few connections would soon all be taken."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(REQUEST_TIMEOUT_S, transport.abort)

    def _advance(self) -> None:
        """Go on with what came. While a request is answered nothing is read: who asks and asks is kept little."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        while not self._asked and not self._is_blocked:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._reply(error.error_status_hint, _JSON, _encode({"error": f"not an HTTP request: {error}"}))
                return
            if event is h11.NEED_DATA or event is h11.PAUSED:
                transport.resume_reading()
                return
            if isinstance(event, h11.Request):
                self._request = event
                self._body = []
                self._body_bytes = 0
                if self._http.they_are_waiting_for_100_continue:  # RFC 9110 §10.1.1
                    transport.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
            elif isinstance(event, h11.Data):
                self._body_bytes += len(event.data)
                if self._body_bytes > BODY_BYTES_MAX:
                    self._reply(413, _JSON, _encode({"error": f"body over {BODY_BYTES_MAX} bytes"}))
                    return
                self._body.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                transport.pause_reading()
                self._ask()
                return  # `_reply` goes on with the next request, when others had their turn
            else:  # the peer closed its side, and everything is answered
                transport.close()
                return

    def _ask(self) -> None:
        assert self._request is not None
        try:
            target = urlsplit(self._request.target.decode("ascii", "replace"))
        except ValueError:  # an authority in brackets that is no address
            self._reply(400, _JSON, _encode({"error": "a request target that cannot be read"}))
            return
        if any(name == b"origin" for name, _ in self._request.headers):
            # A browser sends it for the page of somebody else, to an address that only this machine should reach; it sends
            # it with every POST (Fetch §3.1), and a POST changes who takes part in the cluster.
            self._reply(403, _JSON, _encode({"error": "a request with Origin: web pages may ask nothing here"}))
            return
        path = unquote(target.path)
        method = self._request.method.decode("ascii")
        if method == "HEAD":
            method = "GET"  # `_reply` leaves the body away
        if path == "/v1/version" and method == "GET":
            self._reply(200, _JSON, _encode({"name": "quantum", "version": quantum.__version__}))
            return
        query = dict(parse_qsl(target.query))
        self._asked = self._reactor.ask(method, path, query, b"".join(self._body), self._on_answer)

    def _on_answer(self, answer: AdminReply) -> None:
        self._asked = 0
        if self._transport is None:
            return
        body = answer.body or {}
        samples = body.get("samples")
        if isinstance(samples, list) and answer.status == 200:
            self._reply(200, _METRICS, render_metrics(samples))
        else:
            self._reply(answer.status, _JSON, _encode(body))

    def _reply(self, status: int, content_type: str, body: bytes) -> None:
        transport = self._transport
        assert transport is not None
        headers = [("content-type", content_type), ("content-length", str(len(body))), ("cache-control", "no-store")]
        try:
            data = self._http.send(h11.Response(status_code=status, headers=headers)) or b""
            if self._request is None or self._request.method != b"HEAD":
                data += self._http.send(h11.Data(data=body)) or b""
            data += self._http.send(h11.EndOfMessage()) or b""
        except h11.LocalProtocolError:
            transport.abort()
            return
        transport.write(data)
        if self._http.our_state is h11.MUST_CLOSE or self._http.their_state is h11.ERROR or status >= 400:
            transport.close()
            return
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            self._start_timer(transport)
            asyncio.get_running_loop().call_soon(self._advance)


def _encode(body: dict[str, object]) -> bytes:
    return json.dumps(body, indent=2).encode() + b"\n"


@final
class _Samples(Collector):
    """Turns the node's samples into metric families."""

    def __init__(self, rows: list[list[object]]) -> None:
        self._rows = rows

    def collect(self) -> Iterator[Metric]:
        for name, kind, text, values in self._rows:
            assert isinstance(name, str)
            assert isinstance(text, str)
            assert isinstance(values, list)
            labels = sorted(values[0][0]) if values else []
            family: CounterMetricFamily | GaugeMetricFamily
            if kind == "counter":
                family = CounterMetricFamily(name, text, labels=labels)
            else:
                family = GaugeMetricFamily(name, text, labels=labels)
            for row, value in values:
                family.add_metric([row[label] for label in labels], value)
            yield family


def render_metrics(rows: list[list[object]]) -> bytes:
    """The node's samples and the process's own, under the names that every dashboard knows, in the text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Samples(rows))
    ProcessCollector(registry=registry)
    return generate_latest(registry)
