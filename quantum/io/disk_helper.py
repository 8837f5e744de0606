"""The helper process of the disk: it syncs the log and carries out background requests, so that the loop never waits.

A thread would wait for the interpreter lock behind a busy loop, for seconds; a process does not. The helper is forked
before the loop starts, ignores the signals that stop the broker, and ends when its parent does. Two lanes, two channels:
the main thread answers sync orders, a second thread executes background requests, and neither waits for the other.
"""

import contextlib
import os
import signal
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Final, final

import msgpack

from quantum.core.wal.requests import CreateFile, DeleteFiles, DiskDone, DiskRequest, ListFiles, ReadFile, WriteFile
from quantum.io.files import FileStore, error_text

ORDER: Final = struct.Struct("<Q")  # the number of an AppendLog whose bytes are written but not synced
LENGTH: Final = struct.Struct("<I")
ANSWER_BYTES_MAX: Final = 4096
_LIST, _READ, _CREATE, _WRITE, _DELETE = range(5)


@final
@dataclass(slots=True)
class Helper:
    """The parent's view of a running helper."""

    pid: int
    log_channel: socket.socket  # SOCK_SEQPACKET: an ORDER, with a file descriptor when the file changes
    background_channel: socket.socket  # SOCK_STREAM: frames of LENGTH and msgpack


def fork_helper(root: str, keep_fds: list[int]) -> Helper:
    """Start the helper. Call before there is a loop or a thread; `keep_fds` stay open in it (the directory's lock)."""
    log_parent, log_child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    background_parent, background_child = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    pid = os.fork()
    if pid == 0:
        _run_child(root, log_child, background_child, keep_fds)
    log_child.close()
    background_child.close()
    log_parent.setblocking(False)
    background_parent.setblocking(False)
    return Helper(pid, log_parent, background_parent)


def encode_request(request: DiskRequest) -> bytes:
    """A background frame."""
    body: tuple[object, ...]
    if isinstance(request, ListFiles):
        body = (_LIST, request.number)
    elif isinstance(request, ReadFile):
        body = (_READ, request.number, request.name, request.offset, request.size)
    elif isinstance(request, CreateFile):
        body = (_CREATE, request.number, request.name, request.size)
    elif isinstance(request, WriteFile):
        body = (_WRITE, request.number, request.name, request.data)
    else:
        assert isinstance(request, DeleteFiles)
        body = (_DELETE, request.number, request.names)
    packed: bytes = msgpack.packb(body)
    return LENGTH.pack(len(packed)) + packed


def decode_request(packed: bytes) -> DiskRequest:
    """Inverse of `encode_request`, without the length."""
    body = msgpack.unpackb(packed)
    kind = body[0]
    if kind == _LIST:
        return ListFiles(body[1])
    if kind == _READ:
        return ReadFile(body[1], body[2], body[3], body[4])
    if kind == _CREATE:
        return CreateFile(body[1], body[2], body[3])
    if kind == _WRITE:
        return WriteFile(body[1], body[2], body[3])
    return DeleteFiles(body[1], body[2])


def encode_done(done: DiskDone) -> bytes:
    packed: bytes = msgpack.packb((done.number, done.error, done.data, done.files))
    return LENGTH.pack(len(packed)) + packed


def decode_done(packed: bytes) -> DiskDone:
    number, error, data, files = msgpack.unpackb(packed)
    return DiskDone(number, error, data, None if files is None else [(name, size) for name, size in files])


def _run_child(root: str, log_channel: socket.socket, background: socket.socket, keep_fds: list[int]) -> None:
    """Everything the child ever does; it never returns into the parent's code."""
    code = 1
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        # The parent's ends must not live on here: their end of file is how the helper learns that the parent is gone.
        _close_all_but([0, 1, 2, log_channel.fileno(), background.fileno(), *keep_fds])
        with contextlib.suppress(OSError), open("/proc/self/comm", "wb") as comm:
            comm.write(b"quantum-disk")
        threading.Thread(target=_serve_background, args=(root, background), daemon=True).start()
        _serve_log(log_channel)
        code = 0
    finally:
        os._exit(code)


def _close_all_but(keep: list[int]) -> None:
    low = 0
    for fd in sorted(keep):
        if low < fd:  # an empty range that ends at 0 would mean all of them
            os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))


def _serve_log(channel: socket.socket) -> None:
    """Sync what the parent has written, in order, until the parent is gone."""
    fd = -1
    failure = ""
    while True:
        order, fds, _, _ = socket.recv_fds(channel, ORDER.size, 1)
        if not order:
            return
        if fds:
            if fd >= 0:
                os.close(fd)
            fd = fds[0]
        if not failure:
            try:
                os.fdatasync(fd)
            except OSError as error:
                # Final: the kernel forgets which pages failed, so a later sync that succeeds would prove nothing.
                failure = error_text(error, "fdatasync of the log")
        channel.send(order + failure.encode()[: ANSWER_BYTES_MAX - ORDER.size])


def _serve_background(root: str, channel: socket.socket) -> None:
    store = FileStore(root)
    stream = channel.makefile("rb", buffering=1 << 16)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while head := stream.read(LENGTH.size):
            request = decode_request(stream.read(LENGTH.unpack(head)[0]))
            channel.sendall(encode_done(store.execute(request)))
