"""What CUDA graphs and TensorRT share: programs of fixed shapes, fed from pinned memory."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.backends.times import Times
from pipeline.backends.transfer import Download, Upload
from pipeline.config import EngineConfig


class PinnedNetworks:
    """Networks that are programs: one picture at a time each way, any number of rows between.

    Who inherits sets what has no value here, and calls `_pin`.
    """

    batches = True
    device: torch.device
    _encoder: Callable[[Tensor], Tensor]  # of one picture
    _denoiser: Callable[[Tensor, Tensor, Tensor], Tensor]
    _decoder: Callable[[Tensor], Tensor]  # of one latent
    _text: Callable[[Tensor], Tensor]
    _times: Times

    def _pin(self, config: EngineConfig) -> None:
        """Take the memory that pictures go through."""
        pictures = (config.max_rows, config.height, config.width, 3)
        self._upload = Upload(pictures, torch.uint8, self.device)
        self._download = Download(pictures, torch.uint8, self.device)

    @torch.inference_mode()
    def encode(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        return torch.cat([self._encoder(row).float() for row in self._upload.rows(images)])

    @torch.inference_mode()
    def condition(self, words: Float[Tensor, "1 t d"]) -> Float[Tensor, "1 s k"]:
        """See Networks."""
        return self._text(words)

    @torch.inference_mode()
    def denoise(
        self,
        rows: Float[Tensor, "b i y x"],
        timesteps: Sequence[float],
        prompts: Float[Tensor, "b s k"],
    ) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        return self._denoiser(rows, self._times(timesteps), prompts).float()

    @torch.inference_mode()
    def decode(self, latents: Float[Tensor, "b c y x"]) -> UInt8[Tensor, "b h w 3"]:
        """See Networks; the pictures are on the host."""
        return self._download.wait_sync(self._decoder(row) for row in torch.split(latents, 1))
