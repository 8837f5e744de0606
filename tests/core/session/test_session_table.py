"""Goal: every state of an exchange has an answer to everything that may meet it. Method: one test for each cell of the
tables, with a node behind its door, a clock that is moved and a disk that keeps what it was told across a restart."""

from typing import Final

import pytest

from tests.core.session.events import outcome
from tests.core.session.exchange import Side
from tests.core.session.table import REASONS, Cell, read, reason_against, wanted

CELLS: Final = read()


def name_of(cell: Cell) -> str:
    """Such as `out-qos2-persistent-v5-released-takeover`."""
    side, state, event = cell
    return f"{side.direction}-qos{side.qos}-{side.kind}-v{side.version}-{state}-{event}"


def test_every_cell_is_filled(capsys: pytest.CaptureFixture[str]) -> None:
    cells = wanted()
    possible = [cell for cell in cells if not CELLS.get(cell, "").startswith("(")]
    with capsys.disabled():
        print(f"\nsession table: {len(cells)} cells, {len(possible)} happen, {len(cells) - len(possible)} cannot")
    assert [] == [name_of(cell) for cell in cells if cell not in CELLS]
    assert [] == [name_of(cell) for cell in CELLS if cell not in set(cells)]
    assert 1200 < len(cells)
    assert 1000 < len(possible)


def test_what_cannot_happen_has_a_reason() -> None:
    reasons = {cell: reason_against(*cell) for cell in wanted()}
    assert {cell: reason for cell, reason in reasons.items() if reason} == {
        cell: text for cell, text in CELLS.items() if text.startswith("(")
    }
    assert set(REASONS) == set(reasons.values()) - {""}


@pytest.mark.parametrize("cell", [cell for cell, text in CELLS.items() if not text.startswith("(")], ids=name_of)
def test_event_meets_state(cell: Cell) -> None:
    assert CELLS[cell] == outcome(*cell)


def test_a_side_knows_its_own_states_only() -> None:
    assert {"idle", "waiting", "sent", "offline"} == {
        state for side, state, _ in CELLS if side == Side("out", 1, "persistent", 5)
    }
