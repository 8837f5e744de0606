"""The toy machine that a lite run replicates: registers, and a chain over everything that was ever applied.

A command writes one serial into one register; every serial is written by one proposal only, so a register's value says
which proposal it came from. The chain at an index is a function of the log up to there and of nothing else: two
replicas that applied the same entries have the same chain, and no others do.
"""

import struct
import zlib
from typing import Final, final

from quantum.core.raft.entry import COMMAND, Entry

_COMMAND: Final = struct.Struct("<QI")  # serial, register
_LINK: Final = struct.Struct("<QQB")


def encode_command(serial: int, register: int, padding: int) -> bytes:
    """A command, made longer by `padding` bytes so that entries differ in size."""
    return _COMMAND.pack(serial, register) + b"\0" * padding


def serial_of(data: bytes) -> int:
    """Which proposal a command is."""
    return int(_COMMAND.unpack_from(data)[0])


def chain_after(chain: int, entry: Entry) -> int:
    """The chain with one more entry: a 64-bit checksum over the links so far, position, term, kind and data."""
    head = _LINK.pack(chain, entry.index << 24 | entry.term & 0xFFFFFF, entry.kind)
    low = zlib.crc32(entry.data, zlib.crc32(head))
    return zlib.crc32(head, low) << 32 | low


@final
class MachineState:
    """What a snapshot of the machine holds; never changed after it was made."""

    __slots__ = ("chain", "index", "registers", "term")

    def __init__(self, index: int, term: int, chain: int, registers: dict[int, int]) -> None:
        self.index = index
        self.term = term
        self.chain = chain
        self.registers = registers


@final
class Machine:
    """The applied state of one replica."""

    __slots__ = ("chain", "index", "registers", "term")

    def __init__(self) -> None:
        self.index = 0
        self.term = 0
        self.chain = 0
        self.registers: dict[int, int] = {}

    def apply(self, entry: Entry) -> int:
        """Apply the next entry; returns its serial, 0 for an entry that is not a command."""
        assert entry.index == self.index + 1
        self.index = entry.index
        self.term = entry.term
        self.chain = chain_after(self.chain, entry)
        if entry.kind != COMMAND:
            return 0
        serial, register = _COMMAND.unpack_from(entry.data)
        self.registers[register] = serial
        return int(serial)

    def state(self) -> MachineState:
        """A copy for a snapshot."""
        return MachineState(self.index, self.term, self.chain, dict(self.registers))

    def restore(self, state: MachineState) -> None:
        """Become what a snapshot says."""
        self.index = state.index
        self.term = state.term
        self.chain = state.chain
        self.registers = dict(state.registers)
