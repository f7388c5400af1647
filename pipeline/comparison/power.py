"""What an NVIDIA GPU draws while an arm runs, as `nvidia-smi` says it."""

import shutil
import subprocess  # nosec B404 - one program, no shell
import time
from collections.abc import Callable
from contextlib import suppress
from statistics import median

import torch

_SECONDS = 2.0
_EVERY_MS = 100


def meter(device: torch.device) -> list[str] | None:
    """Give the command that prints watts again and again; None where there is none to ask."""
    program = shutil.which("nvidia-smi")
    if device.type != "cuda" or program is None:
        return None
    which = torch.cuda.get_device_properties(device).uuid  # numbers may be others here
    return [
        program, f"--id=GPU-{which}", "--query-gpu=power.draw", "--format=csv,noheader,nounits",
        f"--loop-ms={_EVERY_MS}",
    ]  # fmt: skip


def draw_of(
    run: Callable[[], object], command: list[str], seconds: float = _SECONDS
) -> dict[str, float] | None:
    """Run one frame after another; give watts and joules a frame, None where nothing was said.

    Watts are the median of the second half: the first is on its way up.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as asked:  # nosec B603
        began, frames = time.perf_counter(), 0
        try:
            while time.perf_counter() - began < seconds:
                run()
                frames += 1
            taken = time.perf_counter() - began
        finally:
            asked.kill()
        said, _ = asked.communicate(timeout=10)
    if (watts := settled(said)) is None:
        return None
    return {"watts": round(watts, 1), "joules_per_frame": round(watts * taken / frames, 3)}


def settled(said: str) -> float | None:
    """Give the watts that a meter's lines settled at; None where it told none."""
    watts: list[float] = []
    for line in said.split("\n"):
        with suppress(ValueError):  # [N/A]
            watts.append(float(line))
    return median(watts[len(watts) // 2 :]) if watts else None
