"""The tables of expected packets: `out_qos1.txt`, `out_qos2.txt`, `in_qos1.txt`, `in_qos2.txt`, and how they are read.

An event's name stands at the margin, below it a line for each state: `state | persistent session | ephemeral session`.
What stands in brackets is said in 5.0 only; `A // B` is A in 3.1.1 and B in 5.0; `-` is nothing. A cell in parentheses
cannot happen, for one of `REASONS`.
"""

import re
from pathlib import Path
from typing import Final

from tests.core.session.events import WITH_SMALL_PACKETS, events_of, states_of
from tests.core.session.exchange import KINDS, VERSIONS, Side

HERE: Final = Path(__file__).parent

NO_CONNECTION: Final = "(no connection)"
NO_PACKET_MAXIMUM: Final = "(no Maximum Packet Size)"
NO_REASON_CODE: Final = "(no Reason Code)"
NO_OFFLINE: Final = "(session ended)"

REASONS: Final = {
    NO_CONNECTION: "a client without a connection sends nothing, and has none to lose or to be taken over",
    NO_PACKET_MAXIMUM: "a client of 3.1.1 cannot say how large a packet may be",
    NO_REASON_CODE: "an acknowledgement of 3.1.1 cannot refuse",
    NO_OFFLINE: "an ephemeral session ended with its connection, so nothing waits for it",
}

Cell = tuple[Side, str, str]  # whose, state, event


def reason_against(side: Side, state: str, event: str) -> str:
    """Why this cannot happen; empty if it can."""
    if state == "offline" and not side.is_persistent:
        return NO_OFFLINE
    from_client = event.startswith(("PUB", "DISCONNECT", "connection breaks", "takeover", "clean takeover"))
    if state == "offline" and from_client:
        return NO_CONNECTION
    if side.direction == "out" and side.version < 5:
        if event == WITH_SMALL_PACKETS or event.startswith("return with Maximum Packet Size"):
            return NO_PACKET_MAXIMUM
        if event.endswith("0x80"):
            return NO_REASON_CODE
    return ""


def sides() -> list[Side]:
    """Every exchange that has a column."""
    return [
        Side(direction, qos, kind, version)
        for direction in ("out", "in")
        for qos in (1, 2)
        for kind in KINDS
        for version in VERSIONS
    ]


def wanted() -> list[Cell]:
    """Every cell that the tables must have."""
    return [(side, state, event) for side in sides() for event in events_of(side) for state in states_of(side)]


def read() -> dict[Cell, str]:
    """Every cell that the tables have."""
    cells: dict[Cell, str] = {}
    for direction in ("out", "in"):
        for qos in (1, 2):
            event = ""
            for line in (HERE / f"{direction}_qos{qos}.txt").read_text(encoding="ascii").splitlines():
                if line.startswith("  "):
                    state, *columns = (part.strip() for part in line.split(" | "))
                    for kind, column in zip(KINDS, columns, strict=True):
                        for version, text in zip(VERSIONS, _of_versions(column), strict=True):
                            key = (Side(direction, qos, kind, version), state, event)
                            assert key not in cells, f"twice in the table: {key}"
                            cells[key] = text
                else:
                    event = line
    return cells


def _of_versions(column: str) -> tuple[str, str]:
    """What a column says of 3.1.1 and of 5.0."""
    older, _, newer = column.partition(" // ")
    without = re.sub(r" ?\[[^]]*\]", "", older).strip()
    return without, re.sub(r"[\[\]]", "", newer or older)
