"""What happened in a run, as packed records and one rolling digest: two runs are the same run when their digests are.

A record is numbers and the checksum of its bytes, never a `repr`: nothing of the interpreter's memory or hash seed can
get into it.
"""

import hashlib
import struct
from typing import Final, final
from zlib import crc32

_RECORD: Final = struct.Struct("<QHqqI")
TAIL_RECORDS: Final = 400  # kept for people; so many are digested at once

# Record kinds.
TURN: Final = 1
TO_NODE: Final = 2
TO_CLIENT: Final = 3
ACCEPTED: Final = 4
NODE_CLOSED: Final = 5
CLIENT_CLOSED: Final = 6
DISK_REQUEST: Final = 7
DISK_DONE: Final = 8
FAULT: Final = 9
STARTED: Final = 10
READY: Final = 11
STOPPED: Final = 12
EVENT: Final = 13
CLIENT_ACTION: Final = 14
STATE: Final = 15
PEER_SENT: Final = 16
PEER_FRAME: Final = 17
KIND_NAMES: Final = (
    "",
    "turn",
    "to-node",
    "to-client",
    "accepted",
    "node-closed",
    "client-closed",
    "disk-request",
    "disk-done",
    "fault",
    "started",
    "ready",
    "stopped",
    "event",
    "client-action",
    "state",
    "peer-sent",
    "peer-frame",
)


@final
class Trace:
    """Append-only; keeps the digest of everything and the last records for people."""

    __slots__ = ("_before", "_digest", "_digested_count", "_pending")

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16, person=b"quantum trace")
        self._digested_count = 0
        self._pending: list[bytes] = []  # not digested yet
        self._before: list[bytes] = []  # those in front of them

    def record(self, at_us: int, kind: int, a: int, b: int, data: bytes) -> None:
        """One thing that happened at a simulated time."""
        pending = self._pending
        pending.append(_RECORD.pack(at_us, kind, a, b, crc32(data)))
        if len(pending) == TAIL_RECORDS:
            self._digest.update(b"".join(pending))
            self._digested_count += TAIL_RECORDS
            self._before = pending
            self._pending = []

    @property
    def count(self) -> int:
        """Records so far."""
        return self._digested_count + len(self._pending)

    def digest(self) -> str:
        """Of everything recorded so far."""
        whole = self._digest.copy()
        whole.update(b"".join(self._pending))
        return whole.hexdigest()

    def lines(self) -> list[str]:
        """The last records, for people."""
        return [
            f"{at_us / 1000:12.3f} ms  {KIND_NAMES[kind]:13} {a:>12} {b:>8}  {checksum:08x}"
            for at_us, kind, a, b, checksum in map(_RECORD.unpack, (self._before + self._pending)[-TAIL_RECORDS:])
        ]
