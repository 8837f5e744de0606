"""`quantum sim`: run seeds of the simulator, make what fails small, and draw it."""

import sys
from pathlib import Path

import click

from quantum.cli import sim_run, sim_sweep
from quantum.sim.scenario import NODES_MAX, NUMBER_MAX, PROFILES, STANDARD, Scenario, ScenarioWrong, decode_scenario
from quantum.sim.sweep import SweepPlan
from quantum.sim.token import Token, TokenWrong, decode_token

FILE = click.Path(dir_okay=False, path_type=Path)
SOURCE = click.Path(dir_okay=False, exists=True, path_type=Path)
SEED = click.IntRange(min=0, max=NUMBER_MAX)


@click.command(name="sim")
@click.option("--seed", type=SEED, help="Run this one seed.")
@click.option("--seeds", metavar="A..B", help="Run a range of seeds, such as 1..2000.")
@click.option("--repro", metavar="TOKEN", help="Run what a token names, and verify that it is the same run.")
@click.option("--scenario", "scenario_path", type=SOURCE, help="Run a scenario file, such as --shrink writes.")
@click.option("--merge", "merge_paths", type=SOURCE, multiple=True, help="Merge reports of all shards. Repeat it.")
@click.option("--profile", type=click.Choice(PROFILES), default=STANDARD, show_default=True, help="Faults and sizes.")
@click.option("--nodes", type=click.IntRange(1, NODES_MAX), help="So many nodes, instead of what the seed draws.")
@click.option("--off", multiple=True, metavar="CLASS", help="Switch a class of faults off. Repeat it.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes.")
@click.option("--shard", metavar="I/N", help="With --seeds: every N-th seed only, from the I-th.")
@click.option("--twice", type=click.IntRange(0, 100), default=0, metavar="PERCENT", help="Of --seeds, run twice.")
@click.option("--failures-max", type=click.IntRange(min=1), default=10, show_default=True, help="Stop after so many.")
@click.option("--report", "report_path", type=FILE, help="With --seeds or --merge: write a JSON report there.")
@click.option("--require", "require_path", type=SOURCE, help="A JSON file of marks that must be met, and how often.")
@click.option("--compare", "compare_path", type=SOURCE, help="A report: the digests of seeds it has must be equal.")
@click.option("--shrink", "shrinks", is_flag=True, help="Make a failing run small and write its scenario file.")
@click.option("--save", "save_path", type=FILE, help="Write the run's scenario file there, with all that was drawn.")
@click.option("--trace", "trace_path", type=FILE, help="Write the run's events there, one a line; - is the terminal.")
@click.option("--html", "html_path", type=FILE, help="Draw the run: one page for a browser.")
def sim(
    seed: int | None,
    seeds: str | None,
    repro: str | None,
    scenario_path: Path | None,
    merge_paths: tuple[Path, ...],
    profile: str,
    nodes: int | None,
    off: tuple[str, ...],
    jobs: int,
    shard: str | None,
    twice: int,
    failures_max: int,
    report_path: Path | None,
    require_path: Path | None,
    compare_path: Path | None,
    shrinks: bool,
    save_path: Path | None,
    trace_path: Path | None,
    html_path: Path | None,
) -> None:
    """Run the real core in a made-up world, under faults of network, disks, clocks, machines and clients.

    A run is a function of its seed: the same seed gives the same trace digest on every machine. Exits with 0 when every
    run was clean, with 1 when a law was broken or a mark was missed, with 2 when the command makes no sense.
    """
    _check_one_of(seed, seeds, repro, scenario_path, merge_paths)
    is_sweep = seeds is not None
    for name, is_given, is_allowed, where in (
        ("--shard", shard is not None, is_sweep, "--seeds"),
        ("--twice", twice > 0, is_sweep, "--seeds"),
        ("--report", report_path is not None, is_sweep or bool(merge_paths), "--seeds or --merge"),
        ("--require", require_path is not None, is_sweep or bool(merge_paths), "--seeds or --merge"),
        ("--compare", compare_path is not None, is_sweep or bool(merge_paths), "--seeds or --merge"),
        ("--save", save_path is not None, not is_sweep and not merge_paths, "one run"),
        ("--trace", trace_path is not None, not is_sweep and not merge_paths, "one run"),
        ("--html", html_path is not None, not is_sweep and not merge_paths, "one run"),
        ("--shrink", shrinks, not merge_paths, "runs"),
    ):
        if is_given and not is_allowed:
            raise click.UsageError(f"{name} goes with {where} only")
    base = Scenario(profile, seed or 0, node_count=nodes, off=off)
    checks = sim_sweep.read_checks(report_path, require_path, compare_path)
    if merge_paths:
        sys.exit(sim_sweep.merge(list(merge_paths), checks))
    if seeds is not None:
        first, last = _range_of(seeds)
        shard_number, shards = _shard_of(shard)
        plan = SweepPlan(base, first, last, shard_number, shards, jobs, failures_max, twice * 10)
        if not plan.seeds():
            raise click.UsageError(f"--shard {shard} of --seeds {seeds} has no seed")
        sys.exit(sim_sweep.run(plan, checks, shrinks))
    wishes = sim_run.Wishes(shrinks, jobs, save_path, trace_path, html_path)
    if repro is not None:
        token = _token_of(repro)
        sys.exit(sim_run.run(Scenario(token.profile, token.seed), wishes, token=token))
    if scenario_path is not None:
        sys.exit(sim_run.run(_scenario_of(scenario_path), wishes, scenario_path=scenario_path))
    sys.exit(sim_run.run(base, wishes))


def _check_one_of(*given: object) -> None:
    if sum(1 for item in given if item is not None and item != ()) != 1:
        raise click.UsageError("give one of --seed N, --seeds A..B, --repro TOKEN, --scenario FILE and --merge FILE")


def _range_of(text: str) -> tuple[int, int]:
    first, dots, last = text.partition("..")
    if not dots or not _is_number(first) or not _is_number(last) or int(first) > int(last):
        raise click.UsageError(f"--seeds {text}, allowed A..B with A not above B, whole numbers of at most 20 digits")
    return int(first), int(last)


def _shard_of(text: str | None) -> tuple[int, int]:
    if text is None:
        return 1, 1
    number, slash, count = text.partition("/")
    if not slash or not _is_number(number) or not _is_number(count) or not 1 <= int(number) <= int(count):
        raise click.UsageError(f"--shard {text}, allowed I/N with I from 1 to N")
    return int(number), int(count)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 20 and int(text) <= NUMBER_MAX


def _token_of(text: str) -> Token:
    try:
        return decode_token(text)
    except TokenWrong as error:
        raise click.UsageError(f"--repro: {error}") from None


def _scenario_of(path: Path) -> Scenario:
    try:
        return decode_scenario(path.read_text(encoding="utf-8"))
    except ScenarioWrong as error:
        raise click.UsageError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"{path}: no text in UTF-8") from None
