"""A live figure of flicker: how much the shown picture changes where the camera's does not.

No motion is estimated, so it costs a fraction of a millisecond. What moves, or lies near something
that moves, does not count: there a change may be meant. Figures for reports come from metrics.py.
"""

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from pipeline.flow import Grey, reduce

_STILL = 3.0  # grey levels of local mean change up to which the input stands still: sensor noise
_WINDOW = 9  # pixels a side over which the input's change is averaged
_MARGIN = 9  # pixels round a moving part that do not count either: the network sees that far
_LEAST_STILL = 0.05  # share of the picture without which there is no figure


class FlickerMeter:
    """Compares each shown picture of one session with the one before."""

    def __init__(self) -> None:
        self._source: Grey | None = None
        self._shown: Grey | None = None

    def measure(
        self, source: UInt8[np.ndarray, "h w 3"], shown: UInt8[np.ndarray, "h w 3"]
    ) -> float | None:
        """Give the mean change in grey levels, 0 .. 255, over the still parts of the input.

        None for a first picture, a new size, and where nearly everything moves.
        """
        last, last_shown = self._source, self._shown
        self._source, self._shown = reduce(source), reduce(shown)
        if last is None or last_shown is None or last.shape != self._source.shape:
            return None
        still = stands(last, self._source)
        if cv2.countNonZero(still) < _LEAST_STILL * still.size:
            return None
        return float(cv2.mean(cv2.absdiff(last_shown, self._shown), mask=still)[0])


def stands(last: Grey, source: Grey) -> NDArray[np.uint8]:
    """Mark with 255 where the input stands still."""
    change = cv2.blur(cv2.absdiff(last, source), (_WINDOW, _WINDOW))
    _, moves = cv2.threshold(change, _STILL, 255, cv2.THRESH_BINARY)
    still = cv2.bitwise_not(cv2.dilate(moves, np.ones((_MARGIN, _MARGIN), np.uint8)))
    return np.asarray(still, np.uint8)
