"""A node as a process: lock, disk helper, certificates, listeners, management HTTP, signals, exit code."""

import asyncio
import gc
import os
import resource
import secrets
import signal
import sys
from pathlib import Path
from typing import Final, final

from quantum.core.causes import HANDSHAKE_FAILED
from quantum.core.edge.users import UserFile, UsersRefused
from quantum.core.events import Event
from quantum.core.node.node import Node
from quantum.core.node.storage import Identity
from quantum.io.config import Config, ConfigError, to_node_config
from quantum.io.connections import Handshakes
from quantum.io.data_lock import DataDirectoryInUse, lock_data_directory
from quantum.io.disk import Disk, open_disk
from quantum.io.event_log import LEVELS, EventLog
from quantum.io.http import ManagementServer
from quantum.io.listeners import (
    Listener,
    ListenerError,
    ListenerUrl,
    check_exposure,
    is_loopback,
    parse_address,
    parse_url,
)
from quantum.io.reactor import Reactor
from quantum.io.tls import CertificateError, CertificateFiles, TlsContexts
from quantum.io.users_file import read_users

HANDSHAKES_MAX: Final = 2048  # under way at once
FILES_SPARE: Final = 8192  # handshakes, what one pass accepts, connections that linger, and the log's own
FAILED_LINGER_S: Final = 0.2  # for farewells and the event log after the disk failed
NODE_ID: Final = "node-1"


def run(config: Config) -> int:
    """Run a node until it is told to stop; the exit code. Errors of the set-up are one line on stderr."""
    sys.setswitchinterval(5e-5)  # a thread of a library must not wait for seconds behind a busy loop
    data_dir = os.path.abspath(config.text("paths.data_dir"))
    try:
        urls = [parse_url(text) for text in config.texts("listeners.urls")]
        has_own = bool(config.text("tls.cert"))
        for url in urls:
            check_exposure(
                url,
                has_own_certificate=has_own,
                has_client_ca=bool(config.text("tls.client_ca")),
                has_users=bool(config.text("auth.users_file")) and not config.flag("mqtt.allow_anonymous"),
            )
        _check_management(config)
        _raise_file_limit(config)
        lock_fd = lock_data_directory(data_dir)
        contexts = _tls_contexts(config, urls, data_dir)
        users = _users(config)
        if users is None and not config.flag("mqtt.allow_anonymous") and not _asks_for_certificates(config, contexts):
            _say(
                "mqtt.allow_anonymous is false, and no listener asks for client certificates: nobody can connect; "
                "set auth.users_file to a file that `quantum password` made"
            )
        listeners = [Listener(url) for url in urls]
        disk = open_disk(config.text("disk.backend"), data_dir, lock_fd)
    except (ConfigError, ListenerError, CertificateError, DataDirectoryInUse) as error:
        _say(str(error))
        return 2
    except OSError as error:
        _say(f"{data_dir}: {error.strerror}")
        return 2
    process = _Process(config, data_dir, disk, listeners, contexts, users)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(process.serve())


def _check_management(config: Config) -> None:
    """Management HTTP knows no identities, so only this machine may reach it. Raises: ConfigError, ListenerError."""
    bind = config.text("http.bind")
    if bind and not is_loopback(parse_address(bind)[0]):
        raise ConfigError(
            f"{config.source('http.bind')}: http.bind is {bind!r}, allowed loopback only: it has no authentication; "
            "bind 127.0.0.1 and put a proxy that checks operators in front"
        )


def _raise_file_limit(config: Config) -> None:
    """A file for every connection and more: where clients hold all there are, the log cannot be written, and that is final."""
    connections_max = config.number("listeners.connections_max")
    wanted = connections_max + FILES_SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        _say(
            f"listeners.connections_max is {connections_max}, and this process may open {hard} files, of which it wants "
            f"{wanted}: clients could take what the log needs; raise the limit (ulimit -Hn) or lower the setting"
        )


def _asks_for_certificates(config: Config, contexts: TlsContexts | None) -> bool:
    """Whether a client can show who it is by a certificate: where none are configured, a CA for clients is made too."""
    return contexts is not None and bool(config.text("tls.client_ca") or not config.text("tls.cert"))


def _users(config: Config) -> UserFile | None:
    """Who may connect, where a users file is named. Raises: ConfigError."""
    file = config.text("auth.users_file")
    if not file:
        return None
    try:
        return read_users(file)
    except UsersRefused as error:
        fix = "" if os.path.isfile(file) else f"; name a file, as `quantum password add {file} NAME` makes it"
        raise ConfigError(f"{config.source('auth.users_file')}: auth.users_file: {error}{fix}") from None


def _say(text: str) -> None:
    """One line for whoever started the process."""
    sys.stderr.write(f"quantum: {text}\n")


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    """uvloop where it is installed; QUANTUM_LOOP=asyncio forces the standard loop."""
    if os.environ.get("QUANTUM_LOOP") == "asyncio":
        return None
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.Loop


def _tls_contexts(config: Config, urls: list[ListenerUrl], data_dir: str) -> TlsContexts | None:
    """The certificates of the TLS listeners; made on first start where none are configured."""
    if not any(url.is_secure for url in urls):
        return None
    cert, key, client_ca = config.text("tls.cert"), config.text("tls.key"), config.text("tls.client_ca")
    if bool(cert) != bool(key):
        raise ConfigError(f"{config.source('tls.cert')}: tls.cert and tls.key are given together or not at all")
    for name in ("tls.cert", "tls.key", "tls.client_ca"):
        path = config.text(name)
        if path and not os.path.isfile(path):
            raise ConfigError(f"{config.source(name)}: {name} is {path!r}, no such file; `quantum certs` makes one")
    if not cert:
        from quantum.io.certs import make_certificates  # the library is large, and most starts do without it

        made = make_certificates(Path(data_dir) / "certs")
        cert, key = str(made.server_cert), str(made.server_key)
        client_ca = client_ca or str(made.ca)
    return TlsContexts(CertificateFiles(cert, key, client_ca))


@final
class _Process:
    """Everything that lives while the loop runs."""

    def __init__(
        self,
        config: Config,
        data_dir: str,
        disk: Disk,
        listeners: list[Listener],
        contexts: TlsContexts | None,
        users: UserFile | None,
    ) -> None:
        self._config = config
        self._data_dir = data_dir
        self._disk = disk
        self._listeners = listeners
        self._contexts = contexts
        self._users = users
        self._log = EventLog(2, LEVELS[config.text("log.level")])
        self._failed: asyncio.Future[None] | None = None
        self._ready: asyncio.Future[None] | None = None

    async def serve(self) -> int:
        """Until stopped: 0; after a failure of the disk or the node: 1."""
        config = self._config
        loop = asyncio.get_running_loop()
        self._failed = loop.create_future()
        self._ready = loop.create_future()
        identity = Identity(secrets.token_hex(8), NODE_ID)
        node = Node(to_node_config(config, identity, self._users), secrets.randbits(64))
        reactor = Reactor(node, self._disk, loop, self._on_events, self._on_failure)
        management = ManagementServer(reactor)
        reactor.start()
        ended = loop.create_task(reactor.wait_ended())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, reactor.on_stop_wanted)
        loop.add_signal_handler(signal.SIGHUP, self._reload, reactor)
        if self._contexts is not None:
            self._watch_certificates(loop)
        try:
            if config.text("http.bind"):
                await management.open(*parse_address(config.text("http.bind")))
            await asyncio.wait([ended, self._ready, self._failed], return_when=asyncio.FIRST_COMPLETED)
            if self._ready.done() and not self._failed.done():
                await self._open(loop, reactor, management)
            await asyncio.wait([ended, self._failed], return_when=asyncio.FIRST_COMPLETED)
        except (OSError, ListenerError) as error:
            _say(f"http.bind {config.text('http.bind')}: {error}")
            ended.cancel()
            return 2
        finally:
            for listener in self._listeners:
                listener.close()
        if self._failed.done():
            _say(reactor.failure)
            await asyncio.sleep(FAILED_LINGER_S)
        management.close()
        reactor.close()
        if ended.done() and not ended.cancelled() and ended.exception() is not None:
            ended.result()
        ended.cancel()
        return 1 if self._failed.done() else 0

    async def _open(self, loop: asyncio.AbstractEventLoop, reactor: Reactor, management: ManagementServer) -> None:
        config = self._config
        handshakes = Handshakes(
            loop,
            count_max=HANDSHAKES_MAX,
            timeout_ms=config.number("listeners.connect_timeout_ms"),
            on_failed=self._on_handshake_failed,
        )
        for listener in self._listeners:
            await listener.open(reactor, handshakes, self._contexts)
        fields = [f"{listener.url.scheme}={listener.url.scheme}://{listener.address}" for listener in self._listeners]
        if management.address:
            fields.append(f"http=http://{management.address}")
        fields.append(f"data={self._data_dir}")
        fields.append(f"durability={config.text('durability.mode')}")
        gc.collect()
        gc.freeze()
        # Nothing on the hot path makes cycles, so collecting finds little: it need only be short. 10,000 young objects take
        # a millisecond, 50,000 of the middle generation ten; once in some millions of objects it may look at all of them.
        gc.set_threshold(10_000, 500, 100)
        sys.stdout.write("quantum ready " + " ".join(fields) + "\n")
        sys.stdout.flush()

    def _on_events(self, events: list[Event]) -> None:
        self._log.write(events)
        if self._ready is not None and not self._ready.done() and any(event.name == "node_ready" for event in events):
            self._ready.set_result(None)

    def _on_failure(self) -> None:
        if self._failed is not None and not self._failed.done():
            self._failed.set_result(None)

    def _on_handshake_failed(self, listener: str, peer: str, text: str) -> None:
        self._log.write(
            [Event("handshake_failed", 20, HANDSHAKE_FAILED, {"listener": listener, "peer": peer, "detail": text})]
        )

    def _watch_certificates(self, loop: asyncio.AbstractEventLoop) -> None:
        seconds = self._config.number("tls.reload_s")
        if seconds:
            loop.call_later(seconds, self._look_at_certificates, loop)

    def _look_at_certificates(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._contexts is not None and self._contexts.is_stale():
            self._reload_certificates()
        self._watch_certificates(loop)

    def _reload(self, reactor: Reactor) -> None:
        """SIGHUP: look at everything again that may change while the node runs."""
        if self._contexts is not None:
            self._reload_certificates()
        if self._users is not None:
            try:
                reactor.on_users(read_users(self._config.text("auth.users_file")))
            except UsersRefused as error:
                self._log.write([Event("users_refused", 40, None, {"detail": str(error)})])
            else:
                self._log.write([Event("users_reloaded", 20)])

    def _reload_certificates(self) -> None:
        """New handshakes use the new certificates; those that cannot be used change nothing."""
        assert self._contexts is not None
        try:
            self._contexts.reload()
        except CertificateError as error:
            self._log.write([Event("certificates_refused", 40, None, {"detail": str(error)})])
        else:
            self._log.write([Event("certificates_reloaded", 20)])
