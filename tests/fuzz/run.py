"""Fuzz the targets one after the other, each for its share of the time.

    python -m tests.fuzz.run --seconds 60 [--targets framer,decode] [--keep]

A finding ends the run with its bytes in hex; put them into the target's corpus with the fix. `--keep` adds what reached
new code to the corpora, as few and as short inputs as do.
"""

import argparse
import gc
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from hashlib import sha1
from pathlib import Path
from types import FrameType
from typing import Any

import wsproto

import quantum
from tests.fuzz.corpus import add_to_corpus, read_corpus
from tests.fuzz.targets import NAMES, OF_OPERATIONS, load_target

EXECUTIONS = re.compile(r"stat::number_of_executed_units:\s*(\d+)")
COVERAGE = re.compile(r"cov: (\d+)")
PLACES = tuple(str(Path(package.__file__ or "").parent) for package in (quantum, wsproto))  # whose lines count
KEPT_BYTES_MAX = 256  # of an input that goes into a corpus
OVERTIME_S = 120  # for start and end of a process
Step = tuple[str, int, int]  # file, line before, line
TraceFunction = Callable[[FrameType, str, object], Any]


def put(folder: Path, inputs: list[bytes]) -> None:
    """One file an input, as libFuzzer wants it."""
    for data in inputs:
        (folder / sha1(data).hexdigest()).write_bytes(data)


def fuzz(name: str, seconds: int, found: Path, artifacts: Path) -> tuple[int, str]:
    """(exit code, what libFuzzer printed)."""
    put(found, [*read_corpus(name), *load_target(name).SEEDS])
    command = [
        sys.executable,
        "-m",
        "tests.fuzz.one_target",
        name,
        f"-max_total_time={seconds}",
        "-print_final_stats=1",
    ]
    if name in OF_OPERATIONS:
        command.append("-len_control=10")  # One operation does little: longer inputs, sooner.
    command += [f"-artifact_prefix={artifacts}/", "-timeout=20", "-rss_limit_mb=2048", str(found)]
    done = subprocess.run(command, capture_output=True, timeout=seconds + OVERTIME_S, check=False)
    return done.returncode, (done.stdout + done.stderr).decode(errors="replace")


def merged(name: str, found: Path) -> list[bytes]:
    """Few of the inputs that were found, short ones first, that reach what the corpus and the seeds do not."""
    gc.collect()
    gc.freeze()  # What others made here need not be looked through before each input.
    reached: set[Step] = set()
    for data in [*load_target(name).SEEDS, *read_corpus(name)]:
        reached |= steps_of(name, data)
    kept: list[bytes] = []
    for data in sorted((path.read_bytes() for path in found.iterdir()), key=len):
        steps = steps_of(name, data) if len(data) <= KEPT_BYTES_MAX else set()
        if not steps <= reached:
            reached |= steps
            kept.append(data)
    gc.unfreeze()
    return kept


def steps_of(name: str, data: bytes) -> set[Step]:
    """From which line to which line an input goes."""
    steps: set[Step] = set()

    def trace(frame: FrameType, event: str, argument: object) -> TraceFunction | None:
        file = frame.f_code.co_filename
        if not file.startswith(PLACES):
            return None
        last = 0

        def trace_line(frame: FrameType, event: str, argument: object) -> TraceFunction:
            nonlocal last
            steps.add((file, last, frame.f_lineno))
            last = frame.f_lineno
            return trace_line

        return trace_line

    check = load_target(name).check
    gc.collect()
    gc.disable()  # What an earlier run left behind must not be taken down in the middle of this one.
    sys.settrace(trace)
    try:
        check(data)
    finally:
        sys.settrace(None)
        gc.enable()
    return steps


def main() -> int:
    """The command; 1 after a finding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--targets", default=",".join(NAMES))
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    names = options.targets.split(",")
    findings = total = 0
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
        found, artifacts = folder / "found", folder / "artifacts"
        found.mkdir()
        artifacts.mkdir()
        code, text = fuzz(name, max(1, options.seconds // len(names)), found, artifacts)
        executions = int((EXECUTIONS.findall(text) or ["0"])[-1])
        total += executions
        coverage = (COVERAGE.findall(text) or ["0"])[-1]
        print(f"{name:<12} {executions:>12,} executions, coverage {coverage:>5}, exit code {code}", flush=True)
        if code:
            findings += 1
            print("\n".join(line for line in text.splitlines() if not line.startswith(("INFO", "#")))[:6000])
            for path in sorted(artifacts.iterdir()):
                print(f"{name}: {path.name} {path.read_bytes().hex()}")
        elif options.keep:
            print(f"{name:<12} {add_to_corpus(name, merged(name, found)):>12,} inputs kept", flush=True)
        shutil.rmtree(folder)
    print(f"{total:,} executions in all, {findings} targets with findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
