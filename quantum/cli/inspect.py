"""`quantum inspect`: what lies in a data directory, as a table or as JSON lines. Nothing is written."""

import json
from pathlib import Path
from typing import Final

import click

from quantum.cli.data_dir import DataDir
from quantum.cli.table import echo_json_lines, echo_table
from quantum.core.broker.commands import decode_entry
from quantum.core.broker.state import BrokerState
from quantum.core.raft.entry import COMMAND
from quantum.core.wal.frame import Frame, GroupEntry, HardState, Note, Repair, SnapshotMark, Truncate, decode_frames
from quantum.core.wal.ledger import ledger_line

GROUP: Final = 1  # the partition of a single node

PATH = click.argument("path", type=click.Path(exists=True, file_okay=False, path_type=Path))
AS_JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of a table.")


@click.group()
def inspect() -> None:
    """Read a data directory without changing it."""


@inspect.command()
@PATH
@AS_JSON
def wal(path: Path, as_json: bool) -> None:
    """The frames of the log, in order."""
    data = DataDir(path)
    rows = [
        {"batch": batch.sequence, "segment": batch.segment, "offset": batch.offset, **_frame_row(frame)}
        for batch in data.batches()
        for frame in decode_frames(batch.body)
    ]
    if as_json:
        echo_json_lines(rows)
    else:
        names = ("batch", "segment", "offset", "frame", "group", "index", "term", "bytes", "commands")
        echo_table(list(names), [[str(row.get(name, "")) for name in names] for row in rows])
    _tell_end(data)


@inspect.command()
@PATH
@AS_JSON
def ledger(path: Path, as_json: bool) -> None:
    """The chain of batches: what was durable, in the order in which it became so."""
    data = DataDir(path)
    lines = [ledger_line(batch) for batch in data.batches()]
    if as_json:
        echo_json_lines(
            {
                "batch": line.sequence,
                "segment": line.segment,
                "offset": line.offset,
                "bytes": line.size,
                "frames": line.frame_count,
                "last_index": {str(group): index for group, index in line.last_index.items()},
                "digest": line.digest,
                "previous": line.previous,
            }
            for line in lines
        )
    else:
        head = ["batch", "segment", "offset", "bytes", "frames", "up to", "previous", "digest"]
        echo_table(
            head,
            [
                [
                    line.sequence,
                    line.segment,
                    line.offset,
                    line.size,
                    line.frame_count,
                    " ".join(f"{group}:{index}" for group, index in line.last_index.items()),
                    line.previous[:12],
                    line.digest[:12],
                ]
                for line in lines
            ],
        )
    _tell_end(data)


@inspect.command()
@PATH
@AS_JSON
def snapshot(path: Path, as_json: bool) -> None:
    """The published snapshots; every chunk is read and verified."""
    data = DataDir(path)
    rows: list[dict[str, object]] = []
    for manifest in data.manifests():
        machine = BrokerState()
        data.restore_into(machine, manifest)
        rows.append(
            {
                "group": manifest.group,
                "index": manifest.index,
                "term": manifest.term,
                "buckets": manifest.bucket_count,
                "chunks": len(manifest.chunks),
                "bytes": sum(chunk.size for chunk in manifest.chunks),
                "manifest": manifest.digest().hex(),
                "state": machine.digest().hex(),
            }
        )
    if as_json:
        echo_json_lines(rows)
    elif rows:
        echo_table(list(rows[0]), [[str(value)[:16] for value in row.values()] for row in rows])
    else:
        click.echo("no snapshot has been published yet", err=True)


@inspect.command()
@PATH
@AS_JSON
@click.option("--group", default=GROUP, show_default=True, help="Number of the partition.")
def state(path: Path, as_json: bool, group: int) -> None:
    """The state of a partition as a start would find it, its ledger and its digest."""
    data = DataDir(path)
    restored = data.restore(group)
    partition = restored.partition
    fields: dict[str, object] = {
        "cluster_id": data.cluster_id,
        "node_id": data.node_id,
        "group": group,
        "snapshot_index": restored.snapshot_index,
        "last_index": restored.last_index,
        "replayed_entries": restored.entry_count,
        **partition.counts(),
        "ledger": partition.accounting,
        "is_balanced": partition.is_balanced(),
        "digest": partition.digest().hex(),
    }
    if as_json:
        click.echo(json.dumps(fields, separators=(",", ":")))
        return
    for name, value in fields.items():
        if isinstance(value, dict):
            for inner, number in value.items():
                click.echo(f"{name + '.' + inner:<28} {number}")
        else:
            click.echo(f"{name:<28} {value}")


def _frame_row(frame: Frame) -> dict[str, object]:
    if isinstance(frame, GroupEntry | Repair):
        entry = frame.entry
        row: dict[str, object] = {
            "frame": "entry" if isinstance(frame, GroupEntry) else "repair",
            "group": frame.group,
            "index": entry.index,
            "term": entry.term,
            "bytes": len(entry.data),
        }
        if entry.kind == COMMAND and frame.group == GROUP:
            row["commands"] = " ".join(command.__class__.__name__ for command in decode_entry(entry.data).commands)
        return row
    if isinstance(frame, HardState):
        return {"frame": "hard_state", "group": frame.group, "term": frame.term, "voted_for": frame.voted_for}
    if isinstance(frame, SnapshotMark):
        return {
            "frame": "snapshot",
            "group": frame.group,
            "index": frame.index,
            "term": frame.term,
            "manifest": frame.digest.hex(),
        }
    if isinstance(frame, Truncate):
        return {"frame": "truncate", "group": frame.group, "index": frame.index}
    assert isinstance(frame, Note)
    return {"frame": "note", "lost_from": frame.first_lost, "lost_before": frame.next_valid}


def _tell_end(data: DataDir) -> None:
    for damage in data.damages:
        click.echo(damage, err=True)
    if data.torn:
        click.echo(f"the log ends in a torn batch in {data.torn}; it was never acknowledged", err=True)
