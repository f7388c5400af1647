"""How much memory an engine takes on its device, known before any weight is read.

Weights are counted exactly, from the headers of their files; a UNet's in fp8 as if its gate let all
in. Activations and what a session keeps are estimates from the configs, on the high side
(tests/pipeline/test_vram.py holds them against what PyTorch really allocates on a CPU).
"""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from pipeline.backends.buckets import DTYPES, autoencoder_dtype, buckets
from pipeline.backends.float8 import gain
from pipeline.config import EngineConfig
from pipeline.errors import ConfigError, NoRoom
from pipeline.models.bank_memory import bank_in_calls, session_bank
from pipeline.models.folder import ModelFolder, Part
from pipeline.models.headers import read_header
from pipeline.models.loader import outline_denoiser
from pipeline.noise_warp import CHILDREN
from pipeline.prompts import KEPT_BYTES, KEPT_TEXTS
from pipeline.session_noise import MOST_STEPS

_FLOAT = 4  # bytes: session state and text encoders are fp32 on every device
_PROMPTS = 2  # of a frame: its own and the negative one
_ATTENTION = (
    22  # times a level's input live in a transformer block: the gate's 8 + 4 + 4, its norms
)
_CONVOLUTION = 6  # the same in a residual block: twice as wide an input, its norm, two results
_AUTOENCODER = 5  # the same at full size, where one convolution's input, result and norm live
_PICTURE = 12  # the picture itself, before and after its range and type change
_FINER = 4  # SessionState's working grid for carried noise, a side
_FIXED_ADDRESSES = ("graphs", "compiled")  # backends whose every batch size has inputs of its own
_LIBRARIES = 256 << 20  # bytes of work space for cuBLAS and cuDNN: an allowance, not measured
Free = Callable[[torch.device], int | None]


@dataclass(frozen=True, slots=True)
class Memory:
    """What an engine takes, in bytes."""

    weights: dict[str, int]  # by part
    trial: int  # of layers as they were, which stay until fp8 was tried
    activations: int  # of the largest call, its prompts included
    prompts: int  # what is remembered of them, at most
    session: int  # for each session, at the dearest settings

    @property
    def engine(self) -> int:
        """What is needed to serve one session at all."""
        later = max(self.trial, self.prompts + self.session)  # while it is tried nobody is served
        return sum(self.weights.values()) + self.activations + later


def estimate(folder: ModelFolder, config: EngineConfig, device: torch.device | str) -> Memory:
    """Estimate an engine's memory. Raises ModelError for a damaged file."""
    device = torch.device(device)
    weights, trial = _weights(folder, config, device)
    # beside those that sessions hold, which count as theirs
    prompts = max(KEPT_BYTES, DTYPES[device.type].itemsize * _prompt(folder))
    prompts += _FLOAT * KEPT_TEXTS * math.prod(folder.words_shape)
    activations = _activations(folder, config, device)
    return Memory(weights, trial, activations, prompts, _session(folder, config, device))


def free_memory(device: torch.device) -> int | None:
    """Give the free bytes of a GPU; None on a CPU, where the system swaps and nothing is fixed.

    What PyTorch holds for later calls, and uses for none now, counts as free: a warm-up's full
    batch leaves its memory there.
    """
    if device.type != "cuda":
        return None
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def room(device: torch.device) -> int | None:
    """Give the free bytes of a device; on a CPU those of the machine, None where it does not say.

    A size that comes while people watch must not push the machine into its swap.
    """
    return free_memory(device) if device.type == "cuda" else _free_host()


def _free_host() -> int | None:
    """Read what Linux says is free, or what the control group has left, if that is less."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # another system
        return None
    found = [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):  # no control group, or one without a limit
        most = int((group / "memory.max").read_text())
        found.append(most - int((group / "memory.current").read_text()))
    return min(found, default=None)


def check_room(
    folder: ModelFolder, config: EngineConfig, device: torch.device, copies: bool, free: Free
) -> None:
    """Refuse another size of a loaded model. Raises NoRoom. `copies`: it has weights of its own."""
    available = free(device)
    if available is None:
        return
    needed = _activations(folder, config, device) + _session(folder, config, device)
    if copies:
        weights, _ = _weights(folder, config, device)
        needed += sum(weights.values()) + _scores(folder, config)
    if needed > available:
        raise NoRoom(
            f"{folder.name} at {config.width}x{config.height} takes about {gigabytes(needed)} "
            f"more, but {device} has {gigabytes(available)} free: choose a smaller size"
        )


def check_fits(
    folder: ModelFolder, config: EngineConfig, device: torch.device, free: Free
) -> str | None:
    """Say how much of a device's memory an engine takes; None where nothing is fixed.

    Raises ConfigError for one that the device has no room for.
    """
    available = free(device)
    if available is None:
        return None
    memory = estimate(folder, config, device)
    if memory.engine > available:
        raise ConfigError(
            f"{folder.name} at {config.width}x{config.height} with max_rows {config.max_rows} "
            f"takes about {gigabytes(memory.engine)}, but {device} has "
            f"{gigabytes(available)} free: choose a smaller width and height, fewer max_rows or a "
            "smaller model or autoencoder (TAESD), or end what else runs there"
        )
    return (
        f"taking about {gigabytes(memory.engine)} of {gigabytes(available)} free on {device}, "
        f"{gigabytes(memory.session)} more for each further session"
    )


def places(
    folder: ModelFolder, config: EngineConfig, device: torch.device, free: Free
) -> int | None:
    """Say how many sessions' state fits beside a loaded engine; None where nothing is fixed.

    Activations and prompts count as not yet allocated: free_memory counts what a warm-up left.
    """
    available = free(device)
    if available is None:
        return None
    memory = estimate(folder, config, device)
    return max(0, (available - memory.activations - memory.prompts) // memory.session)


def gigabytes(count: int) -> str:
    """Write a number of bytes for people."""
    return f"{count / 1e9:.2f} GB"


def _weights(
    folder: ModelFolder, config: EngineConfig, device: torch.device
) -> tuple[dict[str, int], int]:
    """Count the bytes of each part, and of the UNet's layers that fp8 leaves behind once tried."""
    dtype = DTYPES[device.type]
    own = autoencoder_dtype(folder, device).itemsize
    weights = {
        folder.unet.name: dtype.itemsize * _numbers(folder.unet),
        folder.autoencoder.name: own * _numbers(folder.autoencoder),
    }
    if folder.text.class_name != "StaticTextEncoder" or device.type == "cpu":
        # the static encoder's table stays on the host
        texts = (part for part in (folder.text, folder.text_2) if part)
        weights |= {part.name: _FLOAT * _numbers(part) for part in texts}
    if config.precision != "fp8":
        return weights, 0
    outline = outline_denoiser(folder, config.width, config.height)
    trial, smaller = gain(outline.to(dtype=dtype))
    weights[folder.unet.name] -= trial - smaller
    return weights, trial


def _activations(folder: ModelFolder, config: EngineConfig, device: torch.device) -> int:
    """Count the bytes of the largest call, with the prompts that stand side by side for it."""
    size = DTYPES[device.type].itemsize
    denoising = size * (_unet(folder, config) + _prompts_in_calls(config) * _prompt(folder))
    denoising += size * bank_in_calls(folder, config, config.backend in _FIXED_ADDRESSES)
    decoding = autoencoder_dtype(folder, device).itemsize * _autoencoder(folder, config)
    work_space = _LIBRARIES if device.type == "cuda" else 0
    return max(denoising, decoding) + work_space


def _numbers(part: Part) -> int:
    """Count a part's numbers once loaded.

    Old position_ids (I64) are not; the static encoder's table (I8 with a scale a row) becomes one.
    """
    return sum(
        entry.count
        for name, entry in read_header(part.weights).items()
        if entry.dtype in ("F64", "F32", "F16", "BF16", "I8") and name != "table.scale"
    )


def _latents(folder: ModelFolder, config: EngineConfig) -> int:
    """Count the latent positions of a picture."""
    return (config.width // folder.downscale) * (config.height // folder.downscale)


def _unet(folder: ModelFolder, config: EngineConfig) -> int:
    """Count the numbers that live at once in a UNet call of a full batch."""
    unet = folder.unet.config
    widths, layers = unet["block_out_channels"], unet.get("layers_per_block", 2)
    layers = layers if isinstance(layers, int) else max(layers)
    area = _latents(folder, config)
    kept = busiest = 0
    for level, width in enumerate(widths):
        level_area = max(1, area >> 2 * level)
        kept += (layers + 1) * width * level_area  # what the way down keeps for the way up
        attends = "Attn" in unet["down_block_types"][level]
        wider = max(width, widths[min(level + 1, len(widths) - 1)])  # comes up from below
        work = _ATTENTION * width if attends else 0
        busiest = max(busiest, max(work, _CONVOLUTION * wider) * level_area)
    return max(config.max_rows, 2) * (kept + busiest)  # a guided frame has two rows in any case


def _prompts_in_calls(config: EngineConfig) -> int:
    """Count the prompts, a row each, that stand side by side for calls."""
    fixed = buckets(config.max_rows) if config.backend in _FIXED_ADDRESSES else []
    return max(config.max_rows, 2) + sum(fixed)


def _scores(folder: ModelFolder, config: EngineConfig) -> int:
    """Count the bytes of the largest self-attention where its scores are written out."""
    unet = folder.unet.config
    heads = unet["attention_head_dim"]  # diffusers' name for their number
    area, largest = _latents(folder, config), 0
    for level, kind in enumerate(unet["down_block_types"]):
        if "Attn" in kind:
            count = heads if isinstance(heads, int) else heads[level]
            largest = max(largest, 2 * count * (area >> 2 * level) ** 2)  # scores, their softmax
    return _FLOAT * largest


def _autoencoder(folder: ModelFolder, config: EngineConfig) -> int:
    """Count the numbers that live at once where the autoencoder is largest: one picture a call."""
    settings, pixels = folder.autoencoder.config, config.width * config.height
    if folder.autoencoder.class_name == "PatchAutoencoder":
        return int(pixels * (_PICTURE + _AUTOENCODER * settings["fine_channels"] // 16))
    # the level below gives its width to the picture's own size
    widths = settings.get("block_out_channels") or settings["decoder_block_out_channels"]
    return int((_PICTURE + _AUTOENCODER * max(widths[:2])) * pixels)


def _session(folder: ModelFolder, config: EngineConfig, device: torch.device) -> int:
    """Count the bytes of one session with every feature on."""
    latents = folder.latent_channels * _latents(folder, config)
    fields = 3 * MOST_STEPS  # of the seed, of the other seed, turned between them
    # of both seeds: the anchor, the newest noise, what fills holes, each point's children; the
    # other seed's come beside the first one's before all are joined
    fields += 2 * MOST_STEPS * _FINER**2 * (4 + 2 * CHILDREN)
    in_flight = 4 * MOST_STEPS  # source, noise, latent and reference of each frame
    # where each sets out and where it goes, and on the way one of its own for each frame in flight
    prompts = _PROMPTS * (2 + _in_flight(config))
    prompts *= DTYPES[device.type].itemsize * _prompt(folder)
    bank = DTYPES[device.type].itemsize * session_bank(folder, config, MOST_STEPS)
    return _FLOAT * (fields + in_flight + 2) * latents + prompts + bank


def _in_flight(config: EngineConfig) -> int:
    """Count the frames that a session may have in flight; see scheduler.depth."""
    return max(config.parallel_rows, 1 if config.schedule == "step-major" else MOST_STEPS)


def _prompt(folder: ModelFolder) -> int:
    """Count the numbers of a prompt as the denoiser takes it: keys and values of every layer."""
    layers = read_header(folder.unet.weights).items()
    ends = (".attn2.to_k.weight", ".attn2.to_v.weight")
    width = sum(entry.shape[0] for name, entry in layers if name.endswith(ends))
    return (folder.words_shape[0] + 1) * width  # one token more for what joins the timestep
