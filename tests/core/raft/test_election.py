"""Goal: one leader a term, elected by a quorum, with a log no older than theirs, and nobody disturbs one that works.
Method: replicas moved by hand. Source: Raft §5.2, §5.4.1; thesis §4.2.3, §6.2, §9.6."""

from quantum.core.raft.messages import (
    AppendEntriesReply,
    RequestPreVote,
    RequestPreVoteReply,
    RequestVote,
    RequestVoteReply,
)
from quantum.core.raft.role import CANDIDATE, FOLLOWER, LEADER, PRE_CANDIDATE
from tests.core.raft.cluster import Cluster, messages_of, with_log


def test_somebody_leads_and_everybody_knows_it() -> None:
    cluster = Cluster(3)
    leader = cluster.await_leader()
    assert [leader] * 3 == [cluster[node].leader for node in (1, 2, 3)]
    assert [1] * 3 == [cluster[node].current_term for node in (1, 2, 3)]


def test_sole_voter_leads_at_once() -> None:
    cluster = Cluster(1)
    cluster.on_clock(1, 1)
    cluster.settle()
    assert LEADER == cluster[1].role
    cluster.propose(1, b"a")
    assert [b"a"] == cluster.replicas[1].data()


def test_terms_stay_while_the_leader_lives() -> None:
    """FAULTS R18."""
    cluster = Cluster(5)
    cluster.elect(2)
    cluster.advance(20_000)
    assert [1] * 5 == [cluster[node].current_term for node in range(1, 6)]
    assert LEADER == cluster[2].role


def test_pre_vote_changes_nothing() -> None:
    """thesis §9.6: asking costs nobody a term."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster.advance(30_000)
    assert 1 == cluster[3].current_term
    assert cluster[3].role in (FOLLOWER, PRE_CANDIDATE)
    cluster.heal()
    cluster.advance(3_000)
    assert LEADER == cluster[1].role
    assert [1, 1, 1] == [cluster[node].current_term for node in (1, 2, 3)]


def test_leader_without_a_quorum_steps_down() -> None:
    """Check quorum, thesis §6.2."""
    cluster = Cluster(5)
    cluster.elect(1)
    cluster.isolate(3, 4, 5)
    cluster.advance(2_500, [1, 2])
    assert LEADER != cluster[1].role


def test_leader_with_a_bare_quorum_stays() -> None:
    cluster = Cluster(5)
    cluster.elect(1)
    cluster.isolate(4, 5)
    cluster.advance(10_000)
    assert LEADER == cluster[1].role


def test_candidate_with_an_older_log_is_refused() -> None:
    """Raft §5.4.1: terms first, then lengths, never field by field."""
    for own, other, is_granted in (
        ((1, 1), (1,), True),
        ((1,), (1, 1), False),
        ((1, 2), (1, 1, 1), True),
        ((1, 1, 1), (1, 2), False),
        ((1, 2), (1, 2), True),
    ):
        cluster = Cluster(3)
        with_log(cluster, 1, *own, current_term=5)
        with_log(cluster, 2, *other, current_term=5)
        cluster.isolate(3)
        cluster.expire(1)
        cluster.settle()
        assert (is_granted, own, other) == (cluster[1].role == LEADER, own, other)


def test_vote_request_with_an_older_log_costs_the_term_but_no_vote() -> None:
    cluster = Cluster(3)
    with_log(cluster, 2, 1, 1, current_term=1)
    cluster.deliver((1, 2, RequestVote(5, 1, 1, False)))
    cluster.settle()
    assert (5, 0) == (cluster[2].current_term, cluster[2].voted_for)
    assert [RequestVoteReply(5, False)] == messages_of(cluster, RequestVoteReply, sender=2)


def test_one_vote_a_term() -> None:
    cluster = Cluster(3)
    cluster.deliver((1, 2, RequestVote(5, 0, 0, False)))
    cluster.deliver((3, 2, RequestVote(5, 9, 4, False)))
    cluster.deliver((1, 2, RequestVote(5, 0, 0, False)))
    cluster.fsync(2)
    assert [RequestVoteReply(5, True), RequestVoteReply(5, False), RequestVoteReply(5, True)] == messages_of(
        cluster, RequestVoteReply, sender=2
    )


def test_vote_request_of_an_old_term_is_refused_with_the_newer_one() -> None:
    cluster = Cluster(3)
    with_log(cluster, 2, current_term=7)
    cluster.deliver((1, 2, RequestVote(6, 9, 5, False)))
    assert [RequestVoteReply(7, False)] == messages_of(cluster, RequestVoteReply, sender=2)


def test_votes_of_an_earlier_term_are_not_counted() -> None:
    """FAULTS B5."""
    cluster = Cluster(3)
    raft = cluster[1]
    cluster.isolate(1)
    cluster.expire(1)
    raft.on_message(2, RequestPreVoteReply(1, True))
    assert CANDIDATE == raft.role
    cluster.expire(1)
    raft.on_message(2, RequestPreVoteReply(2, True))
    assert (CANDIDATE, 2) == (raft.role, raft.current_term)
    raft.on_message(2, RequestVoteReply(1, True))
    assert CANDIDATE == raft.role
    raft.on_message(2, RequestVoteReply(2, True))
    assert LEADER == raft.role


def test_a_voter_counts_once() -> None:
    cluster = Cluster(5)
    raft = cluster[1]
    cluster.isolate(1)
    cluster.expire(1)
    for _ in range(3):
        raft.on_message(2, RequestPreVoteReply(1, True))
    assert PRE_CANDIDATE == raft.role
    raft.on_message(3, RequestPreVoteReply(1, True))
    assert CANDIDATE == raft.role
    for _ in range(3):
        raft.on_message(2, RequestVoteReply(1, True))
    assert CANDIDATE == raft.role


def test_who_is_no_voter_does_not_count() -> None:
    cluster = Cluster(3, learners=(4,))
    raft = cluster[1]
    cluster.isolate(1)
    cluster.expire(1)
    raft.on_message(4, RequestPreVoteReply(1, True))
    raft.on_message(9, RequestPreVoteReply(1, True))
    assert PRE_CANDIDATE == raft.role


def test_split_vote_is_followed_by_another_election() -> None:
    cluster = Cluster(4)
    for node in (1, 2):
        cluster.expire(node)
    for sender, to in ((1, 3), (2, 4)):  # Pre-votes for both, votes for each of one other node.
        for sent in cluster.take(lambda sent, link=(sender, to): sent[:2] == link):  # type: ignore[misc]
            cluster.deliver(sent)
    cluster.network = []
    cluster.advance(8_000)
    leaders = [node for node in range(1, 5) if cluster[node].role == LEADER]
    assert 1 == len(leaders)


def test_follower_that_hears_its_leader_helps_nobody() -> None:
    """thesis §4.2.3."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.deliver((3, 2, RequestPreVote(2, 9, 1)))
    cluster.deliver((3, 2, RequestVote(2, 9, 1, False)))
    assert [RequestPreVoteReply(1, False)] == messages_of(cluster, RequestPreVoteReply, sender=2, to=3)
    assert 1 == cluster[2].current_term


def test_leader_of_an_old_term_learns_from_the_answer_that_it_is_one() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(1)
    cluster.advance(500, [2, 3])
    cluster.elect(2)
    cluster.heal()
    cluster[1].propose(b"late")
    cluster.settle()
    assert (FOLLOWER, 2) == (cluster[1].role, cluster[1].current_term)
    assert [AppendEntriesReply(2, False, 0)] == messages_of(cluster, AppendEntriesReply, sender=3, to=1)[-1:]


def test_candidate_with_a_lower_term_and_a_better_log_finds_out_and_wins() -> None:
    """FAULTS B12: higher term, worse log against lower term, better log."""
    cluster = Cluster(2)
    with_log(cluster, 1, 1, 1, current_term=1)
    with_log(cluster, 2, 1, current_term=9)
    assert 1 == cluster.await_leader()
    assert 10 <= cluster[1].current_term


def test_refused_candidate_waits_without_a_leader() -> None:
    """FAULTS B15."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(2)
    cluster.expire(2)
    cluster[2].on_message(1, RequestPreVoteReply(1, False))
    cluster[2].on_message(3, RequestPreVoteReply(1, False))
    assert (FOLLOWER, 0, {}) == (cluster[2].role, cluster[2].leader, cluster[2].votes)


def test_node_that_is_no_voter_never_campaigns() -> None:
    """FAULTS B10."""
    cluster = Cluster(1, learners=(2,))
    cluster.advance(100)
    cluster.isolate(2)
    cluster.advance(20_000, [2])
    assert [] == messages_of(cluster, RequestPreVote, sender=2)


def test_learner_that_is_asked_to_vote_votes() -> None:
    """FAULTS B10: it may be a voter by a membership that it has not got yet."""
    cluster = Cluster(3, learners=(4,))
    cluster.deliver((1, 4, RequestVote(1, 0, 0, False)))
    cluster.fsync(4)
    assert [RequestVoteReply(1, True)] == messages_of(cluster, RequestVoteReply, sender=4)


def test_leader_that_steps_down_keeps_its_vote() -> None:
    """FAULTS B1."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(1)
    cluster.advance(2_500, [1])
    assert LEADER != cluster[1].role
    assert (1, 1) == (cluster[1].current_term, cluster[1].voted_for)


def test_late_copies_of_a_dead_leaders_messages_keep_nobody_from_electing_another() -> None:
    """FAULTS F3: 1. node 1 leads and dies  2. the network delivers its messages again, for a minute."""
    cluster = Cluster(3)
    cluster.elect(1)
    for number in range(40):
        cluster.propose(1, b"%d" % number)
    cluster.advance(2_000)
    copies = [each for each in cluster.sent if each[0] == 1]
    cluster.crash(1)
    for copy in copies:
        cluster.deliver(copy)
        cluster.advance(100, [2, 3])
        if LEADER in (cluster[2].role, cluster[3].role):
            return
    raise AssertionError("nobody leads")


def test_late_copies_of_answers_keep_no_leader_in_office() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.advance(2_000)
    copies = [each for each in cluster.sent if each[1] == 1]
    cluster.isolate(1)
    for copy in copies:
        cluster.deliver(copy)
        cluster.advance(150, [1])
        if cluster[1].role != LEADER:
            return
    raise AssertionError("still in office")
