"""Goal: code that reads a clock or throws dice in a run is found at once. Method: touch every wire."""

import builtins
import os
import random
import socket
import threading
import time
from typing import Any

import pytest

from quantum.sim.tripwires import Tripwires, TripwireTouched

TOUCHES: tuple[tuple[Any, str, tuple[Any, ...]], ...] = (
    (time, "time", ()),
    (time, "monotonic_ns", ()),
    (time, "sleep", (0,)),
    (random, "random", ()),
    (random, "choice", ([1],)),
    (os, "urandom", (1,)),
    (os, "getenv", ("HOME",)),
    (socket, "socket", ()),
    (builtins, "open", (os.devnull, "rb")),
)


@pytest.mark.parametrize(("place", "name", "arguments"), TOUCHES, ids=lambda item: str(item)[:20])
def test_touch_raises_inside_and_is_what_it_was_outside(place: Any, name: str, arguments: tuple[Any, ...]) -> None:
    with Tripwires(), pytest.raises(TripwireTouched, match="was called in a simulated run"):
        getattr(place, name)(*arguments)
    result = getattr(place, name)(*arguments)
    if hasattr(result, "close"):
        result.close()


def test_other_threads_are_left_alone() -> None:
    readings: list[float] = []
    begin, done = threading.Event(), threading.Event()

    def read() -> None:
        begin.wait()
        readings.append(time.time())
        done.set()

    thread = threading.Thread(target=read)
    thread.start()
    with Tripwires():
        begin.set()
        assert done.wait(10)
    thread.join()
    assert 1 == len(readings)
