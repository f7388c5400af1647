"""What lives between the frames of one session."""

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.params import StyleParams
from pipeline.similarity import SimilarityFilter

MOST_STEPS = 8


class SessionState:
    """A session's noise, the prompts it travels between, and what it showed last.

    The noise is one fixed field for each step, the same for every frame: it stays where it is on
    the screen, so a still picture gives a still result. All fields are drawn at once, so a change
    of `steps` keeps those in use.
    """

    def __init__(self, shape: tuple[int, int, int], device: torch.device) -> None:
        self._shape, self._device = shape, device
        self._drawn: dict[int, Float[Tensor, "n c h w"]] = {}  # by seed
        self._blended: tuple[tuple[int, int, float], Float[Tensor, "n c h w"]] | None = None
        self._prompt, self._negative = Travel(), Travel()
        self._similarity = SimilarityFilter()
        self._admitted: StyleParams | None = None  # values of the last admitted frame
        self.shown: UInt8[np.ndarray, "h w 3"] | None = None  # the last finished picture

    def skips(self, image: UInt8[np.ndarray, "h w 3"], params: StyleParams, at: float) -> bool:
        """Say whether the last picture will do for this frame, too; never while values change."""
        changed, self._admitted = params != self._admitted, params
        if self.shown is None or changed or self._prompt.under_way(at):
            self._similarity = SimilarityFilter(params.seed)
        return self._similarity.skips(image, params.similarity_filter)

    def words(
        self, prompt: Tensor, negative: Tensor, travel: float, at: float
    ) -> tuple[Float[Tensor, "1 t d"], Float[Tensor, "1 t d"]]:
        """Give the embeddings of a frame at a time in seconds: on the way, while there is one."""
        return self._prompt.towards(prompt, travel, at), self._negative.towards(
            negative, travel, at
        )

    def noise(self, params: StyleParams) -> Float[Tensor, "n c h w"]:
        """Give the noise fields of the seed, turned towards those of the other one.

        Both are independent, so cos and sin of one angle keep the variance at every point between
        (spherical interpolation).
        """
        if not params.seed_blend:
            return self._fields(params.seed, params)
        blend = (params.seed, params.blend_seed, params.seed_blend)
        if self._blended is None or self._blended[0] != blend:
            angle = params.seed_blend * math.pi / 2
            one = self._fields(params.seed, params)
            other = self._fields(params.blend_seed, params)
            self._blended = (blend, math.cos(angle) * one + math.sin(angle) * other)
        return self._blended[1]

    def _fields(self, seed: int, params: StyleParams) -> Float[Tensor, "n c h w"]:
        if seed not in self._drawn:
            # on the CPU, so that a seed means the same on every device
            generator = torch.Generator().manual_seed(seed)
            drawn = torch.randn((MOST_STEPS, *self._shape), generator=generator)
            in_use = (params.seed, params.blend_seed)
            self._drawn = {s: f for s, f in self._drawn.items() if s in in_use}
            self._drawn[seed] = drawn.to(self._device)
        return self._drawn[seed]


class Travel:
    """One prompt's embedding that moves to the next over a time."""

    def __init__(self) -> None:
        self._start: Tensor | None = None
        self._goal: Tensor | None = None
        self._began, self._takes = 0.0, 0.0

    def under_way(self, at: float) -> bool:
        """Say whether the goal is not reached yet."""
        return at < self._began + self._takes

    def towards(self, goal: Tensor, takes: float, at: float) -> Tensor:
        """Give the embedding at a time in seconds; a new goal starts from where it is then."""
        if goal is not self._goal:
            first = self._goal is None  # there is nothing to come from
            self._start = goal if first else self._at(at)
            self._goal, self._began, self._takes = goal, at, 0.0 if first else takes
        return self._at(at)

    def _at(self, at: float) -> Tensor:
        assert self._start is not None
        assert self._goal is not None
        if not self.under_way(at):
            return self._goal
        share = (at - self._began) / self._takes
        return torch.lerp(self._start, self._goal, max(share, 0.0))
