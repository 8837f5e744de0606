"""What all tests share: the profiles of hypothesis, and a heap without what other tests left."""

import gc
import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# One machine, one answer: CI and laptops draw the same examples. `make properties` looks for new ones.
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=100,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no finding
)
settings.register_profile(
    "fuzz", deadline=None, max_examples=5000, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture
def small_heap() -> Iterator[None]:
    """For tests that look through the heap: what thousands of tests before left in it is not looked through."""
    gc.freeze()
    yield
    gc.unfreeze()
