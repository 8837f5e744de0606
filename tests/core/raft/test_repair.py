"""Goal: entries that a disk lost come back as they were, and until then nothing is built on them: no leadership, no commit,
no acknowledgement. Method: logs with holes, moved by hand. Source: FAULTS W4, W5; the Log Matching Property, Raft §5.3."""

import pytest

from quantum.core.raft.config import RaftConfig
from quantum.core.raft.entry import LOST, MEMBERSHIP, Entry
from quantum.core.raft.log import RaftLog
from quantum.core.raft.membership import Membership, encode_membership
from quantum.core.raft.messages import (
    AppendEntries,
    AppendEntriesReply,
    FetchEntries,
    FetchEntriesReply,
    RequestLastEntry,
)
from quantum.core.raft.records import HardStateRecord, RepairRecord, TruncateRecord
from quantum.core.raft.repair import answer
from quantum.core.raft.role import LEADER
from tests.core.raft.cluster import Cluster, log_of, messages_of, with_log

SMALL = RaftConfig(append_entries_max=1)


def whole(cluster: Cluster, node: int) -> list[Entry]:
    """The log in memory."""
    log = cluster[node].log
    return [log.entry(index) for index in range(log.first_index, log.last_index + 1)]


FETCHES = (FetchEntries, FetchEntriesReply)


def test_holes_are_filled_byte_identical_without_a_leader() -> None:
    cluster = Cluster(3)
    with_log(cluster, 1, 1, 1, 2, 2, 3, current_term=3, lost=(2, 4))
    with_log(cluster, 2, 1, 1, 2, 2, 3, current_term=3, lost=(1,))
    with_log(cluster, 3, 1, 1, 2, 2, 3, current_term=3, lost=(3,))
    cluster.advance(400)
    for node in (1, 2, 3):
        assert log_of(1, 1, 2, 2, 3) == whole(cluster, node)
        assert [] == [index for index in cluster.disk(node).recover().entries if index.kind == LOST]


def test_everybody_damaged_in_another_place_recovers_and_goes_on() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    data = [b"%d" % number for number in range(20)]
    cluster.propose(1, *data)
    cluster.advance(300)
    cluster.crash(1, 2, 3)
    for node in (1, 2, 3):
        cluster.disk(node).lose(*range(2 + node, 20, 3))
    cluster.start(1, 2, 3)
    leader = cluster.await_leader()
    cluster.advance(500)
    cluster.propose(leader, b"more")
    cluster.advance(500)
    assert [[*data, b"more"]] * 3 == [cluster.replicas[node].data() for node in (1, 2, 3)]


def test_a_follower_repairs_another_from_its_log() -> None:
    """FAULTS W5: who leads does not matter."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b", b"c")
    cluster.advance(300)
    cluster.crash(1, 3)
    cluster.disk(3).lose(3)
    cluster.start(3)
    cluster.advance(400, [2, 3])
    assert b"b" == cluster[3].log.entry(3).data


def test_nobody_leads_over_a_hole() -> None:
    cluster = Cluster(1, learners=(2,))
    with_log(cluster, 1, 1, 1, 1, current_term=1, lost=(2,))
    cluster.isolate(1)
    cluster.advance(20_000)
    assert LEADER != cluster[1].role


def test_commit_stops_in_front_of_a_hole() -> None:
    raft = with_log(Cluster(3), 3, 1, 1, 1, current_term=1, lost=(2,))
    raft.on_message(1, AppendEntries(1, 3, 1, 3))
    raft.on_message(1, AppendEntries(1, 1, 1, 3))
    assert 1 == raft.commit_index


@pytest.mark.parametrize("config", [RaftConfig(), SMALL])
def test_what_stands_in_front_of_a_hole_is_not_taken_for_the_leaders(config: RaftConfig) -> None:
    """1. entries 3 and 4 of term 1 2. a leader of term 2 replaces them, and sends 5 and 6 3. the truncation and the new
    entries 3 to 5 are damaged. What is left of 3 and 4 is what was replaced, and 6 is the leader's."""
    cluster = Cluster(3, config=config)
    for node in (1, 2):
        with_log(cluster, node, 1, 1, 2, 2, 2, 2, current_term=2)
    cluster.crash(3)
    cluster.elect(1)
    cluster.drops = FETCHES
    with_log(cluster, 3, 1, 1, 1, 1, 2, 2, current_term=2, lost=(5,))
    cluster.advance(2_000)
    cluster.drops = ()
    cluster.advance(2_000)
    expected = log_of(1, 1, 2, 2, 2, 2)
    assert expected == cluster.replicas[3].applied[:6]


def test_a_conflict_in_front_of_a_hole_says_nothing_of_what_follows_it() -> None:
    """As above: entry 6 may be committed, and this copy of it may be the one that counts."""
    cluster = Cluster(3, config=SMALL)
    for node in (1, 2):
        with_log(cluster, node, 1, 1, 2, 2, 2, 2, current_term=2)
    with_log(cluster, 3, 1, 1, 1, 1, 2, 2, current_term=2, lost=(5,))
    cluster.drops = FETCHES
    cluster.elect(1)
    cluster.advance(1_000)
    assert [] == [record for record in cluster.disk(3).records if isinstance(record, TruncateRecord)]
    assert [1, 1, 0, 0, 0, 2] == cluster.terms(3)[:6]


def test_hole_grows_where_a_truncation_was_lost() -> None:
    cluster = Cluster(3)
    with_log(cluster, 2, 1, 1, 2, 2, 2, 2, current_term=2)
    with_log(cluster, 3, 1, 1, 1, 1, 2, 2, current_term=2, lost=(5,))
    cluster.advance(400, [2, 3])
    assert log_of(1, 1, 2, 2, 2, 2) == whole(cluster, 3)
    assert log_of(1, 1, 2, 2, 2, 2) == cluster.disk(3).recover().entries


def test_what_follows_a_hole_gives_way_when_the_leader_has_another_entry_there() -> None:
    """The leader's AppendEntries end inside the hole, and nobody has what stood in it."""
    cluster = Cluster(3, config=SMALL)
    for node in (1, 2):
        with_log(cluster, node, 1, 3, 3, 3, 3, 3, current_term=3)
    with_log(cluster, 3, 1, 2, 2, 2, 2, current_term=2, lost=(2, 3, 4))
    cluster.elect(1)
    cluster.advance(2_000)
    assert log_of(1, 3, 3, 3, 3, 3) == cluster.replicas[3].applied[:6]


def test_what_follows_a_hole_gives_way_when_the_leaders_log_is_shorter() -> None:
    cluster = Cluster(3, config=SMALL)
    for node in (1, 2):
        with_log(cluster, node, 1, 3, current_term=3)
    with_log(cluster, 3, 1, 2, 2, 2, 2, current_term=2, lost=(2, 3, 4))
    cluster.elect(1)
    cluster.advance(2_000)
    assert 3 == len(cluster.replicas[3].applied)


def test_a_stale_peer_does_not_undo_what_the_leader_has_proved() -> None:
    """Node 4 kept entries of term 2 that others replaced; what node 3 has behind its hole is of them too. They fit each
    other, but not what the leader of term 3 found in front of the hole."""
    cluster = Cluster(5, config=SMALL)
    for node in (1, 2, 5):
        with_log(cluster, node, 1, 1, 1, 3, current_term=3)
    with_log(cluster, 4, 1, 2, 2, 2, 2, 2, current_term=2)
    with_log(cluster, 3, 1, 1, 1, 2, 2, 2, current_term=2, lost=(4, 5))
    cluster.cut((4, 1), (1, 4), (3, 2), (3, 5))
    cluster.drops = FETCHES
    cluster.elect(1)
    cluster.advance(1_000)
    cluster.drops = ()
    assert 3 <= cluster[3].verified_index
    cluster.cut((1, 3))
    cluster.advance(1_000)
    assert [1, 1, 1] == cluster.terms(3)[:3]
    cluster.heal()
    cluster.advance(3_000)
    assert log_of(1, 1, 1, 3) == cluster.replicas[3].applied[:4]


def test_a_replica_with_a_hole_and_its_leader_come_to_rest() -> None:
    """No answer is asked for again before a heartbeat has passed."""
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, *[b"%d" % number for number in range(10)])
    cluster.advance(300)
    cluster.crash(3)
    cluster.disk(3).lose(5)
    cluster.start(3)
    before = len(cluster.sent)
    cluster.drops = FETCHES
    cluster.advance(1_000)
    assert 200 > len(cluster.sent) - before


def test_a_replica_that_doubts_its_tail_and_its_leader_come_to_rest() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b")
    cluster.crash(2, 3)
    cluster.disk(3).cut(3)
    cluster.start(3)
    before = len(cluster.sent)
    cluster.drops = (RequestLastEntry,)
    cluster.advance(1_000, [1, 3])
    assert 200 > len(cluster.sent) - before


def test_who_compacted_what_was_lost_sends_a_snapshot() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.propose(1, b"a", b"b", b"c", b"d")
    cluster.advance(300)
    cluster.compact(1, 2)
    cluster.crash(3)
    cluster.disk(3).lose(3)
    cluster.start(3)
    cluster.advance(2_000)
    cluster.propose(1, b"e")
    cluster.advance(300)
    assert [b"a", b"b", b"c", b"d", b"e"] == cluster.replicas[3].data()
    assert not cluster[3].log.lost


def test_snapshot_in_place_of_a_hole_arms_the_doubt_again() -> None:
    """What followed the hole goes, and some of it was acknowledged."""
    for index in (4, 5):
        cluster = Cluster(3)
        with_log(cluster, 3, 1, 1, 1, 1, 2, 2, current_term=2, lost=(5,))
        raft = cluster[3]
        raft.doubt.is_tail_doubtful = False
        # At 4 stands what the truncation removed that was lost with 5: the snapshot does not fit, but 6 may count.
        assert raft.on_snapshot_received(1, 2, index, 2, Membership((1, 2, 3)))
        assert (index, True) == (raft.log.last_index, raft.doubt.is_tail_doubtful)
        assert HardStateRecord(2, 0, True) in raft.take_records()


def test_snapshot_brings_the_membership_that_was_lost_with_its_entry() -> None:
    """FAULTS B37: the entry that changed the membership is in the hole, the snapshot stands behind it."""
    changed = Membership((1, 2, 3), (), (4,))
    cluster = Cluster(3)
    disk = cluster.disk(3)
    change = Entry(2, 1, MEMBERSHIP, encode_membership(changed))
    disk.records = [HardStateRecord(1, 0), *log_of(1), change, *log_of(1, 1, 1, 1)[2:]]
    disk.lose(2)
    cluster.restart(3)
    raft = cluster[3]
    assert raft.on_snapshot_received(1, 1, 3, 1, changed)
    assert (changed, 4) == (raft.membership, raft.log.last_index)
    assert changed == raft.membership_at(3)


def test_membership_comes_back_with_its_entry() -> None:
    changed = Membership((1, 2, 3), (), (4,))
    change = Entry(2, 1, MEMBERSHIP, encode_membership(changed))
    cluster = Cluster(3)
    for node in (2, 3):
        cluster.disk(node).records = [HardStateRecord(1, 0), *log_of(1), change, *log_of(1, 1, 1, 1)[2:]]
    cluster.disk(3).lose(2)
    cluster.restart(2, 3)
    assert cluster.initial == cluster[3].membership
    cluster.advance(400, [2, 3])
    assert changed == cluster[3].membership


def test_acknowledgement_ends_in_front_of_a_hole() -> None:
    cluster = Cluster(3, config=SMALL)
    for node in (1, 2):
        with_log(cluster, node, 1, 1, 1, 1, current_term=1)
    with_log(cluster, 3, 1, 1, 1, 1, current_term=1, lost=(3,))
    cluster.drops = FETCHES
    cluster.elect(1)
    cluster.advance(100)
    replies = messages_of(cluster, AppendEntriesReply, sender=3, to=1)
    accepted = [each.index for each in replies if isinstance(each, AppendEntriesReply) and each.is_accepted]
    assert 2 == max(accepted)


def test_repaired_entries_are_durable_before_they_are_acknowledged() -> None:
    cluster = Cluster(3)
    with_log(cluster, 2, 1, 1, 1, current_term=1)
    raft = with_log(cluster, 3, 1, 1, 1, current_term=1, lost=(2,))
    cluster.fsync(3)
    cluster.slow[3] = True
    cluster.advance(400, [2, 3])
    assert not raft.log.lost
    assert RepairRecord(log_of(1, 1)[1]) in cluster.disk(3).written


def test_a_peer_proves_what_it_gives_by_the_entry_behind() -> None:
    log = RaftLog(0, 0, log_of(1, 1, 2, 2))
    answered = answer(log, FetchEntries(2, 3, 2), 1 << 20, 0)
    assert FetchEntriesReply(4, 2, 1, log_of(1, 1, 2)[1:]) == answered
    assert None is answer(log, FetchEntries(2, 3, 3), 1 << 20, 0)
    assert None is answer(log, FetchEntries(2, 4, 2), 1 << 20, 0)
    assert None is answer(log, FetchEntries(0, 3, 2), 1 << 20, 0)
    assert None is answer(log, FetchEntries(4, 3, 2), 1 << 20, 0)


def test_a_peer_gives_nothing_from_in_front_of_its_own_hole() -> None:
    log = RaftLog(0, 0, [*log_of(1, 1), Entry(3, 0, LOST, b""), *log_of(1, 1, 1, 1, 1)[3:]])
    assert FetchEntriesReply(5, 1, 0, log_of(1, 1, 1, 1)[3:]) == answer(log, FetchEntries(1, 4, 1), 1 << 20, 0)


def test_answers_are_bounded_but_never_empty() -> None:
    log = RaftLog(0, 0, [Entry(index, 1, 0, bytes(1000)) for index in range(1, 11)])
    answered = answer(log, FetchEntries(1, 9, 1), 2500, 0)
    assert answered is not None
    assert [7, 8, 9] == [entry.index for entry in answered.entries]
    answered = answer(log, FetchEntries(1, 9, 1), 1, 0)
    assert answered is not None
    assert [9] == [entry.index for entry in answered.entries]


def test_a_peer_that_lost_the_neighbour_still_helps() -> None:
    """1 lost 4; 2 has 4 but not 3; 3 has 3 and 4 but not 2: each can prove one step."""
    cluster = Cluster(3)
    with_log(cluster, 1, 1, 1, 1, 1, 1, 1, current_term=1, lost=(4,))
    with_log(cluster, 2, 1, 1, 1, 1, 1, 1, current_term=1, lost=(3, 6))
    with_log(cluster, 3, 1, 1, 1, 1, 1, 1, current_term=1, lost=(2, 5))
    cluster.advance(2_000)
    assert log_of(1, 1, 1, 1, 1) == whole(cluster, 1)[:5]


def test_long_holes_are_fetched_piece_by_piece() -> None:
    cluster = Cluster(3, config=RaftConfig(fetch_entries_max=4))
    terms = [1] * 40
    with_log(cluster, 2, *terms, current_term=1)
    with_log(cluster, 3, *terms, current_term=1, lost=tuple(range(3, 38)))
    cluster.advance(3_000, [2, 3])
    assert log_of(*terms) == whole(cluster, 3)[:40]


def test_late_answer_for_a_hole_that_the_leader_filled_meanwhile() -> None:
    cluster = Cluster(3, config=RaftConfig(fetch_entries_max=1))
    raft = with_log(cluster, 3, 1, 1, 1, 1, 1, 1, current_term=1, lost=(3, 4, 5))
    raft.on_clock(1)
    raft.on_message(2, FetchEntriesReply(6, 1, 1, log_of(1, 1, 1, 1, 1)[4:]))
    assert raft.log.is_lost(5)
    raft.on_message(1, AppendEntries(1, 0, 0, 6, log_of(1, 1, 1, 1, 1, 1)))
    raft.on_message(2, FetchEntriesReply(5, 1, 1, log_of(1, 1, 1, 1)[3:]))
    assert log_of(1, 1, 1, 1, 1, 1) == whole(cluster, 3)
