"""`quantum sim`: run seeds of the simulator, and say how to see a failure again."""

import sys
from pathlib import Path

import click

from quantum.sim.run import LITE, PROFILES, STANDARD, SeedResult, SweepResult, describe, run_seed, sweep

PROGRESS_SEEDS = 25


@click.command(name="sim")
@click.option("--seed", type=click.IntRange(min=0), help="Run this one seed.")
@click.option("--seeds", help="Run a range of seeds, such as 1..2000.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes for --seeds.")
@click.option("--profile", type=click.Choice(PROFILES), default=STANDARD, show_default=True, help="Faults and sizes.")
@click.option("--failures-max", type=click.IntRange(min=1), default=10, show_default=True, help="Stop after so many.")
@click.option("--json", "json_path", type=click.Path(dir_okay=False, path_type=Path), help="Write a report there.")
@click.option("--trace", "wants_trace", is_flag=True, help="Print the last records of a run that failed.")
def sim(
    seed: int | None,
    seeds: str | None,
    jobs: int,
    profile: str,
    failures_max: int,
    json_path: Path | None,
    wants_trace: bool,
) -> None:
    """Run the real core in a made-up world, with crashes, power losses, cuts and clock jumps.

    A run is a function of its seed: the same seed gives the same trace digest on every machine. Exits with 0 when every
    run was clean, with 1 when a law was broken.
    """
    if (seed is None) == (seeds is None):
        raise click.UsageError("give one of --seed N and --seeds A..B")
    if seed is not None:
        first_seed = last_seed = seed
        click.echo("\n".join(describe(seed, profile)))
    else:
        first_seed, last_seed = _range_of(seeds or "")
        click.echo(f"seeds {first_seed} to {last_seed}, profile {profile}, {jobs} processes")
    if seed is not None:
        total = SweepResult(profile, first_seed, last_seed)
        total.add(run_seed(seed, profile))
    else:
        total = sweep(first_seed, last_seed, profile, jobs, _show_progress, failures_max)
    if json_path is not None:
        json_path.write_text(total.to_json() + "\n", encoding="utf-8")
    for failure in total.failures:
        _show_failure(failure, profile, wants_trace)
    if seed is not None and not total.failures:
        click.echo(f"verdict: clean, trace {total.digests[seed]}")
    if seeds is not None:
        click.echo(
            f"{total.clean_count} clean, {len(total.failures)} violations in {total.seconds:.1f} s, "
            f"{total.seeds_per_minute()} seeds a minute"
        )
    sys.exit(1 if total.failures else 0)


def _range_of(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    if not dots or not first.isdigit() or not last.isdigit() or int(first) > int(last):
        raise click.UsageError(f"--seeds {text}, allowed A..B with A not above B")
    return int(first), int(last)


def _show_progress(total: SweepResult, result: SeedResult) -> None:
    if result.violations:
        click.echo(f"seed {result.seed}: {result.violations[0]}")
    elif total.count % PROGRESS_SEEDS == 0:
        click.echo(f"{total.count} seeds, {len(total.failures)} violations, {total.seeds_per_minute()} seeds a minute")


def _show_failure(failure: SeedResult, profile: str, wants_trace: bool) -> None:
    if wants_trace:
        click.echo("\n".join(failure.tail))
    law, _, facts = failure.violations[0].partition(": ")
    first, _, second = facts.partition("; ")
    profile_option = f" --profile {profile}" if profile == LITE else ""
    click.echo(
        f"verdict: violation in seed {failure.seed}, trace {failure.digest}\n"
        f"  law        {law}\n"
        f"  it holds   {first}\n"
        f"  and yet    {second}\n"
        f"  see again  quantum sim --seed {failure.seed}{profile_option} --trace"
    )
