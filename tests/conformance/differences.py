"""Where another broker answers otherwise than the suite expects, and who is right by the text.

`pytest tests/conformance --broker HOST:PORT --junit-xml REPORT`, then `python -m tests.conformance.differences REPORT NAME`
writes which tests fail to `fixtures/statements/differences.csv`. What the broker does, who is right and why is written
there by hand, and kept as long as the test fails. `docs/conformance.md` has the table.
"""

import csv
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from xml.etree import ElementTree

FILE = Path(__file__).parents[2] / "fixtures" / "statements" / "differences.csv"
VERDICTS = (
    "breaks the text",  # it does what a statement forbids, or leaves out what one demands
    "may",  # the text leaves it open, and the suite holds a broker to more than that
)


@dataclass
class Difference:
    """One test function that fails against a broker."""

    broker: str
    test: str  # `file::function`, the file below `tests/`
    failed: str  # how many of its runs, such as `4 of 12`
    does: str = ""
    verdict: str = ""
    why: str = ""


def read_differences() -> list[Difference]:
    """All there are."""
    with FILE.open(encoding="utf-8", newline="") as file:
        return [Difference(**row) for row in csv.DictReader(file)]


def write_differences(rows: list[Difference]) -> None:
    """In the order of brokers and tests."""
    with FILE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(field.name for field in fields(Difference))
        writer.writerows(list(vars_of(row)) for row in sorted(rows, key=lambda row: (row.broker, row.test)))


def vars_of(row: Difference) -> tuple[str, ...]:
    """The cells of a row."""
    return row.broker, row.test, row.failed, row.does, row.verdict, row.why


def failures(report: Path) -> dict[str, tuple[int, int]]:
    """Test function -> runs that failed, runs. A run whose bystander was harmed has failed, one that was skipped is none."""
    runs: dict[str, set[str]] = {}
    failed: dict[str, set[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("skipped") is not None:
            continue
        name = case.get("name", "")
        test = "/".join(case.get("classname", "").split(".")[1:]) + ".py::" + name.partition("[")[0]
        runs.setdefault(test, set()).add(name)
        if case.find("failure") is not None or case.find("error") is not None:
            failed.setdefault(test, set()).add(name)
    return {test: (len(names), len(runs[test])) for test, names in failed.items()}


def main(words: list[str]) -> int:
    """The command. Exits with 1 while a difference is not judged."""
    report, broker = words
    known = {row.test: row for row in read_differences() if row.broker == broker} if FILE.exists() else {}
    others = [row for row in read_differences() if row.broker != broker] if FILE.exists() else []
    rows = []
    for test, (failed, runs) in failures(Path(report)).items():
        row = known.get(test) or Difference(broker, test, "")
        row.failed = f"{failed} of {runs}"
        rows.append(row)
    write_differences([*others, *rows])
    unjudged = [row.test for row in rows if row.verdict not in VERDICTS]
    print("\n".join([f"{len(rows)} tests differ", *[f"not judged: {test}" for test in unjudged]]))
    return 1 if unjudged else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
