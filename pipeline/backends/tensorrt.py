"""TensorRT: NVIDIA's compiler. The first start builds plans for this GPU, which takes minutes.

Needs the extra `restyle[tensorrt]` and an NVIDIA GPU. Written without one at hand: only what
surrounds TensorRT (export, what a plan is good for, the fall back) is tested; the calls to it are
not, and nothing is measured.
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.backends.buckets import autoencoder_dtype, bucket
from pipeline.backends.onnx_export import export
from pipeline.backends.pinned import PinnedNetworks
from pipeline.backends.plans import NETWORKS, find_or_build, read_facts
from pipeline.backends.times import Times
from pipeline.config import EngineConfig
from pipeline.errors import BackendUnavailable
from pipeline.models.folder import ModelFolder
from pipeline.models.loader import load_autoencoder, load_denoiser
from pipeline.models.parts import Denoiser

_TYPES = {"UINT8": torch.uint8, "HALF": torch.float16, "FLOAT": torch.float32}


class TensorRtNetworks(PinnedNetworks):
    """The networks as TensorRT plans in fp16: one for pictures each way, one for all batches.

    Raises BackendUnavailable without the package or a GPU.
    """

    name = "tensorrt"

    @torch.no_grad()  # not inference mode: what is made there is not meant to be traced
    def __init__(
        self, folder: ModelFolder, config: EngineConfig, progress: Callable[[str], None]
    ) -> None:
        from pipeline.backends import choose_device  # the package names its backends

        library = find_library(choose_device(config))
        self.device = torch.device("cuda")
        progress(f"loading {folder.name}")
        denoiser = load_denoiser(folder, config.width, config.height).half()
        gpu = torch.cuda.get_device_name(), torch.cuda.get_device_capability()
        plans = find_or_build(
            config.cache,
            folder.name,
            read_facts(folder, config, *gpu, library.__version__),
            lambda place: _build(library, folder, config, denoiser, place, progress),
            lambda plan: _deserialize(library, plan),
        )
        torch.cuda.empty_cache()  # what a build held, PyTorch would keep from the plans
        # of the UNet only what prompts and timesteps need goes to the GPU as it is
        self._text = denoiser.text.to(self.device)
        self._times = Times(denoiser.time.to(self.device), self.device)
        self._encoder, self._denoiser, self._decoder = (
            _Plan(*plans[name], self.device) for name in NETWORKS
        )
        self._pin(config)


def find_library(device: str) -> Any:  # tensorrt ships no types
    """Import TensorRT. Raises BackendUnavailable with what to do."""
    if device != "cuda":
        raise BackendUnavailable("backend tensorrt needs an NVIDIA GPU: set device cuda on one")
    try:
        import tensorrt
    except (ImportError, OSError) as error:  # the package, or the libraries that it loads
        raise BackendUnavailable(
            "backend tensorrt needs a package: pip install 'restyle[tensorrt]'"
        ) from error
    return tensorrt


def examples(
    folder: ModelFolder, config: EngineConfig, denoiser: Denoiser, device: torch.device
) -> dict[str, tuple[nn.Module, dict[str, Tensor]]]:
    """Give each network with inputs of its shapes, two rows where any.

    One row would be taken for a fixed size. The denoiser has the precision that it comes with, the
    autoencoder that of the device.
    """
    # convolutions of an ONNX file of this opset take no bf16
    own = autoencoder_dtype(folder, device, bfloat16=False)
    encoder, decoder = (half.to(device, own) for half in load_autoencoder(folder))
    denoiser = denoiser.to(device)
    height, width = config.height // folder.downscale, config.width // folder.downscale
    channels = folder.unet.config["in_channels"]
    with torch.no_grad():
        prompts = denoiser.text(torch.zeros(2, *folder.words_shape, device=device))
        times = denoiser.time(torch.zeros(2, device=device))
    picture = torch.zeros(1, config.height, config.width, 3, dtype=torch.uint8, device=device)
    rows = torch.zeros(2, channels, height, width, device=device)
    latents = torch.zeros(1, folder.latent_channels, height, width, device=device)
    return {
        "encoder": (encoder, {"images": picture}),
        "denoiser": (denoiser, {"rows": rows, "times": times, "prompts": prompts}),
        "decoder": (decoder, {"latents": latents}),
    }


def _build(
    library: Any, folder: ModelFolder, config: EngineConfig, denoiser: Denoiser, place: Path,
    progress: Callable[[str], None],
) -> None:  # fmt: skip
    networks = examples(folder, config, denoiser, torch.device("cuda"))
    for name, (network, inputs) in networks.items():
        progress(f"building the {name} of {folder.name} for this GPU (once, takes minutes)")
        most = bucket(max(config.max_rows, 2)) if name == "denoiser" else 1
        with TemporaryDirectory() as scratch:  # large models come as several files
            model = Path(scratch) / "model.onnx"
            export(network, inputs, model, any_batch=most > 1)
            plan = _compile(library, model, inputs, most, progress)
        (place / f"{name}.plan").write_bytes(plan)
    denoiser.to("cpu")  # its place on the GPU is the plan's now


def _compile(
    library: Any, model: Path, inputs: dict[str, Tensor], most: int, progress: Callable[[str], None]
) -> Any:  # the library's own bytes
    logger = library.Logger(library.Logger.WARNING)
    builder = library.Builder(logger)
    # precisions are those of the file; where the flag is gone, this is the only way there is
    typed = getattr(library.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = library.OnnxParser(network, logger)
    if not parser.parse_from_file(str(model)):
        said = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise BackendUnavailable(f"TensorRT does not understand this model: {said}")
    settings, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for name, value in inputs.items():
        shapes = ((rows, *value.shape[1:]) for rows in (1, (most + 1) // 2, most))
        profile.set_shape(name, *shapes)
    settings.add_optimization_profile(profile)
    settings.progress_monitor = _monitor(library, progress)
    plan = builder.build_serialized_network(network, settings)
    if plan is None:
        raise BackendUnavailable("TensorRT could not build this model; its log says why")
    return plan


def _monitor(library: Any, progress: Callable[[str], None]) -> Any:
    """Tell of the outermost phases of a build, step by step."""

    class Monitor(library.IProgressMonitor):  # type: ignore[misc]  # a class without types
        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            if parent is None:
                self._steps[phase] = steps

        def step_complete(self, phase: str, step: int) -> bool:
            if phase in self._steps:
                progress(f"TensorRT: {phase} {step + 1} of {self._steps[phase]}")
            return True  # go on

        def phase_finish(self, phase: str) -> None:
            self._steps.pop(phase, None)

    return Monitor()


def _deserialize(library: Any, plan: bytes) -> tuple[Any, Any] | None:
    """Give a plan's engine, with the runtime that it needs; nothing where TensorRT refuses it."""
    runtime = library.Runtime(library.Logger(library.Logger.WARNING))
    engine = runtime.deserialize_cuda_engine(plan)
    return None if engine is None else (runtime, engine)


class _Plan:
    """A compiled network, in a stream of its own: in torch's TensorRT waits for the device."""

    def __init__(self, runtime: Any, engine: Any, device: torch.device) -> None:
        self._runtime, self._engine = runtime, engine
        self._context = self._engine.create_execution_context()
        names = [self._engine.get_tensor_name(i) for i in range(self._engine.num_io_tensors)]
        self._types = {n: _TYPES[self._engine.get_tensor_dtype(n).name] for n in names}
        *self._inputs, self._output = sorted(names, key=lambda name: name == "result")
        self._device, self._stream = device, torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's own gap

    def __call__(self, *values: Tensor) -> Tensor:
        """Run; the result is the caller's to keep."""
        held = []  # until the call is queued
        for name, value in zip(self._inputs, values, strict=True):
            held.append(value.to(self._types[name]).contiguous())
            self._context.set_input_shape(name, tuple(value.shape))
            self._context.set_tensor_address(name, held[-1].data_ptr())
        shape = tuple(self._context.get_tensor_shape(self._output))
        result = torch.empty(shape, dtype=self._types[self._output], device=self._device)
        self._context.set_tensor_address(self._output, result.data_ptr())
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        if not self._context.execute_async_v3(self._stream.cuda_stream):
            raise RuntimeError("TensorRT could not run its plan; its log says why")
        current.wait_stream(self._stream)
        return result
