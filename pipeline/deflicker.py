"""A recursive filter in time on the clean latents, along the motion of the input.

The picture that was, moved to where it is now, is blended into the prediction of the last step:
inside the iteration, where the decoder has not yet turned small differences into strokes. Masks
keep it from what came into view, what changed its light and what the network means to change. A
fetch between latents blurs, and in a recursion the blur adds up: there only the coarse part of the
past is blended in.

Source of the idea: DiffSynth (Duan et al. 2023, arXiv:2308.03463), which smooths the predicted
clean pictures of all frames at once. This one looks back only, and costs a blend a frame.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pipeline import nearest_neighbours
from pipeline.backends.transfer import send
from pipeline.backward_warp import own_places
from pipeline.flow import FrameMotion

MOST = 0.8  # of the past in the blend; more leaves ghosts
RAMP = 10  # frames after a change of the look, over which the past comes back
_LIGHT = 8.0  # grey levels of unexplained change at which trust falls to 1/e
_LEAST_SPREAD = 0.1  # latents of unit variance: what is below three times this cannot be seen
_OUTLIER = 3.0  # times the usual change, from which on a change is meant


@dataclass(frozen=True, slots=True)
class LatentMotion:
    """Where each latent was in the last frame, and how far that is to be trusted."""

    at: Float[Tensor, "h w 2"]  # x and y from -1 to 1, as torch counts them
    moves: Float[Tensor, "h w"]  # 1, or 0 where it is what it was
    fine: Float[Tensor, "h w"]  # 0 .. 1: how much detail a fetch leaves
    trust: Float[Tensor, "h w"]  # 0 .. 1


def to_latents(
    backward: Float32[np.ndarray, "rows columns 2"],
    trust: Float32[np.ndarray, "rows columns"],
    height: int,
    width: int,
    device: torch.device,
) -> LatentMotion:
    """Average motion in pixels, and how far it is trusted, over each latent's pixels."""

    def averaged(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA))

    rows, columns = trust.shape
    scale = np.array([width / columns, height / rows], np.float32)[:, None, None]
    # planes: NumPy takes ten times as long over a last axis of two
    back = np.multiply(averaged(backward).transpose(2, 0, 1), scale, order="C")
    return along(back, averaged(trust), device)


def along(
    back: Float32[np.ndarray, "2 h w"], trust: Float32[np.ndarray, "h w"], device: torch.device
) -> LatentMotion:
    """Prepare motion in latents: all that a filter needs of it, on the host and beside the model.

    Neither what came from beyond the border is trusted, nor what is no number or has no end.
    """
    height, width = trust.shape
    known = np.isfinite(back).all(0)
    if not known.all():
        back = np.where(known, back, np.float32(0))
    places, unit = _own_places(height, width)
    planes = np.empty((5, height, width), np.float32)  # they go to a GPU in one copy
    at = np.add(places, unit * back, out=planes[:2])
    planes[2] = back.any(0)
    planes[3] = fine(back)
    planes[4] = trust * (known & (np.abs(at) <= 1).all(0))
    sent = send(torch.from_numpy(planes), device)
    return LatentMotion(sent[:2].permute(1, 2, 0), sent[2], sent[3], sent[4])


@lru_cache(maxsize=16)
def _own_places(
    height: int, width: int
) -> tuple[Float32[np.ndarray, "2 h w"], Float32[np.ndarray, "2 1 1"]]:
    """Give the x and y of each latent as torch counts them, and what one latent is of that.

    Many ask for the same: never write to it.
    """
    unit = 2 / np.array([width, height], np.float32)[:, None, None]
    return (own_places(height, width).transpose(2, 0, 1) + np.float32(0.5)) * unit - 1, unit


def trusted(motion: FrameMotion) -> Float32[np.ndarray, "rows columns"]:
    """Say how far each pixel's motion can be trusted, 0 .. 1: both ways agree, light stayed."""
    explained = cv2.exp(motion.residual * np.float32(-1 / _LIGHT))  # NumPy takes four times as long
    return np.asarray(explained * motion.valid, np.float32)


class Ramp:
    """Lets the past come back over some frames after a change of the look."""

    def __init__(self) -> None:
        self._look: object = None
        self.frames = RAMP  # since the look changed; the first look replaces none

    def share(self, look: object) -> float:
        """Give the share of its weight that the past has under a look, 0 .. 1."""
        if look != self._look:
            self.frames = 0 if self._look is not None else self.frames
            self._look = look
        return min(1.0, self.frames / RAMP)

    def advance(self) -> None:
        """Count a frame that was filtered."""
        self.frames += 1


class Deflicker:
    """One session's filter."""

    def __init__(self) -> None:
        self._past: Float[Tensor, "1 c h w"] | None = None
        self._past_guide: Float[Tensor, "1 g h w"] | None = None
        self._ramp = Ramp()
        self._spread: Tensor | None = None  # running median of how much a latent changes

    def reset(self) -> None:
        """Forget the past, as at a scene cut."""
        self._past = None

    def __call__(
        self,
        clean: Float[Tensor, "1 c h w"],
        motion: LatentMotion | None,
        strength: float,
        look: object,
        guide: Float[Tensor, "1 g h w"] | None = None,
    ) -> Float[Tensor, "1 c h w"]:
        """Blend the past into a frame's clean latents.

        Without motion (a first frame, a cut) or at strength 0 they pass unchanged. `look` is what
        the picture is meant to look like: when it changes, the past comes back over some frames.
        With `guide`, the latents of the input, what the motion lost is searched for.
        """
        past_guide, self._past_guide = self._past_guide, guide
        share = self._ramp.share(look)
        past, usable = self._past, motion is not None and strength > 0
        if past is None or past.shape != clean.shape or not usable:
            self._past = clean if strength > 0 else None
            return clean
        assert motion is not None
        moved, trust = fetch(past, motion), motion.trust[None, None]
        if guide is not None and past_guide is not None:
            moved, trust = nearest_neighbours.fill(moved, trust, past, guide, past_guide)
        change = moved - clean
        # over channels; vector_norm takes nine times as long there
        size = change.square().sum(1, keepdim=True).sqrt()
        weights = MOST * strength * share * trust * self._meant(size)
        # this form is exact for equal inputs
        blended = torch.lerp(_coarse(change), change, motion.fine)
        self._past = torch.addcmul(clean, weights, blended)
        self._ramp.advance()
        return self._past

    def _meant(self, change: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 1 h w"]:
        """Give less weight where the change is far above what is usual: it is meant."""
        median = change.median()
        if self._spread is not None and self._ramp.frames:
            median = torch.lerp(self._spread, median, 0.1)
        self._spread = median
        usual = _OUTLIER * median.clamp(min=_LEAST_SPREAD)
        # in place: of arrays this small each new one takes as long as the sum
        return (change / usual).square_().square_().add_(1).reciprocal_()


def fine(back: Float32[np.ndarray, "2 h w"]) -> Float32[np.ndarray, "h w"]:
    """Say how much fine detail is fetched, 0 .. 1: all by whole latents, none by half ones.

    A cubic in both directions. A linear fetch would take a fifth of the time and leave less of the
    detail, by its cube .71 instead of .82 after 60 frames of a tenth of a latent.
    """
    away = np.abs(back - np.rint(back))
    kept = 1 + np.square(away) * (16 * away - 12)
    return np.asarray(kept[0] * kept[1])


def _coarse(latents: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
    """Average each latent with its neighbours, by 1, 2 and 1: what is finer is lost on the way."""
    # twice two neighbours in both directions: a CPU takes an eighth of the time of avg_pool2d
    total = functional.pad(latents, (1, 1, 1, 1), mode="replicate")
    for _ in range(2):
        total = total[..., :-1, :] + total[..., 1:, :]
        total = total[..., :-1] + total[..., 1:]
    return total / 16


def fetch(past: Float[Tensor, "1 c h w"], motion: LatentMotion) -> Float[Tensor, "1 c h w"]:
    """Fetch the past where it was, bicubic; copy what did not move, bit for bit."""
    fetched = functional.grid_sample(
        past, motion.at[None], mode="bicubic", padding_mode="border", align_corners=False
    )
    return torch.lerp(past, fetched, motion.moves)
