"""One node of a lite run: its disk and its clock, which last, and its process, which comes and goes.

Who drives a process is the world; this file says what a process is made of and what is lost with it.
"""

from typing import Final, final

from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.core.raft.membership import Membership
from quantum.core.raft.raft import Raft
from quantum.core.raft.recovered import Recovered
from quantum.sim.host_clock import HostClock
from quantum.sim.raft_disk import RaftDisk
from quantum.sim.raft_laws import broken
from quantum.sim.raft_machine import Machine
from quantum.sim.raft_operations import Operation
from quantum.sim.raft_watch import Watch

NEVER: Final = 1 << 62
SNAPSHOTS_PER_SECOND_MAX: Final = 50


@final
class Replica:
    """`raft` is None while no process runs."""

    __slots__ = (
        "applied_floor",
        "clock",
        "disk",
        "doom",
        "down_count",
        "given",
        "heard",
        "incarnation",
        "is_dead",
        "is_snapshot_writing",
        "machine",
        "node",
        "pause_count",
        "pending",
        "prng",
        "raft",
        "reads",
        "reads_ready",
        "slow_us",
        "snapshots_wanted",
        "stalled",
        "timer_ms",
        "timer_us",
        "wait_us",
        "watch",
    )

    def __init__(self, node: int, initial: Membership, root: Prng) -> None:
        self.node = node
        self.disk = RaftDisk(node, initial)
        self.prng = root.stream(f"node-{node}")
        self.wait_us = root.stream(f"disk-{node}")
        self.clock = HostClock(self.prng.below(1 << 40), 0)
        self.incarnation = 0
        self.down_count = 0  # reasons for which it must not start
        self.pause_count = 0
        self.is_dead = False  # for ever
        self.slow_us = 0  # on top of every write
        self.applied_floor = 0  # it was wiped: until it has applied this much, its copies are missing
        self.stalled: list[tuple[int, object]] = []  # what came while it was paused
        self.machine = Machine()
        self.raft: Raft | None = None
        self.watch: Watch | None = None
        self.lose_process()

    def lose_process(self) -> None:
        """Everything that is in memory only."""
        self.raft = None
        self.watch = None
        self.stalled = []
        self.timer_us = NEVER  # when its clock is looked at next,
        self.timer_ms = NEVER  # and what it should show then
        self.doom = 0  # effects until it is killed in the middle of a turn, 0 for never
        self.given: dict[int, tuple[int, int]] = {}  # by peer: a second, and snapshots given in it
        self.heard: dict[int, int] = {}  # the latest process of each peer that was heard of
        self.pending: dict[int, Operation] = {}  # writes by index
        self.reads: dict[int, Operation] = {}  # by context
        self.reads_ready: list[tuple[int, Operation]] = []  # (index to be applied, read)
        self.is_snapshot_writing = False
        self.snapshots_wanted: list[tuple[int, int]] = []  # (peer, least index) that wait for one to be cut

    def begin_process(self, config: RaftConfig, now_us: int) -> Recovered:
        """Start from what the disk proves."""
        assert self.raft is None
        self.incarnation += 1
        recovered = self.disk.recover()
        now_ms = self.clock.now_ms(now_us)
        raft = Raft(self.node, config, self.prng.stream(f"life-{self.incarnation}"), recovered, now_ms)
        self.raft = raft
        self.watch = Watch(self.node, self.incarnation, raft, self.disk, recovered)
        self.machine = Machine()
        if self.disk.snapshot is not None and not recovered.is_snapshot_lost:
            self.machine.restore(self.disk.snapshot.state)
        return recovered

    def count_given(self, peer: int, now_us: int) -> None:
        """R15: a peer wants a snapshot now and then, not one for every word."""
        second, count = self.given.get(peer, (-1, 0))
        count = count + 1 if second == now_us // 1_000_000 else 1
        self.given[peer] = (now_us // 1_000_000, count)
        if count > SNAPSHOTS_PER_SECOND_MAX:
            broken(
                "R15",
                f"at most {SNAPSHOTS_PER_SECOND_MAX} snapshots a second go to one peer",
                f"node {self.node} sent node {peer} one more",
            )

    def is_sound(self) -> bool:
        """Nothing on its disk is missing or in doubt; so it counts in full. A sleeping process is asked through its
        disk."""
        if self.is_dead or self.disk.has_damage() or self.disk.held.last < self.applied_floor:
            return False
        raft = self.raft
        if raft is not None:
            return raft.doubt.is_settled and not raft.log.lost and not raft.snapshot_index_min
        return not self.disk.held.is_tail_doubtful and self.disk.held.term > 0
