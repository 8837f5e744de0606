"""Goal: a replica that may have forgotten a vote or entries helps nobody to lead whom it should not, and gets over it.
Method: disks that are wiped or cut while the cluster goes on. Source: FAULTS W4, F32; Raft §5.4.3."""

from quantum.core.raft.membership import Membership
from quantum.core.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    LastEntryReply,
    RequestLastEntry,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from quantum.core.raft.records import HardStateRecord
from quantum.core.raft.role import LEADER
from tests.core.raft.cluster import Cluster, messages_of, with_log


def test_fresh_disks_settle_when_all_have_met_once() -> None:
    cluster = Cluster(3)
    for node in (1, 2, 3):
        cluster.disk(node).wipe()
    cluster.crash(1, 2, 3)
    cluster.start(1, 2)
    cluster.advance(10_000)
    assert [] == messages_of(cluster, RequestVote)
    cluster.start(3)
    assert cluster.await_leader() in (1, 2, 3)
    assert [True] * 3 == [cluster[node].doubt.is_settled for node in (1, 2, 3)]


def test_sole_voter_settles_at_once() -> None:
    cluster = Cluster(1)
    cluster.crash(1)
    cluster.disk(1).wipe()
    cluster.start(1)
    cluster.advance(50)
    assert LEADER == cluster[1].role
    assert cluster[1].doubt.is_settled


def test_who_doubts_its_vote_takes_part_in_nothing() -> None:
    cluster = Cluster(3)
    cluster.crash(3)
    cluster.disk(3).wipe()
    cluster.start(3)
    cluster.isolate(3)
    before = len(cluster.sent)
    raft = cluster[3]
    for message in (
        RequestPreVote(9, 9, 8),
        RequestVote(9, 9, 8, True),
        AppendEntries(9, 0, 0, 0),
    ):
        raft.on_message(1, message)
        cluster.fsync(3)
    assert not raft.on_snapshot_received(1, 9, 5, 8, Membership((1, 2, 3)))
    cluster.advance(20_000, [3])
    assert 0 == raft.current_term
    sent = [message for node, _, message in cluster.sent[before:] if node == 3]
    assert [] == [message for message in sent if not isinstance(message, RequestLastEntry)]


def test_a_forgotten_vote_is_not_given_twice() -> None:
    """1. node 3 votes for node 1 in term 5  2. its disk is exchanged  3. node 2 asks for its vote in term 5."""
    cluster = Cluster(3)
    for node in (1, 2, 3):
        with_log(cluster, node, current_term=4)
    cluster.cut((3, 1))
    cluster.expire(1)
    cluster[1].on_message(2, RequestPreVoteReply(5, True))
    cluster.fsync(1)
    cluster.take(lambda sent: sent[1] == 2)
    cluster.settle()
    assert (5, 1) == (cluster[3].current_term, cluster[3].voted_for)
    cluster.crash(3)
    cluster.disk(3).wipe()
    cluster.heal()
    cluster.start(3)
    cluster.settle()
    assert (True, 5, 3) == (not cluster[3].doubt.is_vote_doubtful, cluster[3].current_term, cluster[3].voted_for)
    cluster.deliver((2, 3, RequestVote(5, 0, 0, False)))
    cluster.fsync(3)
    assert [RequestVoteReply(5, False)] == messages_of(cluster, RequestVoteReply, sender=3, to=2)


def test_a_vote_that_the_disk_does_say_is_kept() -> None:
    """FAULTS R8: in one term, one vote, whatever is doubted."""
    cluster = Cluster(3)
    cluster.disk(3).records = [HardStateRecord(5, 1)]
    cluster.disk(3).is_vote_doubtful = True
    for node in (1, 2):
        with_log(cluster, node, current_term=5)
    cluster.restart(3)
    cluster.settle()
    assert (5, 1) == (cluster[3].current_term, cluster[3].voted_for)


def test_wiped_node_under_its_old_number_does_not_elect_who_lacks_what_it_acknowledged() -> None:
    """1. an entry is committed by nodes 1 and 3  2. node 3 is wiped  3. node 2, which never had it, campaigns."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(2)
    cluster.propose(1, b"kept")
    cluster.crash(3)
    cluster.disk(3).wipe()
    cluster.heal()
    cluster.cut((1, 2), (2, 1))
    cluster.start(3)
    cluster.settle()
    assert not cluster[3].doubt.is_vote_doubtful
    cluster.crash(1)
    cluster.advance(20_000)
    assert LEADER not in (cluster[2].role, cluster[3].role)
    cluster.start(1)
    cluster.heal()
    leader = cluster.await_leader()
    cluster.propose(leader, b"more")
    cluster.advance(1_000)
    assert [[b"kept", b"more"]] * 3 == [cluster.replicas[node].data() for node in (1, 2, 3)]


def test_tail_is_settled_by_a_leader_once_all_it_told_of_is_durable() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b", b"c")
    cluster.crash(2, 3)
    cluster.disk(3).cut(2)
    cluster.start(3)
    cluster.fsync(3)
    cluster.slow[3] = True
    cluster.advance(400)
    assert 4 == cluster[3].log.last_index
    assert cluster[3].doubt.is_tail_doubtful
    cluster.slow = {}
    cluster.advance(400)
    assert not cluster[3].doubt.is_tail_doubtful
    cluster.disk(3).is_tail_doubtful = False
    assert not cluster.disk(3).recover().is_tail_doubtful


def test_tail_is_settled_by_all_others_without_a_leader() -> None:
    cluster = Cluster(3)
    for node in (1, 2, 3):
        with_log(cluster, node, 1, 1, current_term=1)
    cluster.disk(3).is_tail_doubtful = True
    cluster.restart(3)
    cluster.settle()
    assert not cluster[3].doubt.is_tail_doubtful


def test_who_doubts_its_tail_votes_for_no_shorter_log() -> None:
    cluster = Cluster(3)
    with_log(cluster, 1, 1, 1, 1, current_term=1)
    with_log(cluster, 2, 1, 1, current_term=1)
    with_log(cluster, 3, 1, 1, 1, current_term=1)
    cluster.disk(3).cut(2)
    cluster.restart(3)
    raft = cluster[3]
    raft.on_message(2, RequestVote(2, 2, 1, False))
    cluster.fsync(3)
    assert (2, 0) == (raft.current_term, raft.voted_for)
    cluster.settle()  # Everybody answers: the floor is (1, 3).
    raft.on_message(2, RequestVote(3, 2, 1, False))
    assert (3, 0) == (raft.current_term, raft.voted_for)
    raft.on_message(1, RequestVote(4, 3, 1, False))
    assert (4, 1) == (raft.current_term, raft.voted_for)


def test_pre_votes_and_votes_obey_the_same_doubt() -> None:
    cluster = Cluster(3)
    with_log(cluster, 3, 1, current_term=1)
    cluster.disk(3).is_tail_doubtful = True
    cluster.restart(3)
    cluster.deliver((1, 3, RequestPreVote(2, 9, 1)))
    cluster.fsync(3)
    assert [RequestPreVoteReply(1, False)] == messages_of(cluster, RequestPreVoteReply, sender=3)


def test_answers_to_an_earlier_life_settle_nothing() -> None:
    cluster = Cluster(3)
    cluster.disk(3).is_tail_doubtful = True
    cluster.disk(3).is_vote_doubtful = True
    cluster.restart(3)
    membership = b"\x03\x00\x00\x00\x00\x00\x01\x00\x00\x00\x02\x00\x00\x00\x03\x00\x00\x00"
    for sender in (1, 2):
        cluster[3].on_message(sender, LastEntryReply(4711, 9, 9, 9, True, 0, membership))
    assert cluster[3].doubt.is_vote_doubtful


def test_doubt_outlives_another_crash() -> None:
    cluster = Cluster(3)
    with_log(cluster, 3, 1, current_term=1)
    cluster.disk(3).is_tail_doubtful = True
    cluster.isolate(3)
    cluster.restart(3)
    cluster.fsync(3)
    cluster.disk(3).is_tail_doubtful = False  # The damage itself is gone with the log that was damaged.
    cluster.restart(3)
    assert cluster[3].doubt.is_tail_doubtful


def test_node_that_is_gone_for_good_is_not_waited_for() -> None:
    """1. node 3 is wiped, all but node 1 answer  2. node 1 is removed  3. who answered is asked again."""
    cluster = Cluster(5)
    cluster.elect(2)
    cluster.propose(2, b"a")
    cluster.crash(1, 3)
    cluster.disk(3).wipe()
    cluster.start(3)
    cluster.advance(300)
    assert cluster[3].doubt.is_vote_doubtful
    assert 0 < cluster[2].propose_membership(Membership((2, 3, 4, 5)))
    cluster.advance(3_000)
    assert cluster[3].doubt.is_settled


def test_leader_takes_back_what_a_replica_lost() -> None:
    """An acknowledgement stands for what is on a disk; when that is gone, so is the acknowledgement."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    cluster.crash(3)
    cluster.disk(3).cut(2)
    cluster.isolate(2)
    cluster.start(3)
    cluster.drops = (RequestLastEntry,)
    leadership = cluster[1].leadership
    assert leadership is not None
    assert 3 == leadership.followers[3].match_index
    cluster.cut((1, 3))
    cluster[3].on_message(1, AppendEntries(1, 3, 1, 3))
    cluster.fsync(3)
    cluster.settle()
    assert 1 == leadership.followers[3].match_index
    assert AppendEntriesReply(1, False, 3, 1, 1, True) in messages_of(cluster, AppendEntriesReply, sender=3)
