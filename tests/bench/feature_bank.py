"""What a bank of features costs on a CPU: processor time of a UNet call, beside one without.

python -m tests.bench.feature_bank [--side 256] [--rounds 80]: JSON

The shipped model in eager PyTorch on one thread. Every round calls each arm once, so that what else
the machine does meets all of them; `cost` is the median of the rounds' ratios, in percent.
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

ARMS: dict[str, dict[str, Any]] = {
    "none": {},
    "none, again": {},  # says what a difference is worth
    "1 frame": {"feature_bank": 1},
    "4 frames": {"feature_bank": 4},
    "4 frames and anchor": {"feature_bank": 4, "feature_anchor": True},
    "4 frames and fusion": {"feature_bank": 4, "feature_fusion": 0.75},
}
_WARM = 6  # rounds that do not count: banks fill up
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
    plain = taken["none"][_WARM:]
    return {
        name: {
            "ms": round(statistics.median(times[_WARM:]), 2),
            "cost": round(
                100
                * statistics.median(a / b - 1 for a, b in zip(times[_WARM:], plain, strict=True)),
                1,
            ),
        }
        for name, times in taken.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--side", type=int, default=256, help="pixels")
    parser.add_argument("--rounds", type=int, default=80, help=f"more than {_WARM}")
    given = parser.parse_args()
    if given.rounds <= _WARM:
        parser.error(f"--rounds {given.rounds}: give more than {_WARM}")
    facts = {"machine": machine(), "side": given.side, "arms": measure(given.side, given.rounds)}
    sys.stdout.write(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
