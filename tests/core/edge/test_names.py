"""Goal: every Topic Name and Topic Filter is served, or refused for a cause that the client is told where its version
can say it. Method: packets at one edge over a log that never fails."""

import pytest

from quantum.core.causes import TOPIC_FILTER_INVALID, TOPIC_LEVELS_MAX, TOPIC_NAME_INVALID
from quantum.core.mqtt.packets import (
    V5,
    V311,
    Connack,
    Connect,
    Disconnect,
    Puback,
    Publish,
    Pubrec,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from tests.core.edge.several import Several

FULL = "/" * 127  # 128 levels
OVER = "/" * 128


@pytest.mark.parametrize("version", [V311, V5])
@pytest.mark.parametrize("topic_filter", [FULL, "$share/g/" + FULL, "/" * 126 + "#"])
def test_as_many_levels_as_are_allowed_are_served(version: int, topic_filter: str) -> None:
    several = Several(1)
    conn_id = several.connect(1, "c", version=version)
    several.send(conn_id, Subscribe(1, [Subscription(topic_filter, 1)]))
    assert [Suback(1, [1])] == several.take(conn_id)
    several.send(conn_id, Publish(FULL, b"x", 1, packet_id=1), Publish(FULL, b"y", 0))
    got = [packet.payload for packet in several.take(conn_id) if isinstance(packet, Publish)]
    assert [b"x", b"y"] == sorted(got)


@pytest.mark.parametrize("topic_filter", [OVER, "$share/g/" + OVER, OVER + "#"])
@pytest.mark.parametrize(("version", "code"), [(V311, 0x80), (V5, 0x97)])
def test_a_filter_of_too_many_levels_is_refused_alone(topic_filter: str, version: int, code: int) -> None:
    several = Several(1)
    conn_id = several.connect(1, "c", version=version)
    several.send(conn_id, Subscribe(1, [Subscription("a", 1), Subscription(topic_filter, 1), Subscription("b", 2)]))
    reason = f"{TOPIC_LEVELS_MAX.id}: {TOPIC_LEVELS_MAX.text}"
    assert [Suback(1, [1, code, 2], {31: reason} if version == V5 else {})] == several.take(conn_id)
    assert 1 == several.counted(1, TOPIC_LEVELS_MAX.number)
    assert 2 == several.sites[1].state.counts()["subscriptions"]


def test_a_publish_to_too_many_levels_is_refused_and_nothing_else_is() -> None:
    several = Several(1)
    conn_id = several.connect(1, "c")
    several.send(conn_id, Publish(OVER, b"", 1, packet_id=1), Publish(OVER, b"", 2, packet_id=2))
    several.send(conn_id, Publish("a", b"", 1, packet_id=3), Publish(OVER, b"", 0), Publish(OVER, b"", 0, retain=True))
    answers = several.take(conn_id)
    assert [Puback, Pubrec, Puback] == [type(answer) for answer in answers]
    assert [0x97, 0x97, 0] == [answer.reason_code for answer in answers]  # type: ignore[union-attr]
    assert "topic_levels_max" == str(answers[0].properties[31]).split(":")[0]  # type: ignore[union-attr]
    assert 4 == several.counted(1, TOPIC_LEVELS_MAX.number)
    assert 0 == several.sites[1].state.counts()["retained_messages"]


@pytest.mark.parametrize(("version", "code"), [(V311, 3), (V5, 0x97)])
def test_a_will_of_too_many_levels_is_refused_with_its_connect(version: int, code: int) -> None:
    several = Several(1)
    edge = several.sites[1].edge
    several.versions[7] = version
    several.site_of[7] = several.sites[1]
    edge.on_accepted(7, "tcp", "peer", "")
    several.send(7, Connect(version, "c", True, 0, will=Will(OVER, b"", 0, False)))
    (connack,) = several.take(7)
    assert isinstance(connack, Connack)
    assert code == connack.reason_code
    assert several.is_closed(7)


@pytest.mark.parametrize("topic_filter", ["a#", "#/a", "a+", "$share//a", "$share/g+/a", "$share/g/"])
@pytest.mark.parametrize("version", [V311, V5])
def test_a_filter_that_is_none_ends_the_connection_as_both_texts_have_it(topic_filter: str, version: int) -> None:
    """Data that the protocol does not allow: 5.0 closes with 0x8F [MQTT-4.13.1-1], v3.1.1 without a word [MQTT-4.8.0-1].
    0x8F in a SUBACK is for a filter that is "correctly formed but not allowed"."""
    for packet in (Subscribe(1, [Subscription("a", 0), Subscription(topic_filter, 0)]), Unsubscribe(1, [topic_filter])):
        several = Several(1)
        conn_id = several.connect(1, "c", version=version)
        several.send(conn_id, packet)
        answers = several.take(conn_id)
        codes = [answer.reason_code for answer in answers if isinstance(answer, Disconnect)]
        assert ([0x8F] if version == V5 else []) == codes
        assert len(codes) == len(answers)
        assert several.is_closed(conn_id)
        assert 1 == several.counted(1, TOPIC_FILTER_INVALID.number)
        assert 0 == several.sites[1].state.counts()["subscriptions"]


def test_names_of_the_server_are_not_published_to() -> None:
    """4.7.2"""
    several = Several(1)
    conn_id = several.connect(1, "c")
    several.subscribe(conn_id, Subscription("$SYS/#", 1), Subscription("$SYSTEM", 1))
    names = ("$SYS", "$SYS/x", "$SYSTEM")
    several.send(conn_id, *[Publish(name, b"", 1, packet_id=number) for number, name in enumerate(names, 1)])
    several.send(conn_id, *[Publish(name, b"", 0) for name in names])
    packets = several.take(conn_id)
    assert [0x90, 0x90, 0] == [packet.reason_code for packet in packets if isinstance(packet, Puback)]
    assert ["$SYSTEM", "$SYSTEM"] == [packet.topic_name for packet in packets if isinstance(packet, Publish)]
    assert 4 == several.counted(1, TOPIC_NAME_INVALID.number)
