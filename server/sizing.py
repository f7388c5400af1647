"""The picture size of one session: the old one serves until the new one is warm."""

import asyncio

from pipeline.config import Size
from streams.frame import SessionId
from streams.worker import Worker


class Sizing:
    """Changes a session's size, one change at a time; of several that wait, the last wins."""

    def __init__(self, session: SessionId, size: Size, worker: Worker) -> None:
        self.size = size  # in force
        self._session, self._worker = session, worker
        self._wanted = size
        self._one = asyncio.Lock()

    async def change(self, size: Size) -> tuple[Size, int]:
        """Change the size; give what is in force then, and from which input frame on.

        Raises ConfigError, NoRoom, EngineAway; the size stays as it was then.
        """
        self._wanted = size
        async with self._one:
            while self.size != self._wanted:
                size = self._wanted
                try:
                    await asyncio.to_thread(self._worker.prepare_size, self._session, size)
                except BaseException:
                    if size == self._wanted:
                        self._wanted = self.size
                    raise
                if size == self._wanted:  # no newer one came meanwhile
                    self.size = size
            return self.size, self._worker.resize(self._session, self.size)
