"""OpenVINO: the default on a CPU.

Networks are converted from PyTorch once and kept on disk, so the second start neither imports
diffusers nor converts. On a CPU a batch gains nothing over its rows one by one, so every network
is compiled for one row: no shape ever compiles while people watch, and a row's result cannot
depend on who shares its batch.
"""

import hashlib
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from pipeline.config import EngineConfig
from pipeline.models.folder import ModelFolder
from pipeline.models.loader import load_autoencoder, load_denoiser

# OpenVINO's converter reports its use to a web service unless this package cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: "not there"

_FORMAT = "2"  # raise when parts.py changes what is converted


class OpenVinoNetworks:
    """The networks as OpenVINO programs for one row."""

    name = "openvino"
    batches = False
    device = torch.device("cpu")

    def __init__(
        self, folder: ModelFolder, config: EngineConfig, progress: Callable[[str], None]
    ) -> None:
        import openvino

        from pipeline.backends import inference_threads  # the package names its backends

        cache = config.cache / "openvino" / _key(folder, config, openvino.__version__)
        if not (cache / "decoder.xml").exists():  # written last
            progress(f"converting {folder.name} for this CPU (once)")
            _convert(folder, config, cache)
        progress(f"compiling {folder.name}")
        core = openvino.Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": inference_threads(config),
            "CACHE_DIR": str(cache),
        }
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            # 2026.4 crashes the process on AVX2 when it compiles the UNet's attention as a snippet
            settings["SNIPPETS_MODE"] = "DISABLE"
        requests = [
            core.compile_model(cache / f"{name}.xml", "CPU", settings).create_infer_request()
            for name in ("encoder", "denoiser", "decoder")
        ]
        self._encoder, self._denoiser, self._decoder = requests

    def encode(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        return _run(self._encoder, images)

    def denoise(
        self,
        rows: Float[Tensor, "b i y x"],
        timesteps: Float[Tensor, "b"],
        words: Float[Tensor, "b t d"],
    ) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        return _run(self._denoiser, rows, timesteps, words)

    def decode(self, latents: Float[Tensor, "b c y x"]) -> UInt8[Tensor, "b h w 3"]:
        """See Networks."""
        return _run(self._decoder, latents)


def _run(request: Any, *inputs: Tensor) -> Tensor:  # openvino ships no types
    outputs = []
    for row in range(len(inputs[0])):
        arrays = [value[row : row + 1].contiguous().numpy() for value in inputs]
        result = request.infer(dict(enumerate(arrays)), share_inputs=True, share_outputs=True)
        outputs.append(torch.from_numpy(result[0].copy()))  # the next call overwrites it
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _convert(folder: ModelFolder, config: EngineConfig, cache: Path) -> None:
    """Trace the networks and write them as OpenVINO files."""
    encoder, decoder = load_autoencoder(folder)
    height, width = config.height // folder.downscale, config.width // folder.downscale
    examples: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
        "encoder": (encoder, (torch.zeros(1, config.height, config.width, 3, dtype=torch.uint8),)),
        "denoiser": (
            load_denoiser(folder, config.width, config.height),
            (
                torch.zeros(1, folder.unet.config["in_channels"], height, width),
                torch.zeros(1),
                torch.zeros(1, *folder.words_shape),
            ),
        ),
        "decoder": (decoder, (torch.zeros(1, folder.latent_channels, height, width),)),
    }
    cache.mkdir(parents=True, exist_ok=True)
    for name, (network, inputs) in examples.items():
        _convert_one(network, inputs, cache / f"{name}.xml")


def _convert_one(network: nn.Module, inputs: tuple[Tensor, ...], target: Path) -> None:
    import openvino

    shapes = [openvino.PartialShape(list(value.shape)) for value in inputs]
    with torch.inference_mode(), warnings.catch_warnings():
        # tracing notes each size that it takes as fixed: here they are
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        model = openvino.convert_model(network, example_input=inputs, input=shapes)
    partial = target.with_suffix(f".{os.getpid()}.xml")  # two processes may convert at once
    openvino.save_model(model, partial, compress_to_fp16=True)
    # the weights first: a reader that finds the .xml finds both
    partial.with_suffix(".bin").rename(target.with_suffix(".bin"))
    partial.rename(target)


def _key(folder: ModelFolder, config: EngineConfig, version: str) -> str:
    """Name what the converted files depend on."""
    facts = [_FORMAT, version, f"{config.width}x{config.height}"]
    for path in folder.files():
        facts += [str(path.resolve()), str(path.stat().st_size), str(path.stat().st_mtime_ns)]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    return f"{folder.name}-{digest}"
