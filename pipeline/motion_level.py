"""Motion-aware noise level: the more the input moves, the less noise is put on it.

Much noise lets the model invent, and what it invents hardly moves with the picture. Source:
StreamDiffusionV2 (2025, arXiv:2511.07399), where the change is that of latents; here it is that of
the camera's grey levels, which the host knows before any latent is made.
"""

import numpy as np
from jaxtyping import UInt8

from pipeline.flow import Grey, reduce

RANGE = 0.1  # of the strength, that goes at most (as in the paper's code): more takes detail
LEAST = 0.02  # of strength that stays: one step of the schedule's grid
_FULL = 10.0  # grey levels of change, root mean square, that count as full motion
_HELD = 8  # frames over which the largest change counts: a level that jumps would flicker
_QUICK = 0.9  # of the way that one frame takes (the paper's lambda)


class MotionLevel:
    """Follows one session's input."""

    def __init__(self) -> None:
        self._last: Grey | None = None
        self._changes: list[float] = []
        self._motion = 0.0  # 0 .. 1

    def strength(self, image: UInt8[np.ndarray, "h w 3"], strength: float, share: float) -> float:
        """Take the next admitted frame; give its strength, lowered by up to RANGE of it.

        `share` is the user's, 0 .. 1; at 0 nothing is measured and nothing changes.
        """
        if not share or not strength:
            self._last, self._changes, self._motion = None, [], 0.0
            return strength
        last, self._last = self._last, reduce(image)
        if last is not None and last.shape == self._last.shape:
            change = self._last.astype(np.float32) - last
            self._changes = [*self._changes[1 - _HELD :], float(np.sqrt(np.square(change).mean()))]
            largest = min(1.0, max(self._changes) / _FULL)
            self._motion += _QUICK * (largest - self._motion)
        return max(min(strength, LEAST), strength * (1 - RANGE * share * self._motion))
