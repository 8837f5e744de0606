"""The users file on disk: read whole, written whole beside itself and put in place, readable by its owner only."""

import os
import secrets
from pathlib import Path

from quantum.core.edge.users import ITERATIONS_MIN, KEY_BYTES, UserFile, UsersRefused, parse_users


def read_users(path: str) -> UserFile:
    """Raises: UsersRefused, for a file that cannot be read too."""
    try:
        return parse_users(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsersRefused(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsersRefused(f"{path}: not UTF-8") from None
    except UsersRefused as error:
        raise UsersRefused(f"{path}: {error}") from None


def new_users(iterations: int = ITERATIONS_MIN) -> UserFile:
    """A file without users, with a secret of its own."""
    return UserFile(iterations, secrets.token_bytes(KEY_BYTES), {})


def write_users(path: str, file: UserFile) -> None:
    """Replace the file: whoever reads it meanwhile sees the old or the new one. Raises: OSError."""
    target = Path(path)
    beside = target.with_name(target.name + ".new")
    beside.unlink(missing_ok=True)  # left by a command that was killed
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(file.to_text())
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(target)
    directory = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
