"""The Disk port: disk requests of the core in, their completions out, in order within each lane.

Two backends, one contract: `HelperDisk` writes inline and has a helper process sync (the default), `InlineDisk` does
everything in the calling turn (tests, a single user). After a failed write or sync of the log no later append succeeds.
"""

import asyncio
import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol, final

from quantum.core.wal.requests import LOG_LANE, AppendLog, DeleteFiles, DiskDone, DiskRequest, WriteFile
from quantum.io.disk_helper import (
    ANSWER_BYTES_MAX,
    LENGTH,
    ORDER,
    Helper,
    decode_done,
    encode_request,
    fork_helper,
)
from quantum.io.files import FileStore, NameRefused, error_text

HELPER: Final = "helper"
INLINE: Final = "inline"
BACKENDS: Final = (HELPER, INLINE)
HELPER_ENDED: Final = "the disk helper process ended"


class Disk(Protocol):
    """What the reactor drives."""

    def start(self, loop: asyncio.AbstractEventLoop, on_done: Callable[[DiskDone], None]) -> None:
        """The loop is running; `on_done` is told of every completion, once."""
        ...

    def submit(self, requests: list[DiskRequest]) -> None:
        """Take requests on. Completions may come before this returns."""
        ...

    def close(self) -> None:
        """Stop. Requests that are not done are told of nothing more."""
        ...


def open_disk(backend: str, root: str, lock_fd: int) -> Disk:
    """Open a locked data directory. Call before the loop runs, for the helper is forked here."""
    FileStore(root).remove_leftovers()
    if backend == INLINE:
        return InlineDisk(root)
    assert backend == HELPER
    return HelperDisk(root, lock_fd)


@final
class InlineDisk:
    """Every request is carried out before `submit` returns."""

    __slots__ = ("_failure", "_on_done", "_store")

    def __init__(self, root: str) -> None:
        self._store = FileStore(root)
        self._on_done: Callable[[DiskDone], None] = _nobody_listens
        self._failure = ""

    def start(self, loop: asyncio.AbstractEventLoop, on_done: Callable[[DiskDone], None]) -> None:
        self._on_done = on_done

    def submit(self, requests: list[DiskRequest]) -> None:
        for request in requests:
            if isinstance(request, AppendLog) and self._failure:
                done = DiskDone(request.number, error=self._failure)
            else:
                done = self._store.execute(request)
                if isinstance(request, AppendLog):
                    self._failure = done.error
            self._on_done(done)

    def close(self) -> None:
        self._store.close()


@final
class HelperDisk:
    """Appends are written here and synced by the helper; all else is executed by the helper.

    A log-lane read (they come at boot) runs alone: it waits for the appends before it, and the ones after it wait.
    """

    __slots__ = (
        "_background",
        "_background_pending",
        "_failure",
        "_helper",
        "_is_reading",
        "_log_queue",
        "_loop",
        "_on_done",
        "_orders",
        "_sent_name",
        "_store",
        "_syncing",
    )

    def __init__(self, root: str, lock_fd: int) -> None:
        self._helper: Helper = fork_helper(root, [lock_fd] if lock_fd >= 0 else [])
        self._store = FileStore(root)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_done: Callable[[DiskDone], None] = _nobody_listens
        self._log_queue: deque[DiskRequest] = deque()  # log lane, not started
        self._syncing: deque[int] = deque()  # numbers written, sync not answered
        self._orders: deque[tuple[bytes, int]] = deque()  # sync orders the channel had no room for, with a descriptor
        self._is_reading = False  # a log-lane read is with the helper
        self._sent_name = ""  # the file whose descriptor the helper holds
        self._background_pending: dict[int, DiskRequest] = {}
        self._background: asyncio.Transport | None = None
        self._failure = ""

    @property
    def helper_pid(self) -> int:
        return self._helper.pid

    def start(self, loop: asyncio.AbstractEventLoop, on_done: Callable[[DiskDone], None]) -> None:
        self._loop = loop
        self._on_done = on_done
        loop.add_reader(self._helper.log_channel.fileno(), self._on_log_answers)
        loop.create_task(self._connect_background(loop))

    async def _connect_background(self, loop: asyncio.AbstractEventLoop) -> None:
        transport, _ = await loop.create_unix_connection(
            lambda: _BackgroundChannel(self._on_background_done, self._on_helper_gone),
            sock=self._helper.background_channel,
        )
        self._background = transport
        for request in self._background_pending.values():
            transport.write(encode_request(request))

    def submit(self, requests: list[DiskRequest]) -> None:
        for request in requests:
            if request.lane == LOG_LANE:
                self._log_queue.append(request)
            else:
                self._send_background(request)
        self._start_log_requests()

    def close(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._helper.log_channel.fileno())
            self._loop.remove_writer(self._helper.log_channel.fileno())
        self._on_done = _nobody_listens
        self._loop = None
        self._helper.log_channel.close()
        if self._background is not None:
            self._background.abort()
        else:
            self._helper.background_channel.close()
        self._store.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._helper.pid, 0)

    def kill_helper(self) -> None:
        """End the helper as the system would when memory runs out."""
        os.kill(self._helper.pid, signal.SIGKILL)

    def _start_log_requests(self) -> None:
        queue = self._log_queue
        while queue and not self._is_reading:
            if isinstance(queue[0], AppendLog):
                self._append(queue.popleft())
            elif self._syncing:
                return
            else:
                self._is_reading = True
                self._send_background(queue.popleft())

    def _append(self, request: DiskRequest) -> None:
        assert isinstance(request, AppendLog)
        if self._failure:
            self._fail_append(request.number)
            return
        try:
            fd = self._store.write_log(request)
        except NameRefused as error:
            self._failure = str(error)
        except OSError as error:
            self._failure = error_text(error, f"append to {request.name}")
        if self._failure:
            self._fail_append(request.number)
            return
        sent_fd = -1
        if request.name != self._sent_name:
            sent_fd = os.dup(fd)  # lives until it is sent, whatever the store opens next
            self._sent_name = request.name
        self._syncing.append(request.number)
        self._orders.append((ORDER.pack(request.number), sent_fd))
        self._send_orders()

    def _fail_append(self, number: int) -> None:
        if self._syncing:
            # Answered in order: behind the appends whose syncs are still out.
            self._syncing.append(number)
            self._orders.append((ORDER.pack(number), -1))
            self._send_orders()
        else:
            self._on_done(DiskDone(number, error=self._failure))

    def _send_orders(self) -> None:
        assert self._loop is not None
        channel = self._helper.log_channel
        while self._orders:
            order, fd = self._orders[0]
            try:
                if fd >= 0:
                    socket.send_fds(channel, [order], [fd])
                else:
                    channel.send(order)
            except BlockingIOError:
                self._loop.add_writer(channel.fileno(), self._send_orders)
                return
            except OSError:
                return  # the reader sees the end of file and fails everything that is out
            if fd >= 0:
                os.close(fd)
            self._orders.popleft()
        self._loop.remove_writer(channel.fileno())

    def _on_log_answers(self) -> None:
        while True:
            try:
                answer = self._helper.log_channel.recv(ANSWER_BYTES_MAX)
            except BlockingIOError:
                break
            except OSError:
                answer = b""
            if not answer:
                self._on_helper_gone()
                return
            number = ORDER.unpack_from(answer)[0]
            expected = self._syncing.popleft()
            assert expected == number
            self._failure = self._failure or answer[ORDER.size :].decode()
            self._on_done(DiskDone(number, error=self._failure))
        self._start_log_requests()

    def _send_background(self, request: DiskRequest) -> None:
        if self._failure == HELPER_ENDED:
            self._on_done(DiskDone(request.number, error=HELPER_ENDED))
            return
        self._background_pending[request.number] = request
        if self._background is not None:
            self._background.write(encode_request(request))

    def _on_background_done(self, done: DiskDone) -> None:
        request = self._background_pending.pop(done.number)
        if isinstance(request, DeleteFiles | WriteFile):
            names = request.names if isinstance(request, DeleteFiles) else [request.name]
            self._store.forget(names)
            if self._sent_name in names:
                self._sent_name = ""
        self._on_done(done)
        if request.lane == LOG_LANE:
            self._is_reading = False
            self._start_log_requests()

    def _on_helper_gone(self) -> None:
        """Everything that is out has failed, and everything to come will."""
        if self._loop is None or self._failure == HELPER_ENDED:
            return
        self._failure = HELPER_ENDED
        self._loop.remove_reader(self._helper.log_channel.fileno())
        self._loop.remove_writer(self._helper.log_channel.fileno())
        failed = [*self._syncing, *self._background_pending]
        self._syncing.clear()
        self._background_pending.clear()
        for _, fd in self._orders:
            if fd >= 0:
                os.close(fd)
        self._orders.clear()
        for number in failed:
            self._on_done(DiskDone(number, error=HELPER_ENDED))
        self._is_reading = False
        self._start_log_requests()


@final
class _BackgroundChannel(asyncio.Protocol):
    """Cuts the helper's answers out of the stream."""

    __slots__ = ("_on_done", "_on_gone", "_pieces", "_size", "_wanted")

    def __init__(self, on_done: Callable[[DiskDone], None], on_gone: Callable[[], None]) -> None:
        self._on_done = on_done
        self._on_gone = on_gone
        self._pieces: list[bytes] = []
        self._size = 0
        self._wanted = LENGTH.size  # bytes needed before anything can be cut

    def data_received(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size < self._wanted:
            return
        data = b"".join(self._pieces)
        at = 0
        while len(data) - at >= LENGTH.size:
            end = at + LENGTH.size + LENGTH.unpack_from(data, at)[0]
            if end > len(data):
                break
            self._on_done(decode_done(data[at + LENGTH.size : end]))
            at = end
        rest = data[at:]
        self._pieces = [rest]
        self._size = len(rest)
        self._wanted = LENGTH.size + (LENGTH.unpack_from(rest)[0] if len(rest) >= LENGTH.size else 0)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_gone()


def _nobody_listens(done: DiskDone) -> None:
    """Before the start and after the end."""
