"""What a campaign of each profile must have met, where no file says otherwise.

A share of runs says that the profile's ranges still make the case; a count of 1 that it is not lost altogether. Held
against campaigns of some size only: one hundred seeds may well miss what one in fifty has.
"""

from typing import Final

from quantum.sim.marks import Threshold
from quantum.sim.scenario import BEYOND, FAILOVER, LITE, MQTT, POWER, SOAK, STANDARD, STORAGE

RUNS_MIN: Final = 300  # fewer prove nothing about shares

_REQUIRED: Final[dict[str, tuple[Threshold, ...]]] = {
    LITE: (),
    STANDARD: (),
    SOAK: (),
    STORAGE: (),
    MQTT: (),
    POWER: (),
    BEYOND: (),
    FAILOVER: (),
}


def required_of(profile: str, run_count: int) -> list[Threshold]:
    """Thresholds for a campaign of so many runs; none for a small one."""
    return list(_REQUIRED[profile]) if run_count >= RUNS_MIN else []
