"""Goal: nothing leaves a replica before the disk has what it says. Method: fsyncs by hand, and messages looked at before
them. Source: Raft §5.1; FAULTS R12, B3, B4, B24; law ACK."""

from quantum.core.raft.durability import Durability
from quantum.core.raft.entry import COMMAND, Entry
from quantum.core.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    HeartbeatReply,
    Message,
    RequestVote,
    RequestVoteReply,
)
from quantum.core.raft.records import HardStateRecord, TruncateRecord
from quantum.core.raft.role import FOLLOWER, LEADER
from tests.core.raft.cluster import Cluster, messages_of, with_log


def entry(index: int, term: int) -> Entry:
    return Entry(index, term, COMMAND, b"%d@%d" % (index, term))


def test_vote_leaves_after_it_is_durable() -> None:
    cluster = Cluster(3)
    cluster.deliver((1, 2, RequestVote(3, 0, 0, False)))
    assert [] == messages_of(cluster, RequestVoteReply)
    assert [HardStateRecord(3, 0), HardStateRecord(3, 1)] == cluster.disk(2).written
    cluster.fsync(2)
    assert [RequestVoteReply(3, True)] == messages_of(cluster, RequestVoteReply)


def test_candidate_asks_for_votes_after_its_own_is_durable() -> None:
    cluster = Cluster(3)
    cluster.slow = {1: True}
    cluster.expire(1)
    cluster.settle()
    assert [] == messages_of(cluster, RequestVote)
    assert [HardStateRecord(1, 1)] == cluster.disk(1).written
    cluster.fsync(1)
    assert 2 == len(messages_of(cluster, RequestVote))


def test_vote_survives_power_loss_once_it_was_sent_and_not_before() -> None:
    cluster = Cluster(3)
    cluster.deliver((1, 2, RequestVote(3, 0, 0, False)))
    cluster.restart(2)
    assert (0, 0) == (cluster[2].current_term, cluster[2].voted_for)
    cluster.deliver((1, 2, RequestVote(3, 0, 0, False)))
    cluster.fsync(2)
    cluster.restart(2)
    assert (3, 1) == (cluster[2].current_term, cluster[2].voted_for)
    cluster.deliver((3, 2, RequestVote(3, 9, 2, False)))
    cluster.fsync(2)
    assert [RequestVoteReply(3, False)] == messages_of(cluster, RequestVoteReply, to=3)


def test_vote_is_reset_by_a_later_term_only() -> None:
    """FAULTS B1, B2."""
    cluster = Cluster(3)
    cluster.deliver((1, 2, RequestVote(3, 0, 0, False)))
    cluster.deliver((3, 2, AppendEntries(3, 0, 0, 0)))
    assert (3, 1) == (cluster[2].current_term, cluster[2].voted_for)
    cluster.deliver((3, 2, AppendEntries(4, 0, 0, 0)))
    assert (4, 0) == (cluster[2].current_term, cluster[2].voted_for)


def test_acknowledgement_leaves_after_its_entries_are_durable() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.slow = {2: True, 3: True}
    cluster.propose(1, b"a")
    assert 1 == cluster[1].commit_index
    assert 2 == cluster[2].last_index
    cluster.fsync(2)
    cluster.settle()
    assert 2 == cluster[1].commit_index


def test_heartbeats_are_answered_while_entries_are_written() -> None:
    """A slow disk costs acknowledgements, not the leader's office."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.slow = {2: True, 3: True}
    cluster.propose(1, b"a")
    cluster.advance(5_000)
    assert LEADER == cluster[1].role
    assert [] != messages_of(cluster, HeartbeatReply, sender=2)


def test_entries_are_applied_after_they_are_durable_here() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.slow = {3: True}
    cluster.propose(1, b"a")
    assert (2, 1) == (cluster[1].commit_index, cluster[3].delivered_index)
    cluster.fsync(3)
    cluster.advance(200)
    assert [b"a"] == cluster.replicas[3].data()


def test_acknowledgement_of_an_old_term_is_dropped_when_it_is_late() -> None:
    """1. append of term 1 from node 1  2. vote for node 3 in term 2  3. the append is durable. Its acknowledgement could
    commit for node 1 what node 3, elected with our vote, does not have."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.slow = {2: True}
    cluster.isolate(3)
    cluster.propose(1, b"a")
    cluster.deliver((3, 2, RequestVote(2, 9, 1, True)))
    cluster.fsync(2)
    late = [
        each for each in messages_of(cluster, AppendEntriesReply, sender=2) if each == AppendEntriesReply(1, True, 2)
    ]
    assert [] == late
    assert [RequestVoteReply(2, True)] == messages_of(cluster, RequestVoteReply, sender=2, to=3)


def test_completion_of_overwritten_entries_says_nothing_of_the_new_ones() -> None:
    """FAULTS B24, ABA: 1. append 2@1  2. a leader of term 2 truncates to 2, appends 2@2  3. done for 1."""
    cluster = Cluster(3)
    raft = with_log(cluster, 3, 1, current_term=1)
    raft.on_message(1, AppendEntries(1, 1, 1, 0, [entry(2, 1), entry(3, 1)]))
    first = raft.record_sequence
    raft.on_message(2, AppendEntries(2, 1, 1, 0, [entry(2, 2)]))
    assert TruncateRecord(2) in raft.take_records()
    raft.on_persisted(first)
    assert 1 == raft.durable_index
    assert [] == [each for _, each in raft.take_messages() if isinstance(each, AppendEntriesReply)]
    raft.on_persisted(raft.record_sequence)
    assert 2 == raft.durable_index
    assert [(2, AppendEntriesReply(2, True, 2))] == [
        each for each in raft.take_messages() if isinstance(each[1], AppendEntriesReply)
    ]


def test_what_is_truncated_is_not_durable_any_more() -> None:
    raft = with_log(Cluster(3), 3, 1, 1, 1, current_term=1)
    assert 3 == raft.durable_index
    raft.on_message(2, AppendEntries(2, 1, 1, 2, [entry(2, 2)]))
    assert (2, 1, 2) == (raft.last_index, raft.durable_index, raft.commit_index)
    assert [1] == [each.index for each in raft.take_committed(1000)]


def test_completions_that_come_twice_or_late_change_nothing() -> None:
    gate = Durability(0)
    for index in (1, 2, 3):
        gate.record(entry(index, 1))
    assert gate.on_persisted(2, 1)
    assert not gate.on_persisted(1, 1)
    assert not gate.on_persisted(2, 1)
    assert (2, True, 3) == (gate.durable_index, gate.on_persisted(3, 1), gate.durable_index)


def test_messages_wait_for_their_own_records_and_keep_their_order() -> None:
    gate = Durability(0)
    first: Message = RequestVoteReply(1, True)
    second: Message = AppendEntriesReply(1, True, 1)
    third: Message = RequestVoteReply(1, False)
    gate.record(HardStateRecord(1, 2))
    gate.send(2, first)
    gate.record(entry(1, 1))
    gate.send_after_all(2, second)
    gate.send(3, third)
    assert [] == gate.take_messages()
    gate.on_persisted(1, 1)
    assert [(2, first), (3, third)] == gate.take_messages()
    gate.on_persisted(2, 1)
    assert [(2, second)] == gate.take_messages()


def test_candidate_that_lost_power_before_its_vote_was_durable_may_use_the_term_again() -> None:
    cluster = Cluster(3)
    cluster.slow = {1: True}
    cluster.expire(1)
    cluster.settle()
    assert 1 == cluster[1].current_term
    cluster.slow = {}
    cluster.restart(1)
    assert (0, FOLLOWER) == (cluster[1].current_term, cluster[1].role)
    cluster.await_leader()


def test_whole_cluster_loses_power_and_nothing_that_was_committed() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    cluster[1].propose(b"not acknowledged")
    cluster.crash(1, 2, 3)
    cluster.start(1, 2, 3)
    leader = cluster.await_leader()
    cluster.propose(leader, b"c")
    cluster.advance(300)
    assert [[b"a", b"b", b"c"]] * 3 == [cluster.replicas[node].data() for node in (1, 2, 3)]


def test_sole_voter_commits_after_its_own_fsync() -> None:
    """FAULTS B64."""
    cluster = Cluster(1)
    cluster.on_clock(1, 1)
    cluster.settle()
    cluster.slow = {1: True}
    cluster.propose(1, b"a")
    assert 1 == cluster[1].commit_index
    cluster.fsync(1)
    assert 2 == cluster[1].commit_index
