"""Goal: a seed that once found a bug stays clean. Method: run each again, with what it had found beside it."""

import pytest

from quantum.sim.run import run
from quantum.sim.scenario import MQTT, STORAGE, Scenario

KEPT = (
    # A manifest renamed by a killed process and not synced was trusted; what it replaced was deleted for good.
    Scenario(MQTT, 393),
    # An older client with many QoS 2 exchanges was not read any more, so its PUBRELs never came.
    Scenario(MQTT, 1029),
    Scenario(MQTT, 1107),
    Scenario(MQTT, 1501),
    # A client left behind a half-open connection, with a CONNECT on the way: the node was to know.
    Scenario(MQTT, 43),
    # A process that stood still when all was healed was to answer.
    Scenario(MQTT, 97),
    # A segment that was begun behind a damaged one was lost: nobody doubted the term and the entries that were in it.
    Scenario(STORAGE, 34),
)


@pytest.mark.parametrize("scenario", KEPT, ids=lambda scenario: f"{scenario.profile} {scenario.seed}")
def test_kept_seed_is_clean(scenario: Scenario) -> None:
    outcome = run(scenario)
    assert ("", ("", "")) == (outcome.law, outcome.facts)
