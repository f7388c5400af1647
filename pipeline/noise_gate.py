"""Which of the input's motion may carry noise, on the grid that noise is warped on."""

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline.backends.transfer import send
from pipeline.backward_warp import resized
from pipeline.flow import GATE, WINDOW
from pipeline.noise_warp import Flow, sample


def to_working(flow: NDArray[np.float32], height: int, width: int, device: torch.device) -> Flow:
    """Resize a flow to a working grid, its values with it."""
    working = torch.from_numpy(resized(flow, height, width))
    return send(working.permute(2, 0, 1).contiguous(), device)


class Gate:
    """Lets motion pass that explains the picture better than standing still does.

    On bare walls dense search finds motion of several pixels in sensor noise. Compared is the
    anchor's frame with the current one, where slow motion has added up to something.
    """

    def __init__(
        self, anchor: Float[Tensor, "1 h w"], current: Float[Tensor, "1 h w"], noise: float
    ) -> None:
        self._anchor, self._current, self._least = anchor, current, GATE * noise

    def __call__(self, ahead: Flow, back: Flow) -> tuple[Flow, Flow]:
        """Set motion to zero where it does not pay."""
        return (
            self._gated(ahead, self._anchor, self._current),
            self._gated(back, self._current, self._anchor),
        )

    def _gated(self, flow: Flow, own: Tensor, other: Tensor) -> Flow:
        still = _window(own - other)
        moved = _window(own - sample(other, flow))
        passes: Bool[Tensor, "1 h w"] = still - moved > self._least
        # unknown motion stays unknown: it is no proof of standing still
        unknown = ~torch.isfinite(flow).all(0, keepdim=True)
        return torch.where(passes | unknown, flow, torch.zeros_like(flow))


def _window(difference: Float[Tensor, "1 h w"]) -> Float[Tensor, "1 h w"]:
    return functional.avg_pool2d(
        difference.abs().nan_to_num(255.0)[None], WINDOW, 1, WINDOW // 2, count_include_pad=False
    )[0]
