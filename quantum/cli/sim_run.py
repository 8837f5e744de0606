"""One simulated run for the command: the verdict, the way to see it again, and the small and drawn forms of it."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import final

import click

import quantum
from quantum.sim.history import History
from quantum.sim.page import page_of
from quantum.sim.report import command_of
from quantum.sim.scenario import FaultEvent, Outcome, Scenario, encode_scenario
from quantum.sim.shrink import shrink, size_of
from quantum.sim.sweep import HARNESS, RUNNERS, Replayer, run_guarded, runner_of
from quantum.sim.token import Token, encode_token, is_nameable, token_of

CLEAN = 0
VIOLATION = 1
PATIENCE_S = 3600  # somebody watches
SCHEDULE_LINES = 30


@final
@dataclass(slots=True)
class Wishes:
    """What is wanted of a run beside its verdict."""

    shrinks: bool
    jobs: int
    save_path: Path | None
    trace_path: Path | None
    html_path: Path | None


def run(scenario: Scenario, wishes: Wishes, *, token: Token | None = None, scenario_path: Path | None = None) -> int:
    """Make the run and say what came of it. Returns the exit code."""
    click.echo(f"seed {scenario.seed}, profile {scenario.profile}")
    outcome = run_guarded(RUNNERS[scenario.profile], scenario, PATIENCE_S)
    if token is not None and not outcome.digest.startswith(token.digest):
        _show_other_run(token, outcome)
        return VIOLATION
    if outcome.stats:
        click.echo("  " + ", ".join(f"{name} {outcome.stats[name]}" for name in sorted(outcome.stats)))
    if outcome.classes:
        click.echo(f"  faults: {' '.join(outcome.classes)}")
    again = command_of(scenario, outcome) if scenario_path is None else f"quantum sim --scenario {scenario_path}"
    if outcome.law:
        show_violation(scenario.seed, outcome, again)
    else:
        click.echo(f"verdict: clean, trace {outcome.digest}")
        if is_nameable(scenario):
            click.echo(f"  token      {encode_token(token_of(scenario, outcome))}")
    code = VIOLATION if outcome.law else CLEAN
    if wishes.shrinks and outcome.law and outcome.law != HARNESS:
        path = wishes.save_path or scenario_file(scenario, outcome)
        scenario, outcome = shrink_to(scenario, outcome, wishes.jobs, path)
        again = f"quantum sim --scenario {path}"
    elif wishes.save_path is not None:
        wishes.save_path.write_text(encode_scenario(outcome.frozen or scenario), encoding="utf-8")
    if wishes.trace_path is not None or wishes.html_path is not None:
        code = max(code, _look(scenario, outcome, again, wishes))
    return code


def show_violation(seed: int, outcome: Outcome, again: str) -> None:
    """Seed, law, the two facts that contradict each other, and the line that makes the run again."""
    click.echo(
        f"verdict: violation in seed {seed} at {outcome.at_us // 1000} ms, trace {outcome.digest or 'none'}\n"
        f"  law        {outcome.law}\n"
        f"  it holds   {outcome.facts[0]}\n"
        f"  and yet    {outcome.facts[1]}\n"
        f"  see again  {again}"
    )


def scenario_file(scenario: Scenario, outcome: Outcome) -> Path:
    """Where a shrunk scenario goes when nobody says."""
    return Path(f"sim-{scenario.profile}-{scenario.seed}-{outcome.law}.json")


def shrink_to(scenario: Scenario, outcome: Outcome, jobs: int, path: Path) -> tuple[Scenario, Outcome]:
    """Make a failing run small, write it, and say how small it is."""
    with Replayer(RUNNERS[scenario.profile], jobs) as replayer:
        shrunk = shrink(scenario, outcome, replayer.replay, jobs, on_step=_show_step)
    click.echo("\r\x1b[K" if sys.stderr.isatty() else "", err=True, nl=False)
    path.write_text(encode_scenario(shrunk.scenario), encoding="utf-8")
    faults = shrunk.scenario.faults or []
    count = size_of(shrunk.scenario, shrunk.outcome)
    rest = "nothing more can be left out" if shrunk.is_minimal else "replays ran out"
    click.echo(
        f"shrunk: {count} events ({len(faults)} faults, {count - len(faults)} operations of clients) "
        f"in {shrunk.replay_count} replays; {rest}"
    )
    for fault in faults[:SCHEDULE_LINES]:
        click.echo(f"  {fault.at_us / 1000:>10.3f} ms  {_fault_text(fault)}")
    if len(faults) > SCHEDULE_LINES:
        click.echo(f"  and {len(faults) - SCHEDULE_LINES} more")
    click.echo(f"  law        {shrunk.outcome.law}")
    click.echo(f"  it holds   {shrunk.outcome.facts[0]}")
    click.echo(f"  and yet    {shrunk.outcome.facts[1]}")
    click.echo(f"  see again  quantum sim --scenario {path}")
    return shrunk.scenario, shrunk.outcome


def _show_step(text: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\x1b[Kshrinking: {text}"[:100], err=True, nl=False)


def _fault_text(fault: FaultEvent) -> str:
    words = [fault.kind]
    if fault.nodes:
        words.append("of " + ", ".join(map(str, fault.nodes)))
    if fault.duration_us:
        words.append(f"for {fault.duration_us / 1000:g} ms")
    if fault.args:
        words.append(json.dumps(fault.args))
    return " ".join(words)


def _show_other_run(token: Token, outcome: Outcome) -> None:
    other = f"; the token is of version {token.version}, this is {quantum.__version__}"
    click.echo(
        f"verdict: not the same run: the token's digest begins with {token.digest}, this one's with "
        f"{outcome.digest[:8] or 'nothing'}{other if token.version != quantum.__version__ else ''}"
    )
    if outcome.law:
        click.echo(f"  {outcome.law}: {outcome.facts[0]}; {outcome.facts[1]}")


def _look(scenario: Scenario, outcome: Outcome, again: str, wishes: Wishes) -> int:
    """The second pass, with a history; it must be the same run."""
    if outcome.law == HARNESS:
        click.echo("no trace: the run has no end", err=True)
        return VIOLATION
    history = History()
    seen = runner_of(scenario.profile)(scenario, history)
    if wishes.trace_path is not None:
        text = "\n".join(history.lines()) + "\n"
        if str(wishes.trace_path) == "-":
            click.echo(text, nl=False)
        else:
            wishes.trace_path.write_text(text, encoding="utf-8")
    if wishes.html_path is not None:
        page = page_of(scenario, seen, history, again)
        wishes.html_path.write_text(page, encoding="utf-8")
        click.echo(f"page: {wishes.html_path}, {len(page.encode()) // 1024} KiB")
    if seen.digest != outcome.digest:
        click.echo(
            f"verdict: not the same run with a history\n  law        REPLAY\n  it holds   digest {outcome.digest}"
        )
        click.echo(f"  and yet    digest {seen.digest}")
        return VIOLATION
    return CLEAN
