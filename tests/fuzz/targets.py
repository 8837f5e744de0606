"""The targets by name, and what a target is."""

import importlib
from typing import Protocol, cast

NAMES = ("framer", "decode", "connection", "client", "node", "websocket", "peer", "log", "scram", "hello", "outgoing")


class Target(Protocol):
    """A module `fuzz_NAME`."""

    BYTES_MAX: int
    SEEDS: list[bytes]

    def check(self, data: bytes) -> None:
        """Raises where something is wrong."""


def load_target(name: str) -> Target:
    """Import it; atheris instruments what is first imported under it."""
    return cast(Target, importlib.import_module(f"tests.fuzz.fuzz_{name}"))
