"""Goal: UNSUBSCRIBE and UNSUBACK (3.10, 3.11): what ends, what goes on, what is refused; method: unsubscribe by hand, and
look at what a publisher's messages become.
"""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import complete, ended, lasting, message, opened, resumed
from tests.conformance.raw import Raw, Received
from tests.conformance.statements import statement


def unsubscribe(connection: Raw, *filters: str, packet_id: int = 1) -> Received:
    """UNSUBSCRIBE, and its UNSUBACK as the next packet."""
    connection.send(raw.unsubscribe(connection.version, packet_id, *filters))
    unsuback = connection.expect(raw.UNSUBACK)
    assert packet_id == unsuback.packet_id
    return unsuback


@statement("MQTT-3.10.1-1", "MQTT-2.1.3-1", "311:MQTT-3.10.1-1", "311:MQTT-2.2.2-2")
@pytest.mark.parametrize("flags", [0, 1, 3, 6, 10, 15])
@pytest.mark.versions(4, 5)
def test_other_flags_close(target: Target, version: int, name: str, flags: int, bystander: Bystander) -> None:
    with opened(target, version, f"{name}-s") as connection:
        connection.send(bytes((0xA0 | flags,)) + raw.unsubscribe(version, 1, f"{name}/t")[1:])
        connection.expect_closed(0x81)


@statement("MQTT-3.10.3-1", "MQTT-1.5.4-1", "MQTT-4.7.3-2", "311:MQTT-3.10.3-1", "311:MQTT-1.5.3-1")
@pytest.mark.parametrize(
    "topic_filter", [b"\xff", b"a/\xc3", b"\xed\xa0\x80", b"a\0b"], ids=["byte", "cut", "surrogate", "null"]
)
def test_a_filter_that_is_no_utf_8_closes(
    target: Target, version: int, name: str, topic_filter: bytes, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-s") as connection:
        properties = b"\0" if version == 5 else b""
        connection.send(raw.packet(raw.UNSUBSCRIBE, 2, raw.u16(1), properties, raw.binary(topic_filter)))
        connection.expect_closed()


@statement("MQTT-3.10.3-2", "MQTT-4.13.1-1", "311:MQTT-3.10.3-2", "311:MQTT-4.8.0-1")
@pytest.mark.parametrize("payload", [b"", b"\0", b"\0\5a", b"\0\1a\0"], ids=["nothing", "half", "short", "second"])
def test_an_unsubscribe_without_a_whole_filter_closes(
    target: Target, version: int, name: str, payload: bytes, bystander: Bystander
) -> None:
    if version == 3 and not payload:
        pytest.skip("3.1 does not say so")
    with opened(target, version, f"{name}-s") as connection:
        connection.send(raw.packet(raw.UNSUBSCRIBE, 2, raw.u16(1), b"\0" if version == 5 else b"", payload))
        connection.expect_closed()


@statement("MQTT-2.2.1-3", "311:MQTT-2.3.1-1")
def test_packet_identifier_0_closes(target: Target, version: int, name: str, bystander: Bystander) -> None:
    with opened(target, version, f"{name}-s") as connection:
        connection.send(raw.unsubscribe(version, 0, f"{name}/t"))
        connection.expect_closed()


@statement("MQTT-4.13.1-1")
@pytest.mark.parametrize(
    "properties",
    [raw.props((raw.SUBSCRIPTION_IDENTIFIER, 1)), raw.props((raw.REASON_STRING, "x")), b"\x05\x26\x00"],
    ids=["subscription-id", "reason-string", "cut"],
)
@pytest.mark.versions(5)
def test_a_property_that_is_wrong_in_unsubscribe_closes(
    target: Target, version: int, name: str, properties: bytes, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-s") as connection:
        connection.send(raw.packet(raw.UNSUBSCRIBE, 2, raw.u16(1), properties, raw.utf8(f"{name}/t")))
        connection.expect_closed()


@statement("MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-2.2.1-6", "311:MQTT-3.10.4-4", "311:MQTT-2.3.1-7")
@statement("311:MQTT-3.10.4-5", "MQTT-3.11.3-2")
@pytest.mark.parametrize("packet_id", [1, 256, 65535])
def test_unsuback_has_the_packet_identifier_even_where_nothing_ended(
    target: Target, version: int, name: str, packet_id: int
) -> None:
    with opened(target, version, f"{name}-s") as subscriber:
        unsuback = unsubscribe(subscriber, f"{name}/never", packet_id=packet_id)
        assert ([0x11] if version == 5 else []) == unsuback.codes
        assert version == 5 or raw.u16(packet_id) == unsuback.body


@statement("MQTT-3.10.4-6", "MQTT-3.11.3-1", "MQTT-3.11.3-2", "311:MQTT-3.10.4-6")
def test_many_filters_are_answered_in_one_unsuback_in_their_order(target: Target, version: int, name: str) -> None:
    filters = [f"{name}/{number}" for number in range(30)]
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe(*((topic, 0) for topic in filters[::3]))
        codes = unsubscribe(subscriber, *filters[:-3]).codes
        if version == 5:
            assert [0x00 if number % 3 == 0 else 0x11 for number in range(27)] == codes
        for topic in filters:
            publisher.publish(topic, b"x")
        assert filters[27] == message(subscriber).topic
        subscriber.expect_silence()


@statement("MQTT-3.10.4-6", "MQTT-3.11.3-2")
@pytest.mark.versions(5)
def test_the_second_of_equal_filters_in_one_unsubscribe_finds_none(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 0))
        assert [0x00, 0x11] == unsubscribe(subscriber, f"{name}/t", f"{name}/t").codes


@statement("MQTT-3.10.4-1", "MQTT-3.10.4-2", "311:MQTT-3.10.4-1", "311:MQTT-3.10.4-2")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
def test_nothing_is_added_behind_unsuback(target: Target, version: int, name: str, is_lasting: bool) -> None:
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2), (f"{name}/+/w", 2))
        unsubscribe(subscriber, f"{name}/t", f"{name}/+/w")
        for qos in (0, 1, 2):
            publisher.publish(f"{name}/t", b"x", qos=qos)
            publisher.publish(f"{name}/a/w", b"x", qos=qos)
        subscriber.expect_silence()
    ended(target, version, f"{name}-s")


@statement("MQTT-3.10.4-1", "MQTT-4.7.3-4", "311:MQTT-3.10.4-1", "311:MQTT-4.7.3-4")
@pytest.mark.parametrize("other", ["{}/T", "{}/t/", "/{}/t", "{}/+", "{}/#", "#", "+/t", "{}/t#x", "$share/g/{}/t"])
def test_a_filter_that_is_not_the_same_characters_ends_nothing(
    target: Target, version: int, name: str, other: str
) -> None:
    if other.endswith("#x"):
        other = "{}/t "
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 0))
        codes = unsubscribe(subscriber, other.format(name)).codes
        assert version < 5 or [0x11] == codes
        publisher.publish(f"{name}/t", b"x")
        assert b"x" == message(subscriber).payload


@statement("MQTT-3.10.4-1", "311:MQTT-3.10.4-1")
def test_a_wildcard_filter_ends_as_it_began(target: Target, version: int, name: str) -> None:
    """It ends the one subscription of the same characters, not the ones it would match."""
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/#", 0), (f"{name}/+", 0), (f"{name}/a", 0), (f"{name}/+/b", 0))
        unsubscribe(subscriber, f"{name}/#", f"{name}/+")
        publisher.publish(f"{name}/x", b"nobody")
        publisher.publish(f"{name}/a", b"exact")
        publisher.publish(f"{name}/a/b", b"other")
        assert [b"exact", b"other"] == [message(subscriber).payload for _ in range(2)]
        subscriber.expect_silence()


@statement("MQTT-3.10.4-3", "311:MQTT-3.10.4-3")
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
def test_a_delivery_that_began_is_completed(target: Target, version: int, name: str, qos: int) -> None:
    """On the same connection, and on the next one."""
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", qos))
        publisher.publish(f"{name}/t", b"now", qos=qos)
        publisher.publish(f"{name}/t", b"later", qos=qos)
        now, later = (subscriber.expect(raw.PUBLISH) for _ in range(2))
        unsubscribe(subscriber, f"{name}/t")
        complete(subscriber, now)
        subscriber.ping()
    with resumed(target, version, client_id) as subscriber:
        again = message(subscriber)
        assert (b"later", later.packet_id, True) == (again.payload, again.packet_id, again.dup)
        subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-3.10.4-2", "311:MQTT-3.10.4-2", "311:MQTT-4.1.0-1")
def test_an_ended_subscription_stays_ended_on_the_next_connection(target: Target, version: int, name: str) -> None:
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber:
        subscriber.subscribe((f"{name}/gone", 1), (f"{name}/stays", 1))
        unsubscribe(subscriber, f"{name}/gone")
        subscriber.disconnect()
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(f"{name}/gone", b"x", qos=1)
        publisher.publish(f"{name}/stays", b"x", qos=1)
    with resumed(target, version, client_id) as subscriber:
        assert f"{name}/stays" == message(subscriber).topic
        subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-3.10.4-2", "MQTT-4.8.2-3")
def test_a_shared_subscription_ends_for_its_member_only(target: Target, version: int, name: str) -> None:
    shared = f"$share/g/{name}/t"
    with (
        opened(target, version, f"{name}-a") as leaving,
        opened(target, version, f"{name}-b") as staying,
        opened(target, version, f"{name}-p") as publisher,
    ):
        leaving.subscribe((shared, 1))
        staying.subscribe((shared, 1))
        assert ([0] if version == 5 else []) == unsubscribe(leaving, shared).codes
        for number in range(4):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1)
        assert [b"0", b"1", b"2", b"3"] == [message(staying).payload for _ in range(4)]
        leaving.expect_silence()
