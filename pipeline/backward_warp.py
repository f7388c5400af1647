"""Backward warping on the host: what another picture shows where a flow points.

Flows are [h, w, 2] in pixels of their own grid. Sums over their two channels are written out:
NumPy takes 28 times as long over a last axis of two (1.2 against .04 ms at 256 × 256).
"""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Shaped

Flow = Float32[np.ndarray, "h w 2"]
Places = Float32[np.ndarray, "h w 2"]  # x and y
Plane = Float32[np.ndarray, "h w"]


def pointed_at(flow: Flow) -> Places:
    """Give the x and y at which each pixel's flow ends."""
    return np.asarray(flow + own_places(*flow.shape[:2]), np.float32)


@lru_cache(maxsize=16)
def own_places(height: int, width: int) -> Places:
    """Give the x and y of each pixel of a grid. Many ask for the same: never write to it."""
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    places = np.stack(np.meshgrid(x, y), axis=-1)
    places.setflags(write=False)
    return places


def inside(at: Places, height: int, width: int, margin: float = 0.0) -> Bool[np.ndarray, "h w"]:
    """Say which of these places lie in a picture, or in a margin of so many pixels round it."""
    least, most = (-margin, -margin), (width - 1 + margin, height - 1 + margin)
    return np.asarray(cv2.inRange(at, least, most)) > 0


def only(flow: Flow, where: Bool[np.ndarray, "h w"]) -> Flow:
    """Keep a flow in some places and let it stand in all others, whatever it is there."""
    # as complex numbers a pixel is one value: NumPy takes a fraction of the time
    kept = np.where(where, flow.view(np.complex64)[..., 0], np.complex64(0))
    return kept.view(np.float32).reshape(flow.shape)


def resized(flow: Flow, height: int, width: int) -> Float32[np.ndarray, "rows columns 2"]:
    """Bring a flow to another grid, its values with it; the very flow if it has that size."""
    rows, columns = flow.shape[:2]
    if (rows, columns) == (height, width):
        return flow
    scaled = cv2.multiply(flow, (width / columns, height / rows, 0, 0))
    return np.asarray(cv2.resize(scaled, (width, height), interpolation=cv2.INTER_LINEAR))


def warp(picture: Shaped[np.ndarray, "h w *c"], flow: Flow) -> Float32[np.ndarray, "h w *c"]:
    """Fetch, for each pixel, what `picture` shows where the flow points."""
    return fetch(picture, pointed_at(flow))


def fetch(
    picture: Shaped[np.ndarray, "h w *c"],
    at: Float32[np.ndarray, "y x 2"],
    interpolation: int = cv2.INTER_LINEAR,
) -> Float32[np.ndarray, "y x *c"]:
    """Fetch what `picture` shows at these places; beyond its border what it shows there."""
    values = np.asarray(picture, np.float32)
    fetched = cv2.remap(values, at, None, interpolation, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(fetched, np.float32)


def agreement(there: Flow, back: Flow, cell: int = 1) -> Bool[np.ndarray, "h w"]:
    """Say where `back`, and `there` from where it points, end where they began.

    On the grid of `back`, each of whose places stands for `cell` pixels a side of the picture; the
    forward-backward check of Ruder et al. 2016, arXiv:1604.08610.
    """
    at = pointed_at(back)
    returned = fetch(there, at)
    length = _squared(back) + _squared(returned)
    height, width = there.shape[:2]
    agrees: Bool[np.ndarray, "h w"] = inside(at, height, width, margin=(1 - 1 / cell) / 2)
    agrees &= _squared(back + returned) < 0.01 * length + 0.5 / cell**2
    return agrees


def _squared(flow: Flow) -> Plane:
    return np.asarray(np.square(flow[..., 0]) + np.square(flow[..., 1]), np.float32)
