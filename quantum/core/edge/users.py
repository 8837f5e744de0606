"""Users and the keys that stand for their passwords. Everything that reads a password is in this file; none is kept.

A users file is text: the first line is `quantum-users-1 ITERATIONS SECRET`, every further one a user, written as
`NAME:SCRAM-SHA-256$ITERATIONS:SALT$STORED_KEY:SERVER_KEY` with salt and keys in base64. The secret makes up the salt of
a name that is not there, always the same one, so that nobody can tell who is a user. Source: RFC 5802 §3, RFC 7677 §4.
"""

import hmac
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from hashlib import pbkdf2_hmac, sha256
from typing import Final, final

ITERATIONS_MIN: Final = 4096  # RFC 7677 §4
ITERATIONS_MAX: Final = 1_000_000  # about half a second of the node's one thread where the password itself is sent
SALT_BYTES: Final = 16
KEY_BYTES: Final = 32
NAME_BYTES_MAX: Final = 1024
PROVEN_MAX: Final = 10_000  # users whose last right password is known again without deriving keys

_DIGITS_MAX: Final = 9  # of a number
_HEAD: Final = "quantum-users-1"
_SCHEME: Final = "SCRAM-SHA-256$"


class UsersRefused(Exception):
    """A users file that cannot be used; the text is one line and holds nothing secret."""


@final
@dataclass(init=False, slots=True, eq=False)
class UserKeys:
    """What is kept of one password: enough to check a proof of it, too little to make one."""

    salt: bytes
    iterations: int
    stored_key: bytes
    server_key: bytes

    def __init__(self, salt: bytes, iterations: int, stored_key: bytes, server_key: bytes) -> None:
        self.salt = salt
        self.iterations = iterations
        self.stored_key = stored_key
        self.server_key = server_key


@final
class UserFile:
    """The contents of a users file."""

    __slots__ = ("iterations", "keys", "secret")

    def __init__(self, iterations: int, secret: bytes, keys: dict[str, UserKeys]) -> None:
        self.iterations = iterations  # of every user it is given, and of those it has not
        self.secret = secret
        self.keys = keys

    def to_text(self) -> str:
        """Inverse of `parse_users`."""
        lines = [f"{_HEAD} {self.iterations} {_text_of(self.secret)}"]
        for name in sorted(self.keys):
            keys = self.keys[name]
            lines.append(
                f"{name}:{_SCHEME}{keys.iterations}:{_text_of(keys.salt)}"
                f"${_text_of(keys.stored_key)}:{_text_of(keys.server_key)}"
            )
        return "\n".join(lines) + "\n"


def parse_users(text: str) -> UserFile:
    """A users file from its text. Raises: UsersRefused."""
    lines = text.split("\n")
    head = lines[0].split(" ")
    if len(head) != 3 or head[0] != _HEAD:
        raise UsersRefused(f"line 1 is no head, allowed '{_HEAD} ITERATIONS SECRET'; `quantum password` makes one")
    secret = _bytes_of(head[2], 1)
    if len(secret) != KEY_BYTES:
        raise UsersRefused(f"line 1 has a secret of {len(secret)} bytes, allowed {KEY_BYTES}")
    file = UserFile(_iterations_of(head[1], 1), secret, {})
    for number, line in enumerate(lines[1:], 2):
        if not line:
            continue
        name, keys = _user_of(line, number)
        if name in file.keys:
            raise UsersRefused(f"line {number} names a user a second time")
        file.keys[name] = keys
    return file


def check_user_name(name: str) -> None:
    """Refuse what cannot stand on a line of the file. Raises: UsersRefused."""
    if not 0 < len(name.encode()) <= NAME_BYTES_MAX:
        raise UsersRefused(f"user name of {len(name.encode())} bytes, allowed 1 to {NAME_BYTES_MAX}")
    if not name.isprintable():
        raise UsersRefused("user name with characters that cannot be printed, allowed all others")


def derive_keys(password: bytes, salt: bytes, iterations: int) -> UserKeys:
    """The keys of a password; the cost is `iterations` hashes of the calling thread. RFC 5802 §3"""
    salted = pbkdf2_hmac("sha256", password, salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    return UserKeys(salt, iterations, sha256(client_key).digest(), hmac.digest(salted, b"Server Key", "sha256"))


@final
class Users:
    """Who may connect with which password, as the edge knows it. `replace` is the only change."""

    __slots__ = ("_file", "_proof_key", "_proven", "_proven_max")

    def __init__(self, file: UserFile, proven_max: int = PROVEN_MAX) -> None:
        self._file = file
        self._proven_max = proven_max
        self._proof_key = b""
        self._proven: dict[str, bytes] = {}  # name → keyed digest of the password that was right
        self.replace(file)

    def replace(self, file: UserFile) -> None:
        """The file was read again: what comes from here on is held against it."""
        self._file = file
        self._proof_key = hmac.digest(file.secret, b"proven passwords", "sha256")
        self._proven = {}

    def keys_of(self, name: str) -> UserKeys:
        """The keys of a user; of a name that is none, keys that look like a user's and that no password fits."""
        secret, label = self._file.secret, name.encode()
        made_up = UserKeys(  # also where nobody needs it, so that the time it takes tells nothing
            hmac.digest(secret, b"salt" + label, "sha256")[:SALT_BYTES],
            self._file.iterations,
            hmac.digest(secret, b"stored" + label, "sha256"),
            hmac.digest(secret, b"server" + label, "sha256"),
        )
        return self._file.keys.get(name, made_up)

    def is_proven(self, name: str, password: bytes) -> bool:
        """Whether `is_right` said so before. Costs one hash."""
        proof = self._proven.get(name)
        return proof is not None and hmac.compare_digest(proof, hmac.digest(self._proof_key, password, "sha256"))

    def is_right(self, name: str, password: bytes) -> bool:
        """Derive the keys of the password and compare. Costs the user's iterations, whoever it is."""
        keys = self.keys_of(name)
        derived = derive_keys(password, keys.salt, keys.iterations)
        is_right = hmac.compare_digest(keys.stored_key, derived.stored_key)
        if is_right:
            self._proven.pop(name, None)
            if len(self._proven) >= self._proven_max:
                del self._proven[next(iter(self._proven))]
            self._proven[name] = hmac.digest(self._proof_key, password, "sha256")
        return is_right


def _user_of(line: str, number: int) -> tuple[str, UserKeys]:
    parts = line.rsplit(":", 3)  # a name may hold colons, what follows it holds three
    middle = parts[2].split("$") if len(parts) == 4 else []
    if len(middle) != 2 or not parts[1].startswith(_SCHEME):
        raise UsersRefused(f"line {number} is no user, allowed 'NAME:{_SCHEME}ITERATIONS:SALT$STORED_KEY:SERVER_KEY'")
    try:
        check_user_name(parts[0])
    except UsersRefused as error:
        raise UsersRefused(f"line {number}: {error}") from None
    salt, stored_key, server_key = [_bytes_of(text, number) for text in (*middle, parts[3])]
    if not salt or len(stored_key) != KEY_BYTES or len(server_key) != KEY_BYTES:
        raise UsersRefused(f"line {number} has no salt, or keys of other than {KEY_BYTES} bytes")
    return parts[0], UserKeys(salt, _iterations_of(parts[1][len(_SCHEME) :], number), stored_key, server_key)


def _iterations_of(text: str, number: int) -> int:
    is_number = text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
    if not (is_number and ITERATIONS_MIN <= int(text) <= ITERATIONS_MAX):
        raise UsersRefused(f"line {number} has {text[:9]!r} iterations, allowed {ITERATIONS_MIN} to {ITERATIONS_MAX}")
    return int(text)


def _bytes_of(text: str, number: int) -> bytes:
    try:
        return a2b_base64(text.encode(), strict_mode=True)
    except (Base64Error, ValueError):
        raise UsersRefused(f"line {number} has bytes that are no base64") from None


def _text_of(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode()
