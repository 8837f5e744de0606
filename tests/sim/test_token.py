"""Goal: a repro token names a run exactly, and a wrong one is refused in one line. Method: round trips, a table of wrong
tokens, arbitrary text, and vectors that pin the numbers behind a seed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import quantum
from quantum.core.prng import Prng
from quantum.sim.scenario import PROFILES, Outcome, Scenario
from quantum.sim.token import Token, TokenWrong, decode_token, encode_token, is_nameable, token_of

GOOD = "Q1:0.1.0:standard:8191:1:9f3ac01d"


def test_token_of_a_run_has_its_seed_profile_version_and_digest() -> None:
    outcome = Outcome("", ("", ""), "9f3ac01d" + "0" * 24, {}, {})
    token = token_of(Scenario("lite", 8191), outcome)
    assert f"Q1:{quantum.__version__}:lite:8191:1:9f3ac01d" == encode_token(token)


@given(
    profile=st.sampled_from(PROFILES),
    seed=st.integers(min_value=0, max_value=(1 << 64)),
    digest=st.binary(min_size=4, max_size=4).map(bytes.hex),
)
def test_decoding_gives_back_what_was_encoded(profile: str, seed: int, digest: str) -> None:
    token = Token("1.2.3", profile, seed, 1, digest)
    assert token == decode_token(encode_token(token))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "begins with '', allowed Q1"),
        ("Q2:0.1.0:standard:1:1:9f3ac01d", "begins with 'Q2'"),
        ("Q1:0.1.0:standard:1:1", "5 fields, allowed 6"),
        (GOOD + ":", "7 fields, allowed 6"),
        ("Q1:0 1:standard:1:1:9f3ac01d", "version '0 1'"),
        ("Q1:0.1.0:quick:1:1:9f3ac01d", "profile 'quick', allowed lite, standard"),
        ("Q1:0.1.0:lite:-1:1:9f3ac01d", "seed '-1'"),
        ("Q1:0.1.0:lite:01:1:9f3ac01d", "seed '01'"),
        ("Q1:0.1.0:lite:\u0661:1:9f3ac01d", "seed '\\u0661'"),
        ("Q1:0.1.0:lite:99999999999999999999:1:9f3ac01d", "seed '99999999999999999999'"),
        ("Q1:0.1.0:lite:1:2:9f3ac01d", "numbers of generator '2', this program has 1"),
        ("Q1:0.1.0:lite:1:1:9F3AC01D", "digest '9F3AC01D'"),
        ("Q1:0.1.0:lite:1:1:9f3ac01d\n", "digest '9f3ac01d\\n'"),
        ("Q1:" + "9" * 300, "303 characters, allowed 200"),
    ],
)
def test_wrong_token_is_refused_in_one_line_that_says_why(text: str, expected: str) -> None:
    with pytest.raises(TokenWrong) as caught:
        decode_token(text)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text())
def test_any_text_is_a_token_or_refused(text: str) -> None:
    try:
        token = decode_token(text)
    except TokenWrong:
        return
    assert text == encode_token(token)


def test_only_a_run_of_profile_and_seed_alone_has_a_token() -> None:
    assert is_nameable(Scenario("lite", 1))
    assert not is_nameable(Scenario("lite", 1, node_count=3))
    assert not is_nameable(Scenario("lite", 1, faults=[]))
    assert not is_nameable(Scenario("lite", 1, off=("loss",)))


def test_numbers_behind_a_seed_are_those_of_generator_1() -> None:
    root = Prng(8191)
    numbers = [root.u64(), root.stream("disk").u64(), root.stream("disk").below(1000)]
    assert [3615926859993670050, 4783899888352151055, 259] == numbers
