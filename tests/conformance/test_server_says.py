"""Goal: what the server says of its own accord: `$SYS` topics, where to reply, where else to go; method: a broker with each
of them configured, clients that ask and clients that do not."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conformance import raw
from tests.conformance.broker_process import BrokerProcess
from tests.conformance.conftest import Target
from tests.conformance.raw import Raw
from tests.conformance.statements import statement

ELSEWHERE = "other.example:1883"
Configured = Callable[..., Target]


@statement("MQTT-4.7.2-1", "311:MQTT-4.7.2-1")
def test_sys_topics_are_for_those_who_name_them(configured: Configured, version: int, name: str) -> None:
    here = configured("mqtt.sys_interval_s=1")
    with Raw(here) as asking, Raw(here) as greedy, Raw(here) as publisher:
        greedy.open(version, f"{name[:18]}-all")
        greedy.subscribe(("#", 0), ("+/broker/version", 0))
        asking.open(version, f"{name[:18]}-sys")
        asking.subscribe(("$SYS/broker/version", 1))
        for _ in range(2):
            told = asking.expect(raw.PUBLISH)
            assert ("$SYS/broker/version", 0, False) == (told.topic, told.qos, told.retain)
            assert told.payload.startswith(b"Quantum ")
        greedy.expect_silence()
        publisher.open(version, f"{name[:18]}-pub")
        publisher.send(raw.publish(version, "$SYS/broker/version", b"lie", qos=1, packet_id=1))
        assert (0x90 if version == 5 else 0) == publisher.expect(raw.PUBACK).code
        assert asking.expect(raw.PUBLISH).payload.startswith(b"Quantum ")


@statement("MQTT-3.1.2-28")
@pytest.mark.parametrize(("asked", "told"), [(None, None), (0, None), (1, "replies/{}")])
def test_response_information_is_for_those_who_ask(
    configured: Configured, name: str, asked: int | None, told: str | None
) -> None:
    here = configured("mqtt.response_information=replies/{client_id}")
    with Raw(here) as connection:
        properties = [] if asked is None else [(raw.REQUEST_RESPONSE_INFORMATION, asked)]
        connack = connection.open(5, name, properties=properties)
        assert (told and told.format(name)) == connack.value(raw.RESPONSE_INFORMATION)
        if told:
            topic = connack.value(raw.RESPONSE_INFORMATION)
            assert isinstance(topic, str)
            connection.subscribe((topic, 0))
            connection.send(raw.publish(5, topic, b"answer"))
            assert b"answer" == connection.expect(raw.PUBLISH).payload


def test_server_that_moved_sends_everybody_elsewhere(configured: Configured, version: int, name: str) -> None:
    here = configured(f"mqtt.server_reference={ELSEWHERE}", "mqtt.server_moved=true")
    with Raw(here, version) as connection:
        connection.send(raw.connect(version, name[:20]))
        connack = connection.expect(raw.CONNACK)
        assert ({5: 0x9D}.get(version, 3), False) == (connack.code, connack.session_present)
        assert (ELSEWHERE if version == 5 else None) == connack.value(raw.SERVER_REFERENCE)
        connection.expect_end()


def test_server_that_is_full_or_stops_sends_clients_elsewhere(tmp_path: Path, version: int) -> None:
    settings = [f"mqtt.server_reference={ELSEWHERE}", "listeners.connections_max=1"]
    node = BrokerProcess(tmp_path / "data", [word for setting in settings for word in ("--set", setting)])
    node.start()
    here = Target("127.0.0.1", node.ports["tcp"], says_why=True)
    with Raw(here) as first:
        first.open(version, "first")
        with Raw(here, version) as second:
            second.send(raw.connect(version, "second"))
            connack = second.expect(raw.CONNACK)
            assert {5: 0x9C}.get(version, 3) == connack.code
            assert (ELSEWHERE if version == 5 else None) == connack.value(raw.SERVER_REFERENCE)
            second.expect_end()
        first.ping()
        assert 0 == node.stop()
        if version == 5:
            farewell = first.expect(raw.DISCONNECT)
            assert (0x9C, ELSEWHERE) == (farewell.code, farewell.value(raw.SERVER_REFERENCE))
        first.expect_end()
