"""From a data directory to groups that can take part: list, identity, snapshots, log.

The last batch is written once more at the end, because what a killed process left may be in the page cache only. A sole
voter applies its log while it is read; every other replica gathers what its snapshot does not hold, because only its
peers know how much of that is committed.
"""

from typing import Final, final

from quantum.core.events import Event
from quantum.core.group import Replica
from quantum.core.node.gathering import Gathering
from quantum.core.node.identity import (
    IDENTITY_BYTES_MAX,
    IDENTITY_FILE,
    Identity,
    IdentityRefused,
    decode_identity,
    encode_identity,
)
from quantum.core.raft.recovered import Recovered
from quantum.core.snapshot.chunks import SnapshotReader
from quantum.core.snapshot.manifest import Manifest, SnapshotDamaged, decode_manifest, manifest_name, snapshot_of
from quantum.core.wal.damage import Damage
from quantum.core.wal.frame import GroupEntry, Note, Repair, decode_frames
from quantum.core.wal.recovery import LogDamaged, Recovery
from quantum.core.wal.requests import AppendLog, DiskDone, DiskRequest, ListFiles, ReadFile, WriteFile
from quantum.core.wal.segment import identity_salt, segment_name, segment_number
from quantum.core.wal.writer import LogPosition

READ_BYTES: Final = 4_194_304
REPLAY_BYTES: Final = 1_048_576  # log replayed in one call

_LISTING: Final = 0
_IDENTITY: Final = 1
_SNAPSHOTS: Final = 2
_LOG: Final = 3
_TAIL: Final = 4
_DONE: Final = 5


class BootRefused(Exception):
    """This directory must not be served from; the text says what to do."""


@final
class Boot:
    """The walk: `on_done` and `advance` until `is_done`. Both raise BootRefused, LogDamaged and SnapshotDamaged."""

    __slots__ = (
        "_buffer",
        "_groups",
        "_manifests",
        "_reader",
        "_reading",
        "_recovery",
        "_requests",
        "_segments",
        "_stage",
        "events",
        "files",
        "gathered",
        "identity",
        "kept_index",
        "last_index",
        "manifests",
        "position",
        "replay_applied",
        "replay_target",
        "replayed_bytes",
        "request_number",
    )

    def __init__(self, identity: Identity, groups: dict[int, Replica]) -> None:
        self.identity = identity
        self._groups = groups
        self._stage = _LISTING
        self._requests: list[DiskRequest] = []
        self.request_number = 0  # of the last request
        self._segments: list[int] = []  # still to be read
        self._manifests: list[tuple[int, int]] = []  # snapshots still to be read, (group, index)
        self._reader: SnapshotReader | None = None
        self._reading = ""  # the file being read
        self._buffer: list[bytes] = []
        self._recovery: Recovery | None = None
        self.events: list[Event] = []
        self.files: dict[str, int] = {}
        self.gathered: dict[int, Gathering] = {}  # by group
        self.kept_index: dict[int, int] = {}  # group → index of its newest snapshot, whole or not
        self.manifests: dict[int, Manifest] = {}  # of those that are whole
        self.last_index: dict[int, dict[int, int]] = {}  # segment → group → greatest entry index
        self.position = LogPosition(1, 0, 1, b"")  # where the log goes on
        self.replayed_bytes = 0
        self.replay_applied = 0  # segments
        self.replay_target = 0

    def start(self) -> None:
        """Begin."""
        self._ask(ListFiles(self._next()))

    @property
    def is_done(self) -> bool:
        """Everything recovered is durable, and in the groups or in `gathered`."""
        return self._stage == _DONE

    @property
    def has_work(self) -> bool:
        """`advance` can go on without waiting for the disk."""
        return self._stage == _LOG and not self._reading

    def take_requests(self) -> list[DiskRequest]:
        """Requests for the disk since the last call; their numbers ascend from 1."""
        requests = self._requests
        self._requests = []
        return requests

    def recovered(self, group: int) -> Recovered:
        """What the disk says of a group, once the walk is done."""
        return self.gathered[group].result(self._groups[group])

    def _next(self) -> int:
        self.request_number += 1
        return self.request_number

    def _ask(self, request: DiskRequest) -> None:
        self._requests.append(request)

    # -- the walk ---------------------------------------------------------------------------------------------------

    def on_done(self, item: DiskDone) -> None:
        """The request under way ended well."""
        if self._stage == _LISTING:
            assert item.files is not None
            self._on_listed(dict(item.files))
        elif self._stage == _IDENTITY:
            self._on_identity(item.data)
        elif self._stage == _TAIL:
            self._stage = _DONE
        else:
            self._on_read(item.data)

    def _on_listed(self, files: dict[str, int]) -> None:
        self.files = files
        self._stage = _IDENTITY
        if IDENTITY_FILE in files:
            self._ask(ReadFile(self._next(), IDENTITY_FILE, 0, IDENTITY_BYTES_MAX))
            return
        if any(segment_number(name) > 0 or snapshot_of(name) is not None for name in files):
            raise BootRefused(
                f"data without {IDENTITY_FILE}: this directory is incomplete; restore it or use an empty one"
            )
        self._ask(WriteFile(self._next(), IDENTITY_FILE, encode_identity(self.identity)))

    def _on_identity(self, data: bytes) -> None:
        if IDENTITY_FILE in self.files:
            try:
                self.identity = decode_identity(data, self.identity)
            except IdentityRefused as error:
                raise BootRefused(str(error)) from error
        for number in self._groups:
            self.gathered[number] = Gathering(number, self.identity)
        self._recovery = Recovery(identity_salt(self.identity.cluster_id, self.identity.node_id))
        newest: dict[int, int] = {}
        for name in self.files:
            found = snapshot_of(name)
            if found is not None and name == manifest_name(found[0], found[1]) and found[0] in self._groups:
                newest[found[0]] = max(newest.get(found[0], 0), found[1])
        self.kept_index = newest
        self._manifests = sorted(newest.items())
        self._segments = sorted([number for number in map(segment_number, self.files) if number])
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
        self._ask(ReadFile(self._next(), self._reading, offset, READ_BYTES))

    def _on_read(self, data: bytes) -> None:
        self._buffer.append(data)
        have = sum([len(piece) for piece in self._buffer])
        if data and have < self.files[self._reading]:
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

    # -- snapshots --------------------------------------------------------------------------------------------------

    def _on_snapshot_file(self, name: str, data: bytes) -> None:
        group, index = self._manifests[0]
        try:
            self._restore_from(group, index, name, data)
        except SnapshotDamaged as error:
            gathering = self.gathered[group]
            if gathering.is_sole:
                raise
            self._groups[group].machine.reset()
            gathering.on_snapshot_lost(index, str(error))
            self.events.append(Event("snapshot_damaged", 40, None, {"group": group, "detail": str(error)}))
            self._end_snapshot()

    def _restore_from(self, group: int, index: int, name: str, data: bytes) -> None:
        replica = self._groups[group]
        if self._reader is None:
            manifest = decode_manifest(data, name)
            if (manifest.group, manifest.index) != (group, index):
                raise SnapshotDamaged(f"{name} is of group {manifest.group} at index {manifest.index}")
            self.gathered[group].on_manifest(manifest)
            self._reader = SnapshotReader(replica.machine, manifest)
        else:
            self._reader.on_chunk(data)
        chunk = self._reader.next_chunk()
        if chunk is None:
            self._reader.restore()
            manifest = self._reader.manifest
            replica.on_snapshot(index, manifest.term)
            self.manifests[group] = manifest
            self._end_snapshot()
        elif chunk.name not in self.files:
            raise SnapshotDamaged(f"{chunk.name} is missing")
        else:
            self._read(chunk.name)

    def _end_snapshot(self) -> None:
        self._reader = None
        self._manifests.pop(0)
        self._next_snapshot()

    # -- the log ----------------------------------------------------------------------------------------------------

    def _next_segment(self) -> None:
        if self._segments:
            self._read(segment_name(self._segments.pop(0)))
        else:
            self._end_replay()

    def advance(self) -> None:
        """Replay a slice of the segment at hand."""
        if self._stage != _LOG or self._reading:
            return
        recovery = self._recovery
        assert recovery is not None
        budget = REPLAY_BYTES
        while budget > 0:
            item = recovery.next_item()
            if item is None:
                self.replay_applied += 1
                self._next_segment()
                return
            if isinstance(item, Damage):
                self._on_damage(item)
                continue
            budget -= item.size
            self.replayed_bytes += item.size
            self._replay(item.body, item.segment)

    def _on_damage(self, damage: Damage) -> None:
        for gathering in self.gathered.values():
            gathering.on_damage(damage)
        fields: dict[str, str | int] = {
            "segment": damage.segment,
            "offset": damage.offset,
            "batches_lost_max": damage.lost_count,
            "detail": damage.text,
        }
        self.events.append(Event("log_damaged", 40, None, fields))

    def _replay(self, body: bytes, segment: int) -> None:
        last_index = self.last_index.setdefault(segment, {})
        for frame in decode_frames(body):
            if isinstance(frame, Note):
                for each in self.gathered.values():
                    each.on_frame(frame, self._groups[each.number])
                continue
            gathering = self.gathered.get(frame.group)
            if gathering is None:
                raise LogDamaged(f"segment {segment} holds group {frame.group}, which this node does not have")
            gathering.on_frame(frame, self._groups[frame.group])
            if isinstance(frame, (GroupEntry, Repair)):
                last_index[frame.group] = max(frame.entry.index, last_index.get(frame.group, 0))

    def _look_for_lost_end(self, recovery: Recovery) -> None:
        """The file behind the last one is made when that is half full: where it is missing, it may have been lost with
        what was durable in it. Who has peers asks them; who has none knows of nothing that says so."""
        last = recovery.last
        if last is None:
            return
        following = recovery.position().segment
        if following == last.segment:
            following += 1
            if (last.offset + last.size) * 2 < self.files[segment_name(last.segment)]:
                return
        # Otherwise a life that met the same remains behind the last batch may have gone on there.
        if following in map(segment_number, self.files):
            return
        if any(gathering.is_sole for gathering in self.gathered.values()):
            return
        damage = Damage(following, 0, last.sequence + 1, last.sequence + 3, "the next segment is missing")
        for gathering in self.gathered.values():
            gathering.on_damage(damage)
        self.events.append(Event("log_end_doubted", 30, None, {"segment": following}))

    def _end_replay(self) -> None:
        recovery = self._recovery
        assert recovery is not None
        for damage in recovery.end():
            self._on_damage(damage)
        self._look_for_lost_end(recovery)
        if recovery.torn is not None:
            where: dict[str, str | int] = {"segment": recovery.torn.segment, "offset": recovery.torn.offset}
            self.events.append(Event("torn_tail_cut", 30, None, where))
        self.position = recovery.position()
        last = recovery.last
        if last is None:
            self._stage = _DONE
            return
        self._stage = _TAIL
        self._ask(AppendLog(self._next(), segment_name(last.segment), last.offset, recovery.last_bytes))
        self._recovery = None
