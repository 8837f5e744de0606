"""SCRAM-SHA-256: the client proves that it knows the password, the server that it knows the keys, and nobody learns either.

One exchange is three steps: client-first → server-first, client-final → server-final or failure. A failure says nothing
of its reason: an unknown user takes the very same way to it as a wrong password. Channel binding is not offered.
Source: RFC 5802 §5 and §7, RFC 7677.
"""

import hmac
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from hashlib import sha256
from typing import Final, final

from quantum.core.edge.identity import CONTINUE, FAILURE, SUCCESS, Exchange
from quantum.core.edge.users import KEY_BYTES, UserKeys, Users

SCRAM_SHA_256: Final = "SCRAM-SHA-256"
MESSAGE_BYTES_MAX: Final = 4096  # of a client's message: nonces are some dozen bytes, names are bounded

_FIRST: Final = 0  # client-first is awaited
_FINAL: Final = 1  # client-final is awaited
_ENDED: Final = 2


class _Broken(Exception):
    """A message that is not what RFC 5802 §7 allows."""


@final
class Scram:
    """The mechanism. It holds no state but the users."""

    __slots__ = ("_users",)

    def __init__(self, users: Users) -> None:
        self._users = users

    def begin(self, nonce: str) -> Exchange:
        """An exchange whose server nonce is `nonce`: printable ASCII without comma, never used before."""
        return ScramExchange(self._users, nonce)


@final
class ScramExchange:
    """One client's attempt."""

    __slots__ = ("_auth_message", "_gs2_header", "_keys", "_name", "_nonce", "_state", "_users", "_was_asked")

    def __init__(self, users: Users, nonce: str) -> None:
        self._users = users
        self._nonce = nonce  # the server's part; with the client's in front once that is known
        self._state = _FIRST
        self._was_asked = False
        self._name = ""
        self._gs2_header = ""
        self._auth_message = ""  # client-first-bare and server-first, joined by a comma
        self._keys: UserKeys | None = None

    def step(self, data: bytes) -> tuple[int, bytes, str]:
        """One message of the client; see `Exchange`."""
        if not data and self._state == _FIRST and not self._was_asked:
            # CONNECT without Authentication Data: the client waits to be asked. RFC 4422 §5.1
            self._was_asked = True
            return CONTINUE, b"", ""
        try:
            if len(data) > MESSAGE_BYTES_MAX:
                raise _Broken
            text = data.decode()
            if self._state == _FIRST:
                return CONTINUE, self._on_first(text), ""
            if self._state == _FINAL:
                self._state = _ENDED
                return SUCCESS, self._on_final(text), self._name
        except (_Broken, UnicodeDecodeError):
            pass
        self._state = _ENDED
        return FAILURE, b"", ""

    def _on_first(self, text: str) -> bytes:
        """gs2-header client-first-message-bare → server-first-message."""
        parts = text.split(",", 2)
        if len(parts) != 3 or parts[0] not in ("n", "y"):
            raise _Broken  # `p=` asks for a channel binding that was not offered
        bare = parts[2].split(",")
        if len(bare) < 2 or not bare[0].startswith("n=") or not bare[1].startswith("r="):
            raise _Broken  # `m=` in front is an extension that must be understood, and none is
        name = _name_of(bare[0][2:])
        if parts[1] and (not parts[1].startswith("a=") or _name_of(parts[1][2:]) != name):
            raise _Broken  # nobody may act for somebody else
        nonce = bare[1][2:]
        if not nonce or not all("!" <= character <= "~" for character in nonce):
            raise _Broken
        keys = self._users.keys_of(name)
        self._state = _FINAL
        self._name = name
        self._keys = keys
        self._nonce = nonce + self._nonce
        self._gs2_header = f"{parts[0]},{parts[1]},"
        reply = f"r={self._nonce},s={_base64(keys.salt)},i={keys.iterations}"
        self._auth_message = f"{parts[2]},{reply}"
        return reply.encode()

    def _on_final(self, text: str) -> bytes:
        """client-final-message → server-final-message."""
        keys = self._keys
        assert keys is not None
        without_proof, found, proof_text = text.rpartition(",p=")
        parts = without_proof.split(",")
        if not found or len(parts) < 2 or parts[0] != f"c={_base64(self._gs2_header.encode())}":
            raise _Broken
        if not hmac.compare_digest(parts[1].encode(), f"r={self._nonce}".encode()):
            raise _Broken
        proof = _proof_of(proof_text)
        auth_message = f"{self._auth_message},{without_proof}".encode()
        signature = hmac.digest(keys.stored_key, auth_message, "sha256")
        client_key = int.from_bytes(proof, "big") ^ int.from_bytes(signature, "big")
        if not hmac.compare_digest(keys.stored_key, sha256(client_key.to_bytes(KEY_BYTES, "big")).digest()):
            raise _Broken
        return f"v={_base64(hmac.digest(keys.server_key, auth_message, 'sha256'))}".encode()


def _name_of(text: str) -> str:
    """A saslname: `=2C` is a comma and `=3D` an equals sign, and no other `=` is allowed."""
    pieces = text.split("=")
    name = pieces[0]
    for piece in pieces[1:]:
        if piece.startswith("2C"):
            name += ","
        elif piece.startswith("3D"):
            name += "="
        else:
            raise _Broken
        name += piece[2:]
    if not name:
        raise _Broken
    return name


def _proof_of(text: str) -> bytes:
    try:
        proof = a2b_base64(text.encode(), strict_mode=True)
    except (Base64Error, ValueError):
        raise _Broken from None
    if len(proof) != KEY_BYTES:
        raise _Broken
    return proof


def _base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()
