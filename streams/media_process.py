"""Connections in processes of their own: where one core cannot carry the media of all sessions.

    media = MediaProcesses(2, MediaSettings(transport))
    media.start()
    room = media.room(callbacks, stats)   # pinned to the process that has the fewest

ICE, DTLS, SRTP, RTP, decoding and encoding happen there; sessions, styles, the mailbox and the
engine stay here. One that dies or hangs takes its own rooms with it and nobody else's, and is
started again.
"""

import asyncio
import logging
import random

from streams.errors import MediaAway
from streams.media_child import MediaSettings
from streams.media_handle import MediaProcess
from streams.pacing import backoff
from streams.peer import Callbacks
from streams.remote_room import RemoteRoom
from streams.stats import SessionStats

logger = logging.getLogger(__name__)

_STEADY = 60.0  # seconds after which a start counts as a good one


class MediaProcesses:
    """Several media processes, each started again when it is lost. Lives on the loop."""

    def __init__(self, count: int, settings: MediaSettings) -> None:
        self.losses = 0
        self._count, self._settings = count, settings
        self._alive: list[MediaProcess] = []
        self._keeping: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to start them all."""
        self._keeping = [asyncio.create_task(self._keep()) for _ in range(self._count)]

    @property
    def ready(self) -> bool:
        """Say whether connections can be made: one is there, or none is wanted."""
        return bool(self._alive) or not self._count

    @property
    def alive(self) -> int:
        """Count those that are there."""
        return len(self._alive)

    def lag_p99_ms(self) -> float:
        """Give the lateness of the loop that is latest."""
        return max((process.lag_ms for process in self._alive), default=0.0)

    def room(self, callbacks: Callbacks, stats: SessionStats) -> RemoteRoom:
        """Make a room; it is pinned to the process that has the fewest when it is first needed."""
        return RemoteRoom(self._least_busy, callbacks, stats)

    def _least_busy(self) -> MediaProcess:
        if not self._alive:
            raise MediaAway("no media process is there yet; try again")
        return min(self._alive, key=lambda process: len(process.rooms))

    async def close(self) -> None:
        """End them all."""
        for task in self._keeping:
            task.cancel()
        await asyncio.gather(*self._keeping, return_exceptions=True)

    async def _keep(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            process = MediaProcess(self._settings)
            try:
                await process.start()
                self._alive.append(process)
                await process.run()
            except Exception as error:  # noqa: BLE001 - dead, silent, or it talks nonsense of any kind
                logger.error("a media process was lost: %s", type(error).__name__)
            finally:
                if process in self._alive:
                    self._alive.remove(process)
                process.lose()
                await asyncio.shield(asyncio.to_thread(process.kill))
            self.losses += 1
            failures = 1 if loop.time() - began > _STEADY else failures + 1
            await asyncio.sleep(backoff(failures, random.random()) if failures > 1 else 0)  # nosec B311 - no secret
