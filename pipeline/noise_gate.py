"""Which of the input's motion may carry noise, on the grid that noise is warped on."""

import cv2
import numpy as np
from jaxtyping import Float32

from pipeline.backward_warp import Flow
from pipeline.flow import GATE, WINDOW
from pipeline.noise_graph import sample


class Gate:
    """Lets motion pass that explains the picture better than standing still does.

    On bare walls dense search finds motion of several pixels in sensor noise. Compared is the
    anchor's frame with the current one, where slow motion has added up to something.
    """

    def __init__(
        self,
        anchor: Float32[np.ndarray, "h w"],
        current: Float32[np.ndarray, "h w"],
        noise: float,
    ) -> None:
        self._anchor, self._current, self._least = anchor, current, GATE * noise

    def __call__(self, ahead: Flow, back: Flow) -> tuple[Flow, Flow]:
        """Set motion to zero where it does not pay."""
        return (
            self._gated(ahead, self._anchor, self._current),
            self._gated(back, self._current, self._anchor),
        )

    def _gated(
        self,
        flow: Flow,
        own: Float32[np.ndarray, "h w"],
        other: Float32[np.ndarray, "h w"],
    ) -> Flow:
        moved = np.nan_to_num(np.abs(own - sample(other, flow)), nan=255.0)
        gain = cv2.blur(np.abs(own - other) - moved, (WINDOW, WINDOW))
        # unknown motion stays unknown: it is no proof of standing still
        stands = (gain <= self._least) & np.isfinite(flow[..., 0]) & np.isfinite(flow[..., 1])
        return np.where(stands[..., None], np.float32(0), flow)
