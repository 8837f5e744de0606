"""Goal: whatever a follower's log was, it becomes the leader's; what is committed stays, counted on disks and in the
leader's own term. Method: logs of the paper's figures, moved by hand. Source: Raft §5.3, §5.4.2, figures 2, 7 and 8."""

import pytest

from quantum.core.raft.config import RaftConfig
from quantum.core.raft.entry import COMMAND, Entry
from quantum.core.raft.messages import AppendEntries, AppendEntriesReply, RequestPreVoteReply, RequestVoteReply
from quantum.core.raft.progress import PROBE, REPLICATE, Progress
from quantum.core.raft.records import TruncateRecord
from quantum.core.raft.role import LEADER
from tests.core.raft.cluster import Cluster, log_of, messages_of, with_log

FIGURE_7_LEADER = (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)
FIGURE_7 = {
    "a": (1, 1, 1, 4, 4, 5, 5, 6, 6),
    "b": (1, 1, 1, 4),
    "c": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
    "d": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
    "e": (1, 1, 1, 4, 4, 4, 4),
    "f": (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
}


def progress_of(cluster: Cluster, leader: int, follower: int) -> Progress:
    leadership = cluster[leader].leadership
    assert leadership is not None
    return leadership.followers[follower]


def appends(cluster: Cluster, to: int) -> list[AppendEntries]:
    return [each for each in messages_of(cluster, AppendEntries, to=to) if isinstance(each, AppendEntries)]


@pytest.mark.parametrize("case", FIGURE_7)
@pytest.mark.parametrize("entries_max", [1, 2, 1024])
def test_logs_of_figure_7_become_the_leaders(case: str, entries_max: int) -> None:
    cluster = Cluster(3, config=RaftConfig(append_entries_max=entries_max))
    with_log(cluster, 1, *FIGURE_7_LEADER, current_term=7)
    with_log(cluster, 2, *FIGURE_7_LEADER, current_term=7)
    cluster.crash(3)
    cluster.elect(1)
    with_log(cluster, 3, *FIGURE_7[case], current_term=7)
    cluster.advance(1_000)
    assert [*FIGURE_7_LEADER, 8] == cluster.terms(3)
    assert log_of(*FIGURE_7_LEADER) == cluster.disk(3).recover().entries[:10]
    assert cluster.replicas[1].applied == cluster.replicas[3].applied


def test_hints_skip_terms_and_not_entries() -> None:
    """Raft §5.3, the end: a follower with many entries of terms that the leader never saw is found in a few steps."""
    cluster = Cluster(3)
    for node in (1, 2):
        with_log(cluster, node, *[1] * 10, *[5] * 90, current_term=5)
    cluster.crash(3)
    cluster.elect(1)
    with_log(cluster, 3, *[1] * 10, *[2] * 45, *[3] * 45, current_term=5)
    before = len(appends(cluster, 3))
    cluster.advance(300)
    assert cluster.terms(1) == cluster.terms(3)
    assert 5 >= len(appends(cluster, 3)) - before


def test_figure_8_an_entry_of_an_earlier_term_is_not_committed_by_counting() -> None:
    """Raft §5.4.2; FAULTS B17. At (c) entry 2 of term 2 is on a majority; at (d) it is overwritten nevertheless."""
    cluster = Cluster(5)
    with_log(cluster, 1, 1, 2, current_term=2)
    with_log(cluster, 2, 1, 2, current_term=2)
    with_log(cluster, 3, 1, current_term=2)
    with_log(cluster, 4, 1, current_term=2)
    with_log(cluster, 5, 1, 3, current_term=3)
    cluster.isolate(5)
    cluster.drops = (AppendEntries,)
    cluster.elect(1)
    # Node 1 leads: its own entry stays with it, entry 2 reaches node 3.
    raft = cluster[1]
    term = raft.current_term
    cluster.network = []
    for node in (2, 3):
        raft.on_message(node, AppendEntriesReply(term, True, 2))
    assert 0 == raft.commit_index
    raft.on_message(2, AppendEntriesReply(term, True, 3))
    assert 0 == raft.commit_index
    raft.on_message(3, AppendEntriesReply(term, True, 3))
    assert 3 == raft.commit_index


def test_leader_counts_its_own_disk_like_any_other() -> None:
    """FAULTS B28."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.slow[1] = True
    cluster.isolate(3)
    cluster.propose(1, b"a")
    assert (1, 2) == (cluster[1].commit_index, cluster[2].last_index)
    cluster.fsync(1)
    assert 2 == cluster[1].commit_index


def test_followers_commit_without_the_disk_of_the_leader() -> None:
    """thesis §10.2.1: the leader writes in parallel."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.slow[1] = True
    cluster.propose(1, b"a")
    assert [2, 2, 2] == [cluster[node].commit_index for node in (1, 2, 3)]
    assert [[], [b"a"], [b"a"]] == [cluster.replicas[node].data() for node in (1, 2, 3)]


def test_commit_index_reaches_followers_at_once() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    assert [2, 2, 2] == [cluster[node].commit_index for node in (1, 2, 3)]


def test_commit_index_reaches_a_follower_whose_window_is_full() -> None:
    """FAULTS B29."""
    cluster = Cluster(3, config=RaftConfig(inflight_appends_max=1, append_entries_max=1))
    cluster.elect(1)
    cluster.drops = (AppendEntriesReply,)
    cluster.propose(1, b"a", b"b", b"c")
    cluster.drops = ()
    cluster.advance(1_000)
    assert [4, 4, 4] == [cluster[node].commit_index for node in (1, 2, 3)]


def test_restarted_follower_of_a_quiet_group_applies_what_is_committed() -> None:
    """FAULTS L6, B30: no entry comes any more that would tell it."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    cluster.restart(3)
    assert [] == cluster.replicas[3].data()
    cluster.advance(300)
    assert [b"a", b"b"] == cluster.replicas[3].data()


def test_lost_append_is_found_in_a_quiet_group() -> None:
    """FAULTS B30."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.drops = (AppendEntries,)
    cluster.propose(1, b"a")
    cluster.drops = ()
    cluster.advance(300)
    assert [[b"a"]] * 3 == [cluster.replicas[node].data() for node in (1, 2, 3)]


def test_many_appends_are_under_way_up_to_the_window() -> None:
    cluster = Cluster(2, config=RaftConfig(inflight_appends_max=4, append_entries_max=1))
    cluster.elect(1)
    cluster.fsync(1)
    for number in range(10):
        cluster[1].propose(b"%d" % number)
    cluster.pump(1)
    assert [2, 3, 4, 5] == [each[2].entries[0].index for each in cluster.network if isinstance(each[2], AppendEntries)]
    cluster.settle()
    assert 11 == cluster[2].commit_index


def test_bytes_under_way_are_bounded() -> None:
    cluster = Cluster(2, config=RaftConfig(inflight_bytes_max=2500, append_bytes_max=1000))
    cluster.elect(1)
    for _ in range(10):
        cluster[1].propose(bytes(1000))
    cluster.pump(1)
    assert 3 == len(cluster.network)


def test_append_is_bounded_and_a_huge_entry_travels_alone() -> None:
    cluster = Cluster(2, config=RaftConfig(append_bytes_max=1000))
    cluster.elect(1)
    cluster.isolate(2)
    for size in (400, 400, 400, 5000, 400):
        cluster[1].propose(bytes(size))
    cluster.settle()
    cluster.heal()
    before = len(appends(cluster, 2))
    cluster.advance(400)
    sizes = [[len(entry.data) for entry in each.entries] for each in appends(cluster, 2)[before:] if each.entries]
    assert [400, 400] in sizes
    assert [5000] in sizes
    assert all(sum(each) <= 1000 or len(each) == 1 for each in sizes)
    assert 7 - 1 == cluster[2].last_index


def test_duplicated_and_reordered_messages_change_nothing() -> None:
    cluster = Cluster(3, config=RaftConfig(append_entries_max=2))
    cluster.elect(1)
    for number in range(12):
        cluster[1].propose(b"%d" % number)
        cluster.pump(1)
    old = list(cluster.network)
    cluster.network = [*reversed(old), *old, *reversed(old)]
    cluster.settle()
    for sent in [*old, *reversed(old)]:
        cluster.deliver(sent)
        cluster.settle()
    cluster.advance(500)
    assert [[b"%d" % number for number in range(12)]] * 3 == [cluster.replicas[node].data() for node in (1, 2, 3)]
    assert [] == [each for each in cluster.disk(2).records if isinstance(each, TruncateRecord)]


def test_older_append_that_fits_does_not_shorten_the_log() -> None:
    """FAULTS B21: entries are removed when they contradict, and not when a message ends before them."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b", b"c")
    raft = cluster[2]
    raft.on_message(1, AppendEntries(1, 1, 1, 0, [raft.log.entry(2)]))
    assert 4 == raft.last_index
    raft.on_message(1, AppendEntries(1, 2, 1, 0))
    assert 4 == raft.last_index


def test_commit_index_of_a_message_counts_up_to_what_it_proves() -> None:
    """Raft figure 2, AppendEntries 5: min(leaderCommit, index of last new entry)."""
    raft = with_log(Cluster(3), 2, 1, 1, 1, 1, current_term=1)
    raft.on_message(1, AppendEntries(2, 2, 1, 4))
    assert 2 == raft.commit_index


def test_commit_index_of_a_message_never_lowers_what_is_known() -> None:
    """FAULTS B19: also of what is not applied yet."""
    raft = with_log(Cluster(3), 2, 1, 1, 1, 1, current_term=1)
    raft.on_message(1, AppendEntries(2, 4, 1, 4))
    raft.on_message(1, AppendEntries(2, 4, 1, 2))
    raft.on_message(3, AppendEntries(3, 4, 1, 1))
    assert (0, 4) == (raft.applied_index, raft.commit_index)


def test_hints_never_lead_back_in_front_of_what_is_acknowledged() -> None:
    progress = Progress(RaftConfig(), 8)
    progress.match_index = 5
    assert progress.on_refused(7, 3)
    assert 6 == progress.next_index
    assert not progress.on_refused(7, 3)


def test_acknowledgements_that_overtake_each_other_never_lower_the_match() -> None:
    """FAULTS B20."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b", b"c")
    progress = progress_of(cluster, 1, 2)
    assert 4 == progress.match_index
    cluster[1].on_message(2, AppendEntriesReply(1, True, 2))
    assert (4, 5) == (progress.match_index, progress.next_index)
    cluster[1].on_message(2, AppendEntriesReply(1, False, 3, 2, 1))
    assert (4, REPLICATE) == (progress.match_index, progress.state)


def test_refusal_after_a_loss_makes_the_leader_probe() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.drops = (AppendEntries,)
    cluster.propose(1, b"a")
    cluster.drops = ()
    cluster[1].propose(b"b")
    cluster.pump(1)
    cluster[2].on_message(*next((each[0], each[2]) for each in cluster.network if each[1] == 2))
    cluster.fsync(2)
    refusal = messages_of(cluster, AppendEntriesReply, sender=2)[-1]
    assert AppendEntriesReply(1, False, 2, 1, 1) == refusal
    cluster[1].on_message(2, refusal)
    assert PROBE == progress_of(cluster, 1, 2).state


def test_leader_never_overwrites_its_own_entries() -> None:
    """FAULTS R3; Leader Append-Only, Raft figure 3."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a")
    with pytest.raises(AssertionError):
        cluster[1].on_message(2, AppendEntries(1, 1, 1, 0, [Entry(2, 1, COMMAND, b"b")]))
    assert b"a" == cluster[1].log.entry(2).data


def test_acknowledgements_of_an_earlier_term_do_not_count() -> None:
    """FAULTS B23."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(1)
    cluster.elect(2)
    cluster.isolate(2, 3)
    index = cluster[2].propose(b"a")
    cluster.fsync(2)
    cluster[2].on_message(3, AppendEntriesReply(1, True, index))
    assert index > cluster[2].commit_index
    cluster[2].on_message(3, AppendEntriesReply(2, True, index))
    assert index == cluster[2].commit_index


def test_uncommitted_entries_of_a_deposed_leader_give_way() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.isolate(1)
    cluster[1].propose(b"lost")
    cluster.settle()
    cluster.advance(3_000, [1])
    cluster.elect(2)
    cluster.propose(2, b"kept")
    cluster.heal()
    cluster.advance(500)
    assert [[b"kept"]] * 3 == [cluster.replicas[node].data() for node in (1, 2, 3)]


def test_too_much_that_is_not_committed_is_refused_but_one_entry_always_fits() -> None:
    cluster = Cluster(3, config=RaftConfig(uncommitted_bytes_max=1000))
    cluster.elect(1)
    cluster.isolate(1)
    raft = cluster[1]
    assert 2 == raft.propose(bytes(5000))
    assert -3 == raft.propose(b"a")
    cluster.heal()
    cluster.advance(1_000)
    assert 3 == raft.propose(b"a")


def test_uncommitted_entries_of_earlier_terms_count_for_the_limit() -> None:
    cluster = Cluster(3, config=RaftConfig(uncommitted_bytes_max=100))
    for node in (1, 2, 3):
        cluster.disk(node).records = [Entry(1, 1, COMMAND, bytes(90))]
        cluster.restart(node)
    cluster.slow = {2: True, 3: True}
    cluster.expire(1)
    for node in (2, 3):
        cluster[1].on_message(node, RequestPreVoteReply(1, True))
        cluster.fsync(1)
    for node in (2,):
        cluster[1].on_message(node, RequestVoteReply(1, True))
    assert LEADER == cluster[1].role
    assert -3 == cluster[1].propose(bytes(20))


def test_followers_refuse_proposals() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    assert -1 == cluster[2].propose(b"a")
