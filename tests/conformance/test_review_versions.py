"""Goal: publishers and subscribers of any two versions understand each other; method: one publisher of each version, and
subscribers of all of them at the same time, byte by byte.
"""

from collections.abc import Callable

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.opened import finish, message, opened, unretain
from tests.conformance.raw import Raw
from tests.conformance.statements import statement

QOS = pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
FILTERS_MANY = 1500


def body_of(version: int, topic: str, payload: bytes, packet_id: int) -> bytes:
    """The body of a PUBLISH without properties."""
    identifier = raw.u16(packet_id) if packet_id else b""
    return raw.utf8(topic) + identifier + (b"\0" if version == 5 else b"") + payload


@statement("MQTT-2.2.2-1", "MQTT-4.5.0-1", "MQTT-2.2.1-2", "311:MQTT-4.5.0-1", "311:MQTT-2.3.1-5", "311:MQTT-3.3.2-1")
@QOS
def test_each_version_receives_what_any_version_published(target: Target, version: int, name: str, qos: int) -> None:
    """Several at once as well, live and retained: a copy that was made for one version must not reach another."""
    topic = f"{name}/t"
    levels = target.versions
    with opened(target, version, f"{name}-p") as publisher:
        subscribers = [opened(target, level, f"{name}-{level}-{number}") for level in levels for number in range(2)]
        for subscriber in subscribers:
            subscriber.subscribe((topic, 2))
        for payload, retain in ((b"live", False), (b"kept", True)):
            copies = range(1, 4)
            if qos < 2:
                publisher.send(raw.publish(version, topic, payload, qos=qos, retain=retain, packet_id=1) * 3)
            for _ in copies if qos else ():
                if qos == 2:
                    publisher.send(raw.publish(version, topic, payload, qos=qos, retain=retain, packet_id=1))
                finish(publisher)
            for subscriber in subscribers:
                for _ in copies:
                    received = subscriber.expect(raw.PUBLISH)
                    assert (qos << 1, payload) == (received.flags, received.payload)
                    assert body_of(subscriber.version, topic, payload, received.packet_id) == received.body
        publisher.publish(f"{name}/behind", b"", qos=1)
        for level in levels:
            with opened(target, level, f"{name}-{level}-late") as late:
                late.subscribe((topic, 2))
                received = message(late)
                assert body_of(level, topic, b"kept", received.packet_id) == received.body
                assert received.retain
        for subscriber in subscribers:
            subscriber.close()
    unretain(target, topic)


@statement("MQTT-3.8.4-5", "MQTT-3.9.3-1", "MQTT-3.11.3-1", "MQTT-3.10.4-6")
@statement("311:MQTT-3.8.4-4", "311:MQTT-3.9.3-1", "311:MQTT-3.10.4-6")
def test_a_very_long_subscribe_is_answered_whole_and_in_order(target: Target, version: int, name: str) -> None:
    """And UNSUBSCRIBE of every second of its filters and as many that were never there, then the messages of some."""
    topics = [f"{name}/{number}" for number in range(FILTERS_MANY)]
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        granted = subscriber.subscribe(*((topic, number * 5 % 3) for number, topic in enumerate(topics)), packet_id=9)
        assert [number * 5 % 3 for number in range(FILTERS_MANY)] == granted.codes
        gone = [topic if number % 2 else f"{topic}/never" for number, topic in enumerate(topics)]
        subscriber.send(raw.unsubscribe(version, 10, *gone))
        unsuback = subscriber.expect(raw.UNSUBACK)
        assert 10 == unsuback.packet_id
        assert version < 5 or [0x00 if number % 2 else 0x11 for number in range(FILTERS_MANY)] == unsuback.codes
        for number in (0, 1, 511, 512, 513, 1023, 1024, 1498, 1499):
            publisher.publish(topics[number], b"x", qos=2)
        for number in (0, 512, 1024, 1498):
            received = subscriber.expect(raw.PUBLISH)
            assert (topics[number], number * 5 % 3) == (received.topic, received.qos)
        subscriber.expect_silence()


@statement("MQTT-3.3.4-3")
@pytest.mark.versions(5)
def test_the_identifier_of_a_very_long_subscribe_is_of_all_its_filters(target: Target, version: int, name: str) -> None:
    topics = [f"{name}/{number}" for number in range(FILTERS_MANY)]
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe(*((topic, 0) for topic in topics), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 9)])
        for number in (0, 511, 512, 1499):
            publisher.publish(topics[number], b"x")
            assert [9] == message(subscriber).values(raw.SUBSCRIPTION_IDENTIFIER)


@statement("MQTT-3.2.2-15")
def test_a_packet_of_the_servers_maximum_is_served_wherever_it_is_cut(
    configured: Callable[..., Target], version: int, name: str
) -> None:
    """The round trip of another connection lies between its two pieces."""
    target = configured("mqtt.packet_bytes_max=1024")
    payload = bytes(1024 - (len(raw.publish(version, name, bytes(800), qos=1, packet_id=1)) - 800))
    data = raw.publish(version, name, payload, qos=1, packet_id=1)
    assert 1024 == len(data)
    with opened(target, version, f"{name}-o") as other, Raw(target) as connection:
        connection.open(version, name)
        for cut in (1, 2, 3, 10, 1023):
            connection.send(data[:cut])
            other.ping()
            connection.send(data[cut:])
            assert 1 == connection.expect(raw.PUBACK).packet_id
