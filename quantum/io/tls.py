"""TLS as a layer without a socket: `ssl.SSLObject` between two memory buffers.

The ClientHello is read before OpenSSL sees a byte, so that the context is chosen first and everything in it is enforced
by OpenSSL. A context is never changed once it is in use: a reload builds a new one and swaps the reference, so
connections that stand go on, and a broken new file changes nothing.
"""

import os
import ssl
from dataclasses import dataclass
from typing import Final, cast, final

from quantum.core.node.inputs import Accepted
from quantum.io.connections import LayerError

HELLO_BYTES_MAX: Final = 16 * 1024
HELLO_RECORDS_MAX: Final = 32  # clients use one or two; they are gone through again whenever more bytes come
READ_BYTES: Final = 64 * 1024
_RECORD_HEADER: Final = 5
_HANDSHAKE: Final = 22  # RFC 8446 §5.1 ContentType
_CLIENT_HELLO: Final = 1  # RFC 8446 §4 HandshakeType
_SERVER_NAME: Final = 0  # RFC 6066 §3


class CertificateError(Exception):
    """Certificate files that cannot be used; the text names the file."""


@final
@dataclass(slots=True)
class CertificateFiles:
    """What a TLS listener needs, as paths."""

    cert: str  # chain, leaf first
    key: str
    client_ca: str  # "" asks clients for no certificate


def build_context(files: CertificateFiles) -> ssl.SSLContext:
    """A complete server context, or nothing. Raises: CertificateError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # No resumption: a returning client proves its certificate anew, so one that was withdrawn does not come back.
    context.num_tickets = 0
    context.set_alpn_protocols(["mqtt", "http/1.1"])
    for path in (files.cert, files.key, files.client_ca):
        if path and not os.access(path, os.R_OK):
            raise CertificateError(f"{path} cannot be read")
    try:
        context.load_cert_chain(files.cert, files.key, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise CertificateError(f"{files.cert} and {files.key} are no certificate and its key: {error}") from None
    if files.client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(files.client_ca)
        except (ssl.SSLError, OSError) as error:
            raise CertificateError(f"{files.client_ca} holds no certificate: {error}") from None
    return context


@final
class TlsContexts:
    """The context of handshakes to come, and when to build the next."""

    __slots__ = ("_files", "_stamps", "current")

    def __init__(self, files: CertificateFiles) -> None:
        """Raises: CertificateError."""
        self._files = files
        self._stamps = self._read_stamps()
        self.current = build_context(files)

    def reload(self) -> None:
        """Build a context from the files as they are and use it from here on. Raises: CertificateError, and keeps the old."""
        stamps = self._read_stamps()
        self._stamps = stamps  # also when it fails: one event per change of the files, not one per look
        self.current = build_context(self._files)

    def is_stale(self) -> bool:
        """The files changed since they were read."""
        return self._read_stamps() != self._stamps

    def _read_stamps(self) -> list[tuple[int, int, int]]:
        stamps: list[tuple[int, int, int]] = []
        for path in (self._files.cert, self._files.key, self._files.client_ca):
            try:
                status = os.stat(path)
                stamps.append((status.st_mtime_ns, status.st_size, status.st_ino))
            except OSError:
                stamps.append((0, 0, 0))
        return stamps


@final
class TlsLayer:
    """The server's side of one TLS connection."""

    __slots__ = (
        "_contexts",
        "_hello",
        "_incoming",
        "_object",
        "_outgoing",
        "_server_name",
        "has_more",
        "is_ended",
        "is_open",
    )

    def __init__(self, contexts: TlsContexts) -> None:
        self._contexts = contexts
        self._hello = b""
        self._object: ssl.SSLObject | None = None  # made when the ClientHello is whole
        self._incoming: ssl.MemoryBIO
        self._outgoing: ssl.MemoryBIO
        self._server_name = ""
        self.has_more = False
        self.is_open = False
        self.is_ended = False

    def receive(self, data: bytes) -> bytes:
        if self._object is None:
            self._hello += data
            name = read_server_name(self._hello)
            if name is None:
                if len(self._hello) > HELLO_BYTES_MAX:
                    raise LayerError(f"a ClientHello of more than {HELLO_BYTES_MAX} bytes")
                return b""
            self._server_name = name
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._object = self._contexts.current.wrap_bio(self._incoming, self._outgoing, server_side=True)
            data, self._hello = self._hello, b""
        self._incoming.write(data)
        try:
            if not self.is_open:
                self._object.do_handshake()
                self.is_open = True
            return self._read(self._object)
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as error:
            raise LayerError(f"TLS: {_reason(error)}") from None

    def take_replies(self) -> bytes:
        if self._object is not None and self._outgoing.pending:
            return self._outgoing.read()
        return b""

    def send(self, data: bytes) -> bytes:
        assert self._object is not None
        try:
            self._object.write(data)
        except ssl.SSLError as error:
            raise LayerError(f"TLS: {_reason(error)}") from None
        return self._outgoing.read()

    def close(self) -> bytes:
        assert self._object is not None
        try:
            self._object.unwrap()
        except ssl.SSLError:
            pass  # it always wants the peer's close_notify; ours is in the buffer
        return self._outgoing.read()

    def describe(self, accepted: Accepted) -> None:
        assert self._object is not None
        accepted.sni = self._server_name
        accepted.alpn = self._object.selected_alpn_protocol() or ""
        accepted.certificate_name = common_name(self._object)

    def _read(self, tls: ssl.SSLObject) -> bytes:
        """All plaintext there is. Asking first whether anything is there saves the exception, the main cost of a read."""
        data = b""
        try:
            while self._incoming.pending or tls.pending():
                piece = tls.read(READ_BYTES)
                if not piece:
                    self.is_ended = True
                    break
                data = data + piece if data else piece
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.is_ended = True
        return data


def common_name(tls: ssl.SSLObject) -> str:
    """Subject common name of the peer's verified certificate, "" when there is none."""
    certificate = tls.getpeercert()
    if not certificate:
        return ""
    subject = cast(tuple[tuple[tuple[str, str], ...], ...], certificate.get("subject", ()))
    for group in subject:
        for name, value in group:
            if name == "commonName":
                return value
    return ""


def read_server_name(data: bytes) -> str | None:
    """The server name of a ClientHello, "" when it names none, None while it is not whole. Raises: LayerError.

    Source: RFC 8446 §4.1.2, §5.1; RFC 6066 §3.
    """
    message = b""
    at = 0
    for _ in range(HELLO_RECORDS_MAX):  # a ClientHello may be spread over records
        if len(data) > at and data[at] != _HANDSHAKE:
            raise LayerError(f"first byte {data[at]:#04x}, allowed 0x16: this listener speaks TLS")
        if len(data) < at + _RECORD_HEADER:
            return None
        size = int.from_bytes(data[at + 3 : at + 5], "big")
        if size == 0 or size > HELLO_BYTES_MAX:
            raise LayerError(f"a TLS record of {size} bytes, allowed 1 to {HELLO_BYTES_MAX}")
        if len(data) < at + _RECORD_HEADER + size:
            return None
        message += data[at + _RECORD_HEADER : at + _RECORD_HEADER + size]
        at += _RECORD_HEADER + size
        if message[0] != _CLIENT_HELLO:
            raise LayerError(f"TLS handshake message {message[0]}, allowed 1, the ClientHello")
        if len(message) >= 4 and len(message) >= 4 + int.from_bytes(message[1:4], "big"):
            return _server_name_of(message[4 : 4 + int.from_bytes(message[1:4], "big")])
    raise LayerError(f"a ClientHello in more than {HELLO_RECORDS_MAX} records")


def _server_name_of(hello: bytes) -> str:
    try:
        at = 2 + 32  # legacy_version, random
        at += 1 + hello[at]  # legacy_session_id
        at += 2 + int.from_bytes(hello[at : at + 2], "big")  # cipher_suites
        at += 1 + hello[at]  # legacy_compression_methods
        at += 2  # length of extensions, which end with the message
        while at + 4 <= len(hello):
            kind = int.from_bytes(hello[at : at + 2], "big")
            size = int.from_bytes(hello[at + 2 : at + 4], "big")
            if kind == _SERVER_NAME and hello[at + 6] == 0:
                length = int.from_bytes(hello[at + 7 : at + 9], "big")
                return hello[at + 9 : at + 9 + length].decode("ascii").lower()
            at += 4 + size
    except (IndexError, UnicodeDecodeError):
        raise LayerError("a ClientHello that cannot be read") from None
    return ""


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).lower().replace("_", " ")
