"""Goal: the specification names every law that a simulated run can break, and every checker that it names is there.
Method: the table's rows against the sources of the simulator and of the tests, read and not run."""

import ast
import re

import pytest

from tests.tidy.sources import ROOT

TEXT = (ROOT / "docs" / "specification.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| ([RWML]\d+) \|(.*)\|$", re.MULTILINE)
LAW = re.compile(r"[RWML]\d{1,2}")
ROWS = {law: cells.split("|")[-1].strip() for law, cells in ROW.findall(TEXT)}
LAWS = [
    f"{family}{number}"
    for family, count in (("R", 19), ("W", 14), ("M", 20), ("L", 10))
    for number in range(1, count + 1)
]
OPEN = "not checked"


def test_every_law_has_one_row_in_order() -> None:
    assert LAWS == [law for law, _ in ROW.findall(TEXT)]


def test_every_row_has_a_checker_or_says_that_it_has_none() -> None:
    vague = [law for law, checkers in ROWS.items() if not re.search(r"`[\w./:]+`", checkers) and checkers != OPEN]
    assert [] == vague


def test_every_checker_is_there() -> None:
    missing = []
    for law, checkers in ROWS.items():
        for name in re.findall(r"`([^`]+)`", checkers):
            path, separator, function = name.partition("::")
            if separator:
                found = (ROOT / path).exists() and f"def {function}(" in (ROOT / path).read_text(encoding="utf-8")
            else:
                module, _, attribute = name.partition(".")
                found = attribute in defined_in(module)
            if not found:
                missing.append(f"{law}: {name}")
    assert [] == missing


def test_every_law_that_a_run_can_break_has_a_checker_named() -> None:
    broken: dict[str, str] = {}
    for path in sorted((ROOT / "quantum" / "sim").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and LAW.fullmatch(node.value):
                broken[node.value] = path.name
    assert {} == {law: name for law, name in broken.items() if ROWS.get(law, OPEN) == OPEN}
    assert len(broken) > 30


def test_every_verdict_of_a_run_is_explained() -> None:
    verdicts: dict[str, str] = {}
    for path in sorted((ROOT / "quantum" / "sim").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("violate", "broken"):
                for part in ast.walk(node.args[0]) if node.args else ():
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        verdicts[part.value] = path.name
    named = re.compile("|".join(re.escape(f"| {name} |") for name in [*verdicts, "HARNESS"]))
    explained = {found.strip("| ") for found in named.findall(TEXT)}
    assert {} == {name: path for name, path in verdicts.items() if name not in explained and "MQTT-" not in name}
    assert {"MODEL", "HARNESS"} <= explained


def test_every_checker_in_prose_and_promises_is_there() -> None:
    names = re.findall(r"`([a-z_]+)\.(\w+)`", TEXT)
    assert [] == [f"{module}.{name}" for module, name in names if name != "py" and name not in defined_in(module)]
    assert len(names) > 30


@pytest.mark.parametrize("name", ["ACK", "SUBACK", "FENCE", "ORDER", "ONCE", "CONSERVE", "CAUSE", "TENANT", "REPLAY"])
def test_promises_to_users_are_there(name: str) -> None:
    assert re.search(rf"^\| \d+ \| {name} \|", TEXT, re.MULTILINE)


def defined_in(module: str) -> set[str]:
    """Top-level classes and functions of a module of the simulator."""
    path = ROOT / "quantum" / "sim" / f"{module}.py"
    if not path.exists():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
