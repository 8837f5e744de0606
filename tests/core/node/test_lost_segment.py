"""Goal: a segment that is gone is missed, wherever the log had gone on in it. Method: three nodes; the last batch of one
rots, so that its next life goes on in the next segment; then that file is lost."""

from quantum.core.node.node import PARTITION
from tests.core.node.cluster import Cluster
from tests.core.node.test_cluster_storage import filled, followers, lose_last_segment, settled


def rot_last_batch(cluster: Cluster, number: int) -> None:
    """One bit of the last batch."""
    files = cluster.members[number].disk.files
    at = files["wal/segment-0000000001.log"].rfind(b"QBAT")
    files["wal/segment-0000000001.log"][at + 60] ^= 1


def test_a_segment_begun_behind_damage_is_missed_when_it_is_lost() -> None:
    cluster = Cluster()
    leader, a, _ = followers(cluster)
    filled(cluster, leader, 3)
    settled(cluster)
    cluster.kill(a)
    rot_last_batch(cluster, a)
    cluster.start(a)
    settled(cluster)
    filled(cluster, leader, 2, 1000)
    settled(cluster)
    for number in cluster.numbers:
        cluster.kill(number)
    lose_last_segment(cluster, a)
    cluster.start(a)
    cluster.pass_time(5_000)
    doubt = cluster.members[a].up.storage.groups[PARTITION].raft.doubt
    assert (True, True) == (doubt.is_tail_doubtful, doubt.is_vote_doubtful)
    for number in cluster.numbers:
        if number != a:
            cluster.start(number)
    settled(cluster)
