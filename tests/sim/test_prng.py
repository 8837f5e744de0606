"""Goal: the numbers of a seed never change, and no stream disturbs another. Method: frozen vectors and paired draws."""

from quantum.core.prng import Prng


def test_vectors_of_the_root_are_frozen() -> None:
    prng = Prng(1)
    assert [0x73FE8F87A00AD87D, 0xE19E9A4B4EEECB3, 0xF2B6917BBD108ED8, 0x8C641AD693BBDD7E] == [
        prng.u64() for _ in range(4)
    ]


def test_vectors_of_a_stream_are_frozen() -> None:
    prng = Prng(1).stream("disk")
    assert [730, 63, 176, 504, 722, 425] == [prng.below(1000) for _ in range(6)]
    assert "e72f094f633b2a43f9b32d" == prng.bytes(11).hex()
    assert [3, 4, 2, 5, 0, 1] == prng.permutation(6)
    assert 2 == prng.choice_index([1, 0, 5])


def test_stream_does_not_depend_on_what_its_parent_drew() -> None:
    fresh = Prng(7)
    used = Prng(7)
    for _ in range(200):
        used.u64()
    assert fresh.stream("a").u64() == used.stream("a").u64()


def test_streams_differ_by_label_seed_and_path() -> None:
    first = [
        Prng(7).stream("a").u64(),
        Prng(7).stream("b").u64(),
        Prng(8).stream("a").u64(),
        Prng(7).stream("a").stream("a").u64(),
        Prng(7).u64(),
        Prng(0).u64(),
        Prng(256).u64(),
    ]
    assert len(first) == len(dict.fromkeys(first))


def test_draws_stay_in_their_bounds_and_reach_them() -> None:
    prng = Prng(3)
    draws = [prng.between(2, 4) for _ in range(300)]
    assert [2, 3, 4] == sorted(dict.fromkeys(draws))
    assert 0 == sum(prng.chance(0, 5) for _ in range(100))
    assert 100 == sum(prng.chance(5, 5) for _ in range(100))
    assert 200 < sum(prng.chance(1, 4) for _ in range(1000)) < 300


def test_choice_follows_its_weights() -> None:
    prng = Prng(9)
    counts = [0, 0, 0]
    for _ in range(1000):
        counts[prng.choice_index([3, 0, 1])] += 1
    assert 0 == counts[1]
    assert 700 < counts[0] < 800
