"""Goal: each property of PUBLISH (3.3.2.3) does what it says; method: one publisher, its subscribers, and the clock of
what a retained message has left to live.
"""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import ended, lasting, message, opened, resumed, unretain
from tests.conformance.raw import Raw
from tests.conformance.statements import statement

QOS = pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])


# -- properties -------------------------------------------------------------------------------------------------------

FORWARDED: list[tuple[str, list[raw.Property]]] = [
    ("format0", [(raw.PAYLOAD_FORMAT_INDICATOR, 0)]),
    ("format1", [(raw.PAYLOAD_FORMAT_INDICATOR, 1)]),
    ("response", [(raw.RESPONSE_TOPIC, "answers/ä/here")]),
    ("correlation", [(raw.CORRELATION_DATA, bytes(range(256)))]),
    ("empty-correlation", [(raw.CORRELATION_DATA, b"")]),
    ("content", [(raw.CONTENT_TYPE, "application/x-ä; q=1")]),
    ("empty-content", [(raw.CONTENT_TYPE, "")]),
    ("user", [(raw.USER_PROPERTY, ("b", "2")), (raw.USER_PROPERTY, ("a", "1")), (raw.USER_PROPERTY, ("b", "2"))]),
    (
        "all",
        [
            (raw.USER_PROPERTY, ("", "")),
            (raw.CONTENT_TYPE, "text/plain"),
            (raw.CORRELATION_DATA, b"\0\xff"),
            (raw.USER_PROPERTY, ("ключ", "值")),
            (raw.RESPONSE_TOPIC, "r"),
            (raw.PAYLOAD_FORMAT_INDICATOR, 1),
            (raw.USER_PROPERTY, ("", "x")),
        ],
    ),
]
FORWARDED_IDS = (
    raw.PAYLOAD_FORMAT_INDICATOR,
    raw.RESPONSE_TOPIC,
    raw.CORRELATION_DATA,
    raw.CONTENT_TYPE,
    raw.USER_PROPERTY,
)


@statement("MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20")
@QOS
@pytest.mark.parametrize("properties", [row[1] for row in FORWARDED], ids=[row[0] for row in FORWARDED])
@pytest.mark.versions(5)
def test_properties_of_the_publisher_reach_subscribers_unaltered(
    target: Target, version: int, name: str, qos: int, properties: list[raw.Property]
) -> None:
    """To a standing subscription, and to a later one with the retained message."""
    topic = f"{name}/t"
    with opened(target, version, f"{name}-s") as live, opened(target, version, f"{name}-p") as publisher:
        live.subscribe((topic, qos))
        publisher.publish(topic, "ä".encode(), qos=qos, retain=True, properties=properties)
        publisher.publish(f"{name}/behind", b"", qos=1)
        with opened(target, version, f"{name}-late") as late:
            late.subscribe((topic, qos))
            for received in (message(live), message(late)):
                for identifier in FORWARDED_IDS:
                    expected = [value for known, value in properties if known == identifier]
                    assert expected == received.values(identifier)
                assert len(properties) == len(received.properties)
    unretain(target, topic)


@statement("311:MQTT-3.3.2-1")
def test_properties_do_not_reach_older_clients(target: Target, name: str) -> None:
    with opened(target, 4, f"{name}-s") as subscriber, opened(target, 5, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 0))
        publisher.publish(f"{name}/t", b"x", properties=[(raw.USER_PROPERTY, ("a", "b"))])
        assert raw.utf8(f"{name}/t") + b"x" == subscriber.expect(raw.PUBLISH).body


@statement("MQTT-3.3.2-13", "MQTT-3.3.2-14", "MQTT-3.3.2-19", "MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "properties",
    [
        raw.props((raw.RESPONSE_TOPIC, "a/#")),
        raw.props((raw.RESPONSE_TOPIC, "a/+/b")),
        raw.props((raw.RESPONSE_TOPIC, b"\xff")),
        raw.props((raw.CONTENT_TYPE, b"\xc3\x28")),
        raw.props((raw.PAYLOAD_FORMAT_INDICATOR, 2)),
        raw.props((raw.PAYLOAD_FORMAT_INDICATOR, 0), (raw.PAYLOAD_FORMAT_INDICATOR, 0)),
        raw.props((raw.MESSAGE_EXPIRY_INTERVAL, 1), (raw.MESSAGE_EXPIRY_INTERVAL, 1)),
        raw.props((raw.RESPONSE_TOPIC, "a"), (raw.RESPONSE_TOPIC, "a")),
        raw.props((raw.CORRELATION_DATA, b"a"), (raw.CORRELATION_DATA, b"a")),
        raw.props((raw.CONTENT_TYPE, "a"), (raw.CONTENT_TYPE, "a")),
        raw.props((raw.TOPIC_ALIAS, 1), (raw.TOPIC_ALIAS, 1)),
        raw.props((raw.REASON_STRING, "no property of PUBLISH")),
        raw.props((raw.SESSION_EXPIRY_INTERVAL, 1)),
        b"\x02\x7f\x00",
        b"\x03\x26\x00",
        b"\x80\x80\x80\x80\x01",
        b"\x7f",
    ],
    ids=[
        "response-#",
        "response-+",
        "response-no-utf8",
        "content-no-utf8",
        "format-2",
        "format-twice",
        "expiry-twice",
        "response-twice",
        "correlation-twice",
        "content-twice",
        "alias-twice",
        "reason-string",
        "session-expiry",
        "unknown",
        "cut",
        "length-5-bytes",
        "length-beyond",
    ],
)
@pytest.mark.versions(5)
def test_a_property_that_is_wrong_in_publish_closes(
    target: Target, version: int, name: str, properties: bytes, bystander: Bystander
) -> None:
    with opened(target, 4, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as connection:
        subscriber.subscribe((f"{name}/t", 0))
        connection.send(raw.packet(raw.PUBLISH, 0, raw.utf8(f"{name}/t"), properties))
        connection.expect_closed()
        subscriber.expect_silence()


@statement("MQTT-3.3.2-4")
@QOS
@pytest.mark.versions(5)
def test_a_payload_that_is_not_the_text_it_promises_harms_nobody(
    target: Target, version: int, name: str, qos: int, bystander: Bystander
) -> None:
    """3.3.2.3.2: a receiver may refuse it with 0x99; whoever is sent it, is sent the indicator too."""
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 0))
        promise: list[raw.Property] = [(raw.PAYLOAD_FORMAT_INDICATOR, 1)]
        publisher.send(raw.publish(version, f"{name}/t", b"\xff", qos=qos, packet_id=1, properties=promise))
        code = 0x99
        if qos:
            answer = publisher.expect(raw.PUBACK if qos == 1 else raw.PUBREC)
            code = answer.code
            if qos == 2 and code < 0x80:
                publisher.send(raw.ack(version, raw.PUBREL, 1))
                publisher.expect(raw.PUBCOMP)
        publisher.ping()
        subscriber.send(raw.pingreq())
        received = subscriber.read()
        if received.type == raw.PUBLISH:
            assert ([1], b"\xff") == (received.values(raw.PAYLOAD_FORMAT_INDICATOR), received.payload)
        else:
            assert 0x99 == code


# -- message expiry ---------------------------------------------------------------------------------------------------


@statement("MQTT-3.3.2-6")
@pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
@pytest.mark.versions(5)
def test_the_expiry_interval_sent_is_at_most_the_one_received(
    target: Target, version: int, name: str, qos: int
) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"x", qos=qos, properties=[(raw.MESSAGE_EXPIRY_INTERVAL, 100)])
        left = message(subscriber).value(raw.MESSAGE_EXPIRY_INTERVAL)
        assert isinstance(left, int)
        assert 95 <= left <= 100


@statement("MQTT-3.3.2-5", "MQTT-3.3.2-6")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
@QOS
@pytest.mark.versions(5)
def test_the_shortest_and_longest_expiry_intervals_are_kept(
    target: Target, version: int, name: str, qos: int, is_lasting: bool
) -> None:
    """A message that lives for no time is not delivered, or with no time left; never with more than it came with."""
    longest = 0xFFFFFFFF
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        for expiry in (0, longest):
            publisher.publish(f"{name}/t", b"%d" % expiry, qos=qos, properties=[(raw.MESSAGE_EXPIRY_INTERVAL, expiry)])
        received = subscriber.expect(raw.PUBLISH)
        if received.payload == b"0":
            assert 0 == received.value(raw.MESSAGE_EXPIRY_INTERVAL)
            received = subscriber.expect(raw.PUBLISH)
        left = received.value(raw.MESSAGE_EXPIRY_INTERVAL)
        assert isinstance(left, int)
        assert longest - 15 <= left <= longest
    ended(target, version, f"{name}-s")


@statement("MQTT-3.3.2-5", "MQTT-3.3.2-6", "MQTT-4.5.0-1")
@pytest.mark.slow
@pytest.mark.versions(5)
def test_a_message_that_waits_expires_or_comes_with_less_to_live(target: Target, version: int, name: str) -> None:
    """The one test here that lets time pass: the broker's own answer to it is the clock."""
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber:
        subscriber.subscribe((f"{name}/t", 1))
        subscriber.disconnect()
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(f"{name}/t", b"short", qos=1, properties=[(raw.MESSAGE_EXPIRY_INTERVAL, 2)])
        publisher.publish(f"{name}/t", b"long", qos=1, properties=[(raw.MESSAGE_EXPIRY_INTERVAL, 100)])
        publisher.publish(f"{name}/kept", b"short", qos=1, retain=True, properties=[(raw.MESSAGE_EXPIRY_INTERVAL, 2)])
        # What is left of a retained message of 100 s, asked for until it has lived for 3 s, is the clock of this test.
        publisher.publish(f"{name}/age", b"age", qos=1, retain=True, properties=[(raw.MESSAGE_EXPIRY_INTERVAL, 100)])
        left: raw.Value | None = 100
        while isinstance(left, int) and left > 96:
            publisher.subscribe((f"{name}/age", 0))
            left = publisher.expect(raw.PUBLISH).value(raw.MESSAGE_EXPIRY_INTERVAL)
        assert isinstance(left, int)
        publisher.subscribe((f"{name}/kept", 0))
        publisher.expect_silence()
    with resumed(target, version, client_id) as subscriber:
        received = message(subscriber)
        assert b"long" == received.payload
        left = received.value(raw.MESSAGE_EXPIRY_INTERVAL)
        assert isinstance(left, int)
        assert 80 <= left <= 97
        subscriber.expect_silence()
    ended(target, version, client_id)
    unretain(target, f"{name}/kept", f"{name}/age")


# -- topic alias ------------------------------------------------------------------------------------------------------


def alias_maximum(connection: Raw, name: str) -> int:
    """Open the connection; the Topic Alias Maximum its server tells."""
    value = connection.open(5, name).value(raw.TOPIC_ALIAS_MAXIMUM)
    assert value is None or isinstance(value, int)
    return value or 0


@statement("MQTT-3.3.2-12")
@QOS
@pytest.mark.versions(5)
def test_every_alias_up_to_the_maximum_is_understood(target: Target, version: int, name: str, qos: int) -> None:
    with Raw(target) as publisher, opened(target, version, f"{name}-s") as subscriber:
        maximum = alias_maximum(publisher, f"{name}-p")
        if not maximum:
            pytest.skip("this broker takes no aliases")
        numbers = sorted({1, 2, maximum - 1, maximum} - {0})
        subscriber.subscribe((f"{name}/#", 0))
        for number in numbers:
            publisher.publish(f"{name}/{number}", b"set", qos=qos, properties=[(raw.TOPIC_ALIAS, number)])
        for number in numbers:
            publisher.publish("", b"used", qos=qos, properties=[(raw.TOPIC_ALIAS, number)])
        for payload in (b"set", b"used"):
            for number in numbers:
                received = message(subscriber)
                assert (f"{name}/{number}", payload) == (received.topic, received.payload)
                assert [] == received.values(raw.TOPIC_ALIAS)


@statement("MQTT-3.3.2-12")
@pytest.mark.versions(5)
def test_an_alias_set_again_stands_for_its_new_topic(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/#", 0))
        for topic in (f"{name}/a", "", f"{name}/b", ""):
            publisher.publish(topic, b"x", properties=[(raw.TOPIC_ALIAS, 1)])
        topics = [message(subscriber).topic for _ in range(4)]
        assert [f"{name}/a", f"{name}/a", f"{name}/b", f"{name}/b"] == topics


@statement("MQTT-3.3.2-8", "MQTT-3.3.2-9", "MQTT-4.13.1-1")
@pytest.mark.parametrize("which", ["zero", "above", "highest"])
@pytest.mark.versions(5)
def test_an_alias_out_of_range_closes(
    target: Target, version: int, name: str, which: str, bystander: Bystander
) -> None:
    with Raw(target) as connection:
        maximum = alias_maximum(connection, f"{name}-p")
        alias = {"zero": 0, "above": maximum + 1, "highest": 65535}[which]
        connection.send(raw.publish(version, f"{name}/t", b"x", properties=[(raw.TOPIC_ALIAS, alias)]))
        connection.expect_closed(0x94 if target.says_why else None)  # no statement has the code


@pytest.mark.parametrize("alias", [[], [(raw.TOPIC_ALIAS, 1)]], ids=["none", "never-set"])
@pytest.mark.versions(5)
def test_no_topic_name_and_no_known_alias_closes(
    target: Target, version: int, name: str, alias: list[raw.Property], bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-p") as connection:
        connection.send(raw.publish(version, "", b"x", properties=alias))
        connection.expect_closed()


@statement("MQTT-3.3.2-7")
@pytest.mark.versions(5)
def test_aliases_end_with_their_connection(target: Target, version: int, name: str) -> None:
    client_id = f"{name}-p"
    with lasting(target, version, client_id) as publisher:
        publisher.publish(f"{name}/t", b"x", qos=1, properties=[(raw.TOPIC_ALIAS, 1)])
    with resumed(target, version, client_id) as publisher:
        publisher.send(raw.publish(version, "", b"x", qos=1, packet_id=2, properties=[(raw.TOPIC_ALIAS, 1)]))
        publisher.expect_closed()
    ended(target, version, client_id)


@pytest.mark.versions(5)
def test_aliases_of_one_direction_mean_nothing_in_the_other(target: Target, version: int, name: str) -> None:
    """3.3.2.3.4: the mappings used by client and server are independent."""
    allowed: list[raw.Property] = [(raw.TOPIC_ALIAS_MAXIMUM, 5)]
    with (
        opened(target, version, f"{name}-a", properties=allowed) as both,
        opened(target, version, f"{name}-s") as other,
    ):
        both.subscribe((f"{name}/to", 0))
        other.subscribe((f"{name}/from", 0))
        both.publish(f"{name}/from", b"1", properties=[(raw.TOPIC_ALIAS, 1)])
        assert f"{name}/from" == other.expect(raw.PUBLISH).topic
        other.publish(f"{name}/to", b"2")
        assert f"{name}/to" == both.expect(raw.PUBLISH).topic
        both.publish("", b"3", properties=[(raw.TOPIC_ALIAS, 1)])
        assert f"{name}/from" == other.expect(raw.PUBLISH).topic


@statement("MQTT-3.3.2-11", "MQTT-3.1.2-26", "MQTT-3.1.2-27", "MQTT-3.3.2-3")
@pytest.mark.parametrize("maximum", [0, 1, 2])
@pytest.mark.versions(5)
def test_aliases_to_the_client_stay_within_its_maximum(target: Target, version: int, name: str, maximum: int) -> None:
    allowed: list[raw.Property] = [(raw.TOPIC_ALIAS_MAXIMUM, maximum)]
    with (
        opened(target, version, f"{name}-s", properties=allowed) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/#", 0))
        topics = [f"{name}/{letter}" for letter in "abcabcaabbcc"]
        for topic in topics:
            publisher.publish(topic, topic.encode())
        known: dict[raw.Value, str] = {}
        for topic in topics:
            received = subscriber.expect(raw.PUBLISH)
            alias = received.value(raw.TOPIC_ALIAS)
            if alias is None:
                assert topic == received.topic
                continue
            assert isinstance(alias, int)
            assert 1 <= alias <= maximum
            if received.topic:
                known[alias] = received.topic
            assert (topic, topic.encode()) == (known[alias], received.payload)
