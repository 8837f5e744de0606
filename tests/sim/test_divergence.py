"""Goal: two runs that are not one are told apart at the first event. Method: the toy world, leaking or not."""

from collections.abc import Iterator

import pytest

from quantum.sim import divergence
from quantum.sim import sweep as sweeping
from quantum.sim.divergence import Divergence, find_divergence
from quantum.sim.scenario import LITE, Scenario
from tests.sim import toy


@pytest.fixture(autouse=True)
def _toy_world(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sweeping.RUNNERS, LITE, "tests.sim.toy")  # type: ignore[misc]
    yield


def test_same_run_has_no_divergence() -> None:
    assert Divergence(0, "", "") == find_divergence(Scenario(LITE, 3), (1, 2))


def test_first_event_that_differs_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(toy.ACTS_BADLY, "leak")
    found = find_divergence(Scenario(LITE, 3), (1, 2))
    assert 1 == found.number
    assert found.first != found.second
    assert "note" in found.first


def test_blocks_cover_every_line_once() -> None:
    scenario = Scenario(LITE, 3)
    blocks = divergence.block_digests("tests.sim.toy", scenario)
    lines = [line for at in range(len(blocks)) for line in divergence.block_lines("tests.sim.toy", scenario, at)]
    assert len(blocks) > 1
    assert [] == divergence.block_lines("tests.sim.toy", scenario, len(blocks))
    assert len({*lines}) == len(lines) > divergence.BLOCK
