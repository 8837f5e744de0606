"""An entry of a group's log: a position, the term it was made in, and opaque bytes. Source: Raft §5.3."""

from dataclasses import dataclass
from typing import Final, final

COMMAND: Final = 0  # data is for the state machine
NO_OP: Final = 1  # a new leader's first entry: commits what earlier terms left. Raft §8
MEMBERSHIP: Final = 2  # data is an encoded Membership; in force from the moment it is appended. thesis §4.3
LOST: Final = 255  # never on disk or wire: what stood here is damaged, its term is unknown (0), its data empty


@final
@dataclass(slots=True)
class Entry:
    """`index` starts at 1."""

    index: int
    term: int
    kind: int
    data: bytes
