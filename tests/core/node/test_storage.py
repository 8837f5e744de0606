"""Goal: the disk stays bounded, a restart replays what is behind the snapshot, and a directory that is not ours is left
alone. Method: a node behind its door, with segments of 1 MiB and a snapshot every 4 MiB of log."""

import json

import pytest

from quantum.core.mqtt.packets import Puback, Publish, Subscribe, Subscription
from tests.core.node.door import Disk, Door

SEGMENT = 1 << 20


def filled(rounds: int) -> Door:
    door = Door()
    keeper, _ = door.connected("keeper", clean_start=False, expiry_s=1000)
    door.send_packet(keeper, Subscribe(1, [Subscription("keep/#", 1)]))
    door.cut(keeper)
    publisher, _ = door.connected("p")
    for number in range(rounds):
        packet_id = number + 1
        door.send_packet(publisher, Publish(f"r/{number % 7}", bytes(65_536), 1, True, packet_id=packet_id))
        if number % 20 == 0:
            door.send_packet(publisher, Publish("keep/x", b"%d" % number, 1, packet_id=packet_id + 30_000))
        assert any(Puback(packet_id) == packet for packet in door.take(publisher))
    return door


def log_bytes(disk: Disk) -> int:
    return sum(len(data) for name, data in disk.files.items() if name.startswith("wal/"))


def test_endless_traffic_leaves_a_bounded_log() -> None:
    door = filled(400)
    assert log_bytes(door.disk) <= 8 * SEGMENT
    assert 1 == len([name for name in door.disk.files if name.endswith("manifest.json")])


def test_restart_restores_the_snapshot_and_replays_what_is_behind_it() -> None:
    door = filled(150)
    digest = door.node.partition.digest()
    counts = door.node.partition.counts()
    again = Door(door.disk)
    assert counts["retained_messages"] == again.node.partition.counts()["retained_messages"]
    assert digest != again.node.partition.digest()  # its edge was opened once more, which ends the publisher's session
    _, connack = again.connected("keeper", clean_start=False, expiry_s=1000)
    assert connack.session_present
    assert [b"%d" % n for n in range(0, 150, 20)] == [p.payload for p in again.rest if isinstance(p, Publish)]


def test_a_crash_anywhere_around_a_snapshot_keeps_everything() -> None:
    door = filled(60)
    base = {name: bytearray(data) for name, data in door.disk.files.items()}
    publisher, _ = door.connected("q")
    for number in range(60, 75):
        door.send_packet(publisher, Publish(f"r/{number % 7}", bytes(65_536), 1, True, packet_id=number))
        copy = Disk()
        copy.files = {name: bytearray(data) for name, data in door.disk.files.items()}
        assert 7 == Door(copy).node.partition.counts()["retained_messages"]
    assert base.keys() != door.disk.files.keys()


def test_a_damaged_snapshot_is_named() -> None:
    door = filled(150)
    name = next(name for name in sorted(door.disk.files) if "chunk" in name and len(door.disk.files[name]) > 100)
    door.disk.files[name][50] ^= 1
    again = Door(door.disk)
    assert name in again.failure
    assert 503 == again.ask("/readyz").status


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"node_id": "other"}, "other"),
        ({"format": 99}, "format 99"),
        ({"format": None}, "unreadable"),
    ],
)
def test_a_directory_that_is_not_ours_is_refused_untouched(change: dict[str, object], said: str) -> None:
    door = Door()
    fields = json.loads(bytes(door.disk.files["node.json"]))
    door.disk.files["node.json"] = bytearray(json.dumps({**fields, **change}).encode())
    before = {name: bytes(data) for name, data in door.disk.files.items()}
    again = Door(door.disk)
    assert said in again.failure
    assert before == {name: bytes(data) for name, data in door.disk.files.items()}


def test_data_without_its_identity_is_refused_untouched() -> None:
    door = Door()
    del door.disk.files["node.json"]
    before = {name: bytes(data) for name, data in door.disk.files.items()}
    assert "node.json" in Door(door.disk).failure
    assert before == {name: bytes(data) for name, data in door.disk.files.items()}
