"""Connections as most tests need them: open, with a session that ends or lasts, and able to see a message through."""

from collections.abc import Sequence

from tests.conformance import raw
from tests.conformance.conftest import Target
from tests.conformance.raw import Property, Raw, Received, Will

LASTING_S = 600  # Session Expiry Interval of a session that outlives its connection
NO_LOCAL, RETAIN_AS_PUBLISHED = 0x04, 0x08  # 3.8.3.1 Subscription Options
RETAIN_IF_NEW, RETAIN_NEVER = 0x10, 0x20
DISCONNECT_WITH_WILL = 0x04  # 3.14.2.1


def opened(
    target: raw.Address,
    version: int,
    client_id: str,
    *,
    properties: Sequence[Property] = (),
    will: Will | None = None,
    keep_alive: int = 60,
) -> Raw:
    """A connection whose session begins and ends with it."""
    connection = Raw(target, version)
    connection.open(version, client_id, properties=properties, will=will, keep_alive=keep_alive)
    return connection


def lasting(target: raw.Address, version: int, client_id: str, *, properties: Sequence[Property] = ()) -> Raw:
    """A connection with an empty session that outlives it."""
    if version < 5:
        with opened(target, version, client_id) as wiped:
            wiped.disconnect()
    connection = Raw(target, version)
    expiry = [(raw.SESSION_EXPIRY_INTERVAL, LASTING_S)] if version == 5 else []
    connack = connection.open(version, client_id, clean=version == 5, properties=[*expiry, *properties])
    assert not connack.session_present
    return connection


def resumed(target: raw.Address, version: int, client_id: str, *, properties: Sequence[Property] = ()) -> Raw:
    """A connection that goes on with the session of an earlier one."""
    connection = Raw(target, version)
    expiry = [(raw.SESSION_EXPIRY_INTERVAL, LASTING_S)] if version == 5 else []
    connack = connection.open(version, client_id, clean=False, properties=[*expiry, *properties])
    assert connack.session_present == (version >= 4), "a session was expected"
    return connection


def ended(target: raw.Address, version: int, client_id: str) -> None:
    """Take the session away again, so that a later run begins as this one did."""
    with opened(target, version, client_id) as connection:
        connection.disconnect()


def message(connection: Raw) -> Received:
    """The next packet, which must be a PUBLISH, with its QoS exchange seen through."""
    received = connection.expect(raw.PUBLISH)
    complete(connection, received)
    return received


def complete(connection: Raw, received: Received) -> None:
    """Acknowledge a PUBLISH to its end. Nothing else may be under way to this connection when the QoS is 2."""
    if received.qos == 1:
        connection.send(raw.ack(connection.version, raw.PUBACK, received.packet_id))
    elif received.qos == 2:
        connection.send(raw.ack(connection.version, raw.PUBREC, received.packet_id))
        assert received.packet_id == connection.expect(raw.PUBREL).packet_id
        connection.send(raw.ack(connection.version, raw.PUBCOMP, received.packet_id))


def finish(publisher: Raw) -> Received:
    """See a PUBLISH that was sent through to its end; the PUBACK or PUBREC. 4.3.3: at QoS 2 a server may wait with the
    message until PUBREL."""
    answer = publisher.read()
    if answer.type == raw.PUBREC:
        publisher.send(raw.ack(publisher.version, raw.PUBREL, answer.packet_id))
        assert answer.packet_id == publisher.expect(raw.PUBCOMP).packet_id
    else:
        assert raw.PUBACK == answer.type
    return answer


def unknown_codes(target: Target, version: int) -> tuple[int, ...]:
    """The codes that say that no exchange has this identifier. 3.6.2.1 and 3.7.2.1 give 0x92 and do not insist on it."""
    if version < 5:
        return (0,)
    return (0x92,) if target.says_why else (0x92, 0)


def pass_time(target: raw.Address, name: str, seconds: int = 2) -> None:
    """So many seconds at least have passed for the broker: a will with this delay has come. Only where 5.0 is spoken."""
    will = Will(f"{name}-clock", b"", properties=[(raw.WILL_DELAY_INTERVAL, seconds)])
    expiry: list[Property] = [(raw.SESSION_EXPIRY_INTERVAL, LASTING_S)]
    with opened(target, 5, f"{name}-watch") as watch:
        watch.subscribe((f"{name}-clock", 0))
        with opened(target, 5, f"{name}-clock", properties=expiry, will=will) as clock:
            clock.disconnect(DISCONNECT_WITH_WILL)
        watch.expect(raw.PUBLISH)
    ended(target, 5, f"{name}-clock")


def unretain(target: raw.Address, *topics: str) -> None:
    """Remove retained messages, so that a later run begins as this one did."""
    with opened(target, 4, "") as connection:
        for topic in topics:
            connection.publish(topic, b"", qos=1, retain=True)
