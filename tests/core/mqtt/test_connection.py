"""Goal: what a connection keeps for its client stays small, whatever that client asks for. Method: the server's side alone."""

from quantum.core.mqtt.connection import (
    ALIASES_OUT_MAX,
    TOPIC_CACHED_BYTES_MAX,
    PublishRun,
    ServerConnection,
)
from quantum.core.mqtt.decode import decode_publish
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.framer import Framer
from quantum.core.mqtt.packets import NO_EXPIRY, V5, Connect, Publish
from quantum.core.mqtt.properties import TOPIC_ALIAS_MAXIMUM


def connected(alias_maximum: int) -> ServerConnection:
    connection = ServerConnection(1 << 20, 0)
    connect = Connect(V5, "c", True, 0, properties={TOPIC_ALIAS_MAXIMUM: alias_maximum} if alias_maximum else {})
    assert 1 == len(connection.receive(encode_packet(V5, connect)))
    return connection


def alias_of(connection: ServerConnection, topic_name: str) -> tuple[str, int]:
    data = connection.encode_publish(topic_name, b"x", 0, False, False, 0, b"", NO_EXPIRY, ())
    ((first, body),) = Framer(1 << 20).feed(data)
    packet = decode_publish(V5, first, body)
    return packet.topic_name, packet.topic_alias


def test_client_that_would_take_any_number_of_aliases_is_given_a_few() -> None:
    connection = connected(65_535)
    given = [alias_of(connection, f"topic/{number}") for number in range(ALIASES_OUT_MAX + 10)]
    assert [*range(1, ALIASES_OUT_MAX + 1), *[0] * 10] == [alias for _, alias in given]
    assert [f"topic/{number}" for number in range(ALIASES_OUT_MAX + 10)] == [topic_name for topic_name, _ in given]
    assert ("", 1) == alias_of(connection, "topic/0")
    assert ("", ALIASES_OUT_MAX) == alias_of(connection, f"topic/{ALIASES_OUT_MAX - 1}")


def test_long_topic_names_are_read_and_not_kept() -> None:
    connection = connected(0)
    for size, kind in ((TOPIC_CACHED_BYTES_MAX, PublishRun), (TOPIC_CACHED_BYTES_MAX + 1, Publish)):
        packet = encode_packet(V5, Publish("t" * size, b"x"))
        (first,) = connection.receive(packet)
        (second,) = connection.receive(packet)
        assert (Publish, kind) == (type(first), type(second))
        assert isinstance(second, Publish | PublishRun)
        assert "t" * size == second.topic_name
