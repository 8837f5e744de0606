"""The targets by name, and what a target is."""

import importlib
from pathlib import Path
from typing import Protocol, cast

NAMES = (
    "framer",
    "decode",
    "connection",
    "client",
    "edge",
    "node",
    "websocket",
    "peer",
    "log",
    "scram",
    "hello",
    "outgoing",
)

# Targets whose inputs are operations, not bytes that are compared with others. Of them, what feeds back is which way was
# taken, and not in the codec, which has targets of its own: tracing all that would take most of the time.
OF_OPERATIONS = ("edge", "node")
_CORE = Path(__file__).resolve().parents[2] / "quantum" / "core"
UNTRACED = [
    f"quantum.core.{path.parent.name}.{path.stem}"
    for room in ("raft", "wal", "snapshot", "group", "admin")
    for path in sorted((_CORE / room).glob("*.py"))
]
UNTRACED += [f"quantum.core.{name}" for name in ("prng", "events", "causes", "broker.commands", "node.storage")]
UNTRACED += [
    f"quantum.core.mqtt.{name}"
    for name in (
        "client",
        "decode",
        "encode",
        "errors",
        "framer",
        "packets",
        "properties",
        "reason_codes",
        "topics",
        "wire",
    )
]


class Target(Protocol):
    """A module `fuzz_NAME`."""

    BYTES_MAX: int
    SEEDS: list[bytes]

    def check(self, data: bytes) -> None:
        """Raises where something is wrong."""


def load_target(name: str) -> Target:
    """Import it; atheris instruments what is first imported under it."""
    return cast(Target, importlib.import_module(f"tests.fuzz.fuzz_{name}"))
