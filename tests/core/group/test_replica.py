"""Goal: a replica gives its machine every committed entry once and in order, and its memory stays bounded. Method: three
replicas of a machine that remembers what it was given, over a network that is a list."""

import pytest

from quantum.core.group import Replica
from quantum.core.group.replica import SOLE_LOG_BYTES_MAX
from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.core.raft.entry import COMMAND, Entry
from quantum.core.raft.membership import Membership, encode_membership
from quantum.core.raft.raft import NOT_LEADER
from quantum.core.raft.recovered import Recovered
from quantum.core.snapshot.chunks import SnapshotReader, SnapshotWriter
from quantum.core.snapshot.manifest import SnapshotDamaged
from quantum.core.state_machine import BucketCutter

LOG_BYTES_MAX = 2 * SOLE_LOG_BYTES_MAX


class Journal:
    """A machine of one bucket: all it ever applied, and which of it came with its decoded form."""

    def __init__(self) -> None:
        self.bucket_count = 1
        self.cutter = BucketCutter(self.encode_bucket)
        self.applied: list[bytes] = []
        self.kept: list[object] = []

    def apply(self, index: int, data: bytes, decoded: object) -> object:
        self.cutter.before_change(0)
        self.applied.append(data)
        self.kept.append(decoded)
        return index, data

    def encode_bucket(self, number: int) -> bytes:
        return b"\n".join(self.applied)

    def decode_bucket(self, number: int, data: bytes) -> None:
        self.applied = data.split(b"\n")

    def reset(self) -> None:
        self.cutter.abandon()
        self.applied = []

    def on_restored(self) -> None:
        self.kept = []

    def digest(self) -> bytes:
        return self.encode_bucket(0)


class Trio:
    """Replicas 1 to 3; `down` neither hear nor speak. What is recorded is durable at once."""

    def __init__(self) -> None:
        self.machines = {node: Journal() for node in (1, 2, 3)}
        self.replicas = {node: Replica(7, machine, LOG_BYTES_MAX) for node, machine in self.machines.items()}
        self.down: set[int] = set()
        self.now_ms = 0
        for node, each in self.replicas.items():
            each.start(node, RaftConfig(), Prng(node), Recovered(0, 0, 0, 0, Membership((1, 2, 3))), 0)
        self.pass_time(4_000)

    def pass_time(self, ms: int) -> None:
        for _ in range(ms // 50):
            self.now_ms += 50
            for node, each in self.replicas.items():
                if node not in self.down:
                    each.on_clock(self.now_ms)
            self.run()

    def run(self) -> None:
        is_busy = True
        while is_busy:
            is_busy = False
            for node, each in self.replicas.items():
                for sequence, _ in each.take_records():
                    each.on_persisted(sequence)
                for to, data in each.take_messages():
                    if not {node, to} & self.down:
                        assert self.replicas[to].on_message(node, data)
                        is_busy = True
                each.apply()

    def leader(self) -> Replica:
        return next(each for node, each in self.replicas.items() if each.is_leading and node not in self.down)


def test_every_machine_applies_the_same_and_only_the_proposers_gets_the_decoded_form() -> None:
    trio = Trio()
    leader = trio.leader()
    first = leader.propose(b"a", "A")
    assert first + 1 == leader.propose(b"b", None)
    trio.run()
    for node, machine in trio.machines.items():
        assert [b"a", b"b"] == machine.applied
        assert (["A", None] if trio.replicas[node] is leader else [None, None]) == machine.kept
    assert [(first, b"a"), (first + 1, b"b")] == leader.take_applied()
    assert [] == leader.take_applied()


def test_a_decoded_form_is_not_used_for_another_leaders_entry() -> None:
    trio = Trio()
    old = trio.leader()
    node = old.raft.node
    trio.down = {node}
    assert old.propose(b"never", "NEVER") > 0
    trio.pass_time(4_000)
    assert trio.leader().propose(b"instead", "INSTEAD") > 0
    trio.pass_time(500)
    trio.down = set()
    trio.pass_time(2_000)
    assert [b"instead"] == trio.machines[node].applied
    assert [None] == trio.machines[node].kept


def test_who_does_not_lead_appends_nothing() -> None:
    trio = Trio()
    follower = next(each for each in trio.replicas.values() if not each.is_leading)
    assert NOT_LEADER == follower.propose(b"a", None)
    assert NOT_LEADER == Replica(7, Journal()).propose(b"a", None)
    assert "" != follower.hand_over(1)
    assert "" != follower.change_membership((1, 2), ())


def test_bytes_that_are_no_message_change_nothing() -> None:
    trio = Trio()
    leader = trio.leader()
    before = leader.term, leader.raft.last_index
    for data in (b"", b"\xff", b"\x05abc", bytes(30)):
        assert not leader.on_message(2, data)
    assert before == (leader.term, leader.raft.last_index)


def test_memory_is_bounded_by_forgetting_what_is_applied() -> None:
    trio = Trio()
    leader = trio.leader()
    for _ in range(300):
        leader.propose(bytes(32_768), None)
        trio.run()
    for each in trio.replicas.values():
        assert each.raft.log.size <= LOG_BYTES_MAX
        assert 300 < each.applied_index
        assert each.raft.log.first_index > 100


def cut(machine: Journal, index: int, term: int) -> SnapshotReader:
    """A snapshot of a machine, read back into a reader for another one."""
    writer = SnapshotWriter(machine, 7, index, term, encode_membership(Membership((1, 2, 3))), 1 << 20)
    chunks = []
    while (chunk := writer.next_chunk()) is not None:
        chunks.append(chunk[1])
    reader = SnapshotReader(Journal(), writer.manifest())
    for data in chunks:
        reader.on_chunk(data)
    return reader


def test_an_installed_snapshot_replaces_the_machine() -> None:
    trio = Trio()
    leader = trio.leader()
    node = next(node for node, each in trio.replicas.items() if each is not leader)
    trio.down = {node}
    for number in range(5):
        leader.propose(b"%d" % number, None)
        trio.run()
    behind = trio.replicas[node]
    source = cut(trio.machines[leader.raft.node], leader.applied_index, leader.applied_term)
    reader = SnapshotReader(trio.machines[node], source.manifest)
    assert behind.wants_snapshot(source.manifest.index)
    with pytest.raises(SnapshotDamaged):
        behind.install(leader.raft.node, leader.term, source.manifest, reader)
    assert [] == trio.machines[node].applied
    reader.on_chunk(chunk_of(trio.machines[leader.raft.node]))
    assert behind.install(leader.raft.node, leader.term, source.manifest, reader)
    assert [b"0", b"1", b"2", b"3", b"4"] == trio.machines[node].applied
    assert not behind.wants_snapshot(source.manifest.index)
    trio.down = set()
    leader.propose(b"5", None)
    trio.pass_time(1_000)
    assert b"5" == trio.machines[node].applied[-1]


def chunk_of(machine: Journal) -> bytes:
    writer = SnapshotWriter(machine, 7, 1, 1, b"", 1 << 20)
    found = writer.next_chunk()
    assert found is not None
    assert writer.next_chunk() is None
    return found[1]


def test_a_sole_voters_replay_skips_what_its_snapshot_holds() -> None:
    machine = Journal()
    alone = Replica(7, machine)
    alone.on_snapshot(3, 1)
    for index in range(2, 6):
        alone.replay(Entry(index, 1, COMMAND, b"%d" % index))
    assert [b"4", b"5"] == machine.applied
    alone.start(1, RaftConfig(), Prng(1), Recovered(1, 0, 5, 1, Membership((1,))), 10)
    for sequence, _ in alone.take_records():
        alone.on_persisted(sequence)
    alone.apply()
    assert alone.is_ready_to_lead
    assert 0 == alone.next_deadline_ms()
