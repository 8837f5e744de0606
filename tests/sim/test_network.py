"""Goal: streams keep their order, break where they are told to, and tell each end what a real one learns. Method: one
link, driven by hand."""

from quantum.core.prng import Prng
from quantum.sim.network import FINISHED, RESET, Link, Network, NetworkOptions
from quantum.sim.scheduler import TO_CLIENT, TO_NODE, Scheduler

FAR_US = 10_000_000


class Ends:
    """What arrives at both ends of one link."""

    def __init__(self, seed: int, options: NetworkOptions | None = None) -> None:
        self.scheduler = Scheduler(Prng(seed).stream("ties"))
        self.network = Network(Prng(seed), options or NetworkOptions(reset_share=0), self.scheduler)
        self.link: Link = self.network.open(0)
        self.to_node: list[bytes | str] = []
        self.to_client: list[bytes | str] = []

    def run(self) -> None:
        """Let everything arrive."""
        while True:
            due = self.scheduler.pop(self.scheduler.now_us + FAR_US)
            if due is None:
                return
            assert isinstance(due[5], bytes | str)
            assert due[3] in (TO_NODE, TO_CLIENT)
            (self.to_node if due[3] == TO_NODE else self.to_client).append(due[5])


def bytes_of(items: list[bytes | str]) -> bytes:
    return b"".join(item for item in items if isinstance(item, bytes))


def test_segments_keep_the_order_of_bytes_both_ways() -> None:
    data = bytes(range(256)) * 3
    counts: dict[int, int] = {}
    for seed in range(30):
        ends = Ends(seed, NetworkOptions(split_share=800, tiny_share=500))
        for at in range(0, len(data), 50):
            ends.network.client_send(ends.link, data[at : at + 50])
            ends.network.node_send(ends.link, data[at : at + 50])
        ends.run()
        assert data == bytes_of(ends.to_node)
        assert data == bytes_of(ends.to_client)
        counts[len(ends.to_node)] = 1
    assert len(counts) > 10


def test_connecting_arrives_first_as_an_empty_segment() -> None:
    ends = Ends(1)
    ends.network.client_send(ends.link, b"x")
    ends.run()
    assert [b"", b"x"] == ends.to_node


def test_link_breaks_after_exactly_so_many_bytes() -> None:
    for budget in range(12):
        ends = Ends(budget)
        ends.link.node_budget = budget
        ends.network.client_send(ends.link, b"01234")
        ends.network.client_send(ends.link, b"56789")
        ends.network.client_send(ends.link, b"more")
        ends.run()
        assert b"0123456789more"[:budget] == bytes_of(ends.to_node)
        assert ends.to_node[-1] == RESET
        assert ends.to_client == [RESET]


def test_end_comes_after_all_bytes() -> None:
    ends = Ends(3)
    ends.network.client_send(ends.link, b"bye")
    ends.network.client_close(ends.link)
    ends.network.client_send(ends.link, b"never")
    ends.run()
    assert [b"bye", FINISHED] == [item for item in ends.to_node if item]


def test_node_is_not_told_of_a_half_open_link() -> None:
    ends = Ends(4)
    ends.run()
    ends.network.go_half_open(ends.link)
    ends.network.node_send(ends.link, b"lost")
    ends.network.client_close(ends.link)
    ends.run()
    assert [b""] == ends.to_node
    assert [RESET] == ends.to_client


def test_stalled_reader_blocks_the_node_until_it_reads_again() -> None:
    ends = Ends(5, NetworkOptions(high_water=10))
    ends.network.stall_reader(ends.link)
    assert not ends.network.node_send(ends.link, b"x" * 10)
    assert ends.network.node_send(ends.link, b"y")
    assert not ends.network.node_send(ends.link, b"z")
    ends.run()
    assert [] == ends.to_client
    assert ends.network.resume_reader(ends.link)
    ends.run()
    assert b"x" * 10 + b"yz" == bytes_of(ends.to_client)


def test_ties_of_one_instant_are_in_a_drawn_order() -> None:
    orders: dict[tuple[int, ...], int] = {}
    for seed in range(20):
        scheduler = Scheduler(Prng(seed))
        for number in range(3):
            scheduler.push(7, TO_NODE, number)
        found = [scheduler.pop(10) for _ in range(3)]
        orders[tuple(due[4] for due in found if due is not None)] = 1
        assert scheduler.pop(10) is None
        assert 10 == scheduler.now_us
    assert len(orders) > 3
