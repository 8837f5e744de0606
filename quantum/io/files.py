"""The files of a data directory: the one place that opens, writes, syncs, renames and deletes them.

Every call blocks. Whoever cannot wait puts a process between (`disk_helper`). A failure is returned as the text of a
`DiskDone`, never raised, and is final for that request: nothing here tries a write or a sync twice (FAULTS W7).
"""

import os
from typing import Final, final

from quantum.core.wal.requests import (
    AppendLog,
    CreateFile,
    DeleteFiles,
    DiskDone,
    DiskRequest,
    ListFiles,
    ReadFile,
    WriteFile,
)

TEMPORARY_SUFFIX: Final = ".tmp"  # such a file is unfinished: never listed, removed at the next start
DRIVER_NAMES: Final = ("lock", "certs")  # at the top of the data directory, not the core's
ZERO_SLICE: Final = bytes(1 << 20)
NAME_BYTES_MAX: Final = 1024


@final
class NameRefused(Exception):
    """A name that is not a plain relative path inside the data directory."""


def check_name(name: str) -> str:
    """Return `name` if it stays below the directory it will be joined to. Raises: NameRefused."""
    parts = name.split("/")
    if not name or len(name) > NAME_BYTES_MAX or "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise NameRefused(f"file name {name!r}, allowed a relative path with / and without . or ..")
    if parts[0] in DRIVER_NAMES or name.endswith(TEMPORARY_SUFFIX):
        raise NameRefused(f"file name {name!r} belongs to the driver")
    return name


def error_text(error: OSError, what: str) -> str:
    """One line for a `DiskDone`: what was tried, what the system said."""
    return f"{what}: {error.strerror or error} (errno {error.errno})"


def write_whole(fd: int, data: bytes, offset: int) -> None:
    """Write all of `data`; a short write is continued, and one that makes no progress is an error. Raises: OSError."""
    done = os.pwrite(fd, data, offset)
    while done < len(data):
        more = os.pwrite(fd, memoryview(data)[done:], offset + done)
        if more == 0:
            raise OSError(5, "short write")
        done += more


def sync_directory(path: str) -> None:
    """Make the entries of a directory durable. Raises: OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@final
class FileStore:
    """Executes disk requests on one data directory, one after another, each to its end."""

    __slots__ = ("_log_fd", "_log_name", "_log_size", "root")

    def __init__(self, root: str) -> None:
        self.root = root
        self._log_fd = -1  # the file appended to last stays open
        self._log_name = ""
        self._log_size = 0

    def remove_leftovers(self) -> None:
        """Delete temporary files of an earlier process. Call once, with the directory locked."""
        for directory, _, names in os.walk(self.root):
            for name in names:
                if name.endswith(TEMPORARY_SUFFIX):
                    os.unlink(os.path.join(directory, name))

    def execute(self, request: DiskRequest) -> DiskDone:
        """Carry one request out and say how it ended."""
        what = type(request).__name__
        try:
            if isinstance(request, AppendLog):
                what = f"append to {request.name}"
                os.fdatasync(self.write_log(request))
            elif isinstance(request, ReadFile):
                what = f"read {request.name}"
                return DiskDone(request.number, data=self._read(request))
            elif isinstance(request, ListFiles):
                return DiskDone(request.number, files=self._list())
            elif isinstance(request, CreateFile):
                what = f"create {request.name}"
                self._create(request)
            elif isinstance(request, WriteFile):
                what = f"write {request.name}"
                self._write(request)
            else:
                what = f"delete {', '.join(request.names[:3])}"
                self._delete(request)
        except NameRefused as error:
            return DiskDone(request.number, error=str(error))
        except OSError as error:
            return DiskDone(request.number, error=error_text(error, what))
        return DiskDone(request.number)

    def write_log(self, request: AppendLog) -> int:
        """Write without syncing; returns the file descriptor to sync. Raises: OSError, NameRefused."""
        if request.name != self._log_name:
            path = self._path(request.name)
            self.close()
            self._log_fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            self._log_name = request.name
            self._log_size = os.fstat(self._log_fd).st_size
        if request.offset < 0 or request.offset + len(request.data) > self._log_size:
            raise OSError(27, f"bytes {request.offset} to {request.offset + len(request.data)} of {self._log_size}")
        write_whole(self._log_fd, request.data, request.offset)
        return self._log_fd

    def forget(self, names: list[str]) -> None:
        """These names may stand for other files from here on."""
        if self._log_name in names:
            self.close()

    def close(self) -> None:
        if self._log_fd >= 0:
            os.close(self._log_fd)
        self._log_fd = -1
        self._log_name = ""

    def _path(self, name: str) -> str:
        return os.path.join(self.root, check_name(name))

    def _read(self, request: ReadFile) -> bytes:
        fd = os.open(self._path(request.name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            pieces: list[bytes] = []
            offset, left = request.offset, request.size
            while left > 0:
                piece = os.pread(fd, left, offset)
                if not piece:
                    break
                pieces.append(piece)
                offset += len(piece)
                left -= len(piece)
        finally:
            os.close(fd)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _list(self) -> list[tuple[str, int]]:
        # What a killed process renamed may be in the cache only; the core deletes other files because of what it finds
        # here, so it must be durable first.
        files: list[tuple[str, int]] = []
        for directory, _, names in os.walk(self.root):
            sync_directory(directory)
            inside = os.path.relpath(directory, self.root)
            for base in names:
                name = base if inside == "." else f"{inside}/{base}"
                if name.split("/")[0] not in DRIVER_NAMES and not name.endswith(TEMPORARY_SUFFIX):
                    files.append((name, os.lstat(os.path.join(directory, base)).st_size))
        files.sort()
        return files

    def _create(self, request: CreateFile) -> None:
        path = self._path(request.name)
        if os.path.lexists(path):
            raise FileExistsError(17, "the file exists")
        self._make_directory(os.path.dirname(path))
        fd = os.open(path + TEMPORARY_SUFFIX, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            offset = 0
            while offset < request.size:
                size = min(len(ZERO_SLICE), request.size - offset)
                write_whole(fd, ZERO_SLICE[:size], offset)
                # Synced slice by slice: a flush of the whole file at once would hold up the log's own syncs.
                os.fdatasync(fd)
                offset += size
            os.fsync(fd)
        finally:
            os.close(fd)
        self._publish(path)

    def _write(self, request: WriteFile) -> None:
        path = self._path(request.name)
        self._make_directory(os.path.dirname(path))
        fd = os.open(path + TEMPORARY_SUFFIX, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            write_whole(fd, request.data, 0)
            os.fsync(fd)
        finally:
            os.close(fd)
        self.forget([request.name])
        self._publish(path)

    def _publish(self, path: str) -> None:
        os.rename(path + TEMPORARY_SUFFIX, path)
        sync_directory(os.path.dirname(path))

    def _make_directory(self, path: str) -> None:
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path)
        self._make_directory(parent)
        os.mkdir(path, 0o700)
        sync_directory(parent)

    def _delete(self, request: DeleteFiles) -> None:
        self.forget(request.names)
        changed: dict[str, None] = {}
        for name in request.names:
            path = self._path(name)
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
            changed[os.path.dirname(path)] = None
        for directory in sorted(changed, key=len, reverse=True):
            self._sync_or_remove(directory)

    def _sync_or_remove(self, directory: str) -> None:
        """Sync a directory that lost entries; one that is empty goes, and its parent is synced in its place."""
        if directory != self.root and os.path.isdir(directory) and not os.listdir(directory):
            os.rmdir(directory)
            self._sync_or_remove(os.path.dirname(directory))
        elif os.path.isdir(directory):
            sync_directory(directory)
