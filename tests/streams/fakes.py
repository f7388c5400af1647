"""An engine that works: it inverts each picture, one tick later."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from pipeline.config import EngineConfig, Size
from pipeline.embedded import WEIGHTS
from pipeline.errors import ConfigError, NoRoom
from pipeline.models.folder import Preset, open_folder
from pipeline.params import StyleParams
from pipeline.results import EngineInfo, EngineResult
from streams.protocol import Image


@dataclass
class FakeEngine:
    """Inverts pictures. A prompt "fail" makes submit raise, "crash" makes tick raise.

    Of "gibberish" it says that it does not know it. Sizes take a moment, 1024x1024 has no room.
    """

    config: EngineConfig = field(default_factory=lambda: EngineConfig(width=64, height=64))
    prepared: list[str] = field(default_factory=list)
    submitted: int = 0
    sizes: set[Size] = field(default_factory=set)
    _waiting: list[tuple[str, int, Image, StyleParams]] = field(default_factory=list)
    _open: set[str] = field(default_factory=set)

    @property
    def info(self) -> EngineInfo:
        presets = (Preset("Inverted", "inverted"),)
        return EngineInfo("fake", "cpu", "fake", "sample", 64, 64, 1.0, presets, size_step=64)

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    def prepare(self, params: StyleParams) -> str | None:
        self.prepared.append(params.prompt)
        return "nothing I know" if params.prompt == "gibberish" else None

    def prepare_size(self, session: str, size: Size) -> None:
        if any(side % 64 for side in size):
            raise ConfigError(f"{size}: fake needs multiples of 64")
        if size == (1024, 1024):
            raise NoRoom("takes about 9.00 GB more, but cpu has 1.00 GB free")
        time.sleep(0.2)
        self.sizes.add(size)

    def open(self, session: str) -> None:
        self._open.add(session)

    def close(self, session: str) -> None:
        self.drop(session)

    def drop(self, session: str) -> None:
        self._open.discard(session)
        self._waiting = [entry for entry in self._waiting if entry[0] != session]

    def wants(self, session: str, steps: int) -> bool:
        return session in self._open and all(entry[0] != session for entry in self._waiting)

    def submit(
        self,
        session: str,
        number: int,
        image: Image,
        params: StyleParams,
        arrived: float | None = None,
    ) -> None:
        self.submitted += 1
        if (image.shape[1], image.shape[0]) not in {(64, 64), *self.sizes}:
            raise ConfigError(f"{image.shape}: not prepared")
        if params.prompt == "fail":
            raise RuntimeError("as asked")
        self._waiting.append((session, number, image, params))

    def tick(self) -> list[EngineResult]:
        waiting, self._waiting = self._waiting, []
        if any(params.prompt == "crash" for *_, params in waiting):
            raise RuntimeError("as asked")
        return [EngineResult(s, n, 255 - image, {"unet": 1.0}) for s, n, image, _ in waiting]


class ReadingEngine(FakeEngine):
    """It has the shipped model's styles, and what reads pictures of them."""

    @property
    def info(self) -> EngineInfo:
        presets = open_folder(EngineConfig()).presets
        return replace(super().info, presets=presets, reference=WEIGHTS)


def build(config: EngineConfig, progress: Callable[[str], None]) -> FakeEngine:
    """Take the place of pipeline.building.build; also in a process of its own."""
    return ReadingEngine()
