"""Goal: frames between nodes are lost, repeated, delayed and changed as drawn, and never when calm. Method: one link,
many frames, and each fault by itself."""

import pytest

from quantum.core.node.peer_frames import FORWARD, RAFT, Item, PeerCodec
from quantum.core.node.peer_frames import PeerFrame as Decoded
from quantum.core.prng import Prng
from quantum.core.raft.messages import AppendEntriesReply, Heartbeat
from quantum.core.raft.wire import encode_message
from quantum.sim.frame_filter import FrameFilter
from quantum.sim.peer_network import PeerFrame, PeerNetwork, PeerOptions
from quantum.sim.scheduler import PEER_FRAME, Scheduler

COUNT = 400
FAR_US = 100_000_000


def sent(options: PeerOptions, seed: int = 1, count: int = COUNT) -> tuple[PeerNetwork, Scheduler]:
    """A network over which numbered frames are on their way from 1 to 2."""
    scheduler = Scheduler(Prng(seed).stream("ties"))
    network = PeerNetwork(Prng(seed), options, scheduler)
    for number in range(count):
        network.send(PeerFrame(1, 2, number.to_bytes(4, "big"), 0))
    return network, scheduler


def arrived(scheduler: Scheduler) -> list[bytes]:
    """What comes, in its order."""
    found: list[bytes] = []
    while True:
        due = scheduler.pop(scheduler.now_us + FAR_US)
        if due is None:
            return found
        assert PEER_FRAME == due[3]
        assert isinstance(due[5], PeerFrame)
        found.append(due[5].data)


NUMBERS = [number.to_bytes(4, "big") for number in range(COUNT)]


def test_calm_link_delivers_everything_once_and_in_order() -> None:
    assert NUMBERS == arrived(sent(PeerOptions())[1])


@pytest.mark.parametrize("seed", range(3))
def test_drops_and_duplicates_are_as_frequent_as_asked(seed: int) -> None:
    network, scheduler = sent(PeerOptions(drop_share=250, duplicate_share=250), seed)
    frames = arrived(scheduler)
    assert 50 < network.drop_count < 150
    assert 40 < network.duplicate_count < 130
    assert COUNT - network.drop_count + network.duplicate_count == len(frames)


def test_reordering_link_overtakes_and_loses_nothing() -> None:
    frames = arrived(sent(PeerOptions(is_reordering=True, delay_us_max=50_000))[1])
    assert frames != NUMBERS
    assert sorted(frames) == NUMBERS


def test_flipped_frame_differs_in_one_bit() -> None:
    frames = arrived(sent(PeerOptions(flip_share=1000))[1])
    for number, data in enumerate(frames):
        assert 1 == (int.from_bytes(data, "big") ^ number).bit_count()


def test_old_frame_comes_again_much_later() -> None:
    network, scheduler = sent(PeerOptions(replay_share=500))
    frames = arrived(scheduler)
    assert 100 < network.duplicate_count
    assert len(frames) == COUNT + network.duplicate_count
    assert {*frames} == {*NUMBERS}


def test_cuts_lie_over_each_other_and_are_one_way() -> None:
    network, scheduler = sent(PeerOptions(), count=0)
    network.cut(1, 2)
    network.cut(1, 2)
    network.mend(1, 2)
    assert not network.send(PeerFrame(1, 2, b"lost", 0))
    assert network.send(PeerFrame(2, 1, b"back", 0))
    network.mend(1, 2)
    assert network.send(PeerFrame(1, 2, b"there", 0))
    assert {b"back", b"there"} == {*arrived(scheduler)}


@pytest.mark.parametrize("is_reversing", [False, True])
def test_clogged_link_lets_go_of_all_at_once(is_reversing: bool) -> None:
    network, scheduler = sent(PeerOptions(), count=0)
    network.clog(1, 2)
    network.link(1, 2).is_reversing = is_reversing
    for number in range(5):
        network.send(PeerFrame(1, 2, bytes([number]), 0))
    assert [] == arrived(scheduler)
    network.unclog(1, 2)
    frames = [bytes([number]) for number in range(5)]
    assert (frames[::-1] if is_reversing else frames) == arrived(scheduler)


def test_narrow_link_takes_its_time_and_drops_what_does_not_fit() -> None:
    network, scheduler = sent(PeerOptions(), count=0)
    link = network.link(1, 2)
    link.bytes_per_ms = 1
    link.queue_bytes_max = 1_000
    for _ in range(20):
        network.send(PeerFrame(1, 2, bytes(100), 0))
    assert 10 == network.drop_count
    assert 10 == len(arrived(scheduler))


def test_calmed_network_has_no_faults_left() -> None:
    network, scheduler = sent(
        PeerOptions(drop_share=900, duplicate_share=900, replay_share=900, flip_share=900, is_reordering=True), count=0
    )
    network.calm()
    for data in NUMBERS:
        network.send(PeerFrame(1, 2, data, 0))
    assert NUMBERS == arrived(scheduler)


def test_links_draw_from_streams_of_their_own() -> None:
    options = PeerOptions(drop_share=300)
    alone = arrived(sent(options)[1])
    network, scheduler = sent(options, count=0)
    for data in NUMBERS:
        network.send(PeerFrame(3, 1, b"other", 0))
        network.send(PeerFrame(1, 2, data, 0))
    assert alone == [data for data in arrived(scheduler) if data != b"other"]


def test_filter_loses_one_kind_and_lets_the_rest_through() -> None:
    items = [
        Item(RAFT, 1, encode_message(AppendEntriesReply(3, True, 7))),
        Item(RAFT, 1, encode_message(Heartbeat(3, 7, 0, 7))),
        Item(FORWARD, 1, b"entry"),
    ]
    data = PeerCodec("sim", 1, 99).encode(2, items)[0]
    thinner = FrameFilter("sim")
    assert data == thinner.thin(1, 2, data)
    thinner.begin(0)
    thinner.begin(0)
    thinner.end(0)
    frame = PeerCodec("sim", 2, 5).decode(thinner.thin(1, 2, data))
    assert isinstance(frame, Decoded)
    assert (1, 99) == (frame.sender, frame.nonce)
    assert [item.body for item in items[1:]] == [item.body for item in frame.items]
    thinner.end(0)
    assert data == thinner.thin(1, 2, data)
    assert 1 == thinner.lost_count
