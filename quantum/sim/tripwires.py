"""While a run goes on, nothing in this process may ask for the time, for chance or for the world outside.

What a run must not touch is replaced by something that raises, for the thread that runs and as long as it runs. A core
that reads a clock is found by the first seed, not by the one whose digest differs. Source: FAULTS §4.2.
"""

import builtins
import os
import random
import socket
import threading
import time
from collections.abc import Callable
from types import ModuleType, TracebackType
from typing import Any, Final, final

_WIRES: Final[tuple[tuple[ModuleType | type, tuple[str, ...]], ...]] = (
    (
        time,
        ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep", "process_time"),
    ),
    (random, ("random", "randrange", "randint", "getrandbits", "choice", "choices", "shuffle", "sample", "uniform")),
    (os, ("urandom", "listdir", "scandir", "fsync", "getenv")),
    (socket, ("socket", "create_connection")),
    (builtins, ("open", "input")),
    (threading.Thread, ("start",)),
)


class TripwireTouched(AssertionError):
    """Code under simulation did what makes two runs of one seed differ."""


@final
class Tripwires:
    """A context in which the wires are up. Not to be nested."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: list[tuple[ModuleType | type, str, Any]] = []

    def __enter__(self) -> None:
        owner = threading.get_ident()
        for place, names in _WIRES:
            for name in names:
                real = getattr(place, name)
                self._kept.append((place, name, real))
                setattr(place, name, _wire(owner, f"{place.__name__}.{name}", real))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._kept:
            place, name, real = self._kept.pop()
            setattr(place, name, real)


def _wire(owner: int, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
    def touched(*args: Any, **named: Any) -> Any:
        if threading.get_ident() != owner:
            return real(*args, **named)
        raise TripwireTouched(f"{name} was called in a simulated run")

    return touched
