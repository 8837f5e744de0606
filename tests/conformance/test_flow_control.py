"""Goal: no side has more QoS 1 and 2 messages open than the other's Receive Maximum (4.9), and nothing else waits for it;
method: windows of a few messages, filled and opened by hand.
"""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import ended, lasting, message, opened, resumed
from tests.conformance.raw import Raw
from tests.conformance.statements import statement

KINDS = pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])


def window(size: int) -> list[raw.Property]:
    """The property of a CONNECT that may have this many messages open."""
    return [(raw.RECEIVE_MAXIMUM, size)]


def no_more(connection: Raw) -> None:
    """No PUBLISH comes although some wait, and PINGREQ is answered all the same."""
    connection.expect_silence()


# -- to the client ----------------------------------------------------------------------------------------------------


@statement("MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-4.9.0-3", "MQTT-3.3.4-10")
@KINDS
@pytest.mark.parametrize("size", [1, 2, 7])
@pytest.mark.versions(5)
def test_puback_opens_the_window_one_by_one(
    target: Target, version: int, name: str, size: int, is_lasting: bool
) -> None:
    count = 3 * size + 2
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s", properties=window(size)) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 1))
        for number in range(count):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1)
        open_ids = [subscriber.expect(raw.PUBLISH).packet_id for _ in range(size)]
        no_more(subscriber)
        for number in range(size, count):
            subscriber.send(raw.ack(version, raw.PUBACK, open_ids.pop(0)))
            received = subscriber.expect(raw.PUBLISH)
            assert b"%d" % number == received.payload
            open_ids.append(received.packet_id)
            no_more(subscriber)
    ended(target, version, f"{name}-s")


@statement("MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-4.9.0-3")
@KINDS
@pytest.mark.versions(5)
def test_pubcomp_opens_the_window_and_pubrec_does_not(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s", properties=window(2)) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        for number in range(4):
            publisher.publish(f"{name}/t", b"%d" % number, qos=2)
        first, second = (subscriber.expect(raw.PUBLISH).packet_id for _ in range(2))
        for packet_id in (first, second):
            subscriber.send(raw.ack(version, raw.PUBREC, packet_id))
            assert packet_id == subscriber.expect(raw.PUBREL).packet_id
        no_more(subscriber)
        subscriber.send(raw.ack(version, raw.PUBCOMP, second))
        assert b"2" == subscriber.expect(raw.PUBLISH).payload
        no_more(subscriber)
        subscriber.send(raw.ack(version, raw.PUBCOMP, first))
        assert b"3" == subscriber.expect(raw.PUBLISH).payload
        no_more(subscriber)
    ended(target, version, f"{name}-s")


@statement("MQTT-4.9.0-2", "MQTT-3.3.4-9")
@KINDS
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
@pytest.mark.versions(5)
def test_an_error_opens_the_window(target: Target, version: int, name: str, qos: int, is_lasting: bool) -> None:
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s", properties=window(1)) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", qos))
        for number in range(3):
            publisher.publish(f"{name}/t", b"%d" % number, qos=qos)
        for number in range(3):
            received = subscriber.expect(raw.PUBLISH)
            assert b"%d" % number == received.payload
            no_more(subscriber)
            subscriber.send(raw.ack(version, raw.PUBACK if qos == 1 else raw.PUBREC, received.packet_id, 0x80))
        no_more(subscriber)
    ended(target, version, f"{name}-s")


@statement("MQTT-4.9.0-2", "MQTT-4.3.3-3", "MQTT-4.3.3-5", "MQTT-3.3.4-9")
@KINDS
@pytest.mark.parametrize("step", ["publish", "pubrel"])
@pytest.mark.versions(5)
def test_an_acknowledgement_of_another_kind_opens_no_window(
    target: Target, version: int, name: str, is_lasting: bool, step: str
) -> None:
    """QoS 2 is open: a PUBACK, a PUBCOMP before PUBREC, or any for another identifier, ends nothing."""
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s", properties=window(1)) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        for payload in (b"open", b"next"):
            publisher.publish(f"{name}/t", payload, qos=2)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
        if step == "pubrel":
            subscriber.send(raw.ack(version, raw.PUBREC, packet_id))
            subscriber.expect(raw.PUBREL)
        wrong = [(raw.PUBACK, packet_id), (raw.PUBACK, packet_id + 1), (raw.PUBCOMP, packet_id + 1)]
        if step == "publish":
            wrong.append((raw.PUBCOMP, packet_id))
        for kind, identifier in wrong:
            subscriber.send(raw.ack(version, kind, identifier))
            if target.says_why:
                no_more(subscriber)
                continue
            subscriber.send(raw.pingreq())
            received = subscriber.read_or_end()
            if received is None or received.type == raw.DISCONNECT:
                return
            assert raw.PINGRESP == received.type
        if step == "publish":
            subscriber.send(raw.ack(version, raw.PUBREC, packet_id))
            subscriber.expect(raw.PUBREL)
        subscriber.send(raw.ack(version, raw.PUBCOMP, packet_id))
        assert b"next" == message(subscriber).payload
        no_more(subscriber)
    ended(target, version, f"{name}-s")


@statement("MQTT-3.3.4-10", "MQTT-4.9.0-3", "MQTT-4.9.0-2")
@KINDS
@pytest.mark.versions(5)
def test_everything_but_publish_passes_a_full_window(target: Target, version: int, name: str, is_lasting: bool) -> None:
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s", properties=window(1)) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        publisher.publish(f"{name}/t", b"open", qos=2)
        publisher.publish(f"{name}/t", b"waits", qos=1)
        first = subscriber.expect(raw.PUBLISH).packet_id
        subscriber.subscribe((f"{name}/other", 1), packet_id=2)
        subscriber.publish(f"{name}/nobody", b"x", qos=1, packet_id=3)
        subscriber.publish(f"{name}/nobody", b"x", qos=2, packet_id=4)
        subscriber.send(raw.unsubscribe(version, 5, f"{name}/other"))
        subscriber.expect(raw.UNSUBACK)
        subscriber.send(raw.ack(version, raw.PUBREC, first))
        subscriber.expect(raw.PUBREL)
        no_more(subscriber)
        subscriber.send(raw.ack(version, raw.PUBCOMP, first))
        assert b"waits" == message(subscriber).payload
    ended(target, version, f"{name}-s")


@statement("MQTT-4.9.0-2", "MQTT-3.3.4-9")
@KINDS
@pytest.mark.versions(5)
def test_qos_0_passes_a_full_window_or_waits_for_it(target: Target, version: int, name: str, is_lasting: bool) -> None:
    """4.9: either is allowed, and in neither is it lost to a client that reads."""
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s", properties=window(1)) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 1))
        for qos in (1, 1, 0):
            publisher.publish(f"{name}/t", b"%d" % qos, qos=qos)
        payloads = [message(subscriber).payload for _ in range(3)]
        assert payloads in ([b"1", b"1", b"0"], [b"1", b"0", b"1"])
    ended(target, version, f"{name}-s")


@statement("MQTT-4.9.0-1", "MQTT-4.4.0-1", "MQTT-3.3.4-9")
@pytest.mark.versions(5)
def test_what_is_sent_again_counts(target: Target, version: int, name: str) -> None:
    """Three are open, and the next connection takes only two: the third follows when there is room."""
    client_id = f"{name}-s"
    with (
        lasting(target, version, client_id, properties=window(3)) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 1))
        for number in range(4):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1)
        first_ids = [subscriber.expect(raw.PUBLISH).packet_id for _ in range(3)]
    with resumed(target, version, client_id, properties=window(2)) as subscriber:
        again = [subscriber.expect(raw.PUBLISH) for _ in range(2)]
        no_more(subscriber)
        for expected in (b"2", b"3"):
            subscriber.send(raw.ack(version, raw.PUBACK, again[-2].packet_id))
            again.append(subscriber.expect(raw.PUBLISH))
            assert expected == again[-1].payload
            no_more(subscriber)
        assert first_ids == [received.packet_id for received in again[:3]]
        assert [True, True, True, False] == [received.dup for received in again]
    ended(target, version, client_id)


@statement("MQTT-4.9.0-1", "MQTT-4.3.3-5", "MQTT-3.3.4-9")
@pytest.mark.versions(5)
def test_an_open_pubrel_takes_its_place_in_the_window_of_the_next_connection(
    target: Target, version: int, name: str
) -> None:
    client_id = f"{name}-s"
    with (
        lasting(target, version, client_id, properties=window(1)) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        for number in range(2):
            publisher.publish(f"{name}/t", b"%d" % number, qos=2)
        packet_id = subscriber.expect(raw.PUBLISH).packet_id
        subscriber.send(raw.ack(version, raw.PUBREC, packet_id))
        subscriber.expect(raw.PUBREL)
    with resumed(target, version, client_id, properties=window(1)) as subscriber:
        assert packet_id == subscriber.expect(raw.PUBREL).packet_id
        no_more(subscriber)
        subscriber.send(raw.ack(version, raw.PUBCOMP, packet_id))
        assert b"1" == message(subscriber).payload
    ended(target, version, client_id)


@statement("MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-3.3.1-9")
@KINDS
@pytest.mark.versions(5)
def test_retained_messages_keep_to_the_window(target: Target, version: int, name: str, is_lasting: bool) -> None:
    topics = [f"{name}/{number}" for number in range(10)]
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s", properties=window(3)) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        for topic in topics:
            publisher.publish(topic, b"kept", qos=1, retain=True)
        subscriber.subscribe((f"{name}/+", 1))
        received = [subscriber.expect(raw.PUBLISH) for _ in range(3)]
        no_more(subscriber)
        for number in range(7):
            subscriber.send(raw.ack(version, raw.PUBACK, received[number].packet_id))
            received.append(subscriber.expect(raw.PUBLISH))
            no_more(subscriber)
        assert topics == sorted(each.topic for each in received)
        assert all(each.retain for each in received)
        for topic in topics:
            publisher.publish(topic, b"", qos=1, retain=True)
    ended(target, version, f"{name}-s")


# -- from the client --------------------------------------------------------------------------------------------------


def receive_maximum(connection: Raw, client_id: str) -> int:
    """Open the connection; the Receive Maximum its server tells."""
    value = connection.open(5, client_id).value(raw.RECEIVE_MAXIMUM)
    assert value is None or isinstance(value, int)
    return value or 65535


@statement("MQTT-3.3.4-7", "MQTT-4.9.0-1", "MQTT-4.13.1-1")
@pytest.mark.versions(5)
def test_the_servers_own_window_is_what_it_says(target: Target, version: int, name: str, bystander: Bystander) -> None:
    """As many QoS 2 messages without PUBREL as it allows are answered; the next one closes with 0x93."""
    with Raw(target) as publisher, opened(target, version, f"{name}-s") as subscriber:
        maximum = receive_maximum(publisher, f"{name}-p")
        if maximum > 5000:
            pytest.skip("this broker allows more than a test should send")
        subscriber.subscribe((f"{name}/t", 0))
        for number in range(1, maximum + 1):
            publisher.send(raw.publish(version, f"{name}/t", b"x", qos=2, packet_id=number))
        assert list(range(1, maximum + 1)) == [publisher.expect(raw.PUBREC).packet_id for _ in range(maximum)]
        publisher.send(raw.publish(version, f"{name}/t", b"too many", qos=2, packet_id=maximum + 1))
        publisher.expect_closed(0x93)
        assert {b"x"} == {subscriber.expect(raw.PUBLISH).payload for _ in range(maximum)}
        subscriber.expect_silence()


@statement("MQTT-4.9.0-2", "MQTT-4.9.0-3", "MQTT-3.3.4-7")
@pytest.mark.versions(5)
def test_pubrel_opens_the_servers_window(target: Target, version: int, name: str) -> None:
    with Raw(target) as publisher:
        maximum = receive_maximum(publisher, f"{name}-p")
        if maximum > 5000:
            pytest.skip("this broker allows more than a test should send")
        for number in range(1, 2 * maximum + 1):
            publisher.send(raw.publish(version, f"{name}/t", b"x", qos=2, packet_id=number))
            publisher.expect(raw.PUBREC)
            if number >= maximum:
                publisher.send(raw.ack(version, raw.PUBREL, number - maximum + 1))
                publisher.expect(raw.PUBCOMP)
        publisher.ping()


@statement("MQTT-3.3.4-7")
@pytest.mark.versions(5)
def test_qos_0_and_answered_qos_1_do_not_fill_the_servers_window(target: Target, version: int, name: str) -> None:
    with Raw(target) as publisher:
        maximum = min(receive_maximum(publisher, f"{name}-p"), 300)
        for _ in range(maximum + 1):
            publisher.publish(f"{name}/t", b"x", qos=1)
        publisher.send(raw.publish(version, f"{name}/t", b"x") * (2 * maximum))
        publisher.ping()


@statement("MQTT-4.3.3-10")
@pytest.mark.versions(5)
def test_a_repeated_publish_takes_no_second_place(target: Target, version: int, name: str) -> None:
    with Raw(target) as publisher:
        maximum = min(receive_maximum(publisher, f"{name}-p"), 300)
        for _ in range(maximum + 2):
            publisher.send(raw.publish(version, f"{name}/t", b"x", qos=2, packet_id=1, dup=True))
            assert 1 == publisher.expect(raw.PUBREC).packet_id
        publisher.send(raw.ack(version, raw.PUBREL, 1))
        assert 1 == publisher.expect(raw.PUBCOMP).packet_id


@statement("311:MQTT-4.3.3-2")
@pytest.mark.versions(3, 4)
def test_older_clients_that_were_told_no_window_are_served(target: Target, version: int, name: str) -> None:
    """3.x knows no Receive Maximum: a burst of more than any of them is answered to its end."""
    count = 700
    with opened(target, version, f"{name}-p") as publisher:
        publisher.send(
            b"".join(raw.publish(version, f"{name}/t", b"x", qos=1, packet_id=n) for n in range(1, count + 1))
        )
        assert list(range(1, count + 1)) == [publisher.expect(raw.PUBACK).packet_id for _ in range(count)]
