"""How long to wait before connecting again: doubling from 100 ms to 30 s, with full jitter."""

import random
from typing import Final

FIRST_MS: Final = 100
MAX_MS: Final = 30_000


class Backoff:
    """Delays of one client between two connections that stood."""

    def __init__(self, random_source: random.Random) -> None:
        self._random = random_source
        self._ceiling_ms = FIRST_MS

    def next_ms(self) -> int:
        """The next delay: anywhere between nothing and the ceiling, so that clients cut off together come back apart."""
        delay_ms = self._random.randint(0, self._ceiling_ms)
        self._ceiling_ms = min(self._ceiling_ms * 2, MAX_MS)
        return delay_ms

    def reset(self) -> None:
        """A connection stood: the next delay is a first one."""
        self._ceiling_ms = FIRST_MS
