"""Goal: what the server says beside its answers: where else to go, where to reply, and why; only to those who may hear it.
Method: packets through the node's door."""

from dataclasses import replace

import pytest

from quantum.core.edge.config import EdgeConfig
from quantum.core.mqtt.packets import (
    V5,
    V31,
    V311,
    Connack,
    Connect,
    Disconnect,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)
from quantum.core.node.config import default_policy
from tests.core.node.door import Door

REASON, USER_PROPERTY, REFERENCE, RESPONSE = 31, 38, 28, 26
ELSEWHERE = "other.example:1883"


def connack_of(door: Door, conn_id: int) -> Connack:
    (connack,) = door.take(conn_id)
    assert isinstance(connack, Connack)
    return connack


# -- Server Reference -------------------------------------------------------------------------------------------------


def stop(door: Door) -> None:
    door.inputs.stopping = True
    door.run()


@pytest.mark.parametrize("reference", ["", ELSEWHERE])
def test_node_that_stops_says_where_to_go(reference: str) -> None:
    """4.11"""
    door = Door(edge=EdgeConfig(server_reference=reference))
    newer, _ = door.connected("a")
    older, _ = door.connected("b", version=V311)
    stop(door)
    (farewell,) = door.take(newer)
    assert isinstance(farewell, Disconnect)
    assert (0x9C if reference else 0x8B) == farewell.reason_code
    assert (reference or None) == farewell.properties.get(REFERENCE)
    assert [] == door.take(older)
    assert [newer, older] == door.closed


def test_failure_of_the_disk_sends_nobody_elsewhere() -> None:
    door = Door(edge=EdgeConfig(server_reference=ELSEWHERE))
    conn_id, _ = door.connected("a")
    door.disk.error = "EIO"
    door.send_packet(conn_id, Publish("t", b"", 1, packet_id=1))
    (farewell,) = door.take(conn_id)
    assert isinstance(farewell, Disconnect)
    assert REFERENCE not in farewell.properties


@pytest.mark.parametrize(
    ("version", "reference", "code"), [(V5, "", 0x9F), (V5, ELSEWHERE, 0x9C), (V311, ELSEWHERE, 3)]
)
def test_node_that_is_full_says_where_to_go(version: int, reference: str, code: int) -> None:
    """3.2.2.3.16"""
    door = Door(edge=EdgeConfig(server_reference=reference, connections_max=1))
    door.connected("a")
    refused = connack_of(door, door.connect("b", version=version))
    assert code == refused.reason_code
    assert (reference if version == V5 and reference else None) == refused.properties.get(REFERENCE)


@pytest.mark.parametrize(("version", "code"), [(V31, 3), (V311, 3), (V5, 0x9D)])
def test_server_that_moved_lets_nobody_in(version: int, code: int) -> None:
    door = Door(edge=EdgeConfig(server_reference=ELSEWHERE, is_moved=True))
    conn_id = door.connect("a", version=version)
    refused = connack_of(door, conn_id)
    assert code == refused.reason_code
    assert (ELSEWHERE if version == V5 else None) == refused.properties.get(REFERENCE)
    assert [conn_id] == door.closed
    assert 0 == door.node.partition.counts()["sessions"]


def test_other_refusals_name_no_server() -> None:
    """3.2.2.3.16: a Server Reference stands with 0x9C and 0x9D only."""
    door = Door(edge=EdgeConfig(server_reference=ELSEWHERE, allow_anonymous=False))
    assert REFERENCE not in connack_of(door, door.connect("a")).properties


# -- Response Information ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("configured", "asked", "told"),
    [
        ("replies/{client_id}", 1, "replies/c-1"),
        ("replies", 1, "replies"),
        ("replies/{client_id}", 0, None),
        ("replies/{client_id}", None, None),
        ("", 1, None),
    ],
)
def test_response_information_is_for_those_who_ask(configured: str, asked: int | None, told: str | None) -> None:
    """[MQTT-3.1.2-28]"""
    door = Door(edge=EdgeConfig(response_information=configured))
    _, connack = door.connected("c-1", properties={} if asked is None else {25: asked})
    assert told == connack.properties.get(RESPONSE)


def test_response_information_names_the_assigned_client_identifier() -> None:
    door = Door(edge=EdgeConfig(response_information="r/{client_id}"))
    _, connack = door.connected("", properties={25: 1})
    assert f"r/{connack.properties[18]!s}" == connack.properties[RESPONSE]


def test_response_information_that_fits_no_string_is_left_out() -> None:
    door = Door(edge=EdgeConfig(response_information="r/{client_id}"))
    _, connack = door.connected("c" * 65_535, properties={25: 1})
    assert RESPONSE not in connack.properties
    _, connack = door.connected("c" * 65_533, properties={25: 1})
    assert "r/" + "c" * 65_533 == connack.properties[RESPONSE]


def test_older_client_is_told_nothing_of_it() -> None:
    door = Door(edge=EdgeConfig(response_information="r"))
    _, connack = door.connected("c", version=V311)
    assert {} == connack.properties


# -- reasons ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("asked", "is_told"), [(None, True), (1, True), (0, False)])
def test_reason_of_a_refused_publish_is_for_those_who_ask(asked: int | None, is_told: bool) -> None:
    """[MQTT-3.1.2-29]"""
    door = Door()
    conn_id, _ = door.connected("c", properties={} if asked is None else {23: asked})
    door.send_packet(conn_id, Publish("$SYS/x", b"", 1, packet_id=1))
    (puback,) = door.take(conn_id)
    assert isinstance(puback, Puback)
    assert 0x90 == puback.reason_code
    assert is_told == (REASON in puback.properties)


def test_reason_of_connack_and_disconnect_is_told_even_so() -> None:
    """3.1.2.11.7 leaves these two to the server."""
    door = Door(edge=EdgeConfig(allow_empty_client_id=False))
    assert REASON in connack_of(door, door.connect("", properties={23: 0})).properties
    conn_id, _ = door.connected("c", properties={23: 0})
    door.send_packet(conn_id, Connect(V5, "c", True, 0))
    (farewell,) = door.take(conn_id)
    assert isinstance(farewell, Disconnect)
    assert REASON in farewell.properties


@pytest.mark.parametrize("size", [4, 5, 8, 20])
def test_reason_never_makes_a_packet_larger_than_the_client_takes(size: int) -> None:
    """[MQTT-3.1.2-24] [MQTT-3.4.2-2] [MQTT-3.14.2-3]"""
    door = Door()
    conn_id, _ = door.connected("c", properties={39: 40})
    door.node.edge.connections[conn_id].wire.peer_packet_bytes_max = size  # CONNACK itself needs more room
    door.send_packet(conn_id, Publish("$SYS/x", b"", 1, packet_id=1))
    written = door.written.get(conn_id, b"")
    assert len(written) <= size
    assert (b"" if size < 5 else b"\x40\x03\x00\x01\x90") == written
    door.written.clear()
    door.send(conn_id, b"\x00\x00")
    assert len(door.written.get(conn_id, b"")) <= size
    assert [conn_id] == door.closed


@pytest.mark.parametrize(("asked", "is_told"), [(None, True), (0, False)])
@pytest.mark.parametrize(
    ("filters", "codes", "reason"),
    [
        (["$share/g/t"], [0x9E], "shared_not_supported: "),
        (["a", "$share/g/t", "b/" * 200], [1, 0x9E, 0x97], "shared_not_supported: "),
        (["a", "b", "c"], [1, 1, 0x97], "subscriptions_max: "),
        (["a", "b"], [1, 1], None),
    ],
)
def test_suback_says_why_the_first_filter_was_refused(
    asked: int | None, is_told: bool, filters: list[str], codes: list[int], reason: str | None
) -> None:
    """3.9.2.1.2"""
    door = Door(edge=EdgeConfig(shared_available=False), policy=replace(default_policy(), subscriptions_max=2))
    conn_id, _ = door.connected("c", properties={} if asked is None else {23: asked})
    door.send_packet(conn_id, Subscribe(1, [Subscription(topic_filter, 1) for topic_filter in filters]))
    (suback,) = door.take(conn_id)
    assert isinstance(suback, Suback)
    assert codes == suback.reason_codes
    told = str(suback.properties.get(REASON, ""))
    assert told.startswith(reason) if is_told and reason else told == ""
    if reason:
        assert reason.split(":")[0] in str(door.ask("/why").body)


def test_older_client_is_told_no_reason() -> None:
    door = Door(edge=EdgeConfig(shared_available=False))
    conn_id, _ = door.connected("c", version=V311)
    door.send_packet(conn_id, Subscribe(1, [Subscription("$share/g/t", 0), Subscription("t", 1)]))
    assert [Suback(1, [0x80, 1])] == door.take(conn_id)
