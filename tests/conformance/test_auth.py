"""Goal: AUTH (3.15) and enhanced authentication (4.12), with a mechanism and without; method: SCRAM-SHA-256 by hand from the
client's side, its exchange broken at each step.
"""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import message, opened
from tests.conformance.raw import Raw, Received, Will
from tests.conformance.statements import statement
from tests.core.edge.scram_client import ScramClient

METHOD = "SCRAM-SHA-256"
CONTINUE, RE_AUTHENTICATE = 0x18, 0x19
REFUSALS = (0x82, 0x83, 0x86, 0x87, 0x8C)

Guarded = Callable[..., Target]


@pytest.fixture(scope="module")
def guarded(configured: Guarded, tmp_path_factory: pytest.TempPathFactory) -> Target:
    """A broker that lets in users only; `alice` has the password `wonder`."""
    users = tmp_path_factory.mktemp("users") / "users"
    command = [sys.executable, "-m", "quantum.cli.main", "password", "add", str(users), "alice", "--stdin"]
    subprocess.run(command, input="wonder\n", text=True, check=True, capture_output=True, timeout=60)
    return configured(f"auth.users_file={users}", "mqtt.allow_anonymous=false")


def data(method: str, value: bytes) -> list[raw.Property]:
    """The two properties of a step."""
    return [(raw.AUTHENTICATION_METHOD, method), (raw.AUTHENTICATION_DATA, value)]


def connect(client: ScramClient, client_id: str, *, will: Will | None = None) -> bytes:
    """The first step."""
    return raw.connect(5, client_id, properties=data(METHOD, client.first()), will=will)


def step_of(received: Received, code: int) -> bytes:
    """What the server says in an AUTH with this Reason Code."""
    assert (raw.AUTH, 0, code) == (received.type, received.flags, received.code)
    assert METHOD == received.value(raw.AUTHENTICATION_METHOD)
    value = received.value(raw.AUTHENTICATION_DATA)
    assert isinstance(value, bytes)
    return value


def authenticated(target: Target, client_id: str, *, will: Will | None = None) -> Raw:
    """A connection that went through the whole exchange."""
    connection, client = Raw(target), ScramClient("alice", "wonder")
    connection.send(connect(client, client_id, will=will))
    challenge = step_of(connection.expect(raw.AUTH), CONTINUE)
    connection.send(raw.auth(CONTINUE, data(METHOD, client.final(challenge))))
    assert 0 == connection.expect(raw.CONNACK).code
    return connection


# -- with a mechanism -------------------------------------------------------------------------------------------------


@statement("MQTT-4.12.0-2", "MQTT-4.12.0-3", "MQTT-4.12.0-5", "MQTT-3.15.2-1")
def test_the_exchange_ends_in_a_connack_with_the_method(guarded: Target, name: str) -> None:
    client = ScramClient("alice", "wonder")
    with Raw(guarded) as connection:
        connection.send(connect(client, name))
        challenge = step_of(connection.expect(raw.AUTH), CONTINUE)
        connection.send(raw.auth(CONTINUE, data(METHOD, client.final(challenge))))
        connack = connection.expect(raw.CONNACK)
        assert (0, METHOD) == (connack.code, connack.value(raw.AUTHENTICATION_METHOD))
        proof = connack.value(raw.AUTHENTICATION_DATA)
        assert isinstance(proof, bytes)
        assert client.is_proven(proof)
        connection.publish(f"{name}/t", b"x", qos=2)


@statement("MQTT-4.12.0-4", "MQTT-4.13.2-1", "MQTT-3.2.2-7")
@pytest.mark.parametrize("user, password", [("alice", "Wonder"), ("bob", "wonder"), ("", "wonder")])
def test_a_wrong_proof_is_refused(guarded: Target, name: str, user: str, password: str) -> None:
    client = ScramClient(user, password)
    with Raw(guarded) as connection:
        connection.send(connect(client, name))
        received = connection.read()
        if received.type == raw.AUTH:
            connection.send(raw.auth(CONTINUE, data(METHOD, client.final(step_of(received, CONTINUE)))))
            received = connection.expect(raw.CONNACK)
        assert received.code in REFUSALS
        assert not received.session_present
        connection.expect_end()


@statement("MQTT-4.12.0-1", "MQTT-4.13.2-1")
@pytest.mark.parametrize("method", ["scram-sha-256", "SCRAM-SHA-1", "GS2-KRB5", ""])
@pytest.mark.versions(5)
def test_a_method_that_is_not_offered_is_refused(
    target: Target, version: int, name: str, method: str, bystander: Bystander
) -> None:
    with Raw(target) as connection:
        connection.send(raw.connect(version, name, properties=data(method, b"")))
        connection.expect_refused(0x8C)


@statement("MQTT-4.12.0-3", "MQTT-4.12.0-4", "MQTT-3.1.2-30", "MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "second",
    [
        raw.auth(0x00, data(METHOD, b"")),
        raw.auth(RE_AUTHENTICATE, data(METHOD, b"")),
        raw.auth(CONTINUE, data("SCRAM-SHA-1", b"")),
        raw.auth(CONTINUE, [(raw.AUTHENTICATION_DATA, b"")]),
        raw.auth(CONTINUE, data(METHOD, b"no scram at all")),
        raw.auth(CONTINUE, data(METHOD, b"")),
        raw.auth(CONTINUE, [*data(METHOD, b""), *data(METHOD, b"")]),
        raw.auth(0x80, data(METHOD, b"")),
        raw.packet(raw.AUTH, 0),
        raw.publish(5, "t", b"x"),
        raw.subscribe(5, 1, ("t", 0)),
        raw.pingreq(),
        raw.connect(5, "x"),
    ],
    ids=[
        "success",
        "again",
        "other-method",
        "no-method",
        "no-scram",
        "no-data",
        "twice",
        "code-80",
        "empty",
        "publish",
        "subscribe",
        "pingreq",
        "connect",
    ],
)
def test_what_is_no_next_step_ends_the_exchange(guarded: Target, name: str, second: bytes) -> None:
    """3.1.2.11.9: until CONNACK a client with a method sends nothing but AUTH and DISCONNECT."""
    with authenticated(guarded, f"{name}-b") as other:
        other.subscribe(("t", 0))
        with Raw(guarded) as connection:
            connection.send(connect(ScramClient("alice", "wonder"), name))
            step_of(connection.expect(raw.AUTH), CONTINUE)
            connection.send(second)
            connection.expect_refused(0x81, *REFUSALS)
        other.expect_silence()


@statement("MQTT-3.1.2-30")
def test_a_disconnect_ends_the_exchange_without_an_answer(guarded: Target, name: str) -> None:
    with Raw(guarded) as connection:
        connection.send(connect(ScramClient("alice", "wonder"), name))
        connection.expect(raw.AUTH)
        connection.disconnect()


@statement("MQTT-4.12.0-4", "MQTT-3.1.4-3")
def test_a_refused_exchange_takes_no_session_over(guarded: Target, name: str) -> None:
    with authenticated(guarded, name) as rightful, Raw(guarded) as connection:
        connection.send(connect(ScramClient("alice", "guess"), name))
        challenge = step_of(connection.expect(raw.AUTH), CONTINUE)
        rightful.ping()
        connection.send(raw.auth(CONTINUE, data(METHOD, ScramClient("alice", "guess").final(challenge))))
        connection.expect_refused(*REFUSALS)
        rightful.publish(f"{name}/t", b"x", qos=1)


# -- re-authentication ------------------------------------------------------------------------------------------------


@statement("MQTT-4.12.1-1", "MQTT-4.12.0-5", "MQTT-3.15.2-1")
@pytest.mark.parametrize("repeats", [1, 3])
def test_re_authentication_while_messages_go_on(guarded: Target, name: str, repeats: int) -> None:
    with authenticated(guarded, name) as connection:
        connection.subscribe((f"{name}/t", 1))
        for _ in range(repeats):
            client = ScramClient("alice", "wonder")
            connection.send(raw.auth(RE_AUTHENTICATE, data(METHOD, client.first())))
            challenge = step_of(connection.expect(raw.AUTH), CONTINUE)
            connection.send(raw.publish(5, f"{name}/t", b"between", qos=0))
            assert b"between" == message(connection).payload
            connection.send(raw.auth(CONTINUE, data(METHOD, client.final(challenge))))
            assert client.is_proven(step_of(connection.expect(raw.AUTH), 0x00))
        connection.ping()


@statement("MQTT-4.12.1-2", "MQTT-4.12.0-5", "MQTT-4.13.1-1", "MQTT-3.1.2-8", "MQTT-3.14.2-1")
@pytest.mark.parametrize("how", ["wrong-password", "other-method", "no-method", "not-begun", "success"])
def test_a_failed_re_authentication_closes_and_lets_the_will_go(guarded: Target, name: str, how: str) -> None:
    will = Will(f"{name}/will", b"will", qos=1)
    with authenticated(guarded, f"{name}-w") as witness, authenticated(guarded, name, will=will) as connection:
        witness.subscribe((f"{name}/will", 0))
        client = ScramClient("alice", "wrong")
        if how == "wrong-password":
            connection.send(raw.auth(RE_AUTHENTICATE, data(METHOD, client.first())))
            challenge = step_of(connection.expect(raw.AUTH), CONTINUE)
            connection.send(raw.auth(CONTINUE, data(METHOD, client.final(challenge))))
        elif how == "other-method":
            connection.send(raw.auth(RE_AUTHENTICATE, data("SCRAM-SHA-1", client.first())))
        elif how == "no-method":
            connection.send(raw.auth(RE_AUTHENTICATE))
        elif how == "not-begun":
            connection.send(raw.auth(CONTINUE, data(METHOD, client.first())))
        else:
            connection.send(raw.auth(0x00, data(METHOD, client.first())))
        connection.expect_closed()
        assert b"will" == message(witness).payload


# -- without a mechanism ----------------------------------------------------------------------------------------------


@statement("MQTT-4.12.0-6")
@pytest.mark.versions(5)
def test_without_a_method_there_is_neither_auth_nor_method(target: Target, version: int, name: str) -> None:
    with Raw(target) as connection:
        connack = connection.open(version, name, username=None)
        assert [] == connack.values(raw.AUTHENTICATION_METHOD)
        assert [] == connack.values(raw.AUTHENTICATION_DATA)
        connection.expect_silence()


@statement("MQTT-4.12.0-6")
def test_a_password_without_a_method_is_answered_without_auth(guarded: Target, name: str) -> None:
    with Raw(guarded) as connection:
        connack = connection.open(5, name, username="alice", password=b"wonder")
        assert [] == connack.values(raw.AUTHENTICATION_METHOD)
        connection.expect_silence()


@statement("MQTT-4.12.0-7", "MQTT-4.13.1-1")
@pytest.mark.parametrize("code", [0x00, CONTINUE, RE_AUTHENTICATE])
@pytest.mark.parametrize("properties", [[], data(METHOD, b"n,,n=alice,r=x")], ids=["bare", "method"])
@pytest.mark.versions(5)
def test_an_auth_without_a_method_in_connect_closes(
    target: Target, version: int, name: str, code: int, properties: list[raw.Property], bystander: Bystander
) -> None:
    with opened(target, version, name) as connection:
        connection.send(raw.auth(code, properties))
        connection.expect_closed()


@statement("MQTT-3.15.1-1", "MQTT-2.1.3-1", "MQTT-4.13.1-1")
@pytest.mark.parametrize("flags", [1, 2, 4, 8, 15])
@pytest.mark.versions(5)
def test_other_flags_close(target: Target, version: int, name: str, flags: int, bystander: Bystander) -> None:
    with opened(target, version, name) as connection:
        connection.send(bytes((0xF0 | flags, 0)))
        connection.expect_closed(0x81)


@statement("MQTT-3.15.2-1", "MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "body",
    [b"\x01\0", b"\x80\0", b"\x18\1", b"\x18\3\x11\0\0", b"\x18\0\0"],
    ids=["code-01", "code-80", "cut", "session-expiry", "behind"],
)
@pytest.mark.versions(5)
def test_a_malformed_auth_closes(target: Target, version: int, name: str, body: bytes, bystander: Bystander) -> None:
    with opened(target, version, name) as connection:
        connection.send(raw.packet(raw.AUTH, 0, body))
        connection.expect_closed()


@statement("311:MQTT-4.8.0-1")
@pytest.mark.versions(3, 4)
def test_packet_type_15_is_none_before_5(target: Target, version: int, name: str, bystander: Bystander) -> None:
    with opened(target, version, name) as connection:
        connection.send(raw.packet(raw.AUTH, 0))
        connection.expect_closed()
