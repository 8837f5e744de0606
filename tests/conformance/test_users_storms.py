"""Goal: much at once is done to its end, and nobody else waits for it; method: the storms that users of brokers told of, in
small, with another client that is served meanwhile. Their figures at full size are printed by `tests.bench.storm`."""

import time
from collections.abc import Callable

import pytest

from tests.conformance import raw
from tests.conformance.broker_process import BrokerProcess
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import ended, lasting, message, opened, resumed
from tests.conformance.raw import Received

STATEFUL = pytest.mark.versions(4, 5)
RETAINED = 4_000
WAIT_S = 2.0  # for an answer that has nothing to do with the storm


def retain(target: Target, prefix: str, count: int) -> None:
    """Retained messages below `prefix`, or none any more with a negative count."""
    with opened(target, 4, "") as writer:
        for begin in range(0, abs(count), 200):
            step = range(begin, min(abs(count), begin + 200))
            writer.send(
                b"".join(
                    raw.publish(
                        4, f"{prefix}/{n:05d}", b"%d" % n if count > 0 else b"", qos=1, retain=True, packet_id=n + 1
                    )
                    for n in step
                )
            )
            for _ in step:
                writer.expect(raw.PUBACK)


def filters(prefix: str, count: int) -> list[str]:
    return [f"{prefix}/{number}/+/x/#" for number in range(count)]


@pytest.mark.versions(5)
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
def test_retained_storm_keeps_to_the_receive_maximum_and_is_complete(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    """A wildcard subscription hung for seconds, or got a part of what was retained without a word."""
    window = 10
    retain(target, name, RETAINED)
    with (
        (lasting if is_lasting else opened)(
            target, version, f"{name}-r", properties=[(raw.RECEIVE_MAXIMUM, window)]
        ) as reader,
        opened(target, version, f"{name}-o") as other,
    ):
        other.subscribe((f"{name}-o", 1))
        reader.subscribe((f"{name}/+", 1))
        unacknowledged: list[Received] = []
        seen: list[str] = []
        while len(seen) < RETAINED:
            received = reader.expect(raw.PUBLISH)
            assert (True, 1, False) == (received.retain, received.qos, received.dup)
            unacknowledged.append(received)
            seen.append(received.topic)
            if len(unacknowledged) == window and len(seen) % 500 == 0:
                reader.ping()  # nothing more comes with a full window, and the connection is not stuck
                began = time.monotonic()
                other.send(raw.publish(version, f"{name}-o", b"x", qos=1, packet_id=1))
                assert {raw.PUBACK, raw.PUBLISH} == {other.read().type, other.read().type}
                assert WAIT_S > time.monotonic() - began
                other.send(raw.ack(version, raw.PUBACK, len(seen) // 500))
            if len(unacknowledged) == window:
                for each in unacknowledged:
                    reader.send(raw.ack(version, raw.PUBACK, each.packet_id))
                unacknowledged.clear()
        assert [f"{name}/{number:05d}" for number in range(RETAINED)] == sorted(seen)
        reader.ping()
        reader.disconnect()
    retain(target, name, -RETAINED)
    if is_lasting:
        ended(target, version, f"{name}-r")


@STATEFUL
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
def test_a_retained_message_never_comes_behind_a_newer_live_one(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    """The older retained message of a topic came behind the newer live one, and clients went back to it."""
    count = 300
    retain(target, name, count)
    properties = [(raw.RECEIVE_MAXIMUM, 5)] if version == 5 else []
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-r", properties=properties) as reader,
        opened(target, version, f"{name}-w") as writer,
    ):
        reader.send(raw.subscribe(version, 1, (f"{name}/+", 1)))
        for number in range(count - 1, -1, -1):
            packet_id = 1 + number % 200
            topic = f"{name}/{number:05d}"
            writer.send(raw.publish(version, topic, b"newer", qos=1, retain=True, packet_id=packet_id))
            writer.expect(raw.PUBACK)
        newest: dict[str, bytes] = {}
        while len(newest) < count or set(newest.values()) != {b"newer"}:
            received = reader.read()
            if received.type == raw.SUBACK:
                continue
            reader.send(raw.ack(version, raw.PUBACK, received.packet_id))
            assert b"newer" != newest.get(received.topic), f"behind the newer one: {received}"
            newest[received.topic] = received.payload
        reader.ping()
        reader.disconnect()
    retain(target, name, -count)
    if is_lasting:
        ended(target, version, f"{name}-r")


@STATEFUL
def test_retained_messages_survive_a_crash(own_broker: BrokerProcess, version: int) -> None:
    target = Target("127.0.0.1", own_broker.ports["tcp"], says_why=True)
    retain(target, "kept", 50)
    with opened(target, 4, "") as writer:
        writer.publish("kept/00007", b"", qos=1, retain=True)
    own_broker.kill()
    own_broker.start()
    with opened(target, version, "reader") as reader:
        reader.subscribe(("kept/#", 1))
        came = sorted(message(reader).payload for _ in range(49))
        assert sorted(b"%d" % number for number in range(50) if number != 7) == came
        reader.ping()


@pytest.mark.parametrize("how", ["unsubscribe", "disconnect", "cut"])
def test_thousands_of_wildcard_subscriptions_go_at_once_and_nobody_waits(
    target: Target, version: int, name: str, bystander: Bystander, how: str
) -> None:
    """The clean-up of wildcard subscriptions stopped a cluster for twenty minutes."""
    count = 3_000
    with opened(target, version, f"{name}-o") as other:
        clients = [opened(target, version, f"{name}-{number}") for number in range(3)]
        for number, client in enumerate(clients):
            client.send(raw.subscribe(version, 1, *[(each, 1) for each in filters(f"{name}/{number}", count)]))
            assert [1] * count == client.expect(raw.SUBACK).codes
        for number, client in enumerate(clients):
            if how == "unsubscribe":
                client.send(raw.unsubscribe(version, 2, *filters(f"{name}/{number}", count)))
            elif how == "disconnect":
                client.send(raw.disconnect(version))
            else:
                client.close()
        for number in range(20):
            began = time.monotonic()
            other.subscribe((f"{name}-o/{number}/+", 1))
            other.send(raw.publish(version, f"{name}-o/{number}/x", b"x", qos=1, packet_id=1))
            came = [other.read(), other.read()]
            assert {raw.PUBACK, raw.PUBLISH} == {received.type for received in came}
            [delivered] = [received for received in came if received.type == raw.PUBLISH]
            other.send(raw.ack(version, raw.PUBACK, delivered.packet_id))
            assert WAIT_S > time.monotonic() - began
        if how == "unsubscribe":
            for number, client in enumerate(clients):
                assert ([0] * count if version == 5 else []) == client.expect(raw.UNSUBACK).codes
                other.publish(f"{name}/{number}/7/y/x/z", b"for nobody", qos=1)
                client.ping()
                client.disconnect()


@STATEFUL
def test_queue_of_an_absent_client_has_a_limit_and_keeps_its_beginning(
    configured: Callable[..., Target], version: int, name: str
) -> None:
    """Queues of clients that never came back filled the memory, though a limit was set."""
    target = configured("mqtt.queue_messages_max=100")
    with lasting(target, version, name) as reader:
        reader.subscribe((f"{name}/t", 1))
    with opened(target, version, f"{name}-w") as writer:
        for number in range(150):
            writer.publish(f"{name}/t", b"%d" % number, qos=1)
    with resumed(target, version, name) as reader:
        assert [b"%d" % number for number in range(100)] == [message(reader).payload for _ in range(100)]
        reader.ping()
        with opened(target, version, f"{name}-w") as writer:
            writer.publish(f"{name}/t", b"room again", qos=1)
        assert b"room again" == message(reader).payload
        reader.disconnect()
    ended(target, version, name)
