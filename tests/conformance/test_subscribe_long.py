"""Goal: a SUBSCRIBE or UNSUBSCRIBE of thousands of filters is one packet with one answer (3.8.4, 3.10.4), whatever a server
does to work through it; method: long packets with short ones right behind them.
"""

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.opened import ended, lasting, message, opened, resumed, unretain
from tests.conformance.statements import statement

COUNT = 3000
KINDS = pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])


def filters(name: str, count: int = COUNT) -> list[str]:
    """Every third one has a wildcard."""
    return [f"{name}/{number}/{'+' if number % 3 == 0 else 'x'}" for number in range(count)]


@statement("MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.9.3-1", "MQTT-3.10.4-6", "MQTT-3.11.3-1")
@statement("311:MQTT-3.8.4-4", "311:MQTT-3.8.4-5", "311:MQTT-3.9.3-1", "311:MQTT-3.10.4-6", "311:MQTT-3.10.4-4")
@KINDS
def test_thousands_of_filters_have_one_answer(target: Target, version: int, name: str, is_lasting: bool) -> None:
    every = filters(name)
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        suback = subscriber.subscribe(*((each, number % 3) for number, each in enumerate(every)))
        assert [number % 3 for number in range(COUNT)] == suback.codes
        for number in (0, 1, 2, COUNT // 2, COUNT - 2, COUNT - 1):
            publisher.publish(f"{name}/{number}/x", b"x", qos=2)
            received = message(subscriber)
            assert (f"{name}/{number}/x", number % 3) == (received.topic, received.qos)
        subscriber.send(raw.unsubscribe(version, 9, f"{name}/never", *every[1:]))
        unsuback = subscriber.expect(raw.UNSUBACK)
        assert 9 == unsuback.packet_id
        assert ([0x11] + [0] * (COUNT - 1) if version == 5 else []) == unsuback.codes
        for number in (1, COUNT - 1, 0):
            publisher.publish(f"{name}/{number}/x", b"x", qos=1)
        assert f"{name}/0/x" == message(subscriber).topic
        subscriber.expect_silence()
    ended(target, version, f"{name}-s")


@statement("MQTT-3.8.4-3", "MQTT-3.8.4-5", "311:MQTT-3.8.4-3", "311:MQTT-3.8.4-4")
@KINDS
def test_a_short_subscribe_right_behind_a_long_one_has_the_last_word(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    every = filters(name)
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.send(
            raw.subscribe(version, 1, *((each, 0) for each in every))
            + raw.subscribe(version, 2, (every[-1], 2), (every[0], 1))
        )
        answers = {suback.packet_id: suback.codes for suback in (subscriber.expect(raw.SUBACK) for _ in range(2))}
        assert {1: [0] * COUNT, 2: [2, 1]} == answers
        for number, qos in ((COUNT - 1, 2), (0, 1), (1, 0)):
            publisher.publish(f"{name}/{number}/x", b"x", qos=2)
            assert qos == message(subscriber).qos
    ended(target, version, f"{name}-s")


@statement("MQTT-3.10.4-2", "MQTT-3.8.4-1", "311:MQTT-3.10.4-2")
@KINDS
def test_an_unsubscribe_right_behind_a_long_subscribe_undoes_it(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    """Also when another subscription stands between them in the stream."""
    every = filters(name)
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.send(
            raw.subscribe(version, 1, *((each, 1) for each in every))
            + raw.subscribe(version, 2, (f"{name}/stays", 1))
            + raw.unsubscribe(version, 3, *every)
        )
        kinds = [subscriber.read().type for _ in range(3)]
        assert [raw.SUBACK, raw.SUBACK, raw.UNSUBACK] == kinds
        for number in (0, 1, COUNT // 2, COUNT - 1):
            publisher.publish(f"{name}/{number}/x", b"x", qos=1)
        publisher.publish(f"{name}/stays", b"x", qos=1)
        assert f"{name}/stays" == message(subscriber).topic
        subscriber.expect_silence()
    ended(target, version, f"{name}-s")


@statement("MQTT-3.8.4-3", "MQTT-3.8.4-6", "311:MQTT-3.8.4-3")
@KINDS
def test_the_last_of_equal_filters_far_apart_holds(target: Target, version: int, name: str, is_lasting: bool) -> None:
    every = [(each, 0) for each in filters(name)]
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        assert [1, *[0] * COUNT, 2] == subscriber.subscribe((f"{name}/twice", 1), *every, (f"{name}/twice", 2)).codes
        publisher.publish(f"{name}/twice", b"x", qos=2)
        assert 2 == message(subscriber).qos
        subscriber.expect_silence()
    ended(target, version, f"{name}-s")


@statement("MQTT-3.14.4-3", "311:MQTT-4.1.0-1")
def test_a_session_has_all_of_what_its_suback_said(target: Target, version: int, name: str) -> None:
    client_id, every = f"{name}-s", filters(name)
    with lasting(target, version, client_id) as subscriber:
        subscriber.send(raw.subscribe(version, 1, *((each, 1) for each in every)) + raw.disconnect(version))
        was_answered = False
        while (received := subscriber.read_or_end()) is not None:
            was_answered |= received.type == raw.SUBACK
    with opened(target, version, f"{name}-p") as publisher:
        numbers = (0, 1, COUNT // 2, COUNT - 1)
        for number in numbers:
            publisher.publish(f"{name}/{number}/x", b"x", qos=1)
    with resumed(target, version, client_id) as subscriber:
        if was_answered:
            assert [f"{name}/{number}/x" for number in numbers] == [message(subscriber).topic for _ in numbers]
    ended(target, version, client_id)


@statement("MQTT-3.3.1-9", "MQTT-3.8.4-4", "311:MQTT-3.3.1-6")
@KINDS
def test_each_of_many_filters_brings_its_retained_messages(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    topics = [f"{name}/{number}/x" for number in (0, 1, COUNT // 2, COUNT - 1)]
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        for topic in topics:
            publisher.publish(topic, b"kept", qos=1, retain=True)
        subscriber.send(raw.subscribe(version, 1, *((each, 1) for each in filters(name))))
        came = [subscriber.read() for _ in range(len(topics) + 1)]
        assert 1 == [received.type for received in came].count(raw.SUBACK)
        kept = [received for received in came if received.type == raw.PUBLISH]
        assert sorted(topics) == sorted(received.topic for received in kept)
        assert all(received.retain for received in kept)
        subscriber.expect_silence()
    ended(target, version, f"{name}-s")
    unretain(target, *topics)


@statement("MQTT-3.12.4-1", "MQTT-4.3.2-4", "311:MQTT-3.12.4-1", "311:MQTT-4.3.2-2")
def test_what_is_sent_behind_a_long_subscribe_is_answered(target: Target, version: int, name: str) -> None:
    every = filters(name)
    with opened(target, version, name) as client:
        client.send(
            raw.subscribe(version, 1, *((each, 1) for each in every))
            + raw.publish(version, f"{name}/0/x", b"x", qos=1, packet_id=2)
            + raw.publish(version, f"{name}/other", b"x", qos=2, packet_id=3)
            + raw.pingreq()
            + raw.unsubscribe(version, 4, *every)
        )
        wanted = [raw.SUBACK, raw.PUBACK, raw.PUBREC, raw.PINGRESP, raw.UNSUBACK]
        kinds: list[int] = []
        while len([kind for kind in kinds if kind != raw.PUBLISH]) < len(wanted):
            kinds.append(client.read().type)
        assert sorted(wanted) == sorted(kind for kind in kinds if kind != raw.PUBLISH)
        assert kinds.count(raw.PUBLISH) <= 1
        assert kinds.index(raw.SUBACK) < kinds.index(raw.UNSUBACK)
