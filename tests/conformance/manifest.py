"""The manifest: each normative statement of MQTT 5.0 and 3.1.1, whose duty it is, and what tests it or why nothing can.

`python -m tests.conformance.manifest` prints how many are covered, reasoned and missing. `--write` fills the columns
`tests` of `fixtures/statements/*.csv` from the marks of the tests, and writes `docs/conformance.md`. The columns `duty`,
`meaning` and `reason` are written by hand.
"""

import csv
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "fixtures" / "statements"
COLUMNS = ["id", "duty", "meaning", "tests", "reason"]
DUTIES = ("server", "both", "client")
# Version as people say it -> its manifest, the prefix of its ids in marks, its Protocol Level
VERSIONS = {"5.0": ("mqtt5.csv", "", 5), "3.1.1": ("mqtt311.csv", "311:", 4)}
CHAPTERS = {
    "1": "Introduction",
    "2": "Control Packet format",
    "3.1": "CONNECT",
    "3.2": "CONNACK",
    "3.3": "PUBLISH",
    "3.4": "PUBACK",
    "3.5": "PUBREC",
    "3.6": "PUBREL",
    "3.7": "PUBCOMP",
    "3.8": "SUBSCRIBE",
    "3.9": "SUBACK",
    "3.10": "UNSUBSCRIBE",
    "3.11": "UNSUBACK",
    "3.12": "PINGREQ",
    "3.14": "DISCONNECT",
    "3.15": "AUTH",
    "4": "Operational behaviour",
    "6": "WebSocket",
    "7": "Conformance",
}


@dataclass
class Row:
    """One statement. `tests` are `file::function`, the file below `tests/`."""

    id: str
    duty: str
    meaning: str
    tests: list[str] = field(default_factory=list)
    reason: str = ""

    @property
    def state(self) -> str:
        """covered, reasoned or missing."""
        return "covered" if self.tests else "reasoned" if self.reason else "missing"

    @property
    def chapter(self) -> str:
        """The key of CHAPTERS it stands under."""
        # One id of 3.1.1 is misspelled in the text itself, and so here: MQTT-3-8.3-4.
        parts = self.id.removeprefix("MQTT-").replace("3-8.", "3.8.").split("-")[0].split(".")
        return ".".join(parts[:2]) if parts[0] == "3" else parts[0]


@dataclass
class Mark:
    """One run of a test that names a statement. `level` is its parameter `version`, None where it has none."""

    statement: str
    test: str
    level: int | None
    xfail: bool

    @property
    def is_right_version(self) -> bool:
        """Whether the run is of the version that the statement is of."""
        return self.level is None or self.level == (4 if self.statement.startswith("311:") else 5)


# -- files -----------------------------------------------------------------------------------------------------------


def read_rows(version: str) -> list[Row]:
    """The manifest of a version as it lies there."""
    with (FOLDER / VERSIONS[version][0]).open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        assert reader.fieldnames == COLUMNS
        return [Row(row["id"], row["duty"], row["meaning"], row["tests"].split(), row["reason"]) for row in reader]


def filled(version: str, marks: Iterable[Mark]) -> list[Row]:
    """The manifest of a version with the tests that there are. A test that is known to fail covers nothing."""
    prefix = VERSIONS[version][1]
    tests: dict[str, set[str]] = {}
    for mark in marks:
        if mark.is_right_version and not mark.xfail:
            tests.setdefault(mark.statement, set()).add(mark.test)
    rows = read_rows(version)
    for row in rows:
        row.tests = sorted(tests.get(prefix + row.id, ()))
    return rows


def csv_text(rows: list[Row]) -> str:
    """A manifest as its file has it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([row.id, row.duty, row.meaning, " ".join(row.tests), row.reason] for row in rows)
    return out.getvalue()


# -- marks -----------------------------------------------------------------------------------------------------------


class _Collector:
    """A plugin of pytest that keeps what the collected tests name."""

    def __init__(self) -> None:
        self.marks: list[Mark] = []

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            assert isinstance(item, pytest.Function)
            test = f"{item.path.relative_to(ROOT / 'tests').as_posix()}::{item.originalname}"
            callspec = getattr(item, "callspec", None)
            level = callspec.params.get("version") if callspec is not None else None
            xfail = item.get_closest_marker("xfail") is not None
            for mark in item.iter_markers("statement"):
                self.marks += [Mark(name, test, level if isinstance(level, int) else None, xfail) for name in mark.args]


def _collect_here(into: str) -> int:
    """Collect in this process, and write the marks as JSON."""
    files = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if "statement(" in path.read_text("utf-8")]
    collector = _Collector()
    words = ["--collect-only", "-qq", "-p", "no:cacheprovider", "-p", "no:xdist", *map(str, files)]
    code = pytest.main(words, plugins=[collector])
    Path(into).write_text(json.dumps([vars(mark) for mark in collector.marks]), encoding="utf-8")
    return int(code)


def collect_marks() -> list[Mark]:
    """What the tests name, from all files below `tests/`; by a process of its own, since pytest may run here."""
    with tempfile.TemporaryDirectory() as folder:
        into = Path(folder) / "marks.json"
        command = [sys.executable, "-m", "tests.conformance.manifest", "--collect", str(into)]
        done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"tests could not be collected:\n{done.stdout[-3000:]}{done.stderr[-3000:]}"
        return [Mark(**row) for row in json.loads(into.read_text(encoding="utf-8"))]


def faults(marks: list[Mark]) -> list[str]:
    """Marks that name no statement, or one of a version that none of the test's runs is of."""
    known = {f"{prefix}{row.id}" for name, (_, prefix, _) in VERSIONS.items() for row in read_rows(name)}
    out = [f"{mark.test} names {mark.statement}, which is not there" for mark in marks if mark.statement not in known]
    right = {(mark.test, mark.statement) for mark in marks if mark.is_right_version}
    pairs = {(mark.test, mark.statement) for mark in marks if mark.statement in known}
    out += [f"{test} names {statement}, and never runs in that version" for test, statement in pairs - right]
    return sorted(set(out))


def missing(rows: list[Row]) -> list[str]:
    """Statements that bind a server and have neither a test nor a reason."""
    return [row.id for row in rows if row.duty != "client" and row.state == "missing"]


# -- output ----------------------------------------------------------------------------------------------------------


def counts(rows: list[Row]) -> list[list[str]]:
    """For each duty and for all: covered, reasoned, missing."""
    out = []
    for duty in (*DUTIES, "all"):
        states = [row.state for row in rows if duty in (row.duty, "all")]
        out.append(
            [duty, str(len(states)), *(str(states.count(state)) for state in ("covered", "reasoned", "missing"))]
        )
    return out


def summary(tables: dict[str, list[Row]]) -> str:
    """The counts for a terminal."""
    lines = [f"{'version':8}{'duty':8}{'total':>7}{'covered':>9}{'reasoned':>10}{'missing':>9}"]
    for version, rows in tables.items():
        for duty, total, covered, reasoned, absent in counts(rows):
            lines.append(f"{version:8}{duty:8}{total:>7}{covered:>9}{reasoned:>10}{absent:>9}")
    return "\n".join(lines)


def main(words: list[str]) -> int:
    """The command. Exits with 1 where a mark is faulty or a server's statement is missing."""
    if words[:1] == ["--collect"]:
        return _collect_here(words[1])
    if words not in ([], ["--write"]):
        print(__doc__)
        return 0 if words in (["--help"], ["-h"]) else 2
    from tests.conformance.page import texts

    marks = collect_marks()
    if words == ["--write"]:
        for path, text in texts(marks).items():
            path.write_text(text, encoding="utf-8")
    tables = {version: filled(version, marks) for version in VERSIONS}
    wrong = faults(marks)
    print("\n".join([summary(tables), *wrong]))
    absent = {version: missing(rows) for version, rows in tables.items()}
    for version, ids in absent.items():
        if ids:
            print(f"missing of {version}: {' '.join(ids)}")
    return 1 if wrong or any(absent.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
