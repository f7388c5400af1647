"""The limit on the event loop that every test with a server has."""

import asyncio
import time

import pytest

from tests.server.conftest import loop_is_never_held


def compute(seconds: float) -> None:
    """Hold the thread for so much processor time."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize("more_follows", [True, False])
async def test_a_loop_that_computes_for_long_is_told(more_follows: bool) -> None:
    async def held() -> None:
        async with loop_is_never_held():
            compute(0.55)
            if more_follows:
                await asyncio.sleep(0.1)

    with pytest.raises(AssertionError, match=r"held for 0\.[56]"):
        await held()


async def test_one_that_goes_on_in_between_or_waits_is_not() -> None:
    async with loop_is_never_held():
        for _ in range(6):
            compute(0.1)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
