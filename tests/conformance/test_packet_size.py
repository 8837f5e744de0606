"""Goal: no answer is made too large for its receiver by a reason (3.4.2 to 3.15.2), and what cannot be made small enough
is not sent. Method: clients that take packets just as large as their CONNACK, and exchanges that end in an error."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import opened, unknown_codes
from tests.conformance.raw import Raw
from tests.conformance.statements import statement
from tests.core.edge.scram_client import ScramClient

PACKET_TOO_LARGE = 0x95
CONTINUE = 0x18
METHOD = "SCRAM-SHA-256"


def narrow(target: Target, name: str) -> tuple[Raw, int]:
    """A connection that takes nothing larger than its CONNACK, and how large that is."""
    with Raw(target) as first:
        size = 2 + len(first.open(5, name).body)
    return opened(target, 5, name, properties=[(raw.MAXIMUM_PACKET_SIZE, size)]), size


@statement("MQTT-3.4.2-1", "MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-1", "MQTT-3.5.2-2", "MQTT-3.5.2-3")
@pytest.mark.versions(5)
@pytest.mark.parametrize("qos", [1, 2])
def test_refusal_of_a_message_keeps_to_the_clients_maximum(
    target: Target, version: int, name: str, bystander: Bystander, qos: int
) -> None:
    """A name of the server's own is refused; with all room there is a Reason String, and without it the code alone."""
    connection, size = narrow(target, name)
    with connection:
        connection.send(raw.publish(version, "$SYS/broker/version", b"x", qos=qos, packet_id=5))
        answer = connection.expect(raw.PUBACK if qos == 1 else raw.PUBREC)
        assert 5 == answer.packet_id
        assert answer.code in (0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
        assert 2 + len(answer.body) <= size


@statement("MQTT-3.6.2-1", "MQTT-3.6.2-2", "MQTT-3.6.2-3", "MQTT-3.7.2-1", "MQTT-3.7.2-2", "MQTT-3.7.2-3")
@pytest.mark.versions(5)
@pytest.mark.parametrize(
    ("kind", "answered"), [(raw.PUBREC, raw.PUBREL), (raw.PUBREL, raw.PUBCOMP)], ids=["pubrel", "pubcomp"]
)
def test_errors_of_the_second_half_of_qos_2_keep_to_the_clients_maximum(
    target: Target, version: int, name: str, bystander: Bystander, kind: int, answered: int
) -> None:
    connection, size = narrow(target, name)
    with connection:
        connection.send(raw.ack(version, kind, 4242))
        answer = connection.expect(answered)
        assert 4242 == answer.packet_id
        assert answer.code in unknown_codes(target, version)
        assert 2 + len(answer.body) <= size


@statement("MQTT-3.9.2-1", "MQTT-3.9.2-2", "MQTT-3.11.2-1", "MQTT-3.11.2-2")
@pytest.mark.versions(5)
def test_answers_to_requests_keep_to_the_clients_maximum(
    target: Target, version: int, name: str, bystander: Bystander
) -> None:
    connection, size = narrow(target, name)
    with connection:
        suback = connection.subscribe((f"$share/{name}/a", 0), (name, 1))
        assert 2 + len(suback.body) <= size
        connection.send(raw.unsubscribe(version, 2, name, "never/subscribed"))
        unsuback = connection.expect(raw.UNSUBACK)
        assert [0x00, 0x11] == unsuback.codes
        assert 2 + len(unsuback.body) <= size


@statement("MQTT-3.14.2-3", "MQTT-3.14.2-4", "MQTT-3.14.2-1")
@pytest.mark.versions(5)
def test_a_disconnect_keeps_to_the_clients_maximum(
    target: Target, version: int, name: str, bystander: Bystander
) -> None:
    connection, size = narrow(target, name)
    with connection:
        connection.send(raw.connect(version, name))
        data = connection.rest()
        assert len(data) <= size
        assert data[:1] in (b"", b"\xe0")


@pytest.fixture(scope="module")
def guarded(configured: Callable[..., Target], tmp_path_factory: pytest.TempPathFactory) -> Target:
    """A broker with a user. Whoever else comes goes the same way up to the last step."""
    users = tmp_path_factory.mktemp("users") / "users"
    command = [sys.executable, "-m", "quantum.cli.main", "password", "add", str(users), "alice", "--stdin"]
    subprocess.run(command, input="wonder\n", text=True, check=True, capture_output=True, timeout=60)
    return configured(f"auth.users_file={users}")


def first_answer(target: Target, size: int) -> bytes:
    """What comes back for the first step of an exchange, of a client that takes so many bytes."""
    step: list[raw.Property] = [
        (raw.AUTHENTICATION_METHOD, METHOD),
        (raw.AUTHENTICATION_DATA, ScramClient("nobody", "knows").first()),
        (raw.MAXIMUM_PACKET_SIZE, size),
    ]
    with Raw(target) as connection:
        connection.send(raw.connect(5, "c", properties=step))
        answer = connection.read()
        return raw.packet(answer.type, answer.flags, answer.body)


@statement("MQTT-3.15.2-2", "MQTT-3.15.2-3", "MQTT-3.15.2-1")
@pytest.mark.versions(5)
def test_an_auth_is_without_reasons_or_not_sent(guarded: Target, version: int) -> None:
    """Where not even the challenge has room, the client is told so and not kept waiting."""
    auth = first_answer(guarded, 1000)
    assert raw.AUTH << 4 == auth[0]
    received = raw.decode(5, raw.AUTH, 0, auth[2:])
    assert [raw.AUTHENTICATION_METHOD, raw.AUTHENTICATION_DATA] == [key for key, _ in received.properties]
    assert auth[:1] == first_answer(guarded, len(auth))[:1]
    refusal = first_answer(guarded, len(auth) - 20)
    assert (raw.CONNACK << 4, PACKET_TOO_LARGE) == (refusal[0], refusal[3])
    assert len(refusal) <= len(auth) - 20
