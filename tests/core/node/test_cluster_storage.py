"""Goal: a node that is behind, new, wiped or damaged gets what it needs from its peers. Method: three nodes whose frames
are passed by hand, with snapshots every 64 KiB of log."""

import pytest

from quantum.core.mqtt.packets import Puback, Publish, Subscribe, Subscription
from quantum.core.node.node import PARTITION
from quantum.core.node.storage import StorageConfig
from tests.core.node.cluster import Cluster

SMALL = StorageConfig(segment_bytes=1 << 15, snapshot_log_bytes=1 << 16, snapshot_slice_bytes=1 << 12)


def filled(cluster: Cluster, number: int, rounds: int, first: int = 1) -> None:
    """Retained messages, so that there is a state worth a snapshot."""
    conn_id, _ = cluster.connected(number, f"filler{first}")
    for at in range(first, first + rounds):
        cluster.send(number, conn_id, Publish(f"r/{at % 50}", b"%d" % at * 400, 1, True, packet_id=at))
        assert [Puback(at)] == cluster.take(number, conn_id)


def settled(cluster: Cluster) -> None:
    cluster.pass_time(6_000)
    assert 1 == len(cluster.digests())
    assert 1 == len(set(cluster.applied()))
    for member in cluster.members.values():
        if member.node is not None:
            assert "" == member.failure
            assert 200 == cluster.ask(member.number, "GET", "/readyz").status


def snapshot_index(cluster: Cluster, number: int) -> int:
    return cluster.members[number].up.storage.groups[PARTITION].snapshot_index


def followers(cluster: Cluster) -> tuple[int, int, int]:
    leader = cluster.leader()
    a, b = [number for number in cluster.numbers if number != leader]
    return leader, a, b


def test_every_replica_bounds_its_own_log() -> None:
    cluster = Cluster(storage=SMALL)
    filled(cluster, 1, 300)
    settled(cluster)
    for number, member in cluster.members.items():
        assert snapshot_index(cluster, number) > 100
        assert sum(len(data) for name, data in member.disk.files.items() if name.startswith("wal/")) < 1 << 19


def test_a_wiped_node_gets_a_snapshot_and_the_log_behind_it() -> None:
    cluster = Cluster(storage=SMALL)
    leader, a, _ = followers(cluster)
    filled(cluster, leader, 200)
    cluster.kill(a)
    cluster.members[a].disk.files.clear()
    for number in cluster.numbers:
        if number != a:
            cluster.members[number].up.storage.groups[PARTITION].raft.compact(snapshot_index(cluster, number))
    cluster.start(a)
    settled(cluster)
    assert snapshot_index(cluster, a) > 0
    filled(cluster, a, 20, 1000)
    settled(cluster)


def test_a_restart_after_an_installed_snapshot_finds_the_same_state() -> None:
    cluster = Cluster(storage=SMALL)
    leader, a, _ = followers(cluster)
    cluster.kill(a)
    filled(cluster, leader, 200)
    for number in cluster.numbers:
        if number != a:
            cluster.members[number].up.storage.groups[PARTITION].raft.compact(snapshot_index(cluster, number))
    cluster.start(a)
    settled(cluster)
    before = snapshot_index(cluster, a)
    assert before > 0
    cluster.kill(a)
    cluster.start(a)
    settled(cluster)
    assert before <= snapshot_index(cluster, a)


@pytest.mark.parametrize("share", [10, 30])
def test_a_transfer_survives_lost_frames(share: int) -> None:
    cluster = Cluster(storage=SMALL)
    leader, a, _ = followers(cluster)
    cluster.kill(a)
    filled(cluster, leader, 200)
    cluster.members[leader].up.storage.groups[PARTITION].raft.compact(snapshot_index(cluster, leader))
    cluster.drop_share = share
    cluster.start(a)
    cluster.pass_time(30_000)
    cluster.drop_share = 0
    settled(cluster)
    assert snapshot_index(cluster, a) > 0


def test_a_transfer_goes_on_when_the_receiver_restarts() -> None:
    cluster = Cluster(storage=SMALL)
    leader, a, _ = followers(cluster)
    cluster.kill(a)
    filled(cluster, leader, 200)
    cluster.members[leader].up.storage.groups[PARTITION].raft.compact(snapshot_index(cluster, leader))
    cluster.start(a)
    for _ in range(40):
        for member in cluster.members.values():
            cluster.turn(member)
    cluster.kill(a)
    cluster.start(a)
    settled(cluster)


def test_subscriber_at_a_node_that_jumps_to_a_snapshot_is_told_to_come_again_and_misses_nothing() -> None:
    cluster = Cluster(storage=SMALL)
    leader, a, _ = followers(cluster)
    subscriber, _ = cluster.connected(a, "s", expiry_s=1_000)
    cluster.send(a, subscriber, Subscribe(9, [Subscription("k", 1)]))
    cluster.take(a, subscriber)
    publisher, _ = cluster.connected(leader, "p")
    cluster.cut = {(leader, a)}
    cluster.send(leader, publisher, Publish("k", b"x", 1, packet_id=1))
    filled(cluster, leader, 200)
    cluster.members[leader].up.storage.groups[PARTITION].raft.compact(snapshot_index(cluster, leader))
    cluster.cut = set()
    cluster.pass_time(6_000)
    if cluster.members[a].closed:
        _, is_present = cluster.connected(a, "s", expiry_s=1_000, clean=False)
        assert is_present
        assert [b"x"] == [packet.payload for packet in cluster.rest if isinstance(packet, Publish)]
    else:
        assert [b"x"] == [p.payload for p in cluster.take(a, subscriber) if isinstance(p, Publish)]
    settled(cluster)


def rot(cluster: Cluster, number: int, at: int) -> None:
    """Turn a bit of a node's log, `at` per mille into what is written."""
    files = cluster.members[number].disk.files
    name = min(name for name in files if name.startswith("wal/"))
    data = files[name]
    size = len(bytes(data).rstrip(b"\0"))
    data[size * at // 1000] ^= 0x10


@pytest.mark.parametrize("at", [2, 100, 500, 900, 999])
def test_rot_in_a_followers_log_is_repaired_from_its_peers(at: int) -> None:
    cluster = Cluster(storage=SMALL)
    leader, a, _ = followers(cluster)
    filled(cluster, leader, 60)
    cluster.kill(a)
    rot(cluster, a, at)
    cluster.start(a)
    settled(cluster)
    filled(cluster, a, 5, 1000)
    settled(cluster)
    cluster.kill(a)
    cluster.start(a)
    settled(cluster)


def test_rot_on_every_replica_in_disjoint_places_is_repaired() -> None:
    cluster = Cluster(storage=SMALL)
    filled(cluster, 1, 60)
    settled(cluster)
    before = cluster.members[1].up.partition.counts()["retained_messages"]
    for number in cluster.numbers:
        cluster.kill(number)
        rot(cluster, number, 250 * number)
    for number in cluster.numbers:
        cluster.start(number)
    settled(cluster)
    assert before == cluster.members[1].up.partition.counts()["retained_messages"]


def test_a_damaged_snapshot_is_replaced_by_a_peers() -> None:
    cluster = Cluster(storage=SMALL)
    leader, a, _ = followers(cluster)
    filled(cluster, leader, 200)
    settled(cluster)
    cluster.kill(a)
    files = cluster.members[a].disk.files
    name = next(name for name in sorted(files) if "chunk" in name and len(files[name]) > 100)
    files[name][50] ^= 1
    cluster.start(a)
    settled(cluster)
    cluster.kill(a)
    cluster.start(a)
    settled(cluster)


def test_a_damaged_manifest_is_replaced_by_a_peers() -> None:
    cluster = Cluster(storage=SMALL)
    leader, a, _ = followers(cluster)
    filled(cluster, leader, 200)
    settled(cluster)
    cluster.kill(a)
    files = cluster.members[a].disk.files
    name = next(name for name in sorted(files) if name.endswith("manifest.json"))
    files[name][20] ^= 1
    cluster.start(a)
    settled(cluster)
    cluster.kill(a)
    cluster.start(a)
    settled(cluster)


def lose_last_segment(cluster: Cluster, number: int) -> None:
    """The last file with something in it is gone, and the empty one behind it."""
    files = cluster.members[number].disk.files
    names = sorted(name for name in files if name.startswith("wal/"))
    while not any(files[names[-1]]):
        del files[names.pop()]
    del files[names[-1]]


@pytest.mark.parametrize("rounds", [10, 150])
def test_a_replica_whose_last_segment_is_gone_does_not_vote_on_what_is_left(rounds: int) -> None:
    cluster = Cluster(storage=SMALL)
    leader, a, b = followers(cluster)
    filled(cluster, leader, rounds)
    settled(cluster)
    cluster.cut = {(x, b) for x in cluster.numbers} | {(b, x) for x in cluster.numbers}
    filled(cluster, leader, 2, 1000)
    for number in cluster.numbers:
        cluster.kill(number)
    cluster.cut = set()
    lose_last_segment(cluster, a)
    cluster.start(a)
    cluster.start(b)
    cluster.pass_time(10_000)
    assert 0 == cluster.leader()
    cluster.start(leader)
    settled(cluster)


def test_a_snapshot_that_cannot_be_read_for_a_peer_is_cut_anew() -> None:
    cluster = Cluster(storage=SMALL)
    leader, a, _ = followers(cluster)
    cluster.kill(a)
    filled(cluster, leader, 200)
    cluster.pass_time(500)
    before = snapshot_index(cluster, leader)
    cluster.members[leader].up.storage.groups[PARTITION].raft.compact(before)
    cluster.members[leader].disk.unreadable = next(n for n in cluster.members[leader].disk.files if "chunk-000002" in n)
    cluster.start(a)
    settled(cluster)
    assert before < snapshot_index(cluster, leader)
