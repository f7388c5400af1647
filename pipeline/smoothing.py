"""Frames of a film smoothed with each other inside the iteration, for results that may take long.

After each step every frame's prediction is decoded, blended with its neighbours and encoded again,
before the next step's noise is put on it; after the last step what was blended is the picture.
Source: DiffSynth (Duan et al. 2023, arXiv:2308.03463). The live filters go on top: blending takes
away what differs between neighbours, they what remains over longer.

A frame waits at each step until its neighbours are there, too, and goes on alone: each runs once,
no seam is in the film, and no more than `2 * reach + 1` frames a step are held at a time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch

from pipeline.engine import Engine
from pipeline.params import StyleParams
from pipeline.patch_blending import Blending
from pipeline.results import Image
from pipeline.slots import Slot

_SESSION = "film"


@dataclass(frozen=True, slots=True)
class _Frame:
    number: int
    guide: Image
    style: Image
    slot: Slot


class _Window:
    """The frames that wait at one step for their neighbours."""

    def __init__(self, blending: Blending) -> None:
        self._blending = blending
        self._frames: list[_Frame] = []
        self._next = 0  # number of the frame that is blended next

    def push(self, frame: _Frame) -> Iterator[tuple[_Frame, Image]]:
        """Take a frame; give those whose neighbours are all there, and their blended pictures."""
        self._frames.append(frame)
        while self._frames[-1].number >= self._next + self._blending.ahead:
            yield self._blended()

    def flush(self) -> Iterator[tuple[_Frame, Image]]:
        """Give the rest: no frame comes any more."""
        while self._frames and self._next <= self._frames[-1].number:
            yield self._blended()

    def _blended(self) -> tuple[_Frame, Image]:
        reach = self._blending.reach
        self._frames = [frame for frame in self._frames if frame.number >= self._next - reach]
        place = self._next - self._frames[0].number
        guides = [frame.guide for frame in self._frames]
        styles = [frame.style for frame in self._frames]
        self._next += 1
        frame = self._frames[place]
        return frame, self._blending.one(guides, styles, place, frame.number)


class Film:
    """Restyles one film with an engine that does nothing else meanwhile."""

    def __init__(self, engine: Engine, params: StyleParams, blending: Blending) -> None:
        self._engine, self._blending = engine, blending
        # every frame runs, and all steps of it
        self._params = replace(params, similarity_filter=0.0, motion_noise=0.0)
        self.held = 0  # frames at most, so far

    def frames(self, images: Iterable[Image], fps: float = 25.0) -> Iterator[Image]:
        """Give each frame's picture, in order."""
        self._engine.open(_SESSION)
        windows: list[_Window] = []
        try:
            for number, image in enumerate(images):
                slot = self._engine.admit(_SESSION, number, image, self._params, number / fps)
                if not isinstance(slot, Slot):  # strength 0
                    yield slot.image
                    continue
                self._engine.begin(slot.networks, [slot])
                windows = windows or [_Window(self._blending) for _ in slot.steps]
                yield from self._advance(windows, 0, number, image, slot)
                self.held = max(self.held, sum(len(window._frames) for window in windows))
            for step, window in enumerate(windows):
                for frame, picture in window.flush():
                    yield from self._leave(windows, step, frame, picture)
        finally:
            self._engine.close(_SESSION)

    def _advance(
        self, windows: list[_Window], step: int, number: int, image: Image, slot: Slot
    ) -> Iterator[Image]:
        """Run one step of a frame and let it wait for its neighbours."""
        networks = self._engine.networks
        outputs = self._engine.denoising.run(networks, [slot])
        clean = self._engine.denoising.predict(slot, outputs)
        if step + 1 == len(windows):
            clean = slot.steadied(clean)
        style = networks.decode(clean)[0].cpu().numpy()
        for frame, picture in windows[step].push(_Frame(number, image, style, slot)):
            yield from self._leave(windows, step, frame, picture)

    def _leave(
        self, windows: list[_Window], step: int, frame: _Frame, picture: Image
    ) -> Iterator[Image]:
        """Take a blended frame to its next step; after the last one it is done."""
        if step + 1 == len(windows):
            yield frame.slot.finished(picture)
            return
        clean = self._engine.networks.encode(torch.from_numpy(picture)[None])
        self._engine.denoising.move_on(frame.slot, clean)
        yield from self._advance(windows, step + 1, frame.number, frame.guide, frame.slot)
