"""Replicas moved by hand: every message, every fsync and every timeout happens when a test says so.

Each replica has its own clock and disk. `settle` moves messages and disks until nothing moves; what a test wants to be
late it cuts off (`cut`, `isolate`), slows down (`slow`) or takes out of `network`. After every step the laws of Raft
figure 3 are looked at, so that a story which breaks one fails wherever it happens.
"""

from collections.abc import Callable, Iterable

from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.core.raft.entry import COMMAND, Entry
from quantum.core.raft.membership import Membership
from quantum.core.raft.messages import Message
from quantum.core.raft.raft import Raft
from quantum.core.raft.records import HardStateRecord
from quantum.core.raft.role import LEADER
from tests.core.raft.disk import Disk

MOVES_MAX = 3000  # messages in one `settle`: more is a loop that never rests
Sent = tuple[int, int, Message]  # (from, to, message)


class Replica:
    """A Raft with a disk, a clock and a state machine that is the list of entries it applied."""

    def __init__(self, node: int, config: RaftConfig, disk: Disk) -> None:
        self.node = node
        self.config = config
        self.disk = disk
        self.clock_ms = 0
        self.life = 0
        self.is_up = True
        self.reads: list[tuple[int, int]] = []
        self.snapshots_wanted: list[tuple[int, int]] = []
        self.start()

    def start(self) -> None:
        self.life += 1
        self.is_up = True
        prng = Prng(7).stream(f"{self.node}.{self.life}")
        recovered = self.disk.recover()
        snapshot = self.disk.snapshots.get(recovered.snapshot_index)
        self.applied: list[Entry] = list(snapshot[2]) if snapshot else []
        self.raft = Raft(self.node, self.config, prng, recovered, self.clock_ms)

    def data(self) -> list[bytes]:
        """The commands that were applied."""
        return [entry.data for entry in self.applied if entry.kind == COMMAND]


class Cluster:
    """`Cluster(3)` has nodes 1, 2 and 3, all up, none leading."""

    def __init__(self, count: int, *, config: RaftConfig | None = None, learners: tuple[int, ...] = ()) -> None:
        voters = tuple(range(1, count + 1))
        self.config = RaftConfig() if config is None else config
        self.initial = Membership(voters, (), learners)
        self.replicas: dict[int, Replica] = {}
        self.network: list[Sent] = []
        self.sent: list[Sent] = []  # all there ever were
        self.cuts: dict[tuple[int, int], bool] = {}
        self.drops: tuple[type[Message], ...] = ()  # kinds of messages that get lost
        self.slow: dict[int, bool] = {}  # disks that do not fsync
        self.holds_snapshots = False
        self.leaders: dict[int, int] = {}  # by term
        self.committed: dict[int, Entry] = {}
        for node in voters + learners:
            self.add(node)

    def add(self, node: int) -> Raft:
        self.replicas[node] = Replica(node, self.config, Disk(self.initial))
        return self[node]

    def __getitem__(self, node: int) -> Raft:
        return self.replicas[node].raft

    def disk(self, node: int) -> Disk:
        return self.replicas[node].disk

    # -- what the world does ----------------------------------------------------------------------------------------

    def pump(self, node: int) -> None:
        """Write what the replica wants written, apply and send what it lets go."""
        replica = self.replicas[node]
        raft = replica.raft
        records = raft.take_records()
        if records:
            replica.disk.write(records, raft.record_sequence)
        for entry in raft.take_committed(1_000_000):
            self._apply(replica, entry)
        for to, message in raft.take_messages():
            self.sent.append((node, to, message))
            if (node, to) not in self.cuts and self.is_up(to) and not isinstance(message, self.drops):
                self.network.append((node, to, message))
        replica.reads += raft.take_reads()
        replica.snapshots_wanted += raft.take_snapshots_wanted()
        if raft.role == LEADER:
            assert self.leaders.setdefault(raft.current_term, node) == node, "election safety"

    def is_up(self, node: int) -> bool:
        return node in self.replicas and self.replicas[node].is_up

    def _apply(self, replica: Replica, entry: Entry) -> None:
        assert [] == replica.applied or entry.index == replica.applied[-1].index + 1
        if entry.index not in self.committed:
            holders = [each.node for each in self.replicas.values() if each.disk.holds(entry)]
            voters = replica.raft.membership_at(entry.index).voters
            assert 2 * len([node for node in holders if node in voters]) > len(voters), "durable commit"
            self.committed[entry.index] = entry
        assert self.committed[entry.index] == entry, "state machine safety"
        replica.applied.append(entry)
        replica.raft.on_applied(entry.index)

    def fsync(self, node: int) -> None:
        """What the replica has written is durable, and it hears of it."""
        self.pump(node)
        sequence = self.disk(node).fsync()
        if sequence:
            self[node].on_persisted(sequence)
        self.pump(node)

    def deliver(self, sent: Sent) -> None:
        """One message arrives."""
        sender, to, message = sent
        if self.replicas[to].is_up:
            self[to].on_message(sender, message)
            self.pump(to)

    def take(self, wanted: Callable[[Sent], bool]) -> list[Sent]:
        """Take messages out of the network, to lose them or to deliver them at another time."""
        taken = [each for each in self.network if wanted(each)]
        self.network = [each for each in self.network if not wanted(each)]
        return taken

    def settle(self) -> None:
        """Let everything happen that needs no clock."""
        for _ in range(MOVES_MAX):
            for replica in list(self.replicas.values()):
                if replica.is_up:
                    self.pump(replica.node)
                    if replica.disk.written and replica.node not in self.slow:
                        self.fsync(replica.node)
                    self._send_snapshots(replica)
            if self.network:
                self.deliver(self.network.pop(0))
            elif not self._has_unwritten():
                return
        raise AssertionError(f"still {len(self.network)} messages under way: {self.network[:4]}")

    def _has_unwritten(self) -> bool:
        return any(each.is_up and each.disk.written and each.node not in self.slow for each in self.replicas.values())

    def _send_snapshots(self, replica: Replica) -> None:
        if self.holds_snapshots:
            return
        wanted = replica.snapshots_wanted
        replica.snapshots_wanted = []
        for peer, index_min in wanted:
            if (replica.node, peer) in self.cuts or not self.is_up(peer):
                replica.raft.on_snapshot_failed(peer)
            else:
                self.send_snapshot(replica.node, peer, index_min)

    def send_snapshot(self, node: int, peer: int, index_min: int) -> bool:
        """Cut a snapshot where there is none, and give it to the peer, whole and durable; whether it was installed."""
        sender, receiver = self.replicas[node], self.replicas[peer]
        if not sender.disk.snapshots or max(sender.disk.snapshots) < index_min:
            self.cut_snapshot(node)
        index = max(sender.disk.snapshots)
        assert index >= index_min
        term, membership, state = sender.disk.snapshots[index]
        self.pump(peer)
        is_wanted = receiver.raft.on_snapshot_received(node, sender.raft.current_term, index, term, membership)
        if is_wanted:
            receiver.disk.snapshots[index] = (term, membership, list(state))
            receiver.disk.is_snapshot_lost = False
            receiver.applied = list(state)
        self.pump(peer)
        return is_wanted

    def cut_snapshot(self, node: int) -> int:
        """A snapshot of what is applied; returns its index."""
        replica = self.replicas[node]
        index = replica.raft.applied_index
        log = replica.raft.log
        replica.disk.snapshots[index] = (
            log.term_at(index),
            replica.raft.membership_at(index),
            list(replica.applied),
        )
        return index

    def compact(self, *nodes: int) -> None:
        """Snapshot and forget the log, on each node."""
        for node in nodes:
            self[node].compact(self.cut_snapshot(node))

    def isolate(self, *nodes: int) -> None:
        """Nothing goes from or to them."""
        for node in nodes:
            for other in self.replicas:
                self.cut((node, other), (other, node))

    def cut(self, *links: tuple[int, int]) -> None:
        for link in links:
            self.cuts[link] = True
            self.take(lambda sent, link=link: (sent[0], sent[1]) == link)  # type: ignore[misc]

    def heal(self) -> None:
        self.cuts = {}

    def crash(self, *nodes: int) -> None:
        """Power loss: what was not fsynced is gone, and so is what was on its way to the node."""
        for node in nodes:
            self.replicas[node].is_up = False
            self.disk(node).crash()
            self.take(lambda sent, node=node: sent[1] == node)  # type: ignore[misc]

    def start(self, *nodes: int) -> None:
        for node in nodes:
            self.replicas[node].start()
            self.pump(node)

    def restart(self, *nodes: int) -> None:
        self.crash(*nodes)
        self.start(*nodes)

    # -- time -------------------------------------------------------------------------------------------------------

    def on_clock(self, node: int, ms: int) -> None:
        """Move the clock of one replica."""
        replica = self.replicas[node]
        replica.clock_ms += ms
        if replica.is_up:
            replica.raft.on_clock(replica.clock_ms)
            self.pump(node)

    def advance(self, ms: int, nodes: Iterable[int] = ()) -> None:
        """Let time pass for all (or some), a little at a time."""
        moving = list(nodes) or list(self.replicas)
        while ms > 0:
            step = min(ms, 50)
            ms -= step
            for node in moving:
                self.on_clock(node, step)
            self.settle()

    def expire(self, node: int) -> None:
        """Let the replica's election timeout pass; others notice that they heard nothing for as long, but wait on."""
        for other, replica in self.replicas.items():
            if other != node and replica.is_up and replica.raft.role != LEADER and replica.raft.deadline_ms:
                self.on_clock(other, max(0, replica.raft.deadline_ms - 1 - replica.clock_ms))
        self.on_clock(node, self[node].deadline_ms - self.replicas[node].clock_ms)

    def elect(self, node: int) -> Raft:
        """Make the replica the leader; the one before must be out of the way."""
        self.settle()
        self.expire(node)
        self.settle()
        assert LEADER == self[node].role
        return self[node]

    def propose(self, node: int, *data: bytes) -> list[int]:
        """Propose and let it settle; returns the indexes."""
        indexes = [self[node].propose(each) for each in data]
        self.settle()
        return indexes

    def await_leader(self, ms: int = 10_000) -> int:
        """Let time pass until somebody leads; returns who."""
        for _ in range(ms // 50):
            self.advance(50)
            leaders = [each.node for each in self.replicas.values() if each.is_up and each.raft.role == LEADER]
            if leaders:
                return max(leaders, key=lambda node: self[node].current_term)
        raise AssertionError(f"nobody leads after {ms} ms")

    def terms(self, node: int) -> list[int]:
        """The terms of a replica's log, for comparison with a paper's figure."""
        log = self[node].log
        return [log.term_at(index) for index in range(log.first_index, log.last_index + 1)]


def log_of(*terms: int) -> list[Entry]:
    """A log with these terms from index 1 on, each entry telling both."""
    return [Entry(index, term, COMMAND, f"{index}@{term}".encode()) for index, term in enumerate(terms, 1)]


def with_log(cluster: Cluster, node: int, *terms: int, current_term: int, lost: tuple[int, ...] = ()) -> Raft:
    """Start the replica with such a log on its disk, and `lost` of it damaged."""
    disk = cluster.disk(node)
    disk.records = [HardStateRecord(current_term, 0), *log_of(*terms)]
    if lost:
        disk.lose(*lost)
    cluster.restart(node)
    return cluster[node]


def messages_of(cluster: Cluster, kind: type[Message], *, sender: int = 0, to: int = 0) -> list[Message]:
    """What was sent so far, of one kind."""
    return [
        message
        for each, receiver, message in cluster.sent
        if isinstance(message, kind) and sender in (0, each) and to in (0, receiver)
    ]
