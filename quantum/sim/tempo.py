"""How hurried clients are: now and then all of them at once are in a great hurry, or hardly do anything.

Source: FAULTS F51, F56.
"""

from typing import Final, final

from quantum.core.prng import Prng

USUAL: Final = 100  # of 100, the time between two acts
BURST: Final = 5
LULL: Final = 1_500
BURST_US: Final = (200_000, 1_000_000)  # how long, both ends included
LULL_US: Final = (1_000_000, 4_000_000)


@final
class Tempo:
    """The windows of one run, ascending, none over another."""

    __slots__ = ("_windows",)

    def __init__(self, windows: list[tuple[int, int, int]]) -> None:
        self._windows = windows  # (from, until, share of the usual time), in microseconds

    def at(self, now_us: int) -> int:
        """The share of the usual time, of 100."""
        return self._window(now_us)[1]

    def next_us(self, now_us: int, think_us: int) -> int:
        """When a client acts again that would usually wait for `think_us`; nobody sleeps on when the lull is over."""
        ends_us, share = self._window(now_us)
        return min(now_us + think_us * share // USUAL, ends_us + think_us)

    def _window(self, now_us: int) -> tuple[int, int]:
        for begins_us, ends_us, share in self._windows:
            if begins_us <= now_us < ends_us:
                return ends_us, share
        return now_us, USUAL


def draw_tempo(prng: Prng, duration_us: int) -> Tempo:
    """One seed in four has a burst, one in four a lull, in halves of the run of their own."""
    kinds = [(BURST, BURST_US), (LULL, LULL_US)]
    if prng.chance(1, 2):
        kinds.reverse()
    windows: list[tuple[int, int, int]] = []
    for half, (share, lengths) in enumerate(kinds):
        begins_us = (half * duration_us + prng.below(duration_us)) // 2
        length_us = prng.between(*lengths)
        if prng.chance(1, 4):
            windows.append((begins_us, min(begins_us + length_us, (half + 1) * duration_us // 2), share))
    return Tempo(windows)
