"""Goal: each normative statement that binds a server is tested, or says why it cannot be; and the page says so truly.
Method: the manifest is filled from the marks of all tests, and compared with what lies in `fixtures/` and `docs/`."""

import subprocess
import sys

import pytest

from tests.conformance.differences import VERDICTS, read_differences
from tests.conformance.manifest import DUTIES, VERSIONS, Mark, collect_marks, faults, filled, missing, read_rows
from tests.conformance.page import texts
from tests.tidy.sources import ROOT


@pytest.fixture(scope="module")
def marks() -> list[Mark]:
    return collect_marks()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_statement_for_servers_has_a_test_or_a_reason(marks: list[Mark], version: str) -> None:
    assert [] == missing(filled(version, marks))


def test_marks_name_statements_of_a_version_that_the_test_runs_in(marks: list[Mark]) -> None:
    assert [] == faults(marks)


def test_a_mark_with_a_wrong_name_or_version_is_found() -> None:
    wrong = [Mark("MQTT-9.9.9-9", "t.py::a", None, False), Mark("311:MQTT-3.1.0-2", "t.py::b", 5, False)]
    assert [
        "t.py::a names MQTT-9.9.9-9, which is not there",
        "t.py::b names 311:MQTT-3.1.0-2, and never runs in that version",
    ] == faults(wrong)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pytest", "tests/conformance", "--co", "-q", "--broker", "nonsense"], "--broker nonsense, allowed HOST:PORT"),
        (["pytest", "tests/conformance", "--co", "-q", "--versions", "7"], "--versions 7, allowed 3 (MQTT 3.1), 4"),
        (["tests.conformance.manifest", "--wirte"], "`--write` fills the columns"),
    ],
)
def test_options_that_are_none_are_told_with_what_is_allowed(words: list[str], said: str) -> None:
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_a_test_that_is_known_to_fail_covers_nothing() -> None:
    rows = {row.id: row for row in filled("5.0", [Mark("MQTT-3.1.0-2", "t.py::a", 5, True)])}
    assert [] == rows["MQTT-3.1.0-2"].tests


def test_manifests_and_page_are_what_the_marks_say(marks: list[Mark]) -> None:
    stale = [path.relative_to(ROOT) for path, text in texts(marks).items() if path.read_text(encoding="utf-8") != text]
    assert [] == stale, "run python -m tests.conformance.manifest --write"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_reason_stands_only_where_no_test_does(version: str) -> None:
    rows = read_rows(version)
    assert [] == [row.id for row in rows if row.tests and row.reason]
    assert set(DUTIES) == {row.duty for row in rows}
    assert len(rows) == len({row.id for row in rows})


def test_every_difference_of_another_broker_is_judged() -> None:
    rows = read_differences()
    unjudged = [row.test for row in rows if row.verdict not in VERDICTS or not row.does or not row.why]
    assert [] == unjudged
    gone = [row.test for row in rows if not _is_there(*row.test.split("::"))]
    assert [] == gone


def _is_there(file: str, function: str) -> bool:
    path = ROOT / "tests" / file
    return path.exists() and f"def {function}(" in path.read_text(encoding="utf-8")
