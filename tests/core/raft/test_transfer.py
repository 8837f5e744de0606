"""Goal: a leader hands its office over to one who has the whole log on disk, or keeps it. Method: replicas moved by hand.
Source: thesis §3.10; FAULTS F47, B35, B36."""

from quantum.core.raft.membership import Membership
from quantum.core.raft.messages import AppendEntriesReply, RequestVote, TimeoutNow
from quantum.core.raft.raft import NOT_A_VOTER, NOT_LEADER, TRANSFERRING
from quantum.core.raft.role import FOLLOWER, LEADER
from tests.core.raft.cluster import Cluster, messages_of


def test_office_passes_at_once_although_the_old_leader_lives() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    assert 0 == cluster[1].transfer_leadership(3)
    cluster.settle()
    assert [FOLLOWER, FOLLOWER, LEADER] == [cluster[node].role for node in (1, 2, 3)]
    assert [3, 3, 3] == [cluster[node].leader for node in (1, 2, 3)]


def test_transferee_campaigns_only_when_its_disk_has_everything() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.slow = {3: True}
    cluster.propose(1, b"a")
    assert 0 == cluster[1].transfer_leadership(3)
    cluster.settle()
    assert [] == messages_of(cluster, TimeoutNow)
    cluster.slow = {}
    cluster.settle()
    assert LEADER == cluster[3].role


def test_transferee_that_has_not_got_the_whole_log_does_not_campaign() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.deliver((1, 3, TimeoutNow(1, 2)))
    assert FOLLOWER == cluster[3].role
    cluster.deliver((2, 3, TimeoutNow(1, 1)))
    assert FOLLOWER == cluster[3].role
    cluster.deliver((1, 3, TimeoutNow(0, 1)))
    assert FOLLOWER == cluster[3].role


def test_proposals_and_reads_are_refused_meanwhile() -> None:
    """FAULTS B36."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(3)
    assert 0 == cluster[1].transfer_leadership(3)
    assert TRANSFERRING == cluster[1].propose(b"a")
    assert TRANSFERRING == cluster[1].propose_no_op()
    assert TRANSFERRING == cluster[1].propose_membership(Membership((1, 2)))
    assert TRANSFERRING == cluster[1].transfer_leadership(2)
    cluster[1].read_index(7)
    cluster.settle()
    assert [(7, 0)] == cluster.replicas[1].reads


def test_transfer_is_given_up_after_an_election_timeout() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster[1].transfer_leadership(3)
    cluster.advance(1_300)
    assert LEADER == cluster[1].role
    assert 0 < cluster[1].propose(b"a")


def test_transfer_to_a_node_that_lags_brings_it_up_first() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1, b"a", b"b", b"c")
    cluster.heal()
    cluster[1].transfer_leadership(3)
    cluster.advance(400)
    assert LEADER == cluster[3].role
    cluster.advance(300)
    assert [b"a", b"b", b"c"] == cluster.replicas[3].data()


def test_only_another_voter_can_be_the_one() -> None:
    cluster = Cluster(3, learners=(4,))
    cluster.elect(1)
    assert [NOT_A_VOTER] * 3 == [cluster[1].transfer_leadership(to) for to in (1, 4, 9)]
    assert NOT_LEADER == cluster[2].transfer_leadership(3)


def test_node_that_leaves_cannot_be_the_one_and_a_change_under_way_is_no_obstacle() -> None:
    """The joint membership is left by whoever leads."""
    cluster = Cluster(4)
    cluster.elect(1)
    cluster.slow = {2: True, 3: True}
    assert 0 < cluster[1].propose_membership(Membership((1, 2, 3)))
    cluster.settle()
    assert cluster[1].membership.is_joint()
    assert NOT_A_VOTER == cluster[1].transfer_leadership(4)
    assert 0 == cluster[1].transfer_leadership(3)
    cluster.slow = {}
    cluster.advance(500)
    assert LEADER == cluster[3].role
    assert [Membership((1, 2, 3))] * 3 == [cluster[node].membership for node in (1, 2, 3)]


def test_voters_keep_to_no_leader_that_wants_to_go() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.deliver((3, 2, RequestVote(2, 1, 1, False)))
    assert 1 == cluster[2].current_term
    cluster.deliver((3, 2, RequestVote(2, 1, 1, True)))
    assert (2, 3) == (cluster[2].current_term, cluster[2].voted_for)


def test_late_acknowledgement_does_not_start_a_second_transfer() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster[1].transfer_leadership(3)
    cluster.advance(1_300)
    before = len(messages_of(cluster, TimeoutNow))
    cluster[1].on_message(3, AppendEntriesReply(1, True, 1))
    cluster.settle()
    assert before == len(messages_of(cluster, TimeoutNow))
