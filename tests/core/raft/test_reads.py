"""Goal: a read is served at an index that covers every write acknowledged before it was asked for, or refused. Method:
partitions and late heartbeats. Source: Raft §8, thesis §6.4; FAULTS R13, B27, B52, B53."""

from quantum.core.raft.config import RaftConfig
from quantum.core.raft.messages import (
    AppendEntriesReply,
    Heartbeat,
    HeartbeatReply,
    ReadIndexReply,
    RequestReadIndex,
)
from quantum.core.raft.role import LEADER
from tests.core.raft.cluster import Cluster, messages_of


def test_leader_answers_after_a_quorum_confirmed_it() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster[1].read_index(7)
    cluster.pump(1)
    assert [] == cluster.replicas[1].reads
    cluster.settle()
    assert [(7, 2)] == cluster.replicas[1].reads


def test_heartbeats_from_before_the_read_confirm_nothing() -> None:
    """FAULTS B53."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster[1].read_index(6)
    cluster.settle()
    cluster[1].read_index(7)
    for node in (2, 3):
        cluster[1].on_message(node, HeartbeatReply(1, 1, False, 1, 1))
    cluster.pump(1)
    assert [(6, 1)] == cluster.replicas[1].reads
    cluster[1].on_message(2, HeartbeatReply(1, 2, False, 1, 2))
    cluster.pump(1)
    assert [(6, 1), (7, 1)] == cluster.replicas[1].reads


def test_a_minority_confirms_nothing() -> None:
    """FAULTS B27."""
    cluster = Cluster(5)
    cluster.elect(1)
    cluster.isolate(3, 4, 5)
    cluster[1].read_index(7)
    cluster.settle()
    assert [] == cluster.replicas[1].reads
    cluster.advance(3_000)
    assert [(7, 0)] == cluster.replicas[1].reads


def test_learners_confirm_nothing() -> None:
    cluster = Cluster(3, learners=(4, 5))
    cluster.elect(1)
    cluster.isolate(2, 3)
    cluster[1].read_index(7)
    cluster.settle()
    assert [] == cluster.replicas[1].reads


def test_leader_that_was_cut_off_never_serves_a_stale_read() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(1)
    cluster[1].read_index(7)
    cluster.settle()
    cluster.elect(2)
    cluster.propose(2, b"new")
    cluster.heal()
    cluster.advance(1_000)
    assert [(7, 0)] == cluster.replicas[1].reads


def test_read_before_the_first_commit_of_the_term_waits_for_it() -> None:
    """FAULTS B52: before that the leader does not know what is committed."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.isolate(1)
    cluster.drops = (AppendEntriesReply,)
    cluster.elect(2)
    cluster[2].read_index(7)
    cluster.settle()
    assert [] == cluster.replicas[2].reads
    cluster.drops = ()
    cluster.advance(500)
    assert [(7, 3)] == cluster.replicas[2].reads


def test_follower_asks_its_leader() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster[3].read_index(7)
    cluster.settle()
    assert [(7, 2)] == cluster.replicas[3].reads


def test_follower_without_a_leader_refuses() -> None:
    cluster = Cluster(3)
    cluster[3].read_index(7)
    cluster.settle()
    assert [(7, 0)] == cluster.replicas[3].reads


def test_whoever_does_not_lead_refuses_for_others() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.deliver((3, 2, RequestReadIndex(1, 7)))
    assert [ReadIndexReply(1, 7, 0)] == messages_of(cluster, ReadIndexReply, sender=2)


def test_reads_of_a_follower_fail_with_its_leader() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(1)
    cluster[3].read_index(7)
    cluster.settle()
    assert [] == cluster.replicas[3].reads
    cluster.elect(2)
    assert [(7, 0)] == cluster.replicas[3].reads


def test_reads_fail_when_the_leader_steps_down() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.drops = (Heartbeat,)
    cluster[1].read_index(7)
    cluster[3].read_index(8)
    cluster.settle()
    cluster[1].on_message(2, AppendEntriesReply(5, False, 0))
    cluster.settle()
    assert [(7, 0)] == cluster.replicas[1].reads
    assert LEADER != cluster[1].role


def test_answer_of_a_leader_that_was_is_not_taken() -> None:
    """FAULTS B53: 1. context 7 is asked of node 1  2. node 2 leads, 7 is asked again  3. node 1's answer comes late."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.drops = (RequestReadIndex,)
    cluster[3].read_index(7)
    cluster.isolate(1)
    cluster.elect(2)
    assert [(7, 0)] == cluster.replicas[3].reads
    cluster.propose(2, b"new")
    cluster[3].read_index(7)
    cluster[3].on_message(1, ReadIndexReply(1, 7, 1))
    cluster.pump(3)
    assert [(7, 0)] == cluster.replicas[3].reads
    cluster[3].on_message(2, ReadIndexReply(2, 7, 3))
    cluster[3].on_message(2, ReadIndexReply(2, 7, 3))
    cluster.pump(3)
    assert [(7, 0), (7, 3)] == cluster.replicas[3].reads


def test_sole_voter_answers_at_once() -> None:
    cluster = Cluster(1)
    cluster.on_clock(1, 1)
    cluster.settle()
    cluster[1].read_index(7)
    cluster.pump(1)
    assert [(7, 1)] == cluster.replicas[1].reads


def test_one_round_confirms_many_reads() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    for context in range(5):
        cluster[1].read_index(context)
    cluster.settle()
    assert [(context, 1) for context in range(5)] == cluster.replicas[1].reads


def test_read_whose_question_or_answer_is_lost_is_refused_in_time() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.drops = (ReadIndexReply,)
    cluster[3].read_index(7)
    cluster.settle()
    cluster.advance(950)
    assert [] == cluster.replicas[3].reads
    assert 0 < cluster[3].next_deadline_ms() <= cluster.replicas[3].clock_ms + 50
    cluster.advance(50)
    assert [(7, 0)] == cluster.replicas[3].reads


def test_reads_under_way_are_bounded() -> None:
    cluster = Cluster(3, config=RaftConfig(reads_max=2))
    cluster.elect(1)
    cluster.drops = (RequestReadIndex, Heartbeat)
    for context in (1, 2, 3):
        cluster[1].read_index(context)
        cluster[3].read_index(context)
    cluster.settle()
    assert [[(3, 0)], [(3, 0)]] == [cluster.replicas[1].reads, cluster.replicas[3].reads]
