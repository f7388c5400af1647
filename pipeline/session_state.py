"""What lives between the frames of one session."""

import torch
from jaxtyping import Float
from torch import Tensor

MOST_STEPS = 8


class SessionState:
    """A session's noise: one fixed field for each step, the same for every frame.

    Fixed noise stays where it is on the screen, so a still picture gives a still result. All
    fields are drawn at once, so a change of `steps` keeps those in use.
    """

    def __init__(self, shape: tuple[int, int, int], device: torch.device) -> None:
        self._shape, self._device = shape, device
        self._seed: int | None = None
        self._noise = torch.empty(0)

    def noise(self, seed: int) -> Float[Tensor, "n c h w"]:
        """Give the noise fields of a seed; drawn when the seed changes, on the CPU so that it
        means the same on every device.
        """
        if seed != self._seed:
            generator = torch.Generator().manual_seed(seed)
            drawn = torch.randn((MOST_STEPS, *self._shape), generator=generator)
            self._noise, self._seed = drawn.to(self._device), seed
        return self._noise
