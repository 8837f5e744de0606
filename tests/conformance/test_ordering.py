"""Goal: messages and acknowledgements come in the order the text asks for (4.6); method: numbered messages, and what
comes back for them.
"""

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.opened import complete, ended, lasting, message, opened, resumed
from tests.conformance.raw import Raw, Received
from tests.conformance.statements import statement

KINDS = pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])


def publications(version: int, topic: str, qos: int, numbers: range) -> bytes:
    """One PUBLISH for each number, whose payload and Packet Identifier it is."""
    return b"".join(raw.publish(version, topic, b"%d" % n, qos=qos, packet_id=n) for n in numbers)


def maybe_refused(target: Target, name: str) -> str:
    """A name that Quantum refuses a message to; other brokers may close for it."""
    return f"$SYS/{name}" if target.says_why else f"{name}/other"


@statement("MQTT-4.6.0-2", "MQTT-4.3.2-4", "311:MQTT-4.6.0-2")
@KINDS
def test_puback_comes_in_the_order_of_publish(target: Target, version: int, name: str, is_lasting: bool) -> None:
    """One of them goes to a name that may be refused: its answer keeps its place."""
    with (lasting if is_lasting else opened)(target, version, f"{name}-p") as publisher:
        for first in range(1, 101, 10):
            numbers = range(first, first + 9)
            refused = raw.publish(version, maybe_refused(target, name), b"x", qos=1, packet_id=first + 9)
            publisher.send(refused + publications(version, f"{name}/t", 1, numbers))
            assert [first + 9, *numbers] == [publisher.expect(raw.PUBACK).packet_id for _ in range(10)]
    ended(target, version, f"{name}-p")


@statement("MQTT-4.6.0-3", "MQTT-4.3.3-8", "311:MQTT-4.6.0-3")
@KINDS
def test_pubrec_comes_in_the_order_of_publish(target: Target, version: int, name: str, is_lasting: bool) -> None:
    with (lasting if is_lasting else opened)(target, version, f"{name}-p") as publisher:
        for first in range(1, 101, 10):
            numbers = range(first, first + 9)
            refused = raw.publish(version, maybe_refused(target, name), b"x", qos=2, packet_id=first + 9)
            publisher.send(refused + publications(version, f"{name}/t", 2, numbers))
            assert [first + 9, *numbers] == [publisher.expect(raw.PUBREC).packet_id for _ in range(10)]
            publisher.send(b"".join(raw.ack(version, raw.PUBREL, n) for n in numbers))
            assert list(numbers) == [publisher.expect(raw.PUBCOMP).packet_id for _ in numbers]
    ended(target, version, f"{name}-p")


@statement("MQTT-4.6.0-4", "MQTT-4.3.3-4", "311:MQTT-4.6.0-4")
@KINDS
def test_pubrel_comes_in_the_order_of_pubrec(target: Target, version: int, name: str, is_lasting: bool) -> None:
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        for number in range(10):
            publisher.publish(f"{name}/t", b"%d" % number, qos=2)
        packet_ids = [subscriber.expect(raw.PUBLISH).packet_id for _ in range(10)]
        shuffled = packet_ids[::-2] + packet_ids[::2]
        subscriber.send(b"".join(raw.ack(version, raw.PUBREC, packet_id) for packet_id in shuffled))
        assert shuffled == [subscriber.expect(raw.PUBREL).packet_id for _ in shuffled]
        if not is_lasting:
            return
    with resumed(target, version, f"{name}-s") as subscriber:
        assert shuffled == [subscriber.expect(raw.PUBREL).packet_id for _ in shuffled]
    ended(target, version, f"{name}-s")


@statement("MQTT-4.6.0-1", "MQTT-4.4.0-1", "311:MQTT-4.6.0-1", "311:MQTT-4.4.0-1")
@pytest.mark.parametrize("qos", [1, 2], ids=["qos1", "qos2"])
def test_what_is_sent_again_comes_in_its_first_order(target: Target, version: int, name: str, qos: int) -> None:
    """Some of them acknowledged out of order, and more behind them that were never sent."""
    client_id = f"{name}-s"
    with opened(target, version, f"{name}-p") as publisher:
        with lasting(target, version, client_id) as subscriber:
            subscriber.subscribe((f"{name}/t", qos))
            for number in range(10):
                publisher.publish(f"{name}/t", b"%d" % number, qos=qos)
            first = [subscriber.expect(raw.PUBLISH) for _ in range(10)]
            for number in (7, 3, 0):
                complete(subscriber, first[number])
            subscriber.disconnect()
        for number in range(10, 15):
            publisher.publish(f"{name}/t", b"%d" % number, qos=qos)
    with resumed(target, version, client_id) as subscriber:
        again = [subscriber.expect(raw.PUBLISH) for _ in range(12)]
        expected = [number for number in range(15) if number not in (7, 3, 0)]
        assert [b"%d" % number for number in expected] == [received.payload for received in again]
        assert [first[number].packet_id for number in expected[:7]] == [received.packet_id for received in again[:7]]
        assert [True] * 7 + [False] * 5 == [received.dup for received in again]
        subscriber.expect_silence()
    ended(target, version, client_id)


@statement("MQTT-4.6.0-5", "MQTT-4.6.0-6", "311:MQTT-4.6.0-5", "311:MQTT-4.6.0-6")
@KINDS
@pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
def test_messages_of_one_topic_come_in_the_order_they_were_sent(
    target: Target, version: int, name: str, qos: int, is_lasting: bool
) -> None:
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-o") as other,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/#", 2))
        other.subscribe((f"{name}/t", 2))
        if qos < 2:
            publisher.send(publications(version, f"{name}/t", qos, range(1, 19)))
        else:
            for number in range(1, 19):
                publisher.publish(f"{name}/t", b"%d" % number, qos=2)
        for client in (subscriber, other):
            came = [client.expect(raw.PUBLISH) for _ in range(18)]
            assert [b"%d" % number for number in range(1, 19)] == [received.payload for received in came]
    ended(target, version, f"{name}-s")


@statement("MQTT-4.6.0-5", "MQTT-4.6.0-6", "311:MQTT-4.6.0-5")
@KINDS
def test_each_qos_keeps_its_own_order_in_a_mixed_stream(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s") as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 2))
        for number in range(1, 19):
            qos, retain = number % 3, number % 4 == 0
            publisher.publish(f"{name}/t", b"%d" % number, qos=qos, retain=retain, packet_id=number)
        by_qos: dict[int, list[int]] = {0: [], 1: [], 2: []}
        for _ in range(18):
            received = subscriber.expect(raw.PUBLISH)
            by_qos[received.qos].append(int(received.payload))
        assert {qos: [n for n in range(1, 19) if n % 3 == qos] for qos in range(3)} == by_qos
    with opened(target, 4, "") as cleaner:
        cleaner.publish(f"{name}/t", b"", qos=1, retain=True)
    ended(target, version, f"{name}-s")


@statement("MQTT-4.6.0-5", "MQTT-4.5.0-1", "311:MQTT-4.6.0-5", "311:MQTT-4.5.0-1")
def test_what_waited_comes_before_what_is_published_now(target: Target, version: int, name: str) -> None:
    """A subscriber comes back in the middle of a stream."""
    client_id = f"{name}-s"
    with lasting(target, version, client_id) as subscriber:
        subscriber.subscribe((f"{name}/t", 1))
        subscriber.disconnect()
    with opened(target, version, f"{name}-p") as publisher:
        for number in range(20):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1)
        with resumed(target, version, client_id) as subscriber:
            for number in range(20, 40):
                publisher.publish(f"{name}/t", b"%d" % number, qos=1)
            assert [b"%d" % number for number in range(40)] == [message(subscriber).payload for _ in range(40)]
    ended(target, version, client_id)


@statement("MQTT-4.6.0-5", "MQTT-4.5.0-1", "311:MQTT-4.6.0-5", "311:MQTT-4.5.0-1")
def test_several_publishers_each_keep_their_order(target: Target, version: int, name: str) -> None:
    publishers = [opened(target, version, f"{name}-{number}") for number in range(4)]
    with opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 1))
        for number in range(1, 16):
            for which, publisher in enumerate(publishers):
                publisher.send(raw.publish(version, f"{name}/t", b"%d %d" % (which, number), qos=1, packet_id=number))
        seen: list[list[int]] = [[], [], [], []]
        for _ in range(60):
            sender, number_sent = message(subscriber).payload.split()
            seen[int(sender)].append(int(number_sent))
        assert [list(range(1, 16))] * 4 == seen
    for publisher in publishers:
        publisher.close()


@statement("MQTT-3.3.4-1", "MQTT-4.6.0-5", "311:MQTT-3.3.4-1")
def test_a_client_hears_its_own_messages_in_order(target: Target, version: int, name: str) -> None:
    with opened(target, version, name) as client:
        client.subscribe((f"{name}/t", 1))
        client.send(publications(version, f"{name}/t", 1, range(1, 11)))
        came = [client.read() for _ in range(20)]
        assert list(range(1, 11)) == _of(came, raw.PUBACK)
        assert list(range(1, 11)) == [int(received.payload) for received in came if received.type == raw.PUBLISH]


def _of(came: list[Received], kind: int) -> list[int]:
    return [received.packet_id for received in came if received.type == kind]


@statement("MQTT-4.6.0-5")
@pytest.mark.versions(5)
def test_aliases_expiry_and_properties_do_not_disturb_the_order(target: Target, version: int, name: str) -> None:
    """Each kind of QoS 0 PUBLISH goes another way through a broker; their order is still one."""
    kinds: list[list[raw.Property]] = [
        [],
        [(raw.TOPIC_ALIAS, 1)],
        [(raw.MESSAGE_EXPIRY_INTERVAL, 100)],
        [(raw.USER_PROPERTY, ("a", "b"))],
        [(raw.PAYLOAD_FORMAT_INDICATOR, 1)],
    ]
    with opened(target, version, f"{name}-s") as subscriber, opened(target, version, f"{name}-p") as publisher:
        subscriber.subscribe((f"{name}/t", 0))
        publisher.send(
            b"".join(
                raw.publish(version, f"{name}/t", b"%d" % n, retain=n % 7 == 0, properties=kinds[n % 5])
                for n in range(100)
            )
        )
        assert [b"%d" % n for n in range(100)] == [subscriber.expect(raw.PUBLISH).payload for _ in range(100)]
        publisher.publish(f"{name}/t", b"", qos=1, retain=True)


@statement("MQTT-4.6.0-2", "MQTT-4.3.2-4", "MQTT-3.2.0-1", "311:MQTT-4.6.0-2", "311:MQTT-3.2.0-1")
@KINDS
def test_much_right_behind_connect_is_answered_whole_and_in_order(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    """3.1.4: a client may send on without waiting for CONNACK; here 400 kB, in messages for itself as well."""
    ended(target, version, name)
    count = 20
    expiry: list[raw.Property] = [(raw.SESSION_EXPIRY_INTERVAL, 600)] if version == 5 and is_lasting else []
    with Raw(target, version) as client:
        client.send(
            raw.connect(version, name, clean=not is_lasting or version == 5, properties=expiry)
            + raw.subscribe(version, 99, (f"{name}/t", 0))
            + b"".join(
                raw.publish(version, f"{name}/t", b"%05d" % n + bytes(20_000), qos=1, packet_id=n)
                for n in range(1, count + 1)
            )
        )
        assert 0 == client.expect(raw.CONNACK).code
        came = [client.read() for _ in range(2 * count + 1)]
        assert list(range(1, count + 1)) == _of(came, raw.PUBACK)
        assert [99] == _of(came, raw.SUBACK)
        payloads = [int(received.payload[:5]) for received in came if received.type == raw.PUBLISH]
        assert list(range(1, count + 1)) == payloads
        client.expect_silence()
    ended(target, version, name)


@statement("MQTT-4.3.2-4", "MQTT-4.6.0-2", "311:MQTT-4.6.0-2")
def test_packets_cut_anywhere_are_read_in_order(target: Target, version: int, name: str) -> None:
    """4.2: the transport is a stream; where its pieces end means nothing."""
    with opened(target, version, f"{name}-p") as publisher:
        _send_in_pieces(publisher, publications(version, f"{name}/t", 1, range(1, 4)) + raw.pingreq())
        came = [publisher.read() for _ in range(4)]
        assert [1, 2, 3] == _of(came, raw.PUBACK)
        assert 1 == len(_of(came, raw.PINGRESP))


def _send_in_pieces(connection: Raw, data: bytes) -> None:
    for at in range(len(data)):
        connection.send(data[at : at + 1])
