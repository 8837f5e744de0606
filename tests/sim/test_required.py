"""Goal: every campaign is asked for the cases its profile is there for, and only for what its size can prove. Method: the
table itself."""

import pytest

from quantum.sim.marks import Coverage
from quantum.sim.required import MET_MIN, cases_of, required_of
from quantum.sim.scenario import PROFILES, STANDARD


@pytest.mark.parametrize("profile", PROFILES)
def test_cases_are_named_once_and_are_shares(profile: str) -> None:
    cases = cases_of(profile)
    assert len(cases) == len({case.name for case in cases}) == len({case.mark for case in cases})
    assert all(0 < case.per_mille <= 1000 for case in cases)


def test_small_campaign_is_held_to_nothing_and_a_large_one_to_everything() -> None:
    assert [] == required_of(STANDARD, 10)
    frequent = required_of(STANDARD, 50)
    assert 0 < len(frequent) < len(required_of(STANDARD, 10_000)) == len(cases_of(STANDARD))
    assert all(threshold.per_mille * 50 >= MET_MIN * 1000 for threshold in frequent)


def test_campaign_in_which_nothing_happened_misses_every_case() -> None:
    coverage = Coverage()
    for _ in range(2000):
        coverage.add({})
    assert len(cases_of(STANDARD)) == len(coverage.missing(required_of(STANDARD, 2000)))
