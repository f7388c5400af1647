"""torch.compile: kernels made for this model, size and machine; one program for each batch size.

All programs are made before anybody watches. On a GPU max-autotune takes minutes; PyTorch keeps
what it found in its own cache, so the next start is shorter.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from pipeline.backends.buckets import (
    DTYPES,
    autoencoder_dtype,
    bucket,
    buckets,
    channels_last,
    fill_up,
)
from pipeline.backends.float8 import settle_precision
from pipeline.backends.times import Times
from pipeline.backends.transfer import send
from pipeline.config import EngineConfig
from pipeline.feature_bank import BankedDenoiser, FeatureBank, make_bank
from pipeline.models.folder import ModelFolder
from pipeline.models.loader import load_autoencoder, load_denoiser
from pipeline.shelves import Shelves

_MORE_PROGRAMS = 8  # than one engine has sizes: another one may be in the same process


class CompiledNetworks:
    """The networks as programs of torch.compile, channels last."""

    name = "compiled"
    batches = True
    bank: FeatureBank | None = None

    def __init__(
        self, folder: ModelFolder, config: EngineConfig, progress: Callable[[str], None]
    ) -> None:
        from pipeline.backends import choose_device  # the package names its backends

        self.device = torch.device(choose_device(config))
        progress(f"loading {folder.name}")
        denoiser = load_denoiser(folder, config.width, config.height, not config.feature_bank)
        _allow_programs(len(buckets(config.max_rows)))
        mode, own = self._mode(config), autoencoder_dtype(folder, self.device)
        self._encoder, self._decoder = (
            _compile(channels_last(half, self.device, own), mode)
            for half in load_autoencoder(folder)
        )
        channels_last(denoiser, self.device, DTYPES[self.device.type])
        self.precision = settle_precision(denoiser, folder, config, progress)
        network: nn.Module = denoiser
        if config.feature_bank:
            self.bank = make_bank(denoiser.unet, config)
            network = BankedDenoiser(denoiser, self.bank)
        self._denoiser = _compile(network, mode)
        # once a prompt and once a timestep: not worth a program
        self._text, self._times = denoiser.text, Times(denoiser.time, self.device)
        self._make_all(folder, config, progress, network)

    @torch.inference_mode()
    def encode(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        return _row_by_row(self._encoder, send(images, self.device)).float()

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
        count, size = len(rows), bucket(len(rows))
        predicted: Tensor = self._denoiser(*(fill_up(value, size) for value in values))
        return predicted[:count].clone()  # with CUDA graphs the next call overwrites it

    def _look_back(self, shelves: Shelves, *values: Tensor) -> Float[Tensor, "b c y x"]:
        count, size = len(values[0]), bucket(len(values[0]))
        past, bias = (held[:size] for held in self._looks_back)
        shelves.copy_to(past, bias)
        filled = (fill_up(value, size) for value in values)
        predicted, features = self._denoiser(*filled, past, bias)
        shelves.keep(features)
        lasting: Tensor = predicted[:count].clone()
        return lasting

    @torch.inference_mode()
    def decode(self, latents: Float[Tensor, "b c y x"]) -> UInt8[Tensor, "b h w 3"]:
        """See Networks."""
        return _row_by_row(self._decoder, latents)

    def _mode(self, config: EngineConfig) -> str:
        if config.compile_mode != "auto":
            return config.compile_mode
        return "max-autotune" if self.device.type == "cuda" else "default"

    def _make_all(
        self,
        folder: ModelFolder,
        config: EngineConfig,
        progress: Callable[[str], None],
        network: nn.Module,
    ) -> None:
        """Run each program twice: the first call compiles, the second records where it may."""
        height, width = config.height // folder.downscale, config.width // folder.downscale
        progress(f"compiling the autoencoder of {folder.name}")
        for _ in range(2):
            self.encode(torch.zeros(1, config.height, config.width, 3, dtype=torch.uint8))
            self.decode(torch.zeros(1, folder.latent_channels, height, width, device=self.device))
        prompt = self.condition(torch.zeros(1, *folder.words_shape, device=self.device))
        sizes = buckets(config.max_rows)
        shape = folder.unet.config["in_channels"], height, width
        if self.bank is not None:
            one = torch.zeros(1, *shape, device=self.device)
            self._looks_back = self._past(network, one, prompt, sizes[0])
        for size in sizes:
            progress(f"compiling the UNet of {folder.name} for {size} rows")
            rows = torch.zeros(size, *shape, device=self.device)
            for _ in range(2):
                self.denoise(rows, [0.0] * size, prompt.expand(size, -1, -1))

    @torch.inference_mode()
    def _past(
        self,
        network: nn.Module,
        row: Float[Tensor, "1 i y x"],
        prompt: Float[Tensor, "1 s k"],
        rows: int,
    ) -> tuple[Float[Tensor, "b p n"], Float[Tensor, "b q"]]:
        """Make the place where all programs read the past, and what of it weighs nothing."""
        assert self.bank is not None
        _, features = network(row, self._times([0.0]), prompt)  # once, not compiled
        places = self.bank.places
        past = features.new_zeros(rows, places, features.shape[1])
        return past, features.new_zeros(rows, places + 1)


def _allow_programs(count: int) -> None:
    """Let torch.compile keep a program for each batch size: past its limit it runs eagerly."""
    import torch._dynamo.config as dynamo  # a second to import

    dynamo.recompile_limit = max(dynamo.recompile_limit, count + _MORE_PROGRAMS)


def _compile(network: nn.Module, mode: str) -> Any:  # torch gives a callable of no known type
    return torch.compile(network, mode=mode, dynamic=False)


def _row_by_row(network: Any, value: Tensor) -> Tensor:
    """Run a program for one row; the next call may overwrite its result."""
    rows = (fill_up(value[row : row + 1], 1) for row in range(len(value)))
    results = [network(row).clone() for row in rows]
    return results[0] if len(results) == 1 else torch.cat(results)
