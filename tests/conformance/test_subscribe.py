"""Goal: SUBSCRIBE and SUBACK (3.8, 3.9): what is granted, replaced, replayed and refused; method: subscribe by hand, and
look at what a publisher's messages become.
"""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import (
    NO_LOCAL,
    RETAIN_AS_PUBLISHED,
    RETAIN_IF_NEW,
    RETAIN_NEVER,
    complete,
    ended,
    lasting,
    message,
    opened,
    resumed,
    unretain,
)
from tests.conformance.statements import statement

SUBACK_CODES = (0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2)  # 3.9.3


# -- what a SUBSCRIBE must look like ----------------------------------------------------------------------------------


@statement("MQTT-3.8.1-1", "MQTT-2.1.3-1", "311:MQTT-3.8.1-1", "311:MQTT-2.2.2-2")
@pytest.mark.parametrize("flags", [0, 1, 3, 6, 10, 15])
@pytest.mark.versions(4, 5)
def test_other_flags_close(target: Target, version: int, name: str, flags: int, bystander: Bystander) -> None:
    with opened(target, version, f"{name}-s") as connection:
        connection.send(_with_first_byte(0x80 | flags, raw.subscribe(version, 1, (f"{name}/t", 0))))
        connection.expect_closed(0x81)


def _with_first_byte(first: int, packet: bytes) -> bytes:
    return bytes((first,)) + packet[1:]


@statement("MQTT-3.8.3-1", "MQTT-1.5.4-1", "MQTT-4.7.3-2", "311:MQTT-3.8.3-1", "311:MQTT-1.5.3-1", "311:MQTT-4.7.3-2")
@pytest.mark.parametrize(
    "topic_filter", [b"\xff", b"a/\xc3", b"\xed\xa0\x80", b"a\0b"], ids=["byte", "cut", "surrogate", "null"]
)
def test_a_filter_that_is_no_utf_8_closes(
    target: Target, version: int, name: str, topic_filter: bytes, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-s") as connection:
        properties = b"\0" if version == 5 else b""
        connection.send(raw.packet(raw.SUBSCRIBE, 2, raw.u16(1), properties, raw.binary(topic_filter), b"\0"))
        connection.expect_closed()


@statement("MQTT-3.8.3-2", "MQTT-4.13.1-1", "311:MQTT-3.8.3-3", "311:MQTT-4.8.0-1")
@pytest.mark.parametrize(
    "payload", [b"", b"\0", b"\0\1a", b"\0\5a\0", b"\0\1a\0\0\1b"], ids=["nothing", "half", "bare", "short", "second"]
)
def test_a_subscribe_without_a_whole_pair_closes(
    target: Target, version: int, name: str, payload: bytes, bystander: Bystander
) -> None:
    if version == 3 and not payload:
        pytest.skip("3.1 does not say so")
    with opened(target, version, f"{name}-s") as connection:
        connection.send(raw.packet(raw.SUBSCRIBE, 2, raw.u16(1), b"\0" if version == 5 else b"", payload))
        connection.expect_closed()


@statement("MQTT-2.2.1-3", "311:MQTT-2.3.1-1")
def test_packet_identifier_0_closes(target: Target, version: int, name: str, bystander: Bystander) -> None:
    with opened(target, version, f"{name}-s") as connection:
        connection.send(raw.subscribe(version, 0, (f"{name}/t", 0)))
        connection.expect_closed()


@statement("MQTT-3.8.3-5", "MQTT-4.13.1-1")
@pytest.mark.parametrize("options", [0x40, 0x80, 0xC0, 0x03, 0x30, 0xFF])
@pytest.mark.versions(5)
def test_options_that_are_reserved_close(
    target: Target, version: int, name: str, options: int, bystander: Bystander
) -> None:
    """The two reserved bits, QoS 3 and Retain Handling 3, in the second of two filters: none is subscribed."""
    with opened(target, 4, f"{name}-p") as publisher, lasting(target, version, f"{name}-s") as connection:
        connection.send(raw.subscribe(version, 1, (f"{name}/t", 0), (f"{name}/u", options)))
        connection.expect_closed()
        publisher.publish(f"{name}/t", b"x", qos=1)
    with resumed(target, version, f"{name}-s") as connection:
        connection.expect_silence()
    ended(target, version, f"{name}-s")


@statement("311:MQTT-3-8.3-4", "311:MQTT-4.8.0-1")
@pytest.mark.parametrize("options", [3, 4, 8, 0x10, 0x80, 0x81])
@pytest.mark.versions(4)
def test_a_requested_qos_that_is_none_closes(
    target: Target, version: int, name: str, options: int, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-s") as connection:
        connection.send(raw.subscribe(version, 1, (f"{name}/t", 0), (f"{name}/u", options)))
        connection.expect_closed()


@statement("MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "properties",
    [
        raw.props((raw.SUBSCRIPTION_IDENTIFIER, 0)),
        raw.props((raw.SUBSCRIPTION_IDENTIFIER, 1), (raw.SUBSCRIPTION_IDENTIFIER, 2)),
        b"\x06\x0b\xff\xff\xff\xff\x01",
        raw.props((raw.REASON_STRING, "x")),
        raw.props((raw.TOPIC_ALIAS, 1)),
        b"\x02\x0b",
    ],
    ids=["id-0", "id-twice", "id-5-bytes", "reason-string", "alias", "cut"],
)
@pytest.mark.versions(5)
def test_a_property_that_is_wrong_in_subscribe_closes(
    target: Target, version: int, name: str, properties: bytes, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-s") as connection:
        connection.send(raw.packet(raw.SUBSCRIBE, 2, raw.u16(1), properties, raw.utf8(f"{name}/t"), b"\0"))
        connection.expect_closed()


# -- SUBACK -----------------------------------------------------------------------------------------------------------


@statement("MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-2.2.1-6", "311:MQTT-3.8.4-1", "311:MQTT-3.8.4-2", "311:MQTT-2.3.1-7")
@pytest.mark.parametrize("packet_id", [1, 256, 65535])
def test_suback_has_the_packet_identifier(target: Target, version: int, name: str, packet_id: int) -> None:
    with opened(target, version, f"{name}-s") as subscriber:
        suback = subscriber.subscribe((f"{name}/t", 1), packet_id=packet_id)
        assert [1] == suback.codes
        subscriber.expect_silence()


@statement("MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-3.9.3-1", "MQTT-3.9.3-2")
@statement("311:MQTT-3.8.4-4", "311:MQTT-3.8.4-5", "311:MQTT-3.8.4-6", "311:MQTT-3.9.3-1", "311:MQTT-3.9.3-2")
def test_many_filters_are_answered_in_one_suback_in_their_order(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        wanted = [(f"{name}/{number}", number * 7 % 3) for number in range(50)]
        suback = subscriber.subscribe(*wanted)
        assert [qos for _, qos in wanted] == suback.codes
        for topic, qos in wanted:
            publisher.publish(topic, b"x", qos=2)
            received = message(subscriber)
            assert (topic, qos) == (received.topic, received.qos)


@statement("MQTT-3.8.4-5", "MQTT-3.8.4-3", "311:MQTT-3.8.4-4")
def test_the_last_of_equal_filters_in_one_subscribe_holds(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        suback = subscriber.subscribe((f"{name}/t", 2), (f"{name}/t", 0))
        assert [2, 0] == suback.codes
        publisher.publish(f"{name}/t", b"x", qos=2)
        received = message(subscriber)
        assert (b"x", 0) == (received.payload, received.qos)
        subscriber.expect_silence()


@statement("MQTT-3.8.4-6", "MQTT-3.9.3-2", "311:MQTT-3.9.3-2")
def test_each_filter_of_a_packet_has_its_own_answer(target: Target, version: int, name: str) -> None:
    """A filter of very many levels may be refused; the ones beside it are granted."""
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.send(raw.subscribe(version, 1, (f"{name}/a", 1), ("x/" * 10_000 + name, 1), (f"{name}/b", 2)))
        suback = subscriber.read_or_end()
        if suback is None or suback.type != raw.SUBACK:
            assert not target.says_why
            pytest.skip("this broker closes instead of refusing one filter")
        assert 3 == len(suback.codes)
        assert [1, 2] == [suback.codes[0], suback.codes[2]]
        assert suback.codes[1] in (SUBACK_CODES if version == 5 else (1, 0x80))
        for letter in "ab":
            publisher.publish(f"{name}/{letter}", b"x", qos=1)
            assert f"{name}/{letter}" == message(subscriber).topic


@statement("MQTT-3.8.4-8", "311:MQTT-3.8.4-6", "MQTT-3.8.4-7")
@pytest.mark.parametrize("granted", [0, 1, 2])
@pytest.mark.parametrize("published", [0, 1, 2])
def test_the_qos_of_a_delivery_is_the_lower_one(
    target: Target, version: int, name: str, granted: int, published: int
) -> None:
    """Live, and from the retained message."""
    topic = f"{name}/t"
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        assert [granted] == subscriber.subscribe((topic, granted)).codes
        publisher.publish(topic, b"x", qos=published, retain=True)
        live = message(subscriber)
        publisher.publish(f"{name}/behind", b"", qos=1)
        subscriber.subscribe((topic, granted))
        kept = message(subscriber)
        assert [min(granted, published)] * 2 == [live.qos, kept.qos]
        assert [False, True] == [live.retain, kept.retain]
    unretain(target, topic)


@statement("MQTT-3.8.4-1", "311:MQTT-3.8.4-1")
def test_what_is_published_behind_suback_arrives(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        for number in range(50):
            subscriber.subscribe((f"{name}/{number}/#", 1))
            publisher.send(raw.publish(version, f"{name}/{number}/a", b"x", qos=1, packet_id=1))
            assert 0 == publisher.expect(raw.PUBACK).code
            assert f"{name}/{number}/a" == message(subscriber).topic


# -- replacing --------------------------------------------------------------------------------------------------------


@statement("MQTT-3.8.4-3", "311:MQTT-3.8.4-3")
def test_an_equal_filter_replaces_the_subscription(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        for qos in (0, 2, 1):
            subscriber.subscribe((f"{name}/t", qos))
            publisher.publish(f"{name}/t", b"x", qos=2)
            assert qos == message(subscriber).qos
            subscriber.expect_silence()


@statement("MQTT-3.8.4-4", "311:MQTT-3.8.4-3")
def test_replacing_a_subscription_loses_no_message(target: Target, version: int, name: str) -> None:
    """A publisher goes on while its subscriber replaces the subscription again and again."""
    count = 60
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 1))
        for number in range(count):
            publisher.send(raw.publish(version, f"{name}/t", b"%d" % number, qos=1, packet_id=number + 1))
            subscriber.send(raw.subscribe(version, number + 1, (f"{name}/t", 1 + number % 2)))
            publisher.expect(raw.PUBACK)
        payloads: list[bytes] = []
        answers = 0
        while len(payloads) < count or answers < count:
            received = subscriber.read()
            if received.type == raw.SUBACK:
                answers += 1
            else:
                payloads.append(received.payload)
                complete(subscriber, received)
        assert [b"%d" % number for number in range(count)] == payloads


@statement("MQTT-3.3.1-9", "MQTT-3.8.4-4", "311:MQTT-3.8.4-3")
def test_each_subscribe_brings_the_retained_messages(target: Target, version: int, name: str) -> None:
    topics = [f"{name}/a", f"{name}/b", f"{name}/b/c"]
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        for topic in topics:
            publisher.publish(topic, topic.encode(), qos=1, retain=True)
        for _ in range(2):
            subscriber.subscribe((f"{name}/#", 1))
            came = sorted((message(subscriber) for _ in topics), key=lambda received: received.topic)
            assert topics == [received.topic for received in came]
            assert all(received.retain for received in came)
            subscriber.expect_silence()
    unretain(target, *topics)


@statement("MQTT-3.3.1-10")
@pytest.mark.versions(5)
def test_retain_handling_1_brings_retained_messages_to_a_new_subscription_only(
    target: Target, version: int, name: str
) -> None:
    topic, client_id = f"{name}/t", f"{name}-s"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        publisher.publish(topic, b"kept", qos=1, retain=True)
        subscriber.subscribe((topic, 1 | RETAIN_IF_NEW))
        assert b"kept" == message(subscriber).payload
        subscriber.subscribe((topic, 1 | RETAIN_IF_NEW))
        subscriber.subscribe((topic, 0 | RETAIN_IF_NEW | RETAIN_AS_PUBLISHED))
        subscriber.expect_silence()
    with resumed(target, version, client_id) as subscriber:
        subscriber.subscribe((topic, 1 | RETAIN_IF_NEW))
        subscriber.expect_silence()
        subscriber.send(raw.unsubscribe(version, 2, topic))
        subscriber.expect(raw.UNSUBACK)
        subscriber.subscribe((topic, 1 | RETAIN_IF_NEW))
        assert b"kept" == message(subscriber).payload
    ended(target, version, client_id)
    unretain(target, topic)


@statement("MQTT-3.3.1-11")
@pytest.mark.versions(5)
def test_retain_handling_2_brings_no_retained_message(target: Target, version: int, name: str) -> None:
    topic = f"{name}/t"
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        publisher.publish(topic, b"kept", qos=1, retain=True)
        subscriber.subscribe((topic, 1 | RETAIN_NEVER))
        subscriber.expect_silence()
        publisher.publish(topic, b"live", qos=1)
        assert b"live" == message(subscriber).payload
    unretain(target, topic)


@statement("MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11", "MQTT-3.8.4-5")
@pytest.mark.versions(5)
def test_each_filter_of_a_packet_has_its_own_retain_handling(target: Target, version: int, name: str) -> None:
    topics = [f"{name}/{letter}" for letter in "abc"]
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        for topic in topics:
            publisher.publish(topic, b"kept", qos=1, retain=True)
        subscriber.subscribe((topics[0], 0), (topics[1], RETAIN_NEVER), (topics[2], RETAIN_IF_NEW))
        assert [topics[0], topics[2]] == sorted(message(subscriber).topic for _ in range(2))
        subscriber.expect_silence()
    unretain(target, *topics)


@statement("MQTT-3.3.1-9", "311:MQTT-3.3.1-8")
def test_a_retained_message_comes_with_retain_whatever_the_options_say(target: Target, version: int, name: str) -> None:
    """3.3.1.3: with Retain As Published or without, and to a session that had it already."""
    topic = f"{name}/t"
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        publisher.publish(topic, b"kept", qos=1, retain=True)
        for options in (1, 1 | RETAIN_AS_PUBLISHED) if version == 5 else (1, 1):
            subscriber.subscribe((topic, options))
            received = message(subscriber)
            assert (b"kept", True, False) == (received.payload, received.retain, received.dup)
    unretain(target, topic)


# -- No Local ---------------------------------------------------------------------------------------------------------


@statement("MQTT-3.8.3-3")
@pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
@pytest.mark.versions(5)
def test_no_local_keeps_own_messages_away(target: Target, version: int, name: str, qos: int, is_lasting: bool) -> None:
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-a") as one,
        opened(target, version, f"{name}-b") as other,
    ):
        one.subscribe((f"{name}/t", 2 | NO_LOCAL))
        one.publish(f"{name}/t", b"own", qos=qos)
        one.expect_silence()
        other.publish(f"{name}/t", b"other", qos=qos)
        assert b"other" == message(one).payload
        one.subscribe((f"{name}/t", 0))
        one.send(raw.publish(version, f"{name}/t", b"own", qos=0))
        assert b"own" == message(one).payload
    ended(target, version, f"{name}-a")


@statement("MQTT-3.8.3-3", "MQTT-3.3.1-9")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
@pytest.mark.versions(5)
def test_no_local_keeps_own_retained_messages_away(target: Target, version: int, name: str, is_lasting: bool) -> None:
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-a") as one,
        opened(target, version, f"{name}-b") as other,
    ):
        one.publish(f"{name}/own", b"own", qos=1, retain=True)
        other.publish(f"{name}/other", b"other", qos=1, retain=True)
        one.subscribe((f"{name}/+", 1 | NO_LOCAL))
        assert b"other" == message(one).payload
        one.expect_silence()
        other.subscribe((f"{name}/own", 1 | NO_LOCAL))
        assert b"own" == message(other).payload
    ended(target, version, f"{name}-a")
    unretain(target, f"{name}/own", f"{name}/other")


@statement("MQTT-3.8.3-3")
@pytest.mark.versions(5)
def test_no_local_goes_by_client_identifier_not_by_connection(target: Target, version: int, name: str) -> None:
    """What a client published on an earlier connection is still its own."""
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as first:
        first.subscribe((f"{name}/t", 1 | NO_LOCAL))
        first.publish(f"{name}/t", b"own", qos=1)
        first.disconnect()
    with resumed(target, version, client_id) as second:
        second.expect_silence()
        second.publish(f"{name}/t", b"own", qos=1)
        second.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-3.8.3-3")
@pytest.mark.versions(5)
def test_no_local_of_one_subscription_leaves_an_overlapping_one(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-s") as both:
        both.subscribe((f"{name}/t", NO_LOCAL), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 1)])
        both.subscribe((f"{name}/#", 0), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 2)])
        both.send(raw.publish(version, f"{name}/t", b"own"))
        received = message(both)
        assert (b"own", [2]) == (received.payload, received.values(raw.SUBSCRIPTION_IDENTIFIER))
        both.expect_silence()


@statement("MQTT-3.8.3-4", "MQTT-4.13.1-1")
@pytest.mark.versions(5)
def test_no_local_on_a_shared_subscription_closes(
    target: Target, version: int, name: str, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-s") as connection:
        connection.send(raw.subscribe(version, 1, (f"$share/g/{name}/t", NO_LOCAL)))
        connection.expect_closed(0x82)
