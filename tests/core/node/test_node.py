"""Goal: what a client sees of one node through its door, acknowledgements above all. Method: packets in, packets out,
with the disk's answers held back where it matters."""

import pytest

from quantum.core.broker.expiry import DUE_STEPS
from quantum.core.broker.outgoing import SEND_STEPS
from quantum.core.mqtt.packets import (
    V5,
    V31,
    V311,
    Connack,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from tests.core.node.door import Disk, Door

VERSIONS = (V31, V311, V5)


def subscribe(door: Door, conn_id: int, topic_filter: str, qos: int) -> None:
    door.send_packet(conn_id, Subscribe(9, [Subscription(topic_filter, qos)]))
    assert [Suback(9, [qos])] == door.take(conn_id)[:1]


@pytest.mark.parametrize("version", VERSIONS)
def test_connack_waits_for_the_disk(version: int) -> None:
    door = Door()
    door.hold_disk = True
    conn_id = door.connect("a", version)
    assert [] == door.take(conn_id)
    door.release_disk()
    assert [Connack] == [type(packet) for packet in door.take(conn_id)]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("qos", [1, 2])
def test_publish_is_acknowledged_and_delivered_only_when_it_is_durable(version: int, qos: int) -> None:
    door = Door()
    publisher, _ = door.connected("p", version=version)
    subscriber, _ = door.connected("s", version=version)
    subscribe(door, subscriber, "t/+", qos)
    door.hold_disk = True
    door.send_packet(publisher, Publish("t/1", b"x", qos, packet_id=7))
    assert [] == door.take(publisher)
    assert [] == door.take(subscriber)
    door.release_disk()
    assert [Puback(7) if qos == 1 else Pubrec(7)] == door.take(publisher)
    assert [Publish("t/1", b"x", qos, packet_id=1)] == door.take(subscriber)


@pytest.mark.parametrize("version", VERSIONS)
def test_qos_0_is_forwarded_without_the_disk(version: int) -> None:
    door = Door()
    publisher, _ = door.connected("p", version=version)
    subscriber, _ = door.connected("s")
    older, _ = door.connected("o", version=V311)
    for conn_id in (subscriber, older):
        subscribe(door, conn_id, "t/#", 2)
    door.hold_disk = True
    door.send_packet(publisher, *[Publish("t/1", b"%d" % number) for number in range(5)])
    for conn_id in (subscriber, older):
        assert [Publish("t/1", b"%d" % number) for number in range(5)] == door.take(conn_id)


@pytest.mark.parametrize("version", VERSIONS)
def test_qos_2_exchange_runs_to_its_end_and_a_duplicate_is_not_published(version: int) -> None:
    door = Door()
    publisher, _ = door.connected("p", version=version)
    subscriber, _ = door.connected("s", version=version)
    subscribe(door, subscriber, "t", 2)
    door.send_packet(publisher, Publish("t", b"x", 2, packet_id=7))
    door.send_packet(publisher, Publish("t", b"x", 2, dup=True, packet_id=7))
    assert [Pubrec(7), Pubrec(7)] == door.take(publisher)
    door.send_packet(publisher, Pubrel(7))
    assert [Pubcomp(7)] == door.take(publisher)
    assert [Publish("t", b"x", 2, packet_id=1)] == door.take(subscriber)
    door.send_packet(subscriber, Pubrec(1))
    assert [Pubrel(1)] == door.take(subscriber)
    door.send_packet(subscriber, Pubcomp(1))
    assert [] == door.take(subscriber)
    assert door.node.edge.fanout.ledger.is_balanced()


def test_unknown_pubrel_is_answered_with_0x92_in_v5() -> None:
    door = Door()
    publisher, _ = door.connected("p")
    door.send_packet(publisher, Pubrel(7))
    assert [Pubcomp(7, 0x92)] == door.take(publisher)


@pytest.mark.parametrize("version", (V311, V5))
def test_replicated_session_resumes_over_a_restart_with_dup(version: int) -> None:
    door = Door()
    subscriber, _ = door.connected("s", version=version, clean_start=False, expiry_s=1000)
    subscribe(door, subscriber, "t", 2)
    publisher, _ = door.connected("p", version=version)
    door.send_packet(publisher, Publish("t", b"1", 1, packet_id=1), Publish("t", b"2", 2, packet_id=2))
    assert [Publish("t", b"1", 1, packet_id=1), Publish("t", b"2", 2, packet_id=2)] == door.take(subscriber)
    door.send_packet(subscriber, Pubrec(2))
    assert [Pubrel(2)] == door.take(subscriber)
    again = Door(door.disk)
    resumed, connack = again.connected("s", version=version, clean_start=False, expiry_s=1000)
    assert connack.session_present
    assert [Publish("t", b"1", 1, dup=True, packet_id=1), Pubrel(2)] == again.rest
    again.send_packet(resumed, Puback(1), Pubcomp(2))
    third = Door(again.disk)
    _, connack = third.connected("s", version=version, clean_start=False, expiry_s=1000)
    assert connack.session_present
    assert [] == third.rest


def test_received_qos_2_identifiers_survive_a_restart() -> None:
    door = Door()
    publisher, _ = door.connected("p", clean_start=False, expiry_s=1000)
    door.send_packet(publisher, Publish("t", b"x", 2, packet_id=7))
    again = Door(door.disk)
    subscriber, _ = again.connected("s")
    subscribe(again, subscriber, "t", 2)
    resumed, _ = again.connected("p", clean_start=False, expiry_s=1000)
    again.send_packet(resumed, Publish("t", b"x", 2, dup=True, packet_id=7))
    assert [Pubrec(7)] == again.take(resumed)
    assert [] == again.take(subscriber)
    again.send_packet(resumed, Pubrel(7))
    assert [Pubcomp(7)] == again.take(resumed)


def test_takeover_tells_the_old_connection() -> None:
    door = Door()
    old, _ = door.connected("c", expiry_s=100, clean_start=False)
    _, connack = door.connected("c", expiry_s=100, clean_start=False)
    assert connack.session_present
    farewell = door.take(old)
    assert [0x8E] == [packet.reason_code for packet in farewell if isinstance(packet, Disconnect)]
    assert [old] == door.closed


@pytest.mark.parametrize("is_clean", [True, False])
def test_will_is_sent_unless_disconnect_says_0(is_clean: bool) -> None:
    door = Door()
    watcher, _ = door.connected("w")
    subscribe(door, watcher, "will", 1)
    client, _ = door.connected("c", will=Will("will", b"gone", 1, False))
    if is_clean:
        door.send_packet(client, Disconnect(0))
        assert [] == door.take(watcher)
    else:
        door.cut(client)
        assert [Publish("will", b"gone", 1, packet_id=1)] == door.take(watcher)


def test_will_delay_passes_on_the_virtual_clock() -> None:
    door = Door()
    watcher, _ = door.connected("w")
    subscribe(door, watcher, "will", 0)
    client, _ = door.connected("c", expiry_s=100, will=Will("will", b"gone", 0, False, delay_s=5))
    door.cut(client)
    door.pass_time(4_999)
    assert [] == door.take(watcher)
    door.pass_time(2)
    assert [Publish("will", b"gone")] == door.take(watcher)


def test_all_sessions_that_end_at_one_instant_end_though_nobody_asks_for_anything() -> None:
    door = Door()
    for number in range(DUE_STEPS + 10):
        door.cut(door.connect(f"c{number}", clean_start=False, expiry_s=60))
    door.pass_time(60_000 + DUE_STEPS)
    assert (0, 0) == (door.node.partition.counts()["sessions"], door.node.partition.next_deadline_ms())


def test_sessions_that_come_back_together_are_sent_all_that_waits_though_nobody_asks_for_anything() -> None:
    door = Door()
    clients = ["a", "b", "c"]
    for client_id in clients:
        conn_id, _ = door.connected(client_id, clean_start=False, expiry_s=60)
        subscribe(door, conn_id, "t", 1)
        door.cut(conn_id)
    publisher, _ = door.connected("p")
    count = SEND_STEPS // 2
    for packet_id in range(1, count + 1):
        door.send_packet(publisher, Publish("t", b"x", 1, packet_id=packet_id))
    connections = [door.connect(client_id, clean_start=False, expiry_s=60) for client_id in clients]
    door.pass_time(10)
    assert [count + 1] * 3 == [len(door.take(conn_id)) for conn_id in connections]


def test_keep_alive_ends_at_one_and_a_half() -> None:
    door = Door()
    client, _ = door.connected("c", keep_alive_s=10)
    door.pass_time(14_900)
    assert [] == door.closed
    door.send_packet(client, Pingreq())
    assert [Pingresp()] == door.take(client)
    door.pass_time(14_900)
    assert [] == door.closed
    door.pass_time(200)
    assert [client] == door.closed
    assert [0x8D] == [packet.reason_code for packet in door.take(client) if isinstance(packet, Disconnect)]


def test_retained_message_follows_suback_and_is_deleted_by_an_empty_one() -> None:
    door = Door()
    publisher, _ = door.connected("p")
    door.send_packet(publisher, Publish("r/1", b"one", 1, True, packet_id=1), Publish("r/2", b"two", 0, True))
    door.take(publisher)
    subscriber, _ = door.connected("s")
    door.send_packet(subscriber, Subscribe(3, [Subscription("r/#", 1)]))
    expected = [Suback(3, [1]), Publish("r/1", b"one", 1, True, packet_id=1), Publish("r/2", b"two", 0, True)]
    assert expected == door.take(subscriber)
    door.send_packet(publisher, Publish("r/1", b"", 1, True, packet_id=2))
    late, _ = door.connected("l")
    door.send_packet(late, Subscribe(3, [Subscription("r/#", 1)]))
    assert [Suback(3, [1]), Publish("r/2", b"two", 0, True)] == door.take(late)


def test_unsubscribe_ends_delivery() -> None:
    door = Door()
    subscriber, _ = door.connected("s")
    subscribe(door, subscriber, "t", 1)
    door.send_packet(subscriber, Unsubscribe(4, ["t", "nothing"]))
    assert [0, 0x11] == door.take(subscriber)[0].reason_codes  # type: ignore[union-attr]
    publisher, _ = door.connected("p")
    door.send_packet(publisher, Publish("t", b"x", 1, packet_id=1), Publish("t", b"x"))
    assert [] == door.take(subscriber)


def test_window_holds_messages_back_until_acknowledged() -> None:
    door = Door()
    subscriber, _ = door.connected("s", properties={33: 2})
    subscribe(door, subscriber, "t", 1)
    publisher, _ = door.connected("p")
    door.send_packet(publisher, *[Publish("t", b"%d" % n, 1, packet_id=n) for n in range(1, 5)])
    assert [1, 2] == [packet.packet_id for packet in door.take(subscriber) if isinstance(packet, Publish)]
    door.send_packet(subscriber, Puback(1))
    assert [b"3"] == [packet.payload for packet in door.take(subscriber) if isinstance(packet, Publish)]


def test_second_connect_and_first_publish_close_only_their_connection() -> None:
    door = Door()
    other, _ = door.connected("other")
    client, _ = door.connected("c")
    door.send_packet(client, Publish("bad/+", b"x"))
    assert [0x90] == [p.reason_code for p in door.take(client) if isinstance(p, Disconnect)]
    raw = door.open()
    door.send(raw, b"\x30\x04\x00\x01tx")
    assert {client, raw} == set(door.closed)
    door.send_packet(other, Pingreq())
    assert [Pingresp()] == door.take(other)


def test_a_failed_write_ends_all_acknowledgements() -> None:
    door = Door()
    publisher, _ = door.connected("p")
    door.disk.error = "EIO"
    door.send_packet(publisher, Publish("t", b"x", 1, packet_id=1))
    assert not any(isinstance(packet, Puback) for packet in door.take(publisher))
    assert "EIO" in door.failure
    reply = door.ask("/readyz")
    assert 503 == reply.status
    assert "EIO" in str(reply.body)


def test_why_names_the_cause_of_a_refusal() -> None:
    door = Door()
    client, _ = door.connected("c")
    door.send_packet(client, Publish("$SYS/x", b"", 1, packet_id=1))
    (answer,) = door.take(client)
    assert isinstance(answer, Puback)
    assert 0x90 == answer.reason_code
    assert "topic_name_invalid" in str(answer.properties)
    assert "topic_name_invalid" in str(door.ask("/why/client/c").body)
    assert "topic_name_invalid" in str(door.ask("/why").body)


def test_metrics_name_the_accounts() -> None:
    door = Door()
    rows = door.ask("/metrics").body
    assert rows is not None
    assert "quantum_edge_ledger_balanced" in str(rows)


def test_stopping_makes_everything_durable_and_says_goodbye() -> None:
    door = Door()
    client, _ = door.connected("c")
    door.hold_disk = True
    door.send_packet(client, Publish("t", b"x", 1, packet_id=1))
    door.inputs.stopping = True
    door.turn()
    assert not door.out.is_stopped
    door.hold_disk = False
    door.inputs.disk_done = [door.disk.answer(request) for request in door.held]
    door.held = []
    while not door.out.is_stopped:
        door.turn()
    kinds = [type(packet) for packet in door.take(client)]
    assert [Puback, Disconnect] == kinds


def test_fresh_disk_is_prepared_once() -> None:
    disk = Disk()
    Door(disk)
    before = set(disk.files)
    Door(disk)
    assert before <= set(disk.files)
