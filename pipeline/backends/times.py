"""What timesteps are to a UNet: few, so each is embedded once."""

from collections.abc import Callable, Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

# a diffusion model's grid has 50; a rectified flow has one for each strength and step
_KEPT = 256


class Times:
    """Embeds timesteps as a model's TimeConditioning does, and remembers them."""

    def __init__(
        self, embed: Callable[[Float[Tensor, "b"]], Float[Tensor, "b e"]], device: torch.device
    ) -> None:
        @lru_cache(_KEPT)
        def one(timestep: float) -> Tensor:
            return embed(torch.tensor([timestep], dtype=torch.float32, device=device))

        self._one = one

    def __call__(self, timesteps: Sequence[float]) -> Float[Tensor, "b e"]:
        """Give one row a timestep."""
        if len(timesteps) == 1:
            return self._one(timesteps[0])
        return torch.cat([self._one(timestep) for timestep in timesteps])
