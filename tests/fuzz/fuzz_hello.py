"""A ClientHello is read the same however it arrives, before OpenSSL sees a byte. Input: what a TLS listener receives first."""

from quantum.io.connections import LayerError
from quantum.io.tls import read_server_name

BYTES_MAX = 512


def hello(*extensions: bytes, session_id: bytes = b"", record_bytes: int = 400) -> bytes:
    """A ClientHello in records. RFC 8446 §4.1.2"""
    body = b"\x03\x03" + bytes(32) + bytes((len(session_id),)) + session_id + b"\x00\x02\x13\x01\x01\x00"
    block = b"".join(extensions)
    body += len(block).to_bytes(2, "big") + block
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    pieces = [message[at : at + record_bytes] for at in range(0, len(message), record_bytes)]
    return b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2, "big") + piece for piece in pieces)


def extension(kind: int, data: bytes) -> bytes:
    """Its type, length and data."""
    return kind.to_bytes(2, "big") + len(data).to_bytes(2, "big") + data


_ALPN = extension(16, b"\x00\x05\x04mqtt")
_NAME = extension(0, b"\x00\x0a\x00\x00\x07Example")
SEEDS = [
    hello(),
    hello(_NAME),
    hello(_ALPN, _NAME, session_id=bytes(32)),
    hello(_ALPN, _NAME, record_bytes=20),
    hello(extension(0, b"\x00\x04\x01\x00\x01x")),
    b"\x10\x0c\x00\x04MQTT",
]


def outcome(data: bytes) -> tuple[str | None, str]:
    """The name, and why not."""
    try:
        return read_server_name(data), ""
    except LayerError as error:
        return None, str(error)


def check(data: bytes) -> None:
    whole = outcome(data)
    for size in range(len(data)):
        part = outcome(data[:size])
        assert part in ((None, ""), whole), f"{part} of {size} bytes, {whole} of all"
