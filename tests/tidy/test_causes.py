"""Goal: every outcome that a client or an operator can see has one cause, and every cause has a site (law CAUSE).
Method: the table of causes against the names that the sources of core and io use."""

import ast
import re

import pytest

from quantum.core import causes
from quantum.core.causes import ALL_CAUSES, Cause
from tests.tidy.sources import product

NAMES: dict[str, Cause] = {name: value for name, value in vars(causes).items() if isinstance(value, Cause)}


def used_names() -> set[str]:
    """Every identifier that core and io read, outside the table itself."""
    used: set[str] = set()
    for source in product():
        if source.path == "quantum/core/causes.py" or not source.path.startswith(("quantum/core/", "quantum/io/")):
            continue
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Name):
                used.add(node.id)
            elif isinstance(node, ast.Attribute):
                used.add(node.attr)
    return used


USED = used_names()


@pytest.mark.parametrize("name", NAMES)
def test_cause_has_a_site(name: str) -> None:
    assert name in USED, f"{name} is in the table, but nothing in quantum/core or quantum/io gives it"


def test_numbers_and_ids_are_unique() -> None:
    assert len(ALL_CAUSES) == len({cause.number for cause in ALL_CAUSES})
    assert len(ALL_CAUSES) == len({cause.id for cause in ALL_CAUSES})


def test_numbers_ascend_so_that_new_ones_are_appended_to_their_part() -> None:
    numbers = [cause.number for cause in ALL_CAUSES]
    assert sorted(numbers) == numbers


@pytest.mark.parametrize("name", NAMES)
def test_cause_is_told_as_people_and_machines_need_it(name: str) -> None:
    cause = NAMES[name]
    assert name.lower() == cause.id
    assert re.fullmatch(r"[a-z0-9_]{3,40}", cause.id)
    assert 0 <= cause.reason_code <= 0xFF
    assert 1 <= cause.number <= 0xFFFF
    assert cause.text
    assert not cause.text.endswith(".")
