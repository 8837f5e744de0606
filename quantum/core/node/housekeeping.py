"""What keeps the disk bounded: segments made ahead of need, snapshots cut when the log grew, and both deleted in time.

Everything here runs on the background lane and may stop at any point: a crash leaves the old or the new whole. A segment
goes when every group has a snapshot beyond its last entry, oldest first and one at a time, so that no gap can appear, and
only when it lies in front of the place where the hard states were last written anew, so that no vote goes with it. A
snapshot that is being sent to a peer stays until it arrived.
"""

from typing import Final, final

from quantum.core.group import Replica
from quantum.core.node.snapshots import Snapshots
from quantum.core.raft.membership import encode_membership
from quantum.core.snapshot.chunks import SnapshotWriter
from quantum.core.snapshot.manifest import Manifest, manifest_name, snapshot_of
from quantum.core.wal.frame import HardState, SnapshotMark, encode_hard_state, encode_snapshot_mark
from quantum.core.wal.requests import CreateFile, DeleteFiles, DiskRequest, WriteFile
from quantum.core.wal.segment import segment_name, segment_number
from quantum.core.wal.writer import Writer

# Request numbers of the background lane; those of the log lane count up from 1 and never get here.
NUMBER_BASE: Final = 1 << 62
NODE_MARKS: Final = 0  # the log's bookkeeping knows these frames as nobody's


def mark_of(manifest: Manifest) -> SnapshotMark:
    """What the log says of a snapshot that is durable."""
    return SnapshotMark(manifest.group, manifest.index, manifest.term, manifest.digest(), manifest.membership)


def files_of_snapshots(files: dict[str, int], kept_index: dict[int, int]) -> tuple[dict[int, list[str]], list[str]]:
    """Files of each group's newest snapshot, and those that nobody needs."""
    kept: dict[int, list[str]] = {}
    old: list[str] = []
    for name in files:
        found = snapshot_of(name)
        if found is not None:
            if kept_index.get(found[0], 0) == found[1]:
                kept.setdefault(found[0], []).append(name)
            else:
                old.append(name)
    return kept, old


def _files_of(manifest: Manifest) -> list[str]:
    return [*[chunk.name for chunk in manifest.chunks], manifest_name(manifest.group, manifest.index)]


@final
class Housekeeping:
    """The background work of one node's log."""

    __slots__ = (
        "_created",
        "_deleting",
        "_due",
        "_floor_segment",
        "_groups",
        "_installed",
        "_is_published",
        "_log_bytes",
        "_manifest",
        "_manifests",
        "_mark_segment",
        "_mark_sequence",
        "_marked",
        "_marks_waiting",
        "_may_delete",
        "_number",
        "_old_files",
        "requests",
        "_slice_bytes",
        "_snapshot",
        "_snapshot_files",
        "_snapshot_group",
        "_snapshot_log_bytes",
        "_transfers",
        "_waiting",
        "_wanted",
        "_writer",
    )

    def __init__(
        self,
        groups: dict[int, Replica],
        writer: Writer,
        manifests: dict[int, Manifest],
        files: tuple[dict[int, list[str]], list[str]],
        transfers: Snapshots,
        snapshot_log_bytes: int,
        slice_bytes: int,
        replayed_bytes: int,
    ) -> None:
        self._groups = groups
        self._writer = writer
        self._transfers = transfers
        self._snapshot_log_bytes = snapshot_log_bytes
        self._slice_bytes = slice_bytes
        self.requests: list[DiskRequest] = []  # for the disk; the storage takes them
        self._number = NUMBER_BASE
        self._created: dict[int, tuple[int, int]] = {}  # request → (segment, size)
        self._deleting = 0  # request
        self._waiting = 0  # request of the snapshot file being written
        self._log_bytes = replayed_bytes  # what a boot would have to replay
        self._snapshot: SnapshotWriter | None = None
        self._snapshot_group = 0
        self._manifest: Manifest | None = None  # of the snapshot under way, once all chunks are durable
        self._installed: dict[int, Manifest] = {}  # group → a peer's, whose place in the log is not secured yet
        self._is_published = False  # the manifest is durable, the log does not say so yet
        self._marked = False  # the log says so
        self._mark_sequence = 0  # of the last mark
        self._mark_segment = 0  # where it was written, or a later one
        self._floor_segment = writer.segment  # the hard states stand there or behind it: the boot wrote them
        self._marks_waiting: dict[int, bool] = {}  # what of it is not durable yet, see `_mark`
        self._manifests = manifests  # group → its newest snapshot
        self._snapshot_files, self._old_files = files
        self._wanted: dict[tuple[int, int], int] = {}  # (group, peer) → the index its snapshot must reach
        self._may_delete = True
        self._due: dict[int, bool] = {}  # groups whose next snapshot is wanted soon

    @property
    def has_work(self) -> bool:
        """A slice can be cut now."""
        return self._snapshot is not None and not self._waiting and self._manifest is None

    def on_written(self, size: int) -> None:
        """The log grew."""
        self._log_bytes += size
        self._may_delete = True

    def create_segments(self) -> None:
        """Ask for the next segment ahead of need."""
        wanted = self._writer.take_create()
        if wanted is not None:
            number, size = wanted
            self._created[self._next()] = wanted
            self.requests.append(CreateFile(self._number, segment_name(number), size))

    def advance(self) -> None:
        """One step of whatever is under way, and the next thing when nothing is."""
        if self._transfers.damaged:
            for number, index in self._transfers.damaged:
                self._on_damaged(number, index)
            self._transfers.damaged = []
        if self._snapshot is None and self._manifest is None:
            if self._installed:
                self._manifest = self._installed.pop(next(iter(self._installed)))
                self._mark(self._manifest)
            elif self._due or self._log_bytes >= self._snapshot_log_bytes:
                self._begin_snapshot()
        elif not self._waiting:
            if self._manifest is None:
                self._cut()
            elif self._is_published and not self._marked:
                if self._is_outdated(self._manifest):
                    self._old_files += _files_of(self._manifest)
                    self._end_snapshot()
                else:
                    self._mark(self._manifest)
        if self._may_delete and not self._deleting:
            self._delete()

    def on_done(self, number: int) -> None:
        """A background request ended."""
        created = self._created.pop(number, None)
        if created is not None:
            self._writer.add_segment(created[0], created[1])
        elif number == self._deleting:
            self._deleting = 0
            self._may_delete = True
        elif number == self._waiting:
            self._waiting = 0
            self._is_published = self._manifest is not None

    def on_durable(self, key: int, sequence: int) -> None:
        """What `_mark` wrote under this key and sequence is durable."""
        if self._marked and sequence == self._mark_sequence and self._manifest is not None:
            self._marks_waiting.pop(key, None)
            if not self._marks_waiting:
                self._finish_snapshot(self._manifest)

    def _next(self) -> int:
        self._number += 1
        return self._number

    # -- snapshots for peers ----------------------------------------------------------------------------------------

    def want(self, group: int, peer: int, index_min: int) -> None:
        """A peer needs a snapshot at this index or a later one."""
        self._wanted[(group, peer)] = index_min
        manifest = self._manifests.get(group)
        if manifest is None or manifest.index < index_min:
            self._due[group] = True

    @property
    def is_wanted(self) -> bool:
        """A peer waits for a snapshot."""
        return len(self._wanted) > 0

    def take_wanted(self) -> list[tuple[int, int, Manifest]]:
        """(group, peer, snapshot) that can be sent."""
        found: list[tuple[int, int, Manifest]] = []
        for (group, peer), index_min in self._wanted.items():
            manifest = self._manifests.get(group)
            if manifest is not None and manifest.index >= index_min:
                found.append((group, peer, manifest))
        for group, peer, _ in found:
            del self._wanted[(group, peer)]
        return found

    def on_installed(self, manifest: Manifest) -> None:
        """A peer's snapshot is durable here and took the place of this disk's own."""
        self._publish(manifest)
        self._installed[manifest.group] = manifest

    def _on_damaged(self, group: int, index: int) -> None:
        """A snapshot of this disk cannot be read: another one takes its place, as long as the state is in memory."""
        manifest = self._manifests.get(group)
        if manifest is not None and manifest.index == index:
            del self._manifests[group]
            self._due[group] = True

    # -- snapshots --------------------------------------------------------------------------------------------------

    def _begin_snapshot(self) -> None:
        """The group that a peer waits for, or else the one whose last snapshot lies furthest behind, is cut next."""
        if self._due:
            group = self._groups[next(iter(self._due))]
            del self._due[group.number]
        else:
            group = max(self._groups.values(), key=_behind)
            self._log_bytes = 0
            if group.applied_index == group.snapshot_index:
                return
        if group.applied_index == 0 or group.raft.snapshot_index_min:
            return  # There is no state yet, or it is lost.
        membership = encode_membership(group.raft.membership_at(group.applied_index))
        self._snapshot_group = group.number
        self._snapshot = SnapshotWriter(
            group.machine, group.number, group.applied_index, group.applied_term, membership, self._slice_bytes
        )

    def _cut(self) -> None:
        snapshot = self._snapshot
        assert snapshot is not None
        if not snapshot.is_gathered:
            snapshot.gather()
            if not snapshot.is_gathered:
                return
        chunk = snapshot.next_chunk()
        if chunk is not None:
            self._waiting = self._next()
            self.requests.append(WriteFile(self._waiting, chunk[0], chunk[1]))
            return
        manifest = snapshot.manifest()
        self._manifest = manifest
        self._waiting = self._next()
        name = manifest_name(manifest.group, manifest.index)
        self.requests.append(WriteFile(self._waiting, name, manifest.encode()))

    def _mark(self, manifest: Manifest) -> None:
        """The snapshot is published: say so in the log, with the hard states that the old segments take along.

        The log reports groups by number; what the node itself waits for has keys of 0 and below, one for each hard state.
        """
        self._mark_sequence += 1
        self._mark_segment = self._writer.segment
        self._writer.add(encode_snapshot_mark(mark_of(manifest)), NODE_MARKS, 0, self._mark_sequence)
        self._marks_waiting = {NODE_MARKS: True}
        for number, group in self._groups.items():
            raft = group.raft
            state = HardState(number, raft.current_term, raft.voted_for, raft.doubt.is_tail_doubtful)
            self._writer.add_hard_state(encode_hard_state(state), NODE_MARKS - number, self._mark_sequence)
            self._marks_waiting[NODE_MARKS - number] = True
        self._marked = True

    def _finish_snapshot(self, manifest: Manifest) -> None:
        self._end_snapshot()
        self._floor_segment = self._mark_segment
        if self._is_outdated(manifest):
            self._old_files += _files_of(manifest)
            return
        self._groups[manifest.group].on_snapshot_durable(manifest.index)
        self._publish(manifest)

    def _is_outdated(self, manifest: Manifest) -> bool:
        """A later one, a peer's, was installed meanwhile."""
        newest = self._manifests.get(manifest.group)
        return newest is not None and manifest.index < newest.index

    def _publish(self, manifest: Manifest) -> None:
        files = _files_of(manifest)
        self._old_files += [name for name in self._snapshot_files.get(manifest.group, []) if name not in files]
        self._snapshot_files[manifest.group] = files
        self._may_delete = True
        self._manifests[manifest.group] = manifest

    def abandon(self, group: int) -> None:
        """The group's machine is about to become another one: the snapshot being cut from it is none."""
        snapshot = self._snapshot
        if snapshot is not None and self._snapshot_group == group and self._manifest is None:
            snapshot.abandon()
            self._old_files += snapshot.names()
            self._end_snapshot()

    def _end_snapshot(self) -> None:
        self._snapshot = None
        self._manifest = None
        self._waiting = 0
        self._is_published = False
        self._marked = False

    # -- deletion ---------------------------------------------------------------------------------------------------

    def _delete(self) -> None:
        """Delete what nobody needs any more; a look is worth it again when the log grew or something was deleted."""
        self._may_delete = False
        if self._old_files:
            # The manifest first: without it the rest is no snapshot any more.
            names = sorted([name for name in self._old_files if not self._is_pinned(name)], reverse=True)
            if names:
                self._old_files = [name for name in self._old_files if self._is_pinned(name)]
                self._deleting = self._next()
                self.requests.append(DeleteFiles(self._deleting, names))
                return
        writer = self._writer
        oldest = writer.oldest_segment()
        if oldest >= min(writer.segment, self._floor_segment):
            return
        for number, index in writer.last_index.get(oldest, {}).items():
            if index > self._groups[number].snapshot_index:
                return
        writer.remove_segment(oldest)
        self._deleting = self._next()
        self.requests.append(DeleteFiles(self._deleting, [segment_name(oldest)]))

    def _is_pinned(self, name: str) -> bool:
        found = snapshot_of(name)
        return found is not None and self._transfers.is_pinned(found[0], found[1])


def _behind(group: Replica) -> int:
    return group.applied_index - group.snapshot_index


assert segment_number(segment_name(7)) == 7
