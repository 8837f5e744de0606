"""Rows for people: columns as wide as what stands in them, numbers to the right."""

import json
from collections.abc import Iterable

import click

Cell = str | int | float


def echo_table(head: list[str], rows: list[list[Cell]]) -> None:
    """Print rows under a head."""
    texts = [[f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows]
    widths = [max([len(name), *(len(row[column]) for row in texts)]) for column, name in enumerate(head)]
    is_number = [all(not isinstance(row[column], str) for row in rows) for column in range(len(head))]

    def line(cells: list[str]) -> str:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, is_number, strict=True)
        ]
        return "  ".join(padded).rstrip()

    click.echo(line(head))
    for row in texts:
        click.echo(line(row))


def echo_json_lines(rows: Iterable[dict[str, object]]) -> None:
    """Print one JSON object a line."""
    for row in rows:
        click.echo(json.dumps(row, separators=(",", ":")))
