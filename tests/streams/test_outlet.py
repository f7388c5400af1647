import asyncio
import threading

import pytest

from streams.outlet import Outlet, OutletClosed
from tests.streams.waiting import PATIENCE


async def test_the_newest_item_wins() -> None:
    outlet: Outlet[int] = Outlet()
    for item in range(5):
        outlet.put(item)
    assert await outlet.get() == 4


async def test_closing_ends_a_reader_that_waits() -> None:
    outlet: Outlet[int] = Outlet()
    reading = asyncio.create_task(outlet.get())
    await asyncio.sleep(0)
    outlet.close()
    with pytest.raises(OutletClosed):
        await reading


async def test_nothing_put_by_another_thread_is_slept_through() -> None:
    outlet: Outlet[int] = Outlet()
    taken = threading.Semaphore(0)

    def put_all() -> None:
        for item in range(500):
            outlet.put(item)
            taken.acquire()

    thread = threading.Thread(target=put_all)
    thread.start()
    for item in range(500):
        assert await asyncio.wait_for(outlet.get(), PATIENCE) == item
        taken.release()
    await asyncio.to_thread(thread.join)
