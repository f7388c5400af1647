"""A bank of attention features: each frame also looks at what the frames before it looked at.

In every self-attention layer, the keys and values of a session's last frames at the same step stand
beside the frame's own (extended attention). Optionally the layer's output is drawn towards the most
similar feature of those frames (feature fusion), in the layers where that does not blur.

    shelves → past, bias → BankedDenoiser → prediction, features of this call → shelves

What a frame leaves is one row of numbers, all layers in the order in which the UNet calls them. So
what a call reads and what it leaves are tensors of fixed shapes, which a CUDA graph can hold.
Shelves (shelves.py) are a queue of whole frames, or frames merged to the size of one.

Source of both ideas: StreamV2V (Liang et al. 2024, arXiv:2405.15757). Deviation: fusion sees a
layer's output without the residual, which the block adds later.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional

from pipeline.config import EngineConfig
from pipeline.errors import ConfigError
from pipeline.flow import Grey, reduce
from pipeline.shelves import LayerShape, Merging, Shelf, Shelves

LIKENESS = 0.9  # cosine from which on a feature counts as the same one
FUSED = ("mid_block.", "up_blocks.0.", "up_blocks.1.")  # elsewhere fusion blurs
_CUT = 0.15 * 255  # mean change of a pixel in grey levels that makes another scene


@dataclass(frozen=True, slots=True)
class Row:
    """Whose row of a UNet call it is."""

    session: str
    step: int
    part: int  # 0: the prompt's row, 1: the negative prompt's
    look: Hashable  # what the picture is meant to look like; another look starts an empty bank
    seed: int = 0  # the session's: with the step it decides what chance does to its bank


def make_bank(unet: Any, config: EngineConfig) -> "FeatureBank":
    """Put the bank that is configured into a UNet. Raises ConfigError where nothing can use it."""
    bank = FeatureBank(
        unet,
        config.feature_bank,
        config.feature_fusion,
        anchored=config.feature_anchor,
        merged_every=config.feature_merge,
    )
    bank.inject()
    return bank


class FeatureBank:
    """Holds features for all sessions, and puts itself into a UNet and out again."""

    def __init__(
        self,
        unet: Any,  # diffusers has no types
        frames: int,
        fusion: float = 0.0,
        likeness: float = LIKENESS,
        anchored: bool = False,
        merged_every: int = 0,  # frames; 0: a queue
    ) -> None:
        self._layers = {
            name: module
            for name, module in unet.named_modules()
            if name.endswith("attn1") and not getattr(module, "is_cross_attention", True)
        }
        if not self._layers:
            raise ConfigError(f"feature_bank {frames}: this model has no self-attention; give 0")
        self._fusion, self._likeness = fusion, likeness
        self.places, self._anchored = frames + anchored, anchored
        self.merging = Merging(merged_every) if merged_every else None
        # a row for each number of frames: what a softmax adds for the own frame and for each place
        count = self.places + 1
        self._biases = unet.conv_in.weight.new_full((count, count), -torch.inf).triu(1)
        self._shelves: dict[tuple[str, int, int], Shelf] = {}
        self._replaced: dict[str, Any] = {}
        self._open: list[Shelf] = []  # of each row that was announced
        self.call: Call | None = None  # the one that is under way

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

    def _shelf(self, row: Row) -> Shelf:
        key = (row.session, row.step, row.part)
        shelf = self._shelves.get(key)
        if shelf is None or shelf.look != row.look:
            merging, seed = self.merging, (row.seed, row.step)
            shelf = Shelf(row.look, self.places, self._anchored, merging, seed)
            self._shelves[key] = shelf
        return shelf

    def forget(self, session: str) -> None:
        """Drop a session's features."""
        self._shelves = {key: shelf for key, shelf in self._shelves.items() if key[0] != session}

    @property
    def size(self) -> int:
        """Give the bytes that the bank holds."""
        kept = (shelf.features for shelf in self._shelves.values())
        return sum(features.nbytes for features in kept if features is not None)

    def in_turns(self, run: Callable[..., Tensor], *values: Tensor) -> Float[Tensor, "b c y x"]:
        """Call `run(shelves, *values)` with rows of the call in each value; give their results.

        Of two frames with one shelf the later sees the earlier: it is run after it.
        Raises ValueError for other rows than were announced.
        """
        shelves = self._open
        if shelves and len(shelves) != len(values[0]):
            raise ValueError(f"{len(values[0])} rows in the call, {len(shelves)} were announced")
        turns = _turns(shelves)
        if len(turns) <= 1:
            return run(Shelves(shelves, self._biases), *values)
        found: dict[int, Tensor] = {}
        for rows in turns:
            # a list of rows as index would be copied to the device, and waited for
            own = [torch.cat([value[row : row + 1] for row in rows]) for value in values]
            part = run(Shelves([shelves[row] for row in rows], self._biases), *own)
            found |= dict(zip(rows, torch.split(part, 1), strict=True))
        return torch.cat([found[row] for row in range(len(shelves))])

    def fuses(self, layer: str) -> bool:
        """Say whether features of a layer are fused; at likeness 1 there is nothing to fuse."""
        return self._fusion > 0 and self._likeness < 1 and layer.startswith(FUSED)

    def fuse(
        self,
        output: Float[Tensor, "b t w"],
        past: Float[Tensor, "b n w"],
        bias: Float[Tensor, "b 1 n"] | None = None,
    ) -> Float[Tensor, "b t w"]:
        """Draw each feature towards the most similar one of the past, if it is similar enough."""
        similarity = functional.normalize(output, dim=-1) @ functional.normalize(past, dim=-1).mT
        if bias is not None:
            similarity = similarity + bias
        best, where = similarity.max(-1, keepdim=True)
        nearest = past.gather(1, where.expand_as(output))
        return torch.where(best > self._likeness, torch.lerp(output, nearest, self._fusion), output)


@dataclass(slots=True)
class Call:
    """What the layers of one UNet call read and leave. They come in a fixed order."""

    past: Float[Tensor, "b p n"] | None  # of no frame at all
    bias: Float[Tensor, "b q"] | None  # for the own frame and each of the past: 0, or no weight
    made: list[tuple[Tensor, ...]] = field(default_factory=list)  # of each layer: keys, values, …
    _read: int = 0  # numbers of a frame

    def beside(self, own: Float[Tensor, "b t w"]) -> Float[Tensor, "b p t w"]:
        """Give what stands where `own` belongs, of each frame of the past."""
        count, (tokens, width) = len(own), own.shape[1:]
        if self.past is None:
            return own.new_empty(count, 0, tokens, width)
        start, self._read = self._read, self._read + tokens * width
        return self.past.narrow(2, start, tokens * width).view(count, -1, tokens, width)

    def extended(self, own: Float[Tensor, "b t w"]) -> Float[Tensor, "b s w"]:
        """Give `own` and those of the past behind it."""
        past = self.beside(own)
        if not past.shape[1]:
            return own
        return torch.cat([own[:, None], past], 1).flatten(1, 2)

    def mask(self, tokens: int) -> Float[Tensor, "b 1 s"] | None:
        """Give the bias of each token of a layer, the own ones first."""
        return None if self.bias is None else self.bias.repeat_interleave(tokens, 1)[:, None]

    def left(self) -> Float[Tensor, "b m"]:
        """Give what the layers made, a row of numbers each."""
        return torch.cat([part.flatten(1) for layer in self.made for part in layer], 1)

    @property
    def shapes(self) -> list[LayerShape]:
        """Say of which shapes a row of it is, in order."""
        return [(len(layer), layer[0].shape[1], layer[0].shape[2]) for layer in self.made]


class BankedDenoiser(nn.Module):
    """A denoiser that looks back: its past comes in, its features come out."""

    def __init__(self, denoiser: nn.Module, bank: FeatureBank) -> None:
        super().__init__()
        self.denoiser, self._bank = denoiser, bank

    def forward(
        self,
        rows: Float[Tensor, "b i y x"],
        times: Float[Tensor, "b e"],
        prompts: Float[Tensor, "b s k"],
        past: Float[Tensor, "b p n"] | None = None,
        bias: Float[Tensor, "b q"] | None = None,
    ) -> tuple[Float[Tensor, "b c y x"], Float[Tensor, "b m"]]:
        """Give the prediction and what each row leaves for its bank."""
        self._bank.call = call = Call(past, bias)
        try:
            predicted: Tensor = self.denoiser(rows, times, prompts)
        finally:
            self._bank.call = None
        if self._bank.merging is not None:
            self._bank.merging.layers = call.shapes
        return predicted, call.left()


class _Extended:
    """diffusers' attention over the frame's own tokens and those of the bank."""

    def __init__(self, bank: FeatureBank, layer: str, plain: Any) -> None:
        self._bank, self._layer, self._plain = bank, layer, plain

    def __call__(
        self, attn: Any, hidden_states: Tensor, *args: Any, **more: Any
    ) -> Float[Tensor, "b t w"]:
        """See diffusers' AttnProcessor2_0."""
        call = self._bank.call
        if call is None:
            plain: Tensor = self._plain(attn, hidden_states, *args, **more)
            return plain
        queries = _heads(attn, attn.to_q(hidden_states), attn.norm_q)
        keys = _heads(attn, attn.to_k(hidden_states), attn.norm_k)
        own: tuple[Tensor, ...] = (keys.flatten(2), attn.to_v(hidden_states))
        keys, values = (_heads(attn, call.extended(part)) for part in own)
        queries, keys, values = (part.transpose(1, 2) for part in (queries, keys, values))
        mask = call.mask(hidden_states.shape[1])
        every_head = None if mask is None else mask[:, None]
        found = functional.scaled_dot_product_attention(queries, keys, values, every_head)
        output: Tensor = attn.to_out[1](attn.to_out[0](found.transpose(1, 2).flatten(2)))
        if self._bank.fuses(self._layer):
            output = self._fused(call, output, mask)
            own = (*own, output)
        call.made.append(own)
        scaled: Tensor = output / attn.rescale_output_factor
        return scaled

    def _fused(self, call: Call, output: Tensor, mask: Tensor | None) -> Float[Tensor, "b t w"]:
        past = call.beside(output).flatten(1, 2)
        if not past.shape[1]:
            return output
        others = None if mask is None else mask[..., output.shape[1] :]
        return self._bank.fuse(output, past, others)


def _turns(shelves: Sequence[Shelf]) -> list[list[int]]:
    """Say which rows run at once: those of one shelf one after the other."""
    turns: list[list[int]] = []
    met: dict[int, int] = {}
    for row, shelf in enumerate(shelves):
        turn = met[id(shelf)] = met.get(id(shelf), -1) + 1
        if turn == len(turns):
            turns.append([])
        turns[turn].append(row)
    return turns


def _heads(attn: Any, tensor: Tensor, norm: Any = None) -> Float[Tensor, "b t heads dim"]:
    split = tensor.view(*tensor.shape[:2], attn.heads, -1)
    normed: Tensor = split if norm is None else norm(split)
    return normed


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
