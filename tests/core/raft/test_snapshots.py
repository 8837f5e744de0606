"""Goal: who is behind the compacted log gets a snapshot, keeps what fits it, and goes on; nobody goes back. Method: replicas
and snapshots moved by hand. Source: Raft §7, figure 13; FAULTS B37, B41 to B50."""

import pytest

from quantum.core.raft.membership import Membership
from quantum.core.raft.messages import AppendEntries, AppendEntriesReply, FetchEntries, RequestSnapshot
from quantum.core.raft.progress import PROBE, REPLICATE, SNAPSHOT, Progress
from quantum.core.raft.records import SnapshotRecord
from quantum.core.raft.role import LEADER
from tests.core.raft.cluster import Cluster, messages_of, with_log

VOTERS = Membership((1, 2, 3))


def behind(count: int = 4) -> Cluster:
    """Node 3 misses `count` entries that nodes 1 and 2 have compacted."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(3)
    cluster.propose(1, *[b"%d" % number for number in range(count)])
    cluster.compact(1, 2)
    cluster.heal()
    return cluster


def progress_of(cluster: Cluster, leader: int, follower: int) -> Progress:
    leadership = cluster[leader].leadership
    assert leadership is not None
    return leadership.followers[follower]


def test_who_is_behind_the_log_gets_a_snapshot_and_goes_on() -> None:
    cluster = behind()
    cluster.advance(400)
    cluster.propose(1, b"more")
    assert [b"0", b"1", b"2", b"3", b"more"] == cluster.replicas[3].data()
    assert REPLICATE == progress_of(cluster, 1, 3).state


def test_boundary_of_the_log_needs_no_snapshot() -> None:
    """FAULTS B42: the leader still knows the term of the entry in front of its log."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.isolate(3)
    cluster.compact(1)
    cluster.propose(1, b"b")
    cluster.heal()
    cluster.holds_snapshots = True
    cluster.advance(400)
    assert ([], [b"a", b"b"]) == (cluster.replicas[1].snapshots_wanted, cluster.replicas[3].data())


def test_nothing_else_is_sent_while_a_snapshot_is_under_way_and_it_is_wanted_once() -> None:
    cluster = behind()
    cluster.holds_snapshots = True
    cluster.advance(2_000)
    assert [(3, 5)] == cluster.replicas[1].snapshots_wanted
    assert SNAPSHOT == progress_of(cluster, 1, 3).state
    before = len(messages_of(cluster, AppendEntries, to=3))
    cluster.propose(1, b"a")
    assert before == len(messages_of(cluster, AppendEntries, to=3))


def test_failed_snapshot_is_begun_again() -> None:
    """FAULTS B43: also when nobody writes any more."""
    cluster = behind()
    cluster.holds_snapshots = True
    cluster.advance(400)
    cluster.replicas[1].snapshots_wanted = []
    cluster[1].on_snapshot_failed(3)
    assert PROBE == progress_of(cluster, 1, 3).state
    cluster.holds_snapshots = False
    cluster.advance(400)
    assert [b"0", b"1", b"2", b"3"] == cluster.replicas[3].data()


def test_failure_that_is_none_of_ours_is_ignored() -> None:
    cluster = behind()
    cluster[1].on_snapshot_failed(9)
    cluster[2].on_snapshot_failed(3)
    cluster.advance(400)
    assert [b"0", b"1", b"2", b"3"] == cluster.replicas[3].data()


def test_log_behind_a_fitting_snapshot_is_kept() -> None:
    """Raft figure 13, 6."""
    raft = with_log(Cluster(3), 3, 1, 1, 2, 2, current_term=2)
    assert raft.on_snapshot_received(1, 2, 3, 2, VOTERS)
    assert (3, 4, 3, 3) == (raft.log.base_index, raft.last_index, raft.commit_index, raft.applied_index)


def test_log_that_contradicts_the_snapshot_goes() -> None:
    """Raft figure 13, 7; FAULTS B49."""
    raft = with_log(Cluster(3), 3, 1, 1, 1, 1, current_term=1)
    assert raft.on_snapshot_received(1, 2, 3, 2, VOTERS)
    assert (3, 3, 3) == (raft.log.base_index, raft.last_index, raft.durable_index)
    assert SnapshotRecord(3, 2, VOTERS) in raft.take_records()


def test_log_that_is_shorter_than_the_snapshot_begins_anew() -> None:
    raft = with_log(Cluster(3), 3, 1, 1, current_term=1)
    assert raft.on_snapshot_received(1, 2, 9, 2, VOTERS)
    assert (9, 9, 2) == (raft.log.base_index, raft.last_index, raft.log.last_term)


def test_snapshot_that_is_older_than_what_is_committed_is_not_taken() -> None:
    """FAULTS B48; it is acknowledged, so that the leader goes on."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    assert not cluster[3].on_snapshot_received(1, 1, 2, 1, VOTERS)
    cluster.fsync(3)
    assert AppendEntriesReply(1, True, 3) == messages_of(cluster, AppendEntriesReply, sender=3)[-1]
    assert [b"a", b"b"] == cluster.replicas[3].data()


def test_snapshot_is_good_whoever_sends_it_and_makes_nobody_a_leader() -> None:
    """What it holds is committed, in a term that is not above the sender's."""
    raft = with_log(Cluster(3), 3, current_term=5)
    assert raft.on_snapshot_received(1, 4, 9, 3, VOTERS)
    assert (9, 5, 0) == (raft.commit_index, raft.current_term, raft.leader)
    assert raft.on_snapshot_received(1, 7, 10, 3, VOTERS)
    assert (10, 7, 0) == (raft.commit_index, raft.current_term, raft.leader)


def test_snapshot_brings_its_membership() -> None:
    """FAULTS B37."""
    raft = with_log(Cluster(3), 3, current_term=1)
    changed = Membership((2, 3, 4))
    assert raft.on_snapshot_received(2, 1, 9, 1, changed)
    assert (changed, changed) == (raft.membership, raft.membership_at(9))


def test_snapshot_is_acknowledged_after_its_mark_is_durable() -> None:
    cluster = Cluster(3)
    raft = with_log(cluster, 3, current_term=1)
    cluster.slow = {3: True}
    assert raft.on_snapshot_received(1, 1, 9, 1, VOTERS)
    cluster.pump(3)
    assert [] == messages_of(cluster, AppendEntriesReply)
    cluster.fsync(3)
    assert [AppendEntriesReply(1, True, 9)] == messages_of(cluster, AppendEntriesReply)


def test_entries_behind_the_snapshot_that_were_on_their_way_are_taken() -> None:
    """FAULTS B44: what the snapshot holds is no conflict."""
    cluster = behind()
    raft = cluster[3]
    cluster.send_snapshot(1, 3, 5)
    raft.on_message(1, AppendEntries(1, 1, 1, 5, [each for each in cluster.replicas[1].applied if each.index > 1]))
    assert (5, 5, 5) == (raft.log.base_index, raft.last_index, raft.commit_index)
    raft.on_message(1, AppendEntries(1, 0, 0, 5))
    assert 5 == raft.last_index


def test_new_leader_finds_out_that_a_follower_has_nothing() -> None:
    """FAULTS B43."""
    cluster = behind()
    cluster.isolate(3)
    cluster.isolate(1)
    cluster.cuts = {link: True for link in cluster.cuts if set(link) != {2, 3}}
    cluster.elect(2)
    cluster.advance(600)
    assert [b"0", b"1", b"2", b"3"] == cluster.replicas[3].data()


def test_two_snapshots_in_a_row() -> None:
    """FAULTS B47."""
    cluster = behind()
    cluster.holds_snapshots = True
    cluster.advance(300)
    cluster.send_snapshot(1, 3, 5)
    cluster.propose(1, b"x")
    cluster.compact(1)
    cluster.send_snapshot(1, 3, 6)
    cluster.holds_snapshots = False
    cluster.settle()
    cluster.propose(1, b"y")
    cluster.advance(300)
    assert [b"0", b"1", b"2", b"3", b"x", b"y"] == cluster.replicas[3].data()


def test_snapshot_that_arrives_after_the_leader_compacted_on_is_followed_by_another() -> None:
    """FAULTS B43, B50: neither waits for the other for ever."""
    cluster = behind()
    cluster.holds_snapshots = True
    cluster.advance(300)
    cluster.propose(1, b"x")
    old = cluster.disk(1).snapshots[5]
    cluster.compact(1, 2)
    cluster.replicas[1].snapshots_wanted = []
    assert cluster[3].on_snapshot_received(1, 1, 5, old[0], old[1])
    cluster.disk(3).snapshots[5] = old
    cluster.replicas[3].applied = list(old[2])
    cluster.settle()
    assert [(3, 6)] == cluster.replicas[1].snapshots_wanted
    cluster.holds_snapshots = False
    cluster.settle()
    assert [b"0", b"1", b"2", b"3", b"x"] == cluster.replicas[3].data()


def test_lost_state_comes_from_the_leader_although_the_log_is_whole() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    cluster.compact(3)
    cluster.propose(1, b"c")
    cluster.crash(3)
    cluster.disk(3).is_snapshot_lost = True
    cluster.start(3)
    cluster.replicas[3].applied = []
    assert 3 == cluster[3].snapshot_index_min
    cluster.advance(600)
    cluster.propose(1, b"d")
    assert [b"a", b"b", b"c", b"d"] == cluster.replicas[3].data()


def test_lost_state_is_asked_for_once() -> None:
    """A whole log alone does not end the wait for a snapshot."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.compact(3)
    cluster.crash(3)
    cluster.disk(3).is_snapshot_lost = True
    cluster.start(3)
    cluster.holds_snapshots = True
    cluster.advance(2_000)
    assert [(3, 2)] == cluster.replicas[1].snapshots_wanted


def test_who_lost_its_state_does_not_lead_or_apply() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.compact(3)
    cluster.propose(1, b"b")
    cluster.crash(1, 2, 3)
    cluster.disk(3).is_snapshot_lost = True
    cluster.start(2, 3)
    cluster.holds_snapshots = True
    cluster.replicas[3].applied = []
    assert 2 == cluster.await_leader()
    cluster.advance(10_000)
    assert (LEADER, []) == (cluster[2].role, cluster.replicas[3].applied)


def test_compaction_forgets_what_is_applied_and_nothing_else() -> None:
    cluster = Cluster(1)
    cluster.on_clock(1, 1)
    cluster.settle()
    cluster.propose(1, b"a", b"b", b"c")
    raft = cluster[1]
    size = raft.log.size
    raft.compact(2)
    assert (2, 3, 4, 1) == (raft.log.base_index, raft.log.first_index, raft.last_index, raft.log.base_term)
    assert size > raft.log.size
    raft.compact(1)
    assert 2 == raft.log.base_index


def damaged_everywhere(
    lost: tuple[int, ...], *, is_snapshot_lost: bool = False, have_others_snapshots: bool = True
) -> Cluster:
    """Node 1 has an entry more than the others and lost some that they have compacted; the others doubt their tails."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b", b"c")
    if is_snapshot_lost:
        cluster.compact(1)
    cluster.advance(300)
    if have_others_snapshots:
        cluster.compact(2, 3)
    cluster.drops = (AppendEntries,)
    cluster.propose(1, b"alone")
    cluster.drops = ()
    cluster.crash(1, 2, 3)
    cluster.disk(1).lose(*lost)
    cluster.disk(1).is_snapshot_lost = is_snapshot_lost
    for node in (2, 3):
        cluster.disk(node).is_tail_doubtful = True
    cluster.start(1, 2, 3)
    return cluster


def test_lost_entries_that_all_others_compacted_come_back_without_a_leader() -> None:
    """FAULTS W5: nobody may lead without what node 1 has, and node 1 not before it has what it lost."""
    cluster = damaged_everywhere((3,))
    leader = cluster.await_leader(20_000)
    cluster.advance(1_000)
    assert 1 == leader
    assert [[b"a", b"b", b"c", b"alone"]] * 3 == [cluster.replicas[node].data() for node in (1, 2, 3)]


@pytest.mark.parametrize("have_others_snapshots", [True, False])
def test_lost_state_comes_back_without_a_leader(have_others_snapshots: bool) -> None:
    cluster = damaged_everywhere((), is_snapshot_lost=True, have_others_snapshots=have_others_snapshots)
    assert 1 == cluster.await_leader(20_000)
    cluster.advance(1_000)
    assert [[b"a", b"b", b"c", b"alone"]] * 3 == [cluster.replicas[node].data() for node in (1, 2, 3)]


def test_who_has_not_applied_enough_sends_no_snapshot_and_strangers_get_none() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.holds_snapshots = True
    cluster.deliver((3, 2, RequestSnapshot(1, 3, 0)))
    assert [] == cluster.replicas[2].snapshots_wanted
    cluster.deliver((9, 2, RequestSnapshot(1, 2, 0)))
    assert [] == cluster.replicas[2].snapshots_wanted
    cluster.deliver((3, 2, RequestSnapshot(1, 2, 0)))
    assert [(3, 2)] == cluster.replicas[2].snapshots_wanted


def test_who_has_a_leader_waits_for_what_it_sends() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    cluster.crash(3)
    cluster.disk(3).lose(2)
    cluster.start(3)
    cluster.drops = (AppendEntries, FetchEntries)
    cluster.advance(15_000)
    assert [] == messages_of(cluster, RequestSnapshot)


def test_leader_takes_no_snapshot() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    assert not cluster[1].on_snapshot_received(2, 1, 9, 1, VOTERS)
    assert (LEADER, 1) == (cluster[1].role, cluster[1].last_index)
