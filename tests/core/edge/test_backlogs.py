"""Goal: under `least_inflight` a worker whose session ends with its connection is given no more than it can take, because
its edge says when it is behind and when it has caught up, and says nothing else. Method: workers by the node's door."""

from dataclasses import replace

import pytest

from quantum.core.broker.commands import LEAST_INFLIGHT, ROUND_ROBIN
from quantum.core.mqtt.packets import Puback, Publish, Subscribe, Subscription
from quantum.core.node.config import default_policy
from tests.core.node.door import Door


def make_door(strategy: int = LEAST_INFLIGHT) -> Door:
    return Door(policy=replace(default_policy(), shared_strategy=strategy))


def worker(door: Door, client_id: str, window: int) -> int:
    conn_id, _ = door.connected(client_id, properties={33: window})
    door.send_packet(conn_id, Subscribe(1, [Subscription("$share/g/jobs", 1)]))
    door.take(conn_id)
    return conn_id


def publish(door: Door, publisher: int, count: int) -> None:
    for number in range(1, count + 1):
        door.send_packet(publisher, Publish("jobs", b"%d" % number, 1, packet_id=number))
    assert count == len(door.take(publisher))


def given(door: Door, conn_id: int) -> list[int]:
    """Packet Identifiers of the jobs a worker was sent."""
    return [packet.packet_id for packet in door.take(conn_id) if isinstance(packet, Publish)]


def is_behind(door: Door, client_id: str) -> bool:
    return bool(door.node.partition.session_view(client_id)["is_behind"])


def test_worker_that_stands_still_is_spared_and_comes_back_when_it_caught_up() -> None:
    door = make_door()
    lazy, eager = worker(door, "a", 4), worker(door, "b", 100)
    publisher, _ = door.connected("p")
    publish(door, publisher, 30)
    jobs = given(door, lazy)
    assert 4 == len(jobs)
    assert is_behind(door, "a")
    assert 30 - 4 - 1 == len(given(door, eager))  # one waits at the edge: it told the log that it is full
    acked = 0
    while is_behind(door, "a"):
        door.send_packet(lazy, Puback(jobs[acked]))
        acked += 1
        jobs += given(door, lazy)
    assert 5 == len(jobs)
    assert 3 == acked  # the one that waited, and half of the window
    publish(door, publisher, 2)
    assert 1 == len(given(door, lazy))


def test_worker_whose_session_lasts_is_weighed_without_a_word() -> None:
    door = make_door()
    conn_id, _ = door.connected("a", clean_start=False, expiry_s=100, properties={33: 1})
    door.send_packet(conn_id, Subscribe(1, [Subscription("$share/g/jobs", 1)]))
    publisher, _ = door.connected("p")
    publish(door, publisher, 5)
    assert not is_behind(door, "a")
    assert 5 == door.node.partition.counts()["queued_messages"] + door.node.partition.counts()["inflight_messages"]


def test_nothing_is_said_under_another_strategy() -> None:
    door = make_door(ROUND_ROBIN)
    worker(door, "a", 1)
    publisher, _ = door.connected("p")
    before = door.node.storage.groups[1].applied_index
    publish(door, publisher, 5)
    assert not is_behind(door, "a")
    assert 5 == door.node.storage.groups[1].applied_index - before


@pytest.mark.parametrize("is_acknowledged", [True, False])
def test_steady_worker_costs_no_entry_beside_its_jobs(is_acknowledged: bool) -> None:
    door = make_door()
    conn_id = worker(door, "a", 100)
    publisher, _ = door.connected("p")
    before = door.node.storage.groups[1].applied_index
    for _ in range(10):
        publish(door, publisher, 5)
        for packet_id in given(door, conn_id) if is_acknowledged else []:
            door.send_packet(conn_id, Puback(packet_id))
    assert 50 == door.node.storage.groups[1].applied_index - before
    assert not is_behind(door, "a")


def test_jobs_that_expire_while_they_wait_let_the_worker_catch_up() -> None:
    door = make_door()
    conn_id = worker(door, "a", 1)
    publisher, _ = door.connected("p")
    door.send_packet(publisher, Publish("jobs", b"1", 1, packet_id=1))
    door.send_packet(publisher, Publish("jobs", b"2", 1, packet_id=2, message_expiry_s=1))
    assert is_behind(door, "a")
    door.pass_time(2000)
    (packet_id,) = given(door, conn_id)
    door.send_packet(conn_id, Puback(packet_id))
    door.run()
    door.send_packet(publisher, Publish("other", b"", 1, packet_id=3))
    assert not is_behind(door, "a")
    assert [] == given(door, conn_id)


def test_worker_that_goes_while_it_is_behind_leaves_nothing() -> None:
    door = make_door()
    conn_id = worker(door, "a", 1)
    publisher, _ = door.connected("p")
    publish(door, publisher, 3)
    assert is_behind(door, "a")
    door.cut(conn_id)
    again = worker(door, "a", 1)
    assert not is_behind(door, "a")
    publish(door, publisher, 1)
    assert 1 == len(given(door, again))
