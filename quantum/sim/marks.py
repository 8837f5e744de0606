"""Marks: what must happen sometimes, so that a campaign that never meets it fails instead of looking clean.

A mark is counted per run, in the run's own object, and summed over a campaign. A name says room, thing and case:
"raft.snapshot.install-over-conflict". Shares of runs are asked for as well as sums, because ten elections in one seed
say nothing of the other thousand.
"""

import json
from dataclasses import dataclass
from typing import Any, Final, final

NAME_BYTES_MAX: Final = 120

# What more than one world marks; see also `crash_cell`.
LEADER_CHANGE: Final = "run.leader-change"  # a second leader was elected
SNAPSHOT_INSTALL: Final = "run.snapshot-install"  # a peer's snapshot replaced a log
UNSYNCED_LOSS: Final = "run.unsynced-loss"  # a power loss took bytes that were not synced
CRASH_KINDS: Final = ("kill", "power")
CRASH_ROLES: Final = ("leader", "follower", "pre-candidate", "candidate", "learner", "recovering")


def crash_cell(kind: str, role: str, effect: str) -> str:
    """The mark of one cell of the crash matrix: how a node ended, in which role, with which effect still to happen."""
    assert kind in CRASH_KINDS
    assert role in CRASH_ROLES
    return f"crash.{kind}.{role}.{effect}"


class MarksWrong(ValueError):
    """A table of thresholds says what nobody understands; the text is one line and names the key."""


@final
class Marks:
    """The counters of one run."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def sometimes(self, name: str) -> None:
        """This happened."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def sometimes_if(self, condition: bool, name: str) -> None:
        """This happened, if it did."""
        if condition:
            self.counts[name] = self.counts.get(name, 0) + 1


@final
@dataclass(slots=True)
class Threshold:
    """What a campaign must have met of one mark."""

    name: str
    count: int = 1  # over all runs
    per_mille: int = 0  # of the runs must have met it at least once


@final
class Coverage:
    """The marks of many runs."""

    __slots__ = ("counts", "run_count", "runs")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}  # how often, over all runs
        self.runs: dict[str, int] = {}  # in how many runs at least once
        self.run_count = 0

    def add(self, marks: dict[str, int]) -> None:
        """Count one run."""
        self.run_count += 1
        for name in sorted(marks):
            if marks[name]:
                self.counts[name] = self.counts.get(name, 0) + marks[name]
                self.runs[name] = self.runs.get(name, 0) + 1

    def missing(self, thresholds: list[Threshold]) -> list[str]:
        """One line for each threshold that was not reached."""
        lines: list[str] = []
        for threshold in thresholds:
            count = self.counts.get(threshold.name, 0)
            runs = self.runs.get(threshold.name, 0)
            if count < threshold.count:
                lines.append(f"{threshold.name}: met {count} times, required {threshold.count}")
            elif runs * 1000 < threshold.per_mille * self.run_count:
                lines.append(
                    f"{threshold.name}: met in {runs} of {self.run_count} runs, required {threshold.per_mille} per mille"
                )
        return lines


def crash_matrix(counts: dict[str, int]) -> list[str]:
    """The cells that were met, as a table for people: an effect a line, a role a column, killed/lost power in a cell."""
    effects = sorted({name.split(".", 3)[3] for name in counts if name.startswith("crash.")})
    if not effects:
        return []
    width = max(len(effect) for effect in effects)
    rows = [
        [[counts.get(crash_cell(kind, role, effect), 0) for kind in CRASH_KINDS] for role in CRASH_ROLES]
        for effect in effects
    ]
    cells = [count for row in rows for pair in row for count in pair]
    lines = [
        f"crash matrix: {sum(1 for count in cells if count)} of {len(cells)} cells, killed/lost power",
        "  " + " " * width + "".join(f"{role:>15}" for role in CRASH_ROLES),
    ]
    for effect, row in zip(effects, rows, strict=True):
        lines.append(f"  {effect:<{width}}" + "".join(f"{'/'.join(str(n or '-') for n in pair):>15}" for pair in row))
    return lines


def decode_thresholds(text: str) -> list[Threshold]:
    """A file of thresholds: {"mark": count} or {"mark": {"count": n, "per_mille": m}}. Raises: MarksWrong."""
    try:
        document = json.loads(text)
    except (json.JSONDecodeError, RecursionError):
        raise MarksWrong("not JSON") from None
    if not isinstance(document, dict):
        raise MarksWrong("not an object of marks")
    return [_threshold(name, value) for name, value in document.items()]


def _threshold(name: str, value: Any) -> Threshold:
    if not name or len(name) > NAME_BYTES_MAX:
        raise MarksWrong(f"mark of {len(name)} characters, allowed 1 to {NAME_BYTES_MAX}")
    if not isinstance(value, dict):
        return Threshold(name, count=_whole(value, name))
    for key in value:
        if key not in ("count", "per_mille"):
            raise MarksWrong(f"{name} has the key {json.dumps(key)}, allowed count, per_mille")
    return Threshold(
        name,
        count=_whole(value.get("count", 1), f"{name}.count"),
        per_mille=_whole(value.get("per_mille", 0), f"{name}.per_mille"),
    )


def _whole(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise MarksWrong(f"{where} is {json.dumps(value)[:60]}, allowed a whole number of 0 or more")
    return value
