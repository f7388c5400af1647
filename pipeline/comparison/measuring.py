"""Times, ceilings and shares, all of one run: only ratios travel from one machine to another."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.backends.protocol import Networks
from pipeline.comparison.arms import Arm, Image
from pipeline.comparison.subject import Subject
from pipeline.errors import PipelineError

logger = logging.getLogger(__name__)

_WARM_UPS = 3


@contextmanager
def attempt(name: str, failed: dict[str, str]) -> Iterator[None]:
    """Let a part of a comparison fail by itself: `failed` says why, the other figures are kept."""
    try:
        yield
    except PipelineError as error:  # a sentence for the user
        failed[name] = str(error)
    except Exception as error:  # others' code may raise anything
        logger.exception("%s failed", name)
        failed[name] = f"{type(error).__name__}: {error}"


def interleaved(
    arms: Mapping[str, Arm], images: list[Image], rounds: int, failed: dict[str, str]
) -> dict[str, list[float]]:
    """Give each arm's milliseconds a frame, one frame of each in turn, from host to host.

    Turns keep what else goes on in the machine from falling on one arm. Inputs are random: zeros
    run faster. An arm that fails is left out from then on, and `failed` says why.
    """
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(_WARM_UPS + rounds):
        for name in list(taken):
            began = time.perf_counter()
            with attempt(name, failed):
                arms[name](images[turn % len(images)])
            if name in failed:
                del taken[name]
            elif turn >= _WARM_UPS:
                taken[name].append(1000 * (time.perf_counter() - began))
    return taken


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Give median and quartiles."""
    low, high = np.percentile(milliseconds, [25, 75])
    return {"median": round(median(milliseconds), 3), "iqr": round(float(high - low), 3)}


def matmul_ceiling(subject: Subject) -> float:
    """Give the FLOP a second of a large product of random numbers, in the arms' precision."""
    side = 8192 if subject.device.type == "cuda" else 1024
    one, other = (
        torch.randn(side, side, device=subject.device, dtype=subject.dtype) for _ in range(2)
    )
    seconds = timed(lambda: torch.mm(one, other), subject.device, 10)
    return 2 * side**3 / (seconds / 1000)


def frame_flops(networks: Networks, subject: Subject, channels: int, prompt: torch.Tensor) -> int:
    """Count the arithmetic of one frame: encode, one UNet row a step, decode.

    Only matrix products, convolutions and attention count. `networks` are eager PyTorch.
    """
    image = torch.zeros(1, subject.height, subject.width, 3, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        latents = networks.encode(image)
        rows = latents.repeat(1, channels // latents.shape[1], 1, 1)
        for _ in range(subject.steps):
            networks.denoise(rows, [499.0], prompt)
        networks.decode(latents)
    return int(counter.get_total_flops())


def stages(
    networks: Networks, subject: Subject, channels: int, prompt: torch.Tensor, rows: int
) -> dict[str, float]:
    """Give the milliseconds of each network by itself, the device waited for."""
    image = torch.randint(0, 255, (1, subject.height, subject.width, 3), dtype=torch.uint8)
    latents = networks.encode(image)
    noisy = torch.randn_like(latents.repeat(rows, channels // latents.shape[1], 1, 1))
    prompts = prompt.expand(rows, -1, -1).contiguous()
    calls: dict[str, Callable[[], object]] = {
        "encode": lambda: networks.encode(image),
        f"unet, {rows} rows": lambda: networks.denoise(noisy, [499.0] * rows, prompts),
        "decode": lambda: networks.decode(latents),
    }
    return {name: round(timed(call, subject.device, 10), 3) for name, call in calls.items()}


def timed(call: Callable[[], object], device: torch.device, times: int) -> float:
    """Give the median milliseconds of a call with the device waited for."""
    taken = []
    for turn in range(_WARM_UPS + times):
        _wait(device)
        began = time.perf_counter()
        call()
        _wait(device)
        if turn >= _WARM_UPS:
            taken.append(1000 * (time.perf_counter() - began))
    return median(taken)


def memory_in_use(device: torch.device) -> int:
    """Give the bytes in use on a GPU, and look for their peak from now on; 0 on a CPU."""
    if device.type != "cuda":
        return 0
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def peak_memory(device: torch.device, before: int) -> int | None:
    """Give the most bytes that came to those `before`; None on a CPU.

    The arms stay loaded, one beside the other, so that they can take turns.
    """
    if device.type != "cuda":
        return None
    return torch.cuda.max_memory_allocated(device) - before


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
