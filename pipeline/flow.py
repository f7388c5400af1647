"""How the camera's picture moves: from one admitted frame to the next, never from what was made.

Motion computed from restyled pictures would depend on the noise in them, and warped noise would
no longer be white. Dense inverse search (Kroeger et al. 2016, arXiv:1603.03590) from OpenCV.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Shaped, UInt8
from numpy.typing import NDArray

from pipeline.backward_warp import agreement, only, resized, warp

SIDE = 128  # pixels of the longer side at which motion is used
_COMPARED = 256  # pixels of the longer side at which others compare pictures
_LEAST_SIDE = 16  # pixels of what is searched: OpenCV 5.0 reads beyond smaller pictures
_CUT_RESIDUAL, _CUT_VALID = 0.15, 0.4
_STANDS = 6.0  # grey levels that differ, averaged over _WINDOW: more than a poor camera's noise
LEAST_NOISE = 0.5  # grey levels: a camera without any would open the gate for rounding errors
_WINDOW = 5  # pixels a side over which the gate of the filters compares
_AVERAGED = 3  # pixels a side over which the residual of what stands is averaged
WINDOW = 9  # pixels a side over which the gate of carried noise compares, on its own grid
GATE = 0.45  # of the sensor's standard deviation, that a motion must explain more than standing
_SURELY = 7  # pixels a side over which a change is averaged before it is searched in
NOISE_CHANGES = 1.8  # of it: noise changes a pixel by 1.13 in the mean, a window by no more
_MARGIN = 4  # pixels, as they are searched, round all that changes: what moves comes from there

Grey = UInt8[np.ndarray, "h w"]
Box = tuple[slice, slice]  # rows and columns
EVERYWHERE: Box = (slice(None), slice(None))


@dataclass(frozen=True, slots=True)
class FrameMotion:
    """From the last admitted frame to this one, in pixels of the flow's own size."""

    forward: NDArray[np.float32]  # [h, w, 2] on the last frame's grid
    backward: NDArray[np.float32]  # [h, w, 2] on this frame's grid
    valid: NDArray[np.bool_]  # [h, w] on this frame's grid: both directions agree
    residual: NDArray[np.float32]  # [h, w] grey levels that the motion does not explain
    is_cut: bool


class InputFlow:
    """Follows one session's input."""

    def __init__(self) -> None:
        self._search = _search(refinements=3)
        self._check = _search(refinements=0)  # half the time: says only whether both ways agree
        self.grey: Grey | None = None  # the newest frame, at the flow's size
        self._small: Grey | None = None  # the same, as it is searched
        self.noise = 0.0  # standard deviation of the sensor's noise in grey levels

    def follow(
        self, image: UInt8[np.ndarray, "h w 3"], everywhere: bool = True
    ) -> FrameMotion | None:
        """Take the next admitted frame; None for the first one.

        If not `everywhere`, motion is searched for only in the box of what changed by more than
        the sensor's noise, the rest stands (`stilled` would let it stand anyway), and `forward` is
        no more than what `valid` needs.
        """
        last, self.grey = self.grey, _reduced(image)
        last_small, self._small = self._small, _halved(self.grey)
        if last is None or last_small is None or last.shape != self.grey.shape:
            return None
        box = EVERYWHERE if everywhere or not self.noise else self._changed(last, self._small)
        forward, backward, valid = self._both_ways(last_small, self._small, box, everywhere)
        residual = np.asarray(cv2.absdiff(self.grey.astype(np.float32), warp(last, backward)))
        is_cut = bool(residual.mean() > 255 * _CUT_RESIDUAL) or _is_lost(valid, last, self.grey)
        # what two scenes differ by is no noise, and a frame that came twice says nothing of it
        if not is_cut and not np.array_equal(last, self.grey):
            self._learn(max(sensor_noise(last, self.grey), LEAST_NOISE))
        return FrameMotion(forward, backward, valid, residual, is_cut)

    def _changed(self, last: Grey, small: UInt8[np.ndarray, "rows columns"]) -> Box | None:
        """Bound what changes by more than noise does, and what lies round it, as it is searched."""
        assert self.grey is not None
        change = cv2.absdiff(last, self.grey)
        total = cv2.boxFilter(change, cv2.CV_16U, (_SURELY, _SURELY), normalize=False)
        x, y, width, height = cv2.boundingRect(
            (total > _SURELY**2 * NOISE_CHANGES * self.noise).view(np.uint8)
        )
        if not width:
            return None
        scale = len(last) // len(small)  # a row or column that is left over is in the margin
        return _around(y, height, scale, len(small)), _around(x, width, scale, small.shape[1])

    def _both_ways(
        self, last: Grey, grey: Grey, box: Box | None, finely: bool
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
        """Search small pictures; give motion there and back, and where both agree, in full size."""
        there, back = np.zeros((2, *grey.shape, 2), np.float32)
        if box is not None:
            old, new = np.ascontiguousarray(last[box]), np.ascontiguousarray(grey[box])
            there[box] = (self._search if finely else self._check).calc(old, new, None)
            back[box] = self._search.calc(new, old, None)
        assert self.grey is not None
        height, width = self.grey.shape
        agrees = agreement(there, back, round(height / len(grey)))
        valid = cv2.resize(255 * agrees.view(np.uint8), (width, height)) > 127
        return resized(there, height, width), resized(back, height, width), np.asarray(valid)

    def _learn(self, noise: float) -> None:
        self.noise = noise if not self.noise else 0.9 * self.noise + 0.1 * noise


def _search(refinements: int) -> cv2.DISOpticalFlow:
    """Make a search; with 3 refinements instead of the preset's 5 its errors are within 3 %."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    search.setFinestScale(0)  # what it is given is small already
    search.setVariationalRefinementIterations(refinements)
    search.setGradientDescentIterations(12)  # instead of 16
    return search


def _around(first: int, length: int, scale: int, most: int) -> slice:
    """Give what is searched of a row or column: what lies there, and a margin to both sides."""
    begin, end = first // scale - _MARGIN, -(-(first + length) // scale) + _MARGIN
    missing = max(0, _LEAST_SIDE - min(end, most) + max(begin, 0))
    return slice(max(begin - missing, 0), min(end + missing, most))


def _is_lost(valid: NDArray[np.bool_], last: Grey, grey: Grey) -> bool:
    """Say whether most of a picture was found nowhere in the last one, in place neither.

    On bare walls what dense search finds in noise agrees with nothing, and the wall stands.
    """
    if valid.mean() >= _CUT_VALID:
        return False
    stands = cv2.blur(cv2.absdiff(grey, last), (_WINDOW, _WINDOW)) < _STANDS
    return bool((valid | stands).mean() < _CUT_VALID)


def stilled(
    motion: FrameMotion, last: Grey, grey: Grey, noise: float, window: int = _WINDOW
) -> FrameMotion:
    """Let stand what the motion explains no better than standing still, for the filters in time.

    On bare walls motion found in sensor noise would make them fetch from anywhere. `noise` is the
    sensor's in grey levels; pictures are compared in a `window` of so many pixels a side; the
    residual is averaged, and what is noise of it taken off. Motion of less than about 0.3 pixels of
    256 a frame stands, too: the filters look back one frame only. Carried
    noise, which lives for many, has a gate of its own (Gate).
    """
    still, moved = cv2.absdiff(grey, last).astype(np.float32), motion.residual
    gain = cv2.blur(still - moved, (window, window))
    passes = gain > GATE * max(noise, LEAST_NOISE)
    for plane in (motion.backward[..., 0], motion.backward[..., 1]):
        passes &= np.isfinite(plane)  # one that is no number would stay in what is blended for good
    cv2.copyTo(moved, passes.view(np.uint8), still)
    residual = cv2.blur(still, (_AVERAGED, _AVERAGED))
    residual -= noise
    return FrameMotion(
        motion.forward,
        only(motion.backward, passes),
        motion.valid | ~passes,
        np.maximum(residual, 0, out=residual),
        motion.is_cut,
    )


def reduce(image: UInt8[np.ndarray, "rows columns 3"], side: int = _COMPARED) -> Grey:
    """Give a picture in grey, its longer side of at most so many pixels."""
    grey: Grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    scale = side / max(grey.shape)
    if scale >= 1:
        return grey
    size = (round(grey.shape[1] * scale), round(grey.shape[0] * scale))
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8)


def _reduced(image: UInt8[np.ndarray, "rows columns 3"]) -> Grey:
    """Give a picture as its motion is used: strips stay as high as can be searched."""
    grey = reduce(image, SIDE)
    return grey if min(grey.shape) >= _LEAST_SIDE else reduce(image)


def _halved(grey: Grey) -> UInt8[np.ndarray, "rows columns"]:
    """Give a picture as small as its motion is searched for: the preset stops there anyway."""
    height, width = grey.shape[0] // 2, grey.shape[1] // 2
    if min(height, width) < _LEAST_SIDE:
        return grey
    return np.asarray(cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def sensor_noise(one: Grey, other: Grey) -> float:
    """Estimate the standard deviation of a camera's noise, from the median of what changed.

    Of every fourth pixel, which are thousands still. Grey levels are few: counting them finds a
    median in a fraction of the time of sorting.
    """
    change = other[::2, ::2].astype(np.intp) - one[::2, ::2]
    counts = np.bincount(change.ravel() + 255, minlength=511)
    away = np.abs(np.arange(511) - _median(counts))
    return 1.4826 * _median(np.bincount(away, counts)) / 2**0.5


def _median(counts: Shaped[np.ndarray, "n"]) -> int:
    """Give the median of whole numbers, of which `counts` says how often each is there."""
    total = np.cumsum(counts)
    return int(np.searchsorted(total, total[-1] / 2))
