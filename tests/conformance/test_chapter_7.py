"""Goal: a client that knows no more than it must is served whole (chapter 7). Method: the fewest bytes of each packet."""

from collections.abc import Callable

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.opened import message, opened
from tests.conformance.raw import Raw
from tests.conformance.statements import statement

Configured = Callable[..., Target]
# What a client reads for a message of each QoS that it sends to itself
ANSWERED = {0: {raw.PUBLISH}, 1: {raw.PUBLISH, raw.PUBACK}, 2: {raw.PUBLISH, raw.PUBREC, raw.PUBREL, raw.PUBCOMP}}


@statement("311:MQTT-7.0.0-2")
def test_the_plainest_client_is_served(target: Target, version: int, name: str) -> None:
    """No user name, no will, no property, no reason code; each packet as short as it can be."""
    with Raw(target, version) as connection:
        connection.send(raw.connect(version, name, keep_alive=0))
        assert 0 == connection.expect(raw.CONNACK).code
        assert [2] == connection.subscribe((name, 2)).codes
        for qos in (0, 1, 2):
            connection.send(raw.publish(version, name, b"%d" % qos, qos=qos, packet_id=7))
            came: list[int] = []
            while (
                set(came) != ANSWERED[qos]
            ):  # in whatever order: a server may pass a message on before or behind PUBREL
                received = connection.read()
                came.append(received.type)
                if received.type == raw.PUBLISH:
                    assert (qos, b"%d" % qos) == (received.qos, received.payload)
                    if qos:
                        connection.send(raw.ack(version, raw.PUBACK if qos == 1 else raw.PUBREC, received.packet_id))
                elif received.type == raw.PUBREC:
                    connection.send(raw.ack(version, raw.PUBREL, received.packet_id))
                elif received.type == raw.PUBREL:
                    connection.send(raw.ack(version, raw.PUBCOMP, received.packet_id))
            assert len(came) == len(set(came))
        connection.send(raw.unsubscribe(version, 8, name))
        assert 8 == connection.expect(raw.UNSUBACK).packet_id
        connection.ping()
        connection.disconnect()


@statement("311:MQTT-3.3.5-2")
@pytest.mark.parametrize("qos", [1, 2])
def test_a_publish_that_is_not_allowed_is_acknowledged_or_closes(
    target: Target, version: int, name: str, qos: int
) -> None:
    """Before 5.0 nothing can be said: an acknowledgement that does not tell, or the end."""
    with opened(target, version, name) as connection, opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe(("$SYS/conformance", 0))
        connection.send(raw.publish(version, "$SYS/conformance", b"mine", qos=qos, packet_id=5))
        try:
            answer = connection.expect(raw.PUBACK if qos == 1 else raw.PUBREC)
            assert 5 == answer.packet_id
            assert version < 5 or answer.code >= 0x80 or not target.says_why
        except AssertionError:
            connection.expect_closed()
        watcher.expect_silence()


@statement("311:MQTT-3.8.3-2")
@pytest.mark.parametrize("topic_filter", ["a/#", "a/+", "#", "+/b"])
def test_a_server_without_wildcards_refuses_filters_that_hold_one(
    configured: Configured, version: int, name: str, topic_filter: str
) -> None:
    target = configured("mqtt.wildcard_available=false")
    with opened(target, version, name) as connection:
        refused = 0xA2 if version == 5 else 0x80
        assert [refused, 1] == connection.subscribe((topic_filter, 0), (name, 1)).codes
        with opened(target, version, f"{name}-p") as publisher:
            publisher.publish("a/b", b"must not arrive")
            publisher.publish(name, b"plain", qos=1)
        assert b"plain" == message(connection).payload
