"""The picture size of one session: the old one serves until the new one is warm."""

import asyncio

from pipeline.config import Size
from server.aside import aside
from server.errors import ApiError
from streams.frame import SessionId
from streams.worker import Worker


class Sizing:
    """Changes a session's size, one change at a time; of several that wait, the last wins."""

    def __init__(self, session: SessionId, size: Size, worker: Worker) -> None:
        self.size = size  # in force
        self._session, self._worker = session, worker
        self._wanted = size
        self._one = asyncio.Lock()
        self._closed = False

    async def change(self, size: Size) -> tuple[Size, int]:
        """Change the size; give what is in force then, and from which input frame on.

        Raises ConfigError, NoRoom, EngineAway, and ApiError 404 when the session ends meanwhile;
        the size stays as it was then.
        """
        self._wanted = size
        async with self._one:
            while self.size != self._wanted:
                size = self._wanted
                try:
                    await aside(self._worker.prepare_size, self._session, size)
                except BaseException:
                    if size == self._wanted:
                        self._wanted = self.size
                    raise
                if size == self._wanted:  # no newer one came meanwhile
                    self.size = size
            if self._closed:
                raise ApiError("not_found", "the session has ended")
            return self.size, self._worker.resize(self._session, self.size)

    def close(self) -> None:
        """Let what is made ready still come too late: the session has ended."""
        self._closed = True
