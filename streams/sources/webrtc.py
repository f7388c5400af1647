"""Frames of a remote track: drained at once, so that nothing ever queues up in front of us."""

import itertools
import time
from collections.abc import Callable

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from streams.frame import Frame


async def drain(track: MediaStreamTrack, put: Callable[[Frame], None]) -> None:
    """Hand every frame of a track to `put` as it comes; return when the track ends."""
    for number in itertools.count():
        try:
            picture = await track.recv()
        except MediaStreamError:
            return
        arrived_ns = time.monotonic_ns()
        if isinstance(picture, av.VideoFrame):
            assert picture.pts is not None
            assert picture.time_base is not None
            put(Frame(number, picture.pts, picture.time_base, arrived_ns, picture))


async def discard(track: MediaStreamTrack) -> None:
    """Read a track that nobody wants: one that is not read grows without bound (aiortc)."""
    while True:
        try:
            await track.recv()
        except MediaStreamError:
            return
