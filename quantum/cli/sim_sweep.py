"""Many simulated runs for the command: the progress, the failures, what was met and what was not, the report."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import click

from quantum.cli.sim_run import CLEAN, VIOLATION, scenario_file, show_violation, shrink_to
from quantum.sim.divergence import find_divergence
from quantum.sim.marks import MarksWrong, Threshold, crash_matrix, decode_thresholds
from quantum.sim.report import (
    Report,
    ReportWrong,
    command_of,
    decode_report,
    differences,
    encode_report,
    merge_reports,
    percentile,
    report_of,
)
from quantum.sim.required import cases_of, required_of
from quantum.sim.scenario import Outcome, Scenario, copy_scenario
from quantum.sim.sweep import HARNESS, SweepPlan, SweepTotal, sweep

BAR_CHARACTERS: Final = 24
LINE_S: Final = 15.0  # between lines where no bar can be drawn
BAR_S: Final = 0.1


@final
@dataclass(slots=True)
class Checks:
    """Where the report goes, what the runs must have met, and with what they must agree."""

    report_path: Path | None
    thresholds: list[Threshold] | None  # None: the profile's own
    other_path: Path | None
    other: Report | None


def read_checks(report_path: Path | None, require_path: Path | None, compare_path: Path | None) -> Checks:
    """Read the files first: a wrong one is refused before hours of runs, not after."""
    thresholds = None
    if require_path is not None:
        try:
            thresholds = decode_thresholds(require_path.read_text(encoding="utf-8"))
        except MarksWrong as error:
            raise click.UsageError(f"{require_path}: {error}") from None
        except UnicodeDecodeError:
            raise click.UsageError(f"{require_path}: no text in UTF-8") from None
    return Checks(report_path, thresholds, compare_path, None if compare_path is None else _report_in(compare_path))


def run(plan: SweepPlan, checks: Checks, shrinks: bool) -> int:
    """Run the seeds of a plan and say what came of them. Returns the exit code."""
    seeds = len(plan.seeds())
    shard = f", shard {plan.shard}/{plan.shards}" if plan.shards > 1 else ""
    jobs = f"{plan.jobs} process{'es' if plan.jobs > 1 else ''}"
    click.echo(f"seeds {plan.first_seed}..{plan.last_seed}{shard}: {seeds} runs, profile {plan.base.profile}, {jobs}")
    bar = ProgressBar(seeds)
    total = sweep(plan, bar.on_progress)
    bar.end()
    report = report_of(plan, total)
    for seed, outcome in total.failures.items():
        show_violation(seed, outcome, command_of(copy_scenario(plan.base, seed=seed), outcome))
    code = _conclude(report, checks, is_whole=plan.shards == 1)
    if total.mismatches:
        _show_divergence(copy_scenario(plan.base, seed=total.mismatches[0].seed), total.hash_seeds)
    if shrinks:
        _shrink_one_of_each_law(plan, total)
    return code


def merge(paths: list[Path], checks: Checks) -> int:
    """All shards of a sweep as one. Returns the exit code."""
    reports = [_report_in(path) for path in paths]
    try:
        report = merge_reports(reports)
    except ReportWrong as error:
        raise click.UsageError(f"--merge: {error}") from None
    for failure in report.failures:
        click.echo(f"seed {failure.seed}: {failure.law}: {failure.holds}; {failure.seen}\n  see again  {failure.again}")
    return _conclude(report, checks, is_whole=True)


@final
class ProgressBar:
    """Redraws one line on a terminal; anywhere else a line now and then."""

    __slots__ = ("_is_terminal", "_last_s", "_seeds", "_started_s")

    def __init__(self, seeds: int) -> None:
        self._seeds = seeds
        self._is_terminal = sys.stderr.isatty()
        self._started_s = self._last_s = time.monotonic()

    def on_progress(self, total: SweepTotal, seed: int, outcome: Outcome) -> None:
        """One more run has ended."""
        if outcome.law:
            self._clear()
            click.echo(f"seed {seed}: {outcome.law}: {outcome.facts[0]}; {outcome.facts[1]}", err=True)
        now_s = time.monotonic()
        if now_s - self._last_s >= (BAR_S if self._is_terminal else LINE_S) or total.count == self._seeds:
            self._last_s = now_s
            line = progress_line(total, self._seeds)
            click.echo(f"\r\x1b[K{line}" if self._is_terminal else line, err=True, nl=not self._is_terminal)

    def end(self) -> None:
        """Nothing more comes."""
        self._clear()

    def _clear(self) -> None:
        if self._is_terminal:
            click.echo("\r\x1b[K", err=True, nl=False)


def progress_line(total: SweepTotal, seeds: int) -> str:
    """How far a sweep is, how fast, and how long it will take."""
    done = BAR_CHARACTERS * total.count // seeds
    left_s = int(total.seconds * (seeds - total.count) / total.count) if total.count else 0
    return (
        f"[{'#' * done}{'.' * (BAR_CHARACTERS - done)}] {total.count}/{seeds} seeds, {len(total.failures)} violations, "
        f"{total.seeds_per_minute():,} seeds/min, {total.events_per_second():,} events/s, "
        f"{left_s // 60}:{left_s % 60:02} left"
    )


def _report_in(path: Path) -> Report:
    try:
        return decode_report(path.read_bytes())
    except ReportWrong as error:
        raise click.UsageError(f"{path}: {error}") from None


def _conclude(report: Report, checks: Checks, *, is_whole: bool) -> int:
    """What a shard has not met, another one may have: only a whole sweep is held to thresholds, unless a file says so."""
    if checks.report_path is not None:
        checks.report_path.write_bytes(encode_report(report))
    for seed, first, second in report.mismatches:
        _show_mismatch(seed, "run twice", first, second)
    other_count = _compare(report, checks)
    show_coverage(report)
    required = checks.thresholds
    if required is None:
        required = (
            required_of(report.profile, report.count) if is_whole and not report.is_cut and not report.off else []
        )
    missing = report.coverage().missing(required)
    for line in missing:
        click.echo(f"not met: {line}")
    if required:
        click.echo(f"thresholds: {len(required) - len(missing)} of {len(required)} met")
    twice = f", {report.double_count} run twice with {len(report.mismatches)} mismatches" if report.double_count else ""
    cut = ", stopped early" if report.is_cut else ""
    click.echo(
        f"{report.count - len(report.failures)} clean, {len(report.failures)} violations{twice} in {report.seconds:.1f} s: "
        f"{report.seeds_per_minute:,} seeds/min, {report.events_per_second:,} events/s{cut}"
    )
    return VIOLATION if report.failures or report.mismatches or other_count or missing else CLEAN


def _compare(report: Report, checks: Checks) -> int:
    """How many seeds were another run than in the report they are compared with."""
    if checks.other is None:
        return 0
    found = differences(report, checks.other)
    for seed, here, there in found:
        _show_mismatch(seed, f"and in {checks.other_path}", there, here)
    common = sum(1 for seed in report.digests if seed in checks.other.digests)
    click.echo(f"{len(found)} of {common} seeds differ from {checks.other_path}")
    return len(found)


def _show_divergence(scenario: Scenario, hash_seeds: tuple[int, int]) -> None:
    """Where the runs of one seed part, looked for once more."""
    found = find_divergence(scenario, hash_seeds)
    if not found.number:
        click.echo(f"seed {scenario.seed}: no event of its two histories differs, only what is in the trace alone")
        return
    click.echo(f"seed {scenario.seed} parts at event {found.number}, hash seeds {hash_seeds[0]} and {hash_seeds[1]}")
    click.echo(f"  first      {found.first or 'has ended'}\n  second     {found.second or 'has ended'}")


def _show_mismatch(seed: int, what: str, first: str, second: str) -> None:
    click.echo(f"seed {seed} {what}\n  law        REPLAY\n  it holds   digest {first}\n  and yet    digest {second}")


def show_coverage(report: Report) -> None:
    """What the runs met: shares of runs, the crash matrix, percentiles."""
    cases = cases_of(report.profile)
    if cases and report.count:
        click.echo("share of runs in which it happened, and the least that a campaign large enough must have")
        for case in cases:
            share = 100 * report.mark_runs.get(case.mark, 0) / report.count
            click.echo(f"  {case.name:<42} {share:5.1f} %  {case.per_mille / 10:5.1f} %")
    for line in crash_matrix(report.mark_counts):
        click.echo(line)
    for name, values in report.samples.items():
        click.echo(
            f"{name}: p50 {percentile(values, 50)}, p99 {percentile(values, 99)}, worst {values[-1]}, of {len(values)}"
        )
    if report.mark_counts:
        click.echo(f"marks: {len(report.mark_counts)} kinds, met {sum(report.mark_counts.values()):,} times")


def _shrink_one_of_each_law(plan: SweepPlan, total: SweepTotal) -> None:
    laws: dict[str, None] = {HARNESS: None}
    for seed, outcome in total.failures.items():
        if outcome.law not in laws:
            laws[outcome.law] = None
            scenario = copy_scenario(plan.base, seed=seed)
            shrink_to(scenario, outcome, plan.jobs, scenario_file(scenario, outcome))
