"""What a call of each network takes, beside what the machine could do at most; and its memory."""

import resource
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from pipeline.comparison import measuring
from pipeline.comparison.playing import Bench
from pipeline.comparison.subject import Subject
from pipeline.models import vram
from pipeline.models.folder import ModelFolder, open_folder
from pipeline.models.loader import outline_autoencoder, outline_denoiser

_ROWS = (1, 2, 4, 8, 12, 16)


def calls(bench: Bench) -> dict[str, Any]:
    """Give milliseconds of each network by rows, and t(B) = once + row × B as the UNet's fit it.

    `off` is how far the fit is from what was measured: root mean square of the shares.
    """
    config, networks = bench.engine.config, bench.engine.networks
    folder, subject = open_folder(config), _subject(bench)
    channels = int(folder.unet.config["in_channels"])
    prompt = networks.condition(torch.randn(1, *folder.words_shape, device=bench.device))
    found: dict[str, float] = {}
    counts = [rows for rows in _ROWS if rows <= config.max_rows]
    for rows in counts:
        found |= measuring.stages(networks, subject, channels, prompt, rows)
    return {"ms": found, "fit": fit({rows: found[f"unet, {rows} rows"] for rows in counts})}


def fit(ms: dict[int, float]) -> dict[str, float]:
    """Fit milliseconds by rows with once + row × B; by least squares, neither below zero."""
    rows, times = np.array(list(ms)), np.array(list(ms.values()))
    if len(rows) == 1:
        return {"once_ms": 0.0, "row_ms": float(times[0]), "off": 0.0}
    row, once = np.polyfit(rows, times, 1)
    if once < 0:
        once, row = 0.0, float((rows @ times) / (rows @ rows))
    elif row < 0:
        once, row = float(times.mean()), 0.0
    off = float(np.sqrt(np.mean(((once + row * rows) / times - 1) ** 2)))
    return {"once_ms": round(once, 3), "row_ms": round(row, 3), "off": round(off, 4)}


def share_of_ceiling(
    bench: Bench, alone_fps: float, together: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Say what part of the machine's matrix rate, of the same run, frames of one step reach."""
    rate = measuring.matmul_ceiling(_subject(bench))
    config = bench.engine.config
    flops = frame_flops(open_folder(config), config.width, config.height)
    return {
        "matmul_tflops": round(rate / 1e12, 3),
        "frame_gflop": round(flops / 1e9, 2),
        "alone": round(alone_fps * flops / rate, 4),
        **{
            f"sessions, {count}": round(kinds["own prompts"]["fps_together"] * flops / rate, 4)
            for count, kinds in together.items()
        },
    }


def frame_flops(folder: ModelFolder, width: int, height: int) -> int:
    """Count the arithmetic of one frame of one step, by shapes alone: no weight is read."""
    encoder, decoder = outline_autoencoder(folder)
    denoiser = outline_denoiser(folder, width, height)
    for network in (encoder, denoiser, decoder):
        network.requires_grad_(False)  # or the counter follows gradients
    words = torch.zeros(1, *folder.words_shape, device="meta")
    prompt, time = denoiser.text(words), denoiser.time(torch.zeros(1, device="meta"))
    image = torch.zeros(1, height, width, 3, dtype=torch.uint8, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        latents = encoder(image)
        rows = latents.repeat(1, 2 if folder.sees_source else 1, 1, 1)
        denoiser(rows, time, prompt)
        decoder(latents)
    return int(counter.get_total_flops())


def memory(bench: Bench) -> dict[str, Any]:
    """Give what was estimated before the load, and the most that this process has held."""
    config = bench.engine.config
    told = vram.estimate(open_folder(config), config, bench.device)
    found = {
        "estimated_bytes": told.engine,
        "weights_bytes": sum(told.weights.values()),
        "session_bytes": told.session,
        "process_peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    if bench.device.type == "cuda":
        found["device_peak_bytes"] = torch.cuda.max_memory_allocated(bench.device)
    return found


def _subject(bench: Bench) -> Subject:
    config = bench.engine.config
    return Subject(Path(), config.width, config.height, 1, bench.device)
