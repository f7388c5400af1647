"""Several sinks of one session, and viewers that share an encode."""

import asyncio
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc import RTCRtpSender
from aiortc.mediastreams import MediaStreamError
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from streams.broadcast import Broadcast
from streams.frame import Encoded, Frame, Restyled
from streams.hub import Hub
from streams.sinks.viewer import ViewerTrack
from tests.streams.waiting import PATIENCE


def restyled(number: int) -> Restyled:
    image = np.full((64, 64, 3), number % 200, np.uint8)
    picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    return Restyled(Frame(number, number * 3000, Fraction(1, 90000), 0, picture), picture, {})


def codec_of(name: str) -> RTCRtpCodecParameters:
    found = next(c for c in RTCRtpSender.getCapabilities("video").codecs if name in c.mimeType)
    return RTCRtpCodecParameters(found.mimeType, found.clockRate, payloadType=97)


def encoded(number: int, key: bool = False) -> Encoded:
    return Encoded([b"x"], number, key)


def test_a_sink_that_fails_takes_nothing_from_the_others() -> None:
    hub, seen = Hub(), []

    def broken(picture: Restyled) -> None:
        raise RuntimeError("as asked")

    hub.add(broken)
    hub.add(lambda picture: seen.append(picture.source.number))
    for number in range(3):
        hub.put(restyled(number))
    assert seen == [0, 1, 2]


@pytest.mark.parametrize("name", ["VP8", "H264"])
async def test_a_stalled_viewer_leaves_the_others_their_frames(name: str) -> None:
    hub, codec = Hub(), codec_of(name)
    broadcast = Broadcast(hub)
    reader, stalled = [ViewerTrack(lambda: broadcast.ask_key(codec)) for _ in range(2)]
    for track in (reader, stalled):
        broadcast.join(codec, track)
    pictures = []
    for number in range(30):
        hub.put(restyled(number))
        pictures.append(await asyncio.wait_for(reader.recv(), PATIENCE))

    assert [p.is_key for p in pictures] == [True] + [False] * 29
    for number, picture in enumerate(pictures):
        assert abs(picture.timestamp - number * 3000) <= 1  # aiortc rounds VP8's down
    await broadcast.leave(codec, stalled)
    await broadcast.leave(codec, reader)
    assert hub._sinks == ()


@pytest.mark.parametrize("name", ["VP8", "H264"])
async def test_a_late_viewer_begins_with_a_key_frame(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.broadcast._KEY_EVERY", 0.0)
    hub, codec = Hub(), codec_of(name)
    broadcast = Broadcast(hub)
    early, late = [ViewerTrack(lambda: broadcast.ask_key(codec)) for _ in range(2)]
    broadcast.join(codec, early)
    for number in range(5):
        hub.put(restyled(number))
        await asyncio.wait_for(early.recv(), PATIENCE)
    broadcast.join(codec, late)
    first = asyncio.create_task(late.recv())
    await asyncio.sleep(0)
    hub.put(restyled(5))
    assert (await asyncio.wait_for(first, PATIENCE)).is_key
    assert (await asyncio.wait_for(early.recv(), PATIENCE)).is_key
    await broadcast.leave(codec, late)
    await broadcast.leave(codec, early)


async def test_a_viewer_that_lags_skips_to_the_next_key_frame() -> None:
    asked = 0

    def ask() -> None:
        nonlocal asked
        asked += 1

    track = ViewerTrack(ask)
    track.put(encoded(0, key=True))
    for number in range(1, 20):
        track.put(encoded(number))
    assert asked == 0  # one that does not read costs the others no key frame
    waiting = asyncio.create_task(track.recv())
    await asyncio.sleep(0)
    assert asked == 1
    track.put(encoded(20))
    track.put(encoded(21, key=True))
    assert (await asyncio.wait_for(waiting, PATIENCE)).timestamp == 21
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()
