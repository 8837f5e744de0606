"""What is wrong with a log that was durable: where, and how many batches it may have cost."""

from dataclasses import dataclass
from typing import final

from quantum.core.wal.frame import Note


@final
@dataclass(slots=True)
class Damage:
    """Batches from `first_lost` up to, not with, `next_valid` are lost; none where the two are equal: then the bytes at
    that place held nothing that is missed, or what is missed cannot be known."""

    segment: int
    offset: int
    first_lost: int
    next_valid: int  # of the batch with which the log goes on; it may not be written yet
    text: str

    @property
    def lost_count(self) -> int:
        """How many batches are lost at most."""
        return self.next_valid - self.first_lost

    def note(self) -> Note:
        """What the log itself says of it."""
        return Note(self.segment, self.offset, self.first_lost, self.next_valid)
