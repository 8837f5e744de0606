"""Make a run that broke a law small: the fewest faults, clients, operations and nodes, at round times, with no quiet in
between, that still break the same law.

Delta debugging (Zeller, "Simplifying and isolating failure-inducing input", ddmin) over each list of a frozen scenario,
then simpler numbers, round after round until nothing gives way. It knows no world: a candidate is run, and its law is
what counts. The result is a function of the scenario and the runs, not of how many are made at once.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Final, TypeAlias, TypeVar, final

from quantum.sim.scenario import NUMBER_MAX, TIME_US_MAX, FaultEvent, Outcome, Scenario, copy_scenario, scenario_digest

Item = TypeVar("Item")
Replay: TypeAlias = Callable[[Iterable[Scenario]], Iterator[tuple[int, Outcome]]]

REPLAYS_MAX: Final = 800
ROUND_US: Final = (1_000_000, 100_000, 10_000, 1_000)
PARTS_COARSE: Final = 32  # of a long list, until everything else is small
EVENTS_ENOUGH: Final = 15  # a person reads them at a glance
OTHER_SEEDS: Final = 24


@final
@dataclass(slots=True)
class Shrunk:
    """What shrinking came to."""

    scenario: Scenario
    outcome: Outcome
    replay_count: int
    is_minimal: bool  # nothing more could be taken out; False: replays ran out
    steps: list[str] = field(default_factory=list)


def size_of(scenario: Scenario, outcome: Outcome) -> int:
    """Events of a schedule: its faults, and the operations its clients begin."""
    return len(scenario.faults or []) + len(_ops_kept(scenario, outcome))


def shrink(
    scenario: Scenario,
    outcome: Outcome,
    replay: Replay,
    jobs: int = 1,
    replays_max: int = REPLAYS_MAX,
    on_step: Callable[[str], None] = lambda text: None,
) -> Shrunk:
    """The smallest scenario found that breaks the law that `scenario` broke in `outcome`."""
    assert outcome.law
    return _Shrinker(scenario, outcome, replay, jobs, replays_max, on_step).run()


@final
class _Shrinker:
    __slots__ = (
        "_cache",
        "_counted",
        "_is_spent",
        "_jobs",
        "_on_step",
        "_parts_max",
        "_replay",
        "_replays_max",
        "law",
        "outcome",
        "replay_count",
        "scenario",
        "steps",
    )

    def __init__(
        self,
        scenario: Scenario,
        outcome: Outcome,
        replay: Replay,
        jobs: int,
        replays_max: int,
        on_step: Callable[[str], None],
    ) -> None:
        self.scenario = scenario
        self.outcome = outcome
        self.law = outcome.law
        self.replay_count = 0
        self.steps: list[str] = []
        self._replay = replay
        self._jobs = jobs
        self._replays_max = replays_max
        self._on_step = on_step
        self._is_spent = False
        self._parts_max = PARTS_COARSE
        self._cache: dict[str, Outcome] = {}
        self._counted: dict[str, None] = {}

    def run(self) -> Shrunk:
        """All passes, until a whole round changes nothing."""
        if self.outcome.frozen is not None and not self._try(self.outcome.frozen, "frozen"):
            self._note("its schedule alone does not break the law again: shrunk without one")
        while not self._is_spent:
            before = scenario_digest(self.scenario)
            self._earlier_by_another_seed()
            self._cut_what_comes_after()
            self._fewer_faults()
            self._fewer_clients()
            self._fewer_ops()
            self._fewer_nodes()
            self._fewer_classes()
            self._simpler_faults()
            self._less_quiet()
            if before == scenario_digest(self.scenario):
                if self._parts_max > PARTS_COARSE:
                    break
                self._parts_max = TIME_US_MAX
        return Shrunk(self.scenario, self.outcome, self.replay_count, not self._is_spent, self.steps)

    def _earlier_by_another_seed(self) -> None:
        """What broke the law by a rare draw may break it soon, and by less, with the same schedule and other draws."""
        if size_of(self.scenario, self.outcome) <= EVENTS_ENOUGH or self.scenario.faults is None:
            return
        seeds = [(self.scenario.seed + step) % NUMBER_MAX for step in range(1, OTHER_SEEDS + 1)]
        # By a quarter at least: so this comes to an end.
        bound_us = self.outcome.at_us * 3 // 4
        others = [copy_scenario(self.scenario, seed=seed) for seed in seeds]
        self._first(others, "another seed", lambda outcome: outcome.at_us < bound_us)

    # -- passes ---------------------------------------------------------------------------------------------------------

    def _cut_what_comes_after(self) -> None:
        """A run stops at its first violation: faults due later never came."""
        faults = self.scenario.faults
        if faults is not None:
            kept = [fault for fault in faults if fault.at_us <= self.outcome.at_us]
            self._try(copy_scenario(self.scenario, faults=kept), "later faults")
        duration_ms = self.outcome.at_us // 1000 + 1
        if self.scenario.duration_ms is not None and duration_ms < self.scenario.duration_ms:
            self._try(copy_scenario(self.scenario, duration_ms=duration_ms), "later time")

    def _fewer_faults(self) -> None:
        if self.scenario.faults:
            self._reduce("faults", self.scenario.faults, lambda kept: copy_scenario(self.scenario, faults=kept))

    def _fewer_clients(self) -> None:
        count = len(self.outcome.op_counts)
        off = dict.fromkeys(self.scenario.clients_off)
        self._reduce(
            "clients",
            [number for number in range(count) if number not in off],
            lambda kept: copy_scenario(
                self.scenario, clients_off=tuple(number for number in range(count) if number not in kept)
            ),
        )

    def _fewer_ops(self) -> None:
        self._reduce(
            "operations",
            _ops_kept(self.scenario, self.outcome),
            lambda kept: copy_scenario(self.scenario, ops_off=_ops_off(kept, len(self.outcome.op_counts))),
        )

    def _fewer_nodes(self) -> None:
        count = self.scenario.node_count
        if count is not None:
            self._first([copy_scenario(self.scenario, node_count=fewer) for fewer in range(1, count)], "nodes")

    def _fewer_classes(self) -> None:
        """What a world does to itself all the time: loss, jitter, slow disks."""
        off = self.scenario.off
        is_on = [name for name in self.outcome.classes if name not in off]
        self._reduce(
            "fault classes",
            is_on,
            lambda kept: copy_scenario(self.scenario, off=(*off, *[name for name in is_on if name not in kept])),
        )

    def _simpler_faults(self) -> None:
        """Round times, no durations, fewer nodes, arguments of 0: all faults at once, then one by one."""
        for unit_us in ROUND_US:
            faults = [_rounded(fault, unit_us) for fault in self.scenario.faults or []]
            if self._try(copy_scenario(self.scenario, faults=faults), "round times"):
                break
        for at in range(len(self.scenario.faults or [])):
            for unit_us in ROUND_US:
                if self._change(at, _rounded(self._fault(at), unit_us), "round time"):
                    break
            if not self._change(at, replace(self._fault(at), duration_us=0), "no duration"):
                while self._change(
                    at, replace(self._fault(at), duration_us=self._fault(at).duration_us // 2), "shorter"
                ):
                    pass
            for node in self._fault(at).nodes:
                rest = tuple(other for other in self._fault(at).nodes if other != node)
                self._change(at, replace(self._fault(at), nodes=rest), "fewer nodes in a fault")
            for name in list(self._fault(at).args):
                args = {**self._fault(at).args, name: 0}
                self._change(at, replace(self._fault(at), args=args), "argument 0")

    def _less_quiet(self) -> None:
        """Bring each fault, and all that come after it, nearer to the one before."""
        for at in range(len(self.scenario.faults or [])):
            while self._fault(at).at_us > (before_us := self._fault(at - 1).at_us if at else 0):
                gap_us = self._fault(at).at_us - before_us
                faults = self.scenario.faults or []
                nearer = [
                    copy_scenario(
                        self.scenario,
                        faults=[
                            replace(fault, at_us=fault.at_us - shift_us if number >= at else fault.at_us)
                            for number, fault in enumerate(faults)
                        ],
                    )
                    for shift_us in (gap_us, gap_us // 2)
                ]
                if not self._first(nearer, "less quiet"):
                    break
        while self.scenario.duration_ms and self._try(
            copy_scenario(self.scenario, duration_ms=self.scenario.duration_ms // 2), "shorter run"
        ):
            pass

    # -- how ------------------------------------------------------------------------------------------------------------

    def _fault(self, at: int) -> FaultEvent:
        faults = self.scenario.faults
        assert faults is not None
        return faults[at]

    def _change(self, at: int, fault: FaultEvent, what: str) -> bool:
        faults = list(self.scenario.faults or [])
        faults[at] = fault
        return self._try(copy_scenario(self.scenario, faults=faults), what)

    def _reduce(self, what: str, items: list[Item], build: Callable[[list[Item]], Scenario]) -> None:
        """ddmin: a list of which no single item can be left out any more."""
        if not items or self._try(build([]), f"no {what}"):
            return
        parts = 2
        while len(items) > 1 and not self._is_spent:
            parts = min(parts, len(items), self._parts_max)
            bounds = [len(items) * part // parts for part in range(parts + 1)]
            rests = [items[:low] + items[high:] for low, high in pairwise(bounds)]
            chosen = self._first([build(rest) for rest in rests], f"fewer {what}")
            if chosen:
                items = rests[chosen - 1]
                parts = max(parts - 1, 2)
            elif parts in (len(items), self._parts_max):
                return
            else:
                parts *= 2

    def _try(self, candidate: Scenario, what: str) -> bool:
        return self._first([candidate], what) > 0

    def _first(
        self, candidates: list[Scenario], what: str, is_wanted: Callable[[Outcome], bool] = lambda outcome: True
    ) -> int:
        """Take the first candidate that breaks the same law. Returns its number from 1, or 0."""
        present = scenario_digest(self.scenario)
        for begin in range(0, len(candidates), self._jobs):
            if self._is_spent:
                return 0
            window = candidates[begin : begin + self._jobs]
            digests = [scenario_digest(candidate) for candidate in window]
            self._run_unknown(window, digests)
            for at, digest in enumerate(digests):
                if digest not in self._counted:
                    if self.replay_count == self._replays_max:
                        self._is_spent = True
                        return 0
                    # Counted when it is looked at, not when it is made: runs made ahead of time change no result.
                    self._counted[digest] = None
                    self.replay_count += 1
                outcome = self._cache[digest]
                if outcome.law == self.law and digest != present and is_wanted(outcome):
                    self.scenario, self.outcome = window[at], outcome
                    self._note(f"{what}: {size_of(self.scenario, outcome)} events")
                    return begin + at + 1
        return 0

    def _run_unknown(self, window: list[Scenario], digests: list[str]) -> None:
        fresh = {
            digest: candidate for digest, candidate in zip(digests, window, strict=True) if digest not in self._cache
        }
        names = list(fresh)
        for at, outcome in self._replay([fresh[name] for name in names]):
            self._cache[names[at]] = outcome

    def _note(self, text: str) -> None:
        self.steps.append(text)
        self._on_step(f"{text} ({self.replay_count} replays)")


def _rounded(fault: FaultEvent, unit_us: int) -> FaultEvent:
    """Down, both: every step makes a scenario smaller, so shrinking ends."""
    return replace(
        fault,
        at_us=fault.at_us - fault.at_us % unit_us,
        duration_us=fault.duration_us - fault.duration_us % unit_us,
    )


def _ops_kept(scenario: Scenario, outcome: Outcome) -> list[tuple[int, int]]:
    """(client, operation), in order, of what was drawn and not left out."""
    off = dict.fromkeys(scenario.clients_off)
    return [
        (client, op)
        for client, count in enumerate(outcome.op_counts)
        if client not in off
        for op in range(count)
        if not scenario.is_op_off(client, op)
    ]


def _ops_off(kept: list[tuple[int, int]], client_count: int) -> tuple[tuple[int, int, int], ...]:
    """All others, also those that come after the last: what is left out must not make room for more."""
    ranges: list[tuple[int, int, int]] = []
    for client in range(client_count):
        begin = 0
        for op in [op for number, op in kept if number == client]:
            if op > begin:
                ranges.append((client, begin, op - 1))
            begin = op + 1
        ranges.append((client, begin, TIME_US_MAX))
    return tuple(ranges)
