"""Goal: a message is the same for every receiver, whatever version and options it and the publisher have; method: one stream
of many kinds of PUBLISH, from each version to a crowd of all versions at once.
"""

from dataclasses import dataclass

import pytest

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.opened import RETAIN_AS_PUBLISHED, complete, ended, lasting, message, opened, resumed, unretain
from tests.conformance.raw import Property, Raw, Received
from tests.conformance.statements import statement

FORWARDED = (
    raw.PAYLOAD_FORMAT_INDICATOR,
    raw.CONTENT_TYPE,
    raw.RESPONSE_TOPIC,
    raw.CORRELATION_DATA,
    raw.USER_PROPERTY,
)


@dataclass
class Sent:
    """One PUBLISH of the stream."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    properties: list[Property]


@dataclass
class Receiver:
    """One subscriber of the crowd, with what it must get."""

    connection: Raw
    qos: int
    retain_as_published: bool
    identifier: int
    alias_maximum: int


def stream(name: str, version: int, count: int) -> list[Sent]:
    """Numbered messages of every QoS, length and property, in an order that repeats none of its neighbours."""
    kinds: list[list[Property]] = [
        [],
        [(raw.CONTENT_TYPE, "text/plain"), (raw.USER_PROPERTY, ("b", "1")), (raw.USER_PROPERTY, ("a", "2"))],
        [(raw.MESSAGE_EXPIRY_INTERVAL, 3600)],
        [(raw.RESPONSE_TOPIC, "answers/here"), (raw.CORRELATION_DATA, b"\0\xff")],
        [(raw.PAYLOAD_FORMAT_INDICATOR, 1), (raw.MESSAGE_EXPIRY_INTERVAL, 60)],
    ]
    return [
        Sent(
            topic=f"{name}/{number * 7 % 4}",
            payload=b"%d " % number + b"x" * (number * 37 % 200 * (300 if number % 11 == 0 else 1)),
            qos=number * 5 % 3,
            retain=number % 6 == 0,
            properties=kinds[number % 5] if version == 5 else [],
        )
        for number in range(count)
    ]


def crowd(target: Target, name: str) -> list[Receiver]:
    """Subscribers of every version and QoS, with sessions that last and that end, with and without aliases."""
    out: list[Receiver] = []
    for version in target.versions:
        for qos in range(3):
            is_lasting = (version + qos) % 2 == 0
            alias_maximum = (0, 2, 10)[qos] if version == 5 else 0
            retain_as_published = version == 5 and qos != 1
            identifier = 10 + qos if version == 5 and qos else 0
            properties: list[Property] = [(raw.TOPIC_ALIAS_MAXIMUM, alias_maximum)] if alias_maximum else []
            connection = (lasting if is_lasting else opened)(
                target, version, f"{name}-{version}-{qos}", properties=properties
            )
            connection.subscribe(
                (f"{name}/+", qos | (RETAIN_AS_PUBLISHED if retain_as_published else 0)),
                properties=[(raw.SUBSCRIPTION_IDENTIFIER, identifier)] if identifier else [],
            )
            out.append(Receiver(connection, qos, retain_as_published, identifier, alias_maximum))
    return out


def check(receiver: Receiver, sent: Sent, received: Received, aliases: dict[raw.Value, str]) -> None:
    """What was received is what was sent, as this receiver asked for it."""
    topic = received.topic
    alias = received.value(raw.TOPIC_ALIAS)
    if alias is not None:
        assert isinstance(alias, int)
        assert 1 <= alias <= receiver.alias_maximum
        topic = topic or aliases[alias]
        aliases[alias] = topic
    assert (sent.topic, sent.payload) == (topic, received.payload)
    assert min(sent.qos, receiver.qos) == received.qos
    assert (sent.retain and receiver.retain_as_published) == received.retain
    assert not received.dup
    if receiver.connection.version < 5:
        return
    for identifier in FORWARDED:
        assert [value for known, value in sent.properties if known == identifier] == received.values(identifier)
    assert ([receiver.identifier] if receiver.identifier else []) == received.values(raw.SUBSCRIPTION_IDENTIFIER)
    expiry = next((value for known, value in sent.properties if known == raw.MESSAGE_EXPIRY_INTERVAL), None)
    left = received.value(raw.MESSAGE_EXPIRY_INTERVAL)
    if expiry is None:
        assert left is None
    else:
        assert isinstance(left, int) and isinstance(expiry, int)
        assert expiry - 15 <= left <= expiry


@statement("MQTT-3.3.2-3", "MQTT-3.3.2-4", "MQTT-3.3.2-17", "MQTT-3.3.1-12", "MQTT-3.3.1-13", "MQTT-3.8.4-8")
@statement("MQTT-3.3.2-11", "MQTT-3.3.4-3", "MQTT-4.6.0-5", "311:MQTT-3.3.2-3", "311:MQTT-3.8.4-6", "311:MQTT-3.3.1-9")
def test_every_kind_of_message_reaches_every_kind_of_receiver(target: Target, version: int, name: str) -> None:
    messages = stream(name, version, 60)
    receivers = crowd(target, name)
    with opened(target, version, f"{name}-p") as publisher:
        for number, sent in enumerate(messages):
            # Every third goes by an alias, which the publisher sets anew each time.
            alias: list[Property] = [(raw.TOPIC_ALIAS, 1 + number % 2)] if version == 5 and number % 3 == 0 else []
            publisher.publish(
                sent.topic, sent.payload, qos=sent.qos, retain=sent.retain, properties=[*sent.properties, *alias]
            )
        for receiver in receivers:
            aliases: dict[raw.Value, str] = {}
            left = {qos: [sent for sent in messages if sent.qos == qos] for qos in range(3)}
            count = 0
            while count < len(messages):
                received = receiver.connection.read()
                if received.type == raw.PUBREL:
                    receiver.connection.send(raw.ack(receiver.connection.version, raw.PUBCOMP, received.packet_id))
                    continue
                assert raw.PUBLISH == received.type
                number = int(received.payload.split(b" ")[0])
                sent = left[messages[number].qos].pop(0)  # of each QoS the messages come in their order
                check(receiver, sent, received, aliases)
                count += 1
                if received.qos:
                    kind = raw.PUBACK if received.qos == 1 else raw.PUBREC
                    receiver.connection.send(raw.ack(receiver.connection.version, kind, received.packet_id))
            receiver.connection.close()
    for receiver in receivers:
        ended(target, receiver.connection.version, f"{name}-{receiver.connection.version}-{receiver.qos}")
    unretain(target, *{sent.topic for sent in messages if sent.retain})


@statement("MQTT-3.3.2-7", "MQTT-4.4.0-1")
@pytest.mark.parametrize("maximum", [0, 5])
@pytest.mark.versions(5)
def test_what_is_sent_again_has_no_alias_of_the_connection_before(
    target: Target, version: int, name: str, maximum: int
) -> None:
    client_id = f"{name}-s"
    allowed: list[Property] = [(raw.TOPIC_ALIAS_MAXIMUM, 5)]
    with (
        lasting(target, version, client_id, properties=allowed) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/t", 1))
        for number in range(4):
            publisher.publish(f"{name}/t", b"%d" % number, qos=1)
        for _ in range(4):
            subscriber.expect(raw.PUBLISH)
    now: list[Property] = [(raw.TOPIC_ALIAS_MAXIMUM, maximum)] if maximum else []
    with resumed(target, version, client_id, properties=now) as subscriber:
        known: dict[raw.Value, str] = {}
        for number in range(4):
            received = message(subscriber)
            alias = received.value(raw.TOPIC_ALIAS)
            if alias is not None and received.topic:
                known[alias] = received.topic
            topic = known[alias] if alias is not None else received.topic
            assert (f"{name}/t", b"%d" % number) == (topic, received.payload)
            assert alias is None or maximum
    ended(target, version, client_id)


@statement("MQTT-3.3.2-7", "MQTT-3.1.2-24", "MQTT-3.1.2-25")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
@pytest.mark.parametrize("qos", [0, 1, 2], ids=["qos0", "qos1", "qos2"])
@pytest.mark.versions(5)
def test_an_alias_is_not_set_by_a_message_that_was_left_out(
    target: Target, version: int, name: str, qos: int, is_lasting: bool
) -> None:
    """The first of a topic is too large for the client; the next ones come under a name it can know."""
    options: list[Property] = [(raw.TOPIC_ALIAS_MAXIMUM, 3), (raw.MAXIMUM_PACKET_SIZE, 400)]
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-s", properties=options) as subscriber,
        opened(target, version, f"{name}-p") as publisher,
    ):
        subscriber.subscribe((f"{name}/#", qos))
        known: dict[raw.Value, str] = {}
        for letter in "ab":
            for size in (1000, 5, 1000, 6):
                publisher.publish(f"{name}/{letter}", bytes(size), qos=qos)
                if size > 400:
                    continue
                received = subscriber.expect(raw.PUBLISH)
                alias = received.value(raw.TOPIC_ALIAS)
                if alias is not None and received.topic:
                    known[alias] = received.topic
                topic = received.topic or known[alias or 0]
                assert (f"{name}/{letter}", size) == (topic, len(received.payload))
                complete(subscriber, received)
        subscriber.expect_silence()
    ended(target, version, f"{name}-s")
