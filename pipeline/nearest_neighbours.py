"""Finds again what the flow lost: the likest patch of the last frame's latents, near by.

An exhaustive search in a window, for the few cells whose motion was rejected. Likeness is judged on
the latents of the input, which are the same picture without any style, and so of any model.
The largest of 2<u, v> - |v|² is the least squared distance; |u|² is the same for all.

After the patch matching of DiffSynth (Duan et al. 2023, arXiv:2308.03463), which searches at random
in pixels: on a grid of latents, looking at everything near by costs less.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

PATCH = 3  # cells a side
REACH = 4  # cells to each side that are searched
# one cell in so many is searched for, the most doubtful ones; what is left of a larger area stays
# as the motion has it. At 64 x 64 latents a quarter takes three times as long (ARCHITECTURE.md)
SHARE = 16
_ALIKE = 0.02  # mean squared distance of a patch at which trust falls to 1/e


def nearest(
    guide: Float[Tensor, "b g h w"],
    past: Float[Tensor, "b g h w"],
    cells: Int[Tensor, "b k"],
    reach: int = REACH,
) -> tuple[Int[Tensor, "b k"], Float[Tensor, "b k"]]:
    """Give, for cells numbered row by row, the likest cell of `past` within `reach`.

    Also the mean squared distance of the two patches. Never waits for the device.
    """
    height, width = guide.shape[2:]
    own, others = _patches(guide), _patches(past)
    depth = own.shape[2]
    wanted = own.gather(1, cells[..., None].expand(-1, -1, depth))  # b k d
    near = _near(cells, height, width, reach)  # b k n
    there = others.gather(1, near.flatten(1)[..., None].expand(-1, -1, depth))
    there = there.view(*near.shape, depth)
    score = 2 * (there @ wanted[..., None])[..., 0] - there.square().sum(3)
    best, which = score.max(2, keepdim=True)
    distance = (wanted.square().sum(2) - best[..., 0]).clamp(min=0) / depth
    return near.gather(2, which)[..., 0], distance


def fill(
    moved: Float[Tensor, "b c h w"],
    trust: Float[Tensor, "b 1 h w"],
    past: Float[Tensor, "b c h w"],
    guide: Float[Tensor, "b g h w"],
    past_guide: Float[Tensor, "b g h w"],
) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 1 h w"]]:
    """Put what was found where the motion is trusted less than the finding.

    `moved` is the past where the motion says it is now, `trust` how far that holds, 0 .. 1. How
    many cells are searched for is fixed, so that no size depends on the picture.
    """
    channels = moved.shape[1]
    doubt, cells = (1 - trust.flatten(1)).topk(max(1, trust[0].numel() // SHARE))
    where, distance = nearest(guide, past_guide, cells)
    sure = torch.exp(-distance / _ALIKE)
    better = (sure > 1 - doubt)[:, None]
    found = past.flatten(2).gather(2, where[:, None].expand(-1, channels, -1))
    into = cells[:, None].expand(-1, channels, -1)
    flat = moved.flatten(2)
    flat = flat.scatter(2, into, torch.where(better, found, flat.gather(2, into)))
    trusted = torch.where(better[:, 0], sure, 1 - doubt)
    return flat.view_as(moved), trust.flatten(1).scatter(1, cells, trusted).view_as(trust)


def _patches(latents: Float[Tensor, "b g h w"]) -> Float[Tensor, "b n d"]:
    """Give each cell's patch as one row; beyond the border the last cell goes on."""
    margin = PATCH // 2
    padded = functional.pad(latents, (margin,) * 4, mode="replicate")
    return functional.unfold(padded, PATCH).mT.contiguous()


def _near(cells: Int[Tensor, "b k"], height: int, width: int, reach: int) -> Int[Tensor, "b k n"]:
    """List the cells round each cell, those beyond the border drawn back to it."""
    steps = torch.arange(-reach, reach + 1, device=cells.device)
    y = (cells // width)[..., None] + steps.repeat_interleave(len(steps))
    x = (cells % width)[..., None] + steps.repeat(len(steps))
    return y.clamp(0, height - 1) * width + x.clamp(0, width - 1)
