"""People who send pictures to an engine: as fast as it takes them, or as cameras do."""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.backends.protocol import Banked, Networks
from pipeline.comparison.energy import Meter
from pipeline.config import EngineConfig
from pipeline.engine import Engine
from pipeline.feature_bank import FeatureBank
from pipeline.models.folder import open_folder
from pipeline.params import StyleParams
from pipeline.results import Image

_LEAST_WAIT_S = 0.0005


@dataclass(slots=True)
class Played:
    """What came of some frames, those of all sessions added up. Milliseconds are of all frames."""

    frames: int = 0
    seconds: float = 0.0  # by the clock
    busy: float = 0.0  # of those, seconds inside the engine
    processor: float = 0.0  # seconds of all of this process's threads
    skipped: int = 0  # frames that the similarity filter let pass
    calls: int = 0  # of the UNet
    rows: int = 0  # of these calls
    joules: float = 0.0  # 0 where nothing tells them
    stages: dict[str, float] = field(default_factory=dict)  # milliseconds

    def __iadd__(self, other: "Played") -> "Played":
        """Add another stretch of the same kind."""
        for name in (
            "frames",
            "seconds",
            "busy",
            "processor",
            "skipped",
            "calls",
            "rows",
            "joules",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.add_stages(other.stages)
        return self

    def add_stages(self, milliseconds: Mapping[str, float]) -> None:
        """Add what some frames spent in each stage."""
        for name, ms in milliseconds.items():
            self.stages[name] = self.stages.get(name, 0.0) + ms

    @property
    def fps(self) -> float:
        """Frames a second, of all sessions together."""
        return self.frames / self.seconds

    @property
    def stages_ms(self) -> dict[str, float]:
        """Milliseconds a frame, by stage."""
        return {name: round(ms / self.frames, 2) for name, ms in self.stages.items()}

    def ms(self, seconds: float) -> float:
        """Give milliseconds a frame: of `busy`, `seconds`, `processor`."""
        return round(1000 * seconds / self.frames, 2)


class Counted:
    """Networks that count the UNet's calls and rows. They have one size."""

    def __init__(self, networks: Networks) -> None:
        self.networks = networks
        self.name, self.batches, self.device = networks.name, networks.batches, networks.device
        self.bank: FeatureBank | None = networks.bank if isinstance(networks, Banked) else None
        self.calls = self.rows = 0

    def encode(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        return self.networks.encode(images)

    def condition(self, words: Float[Tensor, "1 t d"]) -> Float[Tensor, "1 s k"]:
        """See Networks."""
        return self.networks.condition(words)

    def denoise(
        self,
        rows: Float[Tensor, "b i y x"],
        timesteps: Sequence[float],
        prompts: Float[Tensor, "b s k"],
    ) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        self.calls += 1
        self.rows += len(rows)
        return self.networks.denoise(rows, timesteps, prompts)

    def decode(self, latents: Float[Tensor, "b c y x"]) -> UInt8[Tensor, "b h w 3"]:
        """See Networks."""
        return self.networks.decode(latents)


class Bench:
    """An engine, what counts for it, and the pictures that it is given in turn."""

    def __init__(self, networks: Networks, config: EngineConfig, images: list[Image]) -> None:
        self.images, self._counted = images, Counted(networks)
        self.engine = Engine(config, open_folder(config), self._counted)
        self.engine.warm_up()

    def alike(self, images: list[Image] | None = None, **changes: object) -> "Bench":
        """Give one with the same networks and other values of EngineConfig, or other pictures."""
        config = replace(self.engine.config, **changes)  # type: ignore[arg-type]  # caller's fields
        return Bench(self._counted.networks, config, images or self.images)

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self._counted.device

    def play(
        self,
        styles: Mapping[str, StyleParams],
        frames: int,
        fps: float | None = None,
        meter: Meter | None = None,
    ) -> Played:
        """Play frames of each session, warm-ups before; `fps` is what each camera sends.

        Without `fps` all go as fast as they can, and the engine is as full when the count ends as
        when it begins: a stream batch is neither filled nor drained within it.
        """
        with closing(_Sender(self, styles, fps)) as sender:
            sender.play(len(styles) + max(style.steps for style in styles.values()))
            self._counted.calls = self._counted.rows = 0
            if meter is not None:
                meter.start()
            played = sender.play(frames * len(styles))
            if meter is not None:
                played.joules = meter.stop() or 0.0
        played.calls, played.rows = self._counted.calls, self._counted.rows
        return played


class _Sender:
    """The sessions of one play; frames that are in flight stay so from one stretch to the next."""

    def __init__(self, bench: Bench, styles: Mapping[str, StyleParams], fps: float | None) -> None:
        self._engine, self._images, self._styles = bench.engine, bench.images, styles
        self._period = 1 / fps if fps else 0.0
        self._sent = dict.fromkeys(styles, 0)
        for session, style in styles.items():
            self._engine.prepare(style)
            self._engine.open(session)
        self._began = time.perf_counter()

    def close(self) -> None:
        """End the sessions; what is in flight is dropped."""
        for session in self._styles:
            self._engine.close(session)

    def play(self, frames: int) -> Played:
        """Go on until as many frames have come out, or a few more with the last call."""
        played = Played()
        began, processor = time.perf_counter(), time.process_time()
        while played.frames < frames:
            turn = time.perf_counter()
            self._submit(turn)
            for result in self._engine.tick():
                played.frames += 1
                played.skipped += result.skipped
                played.add_stages(result.stages_ms)
            played.busy += time.perf_counter() - turn
            if not self._engine.in_flight:
                self._wait()
        played.seconds = time.perf_counter() - began
        played.processor = time.process_time() - processor
        return played

    def _submit(self, now: float) -> None:
        for session, style in self._styles.items():
            number = self._sent[session]
            due = self._began + number * self._period <= now
            if due and self._engine.wants(session, style.steps):
                self._engine.submit(
                    session, number, self._images[number % len(self._images)], style
                )
                self._sent[session] += 1

    def _wait(self) -> None:
        """Sleep until the next picture is due, if it is not."""
        wait = self._began + min(self._sent.values()) * self._period - time.perf_counter()
        if self._period and wait > 0:
            time.sleep(max(wait, _LEAST_WAIT_S))


def in_turns(
    plays: Mapping[str, Callable[[int], Played]], frames: int, turns: int = 3
) -> dict[str, Played]:
    """Play about as many frames of each, one after the other and over again; give their sums.

    What else goes on in the machine then falls on all of them alike.
    """
    found = {name: Played() for name in plays}
    turns = max(1, min(turns, frames))
    for _ in range(turns):
        for name, play in plays.items():
            found[name] += play(max(1, frames // turns))
    return found
