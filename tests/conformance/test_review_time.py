"""Goal: what the text measures in seconds ends when they have passed, and not before; method: a will whose
delay has passed is the clock, so that nothing here sleeps.
"""

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.opened import DISCONNECT_WITH_WILL, ended, lasting, message, opened, pass_time
from tests.conformance.raw import Raw, Will
from tests.conformance.statements import statement

KINDS = pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
TAKEN_OVER = 0x8E


def expiring(seconds: int) -> list[raw.Property]:
    """The Session Expiry Interval of a CONNECT."""
    return [(raw.SESSION_EXPIRY_INTERVAL, seconds)]


@statement("MQTT-3.3.2-5", "MQTT-3.3.2-6")
@KINDS
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
@pytest.mark.versions(5)
def test_what_waits_for_the_window_grows_old(
    target: Target, version: int, name: str, qos: int, is_lasting: bool
) -> None:
    """Behind an open message: one that lives for a second is dropped, one that lives longer comes with less to live."""
    one: list[raw.Property] = [(raw.RECEIVE_MAXIMUM, 1)]
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s", properties=one) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 1))
        publisher.publish(f"{name}/t", b"open", qos=qos)
        for payload, lives in ((b"short", 1), (b"long", 100)):
            publisher.publish(f"{name}/t", payload, qos=qos, properties=[(raw.MESSAGE_EXPIRY_INTERVAL, lives)])
        first = subscriber.expect(raw.PUBLISH)
        pass_time(target, name)
        subscriber.send(raw.ack(version, raw.PUBACK, first.packet_id))
        received = message(subscriber)
        left = received.value(raw.MESSAGE_EXPIRY_INTERVAL)
        assert isinstance(left, int)
        assert (b"long", True) == (received.payload, 60 <= left <= 99)
        subscriber.expect_silence()
    ended(target, version, f"{name}-s")


@statement("MQTT-3.3.2-5", "MQTT-3.3.2-6")
@KINDS
@pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
@pytest.mark.versions(5)
def test_a_retained_message_grows_old(target: Target, version: int, name: str, qos: int, is_lasting: bool) -> None:
    with opened(target, version, f"{name}-p") as publisher:
        for level, lives in (("short", 1), ("long", 100)):
            lifetime: list[raw.Property] = [(raw.MESSAGE_EXPIRY_INTERVAL, lives)]
            publisher.publish(f"{name}/{level}", b"x", qos=qos, retain=True, properties=lifetime)
        publisher.publish(f"{name}-behind", b"", qos=1)
        pass_time(target, name)
        with (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber:
            subscriber.subscribe((f"{name}/+", 2))
            received = message(subscriber)
            left = received.value(raw.MESSAGE_EXPIRY_INTERVAL)
            assert isinstance(left, int)
            assert (f"{name}/long", True) == (received.topic, 60 <= left <= 99)
            subscriber.expect_silence()
        publisher.publish(f"{name}/long", b"", qos=1, retain=True)
    ended(target, version, f"{name}-s")


@statement("MQTT-4.1.0-2", "MQTT-3.2.2-3")
@pytest.mark.parametrize("how", ["drops", "disconnects", "shortened"])
@pytest.mark.versions(5)
def test_a_session_ends_when_its_expiry_has_passed(target: Target, version: int, name: str, how: str) -> None:
    with Raw(target) as first:
        first.open(version, name, properties=expiring(600 if how == "shortened" else 1))
        first.subscribe((f"{name}/t", 1))
        if how != "drops":
            first.disconnect(0, expiring(1) if how == "shortened" else [])
    with opened(target, version, f"{name}-p") as publisher, Raw(target) as second:
        publisher.publish(f"{name}/t", b"for nobody", qos=1)
        pass_time(target, name)
        assert not second.open(version, name, clean=False).session_present
        publisher.publish(f"{name}/t", b"for nobody", qos=1)
        second.expect_silence()


@statement("MQTT-4.1.0-1", "MQTT-3.1.2-5")
@pytest.mark.versions(5)
def test_a_session_that_is_resumed_outlives_the_expiry_that_had_begun(target: Target, version: int, name: str) -> None:
    """Two seconds begin when the first connection ends; the second connection stays for three."""
    with Raw(target) as second, opened(target, version, f"{name}-p") as publisher:
        with Raw(target) as first:
            first.open(version, name, properties=expiring(2))
            first.subscribe((f"{name}/t", 1))
            first.disconnect()
        assert second.open(version, name, clean=False, properties=expiring(2)).session_present
        pass_time(target, name, 3)
        publisher.publish(f"{name}/t", b"still mine", qos=1)
        assert b"still mine" == message(second).payload
        second.ping()
    ended(target, version, name)


@statement("MQTT-4.1.0-2", "MQTT-3.1.2-23")
@pytest.mark.parametrize("expiry", [[], expiring(0)], ids=["absent", "zero"])
@pytest.mark.versions(5)
def test_the_expiry_of_the_last_connect_is_the_one_that_counts(
    target: Target, version: int, name: str, expiry: list[raw.Property]
) -> None:
    lasting(target, version, name).close()
    with Raw(target) as second:
        assert second.open(version, name, clean=False, properties=expiry).session_present
    with Raw(target) as third:
        assert not third.open(version, name, clean=False, properties=expiring(600)).session_present
    with Raw(target) as fourth:
        assert fourth.open(version, name, clean=False).session_present
    ended(target, version, name)


@statement("MQTT-3.1.2-8")
@pytest.mark.parametrize("how", ["dropped", "taken over"])
@pytest.mark.versions(5)
def test_clean_start_sends_the_will_that_was_still_delayed(target: Target, version: int, name: str, how: str) -> None:
    """The session ends, so the will waits for nothing any more: once, and not the new connection's."""
    delay: list[raw.Property] = [(raw.WILL_DELAY_INTERVAL, 500)]
    with opened(target, version, f"{name}-w") as witness:
        witness.subscribe((f"{name}/will", 0))
        with Raw(target) as first, Raw(target) as second:
            first.open(version, name, will=Will(f"{name}/will", b"old", properties=delay), properties=expiring(600))
            if how == "dropped":
                first.close()
            second.open(version, name, will=Will(f"{name}/will", b"new", properties=delay))
            assert b"old" == message(witness).payload
            second.disconnect()
        ended(target, version, name)
        witness.expect_silence()


@statement("MQTT-3.1.3-9", "MQTT-3.1.2-10")
@pytest.mark.versions(5)
def test_the_will_of_a_new_connection_does_not_go_at_the_delay_of_the_old_one(
    target: Target, version: int, name: str
) -> None:
    """The delay that had begun ends with the return; the new will belongs to the new connection."""
    old = Will(f"{name}/will", b"old", properties=[(raw.WILL_DELAY_INTERVAL, 2)])
    new = Will(f"{name}/will", b"new", properties=[(raw.WILL_DELAY_INTERVAL, 600)])
    with opened(target, version, f"{name}-w") as witness:
        witness.subscribe((f"{name}/will", 0))
        with Raw(target) as first, Raw(target) as second:
            first.open(version, name, will=old, properties=expiring(600))
            first.disconnect(DISCONNECT_WITH_WILL)
            assert second.open(version, name, clean=False, will=new, properties=expiring(600)).session_present
            pass_time(target, name, 3)
            second.ping()
            witness.expect_silence()
            second.disconnect()
    ended(target, version, name)


@statement("MQTT-3.1.2-8", "MQTT-3.1.4-3", "311:MQTT-3.1.2-8")
@pytest.mark.parametrize("is_delayed", [False, True], ids=["at-once", "delayed"])
def test_a_takeover_of_a_session_that_goes_on_sends_a_will_without_delay(
    target: Target, version: int, name: str, is_delayed: bool
) -> None:
    """The connection it belongs to was closed by the server. One with a delay waits, and ends with the return."""
    if version < 5 and is_delayed:
        pytest.skip("5.0 only")
    delay: list[raw.Property] = [(raw.WILL_DELAY_INTERVAL, 600)] if is_delayed else []
    lives = expiring(600) if version == 5 else []
    ended(target, version, name)
    with opened(target, version, f"{name}-w") as witness, Raw(target) as first, Raw(target) as second:
        witness.subscribe((f"{name}/will", 1))
        will = Will(f"{name}/will", b"old", 1, properties=delay)
        first.open(version, name, clean=False, will=will, properties=lives)
        assert second.open(version, name, clean=False, properties=lives).session_present == (version > 3)
        first.expect_closed(TAKEN_OVER)
        if not is_delayed:
            assert b"old" == message(witness).payload
        second.disconnect()
        ended(target, version, name)
        witness.expect_silence()


@statement("MQTT-4.1.0-1", "311:MQTT-4.1.0-2")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
def test_a_session_lasts_as_long_as_its_connection(target: Target, version: int, name: str, is_lasting: bool) -> None:
    """Its subscription, what it was sent and what it sent are still known when time has passed and others came and went."""
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as both,
        opened(target, version, f"{name}-p") as publisher,
    ):
        both.subscribe((f"{name}/to", 2))
        publisher.subscribe((f"{name}/from", 0))
        publisher.publish(f"{name}/to", b"open", qos=2)
        packet_id = both.expect(raw.PUBLISH).packet_id
        sent = raw.publish(version, f"{name}/from", b"once", qos=2, packet_id=5)
        both.send(sent)
        assert 5 == both.expect(raw.PUBREC).packet_id
        ended(target, version, f"{name}-other")
        pass_time(target, name)
        both.send(sent)
        assert 5 == both.expect(raw.PUBREC).packet_id
        both.send(raw.ack(version, raw.PUBREL, 5))
        assert (5, 0) == ((pubcomp := both.expect(raw.PUBCOMP)).packet_id, pubcomp.code)
        both.send(raw.ack(version, raw.PUBREC, packet_id))
        assert (packet_id, 0) == ((pubrel := both.expect(raw.PUBREL)).packet_id, pubrel.code)
        both.send(raw.ack(version, raw.PUBCOMP, packet_id))
        publisher.send(raw.publish(version, f"{name}/to", b"live"))
        assert b"once" == message(publisher).payload
        publisher.expect_silence()
        assert b"live" == message(both).payload
    ended(target, version, f"{name}-s")
