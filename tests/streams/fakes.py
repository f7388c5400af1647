"""An engine that works: it inverts each picture, one tick later."""

from dataclasses import dataclass, field

from pipeline.config import EngineConfig
from pipeline.engine import EngineInfo, EngineResult
from pipeline.models.folder import Preset
from pipeline.params import StyleParams
from streams.protocol import Image


@dataclass
class FakeEngine:
    """Inverts pictures. A prompt "fail" makes submit raise, "crash" makes tick raise.

    Of "gibberish" it says that it does not know it.
    """

    config: EngineConfig = field(default_factory=lambda: EngineConfig(width=64, height=64))
    prepared: list[str] = field(default_factory=list)
    submitted: int = 0
    _waiting: list[tuple[str, int, Image, StyleParams]] = field(default_factory=list)
    _open: set[str] = field(default_factory=set)

    @property
    def info(self) -> EngineInfo:
        presets = (Preset("Inverted", "inverted"),)
        return EngineInfo("fake", "cpu", "fake", "sample", 64, 64, 1.0, presets)

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    def prepare(self, params: StyleParams) -> str | None:
        self.prepared.append(params.prompt)
        return "nothing I know" if params.prompt == "gibberish" else None

    def open(self, session: str) -> None:
        self._open.add(session)

    def close(self, session: str) -> None:
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
        if params.prompt == "fail":
            raise RuntimeError("as asked")
        self._waiting.append((session, number, image, params))

    def tick(self) -> list[EngineResult]:
        waiting, self._waiting = self._waiting, []
        if any(params.prompt == "crash" for *_, params in waiting):
            raise RuntimeError("as asked")
        return [EngineResult(s, n, 255 - image, {"unet": 1.0}) for s, n, image, _ in waiting]
