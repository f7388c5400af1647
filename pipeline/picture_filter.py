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

from pipeline.deflicker import MOST, Ramp
from pipeline.flow import Box

_MEANT = 60.0  # grey levels over three channels, from which on a change is meant
_MOVED = 0.42  # of what moved in the blend: more of it is a mixture of brush strokes, no painting
_COARSE = 1.0  # pixels: what is finer does not survive a fetch between pixels
_REACH = 2  # pixels that the mean of what is coarse reaches in each direction
_SIZE = np.full((1, 3), 1 / _MEANT**2, np.float32)  # of squares: what they add up to
_PARTS = 32  # of a pixel, to which OpenCV fetches


@dataclass(frozen=True, slots=True)
class PictureMotion:
    """Where each pixel was in the last frame, and what of that can be used."""

    trust: Float32[np.ndarray, "h w"]  # 0 .. 1
    box: Box  # all that moves lies in it
    x: Float32[np.ndarray, "y x"]  # of each pixel in the box, in the last frame
    y: Float32[np.ndarray, "y x"]
    fine: Float32[np.ndarray, "y x"]  # 0 .. 1: how much detail a fetch from there leaves
    coarse: Float32[np.ndarray, "y x"]  # the rest
    most: Float32[np.ndarray, "y x"]  # of the past in the blend


def to_pixels(
    backward: Float32[np.ndarray, "rows columns 2"],
    trust: Float32[np.ndarray, "rows columns"],
    height: int,
    width: int,
) -> PictureMotion:
    """Prepare a frame's motion, in pixels of its own grid, for pictures of a size."""
    if not np.isfinite(backward).all():  # it is not trusted there
        backward = np.nan_to_num(backward, nan=0, posinf=0, neginf=0)
    rows, columns = trust.shape
    x, y = (
        cv2.resize(cv2.multiply(plane, scale), (width, height), interpolation=cv2.INTER_LINEAR)
        for plane, scale in zip(cv2.split(backward), (width / columns, height / rows), strict=True)
    )
    # resized or not, it is a copy: the part in the box is written to
    trust = cv2.resize(trust, (width, height), interpolation=cv2.INTER_LINEAR)
    moves = (x != 0) | (y != 0)
    box = _bounds(moves)
    x = x[box] + np.arange(width, dtype=np.float32)[box[1]]
    y = y[box] + np.arange(height, dtype=np.float32)[box[0], None]
    trust[box] *= (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    fine = _KEPT.take(cv2.convertMaps(x, y, cv2.CV_16SC2)[1])
    most = np.where(moves[box], np.float32(_MOVED), np.float32(1))
    return PictureMotion(trust, box, x, y, fine, 1 - fine, most)


def _bounds(moves: NDArray[np.bool_]) -> Box:
    """Bound what moves, and so much round it as the coarse part of it is made of."""
    x, y, width, height = cv2.boundingRect(moves.view(np.uint8))
    x, y, right, below = x - _REACH, y - _REACH, x + width + _REACH, y + height + _REACH
    return slice(max(y, 0), below), slice(max(x, 0), right)


def _kept() -> Float32[np.ndarray, "n"]:
    """Say how much fine detail is fetched, 0 .. 1: all from whole pixels, none from half ones.

    For each place between pixels, as OpenCV counts them: by rows, then by columns. In between the
    cube of deflicker.py's cubic: a linear fetch leaves less than a bicubic one.
    """
    away = np.arange(_PARTS) / _PARTS
    away = np.minimum(away, 1 - away)
    kept = (1 + away**2 * (16 * away - 12)) ** 3
    return np.outer(kept, kept).ravel().astype(np.float32)


_KEPT = _kept()


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
        now = picture.astype(np.float32, order="C")  # OpenCV writes into it
        past, self._past = self._past, now
        if past is None or motion is None or past.shape != now.shape:
            return picture
        _blend(now, past, motion, MOST * strength * share)
        self._ramp.advance()
        return np.asarray(cv2.convertScaleAbs(now), np.uint8)  # rounds, and clips above


def _blend(
    now: NDArray[np.float32], past: NDArray[np.float32], motion: PictureMotion, weight: float
) -> None:
    """Blend the past into a picture in place: nothing changes where both are equal."""
    change = cv2.subtract(past, now)  # what stands needs no fetch, and loses no detail
    moving = change[motion.box]
    fetched = cv2.remap(past, motion.x, motion.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cv2.subtract(fetched, now[motion.box], dst=moving)
    squares = cv2.multiply(change, change)
    weights = cv2.transform(squares, _SIZE)
    cv2.multiply(weights, weights, dst=weights)
    cv2.divide(motion.trust, cv2.add(weights, 1, dst=weights), dst=weights, scale=weight)
    np.minimum(weights[motion.box], motion.most, out=weights[motion.box])
    coarse = cv2.GaussianBlur(moving, (2 * _REACH + 1, 2 * _REACH + 1), _COARSE, dst=fetched)
    cv2.blendLinear(moving, coarse, motion.fine, motion.coarse, dst=moving)
    # merged: NumPy takes six times as long to stretch a plane over three channels itself
    cv2.accumulateProduct(change, cv2.merge([weights] * 3, dst=squares), now)
    np.maximum(now, 0, out=now)  # what is coarse of the past may be darker than black
