"""PatchMatch: for each pixel of one picture, where its likest patch lies in another one.

Two pictures of the input guide the search, and the restyled source keeps the match true to itself:
what was fetched so far is what the style's share of the error compares with. Coarse to fine; each
round takes over what neighbours found and tries a few random steps.

Sources: Barnes et al. 2009 (PatchMatch); FastBlend (Duan et al. 2023, arXiv:2311.09265) for the two
errors, the pyramid and the vote. Written anew in torch; differs in that the finest level has one
round instead of five (it costs four times the level below), and that patches that leave the source
have no vote.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

Pictures = Float[Tensor, "b c h w"]  # 0 .. 255
Field = Int[Tensor, "b 2 h w"]  # row and column in the source, for each pixel of the target
Agreement = Literal["self", "joint", "pairwise"]
_NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How to search."""

    least_patch: int = 5  # pixels a side, odd
    rounds: int = 5  # a level; the patch shrinks by two pixels each
    guide_weight: float = 10.0  # of the input's error against the style's
    random_steps: int = 3
    random_reach: int = 4  # pixels
    # what the style compares with: the own fetch; the mean of all of them; the partner's
    agreement: Agreement = "self"
    tracking: bool = False  # try what the items before and after in the batch found
    seed: int = 0


def match(guide_source: Pictures, guide_target: Pictures, style: Pictures, search: Search) -> Field:
    """Find a field from each target to its source; `style` has the source's geometry."""
    smallest = min(guide_target.shape[2:])
    patches = [search.least_patch + 2 * n for n in reversed(range(search.rounds))]
    levels = max(1, int(torch.tensor(smallest / patches[0]).log2()))
    generator = torch.Generator(guide_target.device).manual_seed(search.seed)
    height, width = guide_target.shape[2:]
    field: Field | None = None
    for level in reversed(range(levels)):
        size = (height >> level, width >> level)
        source, target, restyled = (
            functional.interpolate(each, size, mode="area") if level else each
            for each in (guide_source, guide_target, style)
        )
        field = identity(len(style), *size, style.device) if field is None else doubled(field, size)
        for patch in patches[-1:] if level == 0 and levels > 1 else patches:
            field = _round(field, source, target, restyled, patch, search, generator)
    assert field is not None
    return field


def identity(batch: int, height: int, width: int, device: torch.device) -> Field:
    """Give the field of a picture onto itself."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return torch.stack([y, x]).expand(batch, -1, -1, -1)


def doubled(field: Field, size: tuple[int, int]) -> Int[Tensor, "b 2 y x"]:
    """Take a field to the next finer level: twice as far, and the same step inside of a cell."""
    here = identity(1, *size, field.device)
    at = [(here[0, axis] // 2).clamp(max=field.shape[2 + axis] - 1) for axis in (0, 1)]
    coarse = field[:, :, at[0], at[1]]
    parents = torch.stack(at)[None]
    return _within(2 * coarse + here - 2 * parents, size)


def remap(style: Pictures, field: Field, patch: int) -> Pictures:
    """Fetch a picture through a field: every patch that covers a pixel votes for its colour."""
    height, width = field.shape[2:]
    total, votes = torch.zeros_like(style), torch.zeros_like(style[:, :1])
    reach = patch // 2
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            rows, columns = _covered(dy, height), _covered(dx, width)
            theirs = field[:, :, _shifted(rows, dy), _shifted(columns, dx)]
            at = theirs - torch.tensor([dy, dx], device=field.device).view(1, 2, 1, 1)
            inside = (at == _within(at, (height, width))).all(1, keepdim=True)
            fetched = fetch(style, _within(at, (height, width)))
            total[:, :, rows, columns] += fetched * inside
            votes[:, :, rows, columns] += inside
    return total / votes.clamp(min=1)


def fetch(style: Pictures, field: Int[Tensor, "b 2 y x"]) -> Float[Tensor, "b c y x"]:
    """Give the colour at each place of a field."""
    places = (field[:, 0] * style.shape[3] + field[:, 1]).flatten(1)[:, None]
    found = style.flatten(2).gather(2, places.expand(-1, style.shape[1], -1))
    return found.view(*style.shape[:2], *field.shape[2:])


def error(
    field: Field, source: Float[Tensor, "b d n"], target: Float[Tensor, "b d n"]
) -> Float[Tensor, "b 1 h w"]:
    """Give the squared difference of each target's patch and its match; patches as columns."""
    height, width = field.shape[2:]
    places = (field[:, 0] * width + field[:, 1]).flatten(1)[:, None]
    there = source.gather(2, places.expand(-1, source.shape[1], -1))
    return (there - target).square().sum(1).view(-1, 1, height, width)


def columns(pictures: Pictures, patch: int) -> Float[Tensor, "b d n"]:
    """Give every pixel's patch as a column; outside of the picture is black."""
    return functional.unfold(pictures, patch, padding=patch // 2)


def _round(
    field: Field,
    source: Pictures,
    target: Pictures,
    style: Pictures,
    patch: int,
    search: Search,
    generator: torch.Generator,
) -> Field:
    """Try neighbours' matches and random steps; what is strictly better is taken."""
    size = (field.shape[2], field.shape[3])
    root = search.guide_weight**0.5
    shown = _AGREED[search.agreement](remap(style, field, patch))
    there = columns(torch.cat([root * source, style], 1), patch)
    here = columns(torch.cat([root * target, shown], 1), patch)
    least = error(field, there, here)

    def attempt(candidate: Field) -> None:
        nonlocal field, least
        candidate = _within(candidate, size)
        found = error(candidate, there, here)
        better = found < least
        field = torch.where(better, candidate, field)
        least = torch.where(better, found, least)

    for turn in torch.randperm(4, generator=generator, device=generator.device).tolist():
        dy, dx = _NEIGHBOURS[turn]
        step = torch.tensor([dy, dx], device=field.device).view(1, 2, 1, 1)
        attempt(field.roll((-dy, -dx), (2, 3)) - step)
    reach = search.random_reach
    for _ in range(search.random_steps):
        step = torch.randint(
            -reach, reach + 1, field.shape, generator=generator, device=field.device
        )
        attempt(field + step)
    if search.tracking and len(field) > 1:
        attempt(field.roll(1, 0))
        attempt(field.roll(-1, 0))
    return field


_AGREED: dict[Agreement, Callable[[Pictures], Pictures]] = {
    "self": lambda fetched: fetched,
    "joint": lambda fetched: fetched.mean(0, keepdim=True).expand_as(fetched),
    "pairwise": lambda fetched: fetched.flip(0),
}


def _within(field: Int[Tensor, "b 2 y x"], size: Sequence[int]) -> Int[Tensor, "b 2 y x"]:
    return torch.stack([field[:, 0].clamp(0, size[0] - 1), field[:, 1].clamp(0, size[1] - 1)], 1)


def _covered(step: int, length: int) -> slice:
    """Name the pixels whose neighbour at a step is in the picture."""
    return slice(max(0, -step), min(length, length - step))


def _shifted(pixels: slice, step: int) -> slice:
    return slice(pixels.start + step, pixels.stop + step)
