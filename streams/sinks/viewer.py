"""The track that a viewer receives: pictures that were encoded once for all of them."""

import asyncio
from collections import deque
from collections.abc import Callable

from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from streams.frame import Encoded

_ROOM = 8  # pictures, a quarter of a second; a viewer further behind skips to a key frame


class ViewerTrack(MediaStreamTrack):
    """Gives encoded pictures in order, from a key frame on. Lives on the loop.

    A picture is only good after the ones before it, so a viewer that lags cannot be given just the
    newest: it loses what waits and starts anew at a key frame, asked for when it reads again. One
    that never reads asks for nothing.
    """

    kind = "video"

    def __init__(self, ask_key: Callable[[], None]) -> None:
        super().__init__()
        self._ask_key = ask_key
        self._pictures: deque[Encoded] = deque()
        self._needs_key = True
        self._changed = asyncio.Event()

    def put(self, picture: Encoded) -> None:
        """Leave a picture; never waits."""
        if len(self._pictures) >= _ROOM:
            self._pictures.clear()
            self._needs_key = True
        if self._needs_key and not picture.is_key:
            return
        self._needs_key = False
        self._pictures.append(picture)
        self._changed.set()

    async def recv(self) -> Encoded:  # type: ignore[override]  # pack() of our encoders takes it
        """Wait for the next picture. Raises MediaStreamError at the end, and nothing else."""
        while not self._pictures:
            if self.readyState != "live":
                raise MediaStreamError
            if self._needs_key:
                self._ask_key()
            self._changed.clear()
            await self._changed.wait()
        return self._pictures.popleft()

    def stop(self) -> None:
        """End: `recv` raises from now on."""
        super().stop()
        self._pictures.clear()
        self._changed.set()
