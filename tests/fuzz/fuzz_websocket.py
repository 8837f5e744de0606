"""A WebSocket layer refuses or gives bytes, however they arrive. Input: a byte of chunk size, whose eighth bit puts a
good upgrade in front, then a stream."""

from quantum.io import websocket
from quantum.io.connections import LayerError
from quantum.io.websocket import WebSocketLayer
from tests.fuzz.golden import chunks
from tests.fuzz.limits import Limits, lowered

BYTES_MAX = 1024
LIMITS: Limits = ((websocket, "STEP_FRAMES_MAX", 3),)
UPGRADE = (
    b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: mqtt\r\n\r\n"
)
_MASK = b"\x00\x00\x00\x00"
_PING = b"\x89\x81" + _MASK + b"p"
_BINARY = b"\x82\x82" + _MASK + b"\xc0\x00"
_LONG = b"\x82\xfe\x00\x80" + _MASK + bytes(128)
_TEXT = b"\x81\x81" + _MASK + b"t"
_CLOSE = b"\x88\x82" + _MASK + b"\x03\xe8"
_PARTS = b"\x02\x81" + _MASK + b"\xc0" + _PING + b"\x80\x81" + _MASK + b"\x00"
SEEDS = [bytes((size,)) + UPGRADE + _BINARY for size in (0, 1, 9)]
SEEDS += [b"\x80" + frames for frames in (_BINARY, _PING, _TEXT, _CLOSE, _PARTS, _LONG, _BINARY + _CLOSE + _BINARY)]
SEEDS += [b"\x00" + UPGRADE.replace(*change) for change in ((b"mqtt H", b"x H"), (b": mqtt", b": chat"), (b"13", b"8"))]
SEEDS += [b"\x00GET / HTTP/1.1\r\n\r\n", b"\x00" + UPGRADE.replace(b"GET", b"POST"), b"\x85" + _BINARY * 3]
# More frames than are read in one step, an end in the middle of them, and what no client may send behind some.
SEEDS += [
    b"\x80" + _BINARY * 5 + behind
    for behind in (_CLOSE + _BINARY, b"\x09\x80" + _MASK, b"\x82\x02no", _TEXT, _PARTS * 3)
]


def read(pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    """What came out, what is answered, and whether it ended."""
    layer = WebSocketLayer()
    out = replies = b""
    for piece in pieces:
        try:
            out += layer.receive(piece)
            while layer.has_more:
                assert not layer.is_ended, "more behind its end"
                out += layer.receive(b"")
        except LayerError as error:
            assert str(error).startswith("WebSocket: ")
            return out, replies + layer.take_replies(), True
        replies += layer.take_replies()
    assert b"" == out or layer.is_open, "bytes before the upgrade"
    layer.send(b"x")
    layer.close()
    return out, replies, layer.is_ended


def check(data: bytes) -> None:
    if not data:
        return
    stream = UPGRADE + data[1:] if data[0] & 0x80 else data[1:]
    with lowered(LIMITS):
        whole, pieces = read([stream]), read(chunks(stream, data[0] & 0x7F))
    assert whole[2] == pieces[2], "it ended only in one of two ways to arrive"
    assert whole[0] == pieces[0], f"{whole} and {pieces}"
