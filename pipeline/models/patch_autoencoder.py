"""The embedded model's autoencoder: eight pixels a side become one latent, cheaply."""

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.autoencoders.autoencoder_tiny import AutoencoderTinyOutput
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_utils import ModelMixin
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional


class Separable(nn.Module):
    """A depthwise convolution and two of 1 × 1 beside the identity; the last starts at zero.

    A quarter of the work of two dense 3 × 3 convolutions, which had most of a frame's time on a
    CPU. The shape of ConvNeXt's block (Liu et al. 2022, section 2), without its norm.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.widen = nn.Conv2d(channels, 2 * channels, 1)
        self.narrow = _zero(nn.Conv2d(2 * channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Add what the three convolutions find."""
        added: Tensor = self.narrow(functional.silu(self.widen(self.spread(x))))
        return x + added


class PatchAutoencoder(ModelMixin, ConfigMixin):  # type: ignore[misc]  # diffusers ships no types
    """A linear map of 8 × 8 patches, plus what small convolutions add to it.

    The linear part is set to the principal components of patches before training, so training
    starts at the best linear code and only has to learn the rest. Deterministic: nothing is
    sampled, so a still picture has still latents.
    """

    @register_to_config
    def __init__(
        self,
        latent_channels: int = 16,
        fine_channels: int = 48,
        coarse_channels: int = 96,
        scaling_factor: float = 1.0,
    ) -> None:
        super().__init__()
        self.linear_in = nn.Conv2d(192, latent_channels, 1)
        self.linear_out = nn.Conv2d(latent_channels, 192, 1)
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, coarse_channels, 3, stride=2, padding=1),
            Separable(coarse_channels),
            nn.SiLU(),
            _zero(nn.Conv2d(coarse_channels, latent_channels, 1)),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, coarse_channels, 3, padding=1),
            Separable(coarse_channels),
            Separable(coarse_channels),
            Separable(coarse_channels),
            nn.SiLU(),
            nn.Conv2d(coarse_channels, 4 * fine_channels, 1),
            nn.PixelShuffle(2),
            Separable(fine_channels),
            nn.SiLU(),
            _zero(nn.Conv2d(fine_channels, 48, 1)),
            nn.PixelShuffle(4),
        )

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> AutoencoderTinyOutput:
        """Encode RGB in -1 .. 1, sides multiples of 8; `.latents` is [b, c, h/8, w/8]."""
        linear = self.linear_in(functional.pixel_unshuffle(images, 8))
        return AutoencoderTinyOutput(latents=linear + self.encoder(images))

    def decode(self, latents: Float[Tensor, "b c h w"]) -> DecoderOutput:
        """Decode; `.sample` is RGB, about -1 .. 1, not clamped."""
        linear = functional.pixel_shuffle(self.linear_out(latents), 8)
        return DecoderOutput(sample=linear + self.decoder(latents))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Tensor:
        """There and back again."""
        decoded: Tensor = self.decode(self.encode(images).latents).sample
        return decoded

    @torch.no_grad()
    def set_principal_components(self, patches: Float[Tensor, "n 192"]) -> None:
        """Make the linear part the best linear code of `patches` (rows of pixel_unshuffle(8)).

        Each component is divided by the square root of its standard deviation: halfway between
        raw components, where the first would drown the others, and whitened ones, where faint
        detail would weigh as much as the picture.
        """
        mean = patches.mean(0)
        _, spread, axes = torch.linalg.svd(patches - mean, full_matrices=False)
        count = self.linear_in.out_channels
        deviation = spread[:count] / len(patches) ** 0.5
        scale = (
            deviation.sqrt() * deviation.sqrt().square().mean().sqrt()
        )  # unit variance on average
        directions = axes[:count]
        self.linear_in.weight.copy_((directions / scale[:, None])[..., None, None])
        self.linear_in.bias.copy_(-(directions @ mean) / scale)
        self.linear_out.weight.copy_((directions * scale[:, None]).T[..., None, None])
        self.linear_out.bias.copy_(mean)

    @torch.no_grad()
    def rescale(self, factors: Float[Tensor, "c"]) -> None:
        """Multiply each latent channel by a factor, and undo it on the way out: same pictures."""
        last, first = self.encoder[-1], self.decoder[0]
        for layer in (self.linear_in, last):
            layer.weight.copy_(layer.weight * factors[:, None, None, None])
            layer.bias.copy_(layer.bias * factors)
        for layer in (self.linear_out, first):
            layer.weight.copy_(layer.weight / factors[None, :, None, None])


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
