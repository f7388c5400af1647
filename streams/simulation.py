"""Cameras and a device that exist only as numbers, around the real mailbox and the real engine.

The device charges t(B) = once + row × bucket(B) on a clock that nobody waits for, so that what the
scheduler promises can be tested anywhere, the same each time. It says nothing of a GPU's speed.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
import torch
from torch import Tensor

from pipeline.config import EngineConfig
from pipeline.engine import Engine
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from streams.frame import Frame, SessionId
from streams.mailbox import Mailbox

BUCKETS = (1, 2, 4, 8, 12, 16)  # the batch sizes for which a GPU has a graph
_SIDE = 64
_PLAIN = StyleParams(guidance_scale=1.0)
_IMAGE = np.zeros((_SIDE, _SIDE, 3), np.uint8)


@dataclass(slots=True)
class Clock:
    """Time that passes when somebody says so."""

    now: float = 0.0

    def __call__(self) -> float:
        """Give the time in seconds."""
        return self.now


@dataclass(slots=True)
class Device:
    """What a machine takes for its work, in seconds."""

    clock: Clock
    once: float
    row: float
    frame: float = 0.0002  # encode and decode, each
    calls: list[int] = field(default_factory=list)  # rows of each UNet call

    name = "simulated"
    device = torch.device("cpu")
    batches = True

    def encode(self, images: Tensor) -> Tensor:
        """See Networks."""
        self.clock.now += self.frame
        return torch.zeros(len(images), 16, _SIDE // 8, _SIDE // 8)

    def denoise(self, rows: Tensor, timesteps: Tensor, words: Tensor) -> Tensor:
        """See Networks."""
        self.calls.append(len(rows))
        bucket = next((size for size in BUCKETS if size >= len(rows)), len(rows))
        self.clock.now += self.once + self.row * bucket
        return rows[:, :16]

    def decode(self, latents: Tensor) -> Tensor:
        """See Networks."""
        self.clock.now += self.frame
        return torch.zeros(len(latents), _SIDE, _SIDE, 3, dtype=torch.uint8)


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
    values = {"width": _SIDE, "height": _SIDE, "max_rows": 16} | config
    settings = EngineConfig(**values)  # type: ignore[arg-type]  # the caller's own fields
    engine = Engine(settings, open_folder(EngineConfig()), device, device.clock)
    engine.warm_up()
    device.calls.clear()
    return engine


def simulate(
    engine: Engine,
    clock: Clock,
    cameras: list[Camera],
    seconds: float,
    at: Callable[[float, Mailbox], None] = lambda now, mailbox: None,
) -> list[Served]:
    """Let cameras send for a time; give every frame that came out.

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
        mail = mailbox.take(0, lambda session, style: engine.wants(session, style.steps))
        for letter in mail.frames:
            since, number = letter.since_ns / 1e9, letter.frame.number
            waiting[letter.session, number] = (letter.frame.arrived_ns / 1e9, since)
            engine.submit(letter.session, number, _IMAGE, letter.style, since)
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
