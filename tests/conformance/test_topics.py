"""Goal: which Topic Filter matches which Topic Name, and which are none (4.7); method: a table of pairs, each subscribed
and published for real, live and retained.
"""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import lasting, message, opened, resumed, unretain
from tests.conformance.statements import statement

# Filter, names it matches, names it does not. The name of the test stands for `{}`.
MATCHES: list[tuple[str, str, list[str], list[str]]] = [
    ("exact", "{}/a", ["{}/a"], ["{}/A", "{}/a/", "/{}/a", "{}/a/b", "{}/ a", "{}"]),
    ("hash", "{}/#", ["{}", "{}/", "{}/a", "{}/a/b/c", "{}//"], ["/{}", "{}x", "{}x/a"]),
    ("hash-below", "{}/a/#", ["{}/a", "{}/a/", "{}/a/b/c"], ["{}", "{}/b", "{}/ab", "{}/b/a"]),
    ("plus", "{}/+", ["{}/a", "{}/"], ["{}", "{}/a/", "{}/a/b", "{}//"]),
    ("plus-between", "{}/+/c", ["{}/b/c", "{}//c"], ["{}/c", "{}/a/b/c", "{}/b/C", "{}/b/c/"]),
    ("plus-twice", "{}/+/+", ["{}/a/b", "{}//", "{}/a/"], ["{}/a", "{}/a/b/c"]),
    ("plus-and-hash", "{}/+/b/#", ["{}/a/b", "{}//b", "{}/a/b/c/d"], ["{}/a", "{}/b", "{}/a/c"]),
    ("plus-first", "+/{}/a", ["x/{}/a", "/{}/a", "äö/{}/a"], ["{}/a", "x/y/{}/a"]),
    ("slash-first", "/{}", ["/{}"], ["{}", "//{}", "/{}/"]),
    ("slash-last", "{}/", ["{}/"], ["{}", "{}//"]),
    ("empty-levels", "{}//a", ["{}//a"], ["{}/a", "{}/x/a", "{}///a"]),
    ("dollar-inside", "{}/$a/#", ["{}/$a", "{}/$a/b"], ["{}/a", "$a/{}"]),
    ("plus-matches-dollar-inside", "{}/+", ["{}/$a", "{}/$SYS"], []),
    ("blank", "{}/ a b ", ["{}/ a b "], ["{}/a b", "{}/ a b", "{}/ab"]),
    ("composed", "{}/\u00c5", ["{}/\u00c5"], ["{}/\u0041\u030a", "{}/\u212b", "{}/A", "{}/\u00e5"]),
    ("decomposed", "{}/\u0041\u030a", ["{}/\u0041\u030a"], ["{}/\u00c5", "{}/\u212b"]),
    ("bom", "{}/\ufeffa", ["{}/\ufeffa"], ["{}/a"]),
    ("astral", "{}/\U0001f300/+", ["{}/\U0001f300/\U00020000"], ["{}/\U0001f301/x"]),
    ("ligature", "{}/\ufb01", ["{}/\ufb01"], ["{}/fi"]),
]
IDS = [row[0] for row in MATCHES]
ROWS = [row[1:] for row in MATCHES]


@statement("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-1", "MQTT-4.7.3-4", "MQTT-1.5.4-3", "MQTT-3.3.2-3")
@statement("311:MQTT-4.7.1-2", "311:MQTT-4.7.1-3", "311:MQTT-4.7.3-1", "311:MQTT-4.7.3-4", "311:MQTT-1.5.3-3")
@pytest.mark.parametrize("topic_filter, matching, other", ROWS, ids=IDS)
def test_a_filter_matches_these_names_and_not_those(
    target: Target, version: int, name: str, topic_filter: str, matching: list[str], other: list[str]
) -> None:
    """The name published last ends the reading: whatever came before it had to."""
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((topic_filter.format(name), 0))
        for topic in other + matching:
            publisher.publish(topic.format(name), b"x")
        assert [topic.format(name) for topic in matching] == [message(subscriber).topic for _ in matching]
        subscriber.expect_silence()


@statement("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-4", "MQTT-3.3.1-9", "311:MQTT-4.7.1-2", "311:MQTT-4.7.1-3")
@pytest.mark.parametrize("topic_filter, matching, other", ROWS, ids=IDS)
def test_retained_messages_are_found_by_the_same_rules(
    target: Target, version: int, name: str, topic_filter: str, matching: list[str], other: list[str]
) -> None:
    topics = [topic.format(name) for topic in other + matching]
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        for topic in topics:
            publisher.publish(topic, b"x", qos=1, retain=True)
        subscriber.subscribe((topic_filter.format(name), 0))
        expected = sorted(topic.format(name) for topic in matching)
        assert expected == sorted(message(subscriber).topic for _ in matching)
        subscriber.expect_silence()
    unretain(target, *topics)


# -- $ ----------------------------------------------------------------------------------------------------------------


@statement("MQTT-4.7.2-1", "311:MQTT-4.7.2-1")
@pytest.mark.parametrize("topic_filter", ["#", "+/{}", "+/#", "+/+", "+/{}/#"], ids=list("abcde"))
def test_a_wildcard_in_front_matches_no_name_that_begins_with_dollar(
    target: Target, version: int, name: str, topic_filter: str
) -> None:
    """Both brokers and clients may publish below other names than `$SYS`. Others' messages are passed over here."""
    mine = topic_filter.format(name)
    with (
        opened(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-e") as exact,
        opened(target, version, f"{name}-p") as publisher,
    ):
        exact.subscribe((f"$own/{name}", 0), (f"$own/{name}/#", 0))
        subscriber.subscribe((mine, 0))
        publisher.publish(f"$own/{name}", b"hidden", qos=1)
        publisher.publish(f"x/{name}", b"seen", qos=1)
        assert b"hidden" == message(exact).payload
        received = message(subscriber)
        while name not in received.topic:
            assert not received.topic.startswith("$")
            received = message(subscriber)
        assert f"x/{name}" == received.topic


@statement("MQTT-4.7.2-1", "311:MQTT-4.7.2-1")
@pytest.mark.parametrize("topic_filter", ["$own/{}/#", "$own/+/x", "$own/{}/x"], ids=list("abc"))
def test_a_filter_that_begins_with_dollar_matches_such_names(
    target: Target, version: int, name: str, topic_filter: str
) -> None:
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((topic_filter.format(name), 0))
        publisher.publish(f"$own/{name}/x", b"x")
        assert f"$own/{name}/x" == message(subscriber).topic


@statement("MQTT-4.7.2-1", "MQTT-3.3.1-9", "311:MQTT-4.7.2-1")
def test_a_retained_message_below_dollar_is_hidden_from_wildcards(target: Target, version: int, name: str) -> None:
    topic = f"$own/{name}"
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        publisher.publish(topic, b"kept", qos=1, retain=True)
        subscriber.subscribe((f"+/{name}", 0))
        subscriber.expect_silence()
        subscriber.subscribe((f"$own/{name}", 0))
        assert topic == message(subscriber).topic
    unretain(target, topic)


# -- what is none -----------------------------------------------------------------------------------------------------

NO_FILTERS = ["a#", "#a", "a/#/b", "#/", "a/b#", "##", "+#", "a/+#", "a+", "+a", "a/b+/c", "a/+b/c", "++", "/+a/", ""]


@statement("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-1", "MQTT-4.13.1-1")
@statement("311:MQTT-4.7.1-2", "311:MQTT-4.7.1-3", "311:MQTT-4.7.3-1", "311:MQTT-4.8.0-1")
@pytest.mark.parametrize("topic_filter", NO_FILTERS)
def test_what_is_no_filter_is_not_subscribed(
    target: Target, version: int, name: str, topic_filter: str, bystander: Bystander
) -> None:
    """A server may close, or refuse the one filter in SUBACK."""
    with opened(target, version, f"{name}-s") as connection:
        connection.send(raw.subscribe(version, 1, (topic_filter, 0)))
        received = connection.read_or_end()
        if received is not None and received.type == raw.SUBACK:
            assert [0x8F if version == 5 else 0x80] == received.codes
        elif received is not None:
            assert (raw.DISCONNECT, True) == (received.type, received.code in (0x81, 0x82, 0x8F))
            connection.expect_end()


@statement("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-1", "MQTT-3.10.3-1", "311:MQTT-4.7.3-1")
@pytest.mark.parametrize("topic_filter", NO_FILTERS)
def test_what_is_no_filter_cannot_be_unsubscribed(
    target: Target, version: int, name: str, topic_filter: str, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-s") as connection:
        connection.send(raw.unsubscribe(version, 1, topic_filter))
        received = connection.read_or_end()
        if received is not None and received.type == raw.UNSUBACK:
            assert version < 5 or received.codes in ([0x8F], [0x11])
        elif received is not None:
            assert (raw.DISCONNECT, True) == (received.type, received.code in (0x81, 0x82, 0x8F))
            connection.expect_end()


@statement("MQTT-4.7.3-1", "MQTT-4.7.3-2", "MQTT-1.5.4-2", "311:MQTT-4.7.3-1", "311:MQTT-4.7.3-2", "311:MQTT-1.5.3-2")
@pytest.mark.parametrize("topic", ["", "\0", "a\0b"], ids=["empty", "null", "null-inside"])
@pytest.mark.parametrize("qos", [0, 1], ids=["qos0", "qos1"])
def test_a_name_that_is_empty_or_has_a_null_closes(
    target: Target, version: int, name: str, topic: str, qos: int, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-p") as connection:
        connection.send(raw.publish(version, topic, b"x", qos=qos, packet_id=1))
        connection.expect_closed()


@statement("MQTT-4.7.3-3", "311:MQTT-4.7.3-3")
@pytest.mark.parametrize("letter", ["x", "ä"])
def test_a_name_of_65535_bytes_is_one(target: Target, version: int, name: str, letter: str) -> None:
    stem = f"{name}/"
    topic = stem + letter * ((65535 - len(stem)) // len(letter.encode()))
    assert 65534 <= len(topic.encode()) <= 65535
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        assert [1] == subscriber.subscribe((topic, 1)).codes
        publisher.publish(topic, b"x", qos=1)
        assert topic == message(subscriber).topic


@statement("MQTT-4.7.1-1", "MQTT-4.7.1-2", "311:MQTT-4.7.1-2", "311:MQTT-4.7.1-3")
def test_many_filters_of_one_session_each_match_by_their_own_rule(target: Target, version: int, name: str) -> None:
    """One copy, or one for each of the filters; never for one that does not match."""
    filters = [f"{name}/{rest}" for rest in ("a/+/c", "a/b/#", "+/b/c", "a/b/c", "+/+/+", "#", "a/#")]
    others = [f"{name}/{rest}" for rest in ("b/#", "+/c/#", "a/b", "+/+", "a/b/c/+", "a/b/c/d/#")]
    with (
        opened(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-o") as other,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe(*((topic_filter, 0) for topic_filter in filters))
        other.subscribe(*((topic_filter, 0) for topic_filter in others))
        publisher.publish(f"{name}/a/b/c", b"x")
        publisher.publish(f"{name}/b/end", b"end")
        count = 0
        while (received := message(subscriber)).payload == b"x":
            count += 1
        assert 1 <= count <= len(filters)
        assert b"end" == received.payload
        assert b"end" == message(other).payload


@statement("MQTT-4.7.3-4", "311:MQTT-4.7.3-4")
def test_a_resumed_subscription_matches_as_before(target: Target, version: int, name: str) -> None:
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber:
        subscriber.subscribe((f"{name}/+/\u0041\u030a", 1))
        subscriber.disconnect()
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(f"{name}/x/\u00c5", b"other", qos=1)
        publisher.publish(f"{name}/x/\u0041\u030a", b"same", qos=1)
    with resumed(target, version, client_id) as subscriber:
        assert b"same" == message(subscriber).payload
        subscriber.expect_silence()
