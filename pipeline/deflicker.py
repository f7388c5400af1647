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
from pipeline.flow import FrameMotion

MOST = 0.8  # of the past in the blend; more leaves ghosts
RAMP = 10  # frames after a change of the look, over which the past comes back
_LIGHT = 8.0  # grey levels of unexplained change at which trust falls to 1/e
_LEAST_SPREAD = 0.1  # latents of unit variance: what is below three times this cannot be seen
_OUTLIER = 3.0  # times the usual change, from which on a change is meant


@dataclass(frozen=True, slots=True)
class LatentMotion:
    """Where each latent was in the last frame, and how far that is to be trusted, 0 .. 1."""

    back: Float[Tensor, "2 h w"]  # latents
    trust: Float[Tensor, "1 h w"]


def to_latents(
    backward: Float32[np.ndarray, "rows columns 2"],
    trust: Float32[np.ndarray, "rows columns"],
    height: int,
    width: int,
    device: torch.device,
) -> LatentMotion:
    """Average motion in pixels, and how far it is trusted, over each latent's pixels."""

    # on the host, where they are: torch takes twice as long on a CPU, and a GPU gets less sent
    def averaged(values: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_AREA))

    rows, columns = trust.shape
    scale = np.array([width / columns, height / rows], np.float32)[:, None, None]
    back = averaged(backward).transpose(2, 0, 1) * scale
    return LatentMotion(
        send(torch.from_numpy(back), device), send(torch.from_numpy(averaged(trust))[None], device)
    )


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
        moved, inside = fetch(past, motion.back)
        trust = (motion.trust * inside)[None]
        if guide is not None and past_guide is not None:
            moved, trust = nearest_neighbours.fill(moved, trust, past, guide, past_guide)
        change = moved - clean
        # over channels; vector_norm takes nine times as long there
        size = change.square().sum(1, keepdim=True).sqrt()
        weights = MOST * strength * share * trust * self._meant(size)
        # this form is exact for equal inputs
        self._past = clean + weights * torch.lerp(_coarse(change), change, fine(motion.back))
        self._ramp.advance()
        return self._past

    def _meant(self, change: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 1 h w"]:
        """Give less weight where the change is far above what is usual: it is meant."""
        median = change.median()
        if self._spread is not None and self._ramp.frames:
            median = torch.lerp(self._spread, median, 0.1)
        self._spread = median
        usual = _OUTLIER * median.clamp(min=_LEAST_SPREAD)
        return 1 / (1 + (change / usual).square().square())


def fine(back: Float[Tensor, "2 h w"]) -> Float[Tensor, "1 h w"]:
    """Say how much fine detail a fetch leaves, 0 .. 1: all by whole latents, none by half ones.

    The cubic of picture_filter.py, in both directions.
    """
    away = (back - back.round()).abs().nan_to_num(0.0)  # no number, or no end: not trusted anyway
    kept = 1 + away.square() * (16 * away - 12)
    return (kept[0] * kept[1])[None]


def _coarse(latents: Float[Tensor, "1 c h w"]) -> Float[Tensor, "1 c h w"]:
    """Average each latent with its neighbours, by 1, 2 and 1: what is finer is lost on the way."""
    # twice two neighbours in both directions: a CPU takes an eighth of the time of avg_pool2d
    total = functional.pad(latents, (1, 1, 1, 1), mode="replicate")
    for _ in range(2):
        total = total[..., :-1, :] + total[..., 1:, :]
        total = total[..., :-1] + total[..., 1:]
    return total / 16


def fetch(
    past: Float[Tensor, "1 c h w"], back: Float[Tensor, "2 h w"]
) -> tuple[Float[Tensor, "1 c h w"], Float[Tensor, "1 h w"]]:
    """Fetch the past where it was, bicubic; copy what did not move; say what was in the picture."""
    own, unit = _own_places(*past.shape[2:], past.device)
    at = own + unit * back
    fetched = functional.grid_sample(
        past, at.permute(1, 2, 0)[None].nan_to_num(2.0), mode="bicubic", padding_mode="border",
        align_corners=True,
    )  # fmt: skip
    inside = (at.abs() <= 1 + unit / 2).all(0, keepdim=True)
    return torch.where((back == 0).all(0), past, fetched), inside.to(past.dtype)


@lru_cache(maxsize=16)
def _own_places(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Give the x and y of each latent from -1 to 1, [2, h, w], and what one latent is of that.

    Many ask for the same: never write to it.
    """
    x, y = torch.linspace(-1, 1, width), torch.linspace(-1, 1, height)
    own = torch.stack(torch.meshgrid(x, y, indexing="xy"))
    unit = torch.tensor([2 / max(width - 1, 1), 2 / max(height - 1, 1)])[:, None, None]
    return send(own, device), send(unit, device)
