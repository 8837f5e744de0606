"""Goal: what a shared group gave to a session that ends with its connection, and was not acknowledged at QoS 1 or never
sent, reaches another member, whatever ended the connection and wherever the other member is; nothing else moves.
Method: members by the node's door, several edges over one log, and the nodes of a cluster.
"""

import pytest

from quantum.core.broker.commands import stamped
from quantum.core.causes import CLIENT_PACKET_TOO_LARGE, ORPHANS_MAX, SESSION_ENDED, SHUTTING_DOWN
from quantum.core.edge import orphans
from quantum.core.edge.config import EdgeConfig
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import (
    V5,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Publish,
    Pubrec,
    Subscribe,
    Subscription,
)
from tests.core.edge.several import Several
from tests.core.node.cluster import Cluster
from tests.core.node.door import Door


def payloads(packets: list[Packet]) -> list[bytes]:
    return [packet.payload for packet in packets if isinstance(packet, Publish)]


def member(door: Door, client_id: str, window: int = 100, qos: int = 2) -> int:
    conn_id, _ = door.connected(client_id, properties={33: window})
    door.send_packet(conn_id, Subscribe(1, [Subscription("$share/g/jobs", qos)]))
    door.take(conn_id)
    return conn_id


def publish(door: Door, count: int, qos: int = 1) -> None:
    publisher, _ = door.connected("p")
    door.send_packet(publisher, *[Publish("jobs", b"%d" % n, qos, packet_id=n) for n in range(1, count + 1)])
    assert count == len(door.take(publisher))


def dropped(door: Door) -> int:
    return sum(door.node.edge.fanout.ledger.dropped.values())


def check_ledgers(door: Door) -> None:
    assert door.node.edge.fanout.ledger.is_balanced()
    assert door.node.partition.is_balanced()


def test_a_node_that_stops_leaves_no_more_than_one_entry_may_hold() -> None:
    several = Several(1)
    conn_id = several.connect(1, "a")
    several.subscribe(conn_id, Subscription("$share/g/jobs", 1))
    publisher = several.connect(1, "p")
    payload = bytes(orphans.LAST_SLICE_BYTES // 5)
    for number in range(1, 8):
        several.send(publisher, Publish("jobs", payload, 1, packet_id=number))
    edge = several.sites[1].edge
    edge.on_stopping(SHUTTING_DOWN)
    assert 4 == len(edge.take_last())
    ledger = edge.fanout.ledger
    assert (4, 0, {SESSION_ENDED.number: 3}) == (ledger.given_back, ledger.open, ledger.dropped)
    assert ledger.is_balanced()


@pytest.mark.parametrize("how", ["cut", "disconnect", "protocol error", "taken over", "keep alive"])
def test_whatever_ends_the_connection_its_unacknowledged_qos_1_goes_to_the_other_in_order(how: str) -> None:
    door = Door()
    conn_id, _ = door.connected("a", keep_alive_s=5)
    door.send_packet(conn_id, Subscribe(1, [Subscription("$share/g/jobs", 2)]))
    door.take(conn_id)
    publish(door, 4)
    first = door.take(conn_id)[0]
    assert isinstance(first, Publish)
    other = member(door, "b")
    door.send_packet(conn_id, Puback(first.packet_id))
    if how == "cut":
        door.cut(conn_id)
    elif how == "disconnect":
        door.send_packet(conn_id, Disconnect())
    elif how == "protocol error":
        door.send_packet(conn_id, Connect(5, "a", True, 0))
    elif how == "taken over":
        door.connect("a")
    else:
        door.pass_time(8_000)
    received = door.take(other)
    assert [b"2", b"3", b"4"] == payloads(received)
    assert [False] * 3 == [packet.dup for packet in received if isinstance(packet, Publish)]
    assert 3 == door.node.edge.fanout.ledger.given_back
    assert 0 == dropped(door)
    check_ledgers(door)


def test_what_was_never_sent_goes_to_the_other_at_any_qos_and_qos_2_that_was_sent_does_not() -> None:
    """[MQTT-4.8.2-5]"""
    door = Door()
    conn_id = member(door, "a", window=1)
    publish(door, 3, qos=2)
    assert [b"1"] == payloads(door.take(conn_id))
    other = member(door, "b")
    door.cut(conn_id)
    assert [b"2", b"3"] == payloads(door.take(other))
    assert {SESSION_ENDED.number: 1} == door.node.edge.fanout.ledger.dropped
    check_ledgers(door)


def test_qos_2_between_pubrec_and_pubcomp_ends_with_its_member() -> None:
    door = Door()
    conn_id = member(door, "a")
    publish(door, 1, qos=2)
    (packet,) = door.take(conn_id)
    assert isinstance(packet, Publish)
    door.send_packet(conn_id, Pubrec(packet.packet_id))
    other = member(door, "b")
    door.cut(conn_id)
    assert [] == payloads(door.take(other))
    assert 1 == dropped(door)


def test_what_waited_and_was_sent_later_is_remembered_as_well() -> None:
    door = Door()
    conn_id = member(door, "a", window=1)
    publish(door, 3)
    for _ in range(2):
        (packet,) = door.take(conn_id)
        assert isinstance(packet, Publish)
        door.send_packet(conn_id, Puback(packet.packet_id))
    assert [b"3"] == payloads(door.take(conn_id))
    other = member(door, "b")
    door.cut(conn_id)
    assert [b"3"] == payloads(door.take(other))


def test_what_was_refused_or_came_by_another_subscription_is_not_given_to_the_other() -> None:
    """[MQTT-4.8.2-6]"""
    door = Door()
    conn_id = member(door, "a")
    publish(door, 1)
    (packet,) = door.take(conn_id)
    assert isinstance(packet, Publish)
    door.send_packet(conn_id, Puback(packet.packet_id, 0x83))
    door.send_packet(conn_id, Subscribe(2, [Subscription("jobs", 1)]))
    other = member(door, "b")
    publish(door, 1)  # the group's copy is b's
    assert [b"1"] == payloads(door.take(other))
    door.cut(conn_id)
    assert [] == payloads(door.take(other))
    assert 0 == door.node.edge.fanout.ledger.given_back


def test_what_waits_by_another_subscription_is_not_given_to_the_other() -> None:
    door = Door()
    conn_id, _ = door.connected("a", properties={33: 1})
    door.send_packet(conn_id, Subscribe(1, [Subscription("jobs", 1)]))
    other = member(door, "b")
    publish(door, 3)
    assert [b"1", b"2", b"3"] == payloads(door.take(other))
    door.cut(conn_id)
    assert [] == payloads(door.take(other))
    assert {SESSION_ENDED.number: 3} == door.node.edge.fanout.ledger.dropped


def test_what_a_member_could_not_be_sent_is_not_given_to_the_other() -> None:
    """[MQTT-3.1.2-25]: it is dropped as if it had been delivered."""
    door = Door()
    conn_id, _ = door.connected("a", properties={39: 50})
    door.send_packet(conn_id, Subscribe(1, [Subscription("$share/g/jobs", 1)]))
    publisher, _ = door.connected("p")
    door.send_packet(publisher, Publish("jobs", bytes(100), 1, packet_id=1), Publish("jobs", b"2", 1, packet_id=2))
    other = member(door, "b")
    door.cut(conn_id)
    assert [b"2"] == payloads(door.take(other))
    assert {CLIENT_PACKET_TOO_LARGE.number: 1} == door.node.edge.fanout.ledger.dropped
    check_ledgers(door)


def test_without_another_member_it_ends_with_the_session() -> None:
    door = Door()
    conn_id = member(door, "a")
    publish(door, 2)
    door.cut(conn_id)
    assert 0 == door.node.edge.fanout.ledger.open
    assert {"session_ended": 2} == door.node.partition.accounting["dropped"]
    check_ledgers(door)


def test_an_expired_message_is_given_to_nobody_and_another_keeps_its_time_and_properties() -> None:
    door = Door()
    conn_id = member(door, "a")
    publisher, _ = door.connected("p")
    door.send_packet(publisher, Publish("jobs", b"short", 1, packet_id=1, message_expiry_s=5))
    long = Publish("jobs", b"long", 1, packet_id=2, message_expiry_s=50, properties=b"\x08\x00\x01r")
    door.send_packet(publisher, long)
    other = member(door, "b")
    door.pass_time(20_000)
    door.cut(conn_id)
    (received,) = door.take(other)
    assert isinstance(received, Publish)
    assert (b"long", 30, b"\x08\x00\x01r") == (received.payload, received.message_expiry_s, received.properties)
    assert 1 == door.node.partition.accounting["expired"]


def test_absent_member_finds_it_in_its_queue() -> None:
    door = Door()
    lasting, _ = door.connected("b", expiry_s=100)
    door.send_packet(lasting, Subscribe(1, [Subscription("$share/g/jobs", 1)]))
    door.cut(lasting)
    conn_id = member(door, "a")
    publish(door, 2)
    door.cut(conn_id)
    door.connected("b", expiry_s=100, clean_start=False)
    assert [b"1", b"2"] == payloads(door.rest)


def test_what_is_given_before_the_log_knows_of_the_end_is_given_again() -> None:
    """The connection ends while a message for it is still on its way to the disk."""
    door = Door()
    first, second = member(door, "a"), member(door, "b")
    publisher, _ = door.connected("p")
    door.hold_disk = True
    door.send_packet(publisher, Publish("jobs", b"x", 1, packet_id=1))
    door.cut(first)
    door.release_disk()
    (packet,) = door.take(second)
    assert isinstance(packet, Publish)
    door.send_packet(second, Puback(packet.packet_id))
    assert 1 == door.node.edge.fanout.ledger.given_back
    door.send_packet(second, Pingreq())
    assert {} == door.node.edge.fanout.orphans._leaving  # nothing more is expected for it
    assert 0 == door.node.edge.fanout.ledger.open
    check_ledgers(door)


def test_a_long_queue_goes_back_in_slices() -> None:
    size = orphans.SLICE_BYTES // 2 - orphans.ORPHAN_BYTES - len("jobs")  # two of them make a slice
    door = Door()
    conn_id = member(door, "a")
    publisher, _ = door.connected("p")
    for number in range(1, 10):
        door.send_packet(publisher, Publish("jobs", bytes([number]) * size, 1, packet_id=number))
    other = member(door, "b")
    before = door.node.storage.groups[1].applied_index
    door.cut(conn_id)
    assert list(range(1, 10)) == [payload[0] for payload in payloads(door.take(other))]
    assert 5 == door.node.storage.groups[1].applied_index - before
    check_ledgers(door)


def test_what_is_left_is_bounded_in_bytes() -> None:
    size = orphans.ORPHAN_BYTES + len("jobs1")
    door = Door(edge=EdgeConfig(pending_bytes_max=3 * size))
    conn_id = member(door, "a")
    publish(door, 5)
    other = member(door, "b")
    door.cut(conn_id)
    assert [b"1", b"2", b"3"] == payloads(door.take(other))
    assert {ORPHANS_MAX.number: 2} == door.node.edge.fanout.ledger.dropped
    assert 2 == door.node.edge.causes.counts[ORPHANS_MAX.number]
    check_ledgers(door)


def test_a_member_at_another_node_gets_it() -> None:
    several = Several(2)
    first, second = several.connect(1, "a"), several.connect(2, "b")
    several.subscribe(first, Subscription("$share/g/jobs", 1))
    several.send(several.connect(2, "p"), *[Publish("jobs", b"%d" % n, 1, packet_id=n) for n in (1, 2)])
    several.subscribe(second, Subscription("$share/g/jobs", 1))
    several.connect(2, "a")  # takes the session over from the other node
    assert several.is_closed(first)
    assert [b"1", b"2"] == payloads(several.take(second))


def test_what_is_given_in_the_entry_that_takes_the_session_over_is_given_again() -> None:
    several = Several(2)
    first, second, publisher = several.connect(1, "a"), several.connect(2, "b"), several.connect(2, "p")
    for conn_id in (first, second):
        several.subscribe(conn_id, Subscription("$share/g/jobs", 1))
    data = encode_packet(V5, Publish("jobs", b"x", 1, packet_id=1))
    several.sites[2].edge.on_received(publisher, data)
    several.connect(2, "a")
    assert several.is_closed(first)
    assert [b"x"] == payloads(several.take(second))
    assert 1 == several.sites[1].edge.fanout.ledger.given_back


def test_the_next_slice_follows_when_the_one_under_way_is_in_the_log() -> None:
    several = Several(1)
    conn_id = several.connect(1, "a")
    several.subscribe(conn_id, Subscription("$share/g/jobs", 1))
    publisher = several.connect(1, "p")
    for number in range(1, 4):
        several.send(publisher, Publish("jobs", bytes(orphans.SLICE_BYTES), 1, packet_id=number))
    edge, pending = several.sites[1].edge, several.sites[1].pending
    edge.on_closed(conn_id, "reset")
    assert edge.flush()  # another turn is wanted at once
    batch = edge.take_batch()
    assert batch is not None
    assert not edge.flush()
    assert 2 == len(batch.commands)  # CloseSession and the first message
    assert edge.take_batch() is None
    several.log.append(stamped(pending.add(batch).data, several.now_ms))
    several.run()
    assert 3 == edge.fanout.ledger.given_back


def test_an_edge_that_was_taken_for_lost_gives_it_back_when_it_is_open_again() -> None:
    several = Several(2)
    first, second = several.connect(1, "a"), several.connect(2, "b")
    several.subscribe(first, Subscription("$share/g/jobs", 1))
    several.send(several.connect(2, "p"), *[Publish("jobs", b"%d" % n, 1, packet_id=n) for n in (1, 2)])
    several.subscribe(second, Subscription("$share/g/jobs", 1))
    several.close_edge(1)
    assert [] == payloads(several.take(second))
    several.open_edge(1)
    assert [b"1", b"2"] == payloads(several.take(second))
    assert 0 == several.sites[1].edge.fanout.ledger.open


def test_what_may_be_in_the_log_is_given_again_at_qos_1_only() -> None:
    """The edge closes while its word is on the way: a message of QoS 2 may not come twice."""
    several = Several(2)
    first, second = several.connect(1, "a"), several.connect(2, "b")
    several.subscribe(first, Subscription("$share/g/jobs", 2))
    site = several.sites[1]
    site.edge.on_blocked(first)  # so that nothing is sent
    several.send(several.connect(2, "p"), Publish("jobs", b"1", 1, packet_id=1), Publish("jobs", b"2", 2, packet_id=2))
    several.subscribe(second, Subscription("$share/g/jobs", 2))
    site.edge.on_closed(first, "reset")
    batch = site.edge.take_batch()
    assert batch is not None
    assert 3 == len(batch.commands)
    several.open_edge(1)
    assert [b"1"] == payloads(several.take(second))
    assert {SESSION_ENDED.number: 1} == site.edge.fanout.ledger.dropped
    assert site.edge.fanout.ledger.is_balanced()


def test_a_node_that_stops_leaves_it_to_members_of_other_nodes() -> None:
    cluster = Cluster()
    cluster.pass_time(3_000)
    first, _ = cluster.connected(1, "a")
    second, _ = cluster.connected(2, "b")
    cluster.send(1, first, Subscribe(1, [Subscription("$share/g/jobs", 1)]))
    publisher, _ = cluster.connected(3, "p")
    cluster.send(3, publisher, *[Publish("jobs", b"%d" % n, 1, packet_id=n) for n in (1, 2)])
    cluster.send(2, second, Subscribe(1, [Subscription("$share/g/jobs", 1)]))
    assert [b"1", b"2"] == payloads(cluster.take(1, first))
    cluster.take(2, second)
    cluster.members[1].inputs.stopping = True
    cluster.pass_time(3_000)
    assert [b"1", b"2"] == payloads(cluster.take(2, second))
