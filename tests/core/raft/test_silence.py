"""Goal: a group with nothing to do falls silent, and wakes for whatever comes. Method: clocks moved by hand.
Source: FAULTS §3.1 (quiescence), L9; heartbeats cost nothing that grows with the number of idle groups."""

from quantum.core.raft.config import RaftConfig
from quantum.core.raft.messages import Heartbeat, HeartbeatReply
from quantum.core.raft.role import LEADER
from tests.core.raft.cluster import Cluster


def silent() -> Cluster:
    """Node 1 leads, everybody is silent."""
    cluster = Cluster(3, config=RaftConfig(idle_after_ms=500))
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.advance(2_000)
    cluster.sent = []
    return cluster


def test_idle_group_says_nothing_and_needs_no_clock() -> None:
    cluster = silent()
    cluster.advance(60_000)
    assert [] == cluster.sent
    assert [0, 0, 0] == [cluster[node].next_deadline_ms() for node in (1, 2, 3)]
    assert LEADER == cluster[1].role


def test_group_is_never_silent_unless_asked_to() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.advance(5_000)
    before = len(cluster.sent)
    cluster.advance(300)
    assert before < len(cluster.sent)


def test_leader_speaks_on_while_somebody_is_behind_or_away() -> None:
    for harm in ("away", "slow"):
        cluster = Cluster(3, config=RaftConfig(idle_after_ms=500))
        cluster.elect(1)
        if harm == "away":
            cluster.isolate(3)
        else:
            cluster.slow = {3: True}
        cluster.propose(1, b"a")
        cluster.advance(5_000)
        cluster.sent = []
        cluster.advance(300)
        assert [] != cluster.sent


def test_proposal_wakes_everybody() -> None:
    cluster = silent()
    cluster.propose(1, b"b")
    assert [[b"a", b"b"]] * 3 == [cluster.replicas[node].data() for node in (1, 2, 3)]
    assert 0 not in [cluster[node].next_deadline_ms() for node in (1, 2, 3)]
    cluster.crash(1)
    assert cluster.await_leader() in (2, 3)


def test_read_wakes_the_leader() -> None:
    cluster = silent()
    cluster[3].read_index(7)
    cluster.settle()
    assert [(7, 2)] == cluster.replicas[3].reads
    assert 0 != cluster[1].next_deadline_ms()


def test_leader_that_was_cut_off_while_silent_finds_out() -> None:
    cluster = silent()
    cluster.isolate(1)
    cluster[1].propose(b"b")
    cluster.settle()
    cluster.advance(3_000)
    assert LEADER != cluster[1].role


def test_restarted_follower_finds_its_leader_again_and_does_not_depose_it() -> None:
    """Its pre-vote wakes the others; they give the leader the time to be heard."""
    for _ in range(5):
        cluster = silent()
        cluster.restart(3)
        cluster.advance(3_000)
        assert (LEADER, 1) == (cluster[1].role, cluster[1].current_term)
        assert [b"a"] == cluster.replicas[3].data()


def test_lost_leader_is_replaced_when_its_process_is_reported_gone() -> None:
    cluster = silent()
    cluster.crash(1)
    cluster.advance(10_000)
    assert LEADER not in (cluster[2].role, cluster[3].role)
    cluster[2].on_peer_lost(1)
    assert cluster.await_leader() in (2, 3)


def test_leader_speaks_to_a_peer_that_came_back() -> None:
    cluster = silent()
    cluster.restart(3)
    cluster[1].on_peer_lost(3)
    cluster.advance(300)
    assert [b"a"] == cluster.replicas[3].data()
    assert 1 == cluster[3].leader


def test_peer_that_matters_to_nobody_wakes_nobody() -> None:
    cluster = silent()
    cluster[2].on_peer_lost(3)
    assert 0 == cluster[2].next_deadline_ms()


def test_follower_that_has_less_than_the_leader_does_not_fall_silent() -> None:
    cluster = Cluster(3)
    cluster.elect(1)
    cluster.deliver((1, 2, Heartbeat(1, 1, 0, 9, True, 9)))
    assert HeartbeatReply(1, 0, False, 1, 9) == cluster.sent[-1][2]
    assert 0 != cluster[2].next_deadline_ms()


def test_late_copy_of_a_farewell_silences_nobody() -> None:
    cluster = Cluster(3, config=RaftConfig(idle_after_ms=500))
    cluster.elect(1)
    cluster.propose(1, b"a")
    cluster.advance(2_000)
    farewells = [each for each in cluster.sent if each[1] == 2 and isinstance(each[2], Heartbeat) and each[2].is_idle]
    cluster[1].read_index(7)
    cluster.settle()
    assert 0 != cluster[2].next_deadline_ms()
    cluster.deliver(farewells[-1])
    assert 0 != cluster[2].next_deadline_ms()
