"""The restyled track that a browser receives."""

import asyncio
import time

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from streams.frame import Restyled
from streams.outlet import Outlet, OutletClosed
from streams.pacing import hold
from streams.stats import Counts


class RestyledTrack(MediaStreamTrack):
    """Gives the newest restyled picture with the timestamp of the input frame that it shows."""

    kind = "video"

    def __init__(self, outlet: Outlet[Restyled], stats: Counts) -> None:
        super().__init__()
        self._outlet, self._stats = outlet, stats
        self._last_number = -1
        self._sent_at = 0.0
        self._sent_pts = 0.0

    async def recv(self) -> av.VideoFrame:
        """Wait for the next picture. Raises MediaStreamError at the end, and nothing else:
        aiortc would stop sending for good.
        """
        try:
            shown = await self._next()
        except OutletClosed:
            self.stop()
            raise MediaStreamError from None
        source, picture = shown.source, shown.picture
        picture.pts, picture.time_base = source.pts, source.time_base
        age_ms = (time.monotonic_ns() - source.arrived_ns) / 1e6
        self._stats.went_out(age_ms, shown.stages_ms, shown.skipped, shown.flicker)
        return picture

    async def _next(self) -> Restyled:
        while True:
            shown = await self._outlet.get()
            if shown.source.number <= self._last_number:
                continue  # bypass was switched on while an older frame was in the engine
            self._last_number = shown.source.number
            pts = float(shown.source.pts * shown.source.time_base)
            wait = hold(self._sent_at, self._sent_pts, time.monotonic(), pts)
            if wait:
                await asyncio.sleep(wait)
            self._sent_at, self._sent_pts = time.monotonic(), pts
            return shown
