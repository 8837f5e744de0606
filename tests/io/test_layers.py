"""Goal: the TLS and WebSocket layers let in who they must and answer everybody else. Method: a real client's bytes passed
through the layers in memory, whole and byte by byte."""

import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    Pong,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)

from quantum.core.node.inputs import Accepted
from quantum.io.certs import CertificateSet, make_certificates
from quantum.io.connections import LayerError
from quantum.io.listeners import ListenerError, check_exposure, parse_url
from quantum.io.tls import (
    HELLO_BYTES_MAX,
    HELLO_RECORDS_MAX,
    CertificateError,
    CertificateFiles,
    TlsContexts,
    TlsLayer,
    read_server_name,
)
from quantum.io.websocket import STEP_FRAMES_MAX, WebSocketLayer


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> CertificateSet:
    return make_certificates(tmp_path_factory.mktemp("certs"), client_name="pump-7")


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> CertificateSet:
    return make_certificates(tmp_path_factory.mktemp("foreign"))


@pytest.fixture
def contexts(certificates: CertificateSet) -> TlsContexts:
    return TlsContexts(files_of(certificates))


def files_of(paths: CertificateSet) -> CertificateFiles:
    return CertificateFiles(str(paths.server_cert), str(paths.server_key), str(paths.ca))


def client_context(server: CertificateSet, client: CertificateSet | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(server.ca))
    if client is not None:
        context.load_cert_chain(client.client_cert, client.client_key)
    return context


class TlsClient:
    """The other end of a `TlsLayer`, in memory."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")

    def step(self, action: Callable[[], object]) -> None:
        try:
            action()
        except ssl.SSLWantReadError:
            pass

    def shake_hands(self, layer: TlsLayer, size: int = 1 << 20) -> None:
        """To the end, in pieces of `size` bytes. Raises: LayerError."""
        for _ in range(4):
            self.step(self.tls.do_handshake)
            pass_on(self.outgoing.read(), layer, size)
            self.incoming.write(layer.take_replies())


def pass_on(data: bytes, layer: TlsLayer | WebSocketLayer, size: int) -> bytes:
    return b"".join(layer.receive(data[at : at + size]) for at in range(0, len(data), size))


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_tls_carries_bytes_both_ways_and_tells_who_came(
    contexts: TlsContexts, certificates: CertificateSet, size: int
) -> None:
    client, layer = TlsClient(client_context(certificates, certificates)), TlsLayer(contexts)
    client.shake_hands(layer, size)
    assert layer.is_open
    accepted = Accepted(1, "tls://127.0.0.1:8883", "tls", "")
    layer.describe(accepted)
    assert ("pump-7", "localhost") == (accepted.certificate_name, accepted.sni)
    client.tls.write(b"x" * 40_000)
    assert b"x" * 40_000 == pass_on(client.outgoing.read(), layer, size)
    client.incoming.write(layer.send(b"answer"))
    assert b"answer" == client.tls.read(100)
    client.incoming.write(layer.close())
    assert b"" == client.tls.read(100)


def test_tls_close_notify_of_the_client_ends_the_layer(contexts: TlsContexts, certificates: CertificateSet) -> None:
    client, layer = TlsClient(client_context(certificates, certificates)), TlsLayer(contexts)
    client.shake_hands(layer)
    client.tls.write(b"last")
    client.step(client.tls.unwrap)
    assert b"last" == layer.receive(client.outgoing.read())
    assert layer.is_ended


def test_tls_refuses_a_client_without_a_certificate(contexts: TlsContexts, certificates: CertificateSet) -> None:
    client, layer = TlsClient(client_context(certificates, None)), TlsLayer(contexts)
    with pytest.raises(LayerError, match="peer did not return a certificate"):
        client.shake_hands(layer)
    assert not layer.is_open


def test_tls_refuses_a_certificate_of_a_foreign_authority(
    contexts: TlsContexts, certificates: CertificateSet, foreign: CertificateSet
) -> None:
    client, layer = TlsClient(client_context(certificates, foreign)), TlsLayer(contexts)
    with pytest.raises(LayerError, match="certificate verify failed"):
        client.shake_hands(layer)
    assert not layer.is_open


def test_tls_refuses_version_1_2(contexts: TlsContexts, certificates: CertificateSet) -> None:
    context = client_context(certificates, certificates)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    layer = TlsLayer(contexts)
    with pytest.raises(LayerError, match="unsupported protocol"):
        TlsClient(context).shake_hands(layer)
    assert not layer.is_open


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x10\x0c\x00\x04MQTT", "first byte 0x10, allowed 0x16"),
        (b"GET / HTTP/1.1\r\n\r\n", "first byte 0x47"),
        (b"\x16\x03\x01\x00\x00", "a TLS record of 0 bytes"),
        (b"\x16\x03\x01\xff\xff", "a TLS record of 65535 bytes"),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "handshake message 2, allowed 1"),
        (b"\x16\x03\x01\x00\x06\x01\x00\x00\x02\x03\x03", "cannot be read"),
    ],
)
def test_bytes_that_are_no_client_hello_are_refused_by_name(data: bytes, text: str) -> None:
    with pytest.raises(LayerError, match=text):
        read_server_name(data)


def test_client_hello_that_never_ends_is_cut_off(contexts: TlsContexts) -> None:
    layer = TlsLayer(contexts)
    endless = b"\x16\x03\x01\x10\x00" + b"\x01\xff\xff\xff" + bytes(4092)
    with pytest.raises(LayerError, match=f"a ClientHello of more than {HELLO_BYTES_MAX} bytes"):
        for _ in range(5):
            layer.receive(endless)


def test_client_hello_in_many_records_is_refused_before_it_is_whole(contexts: TlsContexts) -> None:
    """A byte a record and a record at a time, each look at it would take longer than the one before."""
    layer = TlsLayer(contexts)
    records = [b"\x16\x03\x01\x00\x01" + one for one in (b"\x01", b"\x00", b"\xff", *[b"x"] * HELLO_RECORDS_MAX)]
    assert b"" == b"".join([layer.receive(record) for record in records[: HELLO_RECORDS_MAX - 1]])
    with pytest.raises(LayerError, match=f"a ClientHello in more than {HELLO_RECORDS_MAX} records"):
        layer.receive(records[HELLO_RECORDS_MAX - 1])


def test_reload_with_a_broken_file_keeps_the_old_certificate(tmp_path: Path) -> None:
    paths = make_certificates(tmp_path / "one")
    other = make_certificates(tmp_path / "two")
    contexts = TlsContexts(files_of(paths))
    old = contexts.current
    whole = paths.server_cert.read_bytes()
    paths.server_cert.write_bytes(other.server_cert.read_bytes())  # does not match the key: a rotation half done
    assert contexts.is_stale()
    with pytest.raises(CertificateError, match="no certificate and its key"):
        contexts.reload()
    assert old is contexts.current
    assert not contexts.is_stale()
    client, layer = TlsClient(client_context(paths, paths)), TlsLayer(contexts)
    client.shake_hands(layer)
    assert layer.is_open
    paths.server_cert.write_bytes(whole)
    contexts.reload()
    assert old is not contexts.current


class WebSocketClient:
    """The other end of a `WebSocketLayer`, in memory."""

    def __init__(self, target: str = "/mqtt", subprotocols: tuple[str, ...] = ("mqtt",)) -> None:
        self.socket = WSConnection(ConnectionType.CLIENT)
        self.upgrade = self.socket.send(Request(host="localhost", target=target, subprotocols=list(subprotocols)))

    def read(self, layer: WebSocketLayer) -> list[Event]:
        self.socket.receive_data(layer.take_replies())
        return list(self.socket.events())


def opened(size: int = 1 << 20) -> tuple[WebSocketClient, WebSocketLayer]:
    client, layer = WebSocketClient(), WebSocketLayer()
    assert b"" == pass_on(client.upgrade, layer, size)
    assert layer.is_open
    accept = client.read(layer)[0]
    assert isinstance(accept, AcceptConnection)
    assert "mqtt" == accept.subprotocol
    return client, layer


@pytest.mark.parametrize("size", [1, 5, 1 << 20])
def test_packets_split_anyhow_over_frames_are_one_stream(size: int) -> None:
    client, layer = opened(size)
    frames = client.socket.send(BytesMessage(b"one", message_finished=False))
    frames += client.socket.send(Ping(b"?"))
    frames += client.socket.send(BytesMessage(b"two", message_finished=True))
    frames += client.socket.send(BytesMessage(b"x" * 70_000))
    assert b"onetwo" + b"x" * 70_000 == pass_on(frames, layer, size)
    client.socket.receive_data(layer.take_replies() + layer.send(b"answer"))
    pong, message = client.socket.events()
    assert isinstance(pong, Pong)
    assert isinstance(message, BytesMessage)
    assert (b"?", b"answer") == (bytes(pong.payload), bytes(message.data))


def test_frames_in_one_piece_with_the_upgrade_are_not_lost() -> None:
    client, layer = WebSocketClient(), WebSocketLayer()
    frame = b"\x82\x83\x00\x00\x00\x00one"
    assert b"one" == layer.receive(client.upgrade + frame)
    assert b"one" == layer.receive(frame)


def test_flood_of_frames_is_worked_through_in_steps() -> None:
    client, layer = opened()
    count = 3 * STEP_FRAMES_MAX + 1
    frames = b"".join(client.socket.send(BytesMessage(b"%06d" % number)) for number in range(count))
    pieces = [layer.receive(frames)]
    while layer.has_more:
        pieces.append(layer.receive(b""))
    assert [STEP_FRAMES_MAX * 6] * 3 + [6] == [len(piece) for piece in pieces]
    assert [b"%06d" % number for number in range(count)] == re.findall(b"......", b"".join(pieces))


def test_only_the_last_ping_is_answered_when_there_were_more() -> None:
    """RFC 6455 §5.5.3"""
    client, layer = opened()
    layer.receive(b"".join(client.socket.send(Ping(b"%d" % number)) for number in range(100)))
    (pong,) = client.read(layer)
    assert isinstance(pong, Pong)
    assert b"99" == bytes(pong.payload)
    assert b"" == layer.take_replies()


def test_text_frame_is_closed_with_1003_after_what_came_before_it() -> None:
    client, layer = opened()
    frames = client.socket.send(BytesMessage(b"good")) + client.socket.send(TextMessage("bad"))
    assert b"good" == layer.receive(frames)
    assert layer.is_ended
    (close,) = client.read(layer)
    assert isinstance(close, CloseConnection)
    assert 1003 == close.code
    assert b"" == layer.receive(client.socket.send(close.response()))
    assert b"" == layer.close()


def test_frame_without_a_mask_is_a_protocol_error() -> None:
    client, layer = opened()
    assert b"" == layer.receive(b"\x82\x01x")
    assert layer.is_ended
    (close,) = client.read(layer)
    assert isinstance(close, CloseConnection)
    assert 1002 == close.code


def test_close_of_the_client_is_answered() -> None:
    client, layer = opened()
    layer.receive(client.socket.send(CloseConnection(1000)))
    assert layer.is_ended
    (close,) = client.read(layer)
    assert isinstance(close, CloseConnection)
    assert b"" == layer.send(b"too late")


@pytest.mark.parametrize("key", [b"", b"abc", b"dGhlIHNhbXBsZSBub25jZQ", b"dGhlIHNhbXBsZSBub25j"])
def test_upgrade_with_a_key_of_another_size_is_refused(key: bytes) -> None:
    """RFC 6455 §4.2.1"""
    layer = WebSocketLayer()
    upgrade = re.sub(rb"(?i)(sec-websocket-key: )[^\r]*", rb"\g<1>" + key, WebSocketClient().upgrade)
    with pytest.raises(LayerError, match="not 16 bytes in base64"):
        layer.receive(upgrade)
    assert layer.take_replies().startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    ("target", "subprotocols", "status", "text"),
    [
        ("/other", ("mqtt",), 404, "allowed /mqtt and /"),
        ("/mqtt", (), 400, "MQTT-6.0.0-3"),
        ("/mqtt", ("chat",), 400, "MQTT-6.0.0-3"),
    ],
)
def test_upgrade_to_something_else_is_answered_in_http(
    target: str, subprotocols: tuple[str, ...], status: int, text: str
) -> None:
    client, layer = WebSocketClient(target, subprotocols), WebSocketLayer()
    with pytest.raises(LayerError, match="WebSocket: "):
        layer.receive(client.upgrade)
    assert not layer.is_open
    reject, body, *_ = client.read(layer)
    assert isinstance(reject, RejectConnection)
    assert isinstance(body, RejectData)
    assert status == reject.status_code
    assert text in bytes(body.data).decode()


@pytest.mark.parametrize(
    "data",
    [
        b"GET /mqtt HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /mqtt HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x00\r\n\r\n",
        b"GET /mqtt HTTP/1.1\r\nX: " + b"x" * 20_000,
    ],
)
def test_what_is_no_upgrade_is_answered_with_400_and_ends(data: bytes) -> None:
    layer = WebSocketLayer()
    with pytest.raises(LayerError):
        layer.receive(data)
    assert layer.take_replies().startswith(b"HTTP/1.1 400 ")
    assert layer.is_ended


@pytest.mark.parametrize(
    "text",
    ["mqtt://127.0.0.1:1883", "tcp://127.0.0.1", "tcp://:1883", "127.0.0.1:1883", "tcp://h:99999", "tcp://h:1/x"],
)
def test_listener_url_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ListenerError, match="allowed tcp://"):
        parse_url(text)


def test_ipv6_listener_keeps_its_brackets() -> None:
    url = parse_url("tls://[::1]:8883")
    assert ("tls", "::1", 8883, "tls://[::1]:8883") == (url.scheme, url.host, url.port, url.text)


@pytest.mark.parametrize(
    ("text", "has_own_certificate", "has_client_ca", "has_users", "fix"),
    [
        ("tcp://0.0.0.0:1883", True, True, True, "use tls://0.0.0.0:1883"),
        ("ws://[::]:8084", True, True, True, r"use wss://\[::\]:8084"),
        ("tcp://broker.example:1883", True, True, False, "use tls://broker.example:1883"),
        ("tls://0.0.0.0:8883", True, False, False, "set tls.cert, tls.key and tls.client_ca"),
        ("tls://0.0.0.0:8883", False, False, True, "set tls.cert, tls.key and tls.client_ca"),
        ("wss://0.0.0.0:8085", False, False, False, "auth.users_file and mqtt.allow_anonymous=false"),
    ],
)
def test_strangers_are_not_served_without_proof(
    text: str, has_own_certificate: bool, has_client_ca: bool, has_users: bool, fix: str
) -> None:
    has = {"has_own_certificate": has_own_certificate, "has_client_ca": has_client_ca, "has_users": has_users}
    with pytest.raises(ListenerError, match=fix):
        check_exposure(parse_url(text), **has)
    local = parse_url(f"{parse_url(text).scheme}://127.0.0.1:1")
    check_exposure(local, **has)


@pytest.mark.parametrize(("has_client_ca", "has_users"), [(True, False), (False, True), (True, True)])
def test_whoever_is_proved_by_certificate_or_password_is_served_from_elsewhere(
    has_client_ca: bool, has_users: bool
) -> None:
    for text in ("tls://0.0.0.0:8883", "wss://[::]:8085"):
        check_exposure(parse_url(text), has_own_certificate=True, has_client_ca=has_client_ca, has_users=has_users)
