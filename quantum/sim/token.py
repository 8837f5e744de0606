"""The repro token: one word that names a run and lets it be verified.

`Q1:<version>:<profile>:<seed>:<prng>:<digest8>`. It names runs that depend on a profile and a seed alone; a run with a
schedule of its own is named by its scenario file.
"""

import re
from dataclasses import dataclass
from typing import Final, final

import quantum
from quantum.sim.scenario import NUMBER_MAX, PROFILES, Outcome, Scenario

PRNG_VERSION: Final = 1  # of the numbers that quantum.core.prng gives; frozen by vectors in the tests
DIGEST_CHARACTERS: Final = 8
TOKEN_CHARACTERS_MAX: Final = 200
_FIELDS: Final = "Q1:<version>:<profile>:<seed>:<prng>:<digest8>"
_VERSION: Final = re.compile(r"[0-9A-Za-z.+_-]{1,64}", re.ASCII)
_SEED: Final = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{8}", re.ASCII)


class TokenWrong(ValueError):
    """A text is no repro token; the message is one line and says what is wrong with it."""


@final
@dataclass(slots=True)
class Token:
    """A run, and how its digest began."""

    version: str
    profile: str
    seed: int
    prng_version: int
    digest: str


def is_nameable(scenario: Scenario) -> bool:
    """Profile and seed say everything about the run."""
    return scenario == Scenario(scenario.profile, scenario.seed)


def token_of(scenario: Scenario, outcome: Outcome) -> Token:
    """The token of a run that was made."""
    assert is_nameable(scenario)
    return Token(quantum.__version__, scenario.profile, scenario.seed, PRNG_VERSION, outcome.digest[:DIGEST_CHARACTERS])


def encode_token(token: Token) -> str:
    """As a word."""
    return f"Q1:{token.version}:{token.profile}:{token.seed}:{token.prng_version}:{token.digest}"


def decode_token(text: str) -> Token:
    """Parse strictly. Raises: TokenWrong."""
    if len(text) > TOKEN_CHARACTERS_MAX:
        raise TokenWrong(f"{len(text)} characters, allowed {TOKEN_CHARACTERS_MAX}")
    fields = text.split(":")
    if fields[0] != "Q1":
        raise TokenWrong(f"begins with {fields[0]!a}, allowed Q1: the form is {_FIELDS}")
    if len(fields) != 6:
        raise TokenWrong(f"{len(fields)} fields, allowed 6: the form is {_FIELDS}")
    _, version, profile, seed, prng_version, digest = fields
    if not _VERSION.fullmatch(version):
        raise TokenWrong(f"version {version!a}, allowed letters, digits and . + _ -")
    if profile not in PROFILES:
        raise TokenWrong(f"profile {profile!a}, allowed {', '.join(PROFILES)}")
    if not _SEED.fullmatch(seed) or int(seed) > NUMBER_MAX:
        raise TokenWrong(f"seed {seed!a}, allowed a whole number up to {NUMBER_MAX}")
    if prng_version != str(PRNG_VERSION):
        raise TokenWrong(f"numbers of generator {prng_version!a}, this program has {PRNG_VERSION}")
    if not _DIGEST.fullmatch(digest):
        raise TokenWrong(f"digest {digest!a}, allowed {DIGEST_CHARACTERS} hexadecimal digits")
    return Token(version, profile, int(seed), PRNG_VERSION, digest)
