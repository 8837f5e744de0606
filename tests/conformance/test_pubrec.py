"""Goal: PUBREC, PUBREL, PUBCOMP (3.5 to 3.7) and QoS 2 in both directions (4.3.3); method: the exchange cut at each step
by a new connection, with every step repeated.
"""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import ended, finish, lasting, message, opened, resumed, unknown_codes
from tests.conformance.statements import statement

# -- from the client --------------------------------------------------------------------------------------------------


@statement("MQTT-4.3.3-8", "MQTT-4.3.3-10", "MQTT-3.5.2-1", "311:MQTT-4.3.3-2")
def test_a_repeated_publish_is_answered_and_not_delivered_again(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 2))
        for dup in (False, True, True):
            publisher.send(raw.publish(version, f"{name}/t", b"once", qos=2, dup=dup, packet_id=300))
            pubrec = publisher.expect(raw.PUBREC)
            assert (300, 0) == (pubrec.packet_id, pubrec.code)
        publisher.send(raw.ack(version, raw.PUBREL, 300))
        pubcomp = publisher.expect(raw.PUBCOMP)
        assert (300, 0) == (pubcomp.packet_id, pubcomp.code)
        assert b"once" == message(subscriber).payload
        subscriber.expect_silence()


@statement("MQTT-4.3.3-10", "MQTT-4.3.3-11", "311:MQTT-4.3.3-2", "311:MQTT-4.1.0-1")
@pytest.mark.parametrize("cut", ["before-pubrel", "before-pubcomp"])
def test_a_publish_repeated_on_a_new_connection_is_delivered_once(
    target: Target, version: int, name: str, cut: str
) -> None:
    """The subscriber's copy comes once whether the connection was lost before or behind PUBREL."""
    client_id = f"{name}-p"
    with opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 2))
        with lasting(target, version, client_id) as publisher:
            publisher.send(raw.publish(version, f"{name}/t", b"once", qos=2, packet_id=8))
            publisher.expect(raw.PUBREC)
            if cut == "before-pubcomp":
                publisher.send(raw.ack(version, raw.PUBREL, 8))
                publisher.expect(raw.PUBCOMP)
        with resumed(target, version, client_id) as publisher:
            if cut == "before-pubrel":
                publisher.send(raw.publish(version, f"{name}/t", b"once", qos=2, dup=True, packet_id=8))
                publisher.expect(raw.PUBREC)
            publisher.send(raw.ack(version, raw.PUBREL, 8))
            pubcomp = publisher.expect(raw.PUBCOMP)
            assert 8 == pubcomp.packet_id
            assert pubcomp.code == 0 or (cut == "before-pubcomp" and pubcomp.code in unknown_codes(target, version))
        assert b"once" == message(subscriber).payload
        subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-4.1.0-2", "MQTT-3.1.2-4", "311:MQTT-4.3.3-2", "311:MQTT-3.1.2-6")
def test_a_publish_repeated_behind_a_lost_session_is_new(target: Target, version: int, name: str) -> None:
    """The DUP flag is no memory: the session that knew the Packet Identifier has ended, so the message is published.

    Whether the one without PUBREL was is the server's choice. 4.3.3
    """
    with opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 0))
        with opened(target, version, f"{name}-p") as publisher:
            publisher.send(raw.publish(version, f"{name}/t", b"first", qos=2, packet_id=8))
            publisher.expect(raw.PUBREC)
        with opened(target, version, f"{name}-p") as publisher:
            publisher.send(raw.publish(version, f"{name}/t", b"second", qos=2, dup=True, packet_id=8))
            finish(publisher)
        received = message(subscriber)
        if received.payload == b"first":
            received = message(subscriber)
        assert b"second" == received.payload
        subscriber.expect_silence()


@statement("MQTT-4.3.3-12", "311:MQTT-4.3.3-2")
def test_behind_pubcomp_the_packet_identifier_is_free(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 0))
        for number in range(10):
            publisher.publish(f"{name}/t", b"%d" % number, qos=2, packet_id=65535)
        assert [b"%d" % number for number in range(10)] == [message(subscriber).payload for _ in range(10)]


@statement("MQTT-4.3.3-11", "MQTT-3.7.2-1", "311:MQTT-4.3.3-2")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
def test_a_pubrel_for_nothing_is_answered(target: Target, version: int, name: str, is_lasting: bool) -> None:
    """3.7.2.1: 0x92 is no error during recovery, and the connection goes on."""
    with (lasting if is_lasting else opened)(target, version, f"{name}-p") as publisher:
        publisher.send(raw.ack(version, raw.PUBREL, 77))
        pubcomp = publisher.expect(raw.PUBCOMP)
        assert 77 == pubcomp.packet_id
        assert pubcomp.code in unknown_codes(target, version)
        publisher.publish(f"{name}/t", b"x", qos=2, packet_id=77)
        publisher.expect_silence()
    ended(target, version, f"{name}-p")


@statement("MQTT-4.3.3-9", "MQTT-3.5.2-1")
@pytest.mark.versions(5)
def test_behind_a_pubrec_with_an_error_the_packet_identifier_is_free(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 0))
        publisher.send(raw.publish(version, f"$SYS/{name}", b"x", qos=2, packet_id=4))
        answer = publisher.read_or_end()
        if answer is None or answer.type != raw.PUBREC or answer.code < 0x80:
            pytest.skip("this broker does not refuse one publication to $SYS")
        publisher.publish(f"{name}/t", b"new", qos=2, packet_id=4)
        assert b"new" == message(subscriber).payload


@statement("MQTT-4.3.3-13", "MQTT-4.3.3-8")
@pytest.mark.versions(5)
def test_a_message_that_lives_for_no_time_is_still_acknowledged_to_the_end(
    target: Target, version: int, name: str
) -> None:
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(f"{name}/t", b"x", qos=2, properties=[(raw.MESSAGE_EXPIRY_INTERVAL, 0)])
        publisher.publish(f"{name}/t", b"x", qos=1, properties=[(raw.MESSAGE_EXPIRY_INTERVAL, 0)])


@statement("MQTT-4.3.3-8", "MQTT-4.6.0-3", "311:MQTT-4.3.3-2", "311:MQTT-4.6.0-3")
def test_99_rapid_messages_all_arrive_once(target: Target, version: int, name: str) -> None:
    count = 99
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 2))
        allowed = 20 if version == 5 else count  # what every broker of 5.0 takes at once
        payloads: list[bytes] = []
        for begin in range(0, count, allowed):
            numbers = range(begin + 1, min(begin + allowed, count) + 1)
            publisher.send(b"".join(raw.publish(version, f"{name}/t", b"%d" % n, qos=2, packet_id=n) for n in numbers))
            assert list(numbers) == [publisher.expect(raw.PUBREC).packet_id for _ in numbers]
            publisher.send(b"".join(raw.ack(version, raw.PUBREL, n) for n in numbers))
            assert list(numbers) == [publisher.expect(raw.PUBCOMP).packet_id for _ in numbers]
        while len(payloads) < count:
            received = subscriber.read()
            if received.type == raw.PUBLISH:
                payloads.append(received.payload)
                subscriber.send(raw.ack(version, raw.PUBREC, received.packet_id))
            else:
                assert raw.PUBREL == received.type
                subscriber.send(raw.ack(version, raw.PUBCOMP, received.packet_id))
        assert [b"%d" % number for number in range(1, count + 1)] == payloads


# -- to the client ----------------------------------------------------------------------------------------------------


@statement("MQTT-4.3.3-4", "MQTT-3.6.1-1", "MQTT-3.6.2-1", "MQTT-2.2.1-5", "311:MQTT-4.3.3-1", "311:MQTT-3.6.1-1")
def test_pubrec_is_answered_with_pubrel_each_time(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"x", qos=2)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
        for _ in range(3):
            subscriber.send(raw.ack(version, raw.PUBREC, packet_id))
            pubrel = subscriber.expect(raw.PUBREL)
            assert (2, packet_id, 0) == (pubrel.flags, pubrel.packet_id, pubrel.code)
        subscriber.send(raw.ack(version, raw.PUBCOMP, packet_id))
        subscriber.expect_silence()


@statement("MQTT-4.3.3-3", "MQTT-4.4.0-1", "MQTT-3.3.1-1", "311:MQTT-4.3.3-1", "311:MQTT-4.4.0-1")
def test_until_pubrec_the_publish_is_sent_on_each_new_connection(target: Target, version: int, name: str) -> None:
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"x", qos=2)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
    for _ in range(2):
        with resumed(target, version, client_id) as subscriber:
            again = subscriber.expect(raw.PUBLISH)
            assert (b"x", packet_id, 2, True) == (again.payload, again.packet_id, again.qos, again.dup)
            subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-4.3.3-5", "MQTT-4.3.3-6", "MQTT-4.4.0-1", "311:MQTT-4.3.3-1", "311:MQTT-4.4.0-1")
def test_behind_pubrec_only_pubrel_is_sent_on_each_new_connection(target: Target, version: int, name: str) -> None:
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"x", qos=2)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
        subscriber.send(raw.ack(version, raw.PUBREC, packet_id))
        subscriber.expect(raw.PUBREL)
    for _ in range(2):
        with resumed(target, version, client_id) as subscriber:
            pubrel = subscriber.expect(raw.PUBREL)
            assert (packet_id, 0) == (pubrel.packet_id, pubrel.code)
            subscriber.expect_silence()
    with resumed(target, version, client_id) as subscriber:
        subscriber.expect(raw.PUBREL)
        subscriber.send(raw.ack(version, raw.PUBCOMP, packet_id))
        subscriber.expect_silence()
    with resumed(target, version, client_id) as subscriber:
        subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-4.3.3-4", "MQTT-3.6.2-1")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
def test_a_pubrec_for_nothing_can_be_ended(
    target: Target, version: int, name: str, is_lasting: bool, bystander: Bystander
) -> None:
    """A receiver that remembers what the server forgot gets its PUBREL, so that both can go on."""
    with (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber:
        subscriber.send(raw.ack(version, raw.PUBREC, 55))
        pubrel = subscriber.expect(raw.PUBREL)
        assert 55 == pubrel.packet_id
        assert pubrel.code in unknown_codes(target, version)
        subscriber.send(raw.ack(version, raw.PUBCOMP, 55, 0x92 if version == 5 else 0))
        subscriber.expect_silence()
    ended(target, version, f"{name}-s")


@statement("MQTT-4.3.3-4", "MQTT-4.4.0-2", "MQTT-4.9.0-2")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
@pytest.mark.parametrize("code", [0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99])
@pytest.mark.versions(5)
def test_a_pubrec_with_an_error_ends_the_delivery(
    target: Target, version: int, name: str, code: int, is_lasting: bool
) -> None:
    client_id = f"{name}-s"
    one: list[raw.Property] = [(raw.RECEIVE_MAXIMUM, 1)]
    with (
        (lasting if is_lasting else opened)(target, version, client_id, properties=one) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"refused", qos=2)
        publisher.publish(f"{name}/t", b"next", qos=2)
        refused = subscriber.expect(raw.PUBLISH)
        assert b"refused" == refused.payload
        subscriber.send(raw.ack(version, raw.PUBREC, refused.packet_id, code))
        assert b"next" == message(subscriber).payload
        subscriber.expect_silence()
    if is_lasting:
        with resumed(target, version, client_id) as subscriber:
            subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-4.3.3-4")
@pytest.mark.versions(5)
def test_a_pubrec_with_a_reason_below_80_goes_on(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-p") as publisher, opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"x", qos=2)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
        explained: list[raw.Property] = [(raw.REASON_STRING, "nobody here"), (raw.USER_PROPERTY, ("a", "b"))]
        subscriber.send(raw.ack(version, raw.PUBREC, packet_id, 0x10, explained))
        assert (packet_id, 0) == ((pubrel := subscriber.expect(raw.PUBREL)).packet_id, pubrel.code)
        subscriber.send(raw.ack(version, raw.PUBCOMP, packet_id, 0x00, explained))
        subscriber.expect_silence()


@statement("MQTT-4.3.3-7", "MQTT-4.3.3-13")
@pytest.mark.slow
@pytest.mark.versions(5)
def test_a_delivery_that_began_is_not_expired(target: Target, version: int, name: str) -> None:
    """The PUBLISH was sent; behind its Expiry Interval, as a retained message shows, the exchange still goes on."""
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 2))
        lives: list[raw.Property] = [(raw.MESSAGE_EXPIRY_INTERVAL, 1)]
        publisher.publish(f"{name}/t", b"begun", qos=2, properties=lives)
        publisher.publish(f"{name}/kept", b"kept", qos=1, retain=True, properties=lives)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
    with opened(target, version, f"{name}-clock") as clock:
        is_alive = True
        while is_alive:
            clock.subscribe((f"{name}/kept", 0))
            clock.send(raw.pingreq())
            is_alive = clock.read().type == raw.PUBLISH
            if is_alive:
                clock.expect(raw.PINGRESP)
    with resumed(target, version, client_id) as subscriber:
        again = message(subscriber)
        assert (b"begun", packet_id) == (again.payload, again.packet_id)
    ended(target, version, client_id)


@statement("MQTT-4.3.3-5", "311:MQTT-4.3.3-1")
@pytest.mark.parametrize("kind", [raw.PUBACK, raw.PUBCOMP], ids=["puback", "pubcomp"])
def test_an_acknowledgement_of_another_kind_ends_no_qos_2_delivery(
    target: Target, version: int, name: str, kind: int, bystander: Bystander
) -> None:
    """A PUBACK, or a PUBCOMP before PUBREC: the server may close, but the message is still owed."""
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"x", qos=2)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
        subscriber.send(raw.ack(version, kind, packet_id))
    with resumed(target, version, client_id) as subscriber:
        again = message(subscriber)
        assert (b"x", packet_id) == (again.payload, again.packet_id)
    ended(target, version, client_id)
