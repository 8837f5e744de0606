"""The JSON report of a sweep: what ran, what it found, and every digest, so that shards merge and two sweeps compare."""

from dataclasses import dataclass, field
from typing import Final, final

import msgspec

import quantum
from quantum.sim.marks import Coverage
from quantum.sim.scenario import Outcome, Scenario, copy_scenario
from quantum.sim.sweep import HARNESS, SweepPlan, SweepTotal
from quantum.sim.token import PRNG_VERSION, encode_token, is_nameable, token_of

FORMAT: Final = 1


class ReportWrong(ValueError):
    """A file is no report, or reports do not belong together; the text is one line."""


@final
@dataclass(slots=True)
class Failure:
    """A run that broke a law."""

    seed: int
    law: str
    holds: str
    seen: str
    at_us: int
    digest: str
    again: str  # the command line that makes the run again


@final
@dataclass(slots=True)
class Report:
    """A sweep, or all shards of one merged."""

    format: int
    version: str
    prng_version: int
    profile: str
    node_count: int | None
    off: list[str]
    first_seed: int
    last_seed: int
    shards: int
    shards_in: list[int]
    seconds: float  # of all shards together, on their own machines
    count: int
    is_cut: bool  # a shard stopped before its last seed
    seeds_per_minute: int
    events_per_second: int
    failures: list[Failure] = field(default_factory=list)
    mismatches: list[tuple[int, str, str]] = field(default_factory=list)
    double_count: int = 0
    stats: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[int]] = field(default_factory=dict)  # ascending
    mark_counts: dict[str, int] = field(default_factory=dict)
    mark_runs: dict[str, int] = field(default_factory=dict)
    digests: dict[int, str] = field(default_factory=dict)

    def coverage(self) -> Coverage:
        """Its marks, to be held against thresholds."""
        coverage = Coverage()
        coverage.run_count = self.count
        coverage.counts = dict(self.mark_counts)
        coverage.runs = dict(self.mark_runs)
        return coverage


def command_of(scenario: Scenario, outcome: Outcome) -> str:
    """The one line that makes a run again; a run with a schedule of its own needs its file, which this does not know."""
    if is_nameable(scenario) and outcome.law != HARNESS:
        return f"quantum sim --repro {encode_token(token_of(scenario, outcome))}"
    nodes = f" --nodes {scenario.node_count}" if scenario.node_count is not None else ""
    off = "".join(f" --off {name}" for name in scenario.off)
    return f"quantum sim --seed {scenario.seed} --profile {scenario.profile}{nodes}{off}"


def report_of(plan: SweepPlan, total: SweepTotal) -> Report:
    """What a sweep has found."""
    failures = []
    for seed, outcome in total.failures.items():
        scenario = copy_scenario(plan.base, seed=seed)
        holds, seen = outcome.facts
        command = command_of(scenario, outcome)
        failures.append(Failure(seed, outcome.law, holds, seen, outcome.at_us, outcome.digest, command))
    return Report(
        format=FORMAT,
        version=quantum.__version__,
        prng_version=PRNG_VERSION,
        profile=plan.base.profile,
        node_count=plan.base.node_count,
        off=list(plan.base.off),
        first_seed=plan.first_seed,
        last_seed=plan.last_seed,
        shards=plan.shards,
        shards_in=[plan.shard],
        seconds=round(total.seconds, 3),
        count=total.count,
        is_cut=total.is_cut,
        seeds_per_minute=total.seeds_per_minute(),
        events_per_second=total.events_per_second(),
        failures=failures,
        mismatches=[(mismatch.seed, mismatch.first, mismatch.second) for mismatch in total.mismatches],
        double_count=total.double_count,
        stats={name: total.stats[name] for name in sorted(total.stats)},
        samples={name: sorted(total.samples[name]) for name in sorted(total.samples)},
        mark_counts={name: total.coverage.counts[name] for name in sorted(total.coverage.counts)},
        mark_runs={name: total.coverage.runs[name] for name in sorted(total.coverage.runs)},
        digests={seed: total.digests[seed] for seed in sorted(total.digests)},
    )


def encode_report(report: Report) -> bytes:
    """The file."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def decode_report(data: bytes) -> Report:
    """Parse strictly. Raises: ReportWrong."""
    try:
        report = msgspec.json.decode(data, type=Report)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        text = str(error)
        raise ReportWrong(f"no report: {text[:1].lower()}{text[1:]}".partition("\n")[0]) from None
    if report.format != FORMAT:
        raise ReportWrong(f"report of format {report.format}, allowed {FORMAT}")
    return report


def merge_reports(reports: list[Report]) -> Report:
    """All shards of one sweep as one report. Raises: ReportWrong."""
    first = reports[0]
    merged = Report(
        format=FORMAT,
        version=first.version,
        prng_version=first.prng_version,
        profile=first.profile,
        node_count=first.node_count,
        off=list(first.off),
        first_seed=first.first_seed,
        last_seed=first.last_seed,
        shards=first.shards,
        shards_in=[],
        seconds=0.0,
        count=0,
        is_cut=False,
        seeds_per_minute=0,
        events_per_second=0,
    )
    for report in reports:
        for name in ("version", "prng_version", "profile", "node_count", "off", "first_seed", "last_seed", "shards"):
            if getattr(report, name) != getattr(merged, name):
                raise ReportWrong(f"{name} {getattr(report, name)} beside {getattr(merged, name)}: not one sweep")
        twice = [shard for shard in report.shards_in if shard in merged.shards_in]
        if twice:
            raise ReportWrong(f"shard {twice[0]} comes twice")
        _add(merged, report)
    missing = [shard for shard in range(1, merged.shards + 1) if shard not in merged.shards_in]
    if missing:
        raise ReportWrong(f"shard {missing[0]} of {merged.shards} is missing")
    merged.failures.sort(key=lambda failure: failure.seed)
    merged.mismatches.sort()
    return merged


def _add(merged: Report, report: Report) -> None:
    merged.shards_in = sorted([*merged.shards_in, *report.shards_in])
    merged.seconds = round(merged.seconds + report.seconds, 3)
    merged.count += report.count
    merged.is_cut = merged.is_cut or report.is_cut
    merged.seeds_per_minute += report.seeds_per_minute
    merged.events_per_second += report.events_per_second
    merged.failures += report.failures
    merged.mismatches += report.mismatches
    merged.double_count += report.double_count
    for mine, others in (
        (merged.stats, report.stats),
        (merged.mark_counts, report.mark_counts),
        (merged.mark_runs, report.mark_runs),
    ):
        for name, value in others.items():
            mine[name] = mine.get(name, 0) + value
    for name, values in report.samples.items():
        merged.samples[name] = sorted([*merged.samples.get(name, []), *values])
    merged.digests.update(report.digests)


def percentile(values: list[int], per_cent: int) -> int:
    """Of ascending values: the least one that so many per cent do not exceed."""
    assert values
    return values[max(0, -(-len(values) * per_cent // 100) - 1)]


def differences(report: Report, other: Report) -> list[tuple[int, str, str]]:
    """Seeds that both have and that were not the same run: (seed, digest here, digest there)."""
    return [
        (seed, digest, other.digests[seed])
        for seed, digest in report.digests.items()
        if other.digests.get(seed, digest) != digest
    ]
