"""Goal: what users of brokers lost, got twice or got in the wrong order, they get here once and in order; method: the
stories they told, over real sockets, with the broker killed where it crashed in theirs."""

import pytest

from tests.conformance import raw
from tests.conformance.broker_process import BrokerProcess
from tests.conformance.conftest import Target
from tests.conformance.opened import ended, finish, lasting, message, opened, resumed
from tests.conformance.raw import Raw

STATEFUL = pytest.mark.versions(4, 5)


def target_of(broker: BrokerProcess) -> Target:
    """A broker that the test may kill."""
    return Target("127.0.0.1", broker.ports["tcp"], says_why=True)


def crash(broker: BrokerProcess) -> None:
    """The process dies without a word, and is started again on its data."""
    broker.kill()
    broker.start()


def publish_all(publisher: Raw, topic: str, payloads: list[bytes], qos: int) -> None:
    """Publish one behind the other, and see each of them through."""
    for payload in payloads:
        publisher.publish(topic, payload, qos=qos)


@STATEFUL
def test_backlog_is_delivered_from_its_beginning_however_often_the_broker_dies(
    own_broker: BrokerProcess, version: int
) -> None:
    """A durable client got the last seconds of its backlog only: the position moved over what was never acknowledged."""
    target = target_of(own_broker)
    with lasting(target, version, "reader") as reader:
        reader.subscribe(("t", 1))
    with opened(target, version, "writer") as writer:
        publish_all(writer, "t", [b"%d" % number for number in range(300)], 1)
    done = 0
    for read, acknowledged in ((50, 20), (100, 0), (30, 30)):
        with resumed(target, version, "reader") as reader:
            for number in range(read):
                received = reader.expect(raw.PUBLISH)
                assert (b"%d" % (done + number), 1) == (received.payload, received.qos)
                if number < acknowledged:
                    reader.send(raw.ack(version, raw.PUBACK, received.packet_id))
            if acknowledged:
                reader.send(raw.subscribe(version, 9, ("other", 0)))
                while reader.read().type != raw.SUBACK:
                    pass  # the acknowledgements before it are in the log now
        done += acknowledged
        crash(own_broker)
    with resumed(target, version, "reader") as reader:
        assert [b"%d" % number for number in range(done, 300)] == [message(reader).payload for _ in range(done, 300)]
        reader.ping()


@pytest.mark.slow
@STATEFUL
def test_queue_of_more_than_65535_messages_is_delivered_whole(target: Target, version: int, name: str) -> None:
    """Packet Identifiers were compared as if they were positions: after the wrap messages were skipped."""
    if not target.says_why:
        pytest.skip("another broker may hold fewer for a client that is away")
    count, window = 66_000, 500
    topic = f"{name}/t"
    properties = [(raw.RECEIVE_MAXIMUM, window)] if version == 5 else []
    with lasting(target, version, name) as reader:
        reader.subscribe((topic, 1))
    with opened(target, version, f"{name}-w") as writer:
        for begin in range(0, count, 200):
            step = range(begin, begin + 200)
            writer.send(b"".join(raw.publish(version, topic, b"%d" % n, qos=1, packet_id=n - begin + 1) for n in step))
            for _ in step:
                writer.expect(raw.PUBACK)
    identifiers: set[int] = set()
    with resumed(target, version, name, properties=properties) as reader:
        for begin in range(0, count, 200):
            acks: list[bytes] = []
            for number in range(begin, begin + 200):
                received = reader.expect(raw.PUBLISH)
                assert b"%d" % number == received.payload
                assert 0 < received.packet_id
                identifiers.add(received.packet_id)
                acks.append(raw.ack(version, raw.PUBACK, received.packet_id))
            reader.send(b"".join(acks))
        reader.ping()
    assert count > len(identifiers)  # it went around
    ended(target, version, name)


@STATEFUL
def test_qos_2_message_sent_again_after_its_session_was_lost_is_published(
    target: Target, version: int, name: str
) -> None:
    """The DUP flag alone made a broker think that it knew the message; nobody ever got it.

    Whether the one without PUBREL was delivered is the server's choice. 4.3.3
    """
    with opened(target, version, f"{name}-r") as reader:
        reader.subscribe((f"{name}/t", 1))
        with lasting(target, version, name) as writer:
            writer.send(raw.publish(version, f"{name}/t", b"x", qos=2, packet_id=7))
            writer.expect(raw.PUBREC)
        with opened(target, version, name) as writer:
            writer.send(raw.publish(version, f"{name}/t", b"again", qos=2, dup=True, packet_id=7))
            finish(writer)
        received = message(reader)
        if received.payload == b"x":
            received = message(reader)
        assert (b"again", False) == (received.payload, received.dup)
        reader.ping()


@STATEFUL
def test_qos_2_goes_on_where_it_was_when_the_broker_dies_at_any_step(own_broker: BrokerProcess, version: int) -> None:
    """PUBREL was not sent again, PUBLISH came without DUP, a PUBREL sent again got 0x92."""
    target = target_of(own_broker)
    with lasting(target, version, "reader") as reader, lasting(target, version, "writer") as writer:
        reader.subscribe(("t", 2))
        writer.send(raw.publish(version, "t", b"x", qos=2, packet_id=7))
        writer.expect(raw.PUBREC)
        reader.expect(raw.PUBLISH)
    crash(own_broker)
    with resumed(target, version, "reader") as reader, resumed(target, version, "writer") as writer:
        again = reader.expect(raw.PUBLISH)
        assert (b"x", 2, True) == (again.payload, again.qos, again.dup)
        writer.send(raw.publish(version, "t", b"x", qos=2, dup=True, packet_id=7))
        assert (7, 0) == (writer.expect(raw.PUBREC).packet_id, 0)
        reader.send(raw.ack(version, raw.PUBREC, again.packet_id))
        assert again.packet_id == reader.expect(raw.PUBREL).packet_id
    crash(own_broker)
    with resumed(target, version, "reader") as reader, resumed(target, version, "writer") as writer:
        pubrel = reader.expect(raw.PUBREL)
        assert (again.packet_id, 0) == (pubrel.packet_id, pubrel.code)
        writer.send(raw.ack(version, raw.PUBREL, 7))
        pubcomp = writer.expect(raw.PUBCOMP)
        assert (7, 0) == (pubcomp.packet_id, pubcomp.code)
        reader.send(raw.ack(version, raw.PUBCOMP, again.packet_id))
        reader.publish("other", b"", qos=1)  # behind it the PUBCOMP is in the log
    crash(own_broker)
    with resumed(target, version, "reader") as reader, resumed(target, version, "writer") as writer:
        writer.send(raw.publish(version, "t", b"next", qos=2, packet_id=7))
        finish(writer)
        received = message(reader)
        assert (b"next", False) == (received.payload, received.dup)
        reader.ping()


@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
def test_99_rapid_qos_2_messages_all_arrive_once_and_in_order(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    """Of 99 messages sent without a pause 45 vanished, though each was acknowledged."""
    payloads = [b"%d" % number for number in range(99)]
    with (lasting if is_lasting else opened)(target, version, f"{name}-r") as reader:
        reader.subscribe((f"{name}/t", 2))
        with Raw(target) as writer:
            at_once = writer.open(version, f"{name}-w").value(raw.RECEIVE_MAXIMUM) or len(payloads)
            assert isinstance(at_once, int)
            for begin in range(1, len(payloads) + 1, at_once):
                numbers = range(begin, min(begin + at_once, len(payloads) + 1))
                writer.send(
                    b"".join(raw.publish(version, f"{name}/t", payloads[n - 1], qos=2, packet_id=n) for n in numbers)
                )
                assert list(numbers) == [writer.expect(raw.PUBREC).packet_id for _ in numbers]
                writer.send(b"".join(raw.ack(version, raw.PUBREL, n) for n in numbers))
                assert list(numbers) == [writer.expect(raw.PUBCOMP).packet_id for _ in numbers]
        came: list[bytes] = []
        open_ids: set[int] = set()
        while len(came) < len(payloads) or open_ids:
            received = reader.read()
            if received.type == raw.PUBLISH:
                came.append(received.payload)
                open_ids.add(received.packet_id)
                reader.send(raw.ack(version, raw.PUBREC, received.packet_id))
            else:
                assert raw.PUBREL == received.type
                open_ids.remove(received.packet_id)
                reader.send(raw.ack(version, raw.PUBCOMP, received.packet_id))
        assert payloads == came
        reader.ping()
    if is_lasting:
        ended(target, version, f"{name}-r")


@STATEFUL
def test_what_was_delivered_from_the_queue_is_not_delivered_again_after_a_crash(
    own_broker: BrokerProcess, version: int
) -> None:
    """The progress of deliveries was not saved: a restart delivered QoS 2 messages a second time."""
    target = target_of(own_broker)
    with lasting(target, version, "reader") as reader:
        reader.subscribe(("t", 2))
    with opened(target, version, "writer") as writer:
        publish_all(writer, "t", [b"%d" % number for number in range(20)], 2)
    properties = [(raw.RECEIVE_MAXIMUM, 1)] if version == 5 else []
    with resumed(target, version, "reader", properties=properties) as reader:
        came = [reader.expect(raw.PUBLISH) for _ in range(1 if version == 5 else 20)]
        for number in range(10):
            received = came[number]
            reader.send(raw.ack(version, raw.PUBREC, received.packet_id))
            assert received.packet_id == reader.expect(raw.PUBREL).packet_id
            reader.send(raw.ack(version, raw.PUBCOMP, received.packet_id))
            if version == 5:
                came.append(reader.expect(raw.PUBLISH))
        reader.send(raw.unsubscribe(version, 9, "other"))
        reader.expect(raw.UNSUBACK)
    crash(own_broker)
    with resumed(target, version, "reader", properties=[(raw.RECEIVE_MAXIMUM, 1)] if version == 5 else []) as reader:
        rest = [b"%d" % number for number in range(10, 20)]
        if version == 5:
            assert rest == [message(reader).payload for _ in rest]
        else:
            assert rest == [reader.expect(raw.PUBLISH).payload for _ in rest]
        reader.ping()


def test_message_published_right_behind_a_suback_arrives(target: Target, version: int, name: str) -> None:
    """SUBACK came before the subscription was effective."""
    with opened(target, version, f"{name}-w") as writer, opened(target, version, f"{name}-r") as reader:
        for number in range(100):
            topic_filter = f"{name}/{number}/" + ("+" if number % 2 else "x")
            reader.subscribe((topic_filter, number % 3), packet_id=number + 1)
            writer.publish(f"{name}/{number}/x", b"%d" % number, qos=number % 3)
            received = message(reader)
            assert (b"%d" % number, number % 3) == (received.payload, received.qos)
