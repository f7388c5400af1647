"""A peer that sends a white flash and a click at the same moment, and times their return."""

import asyncio
import statistics
import time
from collections.abc import Sequence
from fractions import Fraction

import av
import httpx
import numpy as np
from aiortc import MediaStreamTrack, VideoStreamTrack
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame

from server.client import received
from tests.server.client import Browser
from tests.server.players import Player
from tests.streams.clicks import EVERY, Voice, beginnings, flash, marked
from tests.streams.waiting import PATIENCE


def _begins(at: float, period: float) -> bool:
    return marked(at) and not marked(at - period)


class Flashing(VideoStreamTrack):
    """Black, and white while there is a mark."""

    def __init__(self, began: float) -> None:
        super().__init__()
        self._began, self._number = began, 0
        self.marks: list[float] = []  # when each began to be sent

    async def recv(self) -> av.VideoFrame:
        self._number += 1
        at = self._number / 30
        await asyncio.sleep(max(0.0, self._began + at - time.monotonic()))
        if _begins(at, 1 / 30):
            self.marks.append(time.monotonic())
        frame = flash(at)
        frame.pts, frame.time_base = self._number * 3000, Fraction(1, 90000)
        return frame


class Clicking(MediaStreamTrack):
    """Silence, and a tone while there is a mark; sent as the packets that it keeps."""

    kind = "audio"

    def __init__(self, began: float) -> None:
        super().__init__()
        self._began, self._number = began, 0
        self._voice = Voice()
        self.sent: list[av.Packet] = []
        self.marks: list[float] = []  # when each began to be sent

    async def recv(self) -> av.Packet:
        while True:
            self._number += 1
            at = self._number / 50
            await asyncio.sleep(max(0.0, self._began + at - time.monotonic()))
            if _begins(at, 1 / 50):
                self.marks.append(time.monotonic())
            if data := self._voice.packet(self._number):
                packet = av.Packet(data)
                packet.pts, packet.time_base = self._number * 960, Fraction(1, 48000)
                self.sent.append(packet)
                return packet


def offset_of(lags: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Give by how much clicks come after their flashes, and how uneven the flashes' own way was.

    The latter is a busy machine's; nobody can foresee it. Both in seconds.
    """
    flashes = [flash for flash, _ in lags]
    offset = statistics.median(click - flash for flash, click in lags)
    return offset, max(flashes) - min(flashes)


class Noted:
    """Notes when each picture and each packet comes."""

    def __init__(self, inverted: bool) -> None:
        self._inverted = inverted  # as the engine of the tests makes pictures
        self.seen: list[tuple[float, float]] = []  # when, grey level
        self.heard: list[bytes] = []  # Opus
        self.loud: list[tuple[float, bool]] = []  # when

    async def note(self, track: MediaStreamTrack) -> None:
        decoder = OpusDecoder()
        async for item in received(track):
            now = time.monotonic()
            if isinstance(item, av.VideoFrame):
                self.seen.append((now, float(item.to_ndarray(format="rgb24").mean())))
            elif isinstance(item, av.Packet):
                self.heard.append(bytes(item))
                frames = decoder.decode(JitterFrame(bytes(item), item.pts or 0))
                peak = max((int(np.abs(f.to_ndarray()).max()) for f in frames), default=0)  # type: ignore[attr-defined]  # of sound
                self.loud.append((now, peak > 2000))

    def flashes(self) -> list[float]:
        return beginnings([(at, (level > 128) != self._inverted) for at, level in self.seen])

    def clicks(self) -> list[float]:
        return beginnings(self.loud)


class MarkedPlayer(Player):
    """Watches a session that shows marks, and notes when they come."""

    def __init__(self, inverted: bool = True) -> None:
        super().__init__()
        self.noted = Noted(inverted)
        self._noting: list[asyncio.Task[None]] = []
        self.connection.addTransceiver("audio", direction="recvonly")

    async def offsets(self, marks: int) -> list[float]:
        """Give how much later than its flash each click came, once there are so many; seconds.

        A flash of which a busy machine showed no picture has no click, and the other way round.
        """
        async with asyncio.timeout(PATIENCE):
            while len(found := self._near()) < marks:  # noqa: ASYNC110 - a deadline
                await asyncio.sleep(0.1)
        return found

    def _near(self) -> list[float]:
        clicks = self.noted.clicks()
        near = [[c - at for c in clicks if abs(c - at) < EVERY / 2] for at in self.noted.flashes()]
        return [min(each, key=abs) for each in near if each]

    async def close(self) -> None:
        await super().close()
        await asyncio.gather(*self._noting)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._noting.append(asyncio.create_task(self.noted.note(track)))


class Marked(Browser, Noted):
    """Sends marks, and notes when each picture and each packet comes back."""

    def __init__(self, inverted: bool = True) -> None:
        Browser.__init__(self)
        Noted.__init__(self, inverted)
        began = time.monotonic()
        self.flashing = self.camera = Flashing(began)  # type: ignore[assignment]  # a camera, too
        self.voice = Clicking(began)

    async def offer(self) -> str:
        self.connection.addTrack(self.voice)
        return await super().offer()

    async def connect(self, http: httpx.AsyncClient, **style: object) -> str:  # type: ignore[override]  # the location
        answer = await super().connect(http, **style)
        assert answer.status_code == 201, answer.text
        return str(answer.headers["location"])

    async def measure(self, marks: int, seconds: float = PATIENCE) -> list[tuple[float, float]]:
        """Give what so many flashes and their clicks took, from sending to return, in seconds."""
        until = time.monotonic() + seconds
        while len(found := self.lags()) < marks and time.monotonic() < until:  # noqa: ASYNC110 - a deadline
            await asyncio.sleep(0.2)
        return [(flash, click) for _, flash, click in found]

    def lags(self) -> list[tuple[float, float, float]]:
        """Give when each mark was sent, and what its flash and its click took, in seconds."""
        seen = _lags(self.flashing.marks, self.flashes())
        heard = _lags(self.voice.marks, self.clicks())
        both = sorted(seen.keys() & heard.keys())
        return [(self.flashing.marks[mark], seen[mark], heard[mark]) for mark in both]

    def _on_track(self, track: MediaStreamTrack) -> None:
        task = asyncio.create_task(self.note(track))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _lags(sent: Sequence[float], came: Sequence[float]) -> dict[int, float]:
    """Give by mark how long it took; marks are further apart than anything takes."""
    found: dict[int, float] = {}
    for number, at in enumerate(sent):
        later = [each - at for each in came if 0 <= each - at < EVERY]
        if later:
            found[number] = later[0]
    return found
