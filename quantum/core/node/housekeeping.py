"""What keeps the disk bounded: segments made ahead of need, snapshots cut when the log grew, and both deleted in time.

Everything here runs on the background lane and may stop at any point: a crash leaves the old or the new whole. A segment
goes when every group has a snapshot beyond its last entry, oldest first and one at a time, so that no gap can appear.
"""

from typing import Final, final

from quantum.core.group import Group
from quantum.core.snapshot.chunks import SnapshotWriter
from quantum.core.snapshot.manifest import Manifest, manifest_name, snapshot_of
from quantum.core.wal.frame import SnapshotMark, encode_hard_state, encode_snapshot_mark
from quantum.core.wal.requests import CreateFile, DeleteFiles, DiskRequest, WriteFile
from quantum.core.wal.segment import segment_name, segment_number
from quantum.core.wal.writer import Writer

# Request numbers of the background lane; those of the log lane count up from 1 and never get here.
NUMBER_BASE: Final = 1 << 62


@final
class Housekeeping:
    """The background work of one node's log."""

    __slots__ = (
        "_created",
        "_deleting",
        "_groups",
        "_log_bytes",
        "_manifest",
        "_mark_index",
        "_number",
        "_old_files",
        "_requests",
        "_slice_bytes",
        "_snapshot",
        "_snapshot_files",
        "_snapshot_group",
        "_snapshot_log_bytes",
        "_waiting",
        "_writer",
    )

    def __init__(
        self,
        groups: dict[int, Group],
        writer: Writer,
        files: dict[str, int],
        snapshot_log_bytes: int,
        slice_bytes: int,
        replayed_bytes: int,
    ) -> None:
        self._groups = groups
        self._writer = writer
        self._snapshot_log_bytes = snapshot_log_bytes
        self._slice_bytes = slice_bytes
        self._requests: list[DiskRequest] = []
        self._number = NUMBER_BASE
        self._created: dict[int, tuple[int, int]] = {}  # request → (segment, size)
        self._deleting = 0  # request
        self._waiting = 0  # request of the snapshot file being written
        self._log_bytes = replayed_bytes  # what a boot would have to replay
        self._snapshot: SnapshotWriter | None = None
        self._snapshot_group = 0
        self._manifest: Manifest | None = None
        self._mark_index = 0  # the entry that is durable only after the snapshot's mark is
        self._snapshot_files: dict[int, list[str]] = {}  # group → files of its newest snapshot
        self._old_files: list[str] = []  # files nobody needs any more
        for name in files:
            found = snapshot_of(name)
            if found is not None:
                group = groups.get(found[0])
                if group is not None and found[1] == group.snapshot_index:
                    self._snapshot_files.setdefault(found[0], []).append(name)
                else:
                    self._old_files.append(name)

    @property
    def has_work(self) -> bool:
        """A slice can be cut now."""
        return self._snapshot is not None and not self._waiting

    def on_written(self, size: int) -> None:
        """The log grew."""
        self._log_bytes += size

    def create_segments(self) -> None:
        """Ask for the next segment ahead of need."""
        wanted = self._writer.take_create()
        if wanted is not None:
            number, size = wanted
            self._created[self._next()] = wanted
            self._requests.append(CreateFile(self._number, segment_name(number), size))

    def advance(self) -> None:
        """One step of whatever is under way, and the next thing when nothing is."""
        if self._snapshot is None:
            if self._log_bytes >= self._snapshot_log_bytes and self._manifest is None:
                self._begin_snapshot()
        elif not self._waiting:
            self._cut()
        if self._manifest is not None and self._is_mark_durable():
            self._finish_snapshot()
        if not self._deleting:
            self._delete()

    def on_done(self, number: int) -> None:
        """A background request ended."""
        created = self._created.pop(number, None)
        if created is not None:
            self._writer.add_segment(*created)
        elif number == self._deleting:
            self._deleting = 0
        elif number == self._waiting:
            self._waiting = 0
            if self._manifest is not None and self._snapshot is not None:
                self._mark(self._manifest)

    def take_requests(self) -> list[DiskRequest]:
        """Requests since the last call."""
        requests = self._requests
        self._requests = []
        return requests

    def _next(self) -> int:
        self._number += 1
        return self._number

    # -- snapshots --------------------------------------------------------------------------------------------------

    def _begin_snapshot(self) -> None:
        """The group whose last snapshot lies furthest behind is cut next."""
        group = max(self._groups.values(), key=lambda each: each.applied_index - each.snapshot_index)
        self._log_bytes = 0
        if group.applied_index == group.snapshot_index:
            return
        self._snapshot_group = group.number
        self._snapshot = SnapshotWriter(
            group.machine, group.number, group.applied_index, group.applied_term, self._slice_bytes
        )

    def _cut(self) -> None:
        snapshot = self._snapshot
        assert snapshot is not None
        chunk = snapshot.next_chunk()
        if chunk is not None:
            self._waiting = self._next()
            self._requests.append(WriteFile(self._waiting, chunk[0], chunk[1]))
            return
        manifest = snapshot.manifest()
        self._manifest = manifest
        self._waiting = self._next()
        name = manifest_name(manifest.group, manifest.index)
        self._requests.append(WriteFile(self._waiting, name, manifest.encode()))

    def _mark(self, manifest: Manifest) -> None:
        """The snapshot is published: say so in the log, with the hard state that the old segments take along."""
        self._snapshot = None
        group = self._groups[manifest.group]
        mark = SnapshotMark(manifest.group, manifest.index, manifest.term, manifest.digest())
        self._writer.add(encode_snapshot_mark(mark), 0, 0)
        for each in self._groups.values():
            self._writer.add(encode_hard_state(each.hard_state()), 0, 0)
        # An entry behind the mark: when it is durable, so is the mark.
        index, frame = group.propose_no_op()
        self._writer.add(frame, group.number, index)
        self._mark_index = index

    def _is_mark_durable(self) -> bool:
        return self._snapshot is None and self._groups[self._snapshot_group].raft.commit_index >= self._mark_index

    def _finish_snapshot(self) -> None:
        manifest = self._manifest
        assert manifest is not None
        self._manifest = None
        group = self._groups[manifest.group]
        group.snapshot_index = manifest.index
        self._old_files += self._snapshot_files.get(manifest.group, [])
        files = [chunk.name for chunk in manifest.chunks]
        self._snapshot_files[manifest.group] = [*files, manifest_name(manifest.group, manifest.index)]

    # -- deletion ---------------------------------------------------------------------------------------------------

    def _delete(self) -> None:
        if self._old_files:
            # The manifest first: without it the rest is no snapshot any more.
            names = sorted(self._old_files, reverse=True)
            self._old_files = []
            self._deleting = self._next()
            self._requests.append(DeleteFiles(self._deleting, names))
            return
        writer = self._writer
        oldest = writer.oldest_segment()
        if oldest >= writer.segment:
            return
        for number, index in writer.last_index.get(oldest, {}).items():
            if index > self._groups[number].snapshot_index:
                return
        writer.remove_segment(oldest)
        self._deleting = self._next()
        self._requests.append(DeleteFiles(self._deleting, [segment_name(oldest)]))


assert segment_number(segment_name(7)) == 7
