"""The three networks of a model behind one face each, bytes in and bytes out.

Layout and range of pictures change inside the networks, so a backend compiles that too and no
other code touches pixels.
"""

from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from pipeline.models.conditioning import (
    TextConditioning,
    TimeConditioning,
    fuse_self_attention,
    take_conditioning,
)


class Encoder(nn.Module):
    """Picture → latent. Deterministic: a sampled posterior would make each frame jitter."""

    def __init__(self, autoencoder: Any, scaling_factor: float) -> None:  # diffusers has no types
        super().__init__()
        self.autoencoder, self.scaling_factor = autoencoder, scaling_factor

    def forward(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c y x"]:
        """Encode RGB bytes."""
        dtype = next(self.autoencoder.parameters()).dtype
        # bytes are cast before anything else: TensorRT knows them at its borders only
        encoded = self.autoencoder.encode(images.to(dtype).permute(0, 3, 1, 2) / 127.5 - 1)
        if hasattr(encoded, "latent_dist"):
            latents: Tensor = encoded.latent_dist.mode()
        else:
            latents = encoded.latents
        return latents * self.scaling_factor


class Decoder(nn.Module):
    """Latent → picture."""

    def __init__(self, autoencoder: Any, scaling_factor: float) -> None:  # diffusers has no types
        super().__init__()
        self.autoencoder, self.scaling_factor = autoencoder, scaling_factor

    def forward(self, latents: Float[Tensor, "b c y x"]) -> UInt8[Tensor, "b h w 3"]:
        """Decode to RGB bytes."""
        dtype = next(self.autoencoder.parameters()).dtype
        images = self.autoencoder.decode(latents.to(dtype) / self.scaling_factor).sample
        levels = (images.float() * 127.5 + 127.5).clamp(0, 255).round()
        pixels: Tensor = levels.permute(0, 2, 3, 1).to(torch.uint8).contiguous()
        return pixels


class Denoiser(nn.Module):
    """Rows of noisy latents, with what was made of their timesteps and prompts → what is predicted.

    `size` is height and width in pixels. Fusing joins queries, keys and values of self-attention
    into one multiplication, which pays on a GPU; a bank of features wants them apart.
    """

    def __init__(self, unet: Any, size: tuple[int, int], fuse: bool = True) -> None:
        super().__init__()
        self.text, self.time = TextConditioning(unet, size), TimeConditioning(unet)
        take_conditioning(unet, self.text, self.time)
        if fuse:
            fuse_self_attention(unet)
        self.unet = unet

    def forward(
        self,
        rows: Float[Tensor, "b i y x"],
        times: Float[Tensor, "b e"],
        prompts: Float[Tensor, "b s k"],
    ) -> Float[Tensor, "b c y x"]:
        """Predict, one timestep and one prompt a row, as `time` and `text` give them."""
        if self.text.added is not None:
            times = times + prompts[:, -1, : times.shape[1]]
            prompts = prompts[:, :-1]
        predicted: Tensor = self.unet(
            rows.to(times.dtype), times[:, 0], prompts, timestep_cond=times, return_dict=False
        )[0]
        return predicted.float()
