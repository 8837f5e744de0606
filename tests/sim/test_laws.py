"""Goal: a replica that applies something else, or makes something else of it, is caught at that entry. Method: witnesses
of two replicas that are given one log, and then another; clocks and packets by themselves."""

from quantum.core.broker.commands import Entry, OpenEdge, encode_entry
from quantum.core.broker.state import BrokerState
from quantum.core.group.replica import Replica
from quantum.core.mqtt.encode import encode_packet
from quantum.core.mqtt.packets import V5, Connect, Pingreq, Publish
from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.core.raft.membership import Membership
from quantum.core.raft.recovered import Recovered
from quantum.sim.host_clock import WALL_BASE_MS, HostClock
from quantum.sim.packet_scan import PacketScan
from quantum.sim.promises import Promises
from quantum.sim.random_commands import RandomCommands
from quantum.sim.witness import DIGEST_EVERY, Ledger, Witness

ENTRIES = 2 * DIGEST_EVERY


def entries(count: int) -> list[bytes]:
    """A log."""
    state, commands = BrokerState(), RandomCommands(Prng(3))
    found: list[bytes] = []
    for index in range(1, count + 1):
        found.append(encode_entry(commands.next_entry()))
        commands.on_effects(state.apply(index, found[-1], None))
    return found


def witness(node: int, ledger: Ledger, *, is_started: bool = True) -> Witness:
    """A replica's machine, watched."""
    state = BrokerState()
    replica = Replica(1, state)
    if is_started:
        replica.start(
            node, RaftConfig(), Prng(node), Recovered(0, 0, 0, 0, Membership((1, 2)), [], False, False, False), 0
        )
    return Witness(node, replica, state, ledger)


def laws(promises: Promises) -> list[str]:
    return [each.law for each in promises.violations]


def test_replicas_of_one_log_agree_with_each_other_and_with_the_model() -> None:
    promises = Promises()
    ledger = Ledger(promises, has_model=True)
    log = entries(ENTRIES)
    for node in (1, 2):
        machine = witness(node, ledger)
        for index, data in enumerate(log, 1):
            machine.apply(index, data, None)
    assert [] == laws(promises)
    assert 2 == ledger.compared_count
    assert ENTRIES == ledger.applied_index


def test_other_entry_at_an_index_is_a_violation() -> None:
    promises = Promises()
    ledger = Ledger(promises, has_model=False)
    witness(1, ledger).apply(1, encode_entry(Entry(5, 1, 1, 0, [OpenEdge(1, 1, 7)])), None)
    witness(2, ledger).apply(1, encode_entry(Entry(5, 1, 1, 0, [OpenEdge(1, 1, 8)])), None)
    assert ["R6"] == laws(promises)


def test_other_outcome_of_an_entry_is_a_violation() -> None:
    promises = Promises()
    ledger = Ledger(promises, has_model=False)
    opening = encode_entry(Entry(5, 1, 1, 0, [OpenEdge(1, 1, 7)]))
    first, second = witness(1, ledger), witness(2, ledger)
    first.apply(1, opening, None)
    first.apply(2, opening, None)
    second.apply(2, opening, None)  # It missed the first one, so that this one counts.
    assert ["R14"] == laws(promises)


def test_what_a_boot_replays_counts_when_the_process_lives_to_say_so() -> None:
    promises = Promises()
    ledger = Ledger(promises, has_model=True)
    opening = encode_entry(Entry(5, 1, 1, 0, [OpenEdge(1, 1, 7)]))
    booting = witness(1, ledger, is_started=False)
    booting.apply(1, opening, None)
    assert 0 == ledger.applied_index
    other = encode_entry(Entry(6, 1, 1, 0, [OpenEdge(1, 1, 9)]))
    witness(1, ledger).apply(1, other, None)
    assert [] == laws(promises)
    assert 1 == ledger.applied_index


def test_clock_drifts_freezes_and_is_coarse_and_deadlines_are_met() -> None:
    clock = HostClock(1_000, 50)
    assert 1_000 == clock.now_ms(0)
    assert WALL_BASE_MS + 50 + 7 == clock.wall_ms(7_000)
    clock.drift(1_000_000, 100_000)
    assert 2_000 + 1_100 == clock.now_ms(2_000_000)
    assert 2_000_000 == clock.real_us_at(3_100, 1_500_000)
    clock.freeze(2_000_000, 500_000)
    assert 3_100 == clock.now_ms(2_400_000)
    assert 3_100 + 110 == clock.now_ms(2_600_000)
    clock.coarsen(100)
    assert 3_200 == clock.now_ms(2_600_000)
    at_us = clock.real_us_at(3_250, 2_600_000)
    assert 3_300 == clock.now_ms(at_us)
    assert 3_200 == clock.now_ms(at_us - 1_000)
    clock.reboot(at_us, 5)
    assert 0 == clock.now_ms(at_us)


def test_packets_are_read_from_a_stream_in_any_pieces() -> None:
    data = encode_packet(V5, Connect(V5, "me", True, 10))
    data += encode_packet(V5, Publish("a/b", b"hello", 1, True, packet_id=9))
    data += encode_packet(V5, Pingreq())
    for size in (1, 3, len(data)):
        scan = PacketScan()
        found = [item for at in range(0, len(data), size) for item in scan.feed(data[at : at + size])]
        assert [("CONNECT", 0), ("PUBLISH qos 1 RETAIN a/b 'hello'", 9), ("PINGREQ", 0)] == found
