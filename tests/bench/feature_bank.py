"""What a bank of features costs on a CPU: processor time of a UNet call, beside one without.

python -m tests.bench.feature_bank [--side 256] [--rounds 80]: JSON

The shipped model in eager PyTorch on one thread. Every round calls each arm once, so that what else
the machine does meets all of them. What counts is four rounds at a time, the sum of their calls: a
bank that is merged at every fourth frame is merged once in them. `ms` is the median of a call's
share, `cost` the median of the ratios to none, in percent.
"""

import argparse
import inspect
import json
import statistics
import sys
import time
from typing import Any

import torch
from tqdm import tqdm

from pipeline.backends.eager import EagerNetworks
from pipeline.config import EngineConfig
from pipeline.feature_bank import Row
from pipeline.models.folder import open_folder
from tests.bench.__main__ import machine

TOGETHER = 4  # rounds
ARMS: dict[str, dict[str, Any]] = {
    "none": {},
    "none, again": {},  # says what a difference is worth
    "1 frame": {"feature_bank": 1},
    "1 frame, merged every 4": {"feature_bank": 1, "feature_merge": TOGETHER},
    "1 frame, merged every 1": {"feature_bank": 1, "feature_merge": 1},
    "4 frames": {"feature_bank": 4},
    "4 frames and anchor": {"feature_bank": 4, "feature_anchor": True},
    "4 frames and fusion": {"feature_bank": 4, "feature_fusion": 0.75},
}
_WARM = 8  # rounds that do not count: banks fill up
_KEPT = 30_000_000  # bytes: glibc keeps as much as was given back once, in an engine, too


def call_ms(networks: EagerNetworks, rows: torch.Tensor, prompt: torch.Tensor) -> float:
    """Call the UNet for a frame of a session; give the thread's processor time."""
    began = time.thread_time()
    if networks.bank is None:
        networks.denoise(rows, [500.0], prompt)
    else:
        with networks.bank.rows([Row("bench", 0, 0, "ink")]):
            networks.denoise(rows, [500.0], prompt)
    return 1000 * (time.thread_time() - began)


def measure(side: int, rounds: int) -> dict[str, Any]:
    """Give each arm's median in milliseconds, and what it costs."""
    folder = open_folder(EngineConfig(width=side, height=side))
    arms = {}
    for name, values in ARMS.items():
        own = EngineConfig(width=side, height=side, device="cpu", backend="eager", **values)
        arms[name] = EagerNetworks(folder, own, lambda message: None)
    torch.set_num_threads(1)
    bytearray(_KEPT)  # or each large tensor would be new memory, which costs as much as its copy
    shape = folder.unet.config["in_channels"], side // folder.downscale, side // folder.downscale
    scene, random = torch.zeros(1, *shape), torch.Generator().manual_seed(0)
    prompt = arms["none"].condition(torch.randn(1, *folder.words_shape, generator=random))
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for _ in tqdm(range(rounds), unit="round"):
        rows = scene + torch.randn(1, *shape, generator=random)
        for name, networks in arms.items():
            taken[name].append(call_ms(networks, rows, prompt))
    sums = {name: summed(times[_WARM:]) for name, times in taken.items()}
    return {
        name: {
            "ms": round(statistics.median(own) / TOGETHER, 2),
            "cost": round(
                100 * statistics.median(a / b - 1 for a, b in zip(own, sums["none"], strict=True)),
                1,
            ),
        }
        for name, own in sums.items()
    }


def summed(times: list[float]) -> list[float]:
    """Add up so many rounds at a time."""
    return [sum(together) for together in zip(*[iter(times)] * TOGETHER, strict=False)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--side", type=int, default=256, help="pixels")
    parser.add_argument("--rounds", type=int, default=80, help=f"at least {_WARM + TOGETHER}")
    given = parser.parse_args()
    if given.rounds < _WARM + TOGETHER:
        parser.error(f"--rounds {given.rounds}: give at least {_WARM + TOGETHER}")
    facts = {"machine": machine(), "side": given.side, "arms": measure(given.side, given.rounds)}
    sys.stdout.write(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
