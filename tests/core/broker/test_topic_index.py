"""The index of Topic Names answers every filter like a scan of all names would, may stop and go on anywhere, and leaps.

Method: random names, among them such as stand between a level and what is below it in the order of strings.
Source: MQTT 5.0 §4.7.
"""

import random

import pytest

from quantum.core.broker.topic_index import BLOCK_MAX, TopicIndex
from tests.core.broker.naive import is_match_of

# "-", "." and "0" stand right around "/", and "#" before "$" before "%".
WORDS = ["a", "b", "ab", "a-", "a.", "a0", "", "$x", "$", "%", '"', "é", "\U0001f600"]


def _all_of(index: TopicIndex, topic_filter: str, steps_max: int = 1_000_000) -> list[str]:
    """Search to the end, so many steps at a time."""
    found: list[str] = []
    bound: str | None = ""
    while bound is not None:
        names, bound, steps = index.search(topic_filter, bound, steps_max)
        assert 1 <= steps <= steps_max
        assert len(names) <= steps
        found += names
    return found


def _name(chance: random.Random, words: list[str]) -> str:
    return "/".join(chance.choice(words) for _ in range(chance.randint(1, 4))) or "a"  # [MQTT-4.7.3-1]


@pytest.mark.parametrize("seed", range(40))
def test_search_agrees_with_a_scan_of_all_names(seed: int) -> None:
    chance = random.Random(seed)
    index = TopicIndex()
    held: dict[str, None] = {}
    for _ in range(120):
        name = _name(chance, WORDS)
        if name in held:
            del held[name]
            index.remove(name)
        else:
            held[name] = None
            index.add(name)
        assert len(held) == len(index)
        for topic_filter in (_name(chance, [*WORDS, "+", "+", "+"]), _name(chance, ["a", "+", "$x"]) + "/#", "#"):
            expected = sorted(name for name in held if is_match_of(topic_filter, name))
            assert expected == _all_of(index, topic_filter), topic_filter
            assert expected == _all_of(index, topic_filter, chance.randint(1, 5)), topic_filter


@pytest.mark.parametrize("seed", range(10))
def test_search_goes_on_behind_its_bound_whatever_changed_meanwhile(seed: int) -> None:
    chance = random.Random(seed)
    index = TopicIndex()
    held: dict[str, None] = {}
    for _ in range(100):
        held[_name(chance, WORDS)] = None
    for name in held:
        index.add(name)
    topic_filter = chance.choice(["#", "+/#", "a/+", "+/a/#", "+/+"])
    stays = {name for name in held if chance.random() < 0.5}
    found: list[str] = []
    bound: str | None = ""
    while bound is not None:
        names, bound, _ = index.search(topic_filter, bound, 3)
        found += names
        for name in [name for name in held if name not in stays and chance.random() < 0.1]:
            del held[name]
            index.remove(name)
        name = _name(chance, WORDS)
        if name not in held:
            held[name] = None
            index.add(name)
    assert sorted(set(found)) == found
    assert set(found) >= {name for name in stays if is_match_of(topic_filter, name)}


def test_blocks_are_cut_and_emptied() -> None:
    index = TopicIndex()
    names = [f"t/{number:05}" for number in range(5 * BLOCK_MAX)]
    random.Random(1).shuffle(names)
    for name in names:
        index.add(name)
    assert sorted(names) == _all_of(index, "t/#") == _all_of(index, "+/+", 700)
    for name in names[BLOCK_MAX:]:
        index.remove(name)
    assert sorted(names[:BLOCK_MAX]) == _all_of(index, "#", 100)
    for name in names[:BLOCK_MAX]:
        index.remove(name)
    assert ([], None) == index.search("#", "", 10)[:2]


@pytest.mark.parametrize(
    ("topic_filter", "steps_max"),
    [("device/7/+/state", 8), ("device/+/cpu/load", 402), ("device/#", 20_003), ("nowhere/+/x", 3), ("+/1/b/state", 8)],
)
def test_search_leaps_over_what_cannot_match(topic_filter: str, steps_max: int) -> None:
    index = TopicIndex()
    for device in range(100):
        for number in range(200):
            index.add(f"device/{device}/{'b' if number % 2 else 'cpu'}/{'state' if number == 1 else number}")
    names, bound, steps = index.search(topic_filter, "", 1_000_000)
    assert bound is None
    assert len(names) <= steps <= steps_max
