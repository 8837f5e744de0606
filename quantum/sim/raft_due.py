"""What can be due in a lite run. The numbers are in its digest."""

from typing import Final

# To a process; while it is paused they wait.
MESSAGE: Final = 0
TIMER: Final = 1
SYNCED: Final = 2
SNAPSHOT_WRITTEN: Final = 3  # cut by the process itself
SNAPSHOT_ARRIVED: Final = 4  # sent by a peer
SNAPSHOT_STORED: Final = 5  # which is on disk
SNAPSHOT_LATE: Final = 6  # one that was sent may be lost
# To the world.
CLIENT: Final = 7
START: Final = 8
FAULT: Final = 9
FAULT_END: Final = 10
OPERATOR: Final = 11
NAMES: Final = (
    "message",
    "timer",
    "synced",
    "cut",
    "snapshot",
    "stored",
    "late",
    "client",
    "start",
    "fault",
    "fault-end",
    "operator",
)
