"""The stochastic similarity filter: the stiller the picture, the more of its frames are skipped.

Source: Kodaira et al. 2023, arXiv:2312.12491, section 3.5. A frame whose cosine similarity S to the
last processed one is above eta is skipped with probability (S - eta) / (1 - eta). Chance instead of
a threshold: slow motion loses some frames, it does not stand still and then jump.
"""

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

MOST_SKIPS = 10  # in a row; the next frame is processed whatever it shows
_SIDE = 128  # pixels a side that are compared, at most; more would change nothing but the time


class SimilarityFilter:
    """Decides for one session, with a random generator of its own."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._reference: NDArray[np.float32] | None = None
        self._skipped = 0

    def skips(self, image: UInt8[np.ndarray, "h w 3"], eta: float) -> bool:
        """Say whether to skip a frame. `eta` of 0 and of 1 and more never skip."""
        if not 0 < eta < 1:
            self._reference, self._skipped = None, 0
            return False
        stride = max(1, max(image.shape[:2]) // _SIDE)
        pixels = image[::stride, ::stride].astype(np.float32).ravel() / 127.5 - 1
        pixels /= max(float(np.linalg.norm(pixels)), 1e-6)
        if self._reference is not None and self._skipped <= MOST_SKIPS:
            similarity = float(self._reference @ pixels)
            if (similarity - eta) / (1 - eta) > self._random.random():
                self._skipped += 1
                return True
        self._reference, self._skipped = pixels, 0
        return False
