"""`quantum bench`: a load test that needs nothing but this command. For the broker's own limits see `make bench`."""

import json
import secrets
import time
from typing import Any, Final

import click

from quantum.cli.load import DRAIN_S, Counts, Load, LoadFailed, Shape
from quantum.cli.options import ConnectOptions, connect_options, log
from quantum.cli.table import echo_table

PROGRESS_S: Final = 1.0


def quantile(values: list[int], per_mille: int) -> int:
    """The value below which so many of a thousand lie; 0 for none."""
    if not values:
        return 0
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * per_mille // 1000)]


def measure(load: Load, duration_s: float) -> float:
    """Send for so long, then wait for what is on its way; the seconds of sending."""
    begin = time.monotonic()
    told, told_at = 0, begin
    while (now := time.monotonic()) < begin + duration_s:
        load.step(is_sending=True)
        if now - told_at >= PROGRESS_S:
            delivered = load.counts.delivered
            log(f"{now - begin:4.0f} s  {int((delivered - told) / (now - told_at)):>9,} delivered/s")
            told, told_at = delivered, now
    seconds = time.monotonic() - begin
    counts = load.counts
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline and _is_owed(load.shape.qos, counts):
        load.step(is_sending=False)
    return seconds


def _is_owed(qos: int, counts: Counts) -> bool:
    return counts.delivered < counts.expected or (qos > 0 and counts.acknowledged < counts.sent)


def report(shape: Shape, counts: Counts, seconds: float) -> dict[str, Any]:
    """The result, as --json prints it."""
    return {
        "pattern": shape.pattern,
        "clients": shape.clients,
        "qos": shape.qos,
        "window": shape.window,
        "payload_bytes": shape.payload_bytes,
        "seconds": round(seconds, 3),
        "sent_per_s": int(counts.sent / seconds),
        "delivered_per_s": int(counts.delivered / seconds),
        "sent": counts.sent,
        "acknowledged": counts.acknowledged,
        "delivered": counts.delivered,
        "missing": counts.expected - counts.delivered,
        "duplicates": counts.duplicates,
        "ack_us": {name: quantile(counts.ack_us, rank) for name, rank in (("p50", 500), ("p99", 990))},
        "delivery_us": {name: quantile(counts.delivery_us, rank) for name, rank in (("p50", 500), ("p99", 990))},
        "generator": "python",
    }


@click.command()
@click.option("--pattern", type=click.Choice(["pairs", "fan-in", "fan-out"]), default="pairs", show_default=True)
@click.option("--clients", "-n", type=click.IntRange(1, 10000), default=16, show_default=True)
@click.option("--qos", "-q", type=click.Choice(["0", "1", "2"]), default="1", show_default=True)
@click.option(
    "--window", "-w", type=click.IntRange(1, 65535), default=20, show_default=True, help="On the way per publisher."
)
@click.option("--size", type=click.IntRange(20, 1 << 28), default=64, show_default=True, help="Payload bytes.")
@click.option("--duration", "-d", default=5.0, show_default=True, metavar="SECONDS")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON instead of a table.")
@connect_options
def bench(
    pattern: str, clients: int, qos: str, window: int, size: int, duration: float, as_json: bool, **connect: Any
) -> None:
    """Measure a broker with clients of this one Python process, which is itself part of what is measured."""
    identity = ConnectOptions(**connect).identity("quantum-bench")
    shape = Shape(pattern, clients, int(qos), window, size, duration, identity.version)
    try:
        load = Load(identity.address, identity.tls, shape, secrets.token_hex(4))
        load.start()
        seconds = measure(load, duration)
        load.close()
    except LoadFailed as error:
        raise click.ClickException(str(error)) from error
    result = report(shape, load.counts, seconds)
    if as_json:
        click.echo(json.dumps(result))
    else:
        flat = {
            f"{name} {part}" if part else name: number
            for name, value in result.items()
            for part, number in (value.items() if isinstance(value, dict) else [("", value)])
        }
        echo_table(
            ["measure", "value"],
            [[name, f"{value:,}" if isinstance(value, int) else str(value)] for name, value in flat.items()],
        )
        log("the generator is Python and shares the machine: read the rates as a lower bound of the broker's")
    if result["missing"] or result["duplicates"]:
        raise click.ClickException(f"{result['missing']} messages missing, {result['duplicates']} twice")
