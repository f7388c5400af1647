"""Where noise goes as the picture moves: which pixels end in which, and in what shares.

On the host, as the motion is: whoever moves noise on a device knows all sizes beforehand and never
has to ask it. Steps A and B of Algorithm 1 of Burgert et al. 2025, arXiv:2501.08331.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int, Int32, Shaped

from pipeline.backward_warp import Flow, fetch, inside, pointed_at

_HUGE = 1e4  # pixels; a flow beyond is a mistake
_SOME = 1e-3  # share of something unknown from which on a fetch is unknown, too


@dataclass(frozen=True, slots=True)
class Graph:
    """What each pixel now is made of, of `pixels` at the anchor's time, row by row.

    Most are copies. The others are sums over edges, of which those come first that leave a source
    with several: one after another for each source, in the order of their targets.
    """

    # from which pixel; `pixels` + its own number where nothing is known, 2 * `pixels` for a sum
    copied: Int32[np.ndarray, "pixels"]
    source: Int32[np.ndarray, "e"]
    target: Int32[np.ndarray, "e"]
    weight: Float32[np.ndarray, "e"]  # in the sum; 1 for the only edge of a target
    parent: Int32[np.ndarray, "m"]  # of an edge that shares its source: counts these sources
    child: Int32[np.ndarray, "m"]  # counts the edges of each
    degree: Float32[np.ndarray, "m"]  # how many they are

    @property
    def parents(self) -> int:
        """How many sources have several edges."""
        return int(self.parent[-1]) + 1 if len(self.parent) else 0

    @property
    def most_children(self) -> int:
        """How many edges a source has at most."""
        return int(self.degree.max()) if len(self.degree) else 1

    @property
    def unknown(self) -> float:
        """Give the share of pixels that nothing reaches."""
        pixels = len(self.copied)
        return float(np.mean((self.copied >= pixels) & (self.copied < 2 * pixels)))


def connect(ahead: Flow, back: Flow) -> Graph:
    """Lead every pixel of the anchor forward, and to every pixel that none reached, back.

    At most two edges a pixel. The shares of the sum at a target make it white where what comes is.
    """
    pixels = ahead.shape[0] * ahead.shape[1]
    reached, stays = _moved(ahead)
    origin, known = _moved(back)
    source = np.flatnonzero(stays)
    arrivals = np.bincount(reached[source], minlength=pixels)
    missed = np.flatnonzero(known & (arrivals == 0))
    arrivals[missed] = 1
    source, target = (
        np.concatenate([source, origin[missed]]),
        np.concatenate([reached[source], missed]),
    )
    leaving = np.bincount(source, minlength=pixels)
    splits, meets = leaving[source] > 1, arrivals[target] > 1
    copied = np.arange(pixels, 2 * pixels, dtype=np.int32)
    copied[target] = source
    copied[target[splits | meets]] = 2 * pixels
    split = np.flatnonzero(splits)
    split = split[np.argsort(source[split] * pixels + target[split])]
    edges = np.concatenate([split, np.flatnonzero(meets & ~splits)])
    source, target = source[edges], target[edges]
    degree = leaving[source].astype(np.float32)
    parent, child = _counted(source[: len(split)])
    return Graph(
        copied,
        source.astype(np.int32),
        target.astype(np.int32),
        _weights(degree, target, arrivals[target]),
        parent,
        child,
        degree[: len(split)],
    )


def _weights(
    degree: Float32[np.ndarray, "e"], target: Int[np.ndarray, "e"], arrivals: Int[np.ndarray, "e"]
) -> Float32[np.ndarray, "e"]:
    """Share each target among its edges: by the roots of what they stand for, of variance 1."""
    square = np.bincount(target, 1 / degree)
    return np.where(arrivals == 1, 1, 1 / np.sqrt(degree * square[target])).astype(np.float32)


def _counted(
    source: Int[np.ndarray, "m"],
) -> tuple[Int32[np.ndarray, "m"], Int32[np.ndarray, "m"]]:
    """Count the runs of equal values, and the members of each run."""
    begins = np.flatnonzero(np.diff(source, prepend=-1))
    run = np.repeat(np.arange(len(begins)), np.diff(begins, append=len(source)))
    return run.astype(np.int32), (np.arange(len(source)) - begins[run]).astype(np.int32)


def _moved(flow: Flow) -> tuple[Int[np.ndarray, "pixels"], Bool[np.ndarray, "pixels"]]:
    """Give the nearest pixel that each one is led to, and whether there is one."""
    height, width = flow.shape[:2]
    at = np.rint(pointed_at(flow))
    here = inside(at, height, width)  # not where it is unknown
    index = cv2.transform(at, np.array([[1, width]], np.float32))
    return np.where(here, index, 0).ravel().astype(np.intp), here.ravel()


def sample(field: Shaped[np.ndarray, "h w *c"], at: Flow) -> Float32[np.ndarray, "h w *c"]:
    """Fetch a field at p + at(p), bilinear; not a number outside, and where either is unknown."""
    height, width = at.shape[:2]
    places = pointed_at(at)
    unknown = np.isnan(field)
    found = fetch(np.where(unknown, np.float32(0), field), places)
    lost = ~inside(places, height, width, margin=0.5)
    if unknown.any():
        plane = unknown.any(-1) if unknown.ndim == 3 else unknown
        lost |= ~(fetch(plane, places) < _SOME)
    found[lost] = np.nan
    return found


def composed(one: Flow, other: Flow) -> Flow:
    """Follow one flow and then another; what leads outside is unknown at once.

    A gate would take what has just left for something that stands still.
    """
    flow: Flow = one + sample(other, one)
    height, width = flow.shape[:2]
    flow[~inside(pointed_at(flow), height, width, margin=0.5)] = np.nan
    return flow


def cleaned(flow: Flow) -> Flow:
    """Make unknown what is no number, or too large to be true."""
    good = np.asarray(cv2.inRange(flow, (-_HUGE, -_HUGE), (_HUGE, _HUGE))) > 0
    known: Flow = np.where(good[..., None], flow, np.float32(np.nan))
    return known
