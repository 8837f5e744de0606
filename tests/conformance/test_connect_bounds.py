"""Goal: the largest, the smallest and the latest CONNECT are served as section 3.1 says. Method: fields at their bounds,
and connections that say nothing."""

from collections.abc import Callable

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.raw import Raw, Will
from tests.conformance.statements import statement


@statement("MQTT-3.1.2-9", "311:MQTT-3.1.2-9")
@pytest.mark.parametrize("size", [0, 1, 65_535])
def test_will_payload_of_any_size_is_sent(target: Target, version: int, name: str, size: int) -> None:
    payload = bytes(index % 251 for index in range(size))
    with Raw(target) as watcher, Raw(target) as connection:
        watcher.open(version)
        watcher.subscribe((name, 0))
        connection.open(version, name, will=Will(name, payload))
        connection.close()
        assert payload == watcher.expect(raw.PUBLISH).payload


@statement("MQTT-3.1.2-15", "MQTT-3.3.1-6", "311:MQTT-3.1.2-17", "311:MQTT-3.3.1-10", "311:MQTT-3.3.1-11")
def test_empty_retained_will_removes_the_retained_message(target: Target, version: int, name: str) -> None:
    with Raw(target) as watcher, Raw(target) as connection:
        watcher.open(version)
        watcher.publish(name, b"kept", retain=True, qos=1)
        watcher.subscribe((name, 0))
        assert b"kept" == watcher.expect(raw.PUBLISH).payload
        connection.open(version, name, will=Will(name, b"", 0, True))
        connection.close()
        assert b"" == watcher.expect(raw.PUBLISH).payload
        watcher.subscribe((name, 0), packet_id=2)
        watcher.expect_silence()


@pytest.mark.parametrize(("username", "password"), [("", None), ("", b""), ("u" * 65_535, bytes(65_535))])
def test_user_name_and_password_of_any_size_are_read(
    target: Target, version: int, name: str, username: str, password: bytes | None
) -> None:
    with Raw(target) as connection:
        connection.open(version, name, username=username, password=password)
        connection.ping()


@pytest.mark.versions(5)
def test_a_thousand_user_properties_are_read(target: Target, version: int, name: str) -> None:
    pairs: list[raw.Property] = [(raw.USER_PROPERTY, (f"name {number}", "value")) for number in range(1000)]
    with Raw(target) as connection:
        connection.open(version, name, properties=pairs)
        connection.ping()


@pytest.mark.parametrize("data", [b"", b"\x10", raw.connect(4, "late")[:-1]], ids=["nothing", "a-byte", "all-but-one"])
def test_who_does_not_connect_in_time_is_closed_without_an_answer(
    configured: Callable[..., Target], data: bytes
) -> None:
    """3.1.4: a server should not wait forever for a CONNECT."""
    target = configured("listeners.connect_timeout_ms=1000")
    with Raw(target) as patient:
        patient.open(4)
        with Raw(target) as late:
            late.send(data)
            assert b"" == late.rest()
        patient.ping()
