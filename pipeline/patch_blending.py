"""Patch blending: each frame becomes the mean of its neighbours, fetched into its own geometry.

Modes (FastBlend, Duan et al. 2023, arXiv:2311.09265):
    balanced       each neighbour finds its way alone; the frame itself stays as it is
    accurate       all of a window find it together: each compares with the mean of all
    interpolation  only every few frames count; those between are fetched from the two beside them
    causal         balanced, looking back only: bounded, for what cannot wait for the next frame
Means blur; what would lose more than a tenth of the detail is blended less (`keep_detail`).
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from pipeline.errors import ConfigError
from pipeline.metrics import sharpness
from pipeline.patch_match import Search, match, remap

Image = UInt8[np.ndarray, "h w 3"]
Mode = Literal["balanced", "accurate", "interpolation", "causal"]
LEAST_DETAIL = 0.9  # share of a picture's sharpness that blending has to leave
_SHARES = (1.0, 0.8, 0.6, 0.4, 0.2)  # of the blend, tried in turn
_INTERPOLATED_PATCH = 15  # pixels a side: with two sources the style says little


class Blending:
    """Blends the frames of one clip with each other."""

    def __init__(
        self,
        mode: Mode = "balanced",
        window: int = 2,
        spacing: int = 4,
        search: Search | None = None,
    ) -> None:
        """`window`: frames to each side; `spacing`: from one key frame to the next."""
        if not 1 <= window <= 30:
            raise ConfigError(f"window {window}: give 1 to 30 frames")
        if not 2 <= spacing <= 30:
            raise ConfigError(f"spacing {spacing}: give 2 to 30 frames")
        self.mode, self.window, self._spacing = mode, window, spacing
        self._search = search or Search()

    def __call__(
        self,
        guides: Sequence[Image],
        styles: Sequence[Image],
        on_frame: Callable[[], None] = lambda: None,
    ) -> list[Image]:
        """Blend restyled frames, guided by the input's; both of one size and number."""
        if len(guides) != len(styles):
            raise ConfigError(f"{len(styles)} restyled frames of {len(guides)} frames")
        shown = []
        for number in range(len(styles)):
            shown.append(self.one(guides, styles, number, number))
            on_frame()
        return shown

    @property
    def reach(self) -> int:
        """How many frames before and after one it looks at, at most."""
        return self._spacing if self.mode == "interpolation" else self.window

    @property
    def ahead(self) -> int:
        """How many frames after one it waits for."""
        return 0 if self.mode == "causal" else self.reach

    def one(
        self, guides: Sequence[Image], styles: Sequence[Image], place: int, number: int
    ) -> Image:
        """Blend the frame at a place of a few; `number` is its number in the whole clip."""
        if self.mode == "interpolation":
            return self._between(guides, styles, place, number)
        return self._blended(guides, styles, place)

    def _blended(self, guides: Sequence[Image], styles: Sequence[Image], number: int) -> Image:
        near = range(max(0, number - self.window), min(len(styles), number + self.ahead + 1))
        together = self.mode == "accurate"
        others = [n for n in near if together or n != number]
        if not others or len(near) == 1:
            return styles[number]
        own = _tensor([styles[number]])
        if together:
            search = replace(self._search, agreement="joint", tracking=True, seed=number)
            mean = _fetched(guides, styles, others, number, search).mean(0)
        else:
            search = replace(self._search, seed=number)
            # one by one: a batch of pairs would hold all their patches at once
            fetched = [_fetched(guides, styles, [n], number, search)[0] for n in others]
            mean = (torch.stack(fetched).sum(0) + own[0]) / (len(others) + 1)
        return keep_detail(_image(mean), styles[number])

    def _between(
        self, guides: Sequence[Image], styles: Sequence[Image], place: int, number: int
    ) -> Image:
        last, after = len(styles) - 1, number % self._spacing
        left = place - after
        right = min(left + self._spacing, last)
        if place in (left, last):
            return styles[place]
        search = replace(
            self._search, agreement="pairwise", seed=number,
            least_patch=min(_INTERPOLATED_PATCH, _largest_patch(guides[0], self._search)),
        )  # fmt: skip
        one, other = _fetched(guides, styles, [left, right], place, search)
        return _image(torch.lerp(one, other, after / (right - left)))


def keep_detail(blended: Image, own: Image) -> Image:
    """Blend less where the blend lost more than a tenth of the picture's sharpness."""
    wanted = LEAST_DETAIL * sharpness(own)
    step = blended.astype(np.float32) - own
    for share in _SHARES:
        mixed = np.clip(np.rint(own + share * step), 0, 255).astype(np.uint8)
        if sharpness(mixed) >= wanted:
            return np.asarray(mixed)
    return own


def _fetched(
    guides: Sequence[Image], styles: Sequence[Image], sources: Sequence[int], target: int,
    search: Search,
) -> Float[Tensor, "n 3 h w"]:  # fmt: skip
    """Fetch frames into a frame's geometry."""
    style = _tensor([styles[n] for n in sources])
    guide = _tensor([guides[n] for n in sources])
    goal = _tensor([guides[target]]).expand_as(guide)
    return remap(style, match(guide, goal, style, search), search.least_patch)


def _largest_patch(image: Image, search: Search) -> int:
    """Give the largest least patch whose first round still fits into half of the picture."""
    return max(3, int(min(image.shape[:2]) // 2 - 2 * (search.rounds - 1)) | 1)


def _tensor(images: Sequence[Image]) -> Float[Tensor, "n 3 h w"]:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


def _image(picture: Float[Tensor, "3 h w"]) -> Image:
    return np.asarray(picture.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy())
