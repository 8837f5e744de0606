"""Goal: the broker does what MQTT says, in every corner. Method: random nasty commands through the broker and through a
naive model written from the text; results, deliveries, sends and sessions must agree after every entry."""

import pytest

from quantum.core.broker.commands import Entry, encode_entry
from quantum.core.broker.state import BrokerState
from quantum.core.prng import Prng
from quantum.sim.comparison import compare, compare_edges, compare_state
from quantum.sim.model import Model
from quantum.sim.random_commands import RandomCommands

SEEDS = 400
SEEDS_PER_CASE = 25
ENTRIES = 80


def first_difference(seed: int) -> tuple[list[str], list[Entry]]:
    """What differed first, and all entries up to there."""
    state, model, commands = BrokerState(), Model(), RandomCommands(Prng(seed))
    past: list[Entry] = []
    for index in range(1, ENTRIES + 1):
        entry = commands.next_entry()
        past.append(entry)
        effects = state.apply(index, encode_entry(entry), None)
        differences = compare(model.apply(entry), effects) + compare_state(model, state.session_view)
        differences += compare_edges(model, state)
        counts = state.counts()
        if (len(model.sessions), len(model.retained)) != (counts["sessions"], counts["retained_messages"]):
            differences.append(f"the model holds {len(model.sessions)} and {len(model.retained)}, the broker {counts}")
        if not state.is_balanced():
            differences.append(f"accounting is out of balance: {state.accounting}")
        if differences:
            return differences, past
        commands.on_effects(effects)
    return [], past


@pytest.mark.parametrize("first_seed", range(0, SEEDS, SEEDS_PER_CASE))
def test_broker_and_model_agree(first_seed: int) -> None:
    for seed in range(first_seed, first_seed + SEEDS_PER_CASE):
        differences, past = first_difference(seed)
        assert [] == differences, f"seed {seed}, entry {len(past)}: {past[-1]}"
