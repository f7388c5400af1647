"""Noise levels: which timesteps a strength and a number of steps stand for, and their constants."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from pipeline.errors import ModelError
from pipeline.models.folder import RECTIFIED

_GRID = 50  # the grid of latent consistency models: timesteps 999, 979, … 19
_PREDICTIONS = ("epsilon", "v_prediction", "sample")
_FLOW = "FlowMatchEulerDiscreteScheduler"


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step: x = a * clean + b * noise at its timestep.

    Diffusion has a² + b² = 1, a rectified flow a + b = 1.
    """

    timestep: float
    a: float
    b: float


def read_schedule(config: dict[str, Any]) -> "Schedule":
    """Make the schedule that a scheduler_config.json stands for. Raises ModelError."""
    if config.get("_class_name") == _FLOW:
        return FlowSchedule(float(config.get("shift", 1.0)), 1.0)
    if config.get("_class_name") == RECTIFIED:
        return FlowSchedule(1.0, -1.0)
    return Schedule(config)


class Schedule:
    """The noise schedule a model was trained with, read from its scheduler_config.json."""

    keeps_noise = False  # the noise of the next step is the frame's own, not what was predicted

    def __init__(self, config: dict[str, Any]) -> None:
        self.prediction_type: str = config.get("prediction_type", "epsilon")
        if self.prediction_type not in _PREDICTIONS:
            raise ModelError(
                f"scheduler: prediction_type {self.prediction_type!r}; "
                f"this engine knows {', '.join(_PREDICTIONS)}"
            )
        abar = torch.cumprod(1 - _betas(config), 0)
        if config.get("rescale_betas_zero_snr"):
            if self.prediction_type == "epsilon":
                raise ModelError(
                    "scheduler: rescale_betas_zero_snr with prediction_type 'epsilon': at pure "
                    "noise that says nothing of the picture; v_prediction and sample do"
                )
            abar = _zero_snr(abar)
        # plain numbers: each that is read from a tensor takes 20 µs of every admission
        self._abar: list[float] = abar.tolist()

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
        abar = self._abar[timestep]
        return Step(float(timestep), abar**0.5, (1 - abar) ** 0.5)

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


class FlowSchedule(Schedule):
    """Straight lines between noise and picture: x = (1 - sigma) * clean + sigma * noise.

    The network predicts the velocity, noise minus clean; InstaFlow's clean minus noise. Steps
    follow the line that was predicted (Euler), so the noise is kept and not drawn anew. Sources:
    Liu et al. 2022, arXiv:2209.03003; Liu et al. 2023, arXiv:2309.06380 (InstaFlow).
    """

    keeps_noise = True

    def __init__(self, shift: float, sign: float) -> None:
        self.prediction_type = "flow"
        self._shift, self._sign = shift, sign

    def steps(self, strength: float, count: int) -> tuple[Step, ...]:
        """Give `count` levels at even distances from `strength` down; none at strength 0."""
        levels = [strength * (1 - i / count) for i in range(count)] if strength else []
        shifted = [self._shift * s / (1 + (self._shift - 1) * s) for s in levels]
        return tuple(Step(1000 * sigma, 1 - sigma, sigma) for sigma in shifted)

    def clean(
        self, output: Float[Tensor, "b c h w"], x: Float[Tensor, "1 c h w"], step: Step
    ) -> Float[Tensor, "b c h w"]:
        """Follow the velocity all the way."""
        return x - self._sign * step.b * output


def _zero_snr(abar: Float[Tensor, "t"]) -> Float[Tensor, "t"]:
    """Let the last timestep be pure noise, the first one stay as it is.

    Source: Lin et al. 2023, arXiv:2305.08891, Algorithm 1.
    """
    root = abar.sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


def _betas(config: dict[str, Any]) -> Float[Tensor, "t"]:
    if config.get("trained_betas") is not None:
        return _trained(config["trained_betas"])
    kind = config.get("beta_schedule", "linear")
    first, last = config.get("beta_start", 0.0001), config.get("beta_end", 0.02)
    count = config.get("num_train_timesteps", 1000)
    if kind == "scaled_linear":
        # double precision: abar(999) is a product of a thousand factors
        return torch.linspace(first**0.5, last**0.5, count, dtype=torch.float64) ** 2
    if kind == "linear":
        return torch.linspace(first, last, count, dtype=torch.float64)
    raise ModelError(f"scheduler: beta_schedule {kind!r}; this engine knows scaled_linear, linear")


def _trained(betas: object) -> Float[Tensor, "t"]:
    try:
        found = torch.tensor(betas, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError("scheduler: trained_betas are no list of numbers") from error
    if found.ndim != 1 or len(found) < _GRID or not bool(((found > 0) & (found < 1)).all()):
        raise ModelError(f"scheduler: trained_betas: give {_GRID} or more numbers from 0 to 1")
    return found
