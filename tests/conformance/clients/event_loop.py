"""An asyncio loop on a thread of its own, so that asyncio libraries serve scenarios that wait."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from tests.conformance.clients.client import WAIT_S

Result = TypeVar("Result")


class EventLoop:
    """Runs until it is closed."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """The coroutine's result, WAIT_S at most."""
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(coroutine, WAIT_S), self._loop).result()

    def close(self) -> None:
        """Let what still runs end, then stop."""
        asyncio.run_coroutine_threadsafe(self._cancel_all(), self._loop).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    async def _cancel_all(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
