"""One process per data directory.

The lock is an flock on `DATA/lock`; it is shared with the disk helper, so it falls only when nobody can write any more.
"""

import fcntl
import os
import time
from typing import Final

WAIT_MS: Final = 10_000  # for the helper of a killed process to finish its last system call


class DataDirectoryInUse(Exception):
    """Another process owns the data directory."""


def lock_data_directory(root: str) -> int:
    """Create the directory if needed and lock it; the file descriptor holds the lock until it is closed.

    Raises: DataDirectoryInUse, OSError.
    """
    os.makedirs(root, mode=0o700, exist_ok=True)
    fd = os.open(os.path.join(root, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    give_up_at = time.monotonic_ns() + WAIT_MS * 1_000_000
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            owner = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            if _is_alive(owner) or time.monotonic_ns() > give_up_at:
                os.close(fd)
                named = f"process {owner}" if owner.isdigit() else "another process"
                raise DataDirectoryInUse(
                    f"data directory {root} is in use by {named}; stop it, or choose another paths.data_dir"
                ) from None
            time.sleep(0.005)
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def _is_alive(owner: str) -> bool:
    if not owner.isdigit():
        return False
    try:
        os.kill(int(owner), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(int(owner))


def _is_zombie(pid: int) -> bool:
    """Killed but not yet reaped by its parent: it owns nothing any more."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return stat.read().rsplit(b")", 1)[-1].split()[0] == b"Z"
    except OSError:
        return False
