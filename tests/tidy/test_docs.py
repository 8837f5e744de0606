"""Goal: the documents speak of what is there. Method: every path and make target they name is looked up."""

import re
from pathlib import Path

import pytest

from tests.tidy.sources import ROOT
from tests.tidy.test_imports import MAY_IMPORT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]+)\)")
PATH = re.compile(r"`((?:quantum|tests|docs|config|fixtures)/[\w/.-]*)`")
TARGET = re.compile(r"`make ([a-z]+)")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_paths_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    links = [link for link in LINK.findall(text) if "://" not in link]
    dead = [link for link in links if not (document.parent / link).exists()]
    dead += [path for path in PATH.findall(text) if not (ROOT / path).exists()]
    assert [] == dead


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_make_targets_exist(document: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set() == set(TARGET.findall(document.read_text(encoding="utf-8"))) - targets


def test_every_decision_is_short() -> None:
    long = [path.name for path in (ROOT / "docs" / "adr").glob("*.md") if path.read_text("utf-8").count("\n") > 40]
    assert [] == long


def test_architecture_names_every_room_of_the_table() -> None:
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    assert [] == [room for room in MAY_IMPORT if not room.startswith(".") and f"`{room}`" not in text]
