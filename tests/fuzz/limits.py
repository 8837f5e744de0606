"""Limits of the code under test set low for one input: what takes thousands of bytes to reach takes a few then."""

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

Limits = tuple[tuple[ModuleType, str, int], ...]  # module, name of its constant, what it is meanwhile


@contextmanager
def lowered(limits: Limits) -> Iterator[None]:
    """And set back in the end, for other tests of the process."""
    usual = [getattr(module, name) for module, name, _ in limits]
    for module, name, limit in limits:
        setattr(module, name, limit)
    try:
        yield
    finally:
        for (module, name, _), limit in zip(limits, usual, strict=True):
            setattr(module, name, limit)
