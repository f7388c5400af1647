"""Backward warping on the host: what another picture shows where a flow points.

Flows are [h, w, 2] in pixels of their own grid. Sums over their two channels are written out:
NumPy takes 28 times as long over a last axis of two (1.2 against .04 ms at 256 × 256).
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Shaped

Flow = Float32[np.ndarray, "h w 2"]
Plane = Float32[np.ndarray, "h w"]


def pointed_at(flow: Flow) -> tuple[Plane, Plane]:
    """Give the x and y at which each pixel's flow ends."""
    height, width = flow.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    return x, y


def inside(x: Plane, y: Plane) -> Bool[np.ndarray, "h w"]:
    """Say which of these places lie in the picture."""
    height, width = x.shape
    within: Bool[np.ndarray, "h w"] = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return within


def resized(flow: Flow, height: int, width: int) -> Float32[np.ndarray, "rows columns 2"]:
    """Bring a flow to another grid, its values with it; the very flow if it has that size."""
    rows, columns = flow.shape[:2]
    if (rows, columns) == (height, width):
        return flow
    other = np.asarray(cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR))
    other[..., 0] *= width / columns
    other[..., 1] *= height / rows
    return other


def warp(picture: Shaped[np.ndarray, "h w *c"], flow: Flow) -> Float32[np.ndarray, "h w *c"]:
    """Fetch, for each pixel, what `picture` shows where the flow points."""
    return fetch(picture, *pointed_at(flow))


def fetch(
    picture: Shaped[np.ndarray, "h w *c"], x: Plane, y: Plane, interpolation: int = cv2.INTER_LINEAR
) -> Float32[np.ndarray, "h w *c"]:
    """Fetch what `picture` shows at these places; beyond its border what it shows there."""
    values = np.asarray(picture, np.float32)
    fetched = cv2.remap(values, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(fetched, np.float32)


def agreement(there: Flow, back: Flow) -> Bool[np.ndarray, "h w"]:
    """Say where `back`, and `there` from where it points, end where they began.

    On the grid of `back`; the forward-backward check of Ruder et al. 2016, arXiv:1604.08610.
    """
    x, y = pointed_at(back)
    returned = fetch(there, x, y)
    length = _squared(back) + _squared(returned)
    agrees: Bool[np.ndarray, "h w"] = inside(x, y)
    agrees &= _squared(back + returned) < 0.01 * length + 0.5
    return agrees


def _squared(flow: Flow) -> Plane:
    return np.asarray(np.square(flow[..., 0]) + np.square(flow[..., 1]), np.float32)
