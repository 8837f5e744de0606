"""Goal: a filter matches the names the standard says, and bad names and filters are refused with their statement.
Method: the standard's own examples, and random names against a matcher too plain to be wrong."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantum.core.mqtt.errors import ProtocolError
from quantum.core.mqtt.topics import check_topic_filter, check_topic_name, has_wildcard, matches, parse_shared

LEVEL = st.sampled_from(["", "a", "b", "$s", "é"])
NAMES = st.lists(LEVEL, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = st.builds(
    lambda levels, tail: "/".join(levels + tail),
    st.lists(st.one_of(LEVEL, st.just("+")), max_size=4),
    st.sampled_from([[], ["#"]]),
).filter(bool)


def plain_match(levels: list[str], name: list[str]) -> bool:
    """4.7.1 by recursion over levels."""
    if levels == ["#"]:
        return True
    if not levels or not name:
        return levels == name
    return levels[0] in ("+", name[0]) and plain_match(levels[1:], name[1:])


@given(FILTERS, NAMES)
def test_matches_as_the_plain_matcher_does(topic_filter: str, topic_name: str) -> None:
    check_topic_filter(topic_filter)
    check_topic_name(topic_name)
    hidden = topic_name.startswith("$") and topic_filter[0] in "+#"
    expected = not hidden and plain_match(topic_filter.split("/"), topic_name.split("/"))
    assert expected == matches(topic_filter, topic_name)


@pytest.mark.parametrize(
    ("topic_filter", "topic_name", "expected"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/#", "sports", False),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("$SYS/#", "$SYS/x", True),
        ("$SYS/+", "$SYS/x", True),
        ("a/b", "a/b", True),
        ("a/b", "A/b", False),
        ("/a", "a", False),
        ("+/#", "a", True),
    ],
)
def test_examples_of_the_standard(topic_filter: str, topic_name: str, expected: bool) -> None:
    assert expected == matches(topic_filter, topic_name)


@pytest.mark.parametrize(
    ("topic_filter", "statement"),
    [
        ("", "MQTT-4.7.3-1"),
        ("a\x00", "MQTT-4.7.3-2"),
        ("a\ud800", "MQTT-1.5.4-1"),
        ("a" * 65_536, "MQTT-4.7.3-3"),
        ("é" * 32_768, "MQTT-4.7.3-3"),
        ("sport/tennis#", "MQTT-4.7.1-1"),
        ("sport/#/ranking", "MQTT-4.7.1-1"),
        ("##", "MQTT-4.7.1-1"),
        ("sport+", "MQTT-4.7.1-2"),
        ("a/+b/c", "MQTT-4.7.1-2"),
        ("$share", "MQTT-4.8.2-1"),
        ("$share//a", "MQTT-4.8.2-1"),
        ("$share/g", "MQTT-4.8.2-2"),
        ("$share/g/", "MQTT-4.8.2-2"),
        ("$share/g+/a", "MQTT-4.8.2-2"),
        ("$share/#/a", "MQTT-4.8.2-2"),
        ("$share/g/a#", "MQTT-4.7.1-1"),
    ],
)
def test_bad_filter_is_refused(topic_filter: str, statement: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_topic_filter(topic_filter)
    assert (statement, 0x8F) == (caught.value.statement, caught.value.reason_code)


@pytest.mark.parametrize(
    ("topic_name", "statement"),
    [
        ("", "MQTT-4.7.3-1"),
        ("a/+", "MQTT-3.3.2-2"),
        ("a#", "MQTT-3.3.2-2"),
        ("a\x00", "MQTT-4.7.3-2"),
        ("\udfff", "MQTT-1.5.4-1"),
        ("a" * 65_536, "MQTT-4.7.3-3"),
    ],
)
def test_bad_name_is_refused(topic_name: str, statement: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        check_topic_name(topic_name)
    assert (statement, 0x90) == (caught.value.statement, caught.value.reason_code)


@pytest.mark.parametrize("topic", ["/", "a" * 65_535, "é" * 32_767, " ", "$share2/a", "a//b"])
def test_odd_topics_are_both_names_and_filters(topic: str) -> None:
    check_topic_name(topic)
    check_topic_filter(topic)


@pytest.mark.parametrize(
    ("topic_filter", "expected"),
    [
        ("$share/g/a/+", ("g", "a/+")),
        ("$share/g//", ("g", "/")),
        ("$share/g/$share/h/a", ("g", "$share/h/a")),
        ("$SHARE/g/a", None),
        ("a/$share/g", None),
    ],
)
def test_shared_filters_are_told_apart(topic_filter: str, expected: tuple[str, str] | None) -> None:
    assert expected == parse_shared(topic_filter)


def test_only_plus_and_hash_are_wildcards() -> None:
    assert [True, True, False] == [has_wildcard("a/+"), has_wildcard("#"), has_wildcard("*/a")]
