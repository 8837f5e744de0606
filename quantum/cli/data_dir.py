"""A data directory as it lies on disk, read and never changed: a node may be running on it, or none."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from quantum.core.broker.state import BrokerState
from quantum.core.node.identity import IDENTITY_FILE
from quantum.core.raft.entry import COMMAND, Entry
from quantum.core.snapshot.chunks import SnapshotReader
from quantum.core.snapshot.manifest import Manifest, SnapshotDamaged, decode_manifest, manifest_name, snapshot_of
from quantum.core.wal.batch import Batch
from quantum.core.wal.damage import Damage
from quantum.core.wal.frame import GroupEntry, Repair, Truncate, decode_frames
from quantum.core.wal.recovery import LogDamaged, Recovery
from quantum.core.wal.segment import identity_salt, segment_number


@dataclass(slots=True)
class Restored:
    """The state of a partition, and how it came to be."""

    partition: BrokerState
    snapshot_index: int  # 0 without a snapshot
    last_index: int
    entry_count: int  # replayed from the log


class DataDir:
    """Segments and snapshots of one node. Every method raises click.ClickException for what cannot be read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            identity = json.loads((path / IDENTITY_FILE).read_bytes())
            self.cluster_id = str(identity["cluster_id"])
            self.node_id = str(identity["node_id"])
        except FileNotFoundError:
            raise click.ClickException(
                f"{path} has no {IDENTITY_FILE}, so it is no data directory; give the directory of --data-dir"
            ) from None
        except (OSError, ValueError, KeyError) as error:
            raise click.ClickException(f"{path / IDENTITY_FILE} cannot be read: {error}") from error
        self.damages: list[str] = []  # what is wrong with the log, after `batches` was used up
        self.torn = ""  # where the log ends in bytes that are no batch, after `batches` was used up

    def names(self) -> list[str]:
        """Files by their path from the directory."""
        return sorted(file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file())

    def batches(self) -> Iterator[Batch]:
        """All valid batches in order, those behind damage too."""
        recovery = Recovery(identity_salt(self.cluster_id, self.node_id))
        try:
            for number, name in sorted((segment_number(name), name) for name in self.names() if segment_number(name)):
                recovery.on_segment(number, (self.path / name).read_bytes())
                while (item := recovery.next_item()) is not None:
                    if isinstance(item, Damage):
                        self.damages.append(item.text)
                    else:
                        yield item
            self.damages += [damage.text for damage in recovery.end()]
        except (LogDamaged, ValueError, OSError) as error:
            raise click.ClickException(f"{self.path}: {error}") from error
        if recovery.torn is not None:
            self.torn = f"segment {recovery.torn.segment} at offset {recovery.torn.offset}"

    def manifests(self) -> list[Manifest]:
        """All published snapshots, oldest first."""
        found = []
        for name in self.names():
            place = snapshot_of(name)
            if place is not None and name == manifest_name(*place):
                try:
                    found.append(decode_manifest((self.path / name).read_bytes(), name))
                except (SnapshotDamaged, OSError) as error:
                    raise click.ClickException(f"{self.path}: {error}") from error
        return sorted(found, key=lambda manifest: (manifest.group, manifest.index))

    def restore_into(self, machine: BrokerState, manifest: Manifest) -> None:
        """Verify every chunk of a snapshot and put its state in place."""
        reader = SnapshotReader(machine, manifest)
        try:
            while (chunk := reader.next_chunk()) is not None:
                reader.on_chunk((self.path / chunk.name).read_bytes())
            reader.restore()
        except (SnapshotDamaged, OSError) as error:
            raise click.ClickException(f"{self.path}: {error}") from error

    def restore(self, group: int) -> Restored:
        """The state as the node would have it after a start: the newest snapshot, then every entry behind it."""
        machine = BrokerState()
        manifests = [manifest for manifest in self.manifests() if manifest.group == group]
        base = 0
        if manifests:
            base = manifests[-1].index
            self.restore_into(machine, manifests[-1])
        entries: dict[int, Entry] = {}  # a later entry of the same index replaces the earlier one
        for batch in self.batches():
            for frame in decode_frames(batch.body):
                if isinstance(frame, (GroupEntry, Repair)) and frame.group == group and frame.entry.index > base:
                    entries[frame.entry.index] = frame.entry
                elif isinstance(frame, Truncate) and frame.group == group:
                    entries = {index: entry for index, entry in entries.items() if index < frame.index}
        if self.damages:
            raise click.ClickException(f"{self.path}: {self.damages[0]}")
        for index in sorted(entries):
            if entries[index].kind == COMMAND:
                machine.apply(index, entries[index].data, None)
        return Restored(machine, base, max(entries, default=base), len(entries))
