"""Goal: members change one step at a time, through a joint membership, and no two disjoint quorums exist meanwhile. Method:
replicas moved by hand. Source: Raft §6, thesis §4; FAULTS R10, F46, B32 to B40."""

import pytest

from quantum.core.raft.entry import COMMAND, MEMBERSHIP, Entry
from quantum.core.raft.membership import (
    MEMBERS_MAX,
    Membership,
    MembershipHistory,
    decode_membership,
    encode_membership,
    refusal_of,
)
from quantum.core.raft.messages import AppendEntries, RequestVote
from quantum.core.raft.quorum import DEFEATED, PENDING, WON, is_quorum, quorum_index, vote_outcome
from quantum.core.raft.raft import CHANGING, NO_CHANGE, NOT_LEADER
from quantum.core.raft.records import HardStateRecord
from quantum.core.raft.role import FOLLOWER, LEADER
from tests.core.raft.cluster import Cluster, messages_of

JOINT = Membership((1, 2, 4), (1, 2, 3), (5,))


def test_voter_is_exchanged_and_the_joint_membership_is_left_by_itself() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.add(4)
    cluster.propose(1, b"a")
    assert 0 < cluster[1].propose_membership(Membership((1, 2, 4)))
    cluster.settle()
    cluster.propose(1, b"b")
    assert [Membership((1, 2, 4))] * 3 == [cluster[node].membership for node in (1, 2, 4)]
    assert [b"a", b"b"] == cluster.replicas[4].data()


def test_membership_is_in_force_when_it_is_appended() -> None:
    """thesis §4.1."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(1)
    cluster[1].propose_membership(Membership((1, 2, 4)))
    assert Membership((1, 2, 4), (1, 2, 3)) == cluster[1].membership


def test_joint_membership_needs_a_quorum_of_both_sets() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.add(4)
    cluster.add(5)
    cluster.cut((1, 2), (1, 3))
    index = cluster[1].propose_membership(Membership((1, 4, 5)))
    cluster.settle()
    assert index > cluster[1].commit_index  # 1, 4 and 5 have it, of the old ones only 1.
    cluster.heal()
    cluster.isolate(4, 5)
    cluster.advance(600)
    assert index <= cluster[1].commit_index  # 2 and 3 have it as well; what 4 and 5 acknowledged stays.


def test_joint_quorum_is_counted_in_both_sets() -> None:
    match = {1: 9, 2: 5, 3: 5, 4: 0, 5: 0}
    assert 5 == quorum_index(Membership((1, 2, 3)), match.__getitem__)
    assert 0 == quorum_index(Membership((1, 4, 5), (1, 2, 3)), match.__getitem__)
    assert 5 == quorum_index(Membership((1, 2, 4), (1, 2, 3)), match.__getitem__)
    assert 0 == quorum_index(Membership((1, 2, 4, 5)), match.__getitem__)  # FAULTS B22: sorted, and no half.
    assert 5 == quorum_index(Membership((1, 2, 3, 4)), match.__getitem__)


@pytest.mark.parametrize(
    ("voters", "outgoing", "votes", "outcome"),
    [
        ((1, 2, 3), (), {1: True}, PENDING),
        ((1, 2, 3), (), {1: True, 2: True}, WON),
        ((1, 2, 3), (), {1: True, 2: False, 3: False}, DEFEATED),
        ((1, 2, 3, 4), (), {1: True, 2: True}, PENDING),
        ((1, 2, 3, 4), (), {1: True, 2: True, 3: False, 4: False}, DEFEATED),
        ((1, 2, 3), (), {1: True, 7: True, 8: True}, PENDING),
        ((1, 4, 5), (1, 2, 3), {1: True, 4: True}, PENDING),
        ((1, 4, 5), (1, 2, 3), {1: True, 4: True, 2: True}, WON),
        ((1, 4, 5), (1, 2, 3), {1: True, 4: False, 5: False, 2: True}, DEFEATED),
    ],
)
def test_votes_are_counted(
    voters: tuple[int, ...], outgoing: tuple[int, ...], votes: dict[int, bool], outcome: int
) -> None:
    membership = Membership(voters, outgoing)
    assert outcome == vote_outcome(membership, votes)
    assert (outcome == WON) == is_quorum(membership, votes)


def test_one_change_at_a_time() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(1)
    assert 0 < cluster[1].propose_membership(Membership((1, 2, 3), (), (4,)))
    assert CHANGING == cluster[1].propose_membership(Membership((1, 2, 3), (), (5,)))


def test_no_change_before_the_term_committed_something() -> None:
    """FAULTS B32: a change of an earlier term may be half done."""
    cluster = Cluster(3)
    cluster.drops = (AppendEntries,)
    cluster.elect(1)
    assert CHANGING == cluster[1].propose_membership(Membership((1, 2)))
    cluster.drops = ()
    cluster.advance(400)
    assert 0 < cluster[1].propose_membership(Membership((1, 2)))


def test_truncated_change_falls_back_to_the_membership_before() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(1)
    cluster[1].propose_membership(Membership((1, 2, 4)))
    cluster.settle()
    cluster.advance(3_000, [1])
    cluster.elect(2)
    cluster.propose(2, b"a")
    cluster.heal()
    cluster.advance(500)
    assert Membership((1, 2, 3)) == cluster[1].membership


def test_leader_that_removes_itself_leads_until_that_is_committed() -> None:
    """thesis §4.2.2; FAULTS B34."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster[1].propose_membership(Membership((2, 3)))
    cluster.settle()
    assert (FOLLOWER, 0) == (cluster[1].role, cluster[1].leadership is not None)
    assert cluster[2].commit_index == cluster[2].last_index
    cluster.advance(10_000)
    assert FOLLOWER == cluster[1].role
    assert 1 == len([node for node in (2, 3) if cluster[node].role == LEADER])


def test_leader_that_is_no_voter_any_more_does_not_count_itself() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.drops = ()
    cluster[1].propose_membership(Membership((2, 3)))
    while Membership((2, 3)) != cluster[1].membership:
        cluster.fsync(1)
        if cluster.network:
            cluster.deliver(cluster.network.pop(0))
        for node in (2, 3):
            cluster.fsync(node)
    index = cluster[1].last_index
    cluster.isolate(3)
    cluster.settle()
    assert index > cluster[1].commit_index  # Node 2 and the leader have it: that is one of two.


def test_removed_node_disturbs_nobody() -> None:
    """thesis §4.2.3; FAULTS B38."""
    cluster = Cluster(4)
    cluster.elect(1)
    cluster.isolate(4)
    cluster[1].propose_membership(Membership((1, 2, 3)))
    cluster.settle()
    cluster.heal()
    term = cluster[1].current_term
    cluster.advance(20_000)
    assert (LEADER, term) == (cluster[1].role, cluster[1].current_term)


def test_learner_gets_the_log_and_counts_for_nothing() -> None:
    cluster = Cluster(3, learners=(4,))
    cluster.elect(1)
    cluster.isolate(2, 3)
    index = cluster[1].propose(b"a")
    cluster.settle()
    assert (index, True) == (cluster[4].last_index, index > cluster[1].commit_index)
    cluster.heal()
    cluster.advance(500)
    assert [b"a"] == cluster.replicas[4].data()


def test_learner_becomes_a_voter_and_the_other_way_round() -> None:
    cluster = Cluster(3, learners=(4,))
    cluster.elect(1)
    cluster[1].propose_membership(Membership((1, 2, 3, 4)))
    cluster.settle()
    cluster.crash(2)
    cluster.isolate(3)
    cluster.propose(1, b"a")
    assert [] == cluster.replicas[1].data()  # Two of four.
    cluster.heal()
    cluster.advance(500)
    cluster[1].propose_membership(Membership((1, 3, 4), (), (2,)))
    cluster.settle()
    assert Membership((1, 3, 4), (), (2,)) == cluster[4].membership


def test_joint_membership_is_left_by_the_next_leader() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.add(4)
    cluster.cut((2, 1), (3, 1), (4, 1))
    cluster[1].propose_membership(Membership((1, 2, 4)))
    cluster.settle()
    cluster.crash(1)
    cluster.heal()
    cluster.elect(2)
    cluster.advance(500)
    assert Membership((1, 2, 4)) == cluster[2].membership


def test_joint_membership_is_in_force_after_a_restart() -> None:
    """FAULTS B33."""
    cluster = Cluster(3)
    cluster.disk(1).records = [HardStateRecord(1, 0), Entry(1, 1, MEMBERSHIP, encode_membership(JOINT))]
    cluster.restart(1)
    assert JOINT == cluster[1].membership
    cluster.isolate(1)
    cluster.advance(3_000, [1])
    assert [] == messages_of(cluster, RequestVote)


def test_what_can_not_be_asked_for() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    for wanted in (
        Membership((1, 2, 3)),
        Membership(()),
        Membership((1, 2), (1, 2, 3)),
        Membership((2, 1)),
        Membership((1, 1)),
        Membership((0, 1)),
        Membership((1, 2, 3), (), (3,)),
        Membership(tuple(range(1, MEMBERS_MAX + 2))),
    ):
        assert "" != refusal_of(cluster[1].membership, wanted)
        assert NO_CHANGE == cluster[1].propose_membership(wanted)
    assert NOT_LEADER == cluster[2].propose_membership(Membership((1, 2)))


def test_encoding_is_inverted_and_anything_else_refused() -> None:
    for membership in (JOINT, Membership((7,)), Membership((1, 2, 3), (4,), (5, 6))):
        data = encode_membership(membership)
        assert membership == decode_membership(data)
        for cut in range(len(data)):
            with pytest.raises(ValueError, match="membership"):
                decode_membership(data[:cut])
        with pytest.raises(ValueError, match="membership"):
            decode_membership(data + b"\0")
    with pytest.raises(ValueError, match="twice or in disorder"):
        decode_membership(encode_membership(Membership((2, 1))))
    with pytest.raises(ValueError, match="names 0"):
        decode_membership(encode_membership(Membership(())))


def test_history_tells_the_membership_as_of_an_index() -> None:
    history = MembershipHistory(5, Membership((1,)))
    history.append(7, Membership((1, 2)))
    history.append(9, Membership((1, 2, 3)))
    assert [1, 1, 2, 2, 3, 3] == [len(history.at(index).voters) for index in range(5, 11)]
    assert (9, Membership((1, 2, 3))) == (history.latest_index, history.latest)
    history.truncate(9)
    assert (7, Membership((1, 2))) == (history.latest_index, history.latest)
    history.restore(6, Membership((2,)))
    assert [Membership((1,)), Membership((2,)), Membership((1, 2))] == [history.at(index) for index in (5, 6, 7)]
    history.remove(7)
    assert Membership((2,)) == history.latest
    history.rebase(8, Membership((3,)))
    assert (8, Membership((3,))) == (history.latest_index, history.latest)


def test_wiped_node_comes_back_under_another_number() -> None:
    """FAULTS F32, F46: first as a learner, then in place of the one that it was."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.crash(3)
    cluster.add(4)
    cluster[1].propose_membership(Membership((1, 2, 3), (), (4,)))
    cluster.advance(300)
    assert [b"a"] == cluster.replicas[4].data()
    cluster[1].propose_membership(Membership((1, 2, 4)))
    cluster.advance(300)
    cluster.crash(2)
    cluster.propose(1, b"b")
    assert [b"a", b"b"] == cluster.replicas[4].data()


def test_commands_are_not_taken_for_memberships() -> None:
    cluster = Cluster(1)
    cluster.on_clock(1, 1)
    cluster.settle()
    cluster.propose(1, encode_membership(JOINT))
    assert (COMMAND, Membership((1,))) == (cluster[1].log.entry(2).kind, cluster[1].membership)


def test_who_is_removed_campaigns_until_that_is_committed() -> None:
    """thesis §4.2.2, figure 4.6: nodes 1 and 2 need a vote of 3 or 4, whose logs are longer and hold their removal."""
    cluster = Cluster(4)
    cluster.elect(3)
    cluster[3].propose_membership(Membership((1, 2), (), (4,)))
    while Membership((1, 2), (), (4,)) != cluster[3].membership:
        for node in (1, 2, 3, 4):
            cluster.fsync(node)
        cluster.deliver(cluster.network.pop(0))
    cluster.pump(3)
    cluster.cut((3, 1), (3, 2))
    cluster.settle()
    assert cluster[1].membership.is_joint()
    assert cluster[4].membership == cluster[3].membership
    cluster.restart(3)
    cluster.heal()
    cluster.await_leader(20_000)
    cluster.advance(5_000)
    assert [Membership((1, 2), (), (4,))] * 4 == [cluster[node].membership for node in (1, 2, 3, 4)]
    assert 1 == len([node for node in (1, 2) if cluster[node].role == LEADER])
