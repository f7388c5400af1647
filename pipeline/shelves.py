"""What a session's frames left at one step, for the frames after them (feature_bank.py).

A shelf is a queue of whole frames; or, merged, it stays of one frame's size: every few frames the
newest one's tokens and those that are there are averaged where they are most alike, so that old
frames fade and none falls out at once.

Source of merging: StreamV2V's dynamic merging (Liang et al. 2024, arXiv:2405.15757), from its
description.
"""

from collections.abc import Hashable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

LayerShape = tuple[int, int, int]  # keys, values and what else there is; tokens; their width
JOINING = 1024  # tokens that are compared with all others at once: what that takes has a bound


class Merging:
    """Merges a frame into another one's place, layer by layer."""

    def __init__(self, every: int) -> None:
        self.every = every  # frames from one merging to the next
        self.layers: Sequence[LayerShape] = ()  # of a row of features, as the last call left it

    def merge(
        self, kept: Float[Tensor, "n"], newest: Float[Tensor, "n"], seed: tuple[int, ...]
    ) -> None:
        """Write the tokens of both, merged, over the kept ones. A seed has one result."""
        state = int(np.random.SeedSequence(seed).generate_state(1)[0])
        random = torch.Generator(kept.device).manual_seed(state)
        sizes = [parts * tokens * width for parts, tokens, width in self.layers]
        rows = (torch.split_with_sizes(row, sizes) for row in (kept, newest))
        for shape, old, new in zip(self.layers, *rows, strict=True):
            tokens = merged(old.view(shape), new.view(shape), random)
            old.copy_(tokens.flatten())


def merged(
    kept: Float[Tensor, "p t w"], newest: Float[Tensor, "p t w"], random: torch.Generator
) -> Float[Tensor, "p t w"]:
    """Give half as many tokens as both have; their order means nothing to attention.

    A random half of them stays, wherever it came from. Each of the others joins the one whose keys
    (the first part) are most like its own; who joined, and whom, share one mean in all parts.
    """
    count = kept.shape[1]
    order = torch.randperm(2 * count, generator=random, device=random.device)
    staying, joining = torch.split(torch.cat([kept, newest], 1)[:, order], count, 1)
    stays = functional.normalize(staying[0], dim=-1)  # the length of what joins changes no order
    # not all at once: as many likenesses as tokens squared would be the most of a large picture
    parts = torch.split(joining[0], JOINING)
    nearest = torch.cat([(some @ stays.mT).argmax(1) for some in parts])
    sums = staying.float().index_add(1, nearest, joining.float())  # fp16 would lose the small ones
    ones = sums.new_ones(count)
    counts = ones.index_add(0, nearest, ones)[:, None]
    return sums.div_(counts).to(kept.dtype)


class Shelf:
    """The last frames of one session at one step and, with an anchor, the first one for good.

    The anchor is StreamDiffusionV2's sink (2025, arXiv:2511.07399): what the look began with does
    not drift out of sight. The first `filled` places hold a frame each, in no order that matters.
    `merging`: once all are filled, frames are merged into the last place.
    """

    def __init__(
        self,
        look: Hashable,
        places: int,
        anchored: bool = False,
        merging: Merging | None = None,
        seed: tuple[int, ...] = (),
    ) -> None:
        self.look, self._places, self._anchored = look, places, anchored
        self._merging, self._seed = merging, seed
        self._kept = 0  # frames so far
        self.features: Float[Tensor, "p n"] | None = None

    @property
    def filled(self) -> int:
        """How many places hold a frame."""
        return min(self._kept, self._places)

    def keep(self, features: Float[Tensor, "n"]) -> None:
        """Copy a frame's features; the oldest one that is no anchor goes, or is merged with it."""
        if self.features is None:
            # numbers in empty places too: they weigh nothing, but no number times nothing is none
            self.features = features.new_zeros(self._places, len(features))
        first = int(self._anchored and self._kept > 0)
        number = self._kept - first
        if self._merging is None or self._kept < self._places:
            self.features[first + number % (self._places - first)] = features
        elif number % self._merging.every == 0:
            # counted, not drawn one after the other: nobody else's frames change what comes of it
            self._merging.merge(self.features[-1], features, (*self._seed, self._kept))
        self._kept += 1


class Shelves:
    """The shelves of a call's rows, one each."""

    def __init__(self, shelves: Sequence[Shelf], biases: Float[Tensor, "q q"]) -> None:
        self._shelves, self._biases = shelves, biases

    def gather(self) -> tuple[Float[Tensor, "b p n"] | None, Float[Tensor, "b q"] | None]:
        """Give what the rows look back at, and which of it weighs nothing, if any does."""
        most = max((shelf.filled for shelf in self._shelves), default=0)
        full = [s.features for s in self._shelves if s.features is not None and s.filled == most]
        if not most:
            return None, None
        if len(self._shelves) == 1:
            return full[0][None, :most], None
        if len(full) == len(self._shelves):
            return torch.stack([features[:most] for features in full]), None
        past = full[0].new_zeros(len(self._shelves), most, full[0].shape[1])
        bias = past.new_empty(len(self._shelves), most + 1)
        self.copy_to(past, bias)
        return past, bias

    def copy_to(self, past: Float[Tensor, "b p n"], bias: Float[Tensor, "b q"]) -> None:
        """Write the same to where it is read; rows without a shelf look at themselves alone.

        Places that are empty keep what stood there: a bias takes its weight.
        """
        bias.copy_(self._biases[:1, : bias.shape[1]].expand_as(bias))
        for row, shelf in enumerate(self._shelves):
            if shelf.features is not None and shelf.filled:
                past[row, : shelf.filled].copy_(shelf.features[: shelf.filled])
                bias[row].copy_(self._biases[shelf.filled, : bias.shape[1]])

    def keep(self, features: Float[Tensor, "b n"]) -> None:
        """Copy each row's features to its shelf."""
        for shelf, row in zip(self._shelves, features, strict=False):  # a batch may be filled up
            shelf.keep(row)
