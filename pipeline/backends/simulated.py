"""A device that exists only as numbers: it charges t(B) = once + row × bucket(B) on its own clock.

What the scheduler promises can be tested on it anywhere, the same each time. It says nothing of a
GPU's speed, and its pictures are black.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

BUCKETS = (1, 2, 4, 8, 12, 16)  # the batch sizes for which a GPU has a graph
SIDE = 64


@dataclass(slots=True)
class Clock:
    """Time that passes when somebody says so."""

    now: float = 0.0

    def __call__(self) -> float:
        """Give the time in seconds."""
        return self.now


@dataclass(slots=True)
class Device:
    """What a machine takes for its work, in seconds."""

    clock: Clock
    once: float
    row: float
    frame: float = 0.0002  # encode and decode, each
    calls: list[int] = field(default_factory=list)  # rows of each UNet call

    name = "simulated"
    device = torch.device("cpu")
    batches = True

    def encode(self, images: Tensor) -> Tensor:
        """See Networks."""
        self.clock.now += self.frame * len(images)
        return torch.zeros(len(images), 16, SIDE // 8, SIDE // 8)

    def condition(self, words: Tensor) -> Tensor:
        """See Networks."""
        return words

    def denoise(self, rows: Tensor, timesteps: Sequence[float], prompts: Tensor) -> Tensor:
        """See Networks."""
        self.calls.append(len(rows))
        bucket = next((size for size in BUCKETS if size >= len(rows)), len(rows))
        self.clock.now += self.once + self.row * bucket
        return rows[:, :16]

    def decode(self, latents: Tensor) -> Tensor:
        """See Networks."""
        self.clock.now += self.frame * len(latents)
        return torch.zeros(len(latents), SIDE, SIDE, 3, dtype=torch.uint8)
