"""One session's noise: fixed on the screen, carried along by the picture, or new in every frame."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from pipeline.backends.transfer import send
from pipeline.backward_warp import resized
from pipeline.flow import FrameMotion, InputFlow
from pipeline.noise_gate import Gate
from pipeline.noise_warp import NoiseWarp
from pipeline.params import StyleParams

MOST_STEPS = 8
Pack = Float[Tensor, "n c y x"]  # one field for each step


class SessionNoise:
    """Gives each admitted frame its noise.

    Fixed noise stays where it is on the screen, so a still picture gives a still result. All its
    fields are drawn at once, so a change of `steps` keeps those in use.
    """

    def __init__(self, shape: tuple[int, int, int], device: torch.device, factor: int) -> None:
        self._shape, self._device, self._factor = shape, device, factor
        self._drawn: dict[int, Pack] = {}  # by seed
        self._blended: tuple[tuple[int, int, float], Pack] | None = None
        self._fresh: tuple[int, torch.Generator] | None = None
        self._carried: CarriedNoise | None = None

    def still(self, params: StyleParams) -> Pack:
        """Give a frame's noise that does not follow the picture: fixed or fresh."""
        self._carried = None
        return self._new(params) if params.noise == "fresh" else self._turned(params)

    def carried(self, params: StyleParams, flow: InputFlow, motion: FrameMotion | None) -> Pack:
        """Give a frame's noise that the picture carries along. Call once for each, in order.

        `motion` is that from the last admitted frame, `flow` what follows the input.
        """
        if self._carried is None:
            self._carried = CarriedNoise(params, self._shape, self._device, self._factor)
        carried, share = self._carried.follow(params, flow, motion), params.noise_warp
        if share == 1:
            return carried
        # both are white and independent, so the root of the squares keeps the variance
        mixed = share * carried + (1 - share) * self._turned(params)[: len(carried)]
        return mixed / math.hypot(share, 1 - share)

    def _new(self, params: StyleParams) -> Pack:
        if self._fresh is None or self._fresh[0] != params.seed:
            self._fresh = (params.seed, torch.Generator().manual_seed(params.seed))
        drawn = torch.randn((params.steps, *self._shape), generator=self._fresh[1])
        return send(drawn, self._device)

    def _turned(self, params: StyleParams) -> Pack:
        """Give the fixed fields of the seed, turned towards those of the other one."""
        blend = (params.seed, params.blend_seed, params.seed_blend)
        if self._blended is None or self._blended[0] != blend:
            packs = [self._fields(seed, params) for seed in seeds_of(params)]
            self._blended = (blend, turned(params.seed_blend, packs))
        return self._blended[1]

    def _fields(self, seed: int, params: StyleParams) -> Pack:
        if seed not in self._drawn:
            # on the CPU, so that a seed means the same on every device
            generator = torch.Generator().manual_seed(seed)
            drawn = torch.randn((MOST_STEPS, *self._shape), generator=generator)
            in_use = (params.seed, params.blend_seed)
            self._drawn = {s: f for s, f in self._drawn.items() if s in in_use}
            self._drawn[seed] = send(drawn, self._device)
        return self._drawn[seed]


def seeds_of(params: StyleParams) -> list[int]:
    """Give the seeds whose fields are in use: one, or two between which the noise is turned."""
    if params.seed_blend == 0 or params.seed == params.blend_seed:
        return [params.seed]
    return [params.blend_seed] if params.seed_blend == 1 else [params.seed, params.blend_seed]


def turned(blend: float, packs: Sequence[Pack]) -> Pack:
    """Turn the fields of one seed towards those of another; those of one alone stay as they are.

    Both are independent, so cos and sin of one angle keep the variance at every point between
    (spherical interpolation).
    """
    if len(packs) == 1:
        return packs[0]
    angle = blend * math.pi / 2
    return math.cos(angle) * packs[0] + math.sin(angle) * packs[1]


class CarriedNoise:
    """Noise that follows the input picture: a field for each step of each seed in use.

    All take one way, so a change of seeds, of their blend or of `steps` keeps those in use.
    """

    def __init__(
        self, params: StyleParams, shape: tuple[int, int, int], device: torch.device, factor: int
    ) -> None:
        channels, height, width = shape
        self._height, self._width = height * factor, width * factor
        self._warp = NoiseWarp(_fields_of(params), channels, height, width, factor, device)
        # pictures on the grid of the noise: the anchor's, and that of the last admitted frame
        self._anchor: Float32[np.ndarray, "h w"] | None = None
        self._last: Float32[np.ndarray, "h w"] | None = None

    def follow(self, params: StyleParams, flow: InputFlow, motion: FrameMotion | None) -> Pack:
        """Move on to a frame and give its noise."""
        self._warp.carry(_fields_of(params))
        current = self._working(flow.grey)
        if motion is not None and self._anchor is not None and self._last is not None:
            if motion.is_cut:
                self._warp.cut()
            else:
                forward, backward = (
                    resized(field, self._height, self._width)
                    for field in (motion.forward, motion.backward)
                )
                gates = (Gate(each, current, flow.noise) for each in (self._anchor, self._last))
                self._warp.advance(forward, backward, *gates)
            if self._warp.age == 1:  # it was that frame's, or has become it on the way
                self._anchor = self._last
        if self._anchor is None or self._warp.age == 0:
            self._anchor = current
        self._last = current
        return turned(params.seed_blend, torch.split(self._warp.latents(), params.steps))

    def _working(self, grey: UInt8[np.ndarray, "h w"] | None) -> Float32[np.ndarray, "y x"]:
        assert grey is not None
        working = cv2.resize(grey, (self._width, self._height), interpolation=cv2.INTER_AREA)
        return np.asarray(working, np.float32)


def _fields_of(params: StyleParams) -> list[tuple[int, int]]:
    """Name the fields in use, those of one seed after another."""
    return [(seed, step) for seed in seeds_of(params) for step in range(params.steps)]
