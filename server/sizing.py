"""The picture size of one session: the old one serves until the new one is warm."""

import asyncio
import time

from pipeline.config import Size
from server.aside import aside
from server.errors import ApiError, session_ended
from streams.frame import SessionId
from streams.worker import Worker

_APART = 0.5  # seconds: making a size ready takes time from everybody's pictures
_MOST = 16  # changes that wait at once


class Sizing:
    """Changes a session's size, twice a second at most; of several that wait, the last wins."""

    def __init__(self, session: SessionId, size: Size, worker: Worker) -> None:
        self.size = size  # in force
        self._session, self._worker = session, worker
        self._wanted = size
        self._refused: dict[Size, Exception] = {}  # until all who wait are told
        self._one = asyncio.Lock()
        self._waiting = 0
        self._next = 0.0  # when another one may begin
        self._closed = False

    async def change(self, size: Size) -> tuple[Size, int]:
        """Change the size; give what is in force then, and from which input frame on.

        Raises ConfigError, NoRoom, EngineAway, ApiError 404 when the session ends meanwhile, and
        429 when too many wait; the size stays as it was then.
        """
        if self._waiting >= _MOST:
            raise ApiError("too_fast", f"{_MOST} changes of the size wait already", 1)
        self._waiting += 1
        try:
            return await self._change(size)
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._refused.clear()

    async def _change(self, size: Size) -> tuple[Size, int]:
        self._wanted = size
        self._refused.pop(size, None)  # it is tried again
        async with self._one:
            while self.size != self._wanted:
                await asyncio.sleep(max(0.0, self._next - time.monotonic()))
                if self._closed:
                    break
                await self._prepare(self._wanted)
            if self._closed:
                raise session_ended()
            if size in self._refused:
                raise self._refused[size]
            return self.size, self._worker.resize(self._session, self.size)

    async def _prepare(self, size: Size) -> None:
        """Make the newest size ready; whoever asked for it is told if that fails, nobody else."""
        self._next = time.monotonic() + _APART
        try:
            await aside(self._worker.prepare_size, self._session, size)
        except Exception as error:  # noqa: BLE001  # whoever asked for it raises it
            self._refused[size] = error
            if size == self._wanted:
                self._wanted = self.size
        else:
            if size == self._wanted:  # no newer one came meanwhile
                self.size = size

    def close(self) -> None:
        """Let what is made ready still come too late: the session has ended."""
        self._closed = True
