"""OpenVINO: the default on a CPU.

Networks are converted from PyTorch once and kept on disk (conversion.py), so the second start
neither imports diffusers nor converts. Each size is compiled for itself. On a CPU a batch gains
nothing over its rows one by one, so every network is compiled for one row: no shape ever compiles
in the way of a frame, and a row's result cannot depend on who shares its batch. Rows side by side,
each with a share of the threads (`parallel_rows`), take less processor time, and each takes longer.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.backends import conversion
from pipeline.backends.times import Times
from pipeline.config import EngineConfig
from pipeline.models.folder import ModelFolder


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
        cache = conversion.place(folder, config)
        if not conversion.is_done(cache):
            progress(f"converting {folder.name} for this CPU (once)")
            conversion.convert(folder, config)
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
        shapes = conversion.first_shapes(folder, config)

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
        """Compile for another size; OpenVINO does that without Python's lock.

        Raises ModelError where files are wanted that are not there yet and cannot be made.
        """
        config = replace(self._config, width=width, height=height)
        conversion.convert_apart(self._folder, config)
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
