"""How still a stylized video holds: figures from the motion of its input, never of its output.

Pictures are uint8 RGB [h, w, 3]; errors are means over pixels and channels with colours in 0 .. 1.
Definitions: algorithms of Lai et al. 2018, arXiv:1808.00449 (warping error); forward-backward check
after Ruder et al. 2016, arXiv:1604.08610.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Flow = NDArray[np.float32]  # [h, w, 2] in pixels


@dataclass(frozen=True, slots=True)
class Motion:
    """Where each pixel of a frame was in another frame, and where that can be known."""

    flow: Flow  # from this frame's grid to the other frame
    valid: NDArray[np.bool_]  # [h, w]


def motion_between(frame: Image, other: Image) -> Motion:
    """Estimate motion by dense inverse search, both ways, and drop what does not agree."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey, other_grey = (cv2.cvtColor(x, cv2.COLOR_RGB2GRAY) for x in (frame, other))
    flow = np.asarray(search.calc(grey, other_grey, None), np.float32)
    back = np.asarray(search.calc(other_grey, grey, None), np.float32)
    returned = warp(back, flow)
    away = np.square(flow + returned).sum(-1)
    length = np.square(flow).sum(-1) + np.square(returned).sum(-1)
    height, width = grey.shape
    y, x = np.mgrid[:height, :width]
    inside = (
        (x + flow[..., 0] >= 0) & (x + flow[..., 0] <= width - 1)
        & (y + flow[..., 1] >= 0) & (y + flow[..., 1] <= height - 1)
    )  # fmt: skip
    steep = sum(np.square(d).sum(-1) for d in np.gradient(flow, axis=(0, 1)))
    smooth = steep <= 0.01 * np.square(flow).sum(-1) + 0.002
    return Motion(flow, inside & (away <= 0.01 * length + 0.5) & smooth)


def warp(image: NDArray[np.float32], flow: Flow) -> NDArray[np.float32]:
    """Fetch, for each pixel, what `image` shows where the flow points; bilinear."""
    height, width = flow.shape[:2]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    fetched = cv2.remap(
        image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(fetched, np.float32)


def warp_error(image: Image, earlier: Image, motion: Motion) -> float:
    """E_warp of two outputs whose inputs moved by `motion` (from this frame to the earlier one).

    The mean squared difference; its root times 255 is in grey levels. NaN where no pixel is valid.
    """
    fetched = warp(_unit(earlier), motion.flow)
    squared = np.square(_unit(image) - fetched).mean(-1)
    return float(squared[motion.valid].mean()) if motion.valid.any() else float("nan")


def flicker(before: Image, image: Image, after: Image, back: Motion, ahead: Motion) -> float:
    """Give the energy of what a frame shows and neither neighbour does, motion compensated."""
    expected = (warp(_unit(before), back.flow) + warp(_unit(after), ahead.flow)) / 2
    squared = np.square(_unit(image) - expected).mean(-1)
    valid = back.valid & ahead.valid
    return float(squared[valid].mean()) if valid.any() else float("nan")


def _unit(image: Image) -> NDArray[np.float32]:
    return image.astype(np.float32) / np.float32(255)
