"""Many runs over processes: seeds of a sweep, candidates of a shrinker, and the same seed twice to see that it is one run.

A child is a fresh interpreter with a hash seed of its own. What a child cannot finish (an exception, a run without an
end, a death) is an outcome like any other, of law HARNESS: a sweep never hangs and never loses a seed.
"""

import gc
import importlib
import multiprocessing
import os
import signal
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, TypeAlias, final

from quantum.core.prng import Prng
from quantum.sim.history import History
from quantum.sim.marks import Coverage
from quantum.sim.scenario import (
    BEYOND,
    FAILOVER,
    LITE,
    MQTT,
    POWER,
    SOAK,
    STANDARD,
    STORAGE,
    Outcome,
    Scenario,
    copy_scenario,
)

Runner: TypeAlias = Callable[[Scenario, History | None], Outcome]

# profile → the module whose `run` makes its runs. Imported when asked for: each world is large.
RUNNERS: Final = {
    LITE: "quantum.sim.raft_run",
    STANDARD: "quantum.sim.run",
    SOAK: "quantum.sim.run",
    STORAGE: "quantum.sim.run",
    MQTT: "quantum.sim.run",
    POWER: "quantum.sim.run",
    BEYOND: "quantum.sim.run",
    FAILOVER: "quantum.sim.raft_run",
}
HARNESS: Final = "HARNESS"
PATIENCE_S: Final = 300  # for one run; the longest profile takes a tenth
WAITING_PER_JOB: Final = 3  # runs handed to a child ahead of time


@final
@dataclass(slots=True)
class SweepPlan:
    """Which runs a sweep makes."""

    base: Scenario  # its seed is replaced
    first_seed: int
    last_seed: int
    shard: int = 1  # of `shards`, from 1
    shards: int = 1
    jobs: int = 1
    failures_max: int = 10
    double_per_mille: int = 0
    patience_s: int = PATIENCE_S

    def seeds(self) -> list[int]:
        """Of this shard: every n-th, so that each shard has the same mix."""
        return list(range(self.first_seed + self.shard - 1, self.last_seed + 1, self.shards))

    def is_double(self, seed: int) -> bool:
        """The seed is run twice; which ones are, does not depend on the range."""
        return Prng(seed).stream("double").below(1000) < self.double_per_mille


@final
@dataclass(slots=True)
class Mismatch:
    """A seed whose two runs were not the same run. Law REPLAY."""

    seed: int
    first: str  # digest
    second: str


@final
@dataclass(slots=True)
class SweepTotal:
    """What a sweep has found so far."""

    digests: dict[int, str] = field(default_factory=dict)
    failures: dict[int, Outcome] = field(default_factory=dict)  # by seed
    stats: dict[str, int] = field(default_factory=dict)
    samples: dict[str, list[int]] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)
    mismatches: list[Mismatch] = field(default_factory=list)
    double_count: int = 0
    hash_seeds: tuple[int, int] = (0, 0)  # of the first runs' interpreters and of the second runs'
    seconds: float = 0.0
    is_cut: bool = False  # failures_max reached: seeds are left

    @property
    def count(self) -> int:
        """Seeds that ran."""
        return len(self.digests)

    def add(self, seed: int, outcome: Outcome) -> None:
        """Count one run."""
        self.digests[seed] = outcome.digest
        if outcome.law:
            self.failures[seed] = outcome
        for name, value in outcome.stats.items():
            self.stats[name] = self.stats.get(name, 0) + value
        for name, values in outcome.samples.items():
            self.samples.setdefault(name, []).extend(values)
        self.coverage.add(outcome.marks)

    def seeds_per_minute(self) -> int:
        """By all processes together."""
        return int(self.count * 60 / self.seconds) if self.seconds else 0

    def events_per_second(self) -> int:
        """By all processes together."""
        return int(self.stats.get("events", 0) / self.seconds) if self.seconds else 0


def runner_of(profile: str) -> Runner:
    """The function that makes runs of a profile."""
    return import_runner(RUNNERS[profile])


def run_guarded(runner: str, scenario: Scenario, patience_s: int) -> Outcome:
    """One run in this process, whatever comes of it; `runner` is the name of a module."""
    run = import_runner(runner)
    old_handler = signal.signal(signal.SIGALRM, _on_alarm)
    signal.alarm(patience_s)
    gc.disable()
    try:
        return run(scenario, None)
    except _OutOfPatience:
        return _broken("a run ends", f"it was still running after {patience_s} s")
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{frame.filename.rpartition('/')[2]} line {frame.lineno}"
        return _broken("a run ends with an outcome", f"{type(error).__name__} in {where}: {error}")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old_handler)
        gc.enable()
        gc.collect()


def sweep(plan: SweepPlan, on_progress: Callable[[SweepTotal, int, Outcome], None]) -> SweepTotal:
    """Run a shard's seeds, then the doubled ones once more elsewhere; stops early after `failures_max` failures."""
    drawn = os.urandom(8)  # A pinned hash seed would hide what depends on it.
    total = SweepTotal(hash_seeds=(int.from_bytes(drawn[:4], "big"), int.from_bytes(drawn[4:], "big")))
    started = time.monotonic()
    seeds = plan.seeds()
    runner = RUNNERS[plan.base.profile]
    with Replayer(runner, plan.jobs, plan.patience_s, total.hash_seeds[0]) as replayer:
        scenarios = (copy_scenario(plan.base, seed=seed) for seed in seeds)
        for at, outcome in replayer.replay(scenarios):
            total.add(seeds[at], outcome)
            total.seconds = time.monotonic() - started
            on_progress(total, seeds[at], outcome)
            if len(total.failures) >= plan.failures_max:
                total.is_cut = total.count < len(seeds)
                break
    # In the opposite order, under another hash seed, in processes that have seen no other run: what leaks from one run
    # into the next, or from the interpreter into a run, changes a digest.
    again = [seed for seed in reversed(seeds) if seed in total.digests and plan.is_double(seed)]
    if again:
        with Replayer(runner, max(plan.jobs, 2), plan.patience_s, total.hash_seeds[1]) as replayer:
            scenarios = (copy_scenario(plan.base, seed=seed) for seed in again)
            for at, outcome in replayer.replay(scenarios):
                seed = again[at]
                total.double_count += 1
                if total.digests[seed] != outcome.digest:
                    total.mismatches.append(Mismatch(seed, total.digests[seed], outcome.digest))
    total.mismatches.sort(key=lambda mismatch: mismatch.seed)
    total.failures = {seed: total.failures[seed] for seed in sorted(total.failures)}
    return total


class _OutOfPatience(BaseException):
    """Not an Exception: a world turns those of its nodes into violations."""


def _on_alarm(_: int, frame: FrameType | None) -> None:
    raise _OutOfPatience


def _broken(holds: str, seen: str) -> Outcome:
    return Outcome(HARNESS, (holds, seen), "", {}, {})


def import_runner(module: str) -> Runner:
    """The function that makes runs, of a module."""
    run: Runner = importlib.import_module(module).run
    return run


def _begin_child(runner: str) -> None:
    # The parent alone decides when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _settle_memory(runner)


def _settle_memory(runner: str) -> None:
    """What is imported is no garbage: the collection behind each run need not look at it again."""
    import_runner(runner)
    gc.collect()
    gc.freeze()


@contextmanager
def _hash_seed(number: int | None) -> Iterator[None]:
    """For children begun inside. A pool starts them as work comes in; an interpreter inherits the hash seed it reads."""
    before = os.environ.get("PYTHONHASHSEED")
    if number is not None:
        os.environ["PYTHONHASHSEED"] = str(number)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PYTHONHASHSEED", None)
        else:
            os.environ["PYTHONHASHSEED"] = before


@contextmanager
def child_of(hash_seed: int, runner: str) -> Iterator[ProcessPoolExecutor]:
    """One fresh interpreter with a hash seed of its own, begun and ready."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin_child, (runner,)) as pool:
        with _hash_seed(hash_seed):
            pool.submit(os.getpid).result()
        yield pool


@final
class Replayer:
    """Makes runs, in this process or in children. A context manager: children end with it."""

    def __init__(self, runner: str, jobs: int, patience_s: int = PATIENCE_S, hash_seed: int | None = None) -> None:
        self.runner = runner
        self.jobs = jobs
        self._patience_s = patience_s
        self._hash_seed = hash_seed
        self._pool: ProcessPoolExecutor | None = None
        self._is_settled = False  # this process, for runs in it

    def __enter__(self) -> "Replayer":
        return self

    def __exit__(self, *_: object) -> None:
        self._end_pool()
        if self._is_settled:
            gc.unfreeze()

    def replay(self, scenarios: Iterable[Scenario]) -> Iterator[tuple[int, Outcome]]:
        """Positions and outcomes, in the order in which runs end. What is not asked for is not begun."""
        if self.jobs == 1:
            if not self._is_settled:
                self._is_settled = True
                _settle_memory(self.runner)
            for at, scenario in enumerate(scenarios):
                yield at, run_guarded(self.runner, scenario, self._patience_s)
            return
        waiting: deque[tuple[int, Scenario]] = deque()
        under_way: dict[Future[Outcome], tuple[int, Scenario]] = {}
        source = enumerate(scenarios)
        while True:
            while len(under_way) < self.jobs * WAITING_PER_JOB:
                item = waiting.popleft() if waiting else next(source, None)
                if item is None:
                    break
                try:
                    under_way[self._submit(item[1])] = item
                except BrokenProcessPool:
                    waiting.appendleft(item)  # A run under way ended a process; which one comes to light below.
                    break
            if not under_way:
                return
            done, _ = wait(under_way, return_when=FIRST_COMPLETED)
            first = next(future for future in under_way if future in done)
            at, scenario = under_way.pop(first)
            try:
                outcome = first.result()
            except BrokenProcessPool:
                # Whose run it was that ended the process is not known: all that were under way are made alone.
                waiting.extendleft([*under_way.values(), (at, scenario)])
                under_way.clear()
                self._end_pool()
                while waiting:
                    at, scenario = waiting.popleft()
                    yield at, self._alone(scenario)
                continue
            yield at, outcome

    def _submit(self, scenario: Scenario) -> Future[Outcome]:
        if self._pool is None:
            self._pool = self._new_pool(self.jobs)
        return self._hand_over(self._pool, scenario)

    def _alone(self, scenario: Scenario) -> Outcome:
        with self._new_pool(1) as pool:
            try:
                return self._hand_over(pool, scenario).result()
            except BrokenProcessPool:
                return _broken("a run ends with an outcome", "its process died")

    def _new_pool(self, jobs: int) -> ProcessPoolExecutor:
        """Fresh interpreters: nothing of the parent can leak into a run."""
        return ProcessPoolExecutor(
            jobs, multiprocessing.get_context("spawn"), initializer=_begin_child, initargs=(self.runner,)
        )

    def _hand_over(self, pool: ProcessPoolExecutor, scenario: Scenario) -> "Future[Outcome]":
        with _hash_seed(self._hash_seed):
            return pool.submit(run_guarded, self.runner, scenario, self._patience_s)

    def _end_pool(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None
