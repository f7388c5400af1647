"""How much of what changes in still parts is flicker: energy of fast changes over all of it.

For reports. The colours of a film's still pixels, one by one, are a signal in time; slow drift has
its energy at low frequencies, flicker above `FAST`. Pixels count whose input stands still as long
as a window lasts, so motion of what is shown is not taken for flicker.
"""

from collections import deque

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray

from pipeline.flicker import stands
from pipeline.flow import reduce

FAST = 4.0  # Hz, above which a change is flicker
WINDOW = 64  # frames: at 25 a second frequencies are told apart to 0.4 Hz
LEAST = 16  # frames: of fewer next to no frequency below FAST can be seen
_BLUR = 1.0  # pixels: grain of single pixels is no flicker


class StaticFlicker:
    """Measures one film beside its input; keeps no more than WINDOW small grey pictures of each."""

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._films: tuple[deque[Float32[np.ndarray, "h w"]], ...] = (deque(), deque())
        self._still: NDArray[np.bool_] | None = None  # over the window so far
        self._last: UInt8[np.ndarray, "h w"] | None = None
        # of each window: of the output and of the input, fast and all
        self._energies: list[NDArray[np.float64]] = []

    def add(self, source: UInt8[np.ndarray, "h w 3"], shown: UInt8[np.ndarray, "h w 3"]) -> None:
        """Take the next frame of the input and of the film, all of one size."""
        greys = reduce(source), reduce(shown)
        if self._last is not None:
            still = stands(self._last, greys[0]) > 0
            self._still = still if self._still is None else self._still & still
        self._last = greys[0]
        for grey, film in zip(reversed(greys), self._films, strict=True):
            film.append(cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _BLUR))
        if len(self._films[0]) == WINDOW:
            self._energies += self._held()
            for film in self._films:
                film.clear()
            self._still = None

    def shares(self) -> tuple[float, float] | None:
        """Give fast over all energy, 0 .. 1, of the film and of its input; 0 where nothing changes.

        None where too few frames came, or nothing stood still.
        """
        energies = self._energies + (self._held() if len(self._films[0]) >= LEAST else [])
        if not energies:
            return None
        shown, source = (
            float(fast / of_all) if of_all else 0.0 for fast, of_all in np.sum(energies, 0)
        )
        return shown, source

    def _held(self) -> list[NDArray[np.float64]]:
        """Give the energies of what is held; nothing where nothing stood still."""
        if self._still is None or not self._still.any():
            return []
        return [np.array([self._energy(np.stack(film)[:, self._still]) for film in self._films])]

    def _energy(self, signals: Float32[np.ndarray, "n pixels"]) -> tuple[float, float]:
        count = len(signals)
        power = np.square(np.abs(np.fft.rfft(signals, axis=0, norm="ortho"))).sum(1)
        power[1 : (count + 1) // 2] *= 2  # the same frequency below zero; half the rate has none
        frequencies = np.fft.rfftfreq(count, 1 / self._fps)
        return float(power[frequencies > FAST].sum()), float(power[1:].sum())
