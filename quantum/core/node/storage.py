"""The node's durable side: one log and the snapshots of all its groups, behind requests to the disk.

Wires `wal`, `snapshot` and the groups; knows no machine's meaning. Boot is a walk: list, identity, snapshots, log, and
the last batch written once more, because what a killed process left may be in the page cache only. Once `failure` is
set nothing is applied, acknowledged or requested again.
"""

import json
from dataclasses import dataclass
from typing import Final, final

from quantum.core.events import Event
from quantum.core.group import Group
from quantum.core.node.housekeeping import Housekeeping
from quantum.core.snapshot.chunks import SnapshotReader
from quantum.core.snapshot.manifest import SnapshotDamaged, decode_manifest, manifest_name, snapshot_of
from quantum.core.state_machine import StateMachine
from quantum.core.wal.frame import GroupEntry, HardState, decode_frames
from quantum.core.wal.recovery import LogDamaged, Recovery
from quantum.core.wal.requests import AppendLog, DiskDone, DiskRequest, ListFiles, ReadFile, WriteFile
from quantum.core.wal.segment import identity_salt, segment_name, segment_number
from quantum.core.wal.writer import Writer

IDENTITY_FILE: Final = "node.json"
FORMAT_VERSION: Final = 1
READ_BYTES: Final = 4_194_304
IDENTITY_BYTES_MAX: Final = 65_536
REPLAY_BYTES: Final = 1_048_576  # log replayed in one call

_LISTING: Final = 0
_IDENTITY: Final = 1
_SNAPSHOTS: Final = 2
_LOG: Final = 3
_TAIL: Final = 4
_SERVING: Final = 5


@final
@dataclass(slots=True)
class Identity:
    """Whose data this is. A fresh directory takes the one it is given, an existing one keeps its own."""

    cluster_id: str
    node_id: str


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
    """Groups by number, their log, and how far boot has come."""

    __slots__ = (
        "_append_number",
        "_buffer",
        "_config",
        "_events",
        "_files",
        "_hard_states",
        "_housekeeping",
        "_last_index",
        "_manifests",
        "_reader",
        "_reading",
        "_recovery",
        "_replayed_bytes",
        "_request_number",
        "_requests",
        "_segments",
        "_stage",
        "_writer",
        "failure",
        "groups",
        "identity",
        "replay_applied",
        "replay_target",
    )

    def __init__(self, identity: Identity, config: StorageConfig, machines: dict[int, StateMachine]) -> None:
        self.identity = identity
        self._config = config
        self.groups = {number: Group(number, machine) for number, machine in machines.items()}
        self.failure = ""
        self.replay_applied = 0  # batches
        self.replay_target = 0
        self._stage = _LISTING
        self._requests: list[DiskRequest] = []
        self._request_number = 0
        self._append_number = 0  # of the batch in flight
        self._events: list[Event] = []
        self._files: dict[str, int] = {}
        self._segments: list[int] = []  # still to be read
        self._manifests: list[tuple[int, int]] = []  # snapshots still to be read, (group, index)
        self._reader: SnapshotReader | None = None
        self._reading = ""  # the file being read
        self._buffer: list[bytes] = []
        self._recovery: Recovery | None = None
        self._replayed_bytes = 0
        self._last_index: dict[int, dict[int, int]] = {}  # segment → group → greatest entry index
        self._hard_states: dict[int, HardState] = {}
        self._writer: Writer | None = None
        self._housekeeping: Housekeeping | None = None

    # -- what the node sees -----------------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Every group serves: its term's own entry is durable and applied."""
        return self._stage == _SERVING and all(group.raft.is_committed_in_own_term() for group in self.groups.values())

    @property
    def is_relaxed(self) -> bool:
        """Acknowledgements do not wait for the disk."""
        return self._config.is_relaxed

    @property
    def has_work(self) -> bool:
        """Something is to be done that waits for no input."""
        if self.failure:
            return False
        if self._stage == _LOG:
            return not self._reading
        return self._housekeeping is not None and self._housekeeping.has_work

    @property
    def pending_bytes(self) -> int:
        """Proposed and not durable; 0 only when everything proposed is."""
        writer = self._writer
        if writer is None or writer.is_idle():
            return 0
        return writer.pending_bytes + 1

    def start(self) -> None:
        """Begin the boot."""
        self._request_number += 1
        self._requests.append(ListFiles(self._request_number))

    def propose(self, group: int, data: bytes, decoded: object) -> int:
        """Append a command to a group's log; returns its index."""
        assert self._writer is not None
        index, frame = self.groups[group].propose(data, decoded)
        self._writer.add(frame, group, index)
        return index

    def on_disk_done(self, done: list[DiskDone]) -> None:
        """Requests that ended."""
        for item in done:
            if self.failure:
                return
            if item.error:
                self._fail(f"disk request failed: {item.error}")
            elif self._stage == _SERVING:
                self._on_done_serving(item)
            else:
                self._on_done_booting(item)

    def flush(self) -> None:
        """End of a turn: close a batch if the disk is free, go on with replay and snapshots."""
        if self.failure:
            return
        if self._stage == _LOG:
            self._replay()
        writer = self._writer
        if writer is None or self._stage != _SERVING:
            return
        assert self._housekeeping is not None
        self._housekeeping.advance()
        append = writer.take_append()
        if append is not None:
            self._request_number += 1
            self._append_number = self._request_number
            self._requests.append(AppendLog(self._append_number, append.name, append.offset, append.data))
            self._housekeeping.on_written(len(append.data))
            if self._config.is_relaxed:
                for group, index in append.marks.items():
                    self.groups[group].on_durable(index)
        self._housekeeping.create_segments()

    def take_requests(self) -> list[DiskRequest]:
        """Requests for the disk since the last call; none once the storage failed."""
        requests = self._requests
        if self._housekeeping is not None:
            requests += self._housekeeping.take_requests()
        self._requests = []
        return [] if self.failure else requests

    def take_applied(self) -> list[tuple[int, object]]:
        """(group, effects) of entries applied since the last call, in order within a group."""
        if self.failure:
            return []
        return [(number, effects) for number, group in self.groups.items() for effects in group.take_applied()]

    def take_events(self) -> list[Event]:
        """What operators are told."""
        events = self._events
        self._events = []
        return events

    # -- serving ----------------------------------------------------------------------------------------------------

    def _on_done_serving(self, item: DiskDone) -> None:
        assert self._writer is not None
        if item.number == self._append_number:
            for group, index in self._writer.on_durable().items():
                self.groups[group].on_durable(index)
        else:
            assert self._housekeeping is not None
            self._housekeeping.on_done(item.number)

    def _fail(self, text: str) -> None:
        self.failure = text
        self._events.append(Event("storage_failed", 40, None, {"detail": text}))

    # -- boot -------------------------------------------------------------------------------------------------------

    def _on_done_booting(self, item: DiskDone) -> None:
        try:
            if self._stage == _LISTING:
                assert item.files is not None
                self._on_listed(dict(item.files))
            elif self._stage == _IDENTITY:
                self._on_identity(item.data)
            elif self._stage == _TAIL:
                self._serve()
            else:
                self._on_read(item.data)
        except (LogDamaged, SnapshotDamaged) as error:
            self._fail(str(error))

    def _on_listed(self, files: dict[str, int]) -> None:
        self._files = files
        self._stage = _IDENTITY
        self._request_number += 1
        if IDENTITY_FILE in files:
            self._requests.append(ReadFile(self._request_number, IDENTITY_FILE, 0, IDENTITY_BYTES_MAX))
            return
        if any(segment_number(name) or snapshot_of(name) for name in files):
            self._fail(f"data without {IDENTITY_FILE}: this directory is incomplete; restore it or use an empty one")
            return
        fields = {
            "cluster_id": self.identity.cluster_id,
            "format": FORMAT_VERSION,
            "node_id": self.identity.node_id,
        }
        data = json.dumps(fields, sort_keys=True).encode() + b"\n"
        self._requests.append(WriteFile(self._request_number, IDENTITY_FILE, data))

    def _on_identity(self, data: bytes) -> None:
        if IDENTITY_FILE in self._files:
            try:
                fields = json.loads(data)
                version = int(fields["format"])
                identity = Identity(str(fields["cluster_id"]), str(fields["node_id"]))
            except (ValueError, KeyError, TypeError) as error:
                self._fail(f"{IDENTITY_FILE} is unreadable ({error}): restore it from a copy")
                return
            if version != FORMAT_VERSION:
                self._fail(f"data of format {version}, this version reads {FORMAT_VERSION}: use a newer quantum")
                return
            if identity.node_id != self.identity.node_id:
                self._fail(
                    f"data of node {identity.node_id!r}, this is {self.identity.node_id!r}: check paths.data_dir"
                )
                return
            self.identity = identity
        self._recovery = Recovery(identity_salt(self.identity.cluster_id, self.identity.node_id))
        newest: dict[int, int] = {}
        for name in self._files:
            found = snapshot_of(name)
            if found is not None and name == manifest_name(*found) and found[0] in self.groups:
                newest[found[0]] = max(newest.get(found[0], 0), found[1])
        self._manifests = sorted(newest.items())
        self._segments = sorted(number for number in map(segment_number, self._files) if number)
        self.replay_target = len(self._segments)
        self._stage = _SNAPSHOTS
        self._next_snapshot()

    def _next_snapshot(self) -> None:
        if self._manifests:
            group, index = self._manifests[0]
            self._read(manifest_name(group, index))
        else:
            self._stage = _LOG
            self._next_segment()

    def _read(self, name: str) -> None:
        self._reading = name
        self._buffer = []
        self._read_on(0)

    def _read_on(self, offset: int) -> None:
        self._request_number += 1
        self._requests.append(ReadFile(self._request_number, self._reading, offset, READ_BYTES))

    def _on_read(self, data: bytes) -> None:
        self._buffer.append(data)
        have = sum(len(piece) for piece in self._buffer)
        if data and have < self._files[self._reading]:
            self._read_on(have)
            return
        whole = b"".join(self._buffer)
        self._buffer = []
        name, self._reading = self._reading, ""
        if self._stage == _LOG:
            assert self._recovery is not None
            self._recovery.on_segment(segment_number(name), whole)
        else:
            self._on_snapshot_file(name, whole)

    def _on_snapshot_file(self, name: str, data: bytes) -> None:
        group, index = self._manifests[0]
        if self._reader is None:
            manifest = decode_manifest(data, name)
            if (manifest.group, manifest.index) != (group, index):
                raise SnapshotDamaged(f"{name} is of group {manifest.group} at index {manifest.index}")
            self._reader = SnapshotReader(self.groups[group].machine, manifest)
            self.groups[group].on_snapshot(index, manifest.term)
        else:
            self._reader.on_chunk(data)
        chunk = self._reader.next_chunk()
        if chunk is not None:
            if chunk.name not in self._files:
                raise SnapshotDamaged(f"{chunk.name} is missing")
            self._read(chunk.name)
            return
        self._reader.restore()
        self._reader = None
        self._manifests.pop(0)
        self._next_snapshot()

    def _next_segment(self) -> None:
        if self._segments:
            self._read(segment_name(self._segments.pop(0)))
        else:
            self._end_replay()

    def _replay(self) -> None:
        """Replay a slice of the segment at hand."""
        if self._reading:
            return
        recovery = self._recovery
        assert recovery is not None
        budget = REPLAY_BYTES
        try:
            while budget > 0:
                batch = recovery.next_batch()
                if batch is None:
                    self.replay_applied += 1
                    self._next_segment()
                    return
                budget -= batch.size
                self._replayed_bytes += batch.size
                self._replay_frames(batch.body, batch.segment)
        except (LogDamaged, ValueError) as error:
            self._fail(str(error))

    def _replay_frames(self, body: bytes, segment: int) -> None:
        last_index = self._last_index.setdefault(segment, {})
        for frame in decode_frames(body):
            if isinstance(frame, GroupEntry):
                group = self.groups.get(frame.group)
                if group is None:
                    raise LogDamaged(f"segment {segment} holds group {frame.group}, which this node does not have")
                if frame.entry.index > group.applied_index + 1:
                    raise LogDamaged(
                        f"group {frame.group} has no entry {group.applied_index + 1}: the log begins behind its snapshot"
                    )
                group.replay(frame.entry)
                last_index[frame.group] = frame.entry.index
            elif isinstance(frame, HardState):
                self._hard_states[frame.group] = frame

    def _end_replay(self) -> None:
        recovery = self._recovery
        assert recovery is not None
        if recovery.torn is not None:
            self._events.append(
                Event("torn_tail_cut", 30, None, {"segment": recovery.torn.segment, "offset": recovery.torn.offset})
            )
        salt = identity_salt(self.identity.cluster_id, self.identity.node_id)
        writer = Writer(salt, self._config.segment_bytes, self._config.batch_bytes_max, recovery.finish())
        writer.last_index = self._last_index
        for name, size in self._files.items():
            number = segment_number(name)
            if number:
                writer.add_segment(number, size)
        self._writer = writer
        self._stage = _TAIL
        if recovery.last is None:
            self._serve()
            return
        self._request_number += 1
        last = recovery.last
        self._requests.append(
            AppendLog(self._request_number, segment_name(last.segment), last.offset, recovery.last_bytes)
        )

    def _serve(self) -> None:
        """Everything recovered is durable: every group starts its term."""
        self._stage = _SERVING
        self._recovery = None
        writer = self._writer
        assert writer is not None
        self._housekeeping = Housekeeping(
            self.groups,
            writer,
            self._files,
            self._config.snapshot_log_bytes,
            self._config.snapshot_slice_bytes,
            self._replayed_bytes,
        )
        self._files = {}
        for number, group in self.groups.items():
            state = self._hard_states.get(number)
            frames = group.become_leader(1, state.term if state else 0, state.voted_for if state else 0)
            for frame, index in frames:
                writer.add(frame, number, index)
