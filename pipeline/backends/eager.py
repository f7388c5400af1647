"""Plain PyTorch: every model, every device, nothing compiled."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.backends.buckets import DTYPES, autoencoder_dtype
from pipeline.backends.float8 import settle_precision
from pipeline.backends.times import Times
from pipeline.backends.transfer import send
from pipeline.config import EngineConfig
from pipeline.feature_bank import BankedDenoiser, FeatureBank, make_bank
from pipeline.models.folder import ModelFolder
from pipeline.models.loader import load_autoencoder, load_denoiser
from pipeline.shelves import Shelves


class EagerNetworks:
    """The networks as PyTorch modules: fp32 on the CPU, fp16 on a GPU."""

    name = "eager"
    batches = True

    def __init__(
        self, folder: ModelFolder, config: EngineConfig, progress: Callable[[str], None]
    ) -> None:
        from pipeline.backends import choose_device  # the package names its backends

        self.device = torch.device(choose_device(config))
        dtype, own = DTYPES[self.device.type], autoencoder_dtype(folder, self.device)
        progress(f"loading {folder.name}")
        encoder, decoder = load_autoencoder(folder)
        self._encoder, self._decoder = (half.to(self.device, own) for half in (encoder, decoder))
        # on a CPU attention takes longer over parts of one tensor than fusing saves
        fuse = self.device.type == "cuda" and not config.feature_bank
        denoiser = load_denoiser(folder, config.width, config.height, fuse)
        self._denoiser = denoiser.to(self.device, dtype)
        self.precision = settle_precision(denoiser, folder, config, progress)
        self._text, self._times = denoiser.text, Times(denoiser.time, self.device)
        self.bank: FeatureBank | None = None
        if config.feature_bank:
            self.bank = make_bank(denoiser.unet, config)
            self._banked = BankedDenoiser(denoiser, self.bank)

    def sized(self, width: int, height: int) -> "EagerNetworks":
        """Give itself: modules take any size. SDXL goes on being told the first one."""
        return self

    @torch.inference_mode()
    def encode(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        latents: Tensor = self._encoder(send(images, self.device))
        return latents.float()

    @torch.inference_mode()
    def condition(self, words: Float[Tensor, "1 t d"]) -> Float[Tensor, "1 s k"]:
        """See Networks."""
        conditioned: Tensor = self._text(words)
        return conditioned

    @torch.inference_mode()
    def denoise(
        self,
        rows: Float[Tensor, "b i y x"],
        timesteps: Sequence[float],
        prompts: Float[Tensor, "b s k"],
    ) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        values = (rows, self._times(timesteps), prompts)
        if self.bank is not None:
            return self.bank.in_turns(self._look_back, *values)
        predicted: Tensor = self._denoiser(*values)
        return predicted

    def _look_back(self, shelves: Shelves, *values: Tensor) -> Float[Tensor, "b c y x"]:
        predicted: Tensor
        predicted, features = self._banked(*values, *shelves.gather())
        shelves.keep(features)
        return predicted

    @torch.inference_mode()
    def decode(self, latents: Float[Tensor, "b c y x"]) -> UInt8[Tensor, "b h w 3"]:
        """See Networks."""
        images: Tensor = self._decoder(latents)
        return images
