"""Goal: DISCONNECT (3.14) ends what it says, keeps the will it says, and is told where 5.0 has it; method: each Reason
Code by hand, with a witness subscribed to the will.
"""

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import LASTING_S, ended, lasting, message, opened, resumed
from tests.conformance.raw import Raw, Will
from tests.conformance.statements import statement

# 3.14.2.1: what a client may say.
FROM_CLIENT = (0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99)


# -- what a DISCONNECT must look like ---------------------------------------------------------------------------------


@statement("MQTT-3.14.1-1", "MQTT-2.1.3-1", "MQTT-3.1.2-8", "311:MQTT-3.14.1-1", "311:MQTT-2.2.2-2")
@pytest.mark.parametrize("flags", [1, 2, 4, 8, 15])
@pytest.mark.versions(4, 5)
def test_other_flags_close_as_an_error(
    target: Target, version: int, name: str, flags: int, bystander: Bystander
) -> None:
    """The will shows that the connection did not end normally."""
    will = Will(f"{name}/will", b"will", qos=1)
    with opened(target, version, f"{name}-w") as witness, opened(target, version, name, will=will) as connection:
        witness.subscribe((f"{name}/will", 0))
        connection.send(bytes((0xE0 | flags, 0)))
        connection.expect_closed(0x81)
        assert b"will" == message(witness).payload


@statement("MQTT-3.14.2-1", "MQTT-4.13.1-1", "MQTT-3.1.2-8")
@pytest.mark.parametrize("body", [b"\x01", b"\x18", b"\x92", b"\xff", b"\0\1", b"\0\0\0", b"\0\5\x11\0", b"\0\2\x23\1"])
@pytest.mark.versions(5)
def test_a_malformed_disconnect_closes_as_an_error(
    target: Target, version: int, name: str, body: bytes, bystander: Bystander
) -> None:
    will = Will(f"{name}/will", b"will", qos=1)
    with opened(target, version, f"{name}-w") as witness, opened(target, version, name, will=will) as connection:
        witness.subscribe((f"{name}/will", 0))
        connection.send(raw.packet(raw.DISCONNECT, 0, body))
        connection.expect_closed()
        assert b"will" == message(witness).payload


@statement("311:MQTT-4.8.0-1")
@pytest.mark.versions(3, 4)
def test_a_disconnect_with_a_body_is_none_before_5(
    target: Target, version: int, name: str, bystander: Bystander
) -> None:
    with opened(target, version, name) as connection:
        connection.send(raw.packet(raw.DISCONNECT, 0, b"\0"))
        connection.expect_closed()


@statement("MQTT-3.14.2-1", "MQTT-3.14.4-3")
@pytest.mark.parametrize(
    "body",
    [b"", b"\0", b"\0\0", b"\0" + raw.props((raw.REASON_STRING, "tired"), (raw.USER_PROPERTY, ("a", "b")))],
    ids=["empty", "code", "no-properties", "reason"],
)
@pytest.mark.versions(5)
def test_each_length_of_a_disconnect_is_understood(target: Target, version: int, name: str, body: bytes) -> None:
    will = Will(f"{name}/will", b"will", qos=1)
    with opened(target, version, f"{name}-w") as witness:
        witness.subscribe((f"{name}/will", 0))
        with opened(target, version, name, will=will) as connection:
            connection.send(raw.packet(raw.DISCONNECT, 0, body))
            connection.expect_end()
        with opened(target, version, name) as connection:
            connection.disconnect()
        witness.expect_silence()


@statement("MQTT-4.13.1-1", "MQTT-3.1.2-8")
@pytest.mark.parametrize("which", [raw.REASON_STRING, raw.SESSION_EXPIRY_INTERVAL], ids=["reason", "expiry"])
@pytest.mark.versions(5)
def test_a_property_twice_in_disconnect_is_an_error(
    target: Target, version: int, name: str, which: int, bystander: Bystander
) -> None:
    will = Will(f"{name}/will", b"will", qos=1)
    once: raw.Property = (which, "tired" if which == raw.REASON_STRING else 0)
    with opened(target, version, f"{name}-w") as witness, opened(target, version, name, will=will) as connection:
        witness.subscribe((f"{name}/will", 0))
        connection.send(raw.disconnect(version, 0, [once, once]))
        connection.expect_closed()
        assert b"will" == message(witness).payload


# -- the will ---------------------------------------------------------------------------------------------------------


@statement("MQTT-3.14.4-3", "MQTT-3.1.2-8", "MQTT-3.1.2-10", "311:MQTT-3.14.4-3", "311:MQTT-3.1.2-10")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
def test_a_normal_disconnect_discards_the_will(target: Target, version: int, name: str, is_lasting: bool) -> None:
    will = Will(f"{name}/will", b"will", qos=1)
    with opened(target, version, f"{name}-w") as witness:
        witness.subscribe((f"{name}/will", 0))
        with Raw(target) as connection:
            expiry = [(raw.SESSION_EXPIRY_INTERVAL, LASTING_S)] if version == 5 and is_lasting else []
            connection.open(version, f"{name}-c", clean=not is_lasting or version == 5, will=will, properties=expiry)
            connection.disconnect()
        ended(target, version, f"{name}-c")
        witness.expect_silence()


@statement("MQTT-3.14.4-3", "MQTT-3.1.2-8", "MQTT-3.14.2-1")
@pytest.mark.parametrize("code", FROM_CLIENT[1:], ids=hex)
@pytest.mark.versions(5)
def test_any_other_reason_lets_the_will_go(target: Target, version: int, name: str, code: int) -> None:
    will = Will(f"{name}/will", b"will", qos=1)
    with opened(target, version, f"{name}-w") as witness:
        witness.subscribe((f"{name}/will", 2))
        with opened(target, version, f"{name}-c", will=will) as connection:
            connection.disconnect(code)
        received = message(witness)
        assert (b"will", 1) == (received.payload, received.qos)
        witness.expect_silence()


@statement("MQTT-3.1.2-8")
@pytest.mark.versions(5)
def test_the_end_of_the_session_does_not_wait_for_the_will_delay(target: Target, version: int, name: str) -> None:
    """A delay of 600 s, and a session that ends with its connection: the will goes at once."""
    will = Will(f"{name}/will", b"will", qos=1, properties=[(raw.WILL_DELAY_INTERVAL, 600)])
    with opened(target, version, f"{name}-w") as witness:
        witness.subscribe((f"{name}/will", 0))
        with opened(target, version, f"{name}-c", will=will) as connection:
            connection.disconnect(0x04)
        assert b"will" == message(witness).payload


# -- the session ------------------------------------------------------------------------------------------------------


@statement("MQTT-4.1.0-2", "MQTT-3.1.2-23")
@pytest.mark.versions(5)
def test_expiry_0_on_disconnect_ends_the_session(target: Target, version: int, name: str) -> None:
    """And with it the will of 0x04, which waits for nothing any more."""
    will = Will(f"{name}/will", b"will", qos=1, properties=[(raw.WILL_DELAY_INTERVAL, 500)])
    with opened(target, version, f"{name}-w") as witness:
        witness.subscribe((f"{name}/will", 0))
        with Raw(target) as connection:
            expiry: list[raw.Property] = [(raw.SESSION_EXPIRY_INTERVAL, LASTING_S)]
            connection.open(version, f"{name}-c", will=will, properties=expiry)
            connection.disconnect(0x04, [(raw.SESSION_EXPIRY_INTERVAL, 0)])
        assert b"will" == message(witness).payload
    with Raw(target) as connection:
        assert not connection.open(version, f"{name}-c", clean=False).session_present


@statement("MQTT-3.1.2-23")
@pytest.mark.parametrize("expiry", [None, 1000, 0xFFFFFFFF])
@pytest.mark.versions(5)
def test_another_expiry_on_disconnect_keeps_the_session(
    target: Target, version: int, name: str, expiry: int | None
) -> None:
    client_id = f"{name}-c"
    with lasting(target, version, client_id) as connection:
        connection.subscribe((f"{name}/t", 1))
        connection.disconnect(0, [] if expiry is None else [(raw.SESSION_EXPIRY_INTERVAL, expiry)])
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(f"{name}/t", b"x", qos=1)
    with resumed(target, version, client_id) as connection:
        assert b"x" == message(connection).payload
    ended(target, version, client_id)


@statement("MQTT-4.13.1-1")
@pytest.mark.parametrize("expiry", [1, 0xFFFFFFFF])
@pytest.mark.versions(5)
def test_a_session_of_expiry_0_cannot_be_made_to_last(
    target: Target, version: int, name: str, expiry: int, bystander: Bystander
) -> None:
    """3.14.2.2.2: a Protocol Error, so that the will goes."""
    will = Will(f"{name}/will", b"will", qos=1)
    with opened(target, version, f"{name}-w") as witness:
        witness.subscribe((f"{name}/will", 0))
        with opened(target, version, f"{name}-c", will=will) as connection:
            connection.send(raw.disconnect(version, 0, [(raw.SESSION_EXPIRY_INTERVAL, expiry)]))
            connection.expect_closed(0x82)
        assert b"will" == message(witness).payload
    with Raw(target) as connection:
        assert not connection.open(version, f"{name}-c", clean=False).session_present


# -- behind it --------------------------------------------------------------------------------------------------------


@statement("MQTT-3.14.4-2", "311:MQTT-3.14.4-1", "311:MQTT-3.14.4-2")
def test_nothing_behind_a_disconnect_is_looked_at(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 0))
        with opened(target, version, f"{name}-c") as connection:
            connection.send(
                raw.publish(version, f"{name}/t", b"before")
                + raw.disconnect(version)
                + raw.publish(version, f"{name}/t", b"behind")
            )
            connection.expect_end()
        ended(target, version, f"{name}-c")
        assert b"before" == message(subscriber).payload
        subscriber.expect_silence()


@statement("MQTT-4.3.2-4", "MQTT-4.5.0-1", "311:MQTT-4.3.2-2", "311:MQTT-4.5.0-1")
def test_what_was_published_before_a_disconnect_is_delivered(target: Target, version: int, name: str) -> None:
    """A client that leaves right behind its last message, as most that are woken up to publish do."""
    with opened(target, version, f"{name}-s") as subscriber:
        subscriber.subscribe((f"{name}/t", 0))
        for qos in (0, 1):
            with opened(target, version, f"{name}-c") as connection:
                publication = raw.publish(version, f"{name}/t", b"%d" % qos, qos=qos, packet_id=1)
                connection.send(publication + raw.disconnect(version))
                assert b"%d" % qos == message(subscriber).payload
        subscriber.expect_silence()


@statement("MQTT-3.14.4-1", "MQTT-4.3.2-4", "MQTT-3.14.4-3", "311:MQTT-4.3.2-2", "311:MQTT-3.14.4-3")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
def test_a_whole_life_in_one_piece_is_lived(target: Target, version: int, name: str, is_lasting: bool) -> None:
    """3.1.4: a client need not wait for CONNACK. Its messages count, its will does not, its subscription is as it says."""
    client_id, will = f"{name}-c", Will(f"{name}/will", b"will", qos=1)
    expiry: list[raw.Property] = [(raw.SESSION_EXPIRY_INTERVAL, LASTING_S)] if version == 5 and is_lasting else []
    ended(target, version, client_id)
    with opened(target, version, f"{name}-w") as witness, opened(target, version, f"{name}-p") as publisher:
        witness.subscribe((f"{name}/#", 0))
        with Raw(target, version) as connection:
            connection.send(
                raw.connect(version, client_id, clean=not is_lasting or version == 5, properties=expiry, will=will)
                + raw.subscribe(version, 1, (f"{name}/later", 1))
                + raw.publish(version, f"{name}/t", b"0")
                + raw.publish(version, f"{name}/t", b"1", qos=1, packet_id=2)
                + raw.disconnect(version)
            )
            while connection.read_or_end() is not None:
                pass
        assert [b"0", b"1"] == sorted(message(witness).payload for _ in range(2))
        publisher.publish(f"{name}/later", b"x", qos=1)
        assert b"x" == message(witness).payload
        witness.expect_silence()
    if is_lasting:
        with resumed(target, version, client_id) as connection:
            assert b"x" == message(connection).payload
    ended(target, version, client_id)


# -- from the server --------------------------------------------------------------------------------------------------


@statement("MQTT-3.14.2-1", "MQTT-3.14.2-2", "MQTT-3.14.4-2", "MQTT-4.13.2-1", "MQTT-3.1.4-3", "MQTT-3.14.4-1")
@pytest.mark.parametrize("is_lasting", [True, False], ids=["lasting", "ending"])
@pytest.mark.versions(5)
def test_a_takeover_is_told_without_a_session_expiry_interval(
    target: Target, version: int, name: str, is_lasting: bool
) -> None:
    with (
        (lasting if is_lasting else opened)(target, version, f"{name}-c") as first,
        opened(target, version, f"{name}-c"),
    ):
        told = first.expect(raw.DISCONNECT)
        assert 0x8E == told.code
        assert [] == told.values(raw.SESSION_EXPIRY_INTERVAL)
        first.expect_end()


@statement("311:MQTT-4.8.0-1", "311:MQTT-3.1.4-2")
@pytest.mark.versions(3, 4)
def test_an_older_client_is_told_nothing_at_a_takeover(target: Target, version: int, name: str) -> None:
    with opened(target, version, f"{name}-c") as first, opened(target, 5, f"{name}-c") as second:
        first.expect_closed()
        second.ping()


@statement("MQTT-3.14.2-3", "MQTT-3.14.2-4", "MQTT-3.1.2-24", "MQTT-3.14.2-1")
@pytest.mark.parametrize("maximum", [24, 40, 1000])
@pytest.mark.versions(5)
def test_a_disconnect_from_the_server_fits_the_client(target: Target, version: int, name: str, maximum: int) -> None:
    with opened(target, version, f"{name}-c", properties=[(raw.MAXIMUM_PACKET_SIZE, maximum)]) as connection:
        connection.send(b"\0\0")
        told = connection.read_or_end()
        if told is not None:
            assert raw.DISCONNECT == told.type
            assert told.code in (0x81, 0x82)
            assert 2 + len(told.body) <= maximum
            connection.expect_end()
        assert told is not None or not target.says_why


@statement("MQTT-3.14.0-1", "MQTT-4.13.2-1", "MQTT-3.1.4-1")
@pytest.mark.parametrize(
    "first",
    [
        raw.connect(5, "x", properties=[(raw.AUTHENTICATION_METHOD, "none such")]),
        raw.connect(5, "x", flags=0x03),
        raw.connect(5, "x", properties=[(raw.RECEIVE_MAXIMUM, 0)]),
        raw.connect(5, "x", will=Will("a/#", b"")),
        raw.disconnect(5),
        raw.pingreq(),
        raw.publish(5, "t", b"x"),
        raw.auth(0x18, [(raw.AUTHENTICATION_METHOD, "none such")]),
    ],
    ids=["method", "reserved", "receive-0", "will", "disconnect", "pingreq", "publish", "auth"],
)
@pytest.mark.versions(5)
def test_no_disconnect_before_a_connack(
    target: Target, version: int, name: str, first: bytes, bystander: Bystander
) -> None:
    with Raw(target) as connection:
        connection.send(first)
        received = connection.read_or_end()
        if received is not None:
            assert raw.CONNACK == received.type
            assert received.code >= 0x80
            connection.expect_end()
