"""The node's durable side: the groups of a node, their one log and their snapshots, behind requests to the disk.

Wires `group`, `wal` and `snapshot`; knows no machine's meaning. What it says to other nodes are items of frames, see
`peer_frames`. Once `failure` is set nothing is applied, acknowledged, sent or requested again.
"""

from dataclasses import dataclass
from typing import final

from quantum.core.events import Event
from quantum.core.group import Replica
from quantum.core.node.boot import Boot, BootRefused
from quantum.core.node.housekeeping import NODE_MARKS, Housekeeping, files_of_snapshots, mark_of
from quantum.core.node.housekeeping import NUMBER_BASE as HOUSEKEEPING_BASE
from quantum.core.node.identity import Identity
from quantum.core.node.peer_frames import RAFT, Item
from quantum.core.node.snapshots import NUMBER_BASE as SNAPSHOTS_BASE
from quantum.core.node.snapshots import Incoming, Snapshots
from quantum.core.prng import Prng
from quantum.core.raft.config import RaftConfig
from quantum.core.raft.raft import NOT_LEADER
from quantum.core.raft.recovered import Recovered
from quantum.core.snapshot.manifest import SnapshotDamaged
from quantum.core.state_machine import StateMachine
from quantum.core.wal.frame import encode_hard_state, encode_snapshot_mark
from quantum.core.wal.recovery import LogDamaged
from quantum.core.wal.replay import hard_state_of
from quantum.core.wal.requests import AppendLog, DiskDone, DiskRequest
from quantum.core.wal.segment import identity_salt, segment_number
from quantum.core.wal.writer import Writer

__all__ = ["Identity", "Storage", "StorageConfig"]


@final
@dataclass(slots=True)
class StorageConfig:
    """Sizes in bytes."""

    segment_bytes: int = 67_108_864
    snapshot_log_bytes: int = 268_435_456  # log since the last snapshot of a group, before the next is cut
    snapshot_slice_bytes: int = 262_144  # cut from the state in one turn
    batch_bytes_max: int = 8_388_608
    is_relaxed: bool = False  # commit what is handed to the disk, before it is synced: loses it in a power failure

    def __post_init__(self) -> None:
        assert self.segment_bytes >= 4096
        assert self.snapshot_log_bytes >= self.segment_bytes


@final
class Storage:
    """Groups by number, over one log. Feed it, `flush`, then take what it wants."""

    __slots__ = (
        "_append_number",
        "_boot",
        "_config",
        "_events",
        "_housekeeping",
        "_now_ms",
        "_prng",
        "_raft_config",
        "_recovered",
        "_replicas",
        "_request_number",
        "_requests",
        "_snapshots",
        "_writer",
        "failure",
        "groups",
        "installed",
        "is_serving",
        "replay_applied",
        "replay_target",
    )

    def __init__(
        self,
        identity: Identity,
        config: StorageConfig,
        machines: dict[int, StateMachine],
        raft_config: RaftConfig | None = None,
        prng: Prng | None = None,
    ) -> None:
        assert min(machines) > NODE_MARKS
        self._config = config
        self._raft_config = RaftConfig() if raft_config is None else raft_config
        self._prng = Prng(identity.node) if prng is None else prng
        self.groups = {number: Replica(number, machine) for number, machine in machines.items()}
        self._replicas = list(self.groups.values())
        self._boot = Boot(identity, self.groups)
        self.failure = ""
        self.is_serving = False  # the boot is over: the groups take part
        self.replay_applied = 0  # segments
        self.replay_target = 0
        self.installed: list[
            int
        ] = []  # groups whose machine was replaced by a peer's snapshot; whoever looks empties it
        self._now_ms = 0
        self._requests: list[DiskRequest] = []
        self._request_number = 0
        self._append_number = 0  # of the batch in flight
        self._events: list[Event] = []
        self._snapshots = Snapshots()
        self._writer: Writer | None = None
        self._recovered: dict[int, Recovered] = {}  # groups that do not take part yet
        self._housekeeping: Housekeeping | None = None

    # -- what the node sees -----------------------------------------------------------------------------------------

    @property
    def identity(self) -> Identity:
        """Whose data this is; the directory's own, once it was read."""
        return self._boot.identity

    @property
    def is_ready(self) -> bool:
        """This replica leads every group, and has applied what earlier leaders committed."""
        return self.is_serving and all(group.is_ready_to_lead for group in self.groups.values())

    @property
    def is_relaxed(self) -> bool:
        """Acknowledgements do not wait for the disk."""
        return self._config.is_relaxed

    @property
    def has_work(self) -> bool:
        """Something is to be done that waits for no input."""
        if self.failure:
            return False
        housekeeping = self._housekeeping
        if housekeeping is None:
            return self._boot.has_work
        if self._recovered:
            return self._writer is not None and self._writer.is_idle()
        for group in self._replicas:
            if group.has_more:
                return True
        return housekeeping.has_work

    @property
    def pending_bytes(self) -> int:
        """Proposed and not durable; 0 only when everything proposed is."""
        writer = self._writer
        if writer is None or writer.is_idle():
            return 0
        return writer.pending_bytes + 1

    # -- inputs -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin the boot."""
        self._boot.start()

    def on_clock(self, now_ms: int) -> None:
        """The monotonic clock as of this turn."""
        self._now_ms = now_ms
        if self.is_serving and not self.failure:
            for group in self._replicas:
                group.raft.on_clock(now_ms)
            self._snapshots.on_clock(now_ms)

    def on_disk_done(self, done: list[DiskDone]) -> None:
        """Requests that ended."""
        for item in done:
            if self.failure:
                return
            if item.error:
                if self._snapshots.on_read_failed(item.number):
                    continue  # A piece for a peer: nothing is lost by it here, and another snapshot will do.
                self._fail(f"disk request failed: {item.error}")
            elif self._housekeeping is not None:
                self._on_done_serving(item, self._housekeeping)
            else:
                self._walk(item)

    def on_item(self, sender: int, item: Item) -> bool:
        """Something a peer says to a group; False, and nothing changed, where it is not understood."""
        group = self.groups.get(item.group)
        if not self.is_serving or self.failure:
            return True  # Later it is said again.
        if group is None:
            return False
        if item.kind == RAFT:
            return group.on_message(sender, item.body)
        return self._snapshots.on_item(sender, group, item)

    def on_peer_lost(self, peer: int) -> None:
        """The peer's process was replaced by another one."""
        for group in self.groups.values():
            if group.is_started:
                group.raft.on_peer_lost(peer)

    def propose(self, group: int, data: bytes, decoded: object) -> int:
        """Append a command to a group's log; its index, or a negative reason."""
        if not self.is_serving or self.failure:
            return NOT_LEADER
        return self.groups[group].propose(data, decoded)

    def flush(self) -> bool:
        """End of a turn: close a batch if the disk is free, go on with replay and snapshots. True when there may be
        something to apply: a group takes part from now on, was given a snapshot, or does not wait for the disk."""
        if self.failure:
            return False
        housekeeping = self._housekeeping
        writer = self._writer
        if housekeeping is None or writer is None:
            self._walk(None)
            return True
        is_new = bool(self._recovered)
        if self._recovered and writer.is_idle():
            self._take_part()
        if not self._recovered:
            for group in self._replicas:
                if group.raft.durability.records:
                    group.write(writer)
            self._move_snapshots(housekeeping)
            housekeeping.advance()
        append = writer.take_append()
        if append is not None:
            self._request_number += 1
            self._append_number = self._request_number
            self._requests.append(AppendLog(self._append_number, append.name, append.offset, append.data))
            housekeeping.on_written(len(append.data))
            if self._config.is_relaxed:
                for number, sequence in append.marks.items():
                    if number > NODE_MARKS:  # What is deleted on the strength of a mark waits for the disk.
                        self._on_durable(number, sequence)
        housekeeping.create_segments()
        return is_new or self._config.is_relaxed or bool(self.installed)

    # -- outputs ----------------------------------------------------------------------------------------------------

    def take_requests(self) -> list[DiskRequest]:
        """Requests for the disk since the last call; none once the storage failed."""
        housekeeping = self._housekeeping
        snapshots = self._snapshots
        requests = self._requests
        self._requests = []
        if housekeeping is None:
            requests = self._boot.take_requests()
        elif housekeeping.requests:
            requests += housekeeping.requests
            housekeeping.requests = []
        if snapshots.requests:
            requests += snapshots.requests
            snapshots.requests = []
        return [] if self.failure else requests

    def take_items(self) -> list[tuple[int, Item]]:
        """(to, what is said) for the peers."""
        items: list[tuple[int, Item]] = []
        if self.failure or not self.is_serving:
            return items
        for group in self._replicas:
            if group.raft.durability.ready:
                for to, message in group.take_messages():
                    items.append((to, Item(RAFT, group.number, message)))
        snapshots = self._snapshots
        if snapshots.items:
            items += snapshots.items
            snapshots.items = []
        return items

    def take_applied(self) -> list[tuple[int, object]]:
        """(group, effects) of entries applied since the last call, in order within a group."""
        if self.failure:
            return []
        applied: list[tuple[int, object]] = []
        for group in self._replicas:
            if group.apply():
                for effects in group.take_applied():
                    applied.append((group.number, effects))
        return applied

    def take_events(self) -> list[Event]:
        """What operators are told."""
        events = self._events
        self._events = []
        return events

    def next_deadline_ms(self) -> int:
        """When `on_clock` must be called, 0 for never."""
        if not self.is_serving or self.failure:
            return 0
        next_ms = self._snapshots.next_deadline_ms()
        for group in self._replicas:
            deadline_ms = group.next_deadline_ms()
            if deadline_ms and (not next_ms or deadline_ms < next_ms):
                next_ms = deadline_ms
        return next_ms

    # -- serving ----------------------------------------------------------------------------------------------------

    def _on_done_serving(self, item: DiskDone, housekeeping: Housekeeping) -> None:
        if item.number >= HOUSEKEEPING_BASE:
            housekeeping.on_done(item.number)
        elif item.number >= SNAPSHOTS_BASE:
            self._snapshots.on_done(item.number, item.data)
        elif item.number == self._append_number:
            assert self._writer is not None
            for number, sequence in self._writer.on_durable().items():
                self._on_durable(number, sequence)

    def _on_durable(self, number: int, sequence: int) -> None:
        if number <= NODE_MARKS:
            assert self._housekeeping is not None
            self._housekeeping.on_durable(number, sequence)
        else:
            self.groups[number].on_persisted(sequence)

    def _move_snapshots(self, housekeeping: Housekeeping) -> None:
        """Between replicas that want snapshots, transfers, and the files of this disk."""
        snapshots = self._snapshots
        for group in self._replicas:
            raft = group.raft
            leadership = raft.leadership
            if raft.snapshots_wanted or (leadership is not None and leadership.snapshots_wanted):
                for peer, index_min in raft.take_snapshots_wanted():
                    housekeeping.want(group.number, peer, index_min)
        if snapshots.is_idle and not housekeeping.is_wanted:
            return
        for number, peer, manifest in housekeeping.take_wanted():
            snapshots.send(number, peer, manifest, self.groups[number].term)
        for number, peer in snapshots.take_ended():
            self.groups[number].raft.on_snapshot_failed(peer)
        for incoming in snapshots.take_received():
            self._install(incoming, housekeeping)

    def _install(self, incoming: Incoming, housekeeping: Housekeeping) -> None:
        group = incoming.group
        manifest = incoming.manifest
        if group.wants_snapshot(manifest.index):
            housekeeping.abandon(group.number)
        try:
            is_installed = group.install(incoming.sender, incoming.term, manifest, incoming.reader)
        except SnapshotDamaged as error:
            self._events.append(Event("snapshot_refused", 40, None, {"group": group.number, "detail": str(error)}))
            is_installed = False
        self._snapshots.on_installed(incoming, is_installed=is_installed)
        if is_installed:
            assert self._writer is not None
            group.write(self._writer)
            housekeeping.on_installed(manifest)
            self.installed.append(group.number)
            fields: dict[str, str | int] = {"group": group.number, "index": manifest.index, "from": incoming.sender}
            self._events.append(Event("snapshot_installed", 20, None, fields))

    def _fail(self, text: str) -> None:
        self.failure = text
        self._events.append(Event("storage_failed", 40, None, {"detail": text}))

    # -- boot -------------------------------------------------------------------------------------------------------

    def _walk(self, item: DiskDone | None) -> None:
        boot = self._boot
        try:
            if item is None:
                boot.advance()
            else:
                boot.on_done(item)
        except (BootRefused, LogDamaged, SnapshotDamaged, ValueError) as error:
            self._fail(str(error))
            return
        self._events += boot.events
        boot.events = []
        self.replay_applied = boot.replay_applied
        self.replay_target = boot.replay_target
        if boot.is_done:
            self._serve(boot)

    def _serve(self, boot: Boot) -> None:
        """Everything that was recovered is durable; what a vote may rest on is made so twice."""
        identity = boot.identity
        config = self._config
        try:
            self._recovered = {number: boot.recovered(number) for number in self.groups}
        except (LogDamaged, ValueError) as error:
            self._fail(str(error))
            return
        salt = identity_salt(identity.cluster_id, identity.node_id)
        writer = Writer(salt, config.segment_bytes, config.batch_bytes_max, boot.position)
        writer.last_index = boot.last_index
        for name, size in boot.files.items():
            segment = segment_number(name)
            if segment:
                writer.add_segment(segment, size)
        for number, recovered in self._recovered.items():
            manifest = boot.manifests.get(number)
            if manifest is not None and manifest.index == recovered.snapshot_index and not recovered.entries:
                # A crash may have come before the log said that a peer's snapshot took its place.
                writer.add(encode_snapshot_mark(mark_of(manifest)), NODE_MARKS, 0)
            writer.add_hard_state(encode_hard_state(hard_state_of(number, recovered)), NODE_MARKS - number, 0)
        self._writer = writer
        self._request_number = boot.request_number
        self._housekeeping = Housekeeping(
            self.groups,
            writer,
            boot.manifests,
            files_of_snapshots(boot.files, boot.kept_index),
            self._snapshots,
            config.snapshot_log_bytes,
            config.snapshot_slice_bytes,
            boot.replayed_bytes,
        )

    def _take_part(self) -> None:
        """Every group takes part from here on."""
        for number, recovered in self._recovered.items():
            prng = self._prng.stream(f"group {number}")
            self.groups[number].start(self.identity.node, self._raft_config, prng, recovered, self._now_ms)
        self._recovered = {}
        self.is_serving = True
