"""The three networks of a model behind one face each, bytes in and bytes out.

Layout and range of pictures change inside the networks, so a backend compiles that too and no
other code touches pixels.
"""

from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn


class Encoder(nn.Module):
    """Picture → latent. Deterministic: a sampled posterior would make each frame jitter."""

    def __init__(self, autoencoder: Any, scaling_factor: float) -> None:  # diffusers has no types
        super().__init__()
        self.autoencoder, self.scaling_factor = autoencoder, scaling_factor

    def forward(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c y x"]:
        """Encode RGB bytes."""
        dtype = next(self.autoencoder.parameters()).dtype
        encoded = self.autoencoder.encode(images.permute(0, 3, 1, 2).to(dtype) / 127.5 - 1)
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
        pixels: Tensor = levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()
        return pixels


class Denoiser(nn.Module):
    """Rows of noisy latents, timesteps and words → what the network predicts.

    SDXL also wants one pooled vector of the prompt and six numbers about the picture's size. The
    vector comes as a last token of the words, filled up with zeros; `size` is height and width.
    """

    def __init__(self, unet: Any, size: tuple[int, int]) -> None:  # diffusers has no types
        super().__init__()
        self.unet = unet
        self.pooled = 0  # width of the pooled vector, where there is one
        if unet.config.addition_embed_type == "text_time":
            times = 6 * unet.config.addition_time_embed_dim
            self.pooled = unet.config.projection_class_embeddings_input_dim - times
        # original size, no crop, target size (Podell et al. 2023, arXiv:2307.01952, section 2.2)
        self.register_buffer("size", torch.tensor([[*size, 0, 0, *size]]), persistent=False)
        self.size: Tensor

    def forward(
        self,
        rows: Float[Tensor, "b i y x"],
        timesteps: Float[Tensor, "b"],
        words: Float[Tensor, "b t d"],
    ) -> Float[Tensor, "b c y x"]:
        """Predict, one timestep and one prompt a row."""
        dtype = next(self.unet.parameters()).dtype
        words = words.to(dtype)
        more = None
        if self.pooled:
            more = {
                "text_embeds": words[:, -1, : self.pooled],
                "time_ids": self.size.to(dtype).expand(len(rows), -1),
            }
            words = words[:, :-1]
        predicted: Tensor = self.unet(
            rows.to(dtype), timesteps, words, added_cond_kwargs=more, return_dict=False
        )[0]
        return predicted.float()
