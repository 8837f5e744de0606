"""Goal: PUBACK (3.4) and QoS 1 in both directions (4.3.2); method: every step of the exchange by hand, right and wrong."""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import ended, lasting, message, opened, resumed
from tests.conformance.raw import Raw
from tests.conformance.statements import statement

PUBACK_CODES = (0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)  # 3.4.2.1
ACKS = pytest.mark.parametrize(
    "kind", [raw.PUBACK, raw.PUBREC, raw.PUBREL, raw.PUBCOMP], ids=["puback", "pubrec", "pubrel", "pubcomp"]
)


@statement("MQTT-3.4.2-1", "MQTT-4.3.2-4", "MQTT-2.2.1-5", "311:MQTT-4.3.2-2", "311:MQTT-2.3.1-6")
def test_puback_has_the_packet_identifier_and_a_code_of_its_own(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        for packet_id, with_subscriber in ((1, False), (65535, True)):
            if with_subscriber:
                subscriber.subscribe((f"{name}/t", 1))
            publisher.send(raw.publish(version, f"{name}/t", b"x", qos=1, packet_id=packet_id))
            puback = publisher.expect(raw.PUBACK)
            assert packet_id == puback.packet_id
            assert puback.code in ((0x00,) if with_subscriber else (0x00, 0x10))
            assert version == 5 or 2 == len(puback.body)


@statement("MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-2", "MQTT-3.5.2-3", "MQTT-3.1.2-24", "MQTT-3.4.2-1")
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
@pytest.mark.parametrize("maximum, explained", [(40, True), (1000, False)], ids=["small", "not-asked"])
@pytest.mark.versions(5)
def test_a_refusal_says_no_more_than_fits_and_than_was_asked_for(
    target: Target, version: int, name: str, qos: int, maximum: int, explained: bool
) -> None:
    """A publication that a server may refuse: `$SYS` is its own. What it answers is as short as the client wants."""
    properties: list[raw.Property] = [
        (raw.MAXIMUM_PACKET_SIZE, maximum),
        (raw.REQUEST_PROBLEM_INFORMATION, 1 if explained else 0),
    ]
    with opened(target, version, f"{name}-p", properties=properties) as publisher:
        topic = f"$SYS/conformance/{name}"
        publisher.send(raw.publish(version, topic, b"x", qos=qos, packet_id=3))
        answer = publisher.expect(raw.PUBACK if qos == 1 else raw.PUBREC)
        assert answer.code in PUBACK_CODES
        assert 2 + len(answer.body) <= maximum
        if not explained:
            assert [] == answer.properties


@statement("MQTT-4.3.2-5", "311:MQTT-4.3.2-2")
def test_behind_puback_the_packet_identifier_is_free(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 0))
        for number in range(20):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1, packet_id=5)
        assert [b"%d" % number for number in range(20)] == [message(subscriber).payload for _ in range(20)]


@statement("MQTT-4.3.2-1", "MQTT-4.3.3-1", "MQTT-2.2.1-4", "311:MQTT-4.3.2-1", "311:MQTT-4.3.3-1")
@statement("MQTT-4.3.2-2", "MQTT-4.3.3-2", "311:MQTT-2.3.1-4")
def test_each_open_delivery_has_a_packet_identifier_of_its_own(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 2))
        for number in range(16):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1 + number % 2)
        deliveries = [subscriber.expect(raw.PUBLISH) for _ in range(16)]
        assert [b"%d" % number for number in range(16)] == [delivery.payload for delivery in deliveries]
        identifiers = [delivery.packet_id for delivery in deliveries]
        assert 16 == len(set(identifiers))
        assert 0 not in identifiers
        assert not any(delivery.dup for delivery in deliveries)


@statement("MQTT-4.3.2-3", "311:MQTT-4.3.2-1", "311:MQTT-4.1.0-1")
def test_a_delivery_without_puback_is_owed_again_and_with_it_is_not(target: Target, version: int, name: str) -> None:
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 1))
        publisher.publish(f"{name}/t", b"acknowledged", qos=1)
        publisher.publish(f"{name}/t", b"owed", qos=1)
        assert b"acknowledged" == message(subscriber).payload
        assert b"owed" == subscriber.expect(raw.PUBLISH).payload
        subscriber.ping()
    with resumed(target, version, client_id) as subscriber:
        assert b"owed" == message(subscriber).payload
        subscriber.expect_silence()
    with resumed(target, version, client_id) as subscriber:
        subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-4.4.0-2", "MQTT-4.9.0-2")
@pytest.mark.parametrize("code", [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
@pytest.mark.versions(5)
def test_a_puback_with_an_error_ends_the_delivery(target: Target, version: int, name: str, code: int) -> None:
    client_id = f"{name}-s"
    with (
        lasting(target, version, client_id, properties=[(raw.RECEIVE_MAXIMUM, 1)]) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 1))
        publisher.publish(f"{name}/t", b"refused", qos=1)
        publisher.publish(f"{name}/t", b"next", qos=1)
        refused = subscriber.expect(raw.PUBLISH)
        assert b"refused" == refused.payload
        subscriber.send(raw.ack(version, raw.PUBACK, refused.packet_id, code))
        assert b"next" == message(subscriber).payload
        subscriber.ping()
    with resumed(target, version, client_id) as subscriber:
        subscriber.expect_silence()
    ended(target, version, client_id)


@pytest.mark.parametrize(
    "properties", [b"", b"\0", raw.props((raw.REASON_STRING, "a"), (raw.USER_PROPERTY, ("b", "c")))]
)
@pytest.mark.versions(5)
def test_puback_is_understood_in_each_of_its_lengths(
    target: Target, version: int, name: str, properties: bytes
) -> None:
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 1))
        publisher.publish(f"{name}/t", b"x", qos=1)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
        subscriber.send(raw.packet(raw.PUBACK, 0, raw.u16(packet_id), b"\0", properties))
        subscriber.ping()
    with resumed(target, version, client_id) as subscriber:
        subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-4.3.2-3", "311:MQTT-4.3.2-1")
def test_a_puback_for_nothing_does_no_harm(target: Target, version: int, name: str, bystander: Bystander) -> None:
    """One with an identifier that nobody waits for ends no delivery."""
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 1))
        publisher.publish(f"{name}/t", b"x", qos=1)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
        subscriber.send(raw.ack(version, raw.PUBACK, packet_id % 65535 + 1))
        subscriber.send(raw.pingreq())
        still_open = _is_open_after(subscriber)
    with resumed(target, version, client_id) as subscriber:
        again = message(subscriber)
        assert (b"x", packet_id, True) == (again.payload, again.packet_id, again.dup)
        assert still_open or not target.says_why
    ended(target, version, client_id)


def _is_open_after(connection: Raw) -> bool:
    """Whether the next packet is PINGRESP. A server may also take an unknown identifier for a Protocol Error."""
    received = connection.read_or_end()
    return received is not None and received.type == raw.PINGRESP


@statement("MQTT-2.1.3-1", "MQTT-4.13.1-1", "311:MQTT-2.2.2-1", "311:MQTT-2.2.2-2", "MQTT-3.6.1-1", "311:MQTT-3.6.1-1")
@ACKS
@pytest.mark.parametrize("flags", [1, 2, 4, 8, 0])
@pytest.mark.versions(4, 5)
def test_an_acknowledgement_with_other_flags_closes(
    target: Target, version: int, name: str, kind: int, flags: int, bystander: Bystander
) -> None:
    if flags == (2 if kind == raw.PUBREL else 0):
        flags = 15
    with opened(target, version, f"{name}-p") as connection:
        connection.send(raw.packet(kind, flags, raw.u16(1)))
        connection.expect_closed(0x81)


@statement("MQTT-4.13.1-1", "MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.6.2-1", "MQTT-3.7.2-1")
@ACKS
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\1",
        b"\0\1\1",
        b"\0\1\x11",
        b"\0\1\xff",
        b"\0\1\0\1",
        b"\0\1\0\2\x11\0",
        b"\0\1\0\0\0",
        b"\0\1\0\7\x1f\0\5abcd",
    ],
    ids=["nothing", "half", "code-01", "code-11", "code-ff", "cut", "session-expiry", "behind", "reason-cut"],
)
@pytest.mark.versions(5)
def test_an_acknowledgement_that_is_malformed_closes(
    target: Target, version: int, name: str, kind: int, body: bytes, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-p") as connection:
        connection.send(raw.packet(kind, 2 if kind == raw.PUBREL else 0, body))
        connection.expect_closed()


@statement("MQTT-4.13.1-1")
@ACKS
@pytest.mark.versions(5)
def test_an_acknowledgement_with_a_property_twice_closes(
    target: Target, version: int, name: str, kind: int, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-p") as connection:
        twice: list[raw.Property] = [(raw.REASON_STRING, "a"), (raw.REASON_STRING, "a")]
        connection.send(raw.ack(version, kind, 1, 0, twice))
        connection.expect_closed()


@statement("311:MQTT-4.8.0-1")
@ACKS
@pytest.mark.parametrize("body", [b"", b"\1", b"\0\1\0"], ids=["nothing", "half", "behind"])
@pytest.mark.versions(3, 4)
def test_an_old_acknowledgement_of_wrong_length_closes(
    target: Target, version: int, name: str, kind: int, body: bytes, bystander: Bystander
) -> None:
    with opened(target, version, f"{name}-p") as connection:
        connection.send(raw.packet(kind, 2 if kind == raw.PUBREL else 0, body))
        connection.expect_closed()
