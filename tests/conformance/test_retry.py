"""Goal: messages are sent again on a new connection, and at no other time (4.1, 4.4); method: connections that end with
messages open, and sessions that begin anew or go on.
"""

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.opened import complete, ended, lasting, message, opened, resumed
from tests.conformance.raw import Raw
from tests.conformance.statements import statement


@statement("MQTT-4.4.0-1")
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
@pytest.mark.versions(5)
def test_nothing_is_sent_again_on_the_same_connection(target: Target, version: int, name: str, qos: int) -> None:
    """Whatever else happens on it: packets, subscriptions, further messages, and a wrong acknowledgement."""
    with lasting(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", qos))
        publisher.publish(f"{name}/t", b"x", qos=qos)
        subscriber.expect(raw.PUBLISH)
        subscriber.subscribe((f"{name}/t", qos), (f"{name}/other", 0), packet_id=2)
        publisher.publish(f"{name}/t", b"y", qos=qos)
        assert b"y" == subscriber.expect(raw.PUBLISH).payload
        for _ in range(3):
            subscriber.expect_silence()
    ended(target, version, f"{name}-s")


@statement("MQTT-4.4.0-1", "MQTT-4.3.3-6", "MQTT-4.6.0-1", "311:MQTT-4.4.0-1", "311:MQTT-4.6.0-1")
def test_publish_and_pubrel_are_sent_again_with_their_identifiers(target: Target, version: int, name: str) -> None:
    """QoS 1 open, QoS 2 open, QoS 2 released: each is what it was."""
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 2))
        for payload, qos in ((b"1", 1), (b"2", 2), (b"released", 2), (b"0", 0)):
            publisher.publish(f"{name}/t", payload, qos=qos)
        first = {received.payload: received for received in (subscriber.expect(raw.PUBLISH) for _ in range(4))}
        subscriber.send(raw.ack(version, raw.PUBREC, first[b"released"].packet_id))
        subscriber.expect(raw.PUBREL)
    for _ in range(2):
        with resumed(target, version, client_id) as subscriber:
            again = [subscriber.read() for _ in range(3)]
            publishes = [received for received in again if received.type == raw.PUBLISH]
            assert [b"1", b"2"] == [received.payload for received in publishes]
            assert [1, 2] == [received.qos for received in publishes]
            assert all(received.dup for received in publishes)
            assert [first[b"1"].packet_id, first[b"2"].packet_id] == [received.packet_id for received in publishes]
            (pubrel,) = [received for received in again if received.type == raw.PUBREL]
            assert first[b"released"].packet_id == pubrel.packet_id
            subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-4.4.0-1", "MQTT-4.1.0-2", "MQTT-3.1.2-4", "311:MQTT-3.1.2-6")
@pytest.mark.parametrize("how", ["clean", "expired"])
def test_a_new_session_is_sent_nothing_of_the_old_one(target: Target, version: int, name: str, how: str) -> None:
    client_id = f"{name}-s"
    first = lasting(target, version, client_id) if how == "clean" else opened(target, version, client_id)
    with first as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"x", qos=2)
        publisher.publish(f"{name}/t", b"x", qos=1)
        for _ in range(2):
            subscriber.expect(raw.PUBLISH)
        subscriber.disconnect()
        publisher.publish(f"{name}/t", b"x", qos=1)
        with Raw(target) as again:
            assert not again.open(version, client_id, clean=how == "clean").session_present
            again.expect_silence()
            publisher.publish(f"{name}/t", b"x", qos=1)
            again.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-4.4.0-1", "MQTT-3.1.4-3", "311:MQTT-4.1.0-1", "311:MQTT-3.1.4-2", "311:MQTT-4.4.0-1")
def test_a_takeover_goes_on_where_the_taken_connection_was(target: Target, version: int, name: str) -> None:
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as first, opened(target, version, f"{name}-p") as publisher:
        first.subscribe((f"{name}/t", 1))
        publisher.publish(f"{name}/t", b"acknowledged", qos=1)
        publisher.publish(f"{name}/t", b"open", qos=1)
        message(first)
        packet_id = first.expect(raw.PUBLISH).packet_id
        first.ping()
        with resumed(target, version, client_id) as second:
            again = message(second)
            assert (b"open", packet_id, True) == (again.payload, again.packet_id, again.dup)
            first.expect_closed(0x8E)
            publisher.publish(f"{name}/t", b"next", qos=1)
            assert b"next" == message(second).payload
    ended(target, version, client_id)


@statement("MQTT-4.5.0-1", "311:MQTT-4.1.0-1", "311:MQTT-4.5.0-1", "311:MQTT-3.1.2-5")
@pytest.mark.parametrize("how", ["disconnects", "drops"])
def test_messages_wait_for_a_session_without_a_connection(target: Target, version: int, name: str, how: str) -> None:
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber:
        subscriber.subscribe((f"{name}/1", 1), (f"{name}/2", 2))
        if how == "disconnects":
            subscriber.disconnect()
    with opened(target, version, f"{name}-p") as publisher:
        for qos in (1, 2):
            for number in range(5):
                publisher.publish(f"{name}/{qos}", b"%d" % number, qos=qos)
    with resumed(target, version, client_id) as subscriber:
        came = [subscriber.expect(raw.PUBLISH) for _ in range(10)]
        for qos in (1, 2):
            mine = [received for received in came if received.topic == f"{name}/{qos}"]
            assert [b"%d" % number for number in range(5)] == [received.payload for received in mine]
            assert not any(received.dup for received in mine) or how == "drops"
            assert {qos} == {received.qos for received in mine}
        for received in came:
            complete(subscriber, received)
        subscriber.ping()
    with resumed(target, version, client_id) as subscriber:
        subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-4.3.3-1", "MQTT-4.4.0-1", "MQTT-2.2.1-4", "311:MQTT-4.3.3-1", "311:MQTT-2.3.1-4")
def test_an_open_identifier_is_not_given_to_a_new_message(target: Target, version: int, name: str) -> None:
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"1", qos=1)
        publisher.publish(f"{name}/t", b"2", qos=2)
        publisher.publish(f"{name}/t", b"3", qos=2)
        one, two, three = (subscriber.expect(raw.PUBLISH).packet_id for _ in range(3))
        subscriber.send(raw.ack(version, raw.PUBREC, three))
        subscriber.expect(raw.PUBREL)
    with resumed(target, version, client_id) as subscriber, opened(target, version, f"{name}-p") as publisher:
        for _ in range(3):
            subscriber.read()
        for number in range(10):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1)
        assert not {one, two, three} & {subscriber.expect(raw.PUBLISH).packet_id for _ in range(10)}
    ended(target, version, client_id)


@statement("MQTT-2.2.1-4", "MQTT-4.3.2-1", "MQTT-4.3.2-5")
@pytest.mark.slow
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
@pytest.mark.versions(5)
def test_identifiers_wrap_around_65535_past_one_that_is_open(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    """66,000 messages in steps of 60, or what the server takes, while the first one stays open: none is lost, none has
    the open identifier."""
    count = 66_000
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber,
        Raw(target) as publisher,
    ):
        step = publisher.open(version, f"{name}-p").value(raw.RECEIVE_MAXIMUM) or 60
        assert isinstance(step, int)
        step = min(step, 60)
        subscriber.subscribe((f"{name}/t", 1))
        publisher.publish(f"{name}/t", b"open", qos=1)
        held = subscriber.expect(raw.PUBLISH).packet_id
        seen: set[int] = set()
        topic = f"{name}/t"
        for begin in range(0, count, step):
            numbers = range(begin, min(begin + step, count))
            publisher.send(
                b"".join(raw.publish(version, topic, b"%d" % n, qos=1, packet_id=n - begin + 1) for n in numbers)
            )
            for number in numbers:
                received = subscriber.expect(raw.PUBLISH)
                assert b"%d" % number == received.payload
                assert held != received.packet_id != 0
                seen.add(received.packet_id)
                # At once: a server may have fewer open than the client allows.
                subscriber.send(raw.ack(version, raw.PUBACK, received.packet_id))
            for _ in numbers:
                publisher.expect(raw.PUBACK)
        assert target.says_why is False or 65534 == len(seen)
    ended(target, version, f"{name}-s")
