"""Goal: Client Identifiers are taken, assigned and refused as 3.1.3.1 says. Method: CONNECT packets that differ in it."""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.raw import Raw
from tests.conformance.statements import statement

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


@statement("MQTT-3.1.3-5", "MQTT-3.1.4-5", "311:MQTT-3.1.3-5", "311:MQTT-3.1.4-4")
@pytest.mark.parametrize("client_id", ["0", "Z", "a1", ALPHABET[:23], ALPHABET[23:46], ALPHABET[39:]])
def test_identifiers_of_letters_and_digits_are_taken(target: Target, version: int, client_id: str) -> None:
    with Raw(target) as connection:
        connection.open(version, client_id)
        connection.ping()


@statement("MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16")
@pytest.mark.versions(5)
def test_empty_identifier_is_replaced_by_a_unique_one_that_is_told(target: Target, version: int) -> None:
    with Raw(target) as one, Raw(target) as two:
        names = [connection.open(version).value(raw.ASSIGNED_CLIENT_IDENTIFIER) for connection in (one, two)]
        assert all(isinstance(name, str) and name for name in names)
        assert 2 == len(set(names))
        with Raw(target) as again:  # it is the identifier of a session like any other
            again.open(version, str(names[0]))
            one.expect_closed(0x8E)
        two.ping()


@statement("MQTT-3.1.3-7")
@pytest.mark.versions(5)
def test_session_under_an_assigned_identifier_is_resumed(target: Target, version: int, name: str) -> None:
    with Raw(target) as first:
        connack = first.open(version, properties=[(raw.SESSION_EXPIRY_INTERVAL, 600)])
        assigned = str(connack.value(raw.ASSIGNED_CLIENT_IDENTIFIER))
        first.subscribe((name, 0))
    with Raw(target) as second:
        connack = second.open(version, assigned, clean=False)
        assert connack.session_present
        assert connack.value(raw.ASSIGNED_CLIENT_IDENTIFIER) is None


@statement("MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.1.2-6", "MQTT-3.2.2-3")
@pytest.mark.versions(5)
def test_empty_identifier_with_clean_start_0_begins_a_session_of_its_own(target: Target, version: int) -> None:
    """In 5.0 it is no error: the identifier is new, so there is nothing to go on with."""
    with Raw(target) as connection:
        connack = connection.open(version, clean=False)
        assert not connack.session_present
        assert connack.value(raw.ASSIGNED_CLIENT_IDENTIFIER)


@statement("311:MQTT-3.1.3-6", "311:MQTT-3.1.3-7")
@pytest.mark.versions(4)
def test_empty_identifiers_of_3_1_1_are_sessions_apart(target: Target, version: int) -> None:
    with Raw(target) as one, Raw(target) as two:
        one.open(version)
        two.open(version)
        one.ping()
        two.ping()


@statement("311:MQTT-3.1.3-8", "311:MQTT-3.1.3-9", "311:MQTT-3.2.2-4", "311:MQTT-3.2.2-5")
@pytest.mark.versions(4)
def test_empty_identifier_with_clean_session_0_is_answered_with_2(
    target: Target, version: int, bystander: Bystander
) -> None:
    with Raw(target, version) as connection:
        connection.send(raw.connect(version, "", clean=False))
        assert b"\x20\x02\x00\x02" == connection.rest()


@pytest.mark.versions(3)
@pytest.mark.parametrize("clean", [True, False])
def test_3_1_has_no_empty_identifier(target: Target, version: int, bystander: Bystander, clean: bool) -> None:
    """MQTT 3.1 §3.1: 1 to 23 characters, else return code 2."""
    with Raw(target, version) as connection:
        connection.send(raw.connect(version, "", clean=clean))
        assert b"\x20\x02\x00\x02" == connection.rest()


@statement("MQTT-3.1.3-2", "311:MQTT-3.1.3-2")
def test_sessions_are_told_apart_by_their_identifier(target: Target, version: int, name: str) -> None:
    """Letters of another case, a space or a byte more make another session."""
    others = [name.upper(), f"{name} ", f"{name}é", f"{name}e\u0301"]
    with Raw(target) as owner:
        owner.open(version, name)
        for other in others:
            with Raw(target) as connection:
                connection.open(version, other)
        owner.ping()


@pytest.mark.parametrize(
    "client_id", ["x" * 24, "x" * 65_535, "a/b#+$", "é\U0001f300"], ids=["24", "65535", "signs", "planes"]
)
def test_other_identifiers_are_taken_or_refused_in_order(
    target: Target, version: int, bystander: Bystander, client_id: str
) -> None:
    """3.1.3.1: a server may allow more than it must; 3.1 itself allowed 23 characters."""
    with Raw(target, version) as connection:
        connection.send(raw.connect(version, client_id))
        connack = connection.expect(raw.CONNACK)
        assert connack.code in ((0, 0x85) if version == 5 else (0, 2))
        if connack.code:
            assert b"" == connection.rest()
        else:
            connection.ping()
