"""The heart: rows of (session, frame, step) → one call of each network → finished frames.

    engine.open("ann")
    engine.submit("ann", 0, picture, StyleParams(prompt="a pencil drawing"))
    while engine.in_flight:
        for result in engine.tick(): show(result.image)

One thread submits and ticks; any thread may `prepare`.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch

from pipeline import guidance, scheduler, warm_up
from pipeline.backends import choose_device, make_networks
from pipeline.backends.protocol import Banked, Networks, Precise
from pipeline.config import EngineConfig, Size
from pipeline.denoising import Denoising
from pipeline.models import vram
from pipeline.models.folder import ModelFolder, open_folder
from pipeline.models.loader import load_text
from pipeline.params import StyleParams
from pipeline.prompts import Prompts
from pipeline.results import EngineInfo, EngineResult, Image
from pipeline.schedule import read_schedule
from pipeline.session_state import ASIDE, SessionState
from pipeline.sizes import Sizes
from pipeline.slots import Slot
from pipeline.stage_times import StageTimes


def build_engine(
    config: EngineConfig,
    progress: Callable[[str], None] = lambda message: None,
    free: vram.Free = vram.free_memory,
) -> "Engine":
    """Load, compile and warm up. Raises ConfigError, ModelError, BackendUnavailable."""
    folder = open_folder(config)
    if fits := vram.check_fits(folder, config, torch.device(choose_device(config)), free):
        progress(fits)
    networks = make_networks(folder, config, progress)
    progress("warming up")
    engine = Engine(config, folder, networks)
    engine.warm_up()
    engine.places = vram.places(folder, config, networks.device, free)
    return engine


class Engine:
    """Restyles the frames of many sessions with one set of weights."""

    def __init__(
        self,
        config: EngineConfig,
        folder: ModelFolder,
        networks: Networks,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config = config
        self._folder, self.networks = folder, networks
        self._bank = networks.bank if isinstance(networks, Banked) else None
        self._schedule = read_schedule(folder.scheduler)
        self.denoising = Denoising(folder, self._schedule, self._bank)
        self._prompts = Prompts(
            load_text(folder, networks.device),
            tuple(preset.name for preset in folder.presets),
            networks.condition,
        )
        self._own_size: Size = (config.width, config.height)
        self._sizes = Sizes(folder, config, networks)
        self._sessions: dict[str, SessionState] = {}
        self._slots: list[Slot] = []
        self._finished: list[EngineResult] = []
        self._admitted = 0
        self._ms_per_frame = 0.0
        self.places: int | None = None  # see EngineInfo
        self._clock = clock
        self._times = StageTimes(networks.device, clock)
        self._cost = scheduler.Load(0.0, 0.0)
        self._busy: dict[str, float] = {}  # when each session last sent a frame

    @property
    def info(self) -> EngineInfo:
        """Describe this engine."""
        precision = self.networks.precision if isinstance(self.networks, Precise) else None
        return EngineInfo(
            self._folder.name, str(self.networks.device), self.networks.name,
            self._schedule.prediction_type, self.config.width, self.config.height,
            self._ms_per_frame, self._folder.presets, self.places, self._sizes.step,
            self._folder.reference,
            precision=precision,
        )  # fmt: skip

    @property
    def in_flight(self) -> int:
        """How many frames `tick` has still to give back."""
        return len(self._slots) + len(self._finished)

    def prepare(self, params: StyleParams) -> str | None:
        """Encode the prompts of new values, so that no frame waits for it. Any thread may call.

        Gives a sentence for the user when the prompt means nothing to the model.
        """
        self._prompts.prepare(params.prompt)
        self._prompts.prepare(params.negative_prompt)
        return self._prompts.hint(params.prompt)

    def prepare_size(self, session: str, size: Size) -> None:
        """Make a size ready for a session, so that no frame waits for it. Any thread may call.

        Until its first frame of that size everything stays as it is. Raises ConfigError, NoRoom.
        """
        self._sizes.prepare(session, size)

    def open(self, session: str) -> None:
        """Make room for a session's state."""
        shape = self._latent_shape(self._own_size)
        self._sessions[session] = SessionState(shape, self.networks.device)

    def close(self, session: str) -> None:
        """End a session: as `drop`, and its size is not kept ready for it any more."""
        self.drop(session)
        self._sizes.forget(session)

    def drop(self, session: str) -> None:
        """Drop a session's state and its frames in flight; `open` begins anew."""
        self._sessions.pop(session, None)
        self._busy.pop(session, None)
        if self._bank is not None:
            self._bank.forget(session)
        self._slots = [slot for slot in self._slots if slot.session != session]
        self._finished = [result for result in self._finished if result.session != session]

    def wants(self, session: str, steps: int = 1) -> bool:
        """Say whether another frame of a session may be submitted now.

        Not beyond a full call: more than that would only grow old here. But what a similarity
        filter looks at first needs no room, most of the time.
        """
        if session not in self._sessions:
            return False
        full = sum(slot.rows for slot in self._slots) >= self.config.max_rows
        if full and not self._sessions[session].may_skip:
            return False
        in_flight = sum(slot.session == session for slot in self._slots)
        in_flight += sum(result.session == session for result in self._finished)
        depth = scheduler.depth(self.config.schedule, steps, self.config.max_rows, self._load())
        return in_flight < max(depth, self.config.parallel_rows)

    def submit(
        self,
        session: str,
        number: int,
        image: Image,
        params: StyleParams,
        arrived: float | None = None,
    ) -> None:
        """Admit a frame under the values in force now, of a size that is prepared for its session.

        `arrived` is when its turn began to be due, in seconds of the engine's clock
        (time.monotonic): frames that came first go first. At strength 0 there is nothing to do: the
        next tick gives the frame back as it is. Numbers rise within a session.
        """
        admitted = self.admit(session, number, image, params, arrived)
        if isinstance(admitted, Slot):
            self._slots.append(admitted)
        else:
            self._finished.append(admitted)

    def admit(
        self,
        session: str,
        number: int,
        image: Image,
        params: StyleParams,
        arrived: float | None = None,
    ) -> Slot | EngineResult:
        """Make a frame ready for its first step, or say what is shown without any; see `submit`."""
        if not self._schedule.steps(params.strength, params.steps):
            return EngineResult(session, number, image, {})
        networks, state = self._of_size(session, (image.shape[1], image.shape[0]))
        at = self._clock() if arrived is None else arrived
        if state.skips(image, params, at) and state.shown is not None:
            return EngineResult(session, number, state.shown, {}, skipped=True)
        self._busy[session] = self._clock()
        noise = state.still_noise(params)
        followed = state.follow_aside(params, image)
        if followed is not None and noise is None:
            followed.begin()  # the first step waits for it; all other motion can wait (see `begin`)
        strength = state.motion_level.strength(image, params.strength, params.motion_noise)
        steps = self._schedule.steps(strength, params.steps)
        prompt, negative = state.words(
            self._prompts.get(params.prompt), self._prompts.get(params.negative_prompt),
            params.travel, at,
        )  # fmt: skip
        self._admitted += 1
        return Slot(
            session=session,
            state=state,
            networks=networks,
            number=number,
            order=self._admitted,
            deadline=at + scheduler.PERIOD,
            image=image,
            noise=noise,
            steps=steps,
            prompt=prompt,
            negative=negative,
            guidance=guidance.choose(params),
            scale=params.guidance_scale,
            deflicker=params.deflicker,
            search=params.deflicker_search,
            look=_look(params),
            followed=followed,
            scene=state.scenes.follow(image) if self._bank is not None else 0,
        )

    def begin(self, networks: Networks, slots: Sequence[Slot]) -> None:
        """Encode the pictures of admitted frames of one size in one call."""
        images = np.stack([slot.image for slot in slots])
        sources = networks.encode(torch.from_numpy(images))
        for slot, source in zip(slots, torch.split(sources, 1), strict=True):
            slot.begin(source)
        # not before: that thread would take Python's lock at each small step up to here; the UNet's
        # one call needs none for as long as motion takes
        for slot in slots:
            if slot.followed is not None:
                slot.followed.begin()

    def tick(self) -> list[EngineResult]:
        """Move frames one step on with one UNet call; give back those that are finished."""
        if self._slots:
            chosen = scheduler.pick(self._ready(), self.config.max_rows)
            chosen.sort(key=lambda slot: slot.order)  # a session's past is blended in in order
            for size in dict.fromkeys(slot.image.shape for slot in chosen):
                # not by their networks: a backend may have the same ones for all sizes
                of_size = [slot for slot in chosen if slot.image.shape == size]
                self._advance(of_size[0].networks, of_size)
            self._slots = [slot for slot in self._slots if not slot.done]
        return self._release()

    def _ready(self) -> list[Slot]:
        """Give the frames that go without those who wait for noise that their picture carries.

        All if all have such noise: they wait for each other, so that batches stay full.
        """
        waiting = {slot.session for slot in self._slots if slot.waits}
        ready = [slot for slot in self._slots if slot.session not in waiting]
        return ready if any(slot.look.noise != "warped" for slot in ready) else self._slots

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
        self._ms_per_frame, self._cost = warm_up.measure(self)

    def _latent_shape(self, size: Size) -> tuple[int, int, int]:
        downscale = self._folder.downscale
        return (self._folder.latent_channels, size[1] // downscale, size[0] // downscale)

    def _of_size(self, session: str, size: Size) -> tuple[Networks, SessionState]:
        """Give what a frame of a size needs; a session's state begins anew with another size."""
        networks, state = self._sizes.use(session, size), self._sessions[session]
        shape = self._latent_shape(size)
        if state.shape != shape:
            state = self._sessions[session] = state.resized(shape)
        return networks, state

    def _load(self) -> scheduler.Load:
        recent = self._clock() - 1
        sessions = sum(sent > recent for sent in self._busy.values())
        return scheduler.Load(self._cost.once, self._cost.row, max(1, sessions))

    def _advance(self, networks: Networks, chosen: Sequence[Slot]) -> None:
        """Move frames of one size on: one call of each network for all that need it."""
        if fresh := [slot for slot in chosen if not slot.begun]:
            with self._times.span("encode", [s.stages_ms for s in fresh], [1] * len(fresh)):
                self.begin(networks, fresh)
        rows = [slot.rows for slot in chosen]
        with self._times.span("unet", [slot.stages_ms for slot in chosen], rows):
            outputs = self.denoising.run(networks, chosen)
        for slot, own in zip(chosen, torch.split(outputs, rows), strict=True):
            clean = self.denoising.predict(slot, own)
            if slot.index + 1 == len(slot.steps):
                clean = slot.steadied(clean)
            self.denoising.move_on(slot, clean)
        if done := [slot for slot in chosen if slot.done]:
            self._finished += self._decode(networks, done)

    def _decode(self, networks: Networks, slots: Sequence[Slot]) -> list[EngineResult]:
        """Give the pictures of finished frames of one size, decoded in one call."""
        with self._times.span("decode", [slot.stages_ms for slot in slots], [1] * len(slots)):
            decoded = networks.decode(torch.cat([slot.x for slot in slots]))
        pictures = decoded.cpu().numpy()  # waits, so nothing is left to wait for
        self._times.settle_sync()
        frames: dict[str, list[tuple[Slot, Image]]] = {}
        for slot, picture in zip(slots, pictures, strict=True):
            frames.setdefault(slot.session, []).append((slot, picture))
        # sessions side by side: OpenCV runs without Python's lock. Their motion is there already
        finish = map if len(frames) == 1 else ASIDE.map
        return [result for own in finish(self._finish, frames.values()) for result in own]

    def _finish(self, frames: Sequence[tuple[Slot, Image]]) -> list[EngineResult]:
        """Give what is shown of one session's decoded pictures, in order."""
        results = []
        for slot, picture in frames:
            started = self._clock()
            slot.state.shown = image = slot.finished(picture)
            slot.stages_ms["decode"] += 1000 * (self._clock() - started)
            results.append(EngineResult(slot.session, slot.number, image, slot.stages_ms))
        return results


@lru_cache(maxsize=256)
def _look(params: StyleParams) -> StyleParams:
    """Give what the picture is meant to look like: the values without those that only steady it."""
    return replace(params, travel=0.0, similarity_filter=0.0, deflicker=0.0, deflicker_search=False)
