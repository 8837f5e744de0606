"""`docs/conformance.md`: the manifest and the differences of other brokers, for people."""

from collections.abc import Iterable
from pathlib import Path

from tests.conformance.differences import VERDICTS, Difference, read_differences
from tests.conformance.manifest import CHAPTERS, FOLDER, ROOT, VERSIONS, Mark, Row, counts, csv_text, filled

DOCUMENT = ROOT / "docs" / "conformance.md"


def _table(header: list[str], rows: Iterable[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


def _proof(row: Row) -> str:
    """The tests of a row, grouped by file; or its reason."""
    by_file: dict[str, list[str]] = {}
    for test in row.tests:
        by_file.setdefault(test.partition("::")[0].removesuffix(".py"), []).append(_spoken(test))
    if by_file:
        return "; ".join(f"*{file}*: {', '.join(names)}" for file, names in by_file.items())
    return f"none: {row.reason}" if row.reason else "**missing**"


INTRODUCTION = """# Conformance

Each normative statement of OASIS MQTT 5.0 and 3.1.1, in our own words, with the tests that check it. This page is
written by `python -m tests.conformance.manifest --write` from `fixtures/statements/` and the marks of the tests; a test
fails when it is out of date, and when a statement that binds a server has neither a test nor a reason why none can be
written. The sentences of the standard itself are found by the same ids in its Appendix B. MQTT 3.1 has no numbered
statements; the tests run in it wherever it says the same as 3.1.1.

`make conformance` runs the suite. Most of its tests send packets made by hand over sockets, know nothing of
Quantum, and can be pointed at any broker:

```console
$ python -m pytest tests/conformance --broker 127.0.0.1:1883 --versions 4,5
```

`--versions` names the Protocol Levels that the broker speaks, of 3 (MQTT 3.1), 4 (3.1.1) and 5 (5.0), which most do
without 3; `--says-why` holds it to a Reason Code before it closes.

Rules that speak of time run on the virtual clock as well, to the millisecond: their tests lie in `tests/core/`.
"""


DIFFERENCES = """## The same suite against another broker

{broker}, with nothing set but where it listens and who may connect:

```
listener 21883 127.0.0.1
allow_anonymous true
```

`python -m pytest tests/conformance --broker 127.0.0.1:21883` ran all that can be asked of any broker, the slow tests
too. These tests fail. A verdict is by the text alone: *breaks the text* is against the statements named beside it,
*may* is where the text leaves it open and the suite holds a broker to more. The table is written by
`python -m tests.conformance.differences` from a report of pytest; what the broker does and the verdicts are written by
hand.
"""


def _differences(tables: dict[str, list[Row]]) -> list[str]:
    """A section for each other broker, with the statements that its failing tests name."""
    named: dict[str, list[str]] = {}
    for version, rows in tables.items():
        for row in rows:
            for test in row.tests:
                named.setdefault(test, []).append(row.id.removeprefix("MQTT-") + ("" if version == "5.0" else "*"))
    by_broker: dict[str, list[Difference]] = {}
    for difference in read_differences():
        by_broker.setdefault(difference.broker, []).append(difference)
    parts = []
    for broker, found in by_broker.items():
        parts.append(DIFFERENCES.format(broker=broker))
        parts.append(_table(["verdict", "tests"], _verdicts(found)))
        lines = [
            [
                f"*{row.test.partition('::')[0].removesuffix('.py')}*: {_spoken(row.test)}",
                row.failed,
                ", ".join(named.get(row.test, [])),
                row.does,
                row.verdict,
                row.why,
            ]
            for row in found
        ]
        parts.append(
            _table(["test", "runs that fail", "statements, * of 3.1.1", "what it does", "verdict", "why"], lines)
        )
    return parts


def _verdicts(found: list[Difference]) -> list[list[str]]:
    verdicts = [row.verdict for row in found]
    return [[verdict, str(verdicts.count(verdict))] for verdict in VERDICTS if verdict in verdicts]


def _spoken(test: str) -> str:
    """A test's name as words."""
    return test.partition("::")[2].removeprefix("test_").replace("_", " ")


def document(tables: dict[str, list[Row]]) -> str:
    """The page, whole."""
    parts = [INTRODUCTION]
    header = ["version", "duty", "statements", "covered", "reasoned", "missing"]
    parts.append(_table(header, ([version, *line] for version, rows in tables.items() for line in counts(rows))))
    for version, rows in tables.items():
        parts.append(f"## MQTT {version}\n")
        for chapter, title in CHAPTERS.items():
            lines = [
                [row.id.removeprefix("MQTT-"), row.duty, row.meaning, _proof(row)]
                for row in rows
                if row.chapter == chapter
            ]
            if lines:
                parts.append(f"### {chapter} {title}\n")
                parts.append(_table(["MQTT-", "duty", "meaning", "tests"], lines))
    parts += _differences(tables)
    return "\n".join(parts)


def texts(marks: list[Mark]) -> dict[Path, str]:
    """All that `--write` writes."""
    tables = {version: filled(version, marks) for version in VERSIONS}
    out = {FOLDER / VERSIONS[version][0]: csv_text(rows) for version, rows in tables.items()}
    out[DOCUMENT] = document(tables)
    return out
