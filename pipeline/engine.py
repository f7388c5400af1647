"""The heart: rows of (session, frame, step) → one UNet call → finished frames.

    engine.open("ann")
    engine.submit("ann", 0, picture, StyleParams(prompt="a pencil drawing"))
    while engine.in_flight:
        for result in engine.tick(): show(result.image)

One thread submits and ticks; any thread may `prepare`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline import guidance, scheduler
from pipeline.backends import make_networks
from pipeline.backends.protocol import Networks
from pipeline.config import EngineConfig
from pipeline.models.folder import ModelFolder, Preset, open_folder
from pipeline.models.loader import load_text
from pipeline.params import StyleParams
from pipeline.prompts import Prompts
from pipeline.schedule import Schedule
from pipeline.session_state import SessionState
from pipeline.slots import Slot

Image = UInt8[np.ndarray, "h w 3"]


@dataclass(frozen=True, slots=True)
class EngineResult:
    """A finished frame."""

    session: str
    number: int  # of the input frame that it shows
    image: Image  # RGB
    stages_ms: dict[str, float]  # encode, unet, decode


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine is, for people."""

    model: str
    device: str
    backend: str
    prediction_type: str
    width: int
    height: int
    ms_per_frame: float  # one step, measured at warm-up
    presets: tuple[Preset, ...]


def build_engine(
    config: EngineConfig, progress: Callable[[str], None] = lambda message: None
) -> "Engine":
    """Load, compile and warm up. Raises ConfigError, ModelError, BackendUnavailable."""
    folder = open_folder(config)
    networks = make_networks(folder, config, progress)
    progress("warming up")
    engine = Engine(config, folder, networks)
    engine.warm_up()
    return engine


class Engine:
    """Restyles the frames of many sessions with one set of weights."""

    def __init__(self, config: EngineConfig, folder: ModelFolder, networks: Networks) -> None:
        self.config = config
        self._folder, self.networks = folder, networks
        self._schedule = Schedule(folder.scheduler)
        self._prompts = Prompts(
            load_text(folder, networks.device), tuple(preset.name for preset in folder.presets)
        )
        self._latent_shape = (
            folder.latent_channels,
            config.height // folder.downscale,
            config.width // folder.downscale,
        )
        self._sessions: dict[str, SessionState] = {}
        self._slots: list[Slot] = []
        self._finished: list[EngineResult] = []
        self._admitted = 0
        self._ms_per_frame = 0.0

    @property
    def info(self) -> EngineInfo:
        """Describe this engine."""
        return EngineInfo(
            self._folder.name, str(self.networks.device), self.networks.name,
            self._schedule.prediction_type, self.config.width, self.config.height,
            self._ms_per_frame, self._folder.presets,
        )  # fmt: skip

    @property
    def in_flight(self) -> int:
        """How many frames `tick` has still to give back."""
        return len(self._slots) + len(self._finished)

    def prepare(self, params: StyleParams) -> str | None:
        """Encode the prompts of new values, so that no frame waits for it. Any thread may call.

        Gives a sentence for the user when the prompt means nothing to the model.
        """
        self._prompts.get(params.prompt)
        self._prompts.get(params.negative_prompt)
        return self._prompts.hint(params.prompt)

    def open(self, session: str) -> None:
        """Make room for a session's state."""
        self._sessions[session] = SessionState(self._latent_shape, self.networks.device)

    def close(self, session: str) -> None:
        """Drop a session's state and its frames in flight."""
        self._sessions.pop(session, None)
        self._slots = [slot for slot in self._slots if slot.session != session]
        self._finished = [result for result in self._finished if result.session != session]

    def wants(self, session: str, steps: int = 1) -> bool:
        """Say whether another frame of a session may be submitted now."""
        if session not in self._sessions:
            return False
        in_flight = sum(slot.session == session for slot in self._slots)
        in_flight += sum(result.session == session for result in self._finished)
        return scheduler.may_admit(self.config.schedule, in_flight, steps)

    def submit(self, session: str, number: int, image: Image, params: StyleParams) -> None:
        """Admit a frame of the configured size under the values in force now.

        At strength 0 there is nothing to do: the next tick gives the frame back as it is. Numbers
        rise within a session.
        """
        steps = self._schedule.steps(params.strength, params.steps)
        if not steps:
            self._finished.append(EngineResult(session, number, image, {}))
            return
        started = time.perf_counter()
        source = self.networks.encode(torch.from_numpy(image)[None])
        noise = self._sessions[session].noise(params.seed)
        first = steps[0]
        self._slots.append(
            Slot(
                session=session,
                number=number,
                order=self._admitted,
                source=source,
                noise=noise,
                steps=steps,
                prompt=self._prompts.get(params.prompt),
                negative=self._prompts.get(params.negative_prompt),
                guidance=guidance.choose(params),
                scale=params.guidance_scale,
                x=first.a * source + first.b * noise[:1],
                reference=source,
                stages_ms={"encode": _ms_since(started), "unet": 0.0},
            )
        )
        self._admitted += 1

    def tick(self) -> list[EngineResult]:
        """Move frames one step on with one UNet call; give back those that are finished."""
        if self._slots:
            chosen = scheduler.pick(self._slots, self.config.max_rows)
            self._advance(chosen)
            self._finished += [self._decode(slot) for slot in chosen if slot.done]
            self._slots = [slot for slot in self._slots if not slot.done]
        return self._release()

    def _release(self) -> list[EngineResult]:
        """Give finished frames back in order; one that overtook an older one waits for it."""
        first = {slot.session: slot.number for slot in reversed(self._slots)}
        ready: list[EngineResult] = []
        held: list[EngineResult] = []
        for result in self._finished:
            overtook = result.session in first and result.number > first[result.session]
            (held if overtook else ready).append(result)
        self._finished = held
        return sorted(ready, key=lambda result: result.number)

    def warm_up(self) -> None:
        """Run a few frames of a session that nobody sees, and time them."""
        image = np.zeros((self.config.height, self.config.width, 3), np.uint8)
        self.open("warm-up")
        times = []
        for number in range(4):
            started = time.perf_counter()
            self.submit("warm-up", number, image, StyleParams(guidance_scale=1.0))
            self.tick()
            times.append(_ms_since(started))
        self._ms_per_frame = min(times)
        self.close("warm-up")

    def _advance(self, chosen: Sequence[Slot]) -> None:
        started = time.perf_counter()
        outputs = self.networks.denoise(*self._rows(chosen))
        spent = _ms_since(started)
        row = 0
        for slot in chosen:
            rows = slot.rows
            self._step(slot, outputs[row : row + rows])
            slot.stages_ms["unet"] += spent * rows / len(outputs)
            row += rows

    def _rows(
        self, chosen: Sequence[Slot]
    ) -> tuple[Float[Tensor, "b i h w"], Float[Tensor, "b"], Float[Tensor, "b t d"]]:
        latents, timesteps, words = [], [], []
        for slot in chosen:
            x = slot.x
            if self._folder.sees_source:
                x = torch.cat([x, slot.source / self._folder.source_divisor], 1)
            for prompt in (slot.prompt, slot.negative)[: slot.rows]:
                latents.append(x)
                timesteps.append(float(slot.steps[slot.index].timestep))
                words.append(prompt)
        device = self.networks.device
        return torch.cat(latents), torch.tensor(timesteps, device=device), torch.cat(words)

    def _step(self, slot: Slot, outputs: Float[Tensor, "r c h w"]) -> None:
        """Finish one step of one frame: clean latent, guidance, noise of the next step."""
        step = slot.steps[slot.index]
        clean = self._schedule.clean(outputs.float(), slot.x, step)
        if slot.rows == 2:
            slot.reference = clean[1:]
        if slot.guidance != "none":
            clean = guidance.guide(clean[:1], slot.reference, slot.scale)
        slot.index += 1
        slot.x = clean
        if not slot.done:
            after = slot.steps[slot.index]
            slot.x = after.a * clean + after.b * slot.noise[slot.index : slot.index + 1]

    def _decode(self, slot: Slot) -> EngineResult:
        started = time.perf_counter()
        image = self.networks.decode(slot.x)[0].cpu().numpy()
        slot.stages_ms["decode"] = _ms_since(started)
        return EngineResult(slot.session, slot.number, image, slot.stages_ms)


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
