"""CUDA graphs: a whole network is one launch, where eager PyTorch makes hundreds.

Not yet measured on a GPU. A graph reads and writes fixed addresses: inputs are copied into the
tensors it was captured with, results are copied out, neither is ever bound anew.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.backends.buckets import (
    DTYPES,
    autoencoder_dtype,
    bucket,
    buckets,
    channels_last,
)
from pipeline.backends.float8 import settle_precision
from pipeline.backends.pinned import PinnedNetworks
from pipeline.backends.times import Times
from pipeline.config import EngineConfig
from pipeline.feature_bank import BankedDenoiser, FeatureBank, make_bank
from pipeline.models.folder import ModelFolder
from pipeline.models.loader import load_autoencoder, load_denoiser
from pipeline.shelves import Shelves

_WARM_UPS = 3  # calls before capture, in which libraries choose kernels and take work space


class GraphNetworks(PinnedNetworks):
    """The networks as CUDA graphs, one for each batch size; pictures go in and out as bytes.

    The device is a GPU: choose_backend sees to that.
    """

    name = "graphs"
    bank: FeatureBank | None = None

    @torch.inference_mode()
    def __init__(
        self, folder: ModelFolder, config: EngineConfig, progress: Callable[[str], None]
    ) -> None:
        from pipeline.backends import choose_device  # the package names its backends

        self.device = torch.device(choose_device(config))
        progress(f"loading {folder.name}")
        denoiser = load_denoiser(folder, config.width, config.height, not config.feature_bank)
        dtype, own_dtype = DTYPES[self.device.type], autoencoder_dtype(folder, self.device)
        channels_last(denoiser, self.device, dtype)
        self.precision = settle_precision(denoiser, folder, config, progress)
        encoder, decoder = (
            channels_last(half, self.device, own_dtype) for half in load_autoencoder(folder)
        )
        self._text, self._times = denoiser.text, Times(denoiser.time, self.device)
        height, width = config.height // folder.downscale, config.width // folder.downscale
        picture = (1, config.height, config.width, 3)
        latent = (1, folder.latent_channels, height, width)
        self._pin(config)
        pool = torch.cuda.graph_pool_handle()
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]  # torch's own gap

        def zeros(*shape: int, kind: torch.dtype = dtype) -> Tensor:
            return torch.zeros(shape, dtype=kind, device=self.device)

        def capture(network: nn.Module, *inputs: Tensor) -> Graph:
            return Graph(network, inputs, stream, pool)

        time = self._times([0.0]).shape[1:]
        prompt = self.condition(zeros(1, *folder.words_shape)).shape[1:]

        def inputs(size: int) -> tuple[Tensor, ...]:
            rows = zeros(size, folder.unet.config["in_channels"], height, width)
            return rows, zeros(size, *time), zeros(size, *prompt)

        sizes = buckets(config.max_rows)  # the largest first: the others fit into its memory
        network: nn.Module = denoiser
        looks_back: tuple[Tensor, ...] = ()
        if config.feature_bank:
            self.bank = make_bank(denoiser.unet, config)
            network = BankedDenoiser(denoiser, self.bank)
            _, features = network(*inputs(1))
            # all sizes read at one place: what is there is written anew for each call
            past = zeros(sizes[0], self.bank.places, features.shape[1])
            looks_back = (past, zeros(sizes[0], self.bank.places + 1))
        self._denoisers: dict[int, Graph] = {}
        for size in sizes:
            progress(f"capturing the UNet of {folder.name} for {size} rows")
            own = (held[:size] for held in looks_back)
            self._denoisers[size] = capture(network, *inputs(size), *own)
        progress(f"capturing the autoencoder of {folder.name}")
        self._encoder = capture(encoder, zeros(*picture, kind=torch.uint8))
        self._decoder = capture(decoder, zeros(*latent, kind=own_dtype))

    def _denoiser(self, *values: Tensor) -> Tensor:
        """Replay for each row's prediction; see PinnedNetworks."""
        if self.bank is not None:
            return self.bank.in_turns(self._look_back, *values)
        return self._denoisers[bucket(len(values[0]))](*values)

    def _look_back(self, shelves: Shelves, *values: Tensor) -> Tensor:
        count = len(values[0])
        graph = self._denoisers[bucket(count)]
        shelves.copy_to(*graph.inputs[len(values) :])
        predicted, features = graph.replay(*values)
        shelves.keep(features)
        lasting: Tensor = predicted[:count].clone()
        return lasting


class Graph:
    """One network at one batch size."""

    def __init__(
        self, network: nn.Module, inputs: tuple[Tensor, ...], stream: torch.cuda.Stream, pool: Any
    ) -> None:
        self.inputs = inputs
        self._network = network  # a graph knows addresses of weights, and keeps none of them
        current = torch.cuda.current_stream(stream.device)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(_WARM_UPS):
                network(*inputs)
        current.wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, pool=pool, stream=stream):
            self._output = network(*inputs)

    def __call__(self, *values: Tensor) -> Tensor:
        """Give what a network of one result makes of these rows."""
        output: Tensor = self.replay(*values)
        return output[: len(values[0])].clone()

    def replay(self, *values: Tensor) -> Any:
        """Run on these rows; give the whole batch's results, which hold until another graph runs.

        Rows that fill the batch up, and inputs for which no value is given, keep what they held.
        Graphs share memory: the next one, whichever it is, may write over these results.
        """
        for held, value in zip(self.inputs, values, strict=False):
            held[: len(value)].copy_(value, non_blocking=True)  # the graph reads this address
        self._graph.replay()
        return self._output
