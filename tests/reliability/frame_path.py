"""The way of a frame without RTP: as fast as it goes, then with an engine of three frames a second.

python -m tests.reliability.frame_path FRAMES SECONDS

The server's process in small: drain, mailbox, engine thread, the engine's own process, hub, outlet,
restyled track and figures are the real ones; the engine only inverts. Prints a line of JSON for
each sample and waits for one on its standard input: accelerated.py looks at the process meanwhile.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError

from pipeline.params import StyleParams
from pipeline.results import EngineInfo, EngineResult
from server.client import received
from streams.engine_process import EngineProcess
from streams.frame import Frame, Restyled, SessionId
from streams.hub import Hub
from streams.outlet import Outlet
from streams.sinks.webrtc import RestyledTrack
from streams.sources.webrtc import drain
from streams.stats import SessionStats
from streams.worker import Worker
from tests.reliability.gc_pauses import GcPauses
from tests.streams.fakes import FakeEngine
from tests.streams.waiting import eventually

SESSIONS = 4  # at full speed: while one's frame crosses, another's is inverted
SLOW = 1 / 3  # seconds a frame
_SAMPLES = 400  # at full speed
_FPS = 30
_LEVELS = 64  # grey, one after the other
_CLOCK = Fraction(1, 90000)


class SlowEngine(FakeEngine):
    """Takes its time over each picture."""

    @property
    def info(self) -> EngineInfo:
        """Say so, too."""
        return replace(super().info, ms_per_frame=1000 * SLOW)

    def tick(self) -> list[EngineResult]:
        """Invert, late."""
        time.sleep(SLOW)
        return super().tick()


def fast_engine(progress: Callable[[str], None]) -> FakeEngine:
    """Build one that only inverts."""
    return FakeEngine()


def slow_engine(progress: Callable[[str], None]) -> SlowEngine:
    """Build one that takes its time."""
    return SlowEngine()


class Source(MediaStreamTrack):
    """Gives so many pictures of 64x64, each when `turn` lets it."""

    kind = "video"

    def __init__(self, count: int) -> None:
        super().__init__()
        self.turn = asyncio.Semaphore(1)
        self._count, self._sent = count, 0

    async def recv(self) -> av.VideoFrame:
        """Give the next picture. Raises MediaStreamError after the last."""
        if self._sent == self._count:
            raise MediaStreamError
        await self.turn.acquire()
        picture = av.VideoFrame(64, 64, "yuv420p")
        grey = np.full(64 * 64, level(self._sent), np.uint8)
        picture.planes[0].update(grey)
        for colour in picture.planes[1:]:
            colour.update(np.full(32 * 32, 128, np.uint8))
        picture.pts, picture.time_base = time.monotonic_ns() * 9 // 100000, _CLOCK
        self._sent += 1
        return picture


def level(number: int) -> int:
    """Give the grey level of a picture, 60 to 123."""
    return 60 + number % _LEVELS


class Way:
    """One session's, from its source to a track of restyled pictures."""

    def __init__(self, worker: Worker, name: str, source: Source) -> None:
        self.stats = SessionStats()
        self.source, self._worker, self._name = source, worker, SessionId(name)
        self._outlet: Outlet[Restyled] = Outlet()
        self.shown = RestyledTrack(self._outlet, self.stats)
        self._hub, self._delivered = Hub(), 0
        self._hub.add(self._outlet.put)
        self.most_inside = 0  # frames between `put` and the hub
        worker.open(self._name, StyleParams(), self._deliver)
        self._draining = asyncio.create_task(drain(source, self._put))

    async def run(self, on_picture: Callable[[av.VideoFrame], None]) -> None:
        """Read every picture, until the source has no more."""
        reading = asyncio.create_task(self._read(on_picture))
        await self._draining
        await eventually(lambda: not self._inside())
        await asyncio.sleep(0.1)  # what the outlet holds
        self._outlet.close()
        await reading
        self._worker.close_session(self._name)

    async def _read(self, on_picture: Callable[[av.VideoFrame], None]) -> None:
        async for picture in received(self.shown):
            assert isinstance(picture, av.VideoFrame)
            on_picture(picture)

    def _put(self, frame: Frame) -> None:
        self.stats.came_in()
        self._worker.put(self._name, frame)
        self.most_inside = max(self.most_inside, self._inside())

    def _inside(self) -> int:
        return self.stats.frames_in - self._delivered - self._worker.dropped(self._name)

    def _deliver(self, restyled: Restyled) -> None:
        self._delivered += 1  # by the delivery thread alone
        self._hub.put(restyled)


class Report:
    """What is said of each sample."""

    def __init__(self, phase: str, pauses: GcPauses) -> None:
        self._phase, self._pauses = phase, pauses
        self.frames = self.wrong = 0

    def picture(self, picture: av.VideoFrame) -> None:
        """Count one, and whether the engine inverted it."""
        self.frames += 1
        grey = memoryview(picture.planes[0])[0]  # 235 + 16: black and white of BT.601
        self.wrong += not 251 - level(_LEVELS - 1) - 3 <= grey <= 251 - level(0) + 3

    def say(self, ways: list[Way], failures: int) -> None:
        """Print, then wait for an answer: nothing moves while memory is looked at."""
        gc.collect()
        figures = [way.stats.figures() for way in ways]
        line = {
            "phase": self._phase,
            "frames": self.frames,
            "wrong": self.wrong,
            "failures": failures,
            "most_inside": max(way.most_inside for way in ways),
            "age_p95_ms": max((f.age_p95_ms for f in figures if f.age_p95_ms), default=None),
            "tasks": len(asyncio.all_tasks()),
            "gc_pause_ms": round(self._pauses.longest_ms, 2),
        }
        print(json.dumps(line), flush=True)
        sys.stdin.readline()


async def at_full_speed(frames: int, pauses: GcPauses) -> None:
    """Send each picture as soon as the one before it was shown."""
    with running(fast_engine) as worker:
        report, every = Report("full speed", pauses), max(1, frames // _SAMPLES)
        ways = [Way(worker, f"s{n}", Source(frames // SESSIONS)) for n in range(SESSIONS)]

        async def run(way: Way) -> None:
            def on_picture(picture: av.VideoFrame) -> None:
                report.picture(picture)
                way.source.turn.release()
                if report.frames % every == 0:
                    report.say(ways, worker.failures)

            await way.run(on_picture)

        await asyncio.gather(*(run(way) for way in ways))


async def throttled(seconds: float, pauses: GcPauses) -> None:
    """Send thirty pictures a second to an engine that does three."""
    with running(slow_engine) as worker:
        report, loop = Report("throttled", pauses), asyncio.get_running_loop()
        way = Way(worker, "slow", Source(round(seconds * _FPS)))
        reading = asyncio.create_task(way.run(report.picture))
        began, said = loop.time(), 0
        for number in range(round(seconds * _FPS)):
            await asyncio.sleep(max(0.0, began + number / _FPS - loop.time()))
            way.source.turn.release()
            if (at := int(loop.time() - began)) > said:
                said = at
                report.say([way], worker.failures)
        await reading


@contextmanager
def running(build: Callable[[Callable[[str], None]], FakeEngine]) -> Iterator[Worker]:
    """Run an engine in a process of its own, and the thread that drives it."""
    engine = EngineProcess(build)
    worker = Worker(engine.start)
    try:
        worker.start()
        worker.ready.result()
        yield worker
    finally:
        worker.close()
        engine.end()


def main() -> None:
    """Run both parts."""
    from server import serve  # noqa: F401 - what the server's process has loaded, too

    gc.collect()
    gc.freeze()  # as the server does
    frames, seconds = int(sys.argv[1]), float(sys.argv[2])
    with GcPauses() as pauses:
        asyncio.run(at_full_speed(frames, pauses))
        asyncio.run(throttled(seconds, pauses))


if __name__ == "__main__":
    main()
