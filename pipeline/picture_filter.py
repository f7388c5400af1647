"""A recursive filter in time on the finished picture, along the motion of the input.

The filter on latents (deflicker.py) knows motion only to a cell of eight pixels. This one follows
it to a fraction of a pixel, after the decoder. A fetch between pixels blurs, and in a recursion the
blur adds up: there only the coarse part of the past is blended in, fine detail stays the new
frame's own.

On the host, where a finished picture is anyway: OpenCV fetches five times as fast as torch on a
CPU. Derived from the filter of deflicker.py; measured in docs/consistency.md.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from pipeline.backward_warp import fetch, inside, pointed_at, resized
from pipeline.deflicker import MOST, Ramp

_MEANT = 36.0  # grey levels over three channels, from which on a change is meant
_COARSE = 1.0  # pixels: what is finer does not survive a fetch between pixels
_REACH = 2  # pixels that the mean of what is coarse reaches in each direction


Box = tuple[slice, slice]  # rows and columns


@dataclass(frozen=True, slots=True)
class PictureMotion:
    """Where each pixel was in the last frame, and what of that can be used."""

    trust: Float32[np.ndarray, "h w"]  # 0 .. 1
    box: Box  # all that moves lies in it
    at: Float32[np.ndarray, "y x 2"]  # of each pixel in the box: x and y in the last frame
    fine: Float32[np.ndarray, "y x 3"]  # 0 .. 1: share of fine detail that survives a fetch there


def to_pixels(
    backward: Float32[np.ndarray, "rows columns 2"],
    trust: Float32[np.ndarray, "rows columns"],
    height: int,
    width: int,
) -> PictureMotion:
    """Prepare a frame's motion, in pixels of its own grid, for pictures of a size."""
    if not np.isfinite(backward).all():  # it is not trusted there
        backward = np.nan_to_num(backward, nan=0, posinf=0, neginf=0)
    back = resized(backward, height, width)
    # resized or not, it is a copy: the part in the box is written to
    trust = cv2.resize(trust, (width, height), interpolation=cv2.INTER_LINEAR)
    box = _moving(back)
    at = pointed_at(back)[box]
    trust[box] *= inside(at, height, width)
    kept = _kept(back[box])
    return PictureMotion(trust, box, at, _for_colours(kept[..., 0] * kept[..., 1]))


def _moving(back: NDArray[np.float32]) -> Box:
    """Bound what moves, and so much round it as the coarse part of it is made of."""
    moves = np.ascontiguousarray(back).view(np.uint64)[..., 0] != 0  # two numbers at once
    x, y, width, height = cv2.boundingRect(moves.view(np.uint8))
    x, y, right, below = x - _REACH, y - _REACH, x + width + _REACH, y + height + _REACH
    return slice(max(y, 0), below), slice(max(x, 0), right)


def _for_colours(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Repeat a plane for three channels: NumPy takes six times as long to stretch it itself."""
    return np.asarray(cv2.merge([plane, plane, plane]), np.float32)


def _kept(shift: NDArray[np.float32]) -> NDArray[np.float32]:
    """Say how much fine detail a shift leaves, each way: all by whole pixels, none by half ones.

    Cubic in between, which is within .02 of the squared cosine and takes an eighth of its time.
    """
    away = np.rint(shift)
    np.subtract(shift, away, out=away)
    np.abs(away, out=away)
    kept = 16 * away
    kept -= 12
    kept *= away
    kept *= away
    kept += 1
    return np.asarray(kept, np.float32)


class PictureFilter:
    """One session's filter."""

    def __init__(self) -> None:
        self._past: NDArray[np.float32] | None = None  # not rounded: rounding would stick
        self._ramp = Ramp()

    def __call__(
        self,
        picture: UInt8[np.ndarray, "h w 3"],
        motion: PictureMotion | None,
        strength: float,
        look: object,
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Blend the past into a picture. See Deflicker for when it passes unchanged."""
        share = self._ramp.share(look)
        if not strength:
            self._past = None
            return picture
        now = picture.astype(np.float32)
        past, self._past = self._past, now
        if past is None or motion is None or past.shape != now.shape:
            return picture
        now += _correction(now, past, motion, MOST * strength * share)
        self._ramp.advance()
        return np.asarray(cv2.add(now, 0.0, dtype=cv2.CV_8U), np.uint8)  # rounds, and clips


def _correction(
    now: NDArray[np.float32], past: NDArray[np.float32], motion: PictureMotion, weight: float
) -> NDArray[np.float32]:
    """Give what the past adds to a picture: nothing where both are equal."""
    change = past - now  # what stands needs no fetch, and loses no detail
    moving = change[motion.box]
    np.subtract(fetch(past, motion.at, cv2.INTER_CUBIC), now[motion.box], out=moving)
    size = cv2.transform(np.square(change), np.full((1, 3), 1 / _MEANT**2, np.float32))
    weights = weight * motion.trust / (1 + np.square(size))
    coarse = cv2.GaussianBlur(moving, (2 * _REACH + 1, 2 * _REACH + 1), _COARSE)
    moving -= coarse
    moving *= motion.fine
    moving += coarse
    change *= _for_colours(weights)
    return change
