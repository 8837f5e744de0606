"""Goal: the oracles find what they are for, and nothing else. Method: histories written by hand; each is told twice, once
doctored, which its law must notice, and once as its good twin, which nobody may object to."""

import pytest

from tests.sim.doctored_deliveries import DELIVERIES
from tests.sim.doctored_flows import FLOWS
from tests.sim.doctored_sessions import SESSIONS
from tests.sim.good_histories import GOOD
from tests.sim.histories import laws

DOCTORED = {**DELIVERIES, **FLOWS, **SESSIONS}


@pytest.mark.parametrize("name", DOCTORED)
def test_doctored_history_is_flagged_by_its_law(name: str) -> None:
    law, script = DOCTORED[name]
    assert law in laws(script, is_doctored=True)


@pytest.mark.parametrize("name", DOCTORED)
def test_good_twin_is_not_flagged(name: str) -> None:
    assert [] == laws(DOCTORED[name][1], is_doctored=False)


@pytest.mark.parametrize("name", GOOD)
def test_history_that_only_looks_wrong_is_not_flagged(name: str) -> None:
    assert [] == laws(GOOD[name], is_doctored=False)


def test_there_are_enough_of_them() -> None:
    assert 80 <= len(DOCTORED)
    assert 25 <= len(GOOD)
    assert len(DELIVERIES) + len(FLOWS) + len(SESSIONS) == len(DOCTORED)
