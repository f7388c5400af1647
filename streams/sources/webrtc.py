"""Frames of a remote track: drained at once, so that nothing ever queues up in front of us."""

import itertools
import time
from collections.abc import Callable

import av
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from streams.frame import Frame
from streams.sound import Sound


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


async def drain_sound(track: MediaStreamTrack, put: Callable[[Sound], None]) -> None:
    """Hand every packet of Opus to `put` as it comes; what is no Opus is dropped."""
    while True:
        try:
            packet = await track.recv()
        except MediaStreamError:
            return
        if isinstance(packet, av.Packet) and packet.pts is not None:
            put(Sound(packet.pts, time.monotonic(), bytes(packet)))
