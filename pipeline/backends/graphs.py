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
from pipeline.models.folder import ModelFolder
from pipeline.models.loader import load_autoencoder, load_denoiser

_WARM_UPS = 3  # calls before capture, in which libraries choose kernels and take work space


class GraphNetworks(PinnedNetworks):
    """The networks as CUDA graphs, one for each batch size; pictures go in and out as bytes.

    The device is a GPU: choose_backend sees to that.
    """

    name = "graphs"

    @torch.inference_mode()
    def __init__(
        self, folder: ModelFolder, config: EngineConfig, progress: Callable[[str], None]
    ) -> None:
        from pipeline.backends import choose_device  # the package names its backends

        self.device = torch.device(choose_device(config))
        progress(f"loading {folder.name}")
        denoiser = load_denoiser(folder, config.width, config.height)
        dtype, own = DTYPES[self.device.type], autoencoder_dtype(folder, self.device)
        channels_last(denoiser, self.device, dtype)
        self.precision = settle_precision(denoiser, folder, config, progress)
        encoder, decoder = (
            channels_last(half, self.device, own) for half in load_autoencoder(folder)
        )
        self._text, self._times = denoiser.text, Times(denoiser.time, self.device)
        height, width = config.height // folder.downscale, config.width // folder.downscale
        picture = (1, config.height, config.width, 3)
        latent = (1, folder.latent_channels, height, width)
        self._pin(config)
        pool = torch.cuda.graph_pool_handle()
        stream = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]  # torch's own gap

        def capture(network: nn.Module, *shapes: tuple[int, ...], kind: Any = dtype) -> Any:
            inputs = tuple(torch.zeros(s, dtype=kind, device=self.device) for s in shapes)
            return Graph(network, inputs, stream, pool)

        self._denoisers = denoisers = dict[int, Graph]()
        self._denoiser = lambda rows, *more: denoisers[bucket(len(rows))](rows, *more)
        time = self._times([0.0]).shape[1:]
        prompt = self.condition(torch.zeros(1, *folder.words_shape, device=self.device)).shape[1:]
        for size in buckets(config.max_rows):  # the largest first: the others fit into its memory
            progress(f"capturing the UNet of {folder.name} for {size} rows")
            rows = (size, folder.unet.config["in_channels"], height, width)
            denoisers[size] = capture(denoiser, rows, (size, *time), (size, *prompt))
        progress(f"capturing the autoencoder of {folder.name}")
        self._encoder = capture(encoder, picture, kind=torch.uint8)
        self._decoder = capture(decoder, latent, kind=own)


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
            self._output: Tensor = network(*inputs)

    def __call__(self, *values: Tensor) -> Tensor:
        """Run on these rows; those that fill the batch up keep what they held last."""
        count = len(values[0])
        for held, value in zip(self.inputs, values, strict=True):
            held[:count].copy_(value, non_blocking=True)  # the graph reads this address
        self._graph.replay()
        # graphs share memory: the next one, whichever it is, may write over this output
        return self._output[:count].clone()
