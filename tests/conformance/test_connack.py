"""Goal: CONNACK says what section 3.2 asks, and the server keeps to what it said. Method: CONNECT in all its kinds; what
a server may switch off is switched off in one of Quantum's own."""

from collections.abc import Callable

import pytest

from tests.conformance import raw
from tests.conformance.bystander import Bystander
from tests.conformance.conftest import Target
from tests.conformance.opened import ended, lasting, message, opened
from tests.conformance.raw import Raw, Will
from tests.conformance.statements import statement

Configured = Callable[..., Target]
# 3.2.2.2: Connect Reason Codes
CONNECT_CODES = {
    *(0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A),
    *(0x9B, 0x9C, 0x9D, 0x9F),
}
IDENTIFIER_NOT_VALID, NOT_AUTHORIZED = 0x85, 0x87
RETAIN_NOT_SUPPORTED, QOS_NOT_SUPPORTED, PACKET_TOO_LARGE = 0x9A, 0x9B, 0x95
ALIAS_INVALID, TOPIC_NAME_INVALID = 0x94, 0x90


def answer_of(target: Target, data: bytes) -> bytes:
    """All that comes back for a CONNECT that is refused."""
    with Raw(target) as connection:
        connection.send(data)
        return connection.rest()


# -- 3.2.0, 3.2.2.1 --------------------------------------------------------------------------------------------------


@statement("MQTT-3.2.0-1", "MQTT-3.2.2-1", "MQTT-3.1.4-5", "311:MQTT-3.2.0-1", "311:MQTT-3.1.4-4")
def test_connack_comes_first_also_where_messages_wait(target: Target, version: int, name: str) -> None:
    with lasting(target, version, name) as first:
        first.subscribe((name, 1))
    with opened(target, version, f"{name}-p") as publisher:
        publisher.publish(name, b"waiting", qos=1)
    with Raw(target, version) as second:
        second.send(raw.connect(version, name, clean=False) + raw.pingreq())
        connack = second.read()
        assert (raw.CONNACK, 0, version > 3) == (connack.type, connack.code, connack.session_present)
        assert connack.body[0] == (1 if version > 3 else 0)
    ended(target, version, name)


@statement("MQTT-3.2.2-2", "MQTT-3.2.2-1", "311:MQTT-3.2.2-1")
@pytest.mark.versions(4, 5)
def test_session_present_is_0_behind_clean_start(target: Target, version: int, name: str) -> None:
    lasting(target, version, name).close()
    with Raw(target) as connection:
        assert b"\x00\x00" == connection.open(version, name, clean=True).body[:2]


@statement("MQTT-3.2.2-3", "MQTT-3.2.2-1", "311:MQTT-3.2.2-2", "311:MQTT-3.2.2-3")
@pytest.mark.versions(4, 5)
def test_session_present_says_whether_there_is_a_session(target: Target, version: int, name: str) -> None:
    ended(target, version, name)
    expiry: list[raw.Property] = [(raw.SESSION_EXPIRY_INTERVAL, 600)] if version == 5 else []
    for flag in (b"\x00", b"\x01", b"\x01"):
        with Raw(target) as connection:
            assert flag == connection.open(version, name, clean=False, properties=expiry).body[:1]
    ended(target, version, name)


@pytest.mark.versions(3)
def test_3_1_has_no_session_present(target: Target, version: int, name: str) -> None:
    """MQTT 3.1 §3.2: the byte is reserved."""
    for _ in range(2):
        with Raw(target) as connection:
            assert b"\x00\x00" == connection.open(version, name, clean=False).body
    ended(target, version, name)


# -- 3.2.2.2: errors -------------------------------------------------------------------------------------------------


@statement("MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.2.2-8", "MQTT-4.13.2-1", "MQTT-3.1.4-2")
@pytest.mark.versions(5)
def test_error_goes_with_session_present_0_and_closes(
    target: Target, version: int, bystander: Bystander, name: str
) -> None:
    """There is a session: it is not spoken of, and lives on."""
    lasting(target, version, name).close()
    answer = answer_of(target, raw.connect(version, name, clean=False, will=Will("a/#", b"w")))
    if answer:
        assert raw.CONNACK << 4 == answer[0]
        assert (0, TOPIC_NAME_INVALID) == (answer[2], answer[3])
        assert answer[3] in CONNECT_CODES
        assert len(answer) == 2 + answer[1]
    with Raw(target) as connection:
        assert connection.open(version, name, clean=False).session_present


@statement("MQTT-3.1.3-8", "MQTT-3.2.2-7", "MQTT-4.13.2-1")
@pytest.mark.parametrize("clean", [True, False])
def test_identifier_that_is_refused(configured: Configured, version: int, clean: bool) -> None:
    target = configured("mqtt.allow_empty_client_id=false")
    with Raw(target, version) as connection:
        connection.send(raw.connect(version, "", clean=clean))
        connection.expect_refused(IDENTIFIER_NOT_VALID if version == 5 else 2)
    with opened(target, version, "named") as named:
        named.ping()


@statement("MQTT-3.1.4-2", "MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.2.2-8", "MQTT-4.13.2-1")
@statement("311:MQTT-3.2.2-4", "311:MQTT-3.2.2-5")
def test_client_that_is_not_authorised_is_refused(configured: Configured, version: int, name: str) -> None:
    target = configured("mqtt.allow_anonymous=false")
    with Raw(target, version) as connection:
        connection.send(raw.connect(version, name))
        connection.expect_refused(NOT_AUTHORIZED if version == 5 else 5)


@statement("311:MQTT-3.2.2-6")
@pytest.mark.versions(3, 4)
def test_refusal_that_has_no_return_code_closes_without_connack(
    target: Target, version: int, bystander: Bystander, name: str
) -> None:
    """A will that nobody may publish fits none of the codes from 1 to 5. A server may also take it, and drop it later."""
    with Raw(target, version) as connection:
        connection.send(raw.connect(version, name, will=Will("$SYS/broker/uptime", b"w")))
        answer = connection.rest() if target.says_why else b""
        assert b"" == answer


@statement("MQTT-3.2.0-2", "MQTT-3.2.0-1")
def test_one_connection_gets_one_connack(target: Target, version: int, bystander: Bystander, name: str) -> None:
    """Two CONNECT packets in one write: the second is answered by the end."""
    with Raw(target, version) as connection:
        connection.send(raw.connect(version, name) + raw.connect(version, name))
        assert 0 == connection.expect(raw.CONNACK).code
        connection.expect_closed(0x82)


# -- 3.2.2.3: properties ---------------------------------------------------------------------------------------------


@statement("MQTT-3.2.2-1", "MQTT-3.2.2-8", "MQTT-2.2.2-1")
@pytest.mark.versions(5)
def test_properties_of_connack_are_its_own_and_come_once(target: Target, version: int) -> None:
    own = {0x11, 0x12, 0x13, 0x15, 0x16, 0x1A, 0x1C, 0x1F, 0x21, 0x22, 0x24, 0x25, 0x26, 0x27, 0x28, 0x29, 0x2A}
    with Raw(target) as connection:
        connack = connection.open(version)
        seen = [identifier for identifier, _ in connack.properties]
        assert set() == set(seen) - own
        assert len(set(seen)) == len(seen)
        assert 0 != connack.value(raw.RECEIVE_MAXIMUM)
        assert 0 != connack.value(raw.MAXIMUM_PACKET_SIZE)
        assert connack.value(raw.MAXIMUM_QOS) in (None, 0, 1)


@statement("MQTT-3.2.2-9")
@pytest.mark.parametrize("most", [0, 1])
def test_a_server_without_a_qos_says_so(configured: Configured, version: int, most: int) -> None:
    with Raw(configured(f"mqtt.qos_max={most}")) as connection:
        connack = connection.open(version)
        assert (most if version == 5 else None) == connack.value(raw.MAXIMUM_QOS)


@statement("MQTT-3.2.2-10")
@pytest.mark.parametrize("most", [0, 1])
@pytest.mark.parametrize("asked", [0, 1, 2])
def test_a_server_without_a_qos_takes_subscriptions_of_any(
    configured: Configured, version: int, name: str, most: int, asked: int
) -> None:
    """And grants what it has: messages come with it."""
    target = configured(f"mqtt.qos_max={most}")
    with opened(target, version, name) as connection:
        granted = min(asked, most)
        assert [granted] == connection.subscribe((name, asked)).codes
        with opened(target, version, f"{name}-p") as publisher:
            publisher.publish(name, b"x", qos=most)
        assert granted == message(connection).qos


@statement("MQTT-3.2.2-11", "MQTT-4.13.1-1")
@pytest.mark.parametrize(("most", "qos"), [(0, 1), (0, 2), (1, 2)])
def test_a_publish_above_the_maximum_qos_closes(
    configured: Configured, version: int, name: str, most: int, qos: int
) -> None:
    target = configured(f"mqtt.qos_max={most}")
    with opened(target, version, f"{name}-w") as watcher, opened(target, version, name) as connection:
        watcher.subscribe((name, 0))
        connection.send(raw.publish(version, name, b"must not arrive", qos=qos, retain=True, packet_id=1))
        connection.expect_closed(QOS_NOT_SUPPORTED)
        watcher.expect_silence()


@statement("MQTT-3.2.2-12", "MQTT-3.2.2-7")
@pytest.mark.versions(5)
@pytest.mark.parametrize(("most", "qos"), [(0, 1), (0, 2), (1, 2)])
def test_a_will_above_the_maximum_qos_refuses(configured: Configured, version: int, most: int, qos: int) -> None:
    with Raw(configured(f"mqtt.qos_max={most}"), version) as connection:
        connection.send(raw.connect(version, "c", will=Will("t", b"w", qos)))
        connection.expect_refused(QOS_NOT_SUPPORTED)


@statement("311:MQTT-3.2.2-6")
@pytest.mark.versions(3, 4)
def test_a_will_above_the_maximum_qos_closes_where_no_return_code_says_so(configured: Configured, version: int) -> None:
    with Raw(configured("mqtt.qos_max=1"), version) as connection:
        connection.send(raw.connect(version, "c", will=Will("t", b"w", 2)))
        connection.expect_refused()


@statement("MQTT-3.2.2-13", "MQTT-3.2.2-7")
@pytest.mark.versions(5)
def test_a_retained_will_refuses_where_nothing_is_retained(configured: Configured, version: int) -> None:
    target = configured("mqtt.retain_available=false")
    with Raw(target, version) as connection:
        connection.send(raw.connect(version, "c", will=Will("t", b"w", 0, True)))
        connection.expect_refused(RETAIN_NOT_SUPPORTED)
    with Raw(target) as other:
        assert 0 == other.open(version, "c", will=Will("t", b"w")).value(raw.RETAIN_AVAILABLE)


@statement("MQTT-3.2.2-14", "MQTT-4.13.1-1")
def test_a_retained_publish_closes_where_nothing_is_retained(configured: Configured, version: int, name: str) -> None:
    target = configured("mqtt.retain_available=false")
    with opened(target, version, f"{name}-w") as watcher, opened(target, version, name) as connection:
        watcher.subscribe((name, 0))
        connection.send(raw.publish(version, name, b"must not arrive", retain=True))
        connection.expect_closed(RETAIN_NOT_SUPPORTED)
        watcher.expect_silence()


@statement("MQTT-3.2.2-15", "MQTT-4.13.1-1")
@pytest.mark.parametrize("whole", [True, False])
def test_a_packet_above_the_servers_maximum_closes(
    configured: Configured, version: int, name: str, whole: bool
) -> None:
    """At its first bytes: what is too large need not arrive. What is just not too large is served."""
    target = configured("mqtt.packet_bytes_max=1024")
    overhead = len(raw.publish(version, name, bytes(800))) - 800
    with opened(target, version, name) as connection:
        connection.publish(name, bytes(1024 - overhead))
        too_large = raw.publish(version, name, bytes(1025 - overhead))
        connection.send(too_large if whole else too_large[:3])
        connection.expect_closed(PACKET_TOO_LARGE)
    with Raw(target) as other:
        assert (1024 if version == 5 else None) == other.open(version).value(raw.MAXIMUM_PACKET_SIZE)


@statement("MQTT-3.2.2-17", "MQTT-3.3.2-9", "MQTT-3.3.2-12")
@pytest.mark.versions(5)
def test_aliases_up_to_the_servers_maximum_are_taken(
    target: Target, version: int, bystander: Bystander, name: str
) -> None:
    with Raw(target) as connection:
        most = connection.open(version).value(raw.TOPIC_ALIAS_MAXIMUM) or 0
        assert isinstance(most, int)
        connection.subscribe((name, 0))
        if most:
            connection.send(raw.publish(version, name, b"named", properties=[(raw.TOPIC_ALIAS, most)]))
            connection.send(raw.publish(version, "", b"by alias", properties=[(raw.TOPIC_ALIAS, most)]))
            assert [b"named", b"by alias"] == [connection.expect(raw.PUBLISH).payload for _ in range(2)]
        if most < 65535:
            connection.send(raw.publish(version, name, b"above", properties=[(raw.TOPIC_ALIAS, most + 1)]))
            connection.expect_closed(ALIAS_INVALID)


@statement("MQTT-3.2.2-18")
@pytest.mark.versions(5)
def test_no_alias_is_taken_where_none_was_offered(configured: Configured, version: int, name: str) -> None:
    target = configured("mqtt.topic_alias_maximum=0")
    with Raw(target) as connection:
        assert not connection.open(version).value(raw.TOPIC_ALIAS_MAXIMUM)
        connection.send(raw.publish(version, name, b"", properties=[(raw.TOPIC_ALIAS, 1)]))
        connection.expect_closed(ALIAS_INVALID)


@statement("MQTT-3.2.2-16", "MQTT-3.1.3-6")
@pytest.mark.versions(5)
def test_assigned_identifiers_are_nobodys(target: Target, version: int) -> None:
    connections = [Raw(target) for _ in range(20)]
    names = [connection.open(version).value(raw.ASSIGNED_CLIENT_IDENTIFIER) for connection in connections]
    assert 20 == len({name for name in names if isinstance(name, str) and name})
    for connection in connections:
        connection.ping()
        connection.close()


@pytest.mark.versions(5)
def test_a_clients_own_identifier_is_not_assigned(target: Target, version: int, name: str) -> None:
    with Raw(target) as connection:
        assert connection.open(version, name).value(raw.ASSIGNED_CLIENT_IDENTIFIER) is None


@statement("MQTT-3.2.2-19", "MQTT-3.2.2-20", "MQTT-3.1.2-24")
@pytest.mark.versions(5)
@pytest.mark.parametrize("most", [5, 6, 30])
def test_a_refusal_keeps_to_the_clients_maximum_packet_size(
    target: Target, version: int, bystander: Bystander, most: int
) -> None:
    """Without its Reason String it is five bytes."""
    will = Will("a/very/long/topic/name/with/a/wildcard/#", b"w")
    answer = answer_of(target, raw.connect(version, "c", will=will, properties=[(raw.MAXIMUM_PACKET_SIZE, most)]))
    assert len(answer) <= most
    if target.says_why:
        assert b"\x20\x03\x00\x90\x00" == answer


@statement("MQTT-3.1.2-24", "MQTT-3.2.2-19", "MQTT-3.2.2-20")
@pytest.mark.versions(5)
@pytest.mark.parametrize("most", [1, 2, 4])
def test_a_client_that_takes_no_connack_is_closed(
    target: Target, version: int, bystander: Bystander, most: int
) -> None:
    """A server that could not say so must not keep the client waiting."""
    assert b"" == answer_of(target, raw.connect(version, "c", properties=[(raw.MAXIMUM_PACKET_SIZE, most)]))


@statement("MQTT-3.2.2-21", "MQTT-3.1.2-21", "MQTT-3.2.2-22", "MQTT-3.1.2-22")
def test_a_server_keep_alive_is_told_and_kept(configured: Configured, version: int) -> None:
    """To older clients nothing can be told: their own holds."""
    target = configured("mqtt.keep_alive_s_max=1")
    with Raw(target) as short, Raw(target) as long:
        assert short.open(version, keep_alive=1).value(raw.SERVER_KEEP_ALIVE) is None
        told = long.open(version, keep_alive=60).value(raw.SERVER_KEEP_ALIVE)
        assert (1 if version == 5 else None) == told
        short.expect_closed(0x8D)
        if version == 5:
            long.expect_closed(0x8D)
        else:
            long.ping()
