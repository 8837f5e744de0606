"""Goal: the broker does what MQTT says, in every corner. Method: random nasty commands through the broker and through a
naive model written from the text; results, deliveries, sends and sessions must agree after every entry."""

import pytest

from quantum.core.broker.commands import Entry, encode_entry
from quantum.core.broker.effects import SendPublish
from quantum.core.broker.state import BrokerState
from quantum.core.prng import Prng
from quantum.sim.comparison import compare, compare_edges, compare_state
from quantum.sim.model import Model
from quantum.sim.random_commands import RandomCommands

SEEDS = 1_000
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


def test_random_commands_reach_every_corner_they_are_for() -> None:
    """A comparison proves nothing about what never happens."""
    seen: dict[str, int] = {}
    for seed in range(100):
        state, commands = BrokerState(), RandomCommands(Prng(seed))
        counted: dict[int, int] = {}
        for index in range(1, ENTRIES + 1):
            entry = commands.next_entry()
            connected = state.counts()["connected"]
            effects = state.apply(index, encode_entry(entry), None)
            commands.on_effects(effects)
            for edge, _, _ in effects.edges_opened:
                counted[edge] = 0
            marks = {
                "an entry again": effects.is_refused and 0 < entry.forward_seq <= counted.get(entry.edge, 0),
                "an entry behind a gap": effects.is_refused and entry.forward_seq > counted.get(entry.edge, 0) + 1,
                "an edge closed with its connections": bool(effects.edges_closed) and connected > 0,
                "an edge opened again": any(incarnation > 1 for _, incarnation, _ in effects.edges_opened),
                "a session taken over at its edge": any(close.edge == entry.edge for close in effects.closes),
                "a session taken over at another edge": any(close.edge != entry.edge for close in effects.closes),
                "sends to other edges": any(send.edge != entry.edge for send in effects.sends),
                "deliveries of ephemeral sessions": bool(effects.deliveries),
                "a message given back to an ephemeral session": any(
                    message.number > 1_000_000 for message, _ in effects.deliveries
                ),
                "a message given back to a replicated session": any(
                    isinstance(send, SendPublish) and send.message.number > 1_000_000 for send in effects.sends
                ),
                "own messages by some subscriptions only": any(
                    receiver.own is not None and receiver.client_id == message.client_id
                    for message, route in effects.deliveries
                    for receiver in route.receivers
                ),
            }
            if not effects.is_refused and entry.forward_seq:
                counted[entry.edge] = entry.forward_seq
            for mark, is_reached in marks.items():
                seen[mark] = seen.get(mark, 0) + is_reached
        ledger = state.accounting
        for column in ("refused", "unretained", "dropped"):
            causes = ledger[column]
            assert isinstance(causes, dict)
            for cause, count in causes.items():
                seen[f"{column} {cause}"] = seen.get(f"{column} {cause}", 0) + count
    for mark in ("refused stale_epoch", "refused retained_bytes_max", "unretained retained_bytes_max"):
        seen.setdefault(mark, 0)
    for cause in ("session_ended", "shared_group_empty", "queue_messages_max", "qos0_offline", "client_refused"):
        seen.setdefault(f"dropped {cause}", 0)
    assert [] == [mark for mark in sorted(seen) if not seen[mark]]
