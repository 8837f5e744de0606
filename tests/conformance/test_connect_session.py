"""Goal: sessions, wills and the maxima of CONNECT do what section 3.1 says. Method: two or three connections that see
each other's effects."""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import DISCONNECT_WITH_WILL, ended, lasting, message, opened, pass_time, resumed
from tests.conformance.raw import Raw, Will
from tests.conformance.statements import statement

TAKEN_OVER = 0x8E

# -- 3.1.2.4: Clean Start --------------------------------------------------------------------------------------------


@statement("MQTT-3.1.2-4", "MQTT-3.1.4-4", "MQTT-3.2.2-2", "311:MQTT-3.1.2-6", "311:MQTT-3.1.4-3", "311:MQTT-3.2.2-1")
def test_clean_start_discards_the_session_there_was(target: Target, version: int, name: str) -> None:
    with lasting(target, version, name) as first:
        first.subscribe((name, 1))
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(name, b"queued", qos=1)
        with Raw(target) as second:
            assert not second.open(version, name, clean=True).session_present
            publisher.publish(name, b"for nobody", qos=1)
            second.expect_silence()


@statement("MQTT-3.1.2-5", "MQTT-3.1.2-23", "MQTT-3.1.3-2", "MQTT-3.1.4-4", "MQTT-3.2.2-3")
@statement("311:MQTT-3.1.2-4", "311:MQTT-3.1.2-5", "311:MQTT-3.1.4-3", "311:MQTT-3.2.2-2", "311:MQTT-4.1.0-1")
def test_a_session_is_resumed_with_what_was_queued(target: Target, version: int, name: str) -> None:
    with lasting(target, version, name) as first:
        first.subscribe((name, 2))
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(name, b"one", qos=1)
        publisher.publish(name, b"two", qos=2)
        with resumed(target, version, name) as second:
            assert [b"one", b"two"] == [message(second).payload, message(second).payload]
            publisher.publish(name, b"three", qos=1)
            assert b"three" == message(second).payload
    ended(target, version, name)


@statement("MQTT-3.1.2-6", "MQTT-3.2.2-3", "311:MQTT-3.1.2-4", "311:MQTT-3.2.2-3")
def test_a_session_begins_where_there_is_none(target: Target, version: int, name: str) -> None:
    with Raw(target) as connection:
        assert not connection.open(version, name, clean=False).session_present
        connection.subscribe((name, 0))
    with Raw(target) as again:
        assert (version == 4) == again.open(version, name, clean=False).session_present  # 5.0: without an expiry
    ended(target, version, name)


@statement("MQTT-3.1.2-23", "MQTT-4.1.0-2", "MQTT-3.2.2-3")
@pytest.mark.versions(5)
@pytest.mark.parametrize("properties", [[], [(raw.SESSION_EXPIRY_INTERVAL, 0)]], ids=["absent", "zero"])
def test_a_session_without_expiry_ends_with_its_connection(
    target: Target, version: int, name: str, properties: list[raw.Property]
) -> None:
    with Raw(target) as first:
        first.open(version, name, properties=properties)
        first.subscribe((name, 1))
        first.disconnect()
    with opened(target, version, f"{name}-p") as publisher, Raw(target) as second:
        assert not second.open(version, name, clean=False).session_present
        publisher.publish(name, b"for nobody", qos=1)
        second.expect_silence()


@statement("311:MQTT-3.1.2-6")
@pytest.mark.versions(4)
def test_a_clean_session_is_never_resumed(target: Target, version: int, name: str) -> None:
    with opened(target, version, name) as first:
        first.subscribe((name, 1))
        first.disconnect()
    with Raw(target) as second:
        assert not second.open(version, name, clean=False).session_present
    ended(target, version, name)


@statement("311:MQTT-3.1.2-7")
def test_retained_messages_outlive_the_session_that_sent_them(target: Target, version: int, name: str) -> None:
    with opened(target, version, name) as first:
        first.publish(name, b"kept", qos=1, retain=True)
        first.disconnect()
    with opened(target, version, name) as second:
        second.subscribe((name, 0))
        assert (b"kept", True) == ((kept := second.expect(raw.PUBLISH)).payload, kept.retain)
    with opened(target, version, f"{name}-p") as cleaner:
        cleaner.publish(name, b"", retain=True)


@statement("MQTT-3.1.4-3", "311:MQTT-3.1.4-2")
def test_a_second_connection_takes_the_session_over(
    target: Target, version: int, bystander: Bystander, name: str
) -> None:
    with lasting(target, version, name) as first:
        first.subscribe((name, 1))
        with resumed(target, version, name) as second, opened(target, version, f"{name}-p") as publisher:
            first.expect_closed(TAKEN_OVER)
            publisher.publish(name, b"to the second", qos=1)
            assert b"to the second" == message(second).payload
    ended(target, version, name)


# -- 3.1.2.5 on: Will ------------------------------------------------------------------------------------------------


@statement("MQTT-3.1.2-7", "MQTT-3.1.2-8", "MQTT-3.1.2-14", "311:MQTT-3.1.2-8", "311:MQTT-3.1.2-9", "311:MQTT-3.1.2-16")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_will_is_sent_when_the_connection_is_lost(target: Target, version: int, name: str, qos: int) -> None:
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((f"{name}/#", 2))
        connection = opened(target, version, name, will=Will(f"{name}/will", b"lost", qos))
        watcher.expect_silence()
        connection.close()
        will = message(watcher)
        assert (f"{name}/will", b"lost", qos, False) == (will.topic, will.payload, will.qos, will.retain)
        watcher.subscribe((f"{name}/will", 0), packet_id=2)
        watcher.expect_silence()  # it was not retained


@statement("MQTT-3.1.2-15", "311:MQTT-3.1.2-17")
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_retained_will_is_retained(target: Target, version: int, name: str, qos: int) -> None:
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((f"{name}/#", 2))
        opened(target, version, name, will=Will(f"{name}/will", b"lost", qos, True)).close()
        assert not message(watcher).retain
        with opened(target, version, f"{name}-late") as late:
            late.subscribe((f"{name}/will", 2))
            will = message(late)
            assert (b"lost", qos, True) == (will.payload, will.qos, will.retain)
    with opened(target, version, f"{name}-p") as cleaner:
        cleaner.publish(f"{name}/will", b"", retain=True)


@statement("MQTT-3.1.2-8", "MQTT-3.1.2-10", "MQTT-3.14.4-3", "311:MQTT-3.1.2-10", "311:MQTT-3.14.4-3")
def test_disconnect_takes_the_will_away(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((name, 0))
        with opened(target, version, name, will=Will(name, b"must not be sent")) as connection:
            connection.disconnect()
        with opened(target, version, name) as again:
            again.ping()  # what its last end brought has gone out by now
        watcher.expect_silence()


@statement("MQTT-3.1.2-8", "MQTT-3.1.2-10")
@pytest.mark.versions(5)
def test_disconnect_with_will_message_sends_it_once(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((name, 0))
        with opened(target, version, name, will=Will(name, b"bye")) as connection:
            connection.disconnect(DISCONNECT_WITH_WILL)
        assert b"bye" == watcher.expect(raw.PUBLISH).payload
        with opened(target, version, name) as again:
            again.ping()
        watcher.expect_silence()


@statement("311:MQTT-3.1.2-12")
def test_nothing_is_sent_for_a_connection_without_a_will(target: Target, version: int, name: str) -> None:
    """Not even the will of an earlier connection of the same session."""
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((name, 0))
        with opened(target, version, name, will=Will(name, b"must not be sent")) as first:
            first.disconnect()
        opened(target, version, name).close()
        with opened(target, version, name) as third:
            third.ping()
        watcher.expect_silence()


@statement("MQTT-3.1.2-10", "311:MQTT-3.1.2-10")
def test_a_will_that_was_sent_is_not_sent_again(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((name, 0))
        opened(target, version, name, will=Will(name, b"once")).close()
        assert b"once" == watcher.expect(raw.PUBLISH).payload
        opened(target, version, name).close()
        with opened(target, version, name) as third:
            third.ping()
        watcher.expect_silence()


@statement("MQTT-3.1.2-8", "MQTT-3.1.4-3", "311:MQTT-3.1.2-8")
def test_a_takeover_sends_the_will_of_the_connection_it_ends(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((name, 0))
        first = opened(target, version, name, will=Will(name, b"old"))
        with first, opened(target, version, name, will=Will(name, b"new")) as second:
            first.expect_closed(TAKEN_OVER)
            assert b"old" == watcher.expect(raw.PUBLISH).payload
            second.disconnect()
        with opened(target, version, name) as again:
            again.ping()
        watcher.expect_silence()


@statement("MQTT-3.1.3-9")
@pytest.mark.versions(5)
def test_a_delayed_will_is_not_sent_for_a_session_that_came_back(target: Target, version: int, name: str) -> None:
    will = Will(name, b"must not be sent", properties=[(raw.WILL_DELAY_INTERVAL, 2)])
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((name, 0))
        expiry: list[raw.Property] = [(raw.SESSION_EXPIRY_INTERVAL, 600)]
        with opened(target, version, name, will=will, properties=expiry) as first:
            first.disconnect(DISCONNECT_WITH_WILL)  # the delay has begun
        with resumed(target, version, name) as back:
            pass_time(target, name, 3)
            back.ping()
        watcher.expect_silence()
    ended(target, version, name)


@statement("MQTT-3.1.2-8")
@pytest.mark.versions(5)
@pytest.mark.parametrize("way", ["delay", "session-end"])
def test_a_delayed_will_is_sent_at_the_delay_or_the_end_of_its_session(
    target: Target, version: int, name: str, way: str
) -> None:
    """The session of the second ends with its connection, long before the delay is over."""
    delay, expiry = (1, 600) if way == "delay" else (600, 0)
    will = Will(name, b"late", properties=[(raw.WILL_DELAY_INTERVAL, delay)])
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((name, 0))
        opened(target, version, name, will=will, properties=[(raw.SESSION_EXPIRY_INTERVAL, expiry)]).close()
        assert b"late" == watcher.expect(raw.PUBLISH).payload
    ended(target, version, name)


@statement("MQTT-3.1.2-9", "MQTT-3.1.3-10")
@pytest.mark.versions(5)
def test_properties_of_a_will_are_sent_with_it(target: Target, version: int, name: str) -> None:
    users: list[raw.Property] = [
        (raw.USER_PROPERTY, pair) for pair in (("z", "1"), ("a", "2"), ("z", "1"), ("", ""), ("a", "0"))
    ]
    others: list[raw.Property] = [
        (raw.PAYLOAD_FORMAT_INDICATOR, 1),
        (raw.CONTENT_TYPE, "text"),
        (raw.RESPONSE_TOPIC, "answer/here"),
        (raw.CORRELATION_DATA, b"\x00\xff"),
    ]
    expiry: list[raw.Property] = [(raw.MESSAGE_EXPIRY_INTERVAL, 600), (raw.WILL_DELAY_INTERVAL, 0)]
    with opened(target, version, f"{name}-w") as watcher:
        watcher.subscribe((name, 0))
        will = Will(name, b"w", properties=[*users[:2], *others, *expiry, *users[2:]])
        opened(target, version, name, will=will).close()
        published = watcher.expect(raw.PUBLISH)
        assert users == [pair for pair in published.properties if pair[0] == raw.USER_PROPERTY]
        left = published.value(raw.MESSAGE_EXPIRY_INTERVAL)
        assert isinstance(left, int)
        assert 595 <= left <= 600
        same = [pair for pair in published.properties if pair[0] in dict(others)]
        assert sorted(others) == sorted(same)
        assert published.value(raw.WILL_DELAY_INTERVAL) is None


# -- 3.1.2.11: Maximum Packet Size, Topic Alias Maximum, Request Problem Information ----------------------------------


@statement("MQTT-3.1.2-24", "MQTT-3.1.2-25")
@pytest.mark.versions(5)
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_a_message_too_large_for_a_client_counts_as_delivered(
    target: Target, version: int, name: str, qos: int
) -> None:
    small: list[raw.Property] = [(raw.MAXIMUM_PACKET_SIZE, 200)]
    with (
        lasting(target, version, name, properties=small) as reader,
        opened(target, version, f"{name}-w") as watcher,
        opened(target, version, f"{name}-p") as publisher,
    ):
        reader.subscribe((name, 2))
        watcher.subscribe((name, 2))
        publisher.publish(name, bytes(200), qos=qos)
        assert bytes(200) == message(watcher).payload
        publisher.publish(name, b"fits", qos=qos)
        assert b"fits" == message(watcher).payload
        assert b"fits" == message(reader).payload
        reader.close()
        with resumed(target, version, name) as back:  # with any size allowed now: it was dropped, not kept
            back.expect_silence()
    ended(target, version, name)


@statement("MQTT-3.1.2-24")
@pytest.mark.versions(5)
def test_the_largest_packet_allowed_is_sent(target: Target, version: int, name: str) -> None:
    largest = len(raw.publish(version, name, bytes(50)))
    with opened(target, version, name, properties=[(raw.MAXIMUM_PACKET_SIZE, largest)]) as reader:
        reader.subscribe((name, 0))
        with opened(target, version, f"{name}-p") as publisher:
            publisher.publish(name, bytes(51))
            publisher.publish(name, bytes(50))
        assert bytes(50) == reader.expect(raw.PUBLISH).payload


@statement("MQTT-3.1.2-24", "MQTT-3.1.2-25")
@pytest.mark.versions(5)
def test_a_queued_message_too_large_for_the_next_connection_counts_as_delivered(
    target: Target, version: int, name: str
) -> None:
    with lasting(target, version, name) as reader:
        reader.subscribe((name, 1))
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(name, bytes(300), qos=1)
        publisher.publish(name, b"fits", qos=1)
    with resumed(target, version, name, properties=[(raw.MAXIMUM_PACKET_SIZE, 200)]) as back:
        assert b"fits" == message(back).payload
        back.expect_silence()
    with resumed(target, version, name) as again:
        again.expect_silence()
    ended(target, version, name)


@statement("MQTT-3.1.2-26", "MQTT-3.3.2-11", "MQTT-3.3.2-8")
@pytest.mark.versions(5)
@pytest.mark.parametrize("most", [1, 2, 65535])
def test_topic_aliases_of_the_server_keep_to_the_clients_maximum(
    target: Target, version: int, name: str, most: int
) -> None:
    topics = [f"{name}/{number}" for number in (1, 2, 3, 1, 2, 3, 3, 1)]
    with opened(target, version, name, properties=[(raw.TOPIC_ALIAS_MAXIMUM, most)]) as reader:
        reader.subscribe((f"{name}/#", 1))
        with opened(target, version, f"{name}-p") as publisher:
            for topic in topics:
                publisher.publish(topic, b"", qos=1)
        known: dict[int, str] = {}
        for topic in topics:
            received = message(reader)
            alias = received.value(raw.TOPIC_ALIAS)
            if alias is None:
                assert topic == received.topic
                continue
            assert isinstance(alias, int)
            assert 1 <= alias <= most
            if received.topic:
                known[alias] = received.topic
            assert topic == known[alias]


@statement("MQTT-3.1.2-27", "MQTT-3.3.2-11")
@pytest.mark.versions(5)
@pytest.mark.parametrize("properties", [[], [(raw.TOPIC_ALIAS_MAXIMUM, 0)]], ids=["absent", "zero"])
def test_no_topic_alias_is_sent_to_who_takes_none(
    target: Target, version: int, name: str, properties: list[raw.Property]
) -> None:
    with opened(target, version, name, properties=properties) as reader:
        reader.subscribe((name, 0))
        with opened(target, version, f"{name}-p") as publisher:
            for _ in range(3):
                publisher.publish(name, b"")
        for _ in range(3):
            received = reader.expect(raw.PUBLISH)
            assert (name, None) == (received.topic, received.value(raw.TOPIC_ALIAS))


@statement("MQTT-3.1.2-28")
@pytest.mark.versions(5)
@pytest.mark.parametrize("properties", [[], [(raw.REQUEST_RESPONSE_INFORMATION, 0)]], ids=["absent", "zero"])
def test_response_information_is_not_told_unasked(target: Target, version: int, properties: list[raw.Property]) -> None:
    with Raw(target) as connection:
        assert connection.open(version, properties=properties).value(raw.RESPONSE_INFORMATION) is None


@statement("MQTT-3.1.2-29")
@pytest.mark.versions(5)
@pytest.mark.parametrize("wanted", [0, 1])
def test_reasons_come_only_where_problem_information_is_wanted(
    target: Target, version: int, name: str, wanted: int
) -> None:
    """An acknowledgement of everything, failures among them; on DISCONNECT a reason is allowed in any case."""
    with opened(target, version, name, properties=[(raw.REQUEST_PROBLEM_INFORMATION, wanted)]) as connection:
        answers = [connection.subscribe((f"$share/{name}/a", 0), ("a", 2))]
        connection.send(raw.publish(version, "$SYS/broker/uptime", b"x", qos=1, packet_id=2))
        answers.append(connection.expect(raw.PUBACK))
        connection.send(raw.publish(version, "$SYS/broker/uptime", b"x", qos=2, packet_id=3))
        answers.append(connection.expect(raw.PUBREC))
        connection.send(raw.ack(version, raw.PUBREL, 999))
        answers.append(connection.expect(raw.PUBCOMP))
        connection.send(raw.unsubscribe(version, 4, "never/subscribed"))
        answers.append(connection.expect(raw.UNSUBACK))
        told = [
            answer
            for answer in answers
            if {raw.REASON_STRING, raw.USER_PROPERTY} & {key for key, _ in answer.properties}
        ]
        if not wanted:
            assert [] == told
        elif target.says_why:
            assert told
        connection.send(raw.connect(version, name))
        connection.expect_closed(0x82)
