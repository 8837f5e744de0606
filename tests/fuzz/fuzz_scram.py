"""Nobody is let in who cannot prove a password, and nothing that is no users file is taken for one.

Input: a byte of what, then either the text of a users file, or the client's two messages with a zero byte in between: as
they are, or with the right proof put behind the second.
"""

import hashlib
import hmac
from binascii import b2a_base64

from quantum.core.edge.identity import CONTINUE, FAILURE, SUCCESS
from quantum.core.edge.scram import Scram
from quantum.core.edge.users import (
    ITERATIONS_MAX,
    ITERATIONS_MIN,
    KEY_BYTES,
    UserFile,
    Users,
    UsersRefused,
    derive_keys,
    parse_users,
)

BYTES_MAX = 512
FILE, AS_IT_IS, PROVED = range(3)
PASSWORD, SALT, NONCE = b"pencil", b"salt-of-sixteen-", "server-nonce"
KEYS = derive_keys(PASSWORD, SALT, ITERATIONS_MIN)
USERS = UserFile(ITERATIONS_MIN, bytes(KEY_BYTES), {"user": KEYS, "a,b=c": KEYS})
_SALTED = hashlib.pbkdf2_hmac("sha256", PASSWORD, SALT, ITERATIONS_MIN)
_CLIENT_KEY = hmac.digest(_SALTED, b"Client Key", "sha256")
_FIRST = b"n,,n=user,r=client-nonce"
_FINAL = b"c=biws,r=client-nonceserver-nonce"


def proof_of(first: bytes, server_first: bytes, without_proof: bytes) -> bytes:
    """RFC 5802 §3, from the text. The client's first message goes in without its gs2-header."""
    bare = first.split(b",", 2)[-1]
    message = b",".join((bare, server_first, without_proof))
    signature = hmac.digest(hashlib.sha256(_CLIENT_KEY).digest(), message, "sha256")
    return b2a_base64(bytes(a ^ b for a, b in zip(_CLIENT_KEY, signature, strict=True)), newline=False)


SEEDS = [bytes((FILE,)) + USERS.to_text().encode(), bytes((FILE,)) + UserFile(4096, bytes(32), {}).to_text().encode()]
SEEDS += [bytes((what,)) + _FIRST + b"\0" + _FINAL for what in (AS_IT_IS, PROVED)]
SEEDS += [bytes((PROVED,)) + b"y,a=a=2Cb=3Dc,n=a=2Cb=3Dc,r=x\0c=eSxhPWE9MkNiPTNEYyw=,r=xserver-nonce,ext=1"]
SEEDS += [
    bytes((AS_IT_IS,))
    + _FIRST
    + b"\0"
    + _FINAL
    + b",p="
    + proof_of(_FIRST, b"r=client-nonceserver-nonce,s=c2FsdC1vZi1zaXh0ZWVuLQ==,i=4096", _FINAL)
]


def check(data: bytes) -> None:
    if not data:
        return
    what = data[0] % 3
    if what == FILE:
        check_file(data[1:])
        return
    first, _, final = data[1:].partition(b"\0")
    exchange = Scram(Users(USERS)).begin(NONCE)
    status, server_first, identity = exchange.step(first)
    assert status in (CONTINUE, FAILURE)
    assert "" == identity
    if status == FAILURE:
        assert (FAILURE, b"", "") == exchange.step(final)
        return
    right = proof_of(first, server_first, final if what == PROVED else final.rpartition(b",p=")[0])
    if what == PROVED:
        final += b",p=" + right
    status, answer, identity = exchange.step(final)
    if status == SUCCESS:
        assert final.endswith(b",p=" + right), "let in without proof"
        assert identity in USERS.keys
        assert NONCE.encode() in final
        assert answer.startswith(b"v=")
    elif first:
        assert (FAILURE, b"", "") == (status, answer, identity) or status == CONTINUE
    if status != CONTINUE:
        assert (FAILURE, b"", "") == exchange.step(final), "an exchange goes on behind its end"


def check_file(data: bytes) -> None:
    """What is read is in range, and written as it is read again."""
    try:
        file = parse_users(data.decode())
    except (UsersRefused, UnicodeDecodeError):
        return
    assert all(ITERATIONS_MIN <= keys.iterations <= ITERATIONS_MAX for keys in file.keys.values())
    assert ITERATIONS_MIN <= file.iterations <= ITERATIONS_MAX
    again = parse_users(file.to_text())
    assert file.to_text() == again.to_text()
