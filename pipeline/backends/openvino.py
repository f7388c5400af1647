"""OpenVINO: the default on a CPU.

Networks are converted from PyTorch once, for every size, and kept on disk, so the second start
neither imports diffusers nor converts. Each size is compiled for itself. On a CPU a batch gains
nothing over its rows one by one, so every network is compiled for one row: no shape ever compiles
in the way of a frame, and a row's result cannot depend on who shares its batch. Rows side by side,
each with a share of the threads (`parallel_rows`), take less processor time, and each takes longer.
"""

import hashlib
import os
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from pipeline.backends.times import Times
from pipeline.config import EngineConfig
from pipeline.models.conditioning import thin_self_attention
from pipeline.models.folder import ModelFolder
from pipeline.models.folding import fold_upsampling
from pipeline.models.loader import load_autoencoder, load_denoiser

# OpenVINO's converter reports its use to a web service unless this package cannot be imported.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # None: "not there"

_KEPT_DAYS = 30
_FORMAT = "7"  # raise when parts.py, folding.py or scaling_factor change what is converted


class OpenVinoNetworks:
    """The networks as OpenVINO programs for one row."""

    name = "openvino"
    device = torch.device("cpu")

    def __init__(
        self, folder: ModelFolder, config: EngineConfig, progress: Callable[[str], None]
    ) -> None:
        import openvino

        from pipeline.backends import inference_threads  # the package names its backends

        self._folder, self._config = folder, config
        cache = config.cache / "openvino" / _key(folder, config, openvino.__version__)
        if not (cache / "decoder.xml").exists():  # written last
            progress(f"converting {folder.name} for this CPU (once)")
            _convert(folder, config, cache)
            _forget_unused(cache.parent)
        os.utime(cache)  # used now
        progress(f"compiling {folder.name}")
        core = openvino.Core()
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": config.parallel_rows,
            "INFERENCE_NUM_THREADS": inference_threads(config),
            "CACHE_DIR": str(cache),
        }
        if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            # 2026.4 crashes the process on AVX2 when it compiles the UNet's attention as a snippet
            settings["SNIPPETS_MODE"] = "DISABLE"
        shapes = _shapes(folder, config)

        def compiled(name: str) -> "_Program":
            model = core.read_model(cache / f"{name}.xml")
            if name in shapes:
                model.reshape({0: shapes[name]})
            program = core.compile_model(model, "CPU", settings)
            return _Program(program, config.parallel_rows)

        self._encoder, self._denoiser, self._decoder = map(compiled, shapes)
        self._text, self._conditioning = compiled("text"), threading.Lock()
        self._times = Times(compiled("time"), self.device)

    @property
    def batches(self) -> bool:
        """See Networks."""
        return self._config.parallel_rows > 1

    def sized(self, width: int, height: int) -> "OpenVinoNetworks":
        """Compile the same files for another size; OpenVINO does that without Python's lock."""
        config = replace(self._config, width=width, height=height)
        return OpenVinoNetworks(self._folder, config, lambda step: None)

    def encode(self, images: UInt8[Tensor, "b h w 3"]) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        return self._encoder(images)

    def condition(self, words: Float[Tensor, "1 t d"]) -> Float[Tensor, "1 s k"]:
        """See Networks."""
        with self._conditioning:
            return self._text(words)

    def denoise(
        self,
        rows: Float[Tensor, "b i y x"],
        timesteps: Sequence[float],
        prompts: Float[Tensor, "b s k"],
    ) -> Float[Tensor, "b c y x"]:
        """See Networks."""
        return self._denoiser(rows, self._times(timesteps), prompts)

    def decode(self, latents: Float[Tensor, "b c y x"]) -> UInt8[Tensor, "b h w 3"]:
        """See Networks."""
        return self._decoder(latents)


class _Program:
    """A network compiled for one row. One thread calls it."""

    def __init__(self, compiled: Any, parallel: int) -> None:  # openvino ships no types
        self._requests = [compiled.create_infer_request() for _ in range(parallel)]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Run all rows, as many at once as there are requests."""
        outputs: list[Tensor] = []
        rows = [
            {at: value[row : row + 1].contiguous().numpy() for at, value in enumerate(inputs)}
            for row in range(len(inputs[0]))
        ]
        for first in range(0, len(rows), len(self._requests)):
            busy = list(zip(self._requests, rows[first:], strict=False))
            for request, row in busy:
                request.start_async(row, share_inputs=True)
            for request, _ in busy:
                request.wait()
                outputs.append(torch.from_numpy(request.get_output_tensor().data.copy()))
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def _shapes(folder: ModelFolder, config: EngineConfig) -> dict[str, list[int]]:
    """Give the first input's shape for one row, of the networks that see pictures or latents."""
    latent = [config.height // folder.downscale, config.width // folder.downscale]
    return {
        "encoder": [1, config.height, config.width, 3],
        "denoiser": [1, folder.unet.config["in_channels"], *latent],
        "decoder": [1, folder.latent_channels, *latent],
    }


def _any_size(folder: ModelFolder, config: EngineConfig) -> bool:
    """Say whether one conversion serves every size: SDXL is told its own, and where a level does
    not halve evenly, tracing writes down how it was filled up.
    """
    even = not (config.width % folder.size_step or config.height % folder.size_step)
    return even and folder.text_2 is None


def _stride(folder: ModelFolder, config: EngineConfig) -> int:
    """Say which tokens self-attention looks at, so that they stay about as many as in training."""
    return max(1, int(folder.times_trained(config.width, config.height) + 0.5))


def _convert(folder: ModelFolder, config: EngineConfig, cache: Path) -> None:
    """Trace the networks and write them as OpenVINO files."""
    encoder, decoder = load_autoencoder(folder)
    denoiser = load_denoiser(folder, config.width, config.height)
    if (stride := _stride(folder, config)) > 1:
        thin_self_attention(denoiser.unet, stride)
    fold_upsampling(denoiser)
    fold_upsampling(decoder)
    shapes = _shapes(folder, config)
    any_size = _any_size(folder, config)
    latents = torch.zeros(*shapes["denoiser"])
    words, at = torch.zeros(1, *folder.words_shape), torch.zeros(1)
    with torch.inference_mode():
        prompt, time = denoiser.text(words), denoiser.time(at)
    examples: dict[str, tuple[nn.Module, tuple[Tensor, ...]]] = {
        "encoder": (encoder, (torch.zeros(*shapes["encoder"], dtype=torch.uint8),)),
        "text": (denoiser.text, (words,)),
        "time": (denoiser.time, (at,)),
        "denoiser": (denoiser, (latents, time, prompt)),
        "decoder": (decoder, (torch.zeros(*shapes["decoder"]),)),
    }
    cache.mkdir(parents=True, exist_ok=True)
    for name, (network, inputs) in examples.items():
        given = [list(value.shape) for value in inputs]
        if any_size and name in shapes:
            given[0][slice(1, 3) if name == "encoder" else slice(2, 4)] = [-1, -1]
        _convert_one(network, inputs, given, cache / f"{name}.xml")


def _convert_one(
    network: nn.Module, inputs: tuple[Tensor, ...], shapes: list[list[int]], target: Path
) -> None:
    import openvino

    with torch.inference_mode(), warnings.catch_warnings():
        # tracing notes each size that it takes as fixed
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        # traced here: OpenVINO would let torch run and trace it all once more to check itself
        traced = torch.jit.trace(network, inputs, check_trace=False, strict=False)  # type: ignore[no-untyped-call]  # torch has no types here
        model = openvino.convert_model(
            traced, example_input=inputs, input=[openvino.PartialShape(s) for s in shapes]
        )
    partial = target.with_suffix(f".{os.getpid()}.xml")  # two processes may convert at once
    openvino.save_model(model, partial, compress_to_fp16=True)
    # the weights first: a reader that finds the .xml finds both
    partial.with_suffix(".bin").rename(target.with_suffix(".bin"))
    partial.rename(target)


def _forget_unused(cache: Path) -> None:
    """Remove what was converted for models and versions that nobody has started for a while."""
    for folder in cache.iterdir():
        if folder.stat().st_mtime < time.time() - _KEPT_DAYS * 86400:
            shutil.rmtree(folder, ignore_errors=True)


def _key(folder: ModelFolder, config: EngineConfig, version: str) -> str:
    """Name what the converted files depend on."""
    size = "any" if _any_size(folder, config) else f"{config.width}x{config.height}"
    facts = [_FORMAT, version, size, str(_stride(folder, config))]
    for path in folder.files():
        facts += [str(path.resolve()), str(path.stat().st_size), str(path.stat().st_mtime_ns)]
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:16]
    return f"{folder.name}-{digest}"
