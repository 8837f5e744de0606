"""Goal: what MQTT ties to time happens at its millisecond, neither before nor after. Method: a node behind its door, whose
clock stands still unless it is moved."""

import pytest

from quantum.core.edge.config import EdgeConfig
from quantum.core.mqtt.packets import (
    NO_EXPIRY,
    V5,
    V31,
    V311,
    Connack,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Publish,
    Subscribe,
    Subscription,
    Will,
)
from quantum.core.mqtt.properties import SERVER_KEEP_ALIVE, SESSION_EXPIRY_INTERVAL
from tests.conformance.statements import statement
from tests.core.node.door import Door

VERSIONS = (V31, V311, V5)


def publishes(packets: list[Packet]) -> list[bytes]:
    return [packet.payload for packet in packets if isinstance(packet, Publish)]


def codes(packets: list[Packet]) -> list[int]:
    return [packet.reason_code for packet in packets if isinstance(packet, Disconnect)]


def watcher_of(door: Door, topic_filter: str = "will", qos: int = 0) -> int:
    """A client that sees what is published."""
    watcher, _ = door.connected("watcher")
    door.send_packet(watcher, Subscribe(1, [Subscription(topic_filter, qos)]))
    door.take(watcher)
    return watcher


def has_session(door: Door, client_id: str = "c", version: int = V5) -> bool:
    """Whether a client comes back to its session; it takes it over for good."""
    _, connack = door.connected(client_id, version=version, clean_start=False, expiry_s=100)
    return connack.session_present


# -- keep alive and connect timeout --------------------------------------------------------------------------------------


@statement("MQTT-3.1.2-22", "311:MQTT-3.1.2-24")
@pytest.mark.parametrize("version", VERSIONS)
def test_silence_for_one_and_a_half_keep_alives_ends_the_connection(version: int) -> None:
    door = Door()
    client = door.connect("c", version, keep_alive_s=10)
    door.take(client)
    door.pass_time(14_999)
    assert [] == door.closed
    door.pass_time(1)
    assert [client] == door.closed
    assert ([0x8D] if version == V5 else []) == codes(door.take(client))


@statement("MQTT-3.1.2-22", "311:MQTT-3.1.2-24")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("packet", [Pingreq(), Publish("t", b"x"), Puback(7)], ids=["PINGREQ", "PUBLISH", "PUBACK"])
def test_any_packet_of_the_client_puts_the_end_off(version: int, packet: Packet) -> None:
    door = Door()
    client = door.connect("c", version, keep_alive_s=10)
    for _ in range(3):
        door.pass_time(14_999)
        door.send_packet(client, packet)
    door.pass_time(14_999)
    assert [] == door.closed
    door.pass_time(1)
    assert [client] == door.closed


@statement("MQTT-3.1.2-22", "311:MQTT-3.1.2-24")
@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_server_sends_puts_nothing_off(version: int) -> None:
    door = Door()
    client = door.connect("c", version, keep_alive_s=10)
    door.send_packet(client, Subscribe(1, [Subscription("t", 0)]))
    publisher, _ = door.connected("p")
    door.pass_time(14_999)
    door.send_packet(publisher, Publish("t", b"x"))
    assert [b"x"] == publishes(door.take(client))
    door.pass_time(1)
    assert [client] == door.closed


@pytest.mark.parametrize("version", VERSIONS)
def test_keep_alive_0_is_for_ever(version: int) -> None:
    door = Door(edge=EdgeConfig(keep_alive_s_max=0))
    client = door.connect("c", version, keep_alive_s=0)
    door.pass_time(30 * 86_400_000)
    assert [] == door.closed
    assert isinstance(door.take(client)[0], Connack)


@statement("MQTT-3.1.2-21", "MQTT-3.2.2-22")
@pytest.mark.parametrize("asked_s", [0, 21, 65_535])
def test_server_keep_alive_takes_the_place_of_the_clients(asked_s: int) -> None:
    door = Door(edge=EdgeConfig(keep_alive_s_max=20))
    client, connack = door.connected("c", keep_alive_s=asked_s)
    assert 20 == connack.properties[SERVER_KEEP_ALIVE]
    door.pass_time(29_999)
    assert [] == door.closed
    door.pass_time(1)
    assert [client] == door.closed


@statement("MQTT-3.2.2-22")
def test_without_server_keep_alive_the_clients_is_used() -> None:
    door = Door(edge=EdgeConfig(keep_alive_s_max=20))
    client, connack = door.connected("c", keep_alive_s=20)
    assert SERVER_KEEP_ALIVE not in connack.properties
    door.pass_time(29_999)
    assert [] == door.closed
    door.pass_time(1)
    assert [client] == door.closed


@pytest.mark.parametrize("begun", [b"", b"\x10", b"\x10\x20\x00\x04MQTT"], ids=["nothing", "a byte", "half a CONNECT"])
def test_whoever_sends_no_connect_is_closed_in_time(begun: bytes) -> None:
    door = Door(edge=EdgeConfig(connect_timeout_ms=10_000))
    conn_id = door.open()
    if begun:
        door.send(conn_id, begun)
    door.pass_time(9_999)
    assert [] == door.closed
    door.pass_time(1)
    assert [conn_id] == door.closed
    assert b"" == door.written.get(conn_id, b"")


# -- session expiry ------------------------------------------------------------------------------------------------------


@statement("MQTT-3.1.2-23", "MQTT-4.1.0-2")
@pytest.mark.parametrize("is_cut", [True, False])
def test_session_lasts_for_its_expiry_and_not_longer(is_cut: bool) -> None:
    for passed_ms, expected in ((99_999, True), (100_000, False)):
        door = Door()
        client, _ = door.connected("c", expiry_s=100)
        if is_cut:
            door.cut(client)
        else:
            door.send_packet(client, Disconnect())
        door.pass_time(passed_ms)
        assert expected == has_session(door)


@statement("MQTT-3.1.2-23")
def test_time_counts_from_the_end_of_the_connection_not_from_its_beginning() -> None:
    door = Door()
    client, _ = door.connected("c", expiry_s=100)
    door.pass_time(1_000_000)
    door.cut(client)
    door.pass_time(99_999)
    assert has_session(door)


@pytest.mark.parametrize("version", [V31, V311])
def test_session_of_an_older_version_lasts_as_long_as_the_server_lets_it(version: int) -> None:
    for passed_ms, expected in ((999, True), (1_000, False)):
        door = Door(edge=EdgeConfig(session_expiry_s_max=1))
        client = door.connect("c", version, clean_start=False)
        door.send_packet(client, Subscribe(1, [Subscription("t", 1)]))
        door.cut(client)
        door.pass_time(passed_ms)
        publisher, _ = door.connected("p")
        door.send_packet(publisher, Publish("t", b"kept", 1, packet_id=1))
        again = door.connect("c", version, clean_start=False)
        assert ([b"kept"] if expected else []) == publishes(door.take(again))


@pytest.mark.parametrize(("asked_s", "changed_s"), [(100, 7), (7, 100), (0xFFFFFFFF, 7)])
def test_disconnect_changes_the_expiry(asked_s: int, changed_s: int) -> None:
    for passed_ms, expected in ((changed_s * 1000 - 1, True), (changed_s * 1000, False)):
        door = Door()
        client, _ = door.connected("c", expiry_s=asked_s)
        door.send_packet(client, Disconnect(0, {SESSION_EXPIRY_INTERVAL: changed_s}))
        door.pass_time(passed_ms)
        assert expected == has_session(door)


def test_disconnect_with_expiry_0_ends_the_session_at_once() -> None:
    door = Door()
    client, _ = door.connected("c", expiry_s=100)
    door.send_packet(client, Disconnect(0, {SESSION_EXPIRY_INTERVAL: 0}))
    assert not has_session(door)


def test_disconnect_with_the_greatest_expiry_keeps_the_session_for_ever() -> None:
    door = Door()
    client, _ = door.connected("c", expiry_s=1)
    door.send_packet(client, Disconnect(0, {SESSION_EXPIRY_INTERVAL: 0xFFFFFFFF}))
    door.pass_time(100 * 365 * 86_400_000)
    assert has_session(door)


def test_disconnect_cannot_give_life_to_a_session_without_expiry() -> None:
    door = Door()
    watcher = watcher_of(door)
    client, _ = door.connected("c", will=Will("will", b"gone", 0, False))
    door.send_packet(client, Disconnect(0, {SESSION_EXPIRY_INTERVAL: 100}))
    assert [0x82] == codes(door.take(client))
    assert [client] == door.closed
    assert [b"gone"] == publishes(door.take(watcher))
    assert not has_session(door)


# -- will delay ----------------------------------------------------------------------------------------------------------


@statement("MQTT-3.1.2-8", "MQTT-3.1.3-9")
@pytest.mark.parametrize("retain", [True, False])
def test_will_is_published_when_its_delay_has_passed(retain: bool) -> None:
    door = Door()
    watcher = watcher_of(door)
    client, _ = door.connected("c", expiry_s=100, will=Will("will", b"gone", 0, retain, delay_s=5))
    door.cut(client)
    door.pass_time(4_999)
    assert [] == door.take(watcher)
    door.pass_time(1)
    assert [b"gone"] == publishes(door.take(watcher))
    door.pass_time(1_000_000)
    assert [] == door.take(watcher)  # once, not with the session's end again [MQTT-3.1.2-10]


@statement("MQTT-3.1.2-8", "311:MQTT-3.1.2-8")
@pytest.mark.parametrize("version", VERSIONS)
def test_will_without_delay_is_published_at_once(version: int) -> None:
    door = Door()
    watcher = watcher_of(door)
    client = door.connect("c", version, clean_start=False, expiry_s=100, will=Will("will", b"gone", 0, False))
    door.cut(client)
    assert [b"gone"] == publishes(door.take(watcher))


@statement("MQTT-3.1.2-8")
@pytest.mark.parametrize(("delay_s", "expiry_s"), [(100, 5), (6, 5), (5, 5), (100, 0)])
def test_end_of_the_session_publishes_the_will_before_its_delay(delay_s: int, expiry_s: int) -> None:
    door = Door()
    watcher = watcher_of(door)
    client, _ = door.connected("c", expiry_s=expiry_s, will=Will("will", b"gone", 0, False, delay_s=delay_s))
    door.cut(client)
    if expiry_s:
        door.pass_time(expiry_s * 1000 - 1)
        assert [] == door.take(watcher)
        door.pass_time(1)
    assert [b"gone"] == publishes(door.take(watcher))
    door.pass_time(200_000)
    assert [] == door.take(watcher)


@statement("MQTT-3.1.2-8")
def test_disconnect_that_shortens_the_expiry_shortens_the_delay() -> None:
    door = Door()
    watcher = watcher_of(door)
    client, _ = door.connected("c", expiry_s=100, will=Will("will", b"gone", 0, False, delay_s=50))
    door.send_packet(client, Disconnect(0x04, {SESSION_EXPIRY_INTERVAL: 3}))
    door.pass_time(2_999)
    assert [] == door.take(watcher)
    door.pass_time(1)
    assert [b"gone"] == publishes(door.take(watcher))


@statement("MQTT-3.1.3-9")
@pytest.mark.parametrize("how", ["cut", "takeover"])
def test_return_before_the_delay_has_passed_cancels_the_will(how: str) -> None:
    door = Door()
    watcher = watcher_of(door)
    client, _ = door.connected("c", expiry_s=100, will=Will("will", b"gone", 0, False, delay_s=5))
    if how == "cut":
        door.cut(client)
        door.pass_time(4_999)
    assert has_session(door)
    door.pass_time(200_000)
    assert [] == door.take(watcher)


@statement("MQTT-3.1.2-8")
def test_clean_start_ends_the_session_and_so_publishes_the_will() -> None:
    door = Door()
    watcher = watcher_of(door)
    client, _ = door.connected("c", expiry_s=100, will=Will("will", b"gone", 0, False, delay_s=50))
    door.cut(client)
    door.pass_time(1_000)
    door.connected("c", expiry_s=100)
    assert [b"gone"] == publishes(door.take(watcher))


@statement("MQTT-3.1.2-8")
def test_keep_alive_timeout_starts_the_delay() -> None:
    door = Door()
    watcher = watcher_of(door)
    door.connected("c", keep_alive_s=10, expiry_s=100, will=Will("will", b"gone", 0, False, delay_s=5))
    door.pass_time(19_999)
    assert [] == door.take(watcher)
    door.pass_time(1)
    assert [b"gone"] == publishes(door.take(watcher))


def test_delay_goes_on_over_a_restart() -> None:
    door = Door()
    client, _ = door.connected("c", expiry_s=100, will=Will("will", b"gone", 0, False, delay_s=5))
    door.cut(client)
    door.pass_time(3_000)
    again = Door(door.disk)
    again.inputs.wall_ms = door.inputs.wall_ms
    watcher = watcher_of(again)
    again.pass_time(1_999)
    assert [] == again.take(watcher)
    again.pass_time(1)
    assert [b"gone"] == publishes(again.take(watcher))


# -- message expiry ------------------------------------------------------------------------------------------------------


@statement("MQTT-3.3.2-6")
@pytest.mark.parametrize(("waited_ms", "left_s"), [(0, 10), (1, 10), (999, 10), (1_000, 9), (9_001, 1), (9_999, 1)])
def test_interval_is_sent_less_the_time_it_waited(waited_ms: int, left_s: int) -> None:
    door = Door()
    client, _ = door.connected("c", expiry_s=100)
    door.send_packet(client, Subscribe(1, [Subscription("t", 1)]))
    door.cut(client)
    publisher, _ = door.connected("p")
    door.send_packet(publisher, Publish("t", b"x", 1, packet_id=1, message_expiry_s=10))
    door.pass_time(waited_ms)
    door.connected("c", clean_start=False, expiry_s=100)
    assert [Publish("t", b"x", 1, packet_id=1, message_expiry_s=left_s)] == door.rest


@statement("MQTT-3.3.2-5")
@pytest.mark.parametrize("qos", [1, 2])
def test_message_that_expires_in_the_queue_is_not_sent(qos: int) -> None:
    door = Door()
    client, _ = door.connected("c", expiry_s=100)
    door.send_packet(client, Subscribe(1, [Subscription("t", qos)]))
    door.cut(client)
    publisher, _ = door.connected("p")
    door.send_packet(publisher, Publish("t", b"x", 1, packet_id=1, message_expiry_s=10))
    door.send_packet(publisher, Publish("t", b"stays", 1, packet_id=2))
    door.pass_time(10_000)
    door.connected("c", clean_start=False, expiry_s=100)
    assert [Publish("t", b"stays", 1, packet_id=1, message_expiry_s=NO_EXPIRY)] == door.rest
    assert door.node.partition.is_balanced()


@statement("MQTT-3.3.2-5")
@pytest.mark.parametrize("expiry_s", [0, 100])
def test_message_that_expires_behind_a_full_window_is_not_sent(expiry_s: int) -> None:
    door = Door()
    client, _ = door.connected("c", expiry_s=expiry_s, properties={33: 1})
    door.send_packet(client, Subscribe(1, [Subscription("t", 1)]))
    door.take(client)
    publisher, _ = door.connected("p")
    for number, message_expiry_s in enumerate((NO_EXPIRY, 10, 11)):
        packet = Publish("t", b"%d" % number, 1, packet_id=1 + number, message_expiry_s=message_expiry_s)
        door.send_packet(publisher, packet)
    assert [b"0"] == publishes(door.take(client))
    door.pass_time(10_000)
    door.send_packet(client, Puback(1))
    assert [Publish("t", b"2", 1, packet_id=2, message_expiry_s=1)] == door.take(client)


def test_exchange_that_began_is_finished_though_its_message_expired() -> None:
    door = Door()
    client, _ = door.connected("c", expiry_s=100)
    door.send_packet(client, Subscribe(1, [Subscription("t", 1)]))
    publisher, _ = door.connected("p")
    door.send_packet(publisher, Publish("t", b"x", 1, packet_id=1, message_expiry_s=10))
    door.cut(client)
    door.pass_time(10_000)
    door.connected("c", clean_start=False, expiry_s=100)
    assert [b"x"] == publishes(door.rest)


@statement("MQTT-3.3.2-5")
def test_retained_message_expires() -> None:
    for passed_ms, expected in ((9_999, [b"x"]), (10_000, [])):
        door = Door()
        publisher, _ = door.connected("p")
        door.send_packet(publisher, Publish("t", b"x", 1, True, packet_id=1, message_expiry_s=10))
        door.pass_time(passed_ms)
        client, _ = door.connected("c")
        door.send_packet(client, Subscribe(1, [Subscription("t", 1)]))
        assert expected == publishes(door.take(client))


def test_expiry_of_a_will_counts_from_its_publication() -> None:
    door = Door()
    client, _ = door.connected("c", expiry_s=100)
    door.send_packet(client, Subscribe(1, [Subscription("will", 1)]))
    door.cut(client)
    will = Will("will", b"gone", 1, False, delay_s=5, message_expiry_s=10)
    other, _ = door.connected("o", expiry_s=100, will=will)
    door.cut(other)
    door.pass_time(14_999)
    door.connected("c", clean_start=False, expiry_s=100)
    assert [Publish("will", b"gone", 1, packet_id=1, message_expiry_s=1)] == door.rest
