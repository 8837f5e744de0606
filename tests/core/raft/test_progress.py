"""Goal: what a leader sends ahead fits what its follower takes. Method: one follower's progress, fed by hand."""

from quantum.core.raft.config import RaftConfig
from quantum.core.raft.progress import REPLICATE, Progress


def fill(progress: Progress) -> int:
    """Send until it may not; how many that were."""
    count = 0
    while not progress.is_paused:
        progress.on_sent(progress.next_index, 10)
        count += 1
    return count


def replicating(inflight_appends_max: int) -> Progress:
    progress = Progress(RaftConfig(inflight_appends_max=inflight_appends_max), 1)
    progress.on_accepted(0)
    assert REPLICATE == progress.state
    return progress


def test_a_follower_that_refuses_nothing_is_sent_a_whole_window() -> None:
    assert 8 == fill(replicating(8))


def test_each_late_refusal_of_one_lost_append_costs_two_messages() -> None:
    progress = replicating(64)
    fill(progress)
    messages = 0
    for refused in range(2, 65):  # the first of the window was lost, all behind it are refused, one after the other
        assert progress.on_refused(refused, 1)
        messages += 1  # a probe, which is accepted
        progress.on_accepted(progress.match_index)
        messages += fill(progress)
    assert 2 * 63 == messages


def test_acknowledgements_open_the_window_again() -> None:
    progress = replicating(4)
    fill(progress)
    progress.on_refused(3, 1)
    progress.on_accepted(0)
    counts = []
    for _ in range(4):
        counts.append(fill(progress))
        progress.on_accepted(progress.next_index - 1)
    assert [1, 2, 3, 4] == counts


def test_a_follower_that_refuses_what_it_acknowledged_is_asked_once_with_each_heartbeat() -> None:
    progress = replicating(4)
    progress.on_accepted(7)
    progress.become_probe()
    sent = 0
    for heartbeat in range(1, 4):
        progress.on_heartbeat_reply(heartbeat, is_idle=False)
        for _ in range(10):  # a copy of the refusal each, or a refusal of each answer
            if not progress.is_paused:
                progress.on_sent(progress.next_index, 10)
                sent += 1
            assert not progress.on_refused(7, 1)
    assert 3 == sent
