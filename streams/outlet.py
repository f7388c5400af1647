"""From any thread to the event loop: room for one item, the newest wins."""

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class OutletClosed(Exception):
    """Nothing more will come."""


class Outlet(Generic[T]):
    """Hands the newest item to one reader on the loop it was made on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._item: T | None = None
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, item: T) -> None:
        """Leave an item in place of the last; from any thread, never waits."""
        self._item = item
        self._wake()

    def close(self) -> None:
        """Let the reader's `get` end with OutletClosed; from any thread."""
        self._closed = True
        self._wake()

    async def get(self) -> T:
        """Wait for the newest item that was not read yet. Raises OutletClosed."""
        while True:
            if self._closed:
                raise OutletClosed
            item, self._item = self._item, None
            if item is not None:
                return item
            self._changed.clear()
            # an item may have come between the look and the clearing
            if self._item is None and not self._closed:
                await self._changed.wait()

    def _wake(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._changed.set)
        except RuntimeError:  # the loop has closed: nobody reads any more
            self._closed = True
