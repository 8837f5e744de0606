"""What time it is for the rooms of a node: two numbers, set once at the beginning of each turn."""

from typing import final


@final
class Clock:
    """Read by many, set by the node alone."""

    __slots__ = ("now_ms", "wall_ms")

    def __init__(self) -> None:
        self.now_ms = 0  # monotonic
        self.wall_ms = 0  # since 1970; may jump
