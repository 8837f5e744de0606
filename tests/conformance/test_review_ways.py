"""Goal: a rule holds on every way a message may take: to a session that lasts or ends with its connection, with or without
what belongs to one hop only; method: the same few packets on each of the ways.
"""

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.opened import (
    NO_LOCAL,
    RETAIN_AS_PUBLISHED,
    ended,
    finish,
    lasting,
    message,
    opened,
    resumed,
    unretain,
)
from tests.conformance.raw import Raw
from tests.conformance.statements import statement

KINDS = pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
QOS = pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
IDENTIFIED: list[raw.Property] = [(raw.SUBSCRIPTION_IDENTIFIER, 77)]
ONE: list[raw.Property] = [(raw.RECEIVE_MAXIMUM, 1)]


def subscriber_of(
    target: Target, name: str, is_lasting: bool, properties: list[raw.Property] | None = None, version: int = 5
) -> Raw:
    """A connection of the kind."""
    return (lasting if is_lasting else opened)(target, version, f"{name}-s", properties=properties or [])


# What the server adds or counts for this subscriber alone: properties of CONNECT, of SUBSCRIBE, of the publication.
HOPS: dict[str, tuple[list[raw.Property], list[raw.Property], list[raw.Property]]] = {
    "plain": ([], [], []),
    "identifier": ([], IDENTIFIED, []),
    "alias": ([(raw.TOPIC_ALIAS_MAXIMUM, 9)], [], []),
    "maximum": ([(raw.MAXIMUM_PACKET_SIZE, 1000)], [], []),
    "expiry": ([], [], [(raw.MESSAGE_EXPIRY_INTERVAL, 600)]),
    "user": ([], [], [(raw.USER_PROPERTY, ("a", "b"))]),
}


@statement("MQTT-3.3.1-3", "MQTT-4.3.2-2", "MQTT-4.3.3-2")
@KINDS
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.versions(5)
def test_dup_of_the_publisher_is_forwarded_on_no_way(
    target: Target, version: int, name: str, hop: str, qos: int, is_lasting: bool
) -> None:
    of_connect, of_subscribe, of_publish = HOPS[hop]
    with (
        subscriber_of(target, name, is_lasting, of_connect) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2), properties=of_subscribe)
        publisher.send(raw.publish(version, f"{name}/t", b"x", qos=qos, dup=True, packet_id=7, properties=of_publish))
        finish(publisher)
        received = message(subscriber)
        assert (b"x", qos, False) == (received.payload, received.qos, received.dup)
    ended(target, version, f"{name}-s")


@statement("MQTT-3.3.1-12", "MQTT-3.3.1-9")
@KINDS
@QOS
@pytest.mark.parametrize("hop", HOPS)
@pytest.mark.versions(5)
def test_retain_is_of_the_kept_message_alone_on_every_way(
    target: Target, version: int, name: str, hop: str, qos: int, is_lasting: bool
) -> None:
    of_connect, of_subscribe, of_publish = HOPS[hop]
    with (
        subscriber_of(target, name, is_lasting, of_connect) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2), properties=of_subscribe)
        publisher.publish(f"{name}/t", b"x", qos=qos, retain=True, properties=of_publish)
        live = message(subscriber)
        subscriber.subscribe((f"{name}/t", 2), properties=of_subscribe, packet_id=2)
        kept = message(subscriber)
        assert [(b"x", qos, False), (b"x", qos, True)] == [(one.payload, one.qos, one.retain) for one in (live, kept)]
        subscriber.expect_silence()
    ended(target, version, f"{name}-s")
    unretain(target, f"{name}/t")


@statement("MQTT-3.3.4-3")
@KINDS
@QOS
@pytest.mark.versions(5)
def test_the_identifier_comes_with_the_live_and_the_kept_message(
    target: Target, version: int, name: str, qos: int, is_lasting: bool
) -> None:
    with (
        subscriber_of(target, name, is_lasting) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/#", 2), properties=IDENTIFIED)
        publisher.publish(f"{name}/t", b"x", qos=qos, retain=True)
        live = message(subscriber)
        subscriber.subscribe((f"{name}/+", 2), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 78)], packet_id=2)
        kept = message(subscriber)
        assert [[77], [78]] == [received.values(raw.SUBSCRIPTION_IDENTIFIER) for received in (live, kept)]
    ended(target, version, f"{name}-s")
    unretain(target, f"{name}/t")


@statement("MQTT-3.8.3-3")
@KINDS
@QOS
@pytest.mark.versions(5)
def test_no_local_leaves_out_what_the_client_itself_retained(
    target: Target, version: int, name: str, qos: int, is_lasting: bool
) -> None:
    """The kept message is an Application Message like any other: it is not forwarded to who published it."""
    own, others = f"{name}/own", f"{name}/others"
    with (
        subscriber_of(target, name, is_lasting) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.publish(own, b"own", qos=qos, retain=True)
        publisher.publish(others, b"others", qos=qos, retain=True)
        publisher.publish(f"{name}-behind", b"", qos=1)
        subscriber.subscribe((f"{name}/#", 2 | NO_LOCAL))
        assert others == message(subscriber).topic
        subscriber.expect_silence()
        subscriber.subscribe((own, 2), packet_id=2)
        assert b"own" == message(subscriber).payload
    ended(target, version, f"{name}-s")
    unretain(target, own, others)


@statement("MQTT-3.8.3-3", "MQTT-3.3.4-3")
@KINDS
@QOS
@pytest.mark.versions(5)
def test_an_own_message_brings_nothing_of_the_subscription_with_no_local(
    target: Target, version: int, name: str, qos: int, is_lasting: bool
) -> None:
    """Neither its identifier nor its QoS; somebody else's message brings both."""
    with (
        subscriber_of(target, name, is_lasting) as both,
        opened(target, version, f"{name}-p") as publisher,
    ):
        both.subscribe((f"{name}/t", 2 | NO_LOCAL), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 1)])
        both.subscribe((f"{name}/#", 0), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 2)], packet_id=2)
        both.send(raw.publish(version, f"{name}/t", b"own", qos=qos, packet_id=3))
        came = both.read()
        while came.type != raw.PUBLISH:
            if came.type == raw.PUBREC:
                both.send(raw.ack(version, raw.PUBREL, came.packet_id))
            came = both.read()
        assert (b"own", 0, [2]) == (came.payload, came.qos, came.values(raw.SUBSCRIPTION_IDENTIFIER))
    with (
        (resumed if is_lasting else opened)(target, version, f"{name}-s") as both,
        opened(target, version, f"{name}-p") as publisher,
    ):
        if not is_lasting:
            both.subscribe((f"{name}/t", 2 | NO_LOCAL), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 1)])
            both.subscribe((f"{name}/#", 0), properties=[(raw.SUBSCRIPTION_IDENTIFIER, 2)], packet_id=2)
        publisher.publish(f"{name}/t", b"other", qos=qos)
        copies = [both.expect(raw.PUBLISH)]
        publisher.publish(f"{name}/end/deeper", b"")
        while copies[-1].payload == b"other":
            copies.append(both.expect(raw.PUBLISH))
        identifiers = [value for copy in copies[:-1] for value in copy.values(raw.SUBSCRIPTION_IDENTIFIER)]
        assert ({1, 2}, 2) == (set(identifiers), len(identifiers))
        assert qos == max(copy.qos for copy in copies[:-1])
    ended(target, version, f"{name}-s")


@statement("MQTT-4.3.3-3", "MQTT-4.3.3-5", "MQTT-4.9.0-2")
@KINDS
@pytest.mark.versions(5)
def test_only_the_right_acknowledgements_end_a_qos_2_delivery(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    """With a window of one, the next message shows when the first has ended. 0x92 may answer what is none."""
    if not target.says_why:
        pytest.skip("another broker may take a wrong acknowledgement for a Protocol Error")
    with (
        subscriber_of(target, name, is_lasting, ONE) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"first", qos=2)
        publisher.publish(f"{name}/t", b"second", qos=2)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
        for wrong in (raw.PUBACK, raw.PUBCOMP):
            subscriber.send(raw.ack(version, wrong, packet_id))
            subscriber.expect_silence()
        subscriber.send(raw.ack(version, raw.PUBREC, packet_id))
        assert packet_id == subscriber.expect(raw.PUBREL).packet_id
        subscriber.send(raw.ack(version, raw.PUBACK, packet_id))
        subscriber.expect_silence()
        subscriber.send(raw.ack(version, raw.PUBCOMP, packet_id))
        assert b"second" == message(subscriber).payload
    ended(target, version, f"{name}-s")


@statement("MQTT-4.3.2-3", "MQTT-4.9.0-2")
@KINDS
@pytest.mark.versions(5)
def test_only_its_puback_ends_a_qos_1_delivery(target: Target, version: int, name: str, is_lasting: bool) -> None:
    if not target.says_why:
        pytest.skip("another broker may take a wrong acknowledgement for a Protocol Error")
    with (
        subscriber_of(target, name, is_lasting, ONE) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 1))
        publisher.publish(f"{name}/t", b"first", qos=1)
        publisher.publish(f"{name}/t", b"second", qos=1)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
        subscriber.send(raw.ack(version, raw.PUBACK, packet_id % 65535 + 1))
        subscriber.expect_silence()
        subscriber.send(raw.ack(version, raw.PUBCOMP, packet_id))
        subscriber.expect_silence()
        subscriber.send(raw.ack(version, raw.PUBREC, packet_id, 0x80))
        subscriber.expect_silence()
        subscriber.send(raw.ack(version, raw.PUBACK, packet_id))
        assert b"second" == message(subscriber).payload
    ended(target, version, f"{name}-s")


@statement("MQTT-4.3.3-10", "311:MQTT-4.3.3-2")
@KINDS
def test_a_publish_repeated_before_its_pubrec_is_read_is_delivered_once(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    """Three times in one piece: the last is there before the first can be answered."""
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-p") as publisher,
        opened(target, version, f"{name}-s") as subscriber,
    ):
        subscriber.subscribe((f"{name}/t", 0))
        first = raw.publish(version, f"{name}/t", b"once", qos=2, packet_id=3)
        again = raw.publish(version, f"{name}/t", b"once", qos=2, dup=True, packet_id=3)
        publisher.send(first + again + again)
        answers = [publisher.expect(raw.PUBREC)]
        publisher.send(raw.ack(version, raw.PUBREL, 3))
        while answers[-1].type != raw.PUBCOMP:
            answers.append(publisher.read())
        assert {raw.PUBREC} == {answer.type for answer in answers[:-1]}
        assert {(3, 0)} == {(answer.packet_id, answer.code) for answer in answers}
        publisher.publish(f"{name}/t", b"new", qos=2, packet_id=3)
        assert [b"once", b"new"] == [message(subscriber).payload for _ in range(2)]
        subscriber.expect_silence()
    ended(target, version, f"{name}-p")


@statement("MQTT-3.3.4-9", "MQTT-4.4.0-1", "MQTT-4.9.0-1")
@pytest.mark.versions(5)
def test_pubrel_and_publish_share_the_window_of_the_next_connection(target: Target, version: int, name: str) -> None:
    """Three are open, one of them released, and the next connection takes two: PUBREL and one PUBLISH."""
    if not target.says_why:
        pytest.skip("4.9 leaves open whether a PUBREL that is sent again takes a place")
    with (
        subscriber_of(target, name, True, [(raw.RECEIVE_MAXIMUM, 3)]) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        for number in range(3):
            publisher.publish(f"{name}/t", b"%d" % number, qos=2)
        ids = [subscriber.expect(raw.PUBLISH).packet_id for _ in range(3)]
        subscriber.send(raw.ack(version, raw.PUBREC, ids[0]))
        assert ids[0] == subscriber.expect(raw.PUBREL).packet_id
    with resumed(target, version, f"{name}-s", properties=[(raw.RECEIVE_MAXIMUM, 2)]) as subscriber:
        came = {(one.type, one.packet_id) for one in (subscriber.read(), subscriber.read())}
        assert {(raw.PUBREL, ids[0]), (raw.PUBLISH, ids[1])} == came
        subscriber.expect_silence()
        subscriber.send(raw.ack(version, raw.PUBCOMP, ids[0]))
        last = subscriber.expect(raw.PUBLISH)
        assert (ids[2], True) == (last.packet_id, last.dup)
    ended(target, version, f"{name}-s")


@statement("MQTT-4.8.2-3")
@QOS
@pytest.mark.versions(5)
def test_a_member_that_came_back_takes_its_share_again(target: Target, version: int, name: str, qos: int) -> None:
    with subscriber_of(target, name, True) as subscriber:
        subscriber.subscribe((f"$share/g/{name}/t", 2))
    with resumed(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        publisher.publish(f"{name}/t", b"x", qos=qos)
        received = message(subscriber)
        assert (b"x", qos) == (received.payload, received.qos)
    ended(target, version, f"{name}-s")


@statement("MQTT-4.7.2-1", "311:MQTT-4.7.2-1")
def test_the_filter_of_all_names_brings_no_kept_message_below_dollar(target: Target, version: int, name: str) -> None:
    """Others' kept messages come too. The last one is known by coming twice, for a filter of its own as well."""
    hidden, last = f"$own/{name}", f"{name}/last"
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        publisher.publish(hidden, b"kept", qos=1, retain=True)
        publisher.publish(last, b"kept", qos=1, retain=True)
        subscriber.send(raw.subscribe(version, 1, ("#", 0)) + raw.subscribe(version, 2, (last, 0)))
        topics: list[str] = []
        while topics.count(last) < 2:
            received = subscriber.read()
            if received.type == raw.PUBLISH and received.retain:
                topics.append(received.topic)
        assert [] == [topic for topic in topics if topic.startswith("$")]
    unretain(target, hidden, last)


@statement("MQTT-3.1.2-25", "MQTT-3.1.2-24")
@KINDS
@QOS
@pytest.mark.versions(5)
def test_an_alias_makes_no_message_too_large(
    target: Target, version: int, name: str, qos: int, is_lasting: bool
) -> None:
    """The largest packet that the client takes leaves no room for a Topic Alias: it comes without one."""
    largest = len(raw.publish(version, f"{name}/t", bytes(100), qos=qos, packet_id=1))
    of_connect: list[raw.Property] = [(raw.MAXIMUM_PACKET_SIZE, largest), (raw.TOPIC_ALIAS_MAXIMUM, 5)]
    with (
        subscriber_of(target, name, is_lasting, of_connect) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        for size in (101, 100, 50, 100):
            publisher.publish(f"{name}/t", bytes(size), qos=qos)
        assert [100, 50, 100] == [len(subscriber.expect(raw.PUBLISH).payload) for _ in range(3)]
        subscriber.expect_silence()
    ended(target, version, f"{name}-s")


@statement("MQTT-3.3.1-12", "MQTT-3.3.1-13", "MQTT-4.8.2-3")
@KINDS
@QOS
@pytest.mark.parametrize("options, expected", [(0, False), (RETAIN_AS_PUBLISHED, True)], ids=["cleared", "published"])
@pytest.mark.versions(5)
def test_a_share_keeps_to_its_own_options_on_every_way(
    target: Target, version: int, name: str, options: int, expected: bool, qos: int, is_lasting: bool
) -> None:
    """RETAIN, identifier and QoS are those of the member's subscription, live and after it was away."""
    with (
        subscriber_of(target, name, is_lasting) as member,
        opened(target, version, f"{name}-p") as publisher,
    ):
        member.subscribe((f"$share/g/{name}/t", 1 | options), properties=IDENTIFIED)
        publisher.publish(f"{name}/t", b"live", qos=qos, retain=True)
        publisher.publish(f"{name}/behind", b"", qos=1)
        received = message(member)
        assert (b"live", min(qos, 1), expected) == (received.payload, received.qos, received.retain)
        assert [77] == received.values(raw.SUBSCRIPTION_IDENTIFIER)
        member.ping()
        if is_lasting and qos:
            member.disconnect()
            publisher.publish(f"{name}/t", b"waited", qos=qos, retain=True)
            with resumed(target, version, f"{name}-s") as again:
                received = message(again)
                assert (b"waited", 1, expected) == (received.payload, received.qos, received.retain)
                assert [77] == received.values(raw.SUBSCRIPTION_IDENTIFIER)
    ended(target, version, f"{name}-s")
    unretain(target, f"{name}/t")


@statement("MQTT-4.3.3-10", "MQTT-3.3.4-1", "311:MQTT-4.3.3-2", "311:MQTT-3.3.4-1")
@KINDS
@pytest.mark.parametrize("topic", ["{}/t", "$SYS/{}"], ids=["accepted", "refused"])
def test_each_repeated_publish_has_its_pubrec(
    target: Target, version: int, name: str, topic: str, is_lasting: bool
) -> None:
    """Three times in one piece, as a client of 3.x may that does not wait. Quantum refuses publications to `$SYS`."""
    if topic != "{}/t" and not target.says_why:
        pytest.skip("another broker may close on who publishes to $SYS")
    with (lasting if is_lasting else opened)(target, version, f"{name}-p") as publisher:
        publisher.send(raw.publish(version, topic.format(name), b"x", qos=2, packet_id=3) * 3)
        answers = [publisher.expect(raw.PUBREC) for _ in range(3)]
        assert {3} == {answer.packet_id for answer in answers}
        assert 1 == len({answer.code for answer in answers})
        publisher.expect_silence()
        publisher.publish(f"{name}/t", b"new", qos=2, packet_id=4)
    ended(target, version, f"{name}-p")


@statement("MQTT-4.3.3-5", "MQTT-4.9.0-2")
@KINDS
@pytest.mark.versions(5)
def test_a_pubcomp_ends_the_delivery_whatever_its_code(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    """4.9: the send quota grows with each PUBCOMP, regardless of an error code. 0x92 is its only one."""
    with (
        subscriber_of(target, name, is_lasting, ONE) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"first", qos=2)
        publisher.publish(f"{name}/t", b"second", qos=1)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
        subscriber.send(raw.ack(version, raw.PUBREC, packet_id))
        assert packet_id == subscriber.expect(raw.PUBREL).packet_id
        subscriber.send(raw.ack(version, raw.PUBCOMP, packet_id, 0x92))
        assert b"second" == message(subscriber).payload
        subscriber.ping()
    if is_lasting:
        with resumed(target, version, f"{name}-s") as subscriber:
            subscriber.expect_silence()
    ended(target, version, f"{name}-s")
