"""Goal: every file is at home, small, named by a noun and finished. Method: file names, lengths, docstrings and marks
of unfinished work, read from the sources."""

import ast
import re

import pytest

from tests.tidy.sources import ROOT, Source, everything, product

FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70
NAMELESS = frozenset({"utils", "util", "helpers", "helper", "common", "base", "types", "misc", "manager", "context"})
CLASSES_THAT_KNOW_EVERYTHING = frozenset({"Broker", "Manager", "Context", "Service", "Engine"})
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
LEFT_OUT = re.compile(r"raise NotImplementedError|pass\s*#\s*(later|stub)")


@pytest.mark.parametrize("source", everything(), ids=lambda source: source.path)
def test_files_are_short(source: Source) -> None:
    lines = source.text.count("\n")
    assert lines <= FILE_LINES_MAX, f"{source.path} has {lines} lines: a noun inside it wants to move out"


@pytest.mark.parametrize("source", everything(), ids=lambda source: source.path)
def test_functions_are_short(source: Source) -> None:
    long = [
        f"{source.at(node)} {node.name} has {node.end_lineno - node.lineno + 1} lines"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert [] == long


@pytest.mark.parametrize("source", everything(), ids=lambda source: source.path)
def test_files_are_named_by_a_noun(source: Source) -> None:
    words = set(source.module.split("."))
    assert set() == words & NAMELESS, f"{source.path}: name the noun"


@pytest.mark.parametrize("source", product(), ids=lambda source: source.path)
def test_no_class_knows_everything(source: Source) -> None:
    names = {node.name for node in ast.walk(source.tree) if isinstance(node, ast.ClassDef)}
    assert set() == names & CLASSES_THAT_KNOW_EVERYTHING


@pytest.mark.parametrize("source", product(), ids=lambda source: source.path)
def test_nothing_is_left_for_another_day(source: Source) -> None:
    found = [
        f"{source.path}:{number} {line.strip()}"
        for number, line in enumerate(source.text.splitlines(), 1)
        if UNFINISHED.search(line) or LEFT_OUT.search(line)
    ]
    assert [] == found


@pytest.mark.parametrize("source", product(), ids=lambda source: source.path)
def test_modules_and_public_classes_say_their_rule(source: Source) -> None:
    silent = []
    if source.tree.body and not ast.get_docstring(source.tree):
        silent.append(f"{source.path} has no docstring")
    silent += [
        f"{source.at(node)} class {node.name} has no docstring"
        for node in source.tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert [] == silent


def test_nothing_committed_names_a_registry() -> None:
    pattern = re.compile(r"index-url|pythonhosted|https?://[^\s\"']*(pypi|simple/|npmjs|crates\.io)")
    files = [ROOT / name for name in ("pyproject.toml", "constraints.txt", "Makefile", ".ci/run", "setup.py")]
    assert [] == [str(file) for file in files if pattern.search(file.read_text(encoding="utf-8"))]


def test_constraints_pin_one_version_each() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert [] == [line for line in lines if not re.fullmatch(r"[A-Za-z0-9_.\-]+==[0-9][0-9A-Za-z.]*( ; .*)?", line)]
