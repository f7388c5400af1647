"""A bank of attention features: each frame also looks at what the frames before it looked at.

In every self-attention layer, the keys and values of a session's last frames at the same step stand
beside the frame's own (extended attention). Optionally the layer's output is drawn towards the most
similar feature of those frames (feature fusion), in the layers where that does not blur.

Source of both ideas: StreamV2V (Liang et al. 2024, arXiv:2405.15757). Deviations: the bank is a
queue of whole frames, not merged to the size of one; fusion sees a layer's output without the
residual, which the block adds later.
"""

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from pipeline.errors import ConfigError
from pipeline.flow import Grey, reduce

LIKENESS = 0.9  # cosine from which on a feature counts as the same one
_FUSED = ("mid_block.", "up_blocks.0.", "up_blocks.1.")  # elsewhere fusion blurs
_CUT = 0.15 * 255  # mean change of a pixel in grey levels that makes another scene


@dataclass(frozen=True, slots=True)
class Row:
    """Whose row of a UNet call it is."""

    session: str
    step: int
    part: int  # 0: the prompt's row, 1: the negative prompt's
    look: Hashable  # what the picture is meant to look like; another look starts an empty bank


@dataclass(frozen=True, slots=True)
class Features:
    """What one layer made of one frame, a batch of one."""

    keys: Float[Tensor, "1 heads tokens dim"]
    values: Float[Tensor, "1 heads tokens dim"]
    output: Float[Tensor, "1 tokens width"] | None  # for fusion


class Kept:
    """One layer's frames: the last ones and, with an anchor, the first one for good.

    The anchor is StreamDiffusionV2's sink (2025, arXiv:2511.07399): what the look began with does
    not drift out of sight.
    """

    def __init__(self, most: int, anchored: bool = False) -> None:
        self._rolling: deque[Features] = deque(maxlen=most)
        self._anchor: list[Features] = []
        self._anchored = anchored

    def append(self, features: Features) -> None:
        """Keep a frame; the oldest one that is no anchor goes."""
        if self._anchored and not self._anchor:
            self._anchor.append(features)
        else:
            self._rolling.append(features)

    def __iter__(self) -> Iterator[Features]:
        yield from self._anchor
        yield from self._rolling

    def __len__(self) -> int:
        return len(self._anchor) + len(self._rolling)


@dataclass(slots=True)
class _Shelf:
    """The last frames of one session at one step, by layer."""

    look: Hashable
    layers: dict[str, Kept] = field(default_factory=dict)


class FeatureBank:
    """Holds features for all sessions, and puts itself into a UNet and out again."""

    def __init__(
        self,
        unet: Any,  # diffusers has no types
        frames: int,
        fusion: float = 0.0,
        likeness: float = LIKENESS,
        anchored: bool = False,
    ) -> None:
        self._layers = {
            name: module
            for name, module in unet.named_modules()
            if name.endswith("attn1") and not getattr(module, "is_cross_attention", True)
        }
        if not self._layers:
            raise ConfigError(f"feature_bank {frames}: this model has no self-attention; give 0")
        self._frames, self._fusion, self._likeness = frames, fusion, likeness
        self._anchored = anchored
        self._shelves: dict[tuple[str, int, int], _Shelf] = {}
        self._replaced: dict[str, Any] = {}
        self._open: list[_Shelf] = []  # of each row of the call

    def inject(self) -> None:
        """Replace the processors of the UNet's self-attention layers."""
        if not self._replaced:
            self._replaced = {name: layer.processor for name, layer in self._layers.items()}
            for name, layer in self._layers.items():
                layer.set_processor(_Extended(self, name, self._replaced[name]))

    def eject(self) -> None:
        """Put back the very processors that were there."""
        for name, processor in self._replaced.items():
            self._layers[name].set_processor(processor)
        self._replaced = {}

    @contextmanager
    def rows(self, rows: Sequence[Row]) -> Iterator[None]:
        """Say whose rows the UNet calls inside have, each session's frames in order.

        A call outside uses and changes no bank.
        """
        self._open = [self._shelf(row) for row in rows]
        try:
            yield
        finally:
            self._open = []

    def _shelf(self, row: Row) -> _Shelf:
        key = (row.session, row.step, row.part)
        shelf = self._shelves.get(key)
        if shelf is None or shelf.look != row.look:
            shelf = self._shelves[key] = _Shelf(row.look)
        return shelf

    def forget(self, session: str) -> None:
        """Drop a session's features."""
        self._shelves = {key: shelf for key, shelf in self._shelves.items() if key[0] != session}

    @property
    def size(self) -> int:
        """Give the bytes that the bank holds."""
        return sum(
            tensor.nbytes
            for shelf in self._shelves.values()
            for frames in shelf.layers.values()
            for features in frames
            for tensor in (features.keys, features.values, features.output)
            if tensor is not None
        )

    def recall(self, layer: str, batch: int) -> list[Kept] | None:
        """Give each row's queue of a layer; None outside of `rows`."""
        if not self._open:
            return None
        if len(self._open) != batch:
            raise ValueError(f"{batch} rows in the call, {len(self._open)} were announced")
        return [
            shelf.layers.setdefault(layer, Kept(self._frames, self._anchored))
            for shelf in self._open
        ]

    def fuses(self, layer: str) -> bool:
        """Say whether features of a layer are fused; at likeness 1 there is nothing to fuse."""
        return self._fusion > 0 and self._likeness < 1 and layer.startswith(_FUSED)

    def fuse(
        self, output: Float[Tensor, "1 t w"], past: Float[Tensor, "1 n w"]
    ) -> Float[Tensor, "1 t w"]:
        """Draw each feature towards the most similar one of the past, if it is similar enough."""
        similarity = functional.normalize(output, dim=-1) @ functional.normalize(past, dim=-1).mT
        best, where = similarity.max(-1, keepdim=True)
        nearest = past.gather(1, where.expand_as(output))
        return torch.where(best > self._likeness, torch.lerp(output, nearest, self._fusion), output)


class _Extended:
    """diffusers' attention over the frame's own tokens and those of the bank."""

    def __init__(self, bank: FeatureBank, layer: str, plain: Any) -> None:
        self._bank, self._layer, self._plain = bank, layer, plain

    def __call__(
        self, attn: Any, hidden_states: Tensor, *args: Any, **more: Any
    ) -> Float[Tensor, "b t w"]:
        """See diffusers' AttnProcessor2_0."""
        queues = self._bank.recall(self._layer, len(hidden_states))
        if queues is None:
            plain: Tensor = self._plain(attn, hidden_states, *args, **more)
            return plain
        keys = _heads(attn, attn.to_k(hidden_states), attn.norm_k)
        values = _heads(attn, attn.to_v(hidden_states), None)
        queries = _heads(attn, attn.to_q(hidden_states), attn.norm_q)
        turns = _turns(queues)
        if len(turns) == 1:  # a list of rows as index would be waited for
            output = self._looked_back(attn, queries, keys, values, queues)
        else:
            found: dict[int, Tensor] = {}
            for rows in turns:
                own = [queues[row] for row in rows]
                part = self._looked_back(attn, queries[rows], keys[rows], values[rows], own)
                found |= dict(zip(rows, torch.split(part, 1), strict=True))
            output = torch.cat([found[row] for row in range(len(queues))])
        scaled: Tensor = output / attn.rescale_output_factor
        return scaled

    def _looked_back(
        self, attn: Any, queries: Tensor, keys: Tensor, values: Tensor, queues: Sequence[Kept]
    ) -> Float[Tensor, "b t w"]:
        """Attend to each row's own past, then add the row to it."""
        found = _attend(queries, keys, values, queues)
        output: Tensor = attn.to_out[1](attn.to_out[0](found.transpose(1, 2).flatten(2)))
        fuses = self._bank.fuses(self._layer)
        if fuses:
            output = torch.cat([self._fused(output[i : i + 1], q) for i, q in enumerate(queues)])
        for i, queue in enumerate(queues):
            # copies: a view would keep the whole batch alive
            kept = [tensor[i : i + 1].clone() for tensor in (keys, values, output)]
            queue.append(Features(kept[0], kept[1], kept[2] if fuses else None))
        return output

    def _fused(self, output: Tensor, queue: Kept) -> Tensor:
        past = [features.output for features in queue if features.output is not None]
        return self._bank.fuse(output, torch.cat(past, 1)) if past else output


def _turns(queues: Sequence[Kept]) -> list[list[int]]:
    """Say which rows attend at once: of two frames with one queue the later sees the earlier."""
    turns: list[list[int]] = []
    met: dict[int, int] = {}
    for row, queue in enumerate(queues):
        turn = met[id(queue)] = met.get(id(queue), -1) + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(row)
    return turns


def _heads(attn: Any, tensor: Tensor, norm: Any) -> Float[Tensor, "b heads t dim"]:
    split = tensor.view(*tensor.shape[:2], attn.heads, -1).transpose(1, 2)
    normed: Tensor = split if norm is None else norm(split)
    return normed


def _attend(
    queries: Float[Tensor, "b heads t dim"],
    keys: Float[Tensor, "b heads t dim"],
    values: Float[Tensor, "b heads t dim"],
    queues: Sequence[Kept],
) -> Float[Tensor, "b heads t dim"]:
    """Attend row by row's own past; rows whose banks are as full share a call."""
    lengths = {len(queue) for queue in queues}
    if len(lengths) == 1:  # a list of rows as index would be copied to the device, and waited for
        return _attend_together(queries, keys, values, queues)
    output = torch.empty_like(queries)
    for length in lengths:
        rows = [row for row, queue in enumerate(queues) if len(queue) == length]
        output[rows] = _attend_together(
            queries[rows], keys[rows], values[rows], [queues[row] for row in rows]
        )
    return output


def _attend_together(
    queries: Float[Tensor, "b heads t dim"],
    keys: Float[Tensor, "b heads t dim"],
    values: Float[Tensor, "b heads t dim"],
    queues: Sequence[Kept],
) -> Float[Tensor, "b heads t dim"]:
    """Attend to what stands in banks that are all as full."""
    if len(queues[0]):
        keys = torch.cat([keys, torch.cat([_past(queue, "keys") for queue in queues])], 2)
        values = torch.cat([values, torch.cat([_past(queue, "values") for queue in queues])], 2)
    return functional.scaled_dot_product_attention(queries, keys, values)


def _past(queue: Kept, name: str) -> Float[Tensor, "1 heads n dim"]:
    return torch.cat([getattr(features, name) for features in queue], 2)


class Scenes:
    """Counts one session's scenes, so that a bank does not outlive its own. No motion needed."""

    def __init__(self) -> None:
        self.number = 0
        self._last: Grey | None = None

    def follow(self, image: UInt8[np.ndarray, "h w 3"]) -> int:
        """Take the next admitted frame; give the number of its scene."""
        last, self._last = self._last, reduce(image)
        if last is not None and np.abs(self._last.astype(np.int16) - last).mean() > _CUT:
            self.number += 1
        return self.number
