"""What happens to a disk while its process is gone, and how much of it a cluster is expected to survive.

Damage is done to the medium and to the cache alike: what a new process reads is what is there. The budget keeps the
oracles strict: no more than a minority of nodes is damaged at any time, so each committed entry stays whole somewhere.
A node counts as damaged from the deed until a later process of it is whole again. Source: FAULTS §2.1, F27, F28, F32
to F35.
"""

from dataclasses import dataclass
from typing import Final, final

from quantum.sim.disk import SECTOR, SimDisk

IDENTITY_FILE: Final = "node.json"  # without it a node rightly refuses to start: nobody could repair that

ROT_BIT: Final = 0  # one bit of one batch, or of any file
ROT_SECTOR: Final = 1  # a sector of noise
CUT_FILE: Final = 2  # a file ends early
LOSE_FILE: Final = 3
WIPE: Final = 4
ROLL_BACK: Final = 5  # the whole disk is as it was some time ago
KINDS: Final = ("rot-bit", "rot-sector", "cut-file", "lose-file", "wipe", "roll-back")


@final
@dataclass(slots=True)
class Harm:
    """What is to be done to a disk when its process is gone. `part` of 1000 says where, `choice` the rest."""

    kind: int
    part: int
    choice: int


def do_harm(disk: SimDisk, harm: Harm) -> str:
    """Returns what was done, in words; "" where there was nothing to damage."""
    if harm.kind == WIPE:
        disk.wipe()
        return "the disk is empty"
    if harm.kind == ROLL_BACK:
        return "the disk is as it was" if disk.roll_back(harm.part) else ""
    spot = _spot(disk, harm)
    if spot is None:
        return ""
    name, offset = spot
    if harm.kind == ROT_BIT:
        disk.flip_bit(name, offset, harm.choice & 7)
        return f"bit {harm.choice & 7} of byte {offset} of {name} turned"
    if harm.kind == ROT_SECTOR:
        disk.garble(name, offset - offset % SECTOR, harm.choice)
        return f"the sector at {offset - offset % SECTOR} of {name} is noise"
    if harm.kind == CUT_FILE:
        disk.cut_file(name, offset)
        return f"{name} ends at {offset}"
    assert harm.kind == LOSE_FILE
    disk.lose_file(name)
    return f"{name} is gone"


def _spot(disk: SimDisk, harm: Harm) -> tuple[str, int] | None:
    """Mostly inside what was written to the log, else anywhere in any file."""
    choice = harm.choice >> 3
    written = disk.written_places()
    if choice % 4 and written:
        place = written[len(written) * harm.part // 1000]
        return place.name, place.offset + (choice >> 2) % place.size
    files = [(name, size) for name, size in disk.files() if name != IDENTITY_FILE and size]
    if not files:
        return None
    name, size = files[len(files) * harm.part // 1000]
    return name, (choice >> 2) % size


@final
class Budget:
    """Which nodes are damaged, of at most a minority."""

    __slots__ = ("_damaged", "_limit")

    def __init__(self, node_count: int, is_strict: bool) -> None:
        self._limit = (node_count - 1) // 2 if is_strict else node_count
        self._damaged: dict[int, int] = {}  # node → the process that ran, or ended, when it was damaged

    def take(self, node: int, incarnation: int) -> bool:
        """Damage a node; False when that would be one too many."""
        if node not in self._damaged and len(self._damaged) >= self._limit:
            return False
        self._damaged[node] = incarnation
        return True

    def is_damaged(self, node: int) -> bool:
        """Something on this disk is not what was written."""
        return node in self._damaged

    def on_whole(self, node: int, incarnation: int) -> bool:
        """A process found its log complete: True when that ends the damage."""
        if self._damaged.get(node, incarnation) >= incarnation:
            return False
        del self._damaged[node]
        return True

    @property
    def damaged(self) -> list[int]:
        """The nodes that are damaged."""
        return sorted(self._damaged)
