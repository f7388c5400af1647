"""Waiting for what another thread, process or page does, and never for a fixed time."""

import asyncio
import inspect
import queue
import time
from collections.abc import Awaitable, Callable
from typing import Any

PATIENCE = 60.0  # seconds: what comes at all comes long before, on a busy machine too


def until(true: Callable[[], bool], seconds: float = PATIENCE) -> None:
    """Hold up this thread until something is true; fail when it takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"it did not come true within {seconds:g} s"
        time.sleep(0.01)


async def eventually(true: Callable[[], bool | Awaitable[bool]], seconds: float = PATIENCE) -> None:
    """Do the same on the event loop; what `true` gives may have to be awaited."""
    end = time.monotonic() + seconds
    while not (await found if inspect.isawaitable(found := true()) else found):
        assert time.monotonic() < end, f"it did not come true within {seconds:g} s"
        await asyncio.sleep(0.02)


def discard(waiting: "queue.Queue[Any] | asyncio.Queue[Any]") -> None:
    """Throw away what waits in a queue."""
    while not waiting.empty():
        waiting.get_nowait()


def overslept(seconds: float) -> float:
    """Sleep; give how much longer it took: what a busy machine takes from everybody, in seconds."""
    began = time.monotonic()
    time.sleep(seconds)
    return time.monotonic() - began - seconds
