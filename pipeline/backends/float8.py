"""fp8: a UNet's layers with eight-bit numbers, and the gate that lets them in.

float8_layers.py has the layers. Those of prompts and timesteps, which run once each, stay as they
are, and so do those round a residual block: they carry the whole picture past it, so what they lose
nothing brings back (ARCHITECTURE.md has the figures).

Tested on a CPU, where PyTorch has the same product; not yet run on a GPU.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pipeline.backends.float8_layers import count_bytes, in_float8, suits
from pipeline.config import EngineConfig
from pipeline.errors import BackendUnavailable
from pipeline.models.folder import ModelFolder
from pipeline.models.parts import Denoiser

logger = logging.getLogger(__name__)

LIMIT = 0.02  # relative L2 of what a UNet predicts; beyond it layers go back
_CAPABILITY = (8, 9)  # of the first GPUs that multiply such numbers
_LEVELS = ((999.0, 0.0), (499.0, 0.5), (199.0, 0.9))  # timestep, and weight of what is no noise
_AROUND = "conv_shortcut"
_NAMES = {torch.float16: "fp16", torch.float32: "fp32", torch.bfloat16: "bf16"}

Kinds = dict[str, list[str]]  # kind of layer → names of its layers
Inputs = tuple[Tensor, Tensor, Tensor]


def check_precision(config: EngineConfig, device: str) -> None:
    """Raise BackendUnavailable for fp8 on a device that has no such numbers."""
    if config.precision != "fp8":
        return
    if device != "cuda" or torch.cuda.get_device_capability() < _CAPABILITY:
        raise BackendUnavailable(
            "precision fp8 needs an NVIDIA GPU of compute capability 8.9 or more (RTX 40 series, "
            "L4, H100, …): set precision auto"
        )


def settle_precision(
    denoiser: Denoiser, folder: ModelFolder, config: EngineConfig, say: Callable[[str], None]
) -> str:
    """Put a denoiser that is on its device into the precision asked for; name what came of it.

    For fp8 kinds of layers are left out, the one that harms most first, until what the UNet
    predicts from a few fixed inputs is within LIMIT of what it predicted before.
    """
    before = _NAMES[next(denoiser.unet.parameters()).dtype]
    if config.precision != "fp8":
        return before
    kinds = layers_by_kind(denoiser)
    with torch.no_grad():
        inputs = _inputs(denoiser, folder, config)
        expected = [denoiser(*each) for each in inputs]

        def error(tried: Kinds) -> float:
            with _float8(denoiser.unet, tried):
                return _apart([denoiser(*each) for each in inputs], expected)

        chosen, apart = choose(kinds, error)
        for layers in chosen.values():
            _put(denoiser.unet, layers)
    count, of = (sum(map(len, each.values())) for each in (chosen, kinds))
    said = f"fp8 in {count} of {of} layers, {apart:.1%} from {before}"
    if left_out := [kind for kind in kinds if kind not in chosen]:
        logger.warning("%s: %s stay: %s", folder.name, before, ", ".join(left_out))
    say(f"{folder.name}: {said}")
    return said


def choose(kinds: Kinds, error: Callable[[Kinds], float]) -> tuple[Kinds, float]:
    """Leave kinds out, the one that harms most by itself first, until the error is within LIMIT.

    Gives those that stay and their error: none and 0, if it comes to that.
    """
    found = error(kinds)
    if found <= LIMIT:
        return kinds, found
    by_harm = sorted(kinds, key=lambda kind: error({kind: kinds[kind]}))
    while by_harm:
        by_harm.pop()
        chosen = {kind: kinds[kind] for kind in kinds if kind in by_harm}
        found = error(chosen) if chosen else 0.0
        if found <= LIMIT:
            return chosen, found
    return {}, 0.0


def layers_by_kind(denoiser: Denoiser) -> Kinds:
    """List a UNet's layers that fp8 is for by their kinds, such as `attn1.to_qkv`."""
    elsewhere = {id(each) for part in (denoiser.text, denoiser.time) for each in part.modules()}
    kinds: Kinds = {}
    for name, layer in denoiser.unet.named_modules():
        if suits(layer) and id(layer) not in elsewhere and not name.endswith(_AROUND):
            words = [word for word in name.split(".") if not word.isdigit()]
            kinds.setdefault(".".join(words[-2:]), []).append(name)
    return kinds


def gain(denoiser: Denoiser) -> tuple[int, int]:
    """Give the bytes of all layers that fp8 is for, and theirs in it; only shapes are looked at."""
    names = [name for layers in layers_by_kind(denoiser).values() for name in layers]
    tensors = [list(denoiser.unet.get_submodule(name).parameters()) for name in names]
    before = sum(tensor.nbytes for layer in tensors for tensor in layer)
    return before, sum(count_bytes(*layer) for layer in tensors)


@contextmanager
def _float8(unet: nn.Module, kinds: Kinds) -> Iterator[None]:
    """Have layers in fp8 for a while."""
    kept = {name: unet.get_submodule(name) for layers in kinds.values() for name in layers}
    try:
        _put(unet, list(kept))
        yield
    finally:
        for name, layer in kept.items():
            unet.set_submodule(name, layer)


def _put(unet: nn.Module, layers: list[str]) -> None:
    for name in layers:
        unet.set_submodule(name, in_float8(unet.get_submodule(name)))  # type: ignore[arg-type]  # layers_by_kind chose it


def _inputs(denoiser: Denoiser, folder: ModelFolder, config: EngineConfig) -> list[Inputs]:
    """Give a row at each of three noise levels: of soft shapes and noise, with random words."""
    generator = torch.Generator().manual_seed(0)
    device = next(denoiser.unet.parameters()).device
    shape = (
        1, folder.unet.config["in_channels"],
        config.height // folder.downscale, config.width // folder.downscale,
    )  # fmt: skip
    found = []
    for timestep, weight in _LEVELS:
        shapes = interpolate(torch.randn(*shape[:2], 4, 4, generator=generator), shape[2:])
        noise = torch.randn(shape, generator=generator)
        rows = weight * shapes + (1 - weight**2) ** 0.5 * noise
        words = torch.randn(1, *folder.words_shape, generator=generator)
        time = denoiser.time(torch.tensor([timestep], device=device))
        found.append((rows.to(device), time, denoiser.text(words.to(device))))
    return found


def _apart(found: list[Tensor], expected: list[Tensor]) -> float:
    """Give the relative L2 distance over all; infinite where something is no number."""
    distances = [(one - other).square().sum() for one, other in zip(found, expected, strict=True)]
    apart = (sum(distances) / sum(each.square().sum() for each in expected)) ** 0.5
    return float(apart) if bool(torch.isfinite(torch.as_tensor(apart))) else float("inf")
