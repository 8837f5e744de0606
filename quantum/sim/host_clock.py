"""The two clocks of one machine, and how they go wrong: drift, frozen while paused, coarse, jumping.

Simulated time is what really passes. The monotonic clock of a machine is a line through it whose slope may be off and
which may stand still; the wall clock is real time plus an offset that may jump. Integers only. Source: FAULTS F42 to F45.
"""

from typing import Final, final

WALL_BASE_MS: Final = 1_700_000_000_000
MILLION: Final = 1_000_000


@final
class HostClock:
    """What a node's process would read."""

    __slots__ = ("_anchor_us", "_base_us", "_rate_ppm", "_step_ms", "wall_offset_ms")

    def __init__(self, base_ms: int, wall_offset_ms: int) -> None:
        self._anchor_us = 0  # real time at which the monotonic clock showed `_base_us`
        self._base_us = base_ms * 1000
        self._rate_ppm = MILLION
        self._step_ms = 1
        self.wall_offset_ms = wall_offset_ms

    def now_ms(self, real_us: int) -> int:
        """Monotonic."""
        at_ms = self._reading_us(real_us) // 1000
        return at_ms - at_ms % self._step_ms

    def wall_ms(self, real_us: int) -> int:
        """Since 1970."""
        return WALL_BASE_MS + self.wall_offset_ms + real_us // 1000

    def real_us_at(self, deadline_ms: int, real_us: int) -> int:
        """When the monotonic clock will show a deadline; never before now."""
        deadline_ms += -deadline_ms % self._step_ms
        ahead_us = deadline_ms * 1000 - self._reading_us(real_us)
        return real_us - (-ahead_us * MILLION // self._rate_ppm) if ahead_us > 0 else real_us

    def reboot(self, real_us: int, base_ms: int) -> None:
        """The monotonic clock of a new boot begins anywhere; its drift is the machine's."""
        self._anchor_us = real_us
        self._base_us = base_ms * 1000

    def drift(self, real_us: int, ppm: int) -> None:
        """From now on it gains so many microseconds a second; loses them when negative."""
        assert ppm > -MILLION
        self._base_us = self._reading_us(real_us)
        self._anchor_us = real_us
        self._rate_ppm = MILLION + ppm

    def freeze(self, real_us: int, for_us: int) -> None:
        """It stands still for a while, as a machine's does that is suspended."""
        self._base_us = self._reading_us(real_us)
        self._anchor_us = real_us + for_us

    def coarsen(self, step_ms: int) -> None:
        """It shows multiples of this only."""
        assert step_ms > 0
        self._step_ms = step_ms

    def _reading_us(self, real_us: int) -> int:
        passed_us = real_us - self._anchor_us
        return self._base_us + passed_us * self._rate_ppm // MILLION if passed_us > 0 else self._base_us
