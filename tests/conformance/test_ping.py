"""Goal: PINGREQ (3.12) is answered with PINGRESP, and with nothing else; method: a few by hand, in good form and bad."""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import opened
from tests.conformance.statements import statement


@statement("MQTT-3.12.4-1", "311:MQTT-3.12.4-1")
def test_each_pingreq_is_answered(target: Target, version: int, name: str) -> None:
    with opened(target, version, name) as connection:
        connection.send(raw.pingreq() * 100)
        for _ in range(100):
            pingresp = connection.expect(raw.PINGRESP)
            assert (0, b"") == (pingresp.flags, pingresp.body)
        connection.expect_silence()


@statement("MQTT-3.12.4-1", "311:MQTT-3.12.4-1")
def test_a_pingreq_among_other_packets_is_answered(target: Target, version: int, name: str) -> None:
    with opened(target, version, name) as connection:
        connection.send(raw.publish(version, f"{name}/t", b"x", qos=1, packet_id=1) + raw.pingreq())
        assert {raw.PUBACK, raw.PINGRESP} == {connection.read().type, connection.read().type}


@statement("MQTT-3.12.4-1", "311:MQTT-3.12.4-1")
@pytest.mark.parametrize("keep_alive", [0, 1, 65535])
def test_a_pingreq_is_answered_whatever_the_keep_alive(
    target: Target, version: int, name: str, keep_alive: int
) -> None:
    with opened(target, version, name, keep_alive=keep_alive) as connection:
        connection.ping()


@statement("MQTT-2.1.3-1", "MQTT-4.13.1-1", "311:MQTT-2.2.2-2", "311:MQTT-4.8.0-1")
@pytest.mark.parametrize("first", [0xC1, 0xC2, 0xC4, 0xC8, 0xCF])
@pytest.mark.versions(4, 5)
def test_other_flags_close(target: Target, version: int, name: str, first: int, bystander: Bystander) -> None:
    with opened(target, version, name) as connection:
        connection.send(bytes((first, 0)))
        connection.expect_closed(0x81)


@statement("MQTT-4.13.1-1", "311:MQTT-4.8.0-1")
@pytest.mark.parametrize("body", [b"\0", b"abcd"], ids=["one", "four"])
def test_a_pingreq_with_a_body_closes(
    target: Target, version: int, name: str, body: bytes, bystander: Bystander
) -> None:
    with opened(target, version, name) as connection:
        connection.send(raw.packet(raw.PINGREQ, 0, body))
        connection.expect_closed()
