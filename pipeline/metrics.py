"""How still a stylized video holds: figures from the motion of its input, never of its output.

Pictures are RGB [h, w, 3], bytes or floats in 0 .. 1; errors are means over pixels and channels
with colours in 0 .. 1. Definitions: algorithms of Lai et al. 2018, arXiv:1808.00449 (warping
error); forward-backward check after Ruder et al. 2016, arXiv:1604.08610.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.backward_warp import agreement, warp
from pipeline.flicker import stands
from pipeline.flow import (
    LEAST_NOISE,
    NOISE_CHANGES,
    WINDOW,
    FrameMotion,
    Grey,
    reduce,
    sensor_noise,
    stilled,
)
from pipeline.static_flicker import StaticFlicker

_MOVES = 0.5  # pixels a frame
_TAKEN = 1.5  # the noise over what of it is left by a search that follows it
_SEEN = 5  # of so many pairs of frames the network of a `distance` sees one: it takes seconds
Image = NDArray[np.uint8]
Picture = Image | NDArray[np.float32]
Flow = NDArray[np.float32]  # [h, w, 2] in pixels


@dataclass(frozen=True, slots=True)
class Motion:
    """Where each pixel of a frame was in another frame, and where that can be known."""

    flow: Flow  # from this frame's grid to the other frame
    valid: NDArray[np.bool_]  # [h, w]
    found: "Motion | None" = None  # as the search found it, in the noise of bare walls, too

    @property
    def moves(self) -> NDArray[np.bool_]:
        """Mark [h, w] where something surely moves, by half a pixel and more."""
        moves: NDArray[np.bool_] = self.valid & (np.linalg.norm(self.flow, axis=-1) > _MOVES)
        return moves


def motion_between(frame: Picture, other: Picture) -> Motion:
    """Estimate motion by dense inverse search, both ways, and drop what does not agree.

    What stands as well as it moves, stands: in the noise of bare walls the search finds motion of
    several pixels, and what is drawn on a wall would be blamed for not following it.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey, other_grey = (cv2.cvtColor(_bytes(x), cv2.COLOR_RGB2GRAY) for x in (frame, other))
    flow = np.asarray(search.calc(grey, other_grey, None), np.float32)
    back = np.asarray(search.calc(other_grey, grey, None), np.float32)
    steep = sum(np.square(d).sum(-1) for d in np.gradient(flow, axis=(0, 1)))
    smooth = steep <= 0.01 * np.square(flow).sum(-1) + 0.002
    return _stilled(Motion(flow, agreement(back, flow) & smooth), other_grey, grey)


def _stilled(found: Motion, other: Grey, grey: Grey) -> Motion:
    """Let stand what does not surely move; where that explains the picture, it is known to."""
    fetched = warp(other, found.flow)
    left = sensor_noise(np.rint(fetched).astype(np.uint8), grey)
    noise = max(min(sensor_noise(other, grey), _TAKEN * left), LEAST_NOISE)
    residual = np.asarray(cv2.absdiff(grey.astype(np.float32), fetched))
    motion = FrameMotion(found.flow, found.flow, found.valid, residual, is_cut=False)
    flow = stilled(motion, other, grey, noise, window=WINDOW).backward
    change = cv2.blur(cv2.absdiff(grey, other).astype(np.float32), (WINDOW, WINDOW))
    stands_well = (flow == 0).all(-1) & (change <= NOISE_CHANGES * noise)
    return Motion(flow, found.valid | stands_well, found)


def warp_error(image: Picture, earlier: Picture, motion: Motion) -> float:
    """E_warp of two outputs whose inputs moved by `motion` (from this frame to the earlier one).

    The mean squared difference; its root times 255 is in grey levels. NaN where no pixel is valid.
    """
    fetched = warp(_unit(earlier), motion.flow)
    squared = np.square(_unit(image) - fetched).mean(-1)
    return float(squared[motion.valid].mean()) if motion.valid.any() else float("nan")


def flicker(before: Picture, image: Picture, after: Picture, back: Motion, ahead: Motion) -> float:
    """Give the energy of what a frame shows and neither neighbour does, motion compensated."""
    expected = (warp(_unit(before), back.flow) + warp(_unit(after), ahead.flow)) / 2
    squared = np.square(_unit(image) - expected).mean(-1)
    valid = back.valid & ahead.valid
    return float(squared[valid].mean()) if valid.any() else float("nan")


def _unit(image: Picture) -> NDArray[np.float32]:
    unit = image.astype(np.float32)
    return unit / np.float32(255) if image.dtype == np.uint8 else unit


def _bytes(image: Picture) -> Image:
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    return np.asarray(np.rint(255 * np.clip(image, 0, 1)), np.uint8)


def _change(image: Picture, earlier: Picture) -> float:
    """Give the mean difference of two pictures in grey levels, nothing moved along."""
    return float(255 * np.abs(_unit(image) - _unit(earlier)).mean())


def sharpness(image: Picture) -> float:
    """Give the variance of the Laplacian of a picture's brightness: blur lowers it."""
    grey = cv2.cvtColor(_bytes(image), cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)
    return float(cv2.Laplacian(grey, cv2.CV_32F).var())


class Consistency:
    """Compares a stylized video with its input, frame by frame; keeps few of each."""

    LAGS = (1, 5, 30)

    def __init__(
        self,
        motion: Callable[[Image, Image], Motion] = motion_between,
        distance: Callable[[Picture, Picture], float] | None = None,
        fps: float | None = None,
    ) -> None:
        """`motion` finds that of the input: whoever compares many outputs may remember it.

        `distance` says how far two pictures are apart to the eye, as Features.distance does.
        `fps`, frames a second, are what figures in Hz want.
        """
        self._motion, self._distance = motion, distance
        self._static = None if fps is None else StaticFlicker(fps)
        self._inputs: deque[Image] = deque(maxlen=max(self.LAGS) + 1)
        self._outputs: deque[Image] = deque(maxlen=max(self.LAGS) + 1)
        self._first: tuple[Image, Image] | None = None
        self._errors: dict[str, list[float]] = {}
        self.frames = 0

    def add(self, source: Image, stylized: Image) -> None:
        """Take the next frame of both, of one size."""
        self._inputs.append(source)
        self._outputs.append(stylized)
        self.frames += 1
        for lag in self.LAGS:
            if len(self._inputs) > lag:
                self._look_back(lag)
        self._look_far_back(source, stylized)
        if len(self._inputs) > 2:
            self._look_around()
        if self._static is not None:
            self._static.add(source, stylized)
        self._note("sharpness", sharpness(stylized))

    def figures(self) -> dict[str, float]:
        """Give the means; errors in grey levels, energies and ratios as they are.

        warp_error_1, _5, _30   E_warp of the output at a distance of so many frames
        warp_error_first        the same of each frame and the first one: how far the film drifts
        warp_error_1_found      the same by the motion as it was found, also in noise
        …_input                 the same of the input: what the method itself finds
        warp_error_ratio        of the energies E_warp at a distance of one frame, output to input
        flicker, flicker_input  what a frame shows and neither neighbour does, as energy × 1e4
        flicker_still           the same where the input stands still over the three frames
        tof                     mean difference of the output's motion from the input's, in pixels
        motion_ratio            mean motion of the output over that of the input: a frozen output
                                has less, a boiling one more
        moving_ratio            the same where the input surely moves
        change, change_input    mean difference from one frame to the next, in grey levels
        sharpness               variance of the Laplacian: to compare with the unsmoothed output
        perceptual_error_1      with a distance, of every fifth pair: how far a frame is from the
                                one before, moved along; what is not valid is black. And …_input
        tlp                     with a distance, of the same pairs: how much further apart, or
                                nearer, two frames are than the input's, nothing moved along. The
                                figure of TecoGAN (Chu et al. 2020, arXiv:1811.09393) with LPIPS
        fast_flicker            with `fps`: energy of changes above 4 Hz over that of all changes,
                                where the input stands still. And …_input
        """
        means = {name: float(np.nanmean(values)) for name, values in self._errors.items()}
        found = {}
        for name, value in means.items():
            if name.startswith("warp_error"):
                found[name] = 255 * value**0.5
            elif name.startswith("flicker"):
                found[name] = 1e4 * value
            elif not name.startswith(("motion", "moving")):
                found[name] = value
        for name in ("motion", "moving"):
            if f"{name}_input" in means:
                found[f"{name}_ratio"] = means[f"{name}_output"] / max(means[f"{name}_input"], 1e-6)
        if "warp_error_1" in means:
            floor = max(means["warp_error_1_input"], 1e-12)
            found["warp_error_ratio"] = means["warp_error_1"] / floor
        shares = None if self._static is None else self._static.shares()
        if shares is not None:
            found["fast_flicker"], found["fast_flicker_input"] = shares
        # sharpness is of the order of 1e-4
        return {n: round(value, 8 if n == "sharpness" else 4) for n, value in found.items()}

    def _look_back(self, lag: int) -> None:
        source, before = self._inputs[-1], self._inputs[-1 - lag]
        shown, shown_before = self._outputs[-1], self._outputs[-1 - lag]
        motion = self._motion(source, before)
        if lag == 1:
            self._note("change", _change(shown, shown_before))
            self._note("change_input", _change(source, before))
        outputs, inputs = (shown, shown_before), (source, before)
        self._note_warp(f"warp_error_{lag}", outputs, inputs, motion)
        if lag == 1:
            self._look_closely(motion)
            if motion.found is not None:
                self._note_warp("warp_error_1_found", outputs, inputs, motion.found)
            own = motion_between(shown, shown_before)
            self._note("tof", float(np.abs(own.flow - motion.flow).sum(-1).mean()))
            for name, flow in (("motion_output", own.flow), ("motion_input", motion.flow)):
                self._note(name, float(np.linalg.norm(flow, axis=-1).mean()))
            moves = motion.moves
            for name, flow in (("moving_output", own.flow), ("moving_input", motion.flow)):
                self._note(name, float(np.linalg.norm(flow, axis=-1)[moves].sum() / moves.size))

    def _look_far_back(self, source: Image, shown: Image) -> None:
        if self._first is None:
            self._first = source, shown
            return
        first, first_shown = self._first
        motion = self._motion(source, first)
        self._note_warp("warp_error_first", (shown, first_shown), (source, first), motion)

    def _note_warp(
        self, name: str, outputs: tuple[Image, Image], inputs: tuple[Image, Image], motion: Motion
    ) -> None:
        """Note E_warp of a pair of outputs, and that of their inputs beside it."""
        self._note(name, warp_error(*outputs, motion))
        self._note(f"{name}_input", warp_error(*inputs, motion))

    def _look_closely(self, motion: Motion) -> None:
        """Note how far the newest frame is from the one before, moved along, to a network."""
        if self._distance is None or self.frames % _SEEN != 2:  # of short films at least the first
            return
        valid, apart = motion.valid[..., None].astype(np.float32), []
        for name, film in (("", self._outputs), ("_input", self._inputs)):
            moved = warp(_unit(film[-2]), motion.flow)
            error = self._distance(_unit(film[-1]) * valid, moved * valid)
            self._note(f"perceptual_error_1{name}", error)
            apart.append(self._distance(film[-1], film[-2]))
        self._note("tlp", abs(apart[0] - apart[1]))

    def _look_around(self) -> None:
        back = self._motion(self._inputs[-2], self._inputs[-3])
        ahead = self._motion(self._inputs[-2], self._inputs[-1])
        for name, videos in (("flicker", self._outputs), ("flicker_input", self._inputs)):
            self._note(name, flicker(videos[-3], videos[-2], videos[-1], back, ahead))
        greys = [reduce(image) for image in list(self._inputs)[-3:]]
        if greys[0].shape != back.valid.shape:
            return  # larger than what the mask is found at
        still = (stands(greys[0], greys[1]) > 0) & (stands(greys[1], greys[2]) > 0)
        if still.any():
            stood = Motion(np.zeros_like(back.flow), still)
            before, shown, after = list(self._outputs)[-3:]
            self._note("flicker_still", flicker(before, shown, after, stood, stood))

    def _note(self, name: str, value: float) -> None:
        self._errors.setdefault(name, []).append(value)
