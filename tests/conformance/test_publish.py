"""Goal: PUBLISH (3.3) means the same to every subscriber; method: one publisher and its subscribers, packet by packet."""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import (
    RETAIN_AS_PUBLISHED,
    complete,
    ended,
    finish,
    lasting,
    message,
    opened,
    resumed,
    unretain,
)
from tests.conformance.statements import statement

QOS = pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])


# -- fixed header -----------------------------------------------------------------------------------------------------


@statement("MQTT-3.3.1-1", "MQTT-4.4.0-1", "311:MQTT-3.3.1-1", "311:MQTT-4.4.0-1")
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
def test_dup_is_set_on_what_is_delivered_again(target: Target, version: int, name: str, qos: int) -> None:
    client_id, topic = f"{name}-s", f"{name}/t"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((topic, qos))
        publisher.publish(topic, b"again", qos=qos)
        first = subscriber.expect(raw.PUBLISH)
        assert not first.dup
    with resumed(target, version, client_id) as subscriber:
        second = message(subscriber)
        assert second.dup
        assert (first.packet_id, first.payload, first.qos) == (second.packet_id, second.payload, second.qos)
        subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-3.3.1-2", "311:MQTT-3.3.1-2")
def test_dup_at_qos_0_closes(target: Target, version: int, name: str, bystander: Bystander) -> None:
    with opened(target, 5, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as connection:
        subscriber.subscribe((f"{name}/t", 0))
        connection.send(raw.publish(version, f"{name}/t", b"x", dup=True))
        connection.expect_closed(0x81)
        subscriber.expect_silence()


@statement("MQTT-3.3.1-3", "MQTT-4.3.2-2", "MQTT-4.3.3-2", "311:MQTT-3.3.1-3")
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
def test_dup_is_not_forwarded(target: Target, version: int, name: str, qos: int) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.send(raw.publish(version, f"{name}/t", b"x", qos=qos, dup=True, packet_id=7))
        finish(publisher)
        received = message(subscriber)
        assert (b"x", qos, False) == (received.payload, received.qos, received.dup)


@statement("MQTT-4.3.2-5", "MQTT-4.3.3-12", "311:MQTT-4.3.2-2", "311:MQTT-4.3.3-2")
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
def test_dup_alone_makes_no_message_an_old_one(target: Target, version: int, name: str, qos: int) -> None:
    """The DUP flag of a PUBLISH whose Packet Identifier is free says nothing: it is a new message."""
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 0))
        publisher.publish(f"{name}/t", b"first", qos=qos, packet_id=9)
        publisher.send(raw.publish(version, f"{name}/t", b"second", qos=qos, dup=True, packet_id=9))
        finish(publisher)
        assert [b"first", b"second"] == [message(subscriber).payload, message(subscriber).payload]


@statement("MQTT-3.3.1-4", "311:MQTT-3.3.1-4")
def test_both_qos_bits_close(target: Target, version: int, name: str, bystander: Bystander) -> None:
    with opened(target, version, f"{name}-p") as connection:
        connection.send(raw.publish(version, f"{name}/t", b"x", qos=3, packet_id=1))
        connection.expect_closed(0x81)


@statement("MQTT-2.2.1-2", "MQTT-4.3.1-1", "311:MQTT-2.3.1-5", "311:MQTT-4.3.1-1")
def test_qos_0_is_forwarded_without_packet_identifier_and_dup(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"payload")
        received = subscriber.expect(raw.PUBLISH)
        properties = b"\0" if version == 5 else b""
        assert (0, raw.utf8(f"{name}/t") + properties + b"payload") == (received.flags, received.body)


@statement("MQTT-2.2.1-3", "311:MQTT-2.3.1-1")
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
def test_packet_identifier_0_closes(target: Target, version: int, name: str, qos: int, bystander: Bystander) -> None:
    with opened(target, 4, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as connection:
        subscriber.subscribe((f"{name}/t", 0))
        connection.send(raw.publish(version, f"{name}/t", b"x", qos=qos, packet_id=0))
        connection.expect_closed()
        subscriber.expect_silence()


@statement(
    "MQTT-3.3.4-1",
    "MQTT-4.3.2-4",
    "MQTT-4.3.3-8",
    "MQTT-4.3.3-11",
    "MQTT-2.2.1-5",
    "311:MQTT-3.3.4-1",
    "311:MQTT-4.3.2-2",
    "311:MQTT-4.3.3-2",
    "311:MQTT-2.3.1-6",
)
@pytest.mark.parametrize("packet_id", [1, 255, 256, 65535])
def test_each_qos_has_its_answer(target: Target, version: int, name: str, packet_id: int) -> None:
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(f"{name}/t", b"0")
        publisher.publish(f"{name}/t", b"1", qos=1, packet_id=packet_id)
        publisher.publish(f"{name}/t", b"2", qos=2, packet_id=packet_id)
        publisher.expect_silence()


# -- retain -----------------------------------------------------------------------------------------------------------


@statement("MQTT-3.3.1-5", "MQTT-3.3.1-9", "311:MQTT-3.3.1-5", "311:MQTT-3.3.1-6", "311:MQTT-3.3.1-8")
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
def test_the_last_retained_message_is_sent_to_a_new_subscription(
    target: Target, version: int, name: str, qos: int
) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        publisher.publish(f"{name}/t", b"old", qos=qos, retain=True)
        publisher.publish(f"{name}/t", b"new", qos=qos, retain=True)
        subscriber.subscribe((f"{name}/t", 2))
        received = message(subscriber)
        assert (b"new", qos, True) == (received.payload, received.qos, received.retain)
        subscriber.expect_silence()
    unretain(target, f"{name}/t")


@statement("MQTT-3.3.1-5", "311:MQTT-3.3.1-7")
def test_a_retained_message_of_qos_0_replaces_one_of_qos_1(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(f"{name}/t", b"old", qos=1, retain=True)
        publisher.send(raw.publish(version, f"{name}/t", b"new", retain=True))
        publisher.publish(f"{name}/behind", b"", qos=1)
        publisher.subscribe((f"{name}/t", 2))
        received = message(publisher)
        assert (b"new", 0, True) == (received.payload, received.qos, received.retain)
    unretain(target, f"{name}/t")


@statement("MQTT-3.3.1-6", "MQTT-3.3.1-7", "311:MQTT-3.3.1-10", "311:MQTT-3.3.1-11")
@QOS
def test_an_empty_retained_message_is_delivered_and_removes_the_kept_one(
    target: Target, version: int, name: str, qos: int
) -> None:
    topic = f"{name}/t"
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as before:
        publisher.publish(topic, b"kept", qos=1, retain=True)
        before.subscribe((topic, 2))
        assert b"kept" == message(before).payload
        publisher.publish(topic, b"", qos=qos, retain=True)
        received = message(before)
        assert (b"", False) == (received.payload, received.retain)
        publisher.publish(f"{name}/behind", b"", qos=1)
        with opened(target, version, f"{name}-after") as after:
            after.subscribe((topic, 2))
            after.expect_silence()


@statement("MQTT-3.3.1-8", "311:MQTT-3.3.1-12")
@QOS
@pytest.mark.parametrize("payload", [b"live", b""], ids=["text", "empty"])
def test_without_retain_the_kept_message_stays(
    target: Target, version: int, name: str, qos: int, payload: bytes
) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        publisher.publish(f"{name}/t", b"kept", qos=1, retain=True)
        publisher.publish(f"{name}/t", payload, qos=qos)
        publisher.publish(f"{name}/never", payload, qos=qos)
        subscriber.subscribe((f"{name}/#", 0))
        received = message(subscriber)
        assert (f"{name}/t", b"kept", True) == (received.topic, received.payload, received.retain)
        subscriber.expect_silence()
    unretain(target, f"{name}/t")


@statement("MQTT-3.3.1-12", "311:MQTT-3.3.1-9")
@QOS
def test_retain_is_cleared_for_a_standing_subscription(target: Target, version: int, name: str, qos: int) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"x", qos=qos, retain=True)
        received = message(subscriber)
        assert (b"x", qos, False) == (received.payload, received.qos, received.retain)
    unretain(target, f"{name}/t")


@statement("MQTT-3.3.1-13")
@QOS
@pytest.mark.parametrize("retain", [True, False], ids=["retain", "live"])
@pytest.mark.versions(5)
def test_retain_as_published_leaves_the_flag(target: Target, version: int, name: str, qos: int, retain: bool) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 2 | RETAIN_AS_PUBLISHED))
        publisher.publish(f"{name}/t", b"x", qos=qos, retain=retain)
        assert retain == message(subscriber).retain
    unretain(target, f"{name}/t")


@statement("MQTT-3.3.1-5")
def test_a_retained_message_is_never_older_than_a_live_one_before_it(target: Target, version: int, name: str) -> None:
    """A subscription that begins among retained publications sees them in their order, from the kept one on."""
    count = 40
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        for number in range(count):
            publisher.send(raw.publish(version, f"{name}/t", b"%d" % number, qos=1, retain=True, packet_id=number + 1))
            if number == count // 2:
                subscriber.send(raw.subscribe(version, 1, (f"{name}/t", 0)))
        for _ in range(count):
            publisher.expect(raw.PUBACK)
        subscriber.expect(raw.SUBACK)
        seen = [int(subscriber.expect(raw.PUBLISH).payload)]
        while seen[-1] < count - 1:
            seen.append(int(subscriber.expect(raw.PUBLISH).payload))
        assert list(range(seen[0], count)) == seen
        subscriber.expect_silence()
    unretain(target, f"{name}/t")


# -- topic name -------------------------------------------------------------------------------------------------------


@statement("MQTT-3.3.2-1", "MQTT-1.5.4-1", "311:MQTT-3.3.2-1", "311:MQTT-1.5.3-1")
@pytest.mark.parametrize(
    "topic",
    [b"\xff", b"a\xc3", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"],
    ids=["byte", "cut", "overlong", "surrogate", "beyond"],
)
def test_a_topic_name_that_is_no_utf_8_closes(
    target: Target, version: int, name: str, topic: bytes, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-p") as connection:
        properties = b"\0" if version == 5 else b""
        connection.send(raw.packet(raw.PUBLISH, 2, raw.binary(topic), raw.u16(1), properties, b"x"))
        connection.expect_closed()


@statement("MQTT-3.3.2-1", "MQTT-4.13.1-1", "311:MQTT-3.3.2-1", "311:MQTT-4.8.0-1")
@pytest.mark.parametrize("body", [b"", b"\0", b"\0\x05abc", b"\xff\xffabc"], ids=["nothing", "half", "short", "long"])
def test_a_publish_that_ends_within_its_topic_name_closes(
    target: Target, version: int, name: str, body: bytes, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-p") as connection:
        connection.send(raw.packet(raw.PUBLISH, 0, body))
        connection.expect_closed()


@statement("MQTT-3.3.2-2", "MQTT-4.7.0-1", "311:MQTT-3.3.2-2", "311:MQTT-4.7.1-1")
@QOS
@pytest.mark.parametrize("wildcard", ["#", "+", "a/#", "a/+/b", "a+", "b#"])
def test_a_topic_name_with_a_wildcard_closes(
    target: Target, version: int, name: str, qos: int, wildcard: str, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-p") as connection:
        connection.send(raw.publish(version, f"{name}/{wildcard}", b"x", qos=qos, packet_id=1, retain=True))
        connection.expect_closed()


@statement("MQTT-3.3.2-3", "311:MQTT-3.3.2-3")
def test_a_message_comes_under_the_name_it_was_published_to(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/+/end", 0))
        publisher.publish(f"{name}/a/end", b"matches")
        publisher.publish(f"{name}/a/b/end", b"does not")
        publisher.publish(f"{name}/b/end", b"matches")
        assert [f"{name}/a/end", f"{name}/b/end"] == [message(subscriber).topic, message(subscriber).topic]
        subscriber.expect_silence()


@statement("MQTT-3.3.4-1", "311:MQTT-3.3.4-1")
@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 300_000])
def test_a_payload_of_any_size_comes_as_it_is(target: Target, version: int, name: str, size: int) -> None:
    payload = (bytes(range(256)) * (size // 256 + 1))[:size]
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", payload, qos=1)
        assert payload == message(subscriber).payload


# -- overlapping subscriptions and their identifiers ------------------------------------------------------------------


@statement("MQTT-3.3.4-2", "311:MQTT-3.3.5-1")
@pytest.mark.parametrize("first, second", [(0, 2), (2, 0), (1, 2), (1, 0)])
def test_overlapping_subscriptions_keep_the_highest_qos(
    target: Target, version: int, name: str, first: int, second: int
) -> None:
    """A server sends one copy, or one for each subscription; the highest QoS among them is the highest granted."""
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/#", first), (f"{name}/t", second))
        publisher.publish(f"{name}/t", b"x", qos=2)
        publisher.publish(f"{name}/end/deeper", b"", qos=0)
        copies = [subscriber.expect(raw.PUBLISH)]
        while copies[-1].topic == f"{name}/t":
            copies.append(subscriber.expect(raw.PUBLISH))
        assert max(first, second) == max(copy.qos for copy in copies[:-1])
        for copy in copies[:-1]:
            complete(subscriber, copy)


@statement("MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5")
@QOS
@pytest.mark.versions(5)
def test_overlapping_subscriptions_bring_all_their_identifiers(
    target: Target, version: int, name: str, qos: int
) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        for number, topic_filter in ((1, f"{name}/#"), (268_435_455, f"{name}/+"), (0, f"{name}/t"), (200, name)):
            identifier: list[raw.Property] = [(raw.SUBSCRIPTION_IDENTIFIER, number)] if number else []
            subscriber.subscribe((topic_filter, 2), properties=identifier)
        publisher.publish(f"{name}/t", b"x", qos=qos)
        publisher.publish(f"{name}/end/deeper", b"")
        identifiers: list[raw.Value] = []
        copies = [subscriber.expect(raw.PUBLISH)]
        while copies[-1].topic == f"{name}/t":
            identifiers += copies[-1].values(raw.SUBSCRIPTION_IDENTIFIER)
            copies.append(subscriber.expect(raw.PUBLISH))
        assert {1, 268_435_455} == set(identifiers)
        assert 2 == len(identifiers)
        assert [1] == copies[-1].values(raw.SUBSCRIPTION_IDENTIFIER)
        for copy in copies:
            complete(subscriber, copy)


@statement("MQTT-3.3.4-3", "MQTT-3.8.4-3")
@pytest.mark.versions(5)
def test_the_identifier_of_a_replaced_subscription_is_gone(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        for properties, expected in (([(raw.SUBSCRIPTION_IDENTIFIER, 3)], [3]), ([], [])):
            subscriber.subscribe((f"{name}/t", 0), properties=properties)
            publisher.publish(f"{name}/t", b"x")
            assert expected == message(subscriber).values(raw.SUBSCRIPTION_IDENTIFIER)


@statement("MQTT-3.3.4-3")
@pytest.mark.versions(5)
def test_a_retained_message_comes_with_the_identifier_of_its_subscription(
    target: Target, version: int, name: str
) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        publisher.publish(f"{name}/t", b"kept", qos=1, retain=True)
        subscriber.subscribe((f"{name}/t", 1), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 77)])
        received = message(subscriber)
        assert ([77], True) == (received.values(raw.SUBSCRIPTION_IDENTIFIER), received.retain)
    unretain(target, f"{name}/t")


@statement("MQTT-3.3.4-3")
@pytest.mark.versions(5)
def test_a_message_that_waited_comes_with_its_identifiers(target: Target, version: int, name: str) -> None:
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber:
        subscriber.subscribe((f"{name}/#", 1), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 5)])
        subscriber.disconnect()
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(f"{name}/t", b"x", qos=1)
    with resumed(target, version, client_id) as subscriber:
        first = subscriber.expect(raw.PUBLISH)
    with resumed(target, version, client_id) as subscriber:
        second = message(subscriber)
        assert [[5], [5]] == [received.values(raw.SUBSCRIPTION_IDENTIFIER) for received in (first, second)]
    ended(target, version, client_id)


@statement("MQTT-3.3.4-6")
@QOS
@pytest.mark.versions(5)
def test_a_subscription_identifier_from_a_client_closes(
    target: Target, version: int, name: str, qos: int, bystander: Bystander
) -> None:
    with opened(target, 4, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as connection:
        subscriber.subscribe((f"{name}/t", 0))
        identifier: list[raw.Property] = [(raw.SUBSCRIPTION_IDENTIFIER, 1)]
        connection.send(raw.publish(version, f"{name}/t", b"x", qos=qos, packet_id=1, properties=identifier))
        connection.expect_closed(0x82)
        subscriber.expect_silence()
