"""Goal: enhanced authentication (4.12) with SCRAM-SHA-256, re-authentication, and user names with passwords; method: the
exchanges by hand, right, wrong and out of order, beside a client that must not feel any of it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conformance import raw
from tests.conformance.broker_process import BrokerProcess
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Certificates, Target
from tests.conformance.paho_client import PahoClient
from tests.conformance.raw import Property, Raw
from tests.conformance.statements import statement
from tests.core.edge.scram_client import ScramClient

METHOD = "SCRAM-SHA-256"
CONTINUE, AGAIN = 0x18, 0x19


def password(*arguments: str, text: str = "") -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "quantum.cli.main", "password", *arguments]
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=True)


@pytest.fixture(scope="session")
def users_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("users") / "users"
    for name in ("ann", "bob"):
        password("add", str(path), name, "--stdin", text=f"{name}'s\n")
    return path


@pytest.fixture
def guarded(configured: Callable[..., Target], users_file: Path) -> Target:
    """A broker with users; who claims nothing is let in, as a bystander is."""
    return configured(f"auth.users_file={users_file}")


@pytest.fixture
def other(guarded: Target, name: str) -> Iterator[Bystander]:
    with Bystander(guarded, name) as bystander:
        yield bystander
        bystander.check()


def fields(data: bytes, method: str = METHOD) -> list[Property]:
    return [(raw.AUTHENTICATION_METHOD, method), (raw.AUTHENTICATION_DATA, data)]


def data_of(received: raw.Received) -> bytes:
    assert METHOD == received.value(raw.AUTHENTICATION_METHOD)
    data = received.value(raw.AUTHENTICATION_DATA)
    assert isinstance(data, bytes)
    return data


def begin(connection: Raw, client: ScramClient, client_id: str, **options: object) -> raw.Received:
    """CONNECT with the first message; what the server says to it."""
    connection.send(raw.connect(5, client_id, properties=fields(client.first()), **options))  # type: ignore[arg-type]
    return connection.read()


def enter(connection: Raw, user: str, client_id: str, **options: object) -> raw.Received:
    """The whole exchange; the CONNACK."""
    client = ScramClient(user, f"{user}'s")
    asked = begin(connection, client, client_id, **options)
    assert (raw.AUTH, CONTINUE) == (asked.type, asked.code)
    connection.send(raw.auth(CONTINUE, fields(client.final(data_of(asked)))))
    connack = connection.expect(raw.CONNACK)
    assert 0 == connack.code
    assert client.is_proven(data_of(connack))
    return connack


@statement("MQTT-4.12.0-2", "MQTT-4.12.0-5", "MQTT-3.15.2-1")
def test_client_and_server_prove_themselves_before_connack(guarded: Target, other: Bystander, name: str) -> None:
    with Raw(guarded) as connection:
        enter(connection, "ann", name)
        connection.publish(f"{name}/t", b"x", qos=1)
        connection.disconnect()


@statement("MQTT-4.12.0-4", "MQTT-3.2.2-6")
@pytest.mark.parametrize("user", ["ann", "nobody"])
def test_wrong_proof_is_refused_and_leaves_no_session(guarded: Target, other: Bystander, name: str, user: str) -> None:
    for _ in range(2):
        with Raw(guarded) as connection:
            client = ScramClient(user, "guess")
            asked = begin(connection, client, name, clean=False)
            connection.send(raw.auth(CONTINUE, fields(client.final(data_of(asked)))))
            connection.expect_refused(0x87)
    with Raw(guarded) as connection:
        assert not connection.open(5, name, clean=False).session_present


def test_unknown_user_gets_a_salt_like_anybody_and_always_the_same(guarded: Target) -> None:
    seen = []
    for user in ("ann", "nobody", "nobody"):
        with Raw(guarded) as connection:
            asked = begin(connection, ScramClient(user, ""), "x")
            _, salt, iterations = data_of(asked).decode().split(",")
            seen.append((salt, iterations))
    assert seen[1] == seen[2]
    assert seen[0] != seen[1]
    assert [len(salt) for salt, _ in seen[:2]] == [len(seen[0][0])] * 2
    assert seen[0][1] == seen[1][1]


@statement("MQTT-4.12.0-1")
@pytest.mark.parametrize("method", ["SCRAM-SHA-1", "scram-sha-256", "", "PLAIN"])
def test_method_that_is_not_offered_is_refused(guarded: Target, other: Bystander, method: str) -> None:
    with Raw(guarded) as connection:
        connection.send(raw.connect(5, "x", properties=fields(b"n,,n=ann,r=x", method)))
        connection.expect_refused(0x8C)


@pytest.mark.parametrize("first", [b"", b"n,,n=ann", b"\xff", b"n,,n=ann,r=x" * 1000])
def test_first_message_that_is_none_is_refused(guarded: Target, other: Bystander, first: bytes) -> None:
    with Raw(guarded) as connection:
        connection.send(raw.connect(5, "x", properties=fields(first)))
        if not first:
            assert b"" == data_of(connection.expect(raw.AUTH))  # the client wants to be asked, and then says nothing
            connection.send(raw.auth(CONTINUE, fields(first)))
        connection.expect_refused(0x87)


@statement("MQTT-4.12.0-3", "MQTT-3.1.2-30", "MQTT-3.15.2-1")
@pytest.mark.parametrize(
    "packet",
    [
        raw.auth(AGAIN, fields(b"")),
        raw.auth(0, fields(b"")),
        raw.auth(CONTINUE, fields(b"", "PLAIN")),
        raw.auth(CONTINUE, [(raw.AUTHENTICATION_DATA, b"")]),
        raw.packet(raw.AUTH, 0),
        raw.auth(0x87, fields(b"")),
        raw.pingreq(),
        raw.publish(5, "t", b"x"),
        raw.subscribe(5, 1, ("t", 0)),
        raw.connect(5, "x"),
    ],
)
def test_anything_but_the_next_step_before_connack_is_an_error(
    guarded: Target, other: Bystander, packet: bytes
) -> None:
    with Raw(guarded) as connection:
        assert raw.AUTH == begin(connection, ScramClient("ann", ""), "x").type
        connection.send(packet)
        connection.expect_refused(0x82, 0x81)


def test_client_may_leave_within_the_exchange(guarded: Target, other: Bystander, name: str) -> None:
    for leave in (raw.disconnect(5), b""):
        with Raw(guarded) as connection:
            begin(connection, ScramClient("ann", ""), name, clean=False)
            connection.send(leave)
            if leave:
                connection.expect_end()
    with Raw(guarded) as connection:
        assert not connection.open(5, name, clean=False).session_present


@statement("MQTT-4.12.1-1", "MQTT-4.12.0-5")
def test_open_connection_authenticates_again_while_it_works_on(guarded: Target, other: Bystander, name: str) -> None:
    with Raw(guarded) as connection:
        enter(connection, "ann", name)
        connection.subscribe((f"{name}/t", 0))
        client = ScramClient("ann", "ann's", "another")
        connection.send(raw.auth(AGAIN, fields(client.first())))
        asked = connection.expect(raw.AUTH)
        assert CONTINUE == asked.code
        connection.send(raw.publish(5, f"{name}/t", b"x"))
        assert b"x" == connection.expect(raw.PUBLISH).payload
        connection.send(raw.auth(CONTINUE, fields(client.final(data_of(asked)))))
        done = connection.expect(raw.AUTH)
        assert 0 == done.code
        assert client.is_proven(data_of(done))
        connection.ping()


@statement("MQTT-4.12.1-2")
@pytest.mark.parametrize(("user", "text"), [("ann", "guess"), ("bob", "bob's")])
def test_failed_re_authentication_ends_the_connection(
    guarded: Target, other: Bystander, name: str, user: str, text: str
) -> None:
    with Raw(guarded) as connection:
        enter(connection, "ann", name)
        client = ScramClient(user, text)
        connection.send(raw.auth(AGAIN, fields(client.first())))
        connection.send(raw.auth(CONTINUE, fields(client.final(data_of(connection.expect(raw.AUTH))))))
        connection.expect_closed(0x87)


@statement("MQTT-4.12.1-1", "MQTT-4.12.0-7")
@pytest.mark.parametrize(
    "packet",
    [
        raw.auth(AGAIN, fields(b"", "PLAIN")),
        raw.auth(AGAIN, [(raw.AUTHENTICATION_DATA, b"")]),
        raw.auth(CONTINUE, fields(b"")),
        raw.auth(0, fields(b"")),
    ],
)
def test_re_authentication_out_of_order_is_an_error(
    guarded: Target, other: Bystander, name: str, packet: bytes
) -> None:
    with Raw(guarded) as connection:
        enter(connection, "ann", name)
        connection.send(packet)
        connection.expect_closed(0x82)
    with Raw(guarded) as connection:
        connection.open(5, name)
        connection.send(raw.auth(AGAIN, fields(b"")))  # its CONNECT named no method
        connection.expect_closed(0x82)


@statement("MQTT-4.12.0-6")
def test_connack_names_no_method_where_connect_did_not(guarded: Target, name: str) -> None:
    with Raw(guarded) as connection:
        connack = connection.open(5, name, username="ann", password=b"ann's")
        assert [] == connack.values(raw.AUTHENTICATION_METHOD) + connack.values(raw.AUTHENTICATION_DATA)


REFUSED = {3: 4, 4: 4, 5: 0x86}


def test_right_password_lets_in(guarded: Target, other: Bystander, version: int, name: str) -> None:
    for _ in range(2):
        with Raw(guarded) as connection:
            connection.open(version, name, username="ann", password=b"ann's")
            connection.ping()


@pytest.mark.parametrize(
    ("username", "text"), [("ann", b"guess"), ("ann", b""), ("ann", None), ("nobody", b"ann's"), ("", b"ann's")]
)
def test_wrong_password_is_refused(
    guarded: Target, other: Bystander, version: int, name: str, username: str, text: bytes | None
) -> None:
    with Raw(guarded, version) as connection:
        connection.send(raw.connect(version, name[:20], username=username, password=text))
        connection.expect_refused(REFUSED[version])


def test_who_claims_nothing_needs_mqtt_allow_anonymous(
    configured: Callable[..., Target], users_file: Path, version: int
) -> None:
    strict = configured(f"auth.users_file={users_file}", "mqtt.allow_anonymous=false")
    with Raw(strict, version) as connection:
        connection.send(raw.connect(version, "x"))
        connection.expect_refused(0x87 if version == 5 else 5)
    with Raw(strict) as connection:
        connection.open(version, "x", username="bob", password=b"bob's")


@pytest.mark.parametrize("paho_version", ["v3.1", "v3.1.1", "v5.0"])
@pytest.mark.parametrize(("text", "code"), [("ann's", 0), ("guess", None)])
def test_paho_logs_in_with_a_user_name(guarded: Target, paho_version: str, text: str, code: int | None) -> None:
    client = PahoClient(paho_version, "p")
    client.raw.username_pw_set("ann", text)
    connected = client.connect(guarded.port)
    if code is None:
        assert connected.reason_code >= 0x80
    else:
        assert code == connected.reason_code
        client.disconnect()


@pytest.mark.parametrize(("text", "is_let_in"), [("ann's", True), ("guess", False)])
def test_command_line_logs_in_with_a_user_name(guarded: Target, text: str, is_let_in: bool) -> None:
    command = [sys.executable, "-m", "quantum.cli.main", "publish", "--port", str(guarded.port), "--username", "ann"]
    command += ["--message", "x", "--qos", "1", "topic"]
    environment = {**os.environ, "MQTT_PASSWORD": text}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert is_let_in == (ended.returncode == 0), ended.stderr


def test_tls_without_client_certificates_is_enough_for_users(
    certificates: Certificates, users_file: Path, tmp_path: Path
) -> None:
    settings = [f"tls.cert={certificates.folder}/server.crt", f"tls.key={certificates.folder}/server.key"]
    settings += [f"auth.users_file={users_file}", "mqtt.allow_anonymous=false"]
    node = BrokerProcess(tmp_path / "data", [word for setting in settings for word in ("--set", setting)], ("tls",))
    node.start()
    answers = []
    for username, text in (("ann", b"ann's"), ("ann", b"guess"), (None, None)):
        plain = socket.create_connection(("127.0.0.1", node.ports["tls"]), timeout=raw.TIMEOUT_S)
        with certificates.anonymous_context().wrap_socket(plain, server_hostname="localhost") as connection:
            connection.sendall(raw.connect(4, "c", username=username, password=text))
            answers.append(connection.recv(4))
    assert [b"\x20\x02\x00\x00", b"\x20\x02\x00\x04", b"\x20\x02\x00\x05"] == answers
    assert 0 == node.stop()


def test_users_change_while_the_broker_runs(tmp_path: Path) -> None:
    path = tmp_path / "users"
    password("add", str(path), "ann", "--stdin", text="old\n")
    node = BrokerProcess(tmp_path / "data", ["--set", f"auth.users_file={path}"])
    node.start()
    assert node.process is not None
    here = Target("127.0.0.1", node.ports["tcp"], says_why=True)
    with Raw(here) as stands:
        stands.open(4, "stands", username="ann", password=b"old")
        path.write_text("no users file\n")
        node.process.send_signal(signal.SIGHUP)
        stands.ping()
        with Raw(here) as connection:
            connection.open(4, "still", username="ann", password=b"old")
        path.unlink()
        password("add", str(path), "ann", "--stdin", text="new\n")
        password("add", str(path), "zoe", "--stdin", text="zoe's\n")
        os.kill(node.process.pid, signal.SIGHUP)
        while not any("users_reloaded" in line for line in node.lines):
            stands.ping()  # each one is a turn of the node; the test ends when its event is read
        with Raw(here) as connection:
            connection.open(4, "new", username="ann", password=b"new")
        with Raw(here) as connection:
            connection.open(4, "zoe", username="zoe", password=b"zoe's")
        with Raw(here, 4) as connection:
            connection.send(raw.connect(4, "old", username="ann", password=b"old"))
            connection.expect_refused(4)
        stands.ping()
    assert 0 == node.stop()
    assert any("users_refused" in line and "line 1 is no head" in line for line in node.lines)


def test_users_file_that_cannot_be_used_keeps_the_broker_from_starting(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("ann:secret\n")
    command = [sys.executable, "-m", "quantum.cli.main", "run", "-d", str(tmp_path / "data"), "--http", ""]
    command += ["--listen", "tcp://127.0.0.1:0", "--set", f"auth.users_file={path}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert 2 == ended.returncode
    assert f"{path}: line 1 is no head" in ended.stderr
    assert "secret" not in ended.stderr.replace("SECRET", "")
