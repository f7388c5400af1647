"""Plain PyTorch: every model, every device, nothing compiled."""

from collections.abc import Callable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.config import EngineConfig
from pipeline.feature_bank import FeatureBank
from pipeline.models.folder import ModelFolder
from pipeline.models.loader import load_autoencoder, load_denoiser


class EagerNetworks:
    """The networks as PyTorch modules: fp32 on the CPU, fp16 on a GPU."""

    name = "eager"
    batches = True

    def __init__(
        self, folder: ModelFolder, config: EngineConfig, progress: Callable[[str], None]
    ) -> None:
        from pipeline.backends import choose_device  # the package names its backends

        self.device = torch.device(choose_device(config))
        dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        progress(f"loading {folder.name}")
        encoder, decoder = load_autoencoder(folder)
        self._encoder, self._decoder = (half.to(self.device, dtype) for half in (encoder, decoder))
        self._denoiser = load_denoiser(folder, config.width, config.height).to(self.device, dtype)
        self.bank: FeatureBank | None = None
        if config.feature_bank:
            self.bank = FeatureBank(
                self._denoiser.unet,
                config.feature_bank,
                config.feature_fusion,
                anchored=config.feature_anchor,
            )
            self.bank.inject()

    @torch.inference_mode()
    def encode(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        latents: Tensor = self._encoder(images.to(self.device))
        return latents.float()

    @torch.inference_mode()
    def denoise(
        self,
        rows: Float[Tensor, "b i y x"],
        timesteps: Float[Tensor, "b"],
        words: Float[Tensor, "b t d"],
    ) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        predicted: Tensor = self._denoiser(rows, timesteps, words)
        return predicted

    @torch.inference_mode()
    def decode(self, latents: Float[Tensor, "b c y x"]) -> UInt8[Tensor, "b h w 3"]:
        """See Networks."""
        images: Tensor = self._decoder(latents)
        return images
