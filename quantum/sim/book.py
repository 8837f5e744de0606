"""What all client-side oracles write into: the numbered facts' clock, contradictions, and marks of interesting cases.

Facts are numbered in the order in which clients saw them; a smaller number happened before. Source: FAULTS §2.4, §4.7.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.sim.marks import Marks

VIOLATIONS_MAX: Final = 20


@final
@dataclass(slots=True)
class Violation:
    """A law that was broken, and the two facts that cannot both be."""

    law: str
    first: str
    second: str

    def __str__(self) -> str:
        return f"{self.law}: {self.first}; {self.second}"


@final
class Book:
    """Shared by the oracles of one run."""

    __slots__ = ("clock", "is_time_even", "marks", "now_ms", "violations")

    def __init__(self, marks: Marks) -> None:
        self.clock = 0  # number of the last fact
        self.now_ms = 0
        self.is_time_even = True  # no clock jumps, no pauses: what clients measure is what the broker measures
        self.violations: list[Violation] = []
        self.marks = marks

    def tick(self) -> int:
        """Number another fact."""
        self.clock += 1
        return self.clock

    def violate(self, law: str, first: str, second: str) -> None:
        """Note a contradiction."""
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(Violation(law, first, second))

    def sometimes(self, name: str) -> None:
        """This interesting case happened."""
        self.marks.sometimes(name)
