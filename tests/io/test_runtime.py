"""Goal: `quantum run` as an operator meets it: its ready line, its exit codes, what it refuses, its HTTP. Method: real
processes on real sockets and directories."""

import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import V5, V311, Connect, Publish, Subscribe, Subscription
from quantum.io.certs import make_certificates
from tests.conformance.broker_process import BrokerProcess

DEADLINE_S = 20.0


@pytest.fixture
def node(tmp_path: Path) -> Iterator[BrokerProcess]:
    process = BrokerProcess(tmp_path / "data", ["--set", "durability.segment_bytes=1048576"])
    process.start()
    yield process
    if process.process is not None and process.process.poll() is None:
        process.stop()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A node that is expected to end by itself."""
    command = [sys.executable, "-m", "quantum.cli.main", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)


def ask(node: BrokerProcess, path: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{node.ports['http']}{path}", timeout=DEADLINE_S) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def connect(node: BrokerProcess, client_id: str, version: int = V311) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", node.ports["tcp"]), DEADLINE_S)
    client.sendall(encode_packet(version, Connect(version, client_id, True, 0)))
    assert b"\x20" == client.recv(1)
    client.recv(100)
    return client


def test_sigterm_ends_with_0(node: BrokerProcess) -> None:
    assert "durability=strict" in node.lines[-1] or any("durability=strict" in line for line in node.lines)
    assert 0 == node.stop()


def test_second_process_on_a_directory_is_refused_and_harms_nothing(node: BrokerProcess) -> None:
    done = run("--data-dir", str(node.data_dir), "--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0")
    assert 2 == done.returncode
    assert node.process is not None
    assert f"in use by process {node.process.pid}" in done.stderr
    assert 1 == len(done.stderr.splitlines())
    connect(node, "still here").close()


def test_serving_strangers_without_tls_is_refused_with_the_fix(tmp_path: Path) -> None:
    done = run("--data-dir", str(tmp_path), "--listen", "tcp://0.0.0.0:0")
    assert 2 == done.returncode
    assert "tls://0.0.0.0:0 with tls.cert" in done.stderr
    managed = run("--data-dir", str(tmp_path), "--listen", "tcp://127.0.0.1:0", "--http", "0.0.0.0:0")
    assert (2, 1) == (managed.returncode, len(managed.stderr.splitlines()))
    assert "http.bind is '0.0.0.0:0', allowed loopback only" in managed.stderr


def test_taken_port_and_missing_certificate_are_one_line(node: BrokerProcess, tmp_path: Path) -> None:
    taken = run("--data-dir", str(tmp_path / "a"), "--listen", f"tcp://127.0.0.1:{node.ports['tcp']}")
    assert (2, 1) == (taken.returncode, len(taken.stderr.splitlines()))
    missing = run(
        "--data-dir",
        str(tmp_path / "b"),
        "--listen",
        "tls://127.0.0.1:0",
        "--set",
        "tls.cert=no.crt",
        "--set",
        "tls.key=k",
    )
    assert (2, 1) == (missing.returncode, len(missing.stderr.splitlines()))
    assert "tls.cert is 'no.crt', no such file" in missing.stderr


def test_users_file_that_cannot_be_read_is_told_with_its_key_and_the_fix(tmp_path: Path) -> None:
    for path in (tmp_path / "nothere", tmp_path):
        done = run("--data-dir", str(tmp_path / "data"), "--http", "", "--set", f"auth.users_file={path}")
        assert (2, 1) == (done.returncode, len(done.stderr.splitlines()))
        assert f"--set: auth.users_file: {path}: " in done.stderr
        assert f"`quantum password add {path} NAME` makes it" in done.stderr


@pytest.mark.parametrize(
    ("scheme", "anonymous", "warnings"), [("tcp", "false", 1), ("tcp", "true", 0), ("tls", "false", 0)]
)
def test_a_node_that_nobody_can_connect_to_says_so(
    node: BrokerProcess, tmp_path: Path, scheme: str, anonymous: str, warnings: int
) -> None:
    """The port is taken, so that it ends."""
    listen = f"{scheme}://127.0.0.1:{node.ports['tcp']}"
    setting = f"mqtt.allow_anonymous={anonymous}"
    done = run("--data-dir", str(tmp_path / "a"), "--http", "", "--listen", listen, "--set", setting)
    assert warnings == done.stderr.count("nobody can connect; set auth.users_file")


@pytest.mark.parametrize(("limit", "warnings"), [("-S -n 64", 0), ("-n 1000", 1)])
def test_clients_cannot_take_the_files_that_the_log_needs(tmp_path: Path, limit: str, warnings: int) -> None:
    """A shell's limit of open files is raised as far as it may be, and what is missing is told."""
    shell = ("sh", "-c", f'ulimit {limit}; exec "$@"', "sh")
    process = BrokerProcess(tmp_path / "data", ["--set", "listeners.connections_max=200"], prefix=shell)
    process.start()
    try:
        clients = [connect(process, f"client {number}") for number in range(100)]
        assert warnings == len([line for line in process.lines if "clients could take what the log needs" in line])
        for client in clients:
            client.close()
    finally:
        assert 0 == process.stop()


def test_directory_of_a_newer_format_is_refused_untouched(node: BrokerProcess) -> None:
    node.stop()
    identity = node.data_dir / "node.json"
    identity.write_text(json.dumps({**json.loads(identity.read_text()), "format": 99}))
    before = {path: path.read_bytes() for path in sorted(node.data_dir.rglob("*")) if path.is_file()}
    done = run("--data-dir", str(node.data_dir), "--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0")
    assert 1 == done.returncode
    assert "data of format 99, this version reads 2" in done.stderr
    after = {path: path.read_bytes() for path in sorted(node.data_dir.rglob("*")) if path.is_file()}
    del before[node.data_dir / "lock"], after[node.data_dir / "lock"]
    assert before == after


def test_operators_are_answered(node: BrokerProcess) -> None:
    assert 200 == ask(node, "/livez")[0]
    status, body = ask(node, "/readyz")
    assert (200, True) == (status, json.loads(body)["ready"])
    assert "quantum" == json.loads(ask(node, "/v1/version")[1])["name"]
    client = connect(node, "watched")
    view = json.loads(ask(node, "/why/client/watched")[1])
    assert "open" == view["connection"]["state"]
    client.close()
    names = {family.name for family in text_string_to_metric_families(ask(node, "/metrics")[1].decode())}
    assert {
        "quantum_ready",
        "quantum_edge_ledger_balanced",
        "process_resident_memory_bytes",
        "process_cpu_seconds",
    } <= names
    request = urllib.request.Request(f"http://127.0.0.1:{node.ports['http']}/readyz", method="HEAD")
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as head:
        assert (200, b"") == (head.status, head.read())
    assert 404 == ask(node, "/nothing")[0]
    with socket.create_connection(("127.0.0.1", node.ports["http"]), DEADLINE_S) as raw:
        raw.sendall(b"not http at all\r\n\r\n")
        assert b"HTTP/1.1 400" in raw.recv(200)
    with socket.create_connection(("127.0.0.1", node.ports["http"]), DEADLINE_S) as raw:
        raw.sendall(b"GET //[ HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"HTTP/1.1 400" in raw.recv(200)


def test_web_page_of_somebody_else_changes_nothing(node: BrokerProcess) -> None:
    """A browser sends it without asking first, because the request is a simple one."""
    url = f"http://127.0.0.1:{node.ports['http']}/cluster/membership?voters=1&learners=2"
    request = urllib.request.Request(url, method="POST", headers={"Origin": "http://elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=DEADLINE_S)
    assert 403 == caught.value.code
    assert [] == json.loads(ask(node, "/cluster")[1])["groups"][0]["learners"]


def test_requests_in_one_piece_are_answered_in_turn_and_a_body_is_asked_for(node: BrokerProcess) -> None:
    with socket.create_connection(("127.0.0.1", node.ports["http"]), DEADLINE_S) as raw:
        raw.sendall(b"GET /v1/version HTTP/1.1\r\nHost: h\r\n\r\n" * 3)
        raw.sendall(b"POST /livez HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        with raw.makefile("rb") as stream:
            statuses = []
            while len(statuses) < 4:
                line = stream.readline()
                if line.startswith(b"HTTP/1.1 "):
                    statuses.append(int(line.split()[1]))
            assert [200, 200, 200, 100] == statuses
            raw.sendall(b"x")
            assert b"HTTP/1.1 405" in stream.read()


def test_operator_who_has_nothing_more_to_say_is_answered(node: BrokerProcess) -> None:
    """Who closes their side behind a request waits for the answers: those of the node too, which come a turn later."""
    with socket.create_connection(("127.0.0.1", node.ports["http"]), DEADLINE_S) as raw:
        raw.sendall(b"GET /v1/version HTTP/1.1\r\nHost: h\r\n\r\n" + b"GET /readyz HTTP/1.1\r\nHost: h\r\n\r\n" * 3)
        raw.shutdown(socket.SHUT_WR)
        with raw.makefile("rb") as stream:
            assert 4 == stream.read().count(b"HTTP/1.1 200")


def test_operator_who_asks_without_end_is_not_read_without_end(node: BrokerProcess) -> None:
    with socket.create_connection(("127.0.0.1", node.ports["http"]), 1.0) as raw:
        requests = b"GET /v1/version HTTP/1.1\r\nHost: h\r\n\r\n" * 10_000
        with pytest.raises(TimeoutError):
            for _ in range(100):
                raw.sendall(requests)
        assert 200 == ask(node, "/readyz")[0]


def test_reader_that_stops_costs_the_node_little_and_others_nothing(node: BrokerProcess) -> None:
    sleeper = connect(node, "sleeper")
    sleeper.sendall(encode_packet(V311, Subscribe(1, [Subscription("flood", 0)])))
    assert b"\x90" == sleeper.recv(5)[:1]
    assert node.process is not None
    resident = Path(f"/proc/{node.process.pid}/statm")
    before = int(resident.read_text().split()[1]) * resource.getpagesize()
    flood = connect(node, "flood")
    packet = encode_packet(V311, Publish("flood", bytes(60_000)))
    for _ in range(1000):
        flood.sendall(packet)
    flood.sendall(b"\xc0\x00")
    assert b"\xd0\x00" == flood.recv(2)
    after = int(resident.read_text().split()[1]) * resource.getpagesize()
    assert after - before < 32_000_000
    assert b'quantum_causes_total{cause="slow_reader"}' in ask(node, "/metrics")[1]
    connect(node, "other").close()
    sleeper.close()
    flood.close()


def test_failed_write_ends_the_process_and_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """A file size limit on the running processes stands for a full disk."""
    node = BrokerProcess(tmp_path / "data", ["--set", "durability.segment_bytes=1048576"])
    node.start()
    assert node.process is not None
    limit = (1 << 19, 1 << 19)
    children = Path(f"/proc/{node.process.pid}/task/{node.process.pid}/children").read_text().split()
    for pid in (node.process.pid, *map(int, children)):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)
    publisher = connect(node, "p", V5)
    acknowledged = 0
    try:
        for number in range(1, 60):
            publisher.sendall(encode_packet(V5, Publish(f"r/{number}", bytes(100_000), 1, True, packet_id=number)))
            reply = publisher.recv(4)
            if reply[:1] != b"\x40":
                break
            acknowledged = number
    except OSError:
        pass
    assert node.process.wait(DEADLINE_S) != 0
    assert 0 < acknowledged < 59
    node.start()
    reader = connect(node, "r")
    reader.sendall(encode_packet(V311, Subscribe(1, [Subscription("r/#", 0)])))
    wanted = acknowledged * 100_000
    got = 0
    while got < wanted:
        data = reader.recv(1 << 20)
        assert data
        got += len(data)
    assert 0 == node.stop()


def test_certificates_are_reloaded_without_a_restart(tmp_path: Path) -> None:
    old, new = make_certificates(tmp_path / "old"), make_certificates(tmp_path / "new")
    live = tmp_path / "live"
    live.mkdir()

    def put(paths: object, *, is_broken: bool = False) -> None:
        for name in ("server.crt", "server.key", "ca.crt"):
            source = tmp_path / ("new" if paths is new else "old") / name
            data = b"broken" if is_broken and name == "server.crt" else source.read_bytes()
            (live / "tmp").write_bytes(data)
            os.replace(live / "tmp", live / name)

    put(old)
    settings = [
        f"tls.cert={live}/server.crt",
        f"tls.key={live}/server.key",
        f"tls.client_ca={live}/ca.crt",
        "tls.reload_s=0",
    ]
    node = BrokerProcess(tmp_path / "data", [word for setting in settings for word in ("--set", setting)], ("tls",))
    node.start()
    assert node.process is not None

    def client(paths: object) -> ssl.SSLSocket:
        directory = tmp_path / ("new" if paths is new else "old")
        context = ssl.create_default_context(cafile=str(directory / "ca.crt"))
        context.load_cert_chain(directory / "client.crt", directory / "client.key")
        plain = socket.create_connection(("127.0.0.1", node.ports["tls"]), DEADLINE_S)
        return context.wrap_socket(plain, server_hostname="localhost")

    first = client(old)
    first.sendall(encode_packet(V311, Connect(V311, "first", True, 0)))
    assert b"\x20" == first.recv(4)[:1]
    put(new, is_broken=True)
    os.kill(node.process.pid, signal.SIGHUP)
    client(old).close()
    put(new)
    os.kill(node.process.pid, signal.SIGHUP)
    give_up = time.monotonic() + DEADLINE_S
    while True:
        try:
            second = client(new)
            break
        except ssl.SSLError:
            assert time.monotonic() < give_up
    second.sendall(encode_packet(V311, Connect(V311, "second", True, 0)))
    assert b"\x20" == second.recv(4)[:1]
    first.sendall(b"\xc0\x00")
    assert b"\xd0\x00" == first.recv(2)
    context = ssl.create_default_context(cafile=str(tmp_path / "new" / "ca.crt"))
    stranger = context.wrap_socket(
        socket.create_connection(("127.0.0.1", node.ports["tls"]), DEADLINE_S), server_hostname="localhost"
    )
    with pytest.raises((ssl.SSLError, ConnectionError)):
        stranger.sendall(encode_packet(V311, Connect(V311, "stranger", True, 0)))
        assert stranger.recv(4), "closed without a word"
        raise AssertionError("a client without a certificate was let in")
    assert 0 == node.stop()
