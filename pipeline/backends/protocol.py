"""What every backend offers: the three networks of a model, ready to run."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.feature_bank import FeatureBank


@runtime_checkable  # so that the shape checks of the tests can name it
class Networks(Protocol):
    """Runs a model's networks. Called by one thread; what comes back is the caller's to keep."""

    @property
    def name(self) -> str:
        """The backend's name."""

    @property
    def batches(self) -> bool:
        """Say whether one call of n rows is cheaper than n calls."""

    @property
    def device(self) -> torch.device:
        """Where latents live."""

    def encode(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c y x"]:
        """Picture → latent, scaled to about unit variance."""

    def condition(self, words: Float[Tensor, "1 t d"]) -> Float[Tensor, "1 s k"]:
        """Make of a prompt's words what depends on them alone. Any thread may call."""

    def denoise(
        self,
        rows: Float[Tensor, "b i y x"],
        timesteps: Sequence[float],
        prompts: Float[Tensor, "b s k"],
    ) -> Float[Tensor, "b c y x"]:
        """One UNet call, whatever the rows belong to; prompts as `condition` gives them."""

    def decode(self, latents: Float[Tensor, "b c y x"]) -> UInt8[Tensor, "b h w 3"]:
        """Latent → picture."""


@runtime_checkable
class Resizable(Protocol):
    """What a backend also offers that can serve pictures of another size."""

    def sized(self, width: int, height: int) -> Networks:
        """Give the same model for another size. May take seconds; from any thread."""


@runtime_checkable
class Precise(Protocol):
    """What a backend also offers that says what its UNet computes in."""

    @property
    def precision(self) -> str:
        """For people: fp16, or in how many layers fp8."""


@runtime_checkable
class Banked(Protocol):
    """What a backend also offers whose UNet can look at earlier frames."""

    @property
    def bank(self) -> FeatureBank | None:
        """The bank, if it is on."""
