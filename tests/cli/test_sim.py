"""Goal: `quantum sim` says seed, law, the two facts and the line that shows it again; its files are right, wrong ones are
refused in one line, and its exit code tells clean, violation and usage apart. Method: click's runner over the toy world."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from quantum.cli import sim_sweep
from quantum.cli.sim import sim
from quantum.sim import required
from quantum.sim import sweep as sweeping
from quantum.sim.report import decode_report
from quantum.sim.required import Case
from quantum.sim.scenario import LITE, Outcome, Scenario, decode_scenario, encode_scenario
from quantum.sim.sweep import SweepTotal
from quantum.sim.token import encode_token, token_of
from tests.sim import toy

TOY = "tests.sim.toy"
FAILING = next(seed for seed in range(1, 100) if toy.run(Scenario(LITE, seed)).law == "TOY-ACK")
CLEAN = next(seed for seed in range(1, 100) if not toy.run(Scenario(LITE, seed)).law)


@pytest.fixture(autouse=True)
def _toy_world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setitem(sweeping.RUNNERS, LITE, TOY)  # type: ignore[misc]
    monkeypatch.chdir(tmp_path)
    yield


def called(*arguments: object) -> Result:
    result = CliRunner().invoke(sim, ["--profile", "lite", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def token_for(seed: int) -> str:
    scenario = Scenario(LITE, seed)
    return encode_token(token_of(scenario, toy.run(scenario)))


def test_clean_seed_exits_with_0_and_says_its_digest_and_token() -> None:
    result = called("--seed", CLEAN)
    assert 0 == result.exit_code
    assert f"seed {CLEAN}, profile lite" == result.stdout.splitlines()[0]
    assert f"verdict: clean, trace {toy.run(Scenario(LITE, CLEAN)).digest}" in result.stdout
    assert token_for(CLEAN) in result.stdout


def test_violation_exits_with_1_and_says_law_facts_and_the_line_that_shows_it_again() -> None:
    outcome = toy.run(Scenario(LITE, FAILING))
    result = called("--seed", FAILING)
    assert 1 == result.exit_code
    for text in (
        f"violation in seed {FAILING}",
        "law        TOY-ACK",
        f"it holds   {outcome.facts[0]}",
        f"and yet    {outcome.facts[1]}",
        f"see again  quantum sim --repro {token_for(FAILING)}",
    ):
        assert text in result.stdout


def test_the_line_that_shows_it_again_does() -> None:
    result = CliRunner().invoke(sim, ["--repro", token_for(FAILING)])
    assert 1 == result.exit_code
    assert "law        TOY-ACK" in result.stdout


def test_token_of_another_run_is_noticed() -> None:
    token = token_for(FAILING)[:-8] + "00000000"
    result = CliRunner().invoke(sim, ["--repro", token])
    assert 1 == result.exit_code
    assert "not the same run: the token's digest begins with 00000000" in result.stdout


def test_shrunk_run_is_small_and_its_file_breaks_the_same_law() -> None:
    result = called("--seed", FAILING, "--shrink", "--save", "small.json")
    assert 1 == result.exit_code
    assert "shrunk: 3 events (2 faults, 1 operations of clients)" in result.stdout
    scenario = decode_scenario(Path("small.json").read_text())
    assert 2 == len(scenario.faults or [])
    assert "TOY-ACK" == toy.run(scenario).law
    again = called("--scenario", "small.json")
    assert 1 == again.exit_code
    assert "see again  quantum sim --scenario small.json" in again.stdout


def test_saved_scenario_has_what_was_drawn() -> None:
    called("--seed", FAILING, "--save", "drawn.json")
    scenario = decode_scenario(Path("drawn.json").read_text())
    outcome = toy.run(Scenario(LITE, FAILING))
    assert outcome.frozen == scenario
    assert outcome.digest == toy.run(scenario).digest


def test_trace_and_page_show_the_violation() -> None:
    result = called("--seed", FAILING, "--trace", "run.txt", "--html", "run.html")
    assert 1 == result.exit_code
    assert "violation    TOY-ACK" in Path("run.txt").read_text().splitlines()[-1]
    assert "TOY-ACK" in Path("run.html").read_text()
    assert "law" in called("--seed", FAILING, "--trace", "-").stdout


def test_run_that_is_another_one_with_a_history_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = toy.run

    def run(scenario: Scenario, history: object = None) -> Outcome:
        outcome = plain(scenario, None)
        outcome.digest = outcome.digest if history is None else "0" * 32
        return outcome

    monkeypatch.setattr(toy, "run", run)
    result = called("--seed", CLEAN, "--trace", "run.txt")
    assert 1 == result.exit_code
    assert "law        REPLAY" in result.stdout


def test_sweep_reports_every_failure_and_speed() -> None:
    result = called("--seeds", "1..30", "--failures-max", 100, "--report", "report.json", "--twice", 20)
    report = decode_report(Path("report.json").read_bytes())
    failing = [seed for seed in range(1, 31) if toy.run(Scenario(LITE, seed)).law]
    assert 1 == result.exit_code
    assert failing == [failure.seed for failure in report.failures]
    assert all(f"violation in seed {seed} " in result.stdout for seed in failing)
    assert f"{30 - len(failing)} clean, {len(failing)} violations, {report.double_count} run twice" in result.stdout
    assert report.double_count
    assert 30 == len(report.digests)
    assert "seeds/min" in result.stdout


def test_sweep_can_shrink_one_failure_of_each_law() -> None:
    result = called("--seeds", f"{FAILING}..{FAILING}", "--shrink")
    assert 1 == result.exit_code
    assert "TOY-ACK" == toy.run(decode_scenario(Path(f"sim-lite-{FAILING}-TOY-ACK.json").read_text())).law


def test_shards_merge_to_the_whole() -> None:
    codes = [
        called("--seeds", "1..20", "--failures-max", 100, "--shard", f"{n}/3", "--report", f"{n}.json").exit_code
        for n in (1, 2, 3)
    ]
    assert 1 in codes
    whole = called("--seeds", "1..20", "--failures-max", 100, "--report", "whole.json")
    merged = called("--merge", "1.json", "--merge", "2.json", "--merge", "3.json", "--report", "merged.json")
    assert (1, 1) == (whole.exit_code, merged.exit_code)
    one, other = (decode_report(Path(name).read_bytes()) for name in ("whole.json", "merged.json"))
    assert one.digests == other.digests
    assert one.mark_runs == other.mark_runs
    assert one.failures == other.failures


def test_comparison_finds_a_seed_that_was_another_run() -> None:
    called("--seeds", "1..5", "--failures-max", 100, "--report", "here.json")
    report = json.loads(Path("here.json").read_text())
    same = called("--seeds", "1..5", "--failures-max", 100, "--compare", "here.json")
    assert "0 of 5 seeds differ from here.json" in same.stdout
    report["digests"]["3"] = "0" * 32
    Path("there.json").write_text(json.dumps(report))
    other = called("--seeds", "1..5", "--failures-max", 100, "--compare", "there.json")
    assert 1 == other.exit_code
    assert "1 of 5 seeds differ from there.json" in other.stdout


def test_runs_of_one_seed_that_part_are_told_with_the_event_where_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(toy.ACTS_BADLY, "leak")
    result = called("--seeds", f"{CLEAN}..{CLEAN}", "--twice", 100)
    assert 1 == result.exit_code
    assert "law        REPLAY" in result.stdout
    assert f"seed {CLEAN} parts at event 1, hash seeds " in result.stdout
    first, second = (line for line in result.stdout.splitlines() if "note" in line)
    assert first.split()[-1] != second.split()[-1]


def test_missed_mark_fails_a_sweep() -> None:
    Path("marks.json").write_text('{"kill": 1, "never": {"count": 1}, "pause": {"per_mille": 1000}}')
    result = called("--seeds", f"{CLEAN}..{CLEAN}", "--require", "marks.json")
    assert 1 == result.exit_code
    assert "not met: never: met 0 times, required 1" in result.stdout


def test_thresholds_of_the_profile_hold_for_sweeps_that_are_large_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(required._CASES, LITE, (Case("what never happens", "never", 100), Case("kill", "kill", 100)))  # type: ignore[misc]
    small = called("--seeds", f"{CLEAN}..{CLEAN}")
    assert 0 == small.exit_code
    assert "what never happens                           0.0 %   10.0 %" in small.stdout
    monkeypatch.setattr(required, "MET_MIN", 0)
    result = called("--seeds", f"{CLEAN}..{CLEAN}")
    assert 1 == result.exit_code
    assert "thresholds: 1 of 2 met" in result.stdout
    assert "not met: never" in result.stdout


def test_progress_says_how_far_how_fast_and_how_long() -> None:
    total = SweepTotal(seconds=30.0)
    for seed in range(50):
        total.add(seed, Outcome("", ("", ""), "", {"events": 1200, "simulated_ms": 1}, {}))
    line = sim_sweep.progress_line(total, 200)
    assert line == "[######..................] 50/200 seeds, 0 violations, 100 seeds/min, 2,000 events/s, 1:30 left"


def test_exception_in_a_run_is_a_violation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(toy.ACTS_BADLY, f"raise {CLEAN}")
    result = called("--seed", CLEAN)
    assert 1 == result.exit_code
    assert "law        HARNESS" in result.stdout
    assert f"see again  quantum sim --seed {CLEAN} --profile lite" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "give one of"),
        (["--seed", "1", "--seeds", "1..2"], "give one of"),
        (["--seeds", "2..1"], "--seeds 2..1, allowed A..B"),
        (["--seeds", "x"], "--seeds x, allowed A..B"),
        (["--seeds", "1..99999999999999999999"], "allowed A..B"),
        (["--seeds", "1..2", "--shard", "3/2"], "--shard 3/2, allowed I/N"),
        (["--seeds", "1..2", "--shard", "3/3"], "has no seed"),
        (["--seed", "1", "--shard", "1/2"], "--shard goes with --seeds only"),
        (["--seeds", "1..2", "--html", "x"], "--html goes with one run only"),
        (["--seed", "1", "--report", "x"], "--report goes with --seeds or --merge only"),
        (["--repro", "Q1:0.1.0:lite:1"], "--repro: 4 fields, allowed 6"),
        (["--repro", "Q2"], "--repro: begins with 'Q2', allowed Q1"),
        (["--scenario", "missing.json"], "does not exist"),
        (["--seed", "1", "--nodes", "9"], "9 is not in the range"),
        (["--seed", "-1"], "-1 is not in the range"),
    ],
)
def test_wrong_usage_exits_with_2_and_one_line(arguments: list[str], said: str) -> None:
    result = called(*arguments)
    assert 2 == result.exit_code
    assert said in result.stderr
    assert 1 == result.stderr.count("Error:")


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("--scenario", "{", "wrong.json: not JSON"),
        ("--scenario", encode_scenario(Scenario(LITE, 1)).replace("seed", "sead"), "has the key"),
        ("--scenario", "\ufffe".encode("utf-16").decode("latin-1"), "wrong.json: "),
        ("--merge", "{}", "wrong.json: no report"),
    ],
)
def test_wrong_files_are_refused_in_one_line(option: str, text: str, said: str) -> None:
    Path("wrong.json").write_text(text, encoding="latin-1")
    result = called(option, "wrong.json")
    assert 2 == result.exit_code
    assert said in result.stderr
    assert 1 == sum(1 for line in result.stderr.splitlines() if line.startswith("Error:"))


def test_wrong_thresholds_are_refused_in_one_line() -> None:
    Path("marks.json").write_text('{"kill": -1}')
    result = called("--seeds", "1..2", "--require", "marks.json")
    assert 2 == result.exit_code
    assert "marks.json: kill is -1, allowed a whole number" in result.stderr
