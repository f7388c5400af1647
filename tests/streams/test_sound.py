import asyncio
import time

import pytest
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtpPacket

from streams.jitter import MarkerJitterBuffer
from streams.sound import LipSync, Sound, SoundTrack
from tests.streams.waiting import eventually


def sound(number: int, arrived: float | None = None) -> Sound:
    return Sound(960 * number, time.monotonic() if arrived is None else arrived, bytes([number]))


async def test_sound_is_as_late_as_the_picture_and_follows_it_slowly() -> None:
    age = 0.08
    sync = LipSync(lambda: age)
    heard: list[tuple[int, float]] = []
    sync.add(lambda packet: heard.append((packet.data[0], time.monotonic())))
    began = time.monotonic()
    sync.put(sound(1, began))
    await eventually(lambda: bool(heard))
    assert [number for number, _ in heard] == [1]
    assert heard[0][1] - began >= 0.075

    age = 0.2
    sync.put(sound(2))
    assert sync.delay == pytest.approx(0.085)  # 5 ms a packet, which nobody hears
    for number in range(3, 40):
        sync.put(sound(number))
    assert sync.delay == pytest.approx(0.2)
    await eventually(lambda: len(heard) >= 39)
    assert [number for number, _ in heard] == list(range(1, 40))


async def test_muted_sound_and_sound_for_nobody_go_nowhere() -> None:
    sync = LipSync(lambda: None)
    heard: list[Sound] = []
    sync.put(sound(1))
    sync.add(heard.append)
    sync.muted = True
    sync.put(sound(2))
    await asyncio.sleep(0.02)
    assert heard == []
    sync.muted = False
    sync.put(sound(3))
    await eventually(lambda: bool(heard))
    assert [packet.data for packet in heard] == [b"\x03"]


async def test_a_reader_that_stalls_keeps_the_newest_second() -> None:
    track = SoundTrack()
    for number in range(200):
        track.put(sound(number))
    first = await track.recv()
    assert (bytes(first), first.pts) == (bytes([150]), 150 * 960)
    track.stop()
    with pytest.raises(MediaStreamError):
        await track.recv()


def test_sound_is_given_out_at_once_and_never_backwards() -> None:
    buffer = MarkerJitterBuffer(16, prefetch=4)

    def add(number: int) -> JitterFrame | None:
        packet = RtpPacket(sequence_number=number, timestamp=number * 960)
        packet._data = bytes([number & 255])  # type: ignore[attr-defined]  # as the receiver does
        return buffer.add(packet)[1]

    frames = [add(number) for number in (65534, 65535, 0, 3, 2, 4)]
    assert [frame and frame.timestamp // 960 for frame in frames] == [65534, 65535, 0, 3, None, 4]
