"""What a node does with its replica: the driver's duties, as `core/node` has them, over a toy disk and a toy machine.

Records go to disk in the order in which they were taken; messages leave when the replica lets them; committed entries
are applied; snapshots are cut, sent and installed. After every input comes one turn.
"""

from typing import TYPE_CHECKING, Final, final

from quantum.core.raft.membership import Membership
from quantum.core.raft.messages import Message
from quantum.core.raft.raft import NOT_LEADER, Raft
from quantum.sim.marks import SNAPSHOT_INSTALL
from quantum.sim.raft_due import (
    FAULT,
    MESSAGE,
    SNAPSHOT_ARRIVED,
    SNAPSHOT_LATE,
    SNAPSHOT_STORED,
    SNAPSHOT_WRITTEN,
    START,
    SYNCED,
    TIMER,
)
from quantum.sim.raft_machine import MachineState, encode_command
from quantum.sim.raft_network import exponential
from quantum.sim.raft_operations import WRITE, Operation
from quantum.sim.raft_replica import NEVER, Replica

if TYPE_CHECKING:
    from quantum.sim.raft_world import RaftWorld

RESTART_US: Final = 200_000


@final
class MessageOnTheWay:
    """One copy or several of a message."""

    __slots__ = ("incarnation", "message", "number", "sender")

    def __init__(self, sender: int, incarnation: int, message: Message, number: int) -> None:
        self.sender = sender
        self.incarnation = incarnation
        self.message = message
        self.number = number  # in the history


@final
class SnapshotOnTheWay:
    """A snapshot that one replica cuts, or sends another."""

    __slots__ = ("incarnation", "membership", "sender", "state", "term")

    def __init__(self, sender: int, incarnation: int, term: int, state: MachineState, membership: Membership) -> None:
        self.sender = sender
        self.incarnation = incarnation
        self.term = term
        self.state = state
        self.membership = membership


# -- inputs -----------------------------------------------------------------------------------------------------------


def on_message(world: "RaftWorld", replica: Replica, way: MessageOnTheWay) -> None:
    """A message arrives."""
    raft = replica.raft
    if raft is None or not hear(replica, way.sender, way.incarnation):
        if world.story is not None:
            world.story.on_ignored(world.now_us, replica.node, way.sender, way.number, way.message)
        return
    if world.story is not None:
        world.story.on_delivered(world.now_us, replica.node, way.sender, way.number, way.message)
    raft.on_clock(replica.clock.now_ms(world.now_us))
    raft.on_message(way.sender, way.message)
    turn(world, replica)


def hear(replica: Replica, sender: int, incarnation: int) -> bool:
    """Whether it comes from the latest process of the sender that was heard of: the frame around a message says so."""
    known = replica.heard.get(sender, 0)
    if incarnation > known:
        replica.heard[sender] = incarnation
        if known and replica.raft is not None:
            replica.raft.on_peer_lost(sender)
    return incarnation >= known


def on_timer(world: "RaftWorld", replica: Replica, incarnation: int) -> None:
    """The clock may have reached a deadline; it may also have been set later, or earlier and have passed."""
    raft = replica.raft
    if raft is None or incarnation != replica.incarnation or world.now_us < replica.timer_us:
        return
    replica.timer_us = replica.timer_ms = NEVER
    raft.on_clock(replica.clock.now_ms(world.now_us))
    turn(world, replica)


def on_synced(world: "RaftWorld", replica: Replica, incarnation: int) -> None:
    """The batch that was being synced is durable."""
    raft = replica.raft
    if raft is None or incarnation != replica.incarnation:
        return
    sequence = replica.disk.end_batch()
    world.oracles.ballots.on_synced(replica.node, replica.disk)
    raft.on_clock(replica.clock.now_ms(world.now_us))
    raft.on_persisted(sequence)
    if world.story is not None:
        world.story.on_synced(world.now_us, replica)
    turn(world, replica)


def on_operation(world: "RaftWorld", replica: Replica, operation: Operation) -> None:
    """A client asks this node."""
    raft = replica.raft
    if raft is None:
        return
    raft.on_clock(replica.clock.now_ms(world.now_us))
    if world.story is not None:
        world.story.on_reached(replica.node, operation)
    if operation.kind == WRITE:
        result = raft.propose(encode_command(operation.serial, operation.register, operation.padding))
        if result > 0:
            operation.term = raft.current_term
            replica.pending[result] = operation
        else:
            world.operations.refused_count += 1
            world.marks.sometimes_if(result != NOT_LEADER, f"lite.refused{result}")
    else:
        replica.reads[operation.serial] = operation
        raft.read_index(operation.serial)
    turn(world, replica)


# -- the turn ---------------------------------------------------------------------------------------------------------


def turn(world: "RaftWorld", replica: Replica) -> None:
    """Take what the replica wants done, and do it."""
    raft = replica.raft
    watch = replica.watch
    assert raft is not None
    assert watch is not None
    oracles = world.oracles
    if replica.doom and die_amid(world, replica, raft):
        return
    records = raft.take_records()
    if records:
        oracles.on_records(watch, records)
        replica.disk.append(records, raft.record_sequence)
    write(world, replica)
    for to, message in raft.take_messages():
        oracles.gates.on_send(watch, to, message)
        send(world, replica, to, message)
    if raft.commit_index > raft.applied_index:
        apply(world, replica, raft)
    oracles.after_event(watch)
    if replica.reads:
        take_reads(world, replica, raft)
    for peer, index_min in raft.take_snapshots_wanted():
        give_snapshot(world, replica, peer, index_min)
    deadline_ms = raft.next_deadline_ms()
    if deadline_ms and deadline_ms < replica.timer_ms:
        # A later one is found out when the earlier one is due.
        replica.timer_ms = deadline_ms
        replica.timer_us = replica.clock.real_us_at(deadline_ms, world.now_us)
        world.scheduler.push(replica.timer_us, TIMER, replica.node, replica.incarnation)
    world.trace.record(world.now_us, raft.role, replica.node, raft.current_term, raft.commit_index, raft.log.last_index)
    if world.story is not None:
        world.story.on_turn(world.now_us, replica)


def die_amid(world: "RaftWorld", replica: Replica, raft: Raft) -> bool:
    """The process ends between two effects of a turn that has any; the first `doom` of them still happen."""
    records = raft.take_records()
    messages = raft.take_messages()
    if not records and not messages:
        return False
    watch = replica.watch
    assert watch is not None
    effects = replica.doom - 1
    if records and effects > 0:
        effects -= 1
        world.oracles.on_records(watch, records)
        replica.disk.append(records, raft.record_sequence)
        write(world, replica)
    for to, message in messages[: max(0, effects)]:
        world.oracles.gates.on_send(watch, to, message)
        send(world, replica, to, message)
    delay_us = RESTART_US * replica.doom  # Whoever supervises it starts it again.
    if effects < len(messages):
        effect = f"before-{type(messages[max(0, effects)][1]).__name__}"
    else:
        effect = "before-records" if records and replica.doom == 1 else "before-apply"
    world.kill(replica, is_written=replica.doom & 1 == 0, effect=effect)
    world.scheduler.push(world.now_us + delay_us, START, replica.node)
    return True


def write(world: "RaftWorld", replica: Replica) -> None:
    """Begin a batch, if one is due and none is under way."""
    if replica.disk.begin_batch():
        options = world.options
        delay_us = options.sync_us_min + exponential(replica.wait_us.u64(), options.sync_us_mean) + replica.slow_us
        world.scheduler.push(world.now_us + delay_us, SYNCED, replica.node, replica.incarnation)
        if replica.node in world.armed:
            world.scheduler.push(world.now_us, FAULT, world.armed.pop(replica.node))
        if world.story is not None:
            world.story.on_write(world.now_us, replica)


def send(world: "RaftWorld", replica: Replica, to: int, message: Message) -> None:
    """Give a message to the network."""
    number = 0 if world.story is None else world.story.on_send(world.now_us, replica.node, to, message)
    if to not in world.replicas:
        return
    network = world.network
    delays = network.route(replica.node, replica.incarnation, to, message, world.now_us)
    if delays:
        way = MessageOnTheWay(replica.node, replica.incarnation, message, number)
        for delay_us in delays:
            world.scheduler.push(world.now_us + delay_us, MESSAGE, to, way)
    elif world.story is not None:
        world.story.on_dropped(world.now_us, to, replica.node, number, network.reason)


def apply(world: "RaftWorld", replica: Replica, raft: Raft) -> None:
    """Apply what is committed, answer writes that got their place, and those that lost it not at all."""
    watch = replica.watch
    assert watch is not None
    machine = replica.machine
    oracles = world.oracles
    bytes_max = world.options.apply_bytes_max
    while True:
        entries = raft.take_committed(bytes_max)
        if not entries:
            break
        for entry in entries:
            serial = machine.apply(entry)
            oracles.on_apply(watch, entry, machine.chain)
            if replica.pending:
                operation = replica.pending.pop(entry.index, None)
                if operation is not None and operation.serial == serial and operation.term == entry.term:
                    world.operations.on_answer(operation, entry.index)
                    if world.story is not None:
                        world.story.on_answer(world.now_us, operation, replica.node)
        raft.on_applied(machine.index)
    kept = replica.disk.snapshot
    cut_index = 0 if kept is None else kept.state.index
    if machine.index - cut_index >= world.options.snapshot_every:
        cut_snapshot(world, replica, raft)


def take_reads(world: "RaftWorld", replica: Replica, raft: Raft) -> None:
    """Serve reads whose index is applied."""
    for context, index in raft.take_reads():
        operation = replica.reads[context]
        if index:
            replica.reads_ready.append((index, operation))
        else:
            del replica.reads[context]
            world.operations.refused_count += 1
    if not replica.reads_ready:
        return
    waiting: list[tuple[int, Operation]] = []
    for index, operation in replica.reads_ready:
        if index > replica.machine.index:
            waiting.append((index, operation))
            continue
        del replica.reads[operation.serial]
        world.operations.on_answer(operation, replica.machine.index)
        if world.story is not None:
            world.story.on_answer(world.now_us, operation, replica.node)
    replica.reads_ready = waiting


# -- snapshots --------------------------------------------------------------------------------------------------------


def cut_snapshot(world: "RaftWorld", replica: Replica, raft: Raft) -> None:
    """Begin to write one of the state as it is."""
    if replica.is_snapshot_writing or raft.snapshot_index_min:
        return
    replica.is_snapshot_writing = True
    state = replica.machine.state()
    way = SnapshotOnTheWay(replica.node, replica.incarnation, 0, state, raft.membership_at(state.index))
    delay_us = world.options.sync_us_min + 3 * exponential(replica.wait_us.u64(), world.options.sync_us_mean)
    world.scheduler.push(world.now_us + delay_us + replica.slow_us, SNAPSHOT_WRITTEN, replica.node, way)


def on_snapshot_written(world: "RaftWorld", replica: Replica, way: SnapshotOnTheWay) -> None:
    """It is durable: the log in front of it is not needed any more."""
    raft = replica.raft
    if raft is None or way.incarnation != replica.incarnation:
        return
    replica.is_snapshot_writing = False
    replica.disk.keep_snapshot(way.state, way.membership)
    index = way.state.index - world.options.snapshot_kept
    if index > raft.log.base_index:
        raft.compact(index)
    world.marks.sometimes("lite.snapshot.cut")
    if world.story is not None:
        world.story.on_snapshot(world.now_us, replica.node, "cut", way.state.index)
    wanted = replica.snapshots_wanted
    replica.snapshots_wanted = []
    for peer, index_min in wanted:
        give_snapshot(world, replica, peer, index_min)
    turn(world, replica)


def give_snapshot(world: "RaftWorld", replica: Replica, peer: int, index_min: int) -> None:
    """Send the newest, or cut one first when that is too old."""
    raft = replica.raft
    assert raft is not None
    file = replica.disk.snapshot
    if file is None or file.is_damaged or file.state.index < index_min:
        if (peer, index_min) not in replica.snapshots_wanted:
            replica.snapshots_wanted.append((peer, index_min))
        cut_snapshot(world, replica, raft)
        return
    now_us = world.now_us
    options = world.options
    way = SnapshotOnTheWay(replica.node, replica.incarnation, raft.current_term, file.state, file.membership)
    world.marks.sometimes("lite.snapshot.sent")
    replica.count_given(peer, now_us)
    if world.story is not None:
        world.story.on_snapshot(now_us, replica.node, f"sent to node {peer}", file.state.index)
    if peer in world.replicas:
        for delay_us in world.network.route_bulk(replica.node, peer, now_us):
            world.scheduler.push(now_us + options.snapshot_delay_us + delay_us, SNAPSHOT_ARRIVED, peer, way)
    late_us = now_us + options.snapshot_patience_us
    world.scheduler.push(late_us, SNAPSHOT_LATE, replica.node, (replica.incarnation, peer))


def store_snapshot(world: "RaftWorld", replica: Replica, way: SnapshotOnTheWay) -> None:
    """A peer's snapshot is here whole; make it durable, under a name of its own."""
    if replica.raft is None or not hear(replica, way.sender, way.incarnation):
        return
    delay_us = world.options.sync_us_min + exponential(replica.wait_us.u64(), world.options.sync_us_mean)
    world.scheduler.push(
        world.now_us + delay_us + replica.slow_us, SNAPSHOT_STORED, replica.node, (replica.incarnation, way)
    )


def on_snapshot_stored(world: "RaftWorld", replica: Replica, payload: tuple[int, SnapshotOnTheWay]) -> None:
    """Become what it says, if the replica is behind it."""
    incarnation, way = payload
    raft = replica.raft
    watch = replica.watch
    if raft is None or watch is None or incarnation != replica.incarnation:
        return
    state = way.state
    raft.on_clock(replica.clock.now_ms(world.now_us))
    if raft.on_snapshot_received(way.sender, way.term, state.index, state.term, way.membership):
        replica.disk.keep_snapshot(state, way.membership)
        replica.machine.restore(state)
        world.oracles.on_restore(watch, state.index, state.chain)
        replica.pending = {index: each for index, each in replica.pending.items() if index > state.index}
        world.marks.sometimes(SNAPSHOT_INSTALL)
        if world.story is not None:
            world.story.on_snapshot(world.now_us, replica.node, f"installed from node {way.sender}", state.index)
    else:
        world.marks.sometimes("lite.snapshot.refused")
    turn(world, replica)


def on_snapshot_late(world: "RaftWorld", replica: Replica, payload: tuple[int, int]) -> None:
    """It may have been lost."""
    incarnation, peer = payload
    raft = replica.raft
    if raft is None or incarnation != replica.incarnation:
        return
    raft.on_snapshot_failed(peer)
    turn(world, replica)
