"""Noise levels: which timesteps a strength and a number of steps stand for, and their constants."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.errors import ModelError

_GRID = 50  # the grid of latent consistency models: timesteps 999, 979, … 19
_PREDICTIONS = ("epsilon", "v_prediction", "sample")


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step: x = a * clean + b * noise at its timestep, a² + b² = 1."""

    timestep: int
    a: float
    b: float


class Schedule:
    """The noise schedule a model was trained with, read from its scheduler_config.json."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.prediction_type: str = config.get("prediction_type", "epsilon")
        if self.prediction_type not in _PREDICTIONS:
            raise ModelError(
                f"scheduler: prediction_type {self.prediction_type!r}; "
                f"this engine knows {', '.join(_PREDICTIONS)}"
            )
        self._abar = torch.cumprod(1 - _betas(config), 0)

    def steps(self, strength: float, count: int) -> tuple[Step, ...]:
        """Give the noise levels to run, noisiest first; none at strength 0.

        The first one lies `strength` of the way up the grid, the others follow at equal distance
        (video-to-video rule of StreamV2V, as in algorithms.md 1.3). A low strength has room for
        fewer steps than asked: then there are fewer.
        """
        room = round(_GRID * strength)
        count = min(count, room)
        if not count:
            return ()
        first, apart = _GRID - room, room // count
        return tuple(self._step(first + i * apart) for i in range(count))

    def _step(self, index: int) -> Step:
        last = len(self._abar) - 1
        timestep = last - index * (last + 1) // _GRID
        abar = float(self._abar[timestep])
        return Step(timestep, abar**0.5, (1 - abar) ** 0.5)

    def clean(
        self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "1 c h w"], step: Step
    ) -> Float[Tensor, "b c h w"]:
        """Turn a network's output into the clean latent it stands for.

        At these timesteps a latent consistency step is the plain prediction: its c_skip is below
        7e-6 (algorithms.md 1.4).
        """
        if self.prediction_type == "sample":
            return output
        if self.prediction_type == "v_prediction":
            return step.a * x - step.b * output
        return (x - step.b * output) / step.a


def _betas(config: dict[str, Any]) -> Float[Tensor, "t"]:
    kind = config.get("beta_schedule", "linear")
    first, last = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    count = config.get("num_train_timesteps", 1000)
    if kind == "scaled_linear":
        # double precision: abar(999) is a product of a thousand factors
        return torch.linspace(first**0.5, last**0.5, count, dtype=torch.float64) ** 2
    if kind == "linear":
        return torch.linspace(first, last, count, dtype=torch.float64)
    raise ModelError(f"scheduler: beta_schedule {kind!r}; this engine knows scaled_linear, linear")
