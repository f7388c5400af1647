"""Cameras that exist only as numbers, around the real mailbox, the real engine and its scheduler.

With the simulated device of pipeline/backends/simulated.py, on a clock that nobody waits for; or
with a real device, on the time that passes.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import av
import numpy as np

from pipeline.backends.simulated import SIDE, Device
from pipeline.config import EngineConfig
from pipeline.engine import Engine
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from pipeline.results import Image
from streams.frame import Frame, SessionId
from streams.mailbox import Mailbox

_PLAIN = StyleParams(guidance_scale=1.0, deflicker=0.0)
_IMAGE = np.zeros((SIDE, SIDE, 3), np.uint8)


class Time(Protocol):
    """Seconds that are read, and set when there is nothing to do until then."""

    now: float


class WallTime:
    """The time of an engine that is built without a clock of its own; setting it waits."""

    @property
    def now(self) -> float:
        """Give the time in seconds."""
        return time.monotonic()

    @now.setter
    def now(self, until: float) -> None:
        time.sleep(max(0.0, until - time.monotonic()))


@dataclass(frozen=True, slots=True)
class Camera:
    """Somebody who sends frames."""

    name: str
    fps: float = 30.0
    first: float = 0.0  # seconds until the first frame
    style: StyleParams = _PLAIN
    until: float = float("inf")


@dataclass(frozen=True, slots=True)
class Served:
    """A frame that came out."""

    session: str
    number: int
    arrived: float
    since: float  # when its session's turn became due
    finished: float


def make_engine(device: Device, **config: object) -> Engine:
    """Build an engine on a simulated device, with the embedded model's text encoder."""
    values = {"width": SIDE, "height": SIDE, "max_rows": 16} | config
    settings = EngineConfig(**values)  # type: ignore[arg-type]  # the caller's own fields
    engine = Engine(settings, open_folder(EngineConfig()), device, device.clock)
    engine.warm_up()
    device.calls.clear()
    return engine


def simulate(
    engine: Engine,
    clock: Time,
    cameras: list[Camera],
    seconds: float,
    at: Callable[[float, Mailbox], None] = lambda now, mailbox: None,
    images: Sequence[Image] = (_IMAGE,),
) -> list[Served]:
    """Let cameras send these pictures for a time; give every frame that came out.

    `at` is called before each turn, to change styles meanwhile.
    """
    mailbox, sent = Mailbox(), dict.fromkeys((camera.name for camera in cameras), 0)
    waiting: dict[tuple[str, int], tuple[float, float]] = {}
    served: list[Served] = []
    start = clock.now
    for camera in cameras:
        mailbox.open(SessionId(camera.name), camera.style)
        engine.open(camera.name)
    while clock.now < start + seconds:
        _send(mailbox, cameras, sent, start, clock.now)
        at(clock.now - start, mailbox)
        while letter := mailbox.take(0, lambda s, style: engine.wants(s, style.steps)).letter:
            since, number = letter.since_ns / 1e9, letter.frame.number
            waiting[letter.session, number] = (letter.frame.arrived_ns / 1e9, since)
            engine.submit(letter.session, number, images[number % len(images)], letter.style, since)
        if engine.in_flight:
            for result in engine.tick():
                times = waiting.pop((result.session, result.number))
                served.append(Served(result.session, result.number, *times, clock.now))
        else:
            clock.now = min(start + c.first + sent[c.name] / c.fps for c in cameras) + 1e-9
    return served


def _send(
    mailbox: Mailbox, cameras: list[Camera], sent: dict[str, int], start: float, now: float
) -> None:
    """Put all frames that are due, in the order of their time."""
    due = []
    for camera in cameras:
        while (at := start + camera.first + sent[camera.name] / camera.fps) <= now:
            if at < start + camera.until:
                due.append((at, camera.name, sent[camera.name]))
            sent[camera.name] += 1
    for at, name, number in sorted(due):
        picture = av.VideoFrame(16, 16, "rgb24")
        frame = Frame(number, number, Fraction(1, 30), round(at * 1e9), picture)
        mailbox.put(SessionId(name), frame)
