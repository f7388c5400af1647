"""Memory stays flat (T6): with everything on, and with sessions that come and go."""

import gc
import random
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import psutil
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.config import EngineConfig
from pipeline.engine import Engine
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from pipeline.session_state import ASIDE
from tests.pipeline.conftest import drain, moving

SIDE = 64
PLACES = 3
WARM = 0.3  # of the ticks, until every kind of frame has been there
FRAME = SIDE * SIDE * 3  # bytes of a picture
MOST_MB = 12.0  # of the process; one latent kept of each frame of 10,000 ticks would be 40
EVERYTHING = StyleParams(
    noise="warped", noise_warp=0.7, steps=2, deflicker=1.0, deflicker_search=True, travel=0.2,
    motion_noise=1.0, similarity_filter=0.9, seed_blend=0.3, guidance_scale=2.0,
)  # fmt: skip


class Echo:
    """Networks that cost next to nothing and show what they were given."""

    name = "echo"
    batches = True
    device = torch.device("cpu")

    def encode(self, images: Tensor) -> Tensor:
        small = functional.avg_pool2d(images.permute(0, 3, 1, 2) / 127.5 - 1, 8)
        return small.repeat(1, 6, 1, 1)[:, :16]

    def condition(self, words: Tensor) -> Tensor:
        return words

    def denoise(self, rows: Tensor, timesteps: Sequence[float], prompts: Tensor) -> Tensor:
        return rows[:, :16] * 0.1

    def decode(self, latents: Tensor) -> Tensor:
        shown = functional.interpolate(latents[:, :3], scale_factor=8)
        return ((shown + 1) * 127.5).clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()


class Visitors:
    """Sessions that send frames, change their style and leave again, by chance."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._films = [moving(20, seed) for seed in range(3)]
        self._random = random.Random(0)
        self._sent: dict[str, int] = {}  # by each that is there
        self.came = self.shown = 0

    def tick(self) -> None:
        """Let some come, some go, and all send what the engine wants."""
        while len(self._sent) < PLACES:
            name = f"visitor {self.came}"
            self._engine.open(name)
            self._sent[name] = 0
            self.came += 1
        for name, sent in self._sent.items():
            if self._engine.wants(name, EVERYTHING.steps):
                film = self._films[sent // 20 % len(self._films)]  # another one is a cut
                image = film[sent % len(film)]
                self._engine.submit(name, sent, image, self._style(sent), sent / 25)
                self._sent[name] += 1
        self.shown += len(self._engine.tick())
        if self._random.random() < 0.1:
            self._leave(self._random.choice(list(self._sent)))

    def all_leave(self) -> None:
        for name in list(self._sent):
            self._leave(name)

    def _leave(self, name: str) -> None:
        self._engine.close(name)  # with frames in flight
        del self._sent[name]

    def _style(self, sent: int) -> StyleParams:
        return replace(EVERYTHING, prompt=("ink", "oil")[sent // 30 % 2], seed=sent // 15 % 4)


@contextmanager
def traced() -> Iterator[None]:
    """Count what Python and NumPy allocate from here on."""
    tracemalloc.start()
    try:
        yield
    finally:
        tracemalloc.stop()


def in_use() -> tuple[int, int, float]:
    """Give bytes of Python and NumPy, tensors alive, and megabytes of the process."""
    # what is under way aside holds its session
    all_here = threading.Barrier(ASIDE._max_workers + 1)
    for _ in range(ASIDE._max_workers):
        ASIDE.submit(all_here.wait)
    all_here.wait(60)
    gc.collect()
    tensors = sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())
    return tracemalloc.get_traced_memory()[0], tensors, psutil.Process().memory_info().rss / 1e6


@dataclass
class Grown:
    """How many came and what was shown, and what is in use more than before."""

    came: int
    shown: int
    bytes: int
    tensors: int
    megabytes: float


def grown(visitors: Visitors, ticks: int) -> Grown:
    """Let all come, send and leave again."""
    before, came, shown = in_use(), visitors.came, visitors.shown
    for _ in range(ticks):
        visitors.tick()
    visitors.all_leave()
    more = (after - first for after, first in zip(in_use(), before, strict=True))
    return Grown(visitors.came - came, visitors.shown - shown, *more)


@pytest.mark.slow
@pytest.mark.parametrize(
    "ticks", [100, pytest.param(10_000, marks=[pytest.mark.long, pytest.mark.timeout(3600)])]
)
def test_memory_is_flat_with_everything_on_and_sessions_that_come_and_go(ticks: int) -> None:
    config = EngineConfig(width=SIDE, height=SIDE)
    engine = Engine(config, open_folder(config), Echo())
    visitors, warm = Visitors(engine), round(WARM * ticks)
    with torch.inference_mode(), traced():
        for _ in range(warm):
            visitors.tick()
        visitors.all_leave()
        half = (ticks - warm) // 2
        first, second = grown(visitors, half), grown(visitors, half)

    assert first.shown + second.shown > half
    assert first.came + second.came > 5
    # what is made once is made in one of them; what stays of each frame or session grows in both
    least = min(min(each.came, each.shown / 10) for each in (first, second))
    assert min(first.tensors, second.tensors) < least
    assert min(first.bytes, second.bytes) < least * FRAME
    if ticks > 1000:  # before, the allocator has not settled
        assert first.megabytes + second.megabytes < MOST_MB
    assert not drain(engine)
