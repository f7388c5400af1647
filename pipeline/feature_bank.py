"""A bank of attention features: each frame also looks at what the frames before it looked at.

In every self-attention layer, the keys and values of a session's last frames at the same step stand
beside the frame's own (extended attention). Optionally the layer's output is drawn towards the most
similar feature of those frames (feature fusion), in the layers where that does not blur.

    shelves → past, bias → BankedDenoiser → prediction, features of this call → shelves

What a frame leaves is one row of numbers, all layers in the order in which the UNet calls them. So
what a call reads and what it leaves are tensors of fixed shapes, which a CUDA graph can hold.

Source of both ideas: StreamV2V (Liang et al. 2024, arXiv:2405.15757). Deviations: the bank is a
queue of whole frames, not merged to the size of one; fusion sees a layer's output without the
residual, which the block adds later.
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


class Shelf:
    """The last frames of one session at one step and, with an anchor, the first one for good.

    The anchor is StreamDiffusionV2's sink (2025, arXiv:2511.07399): what the look began with does
    not drift out of sight. The first `filled` places hold a frame each, in no order that matters.
    """

    def __init__(self, look: Hashable, places: int, anchored: bool = False) -> None:
        self.look, self._places, self._anchored = look, places, anchored
        self._kept = 0  # frames so far
        self.features: Float[Tensor, "p n"] | None = None

    @property
    def filled(self) -> int:
        """How many places hold a frame."""
        return min(self._kept, self._places)

    def keep(self, features: Float[Tensor, "n"]) -> None:
        """Copy a frame's features; the oldest one that is no anchor goes."""
        if self.features is None:
            # numbers in empty places too: they weigh nothing, but no number times nothing is none
            self.features = features.new_zeros(self._places, len(features))
        first = int(self._anchored and self._kept > 0)
        self.features[first + (self._kept - first) % (self._places - first)] = features
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


def make_bank(unet: Any, config: EngineConfig) -> "FeatureBank":
    """Put the bank that is configured into a UNet. Raises ConfigError where nothing can use it."""
    fusion, anchored = config.feature_fusion, config.feature_anchor
    bank = FeatureBank(unet, config.feature_bank, fusion, anchored=anchored)
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
            shelf = self._shelves[key] = Shelf(row.look, self.places, self._anchored)
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
    made: list[Tensor] = field(default_factory=list)
    _read: int = 0  # numbers of a frame

    def beside(self, own: Float[Tensor, "b t w"]) -> Float[Tensor, "b p t w"]:
        """Give what stands where `own` belongs, of each frame of the past."""
        count, (tokens, width) = len(own), own.shape[1:]
        if self.past is None:
            return own.new_empty(count, 0, tokens, width)
        start, self._read = self._read, self._read + tokens * width
        return self.past.narrow(2, start, tokens * width).view(count, -1, tokens, width)

    def extended(self, own: Float[Tensor, "b t w"]) -> Float[Tensor, "b s w"]:
        """Leave `own`; give it and those of the past behind it."""
        past = self.beside(own)
        self.made.append(own)
        if not past.shape[1]:
            return own
        return torch.cat([own[:, None], past], 1).flatten(1, 2)

    def mask(self, tokens: int) -> Float[Tensor, "b 1 s"] | None:
        """Give the bias of each token of a layer, the own ones first."""
        return None if self.bias is None else self.bias.repeat_interleave(tokens, 1)[:, None]


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
        return predicted, torch.cat([made.flatten(1) for made in call.made], 1)


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
        keys = _heads(attn, call.extended(keys.flatten(2)))
        values = _heads(attn, call.extended(attn.to_v(hidden_states)))
        queries, keys, values = (part.transpose(1, 2) for part in (queries, keys, values))
        mask = call.mask(hidden_states.shape[1])
        every_head = None if mask is None else mask[:, None]
        found = functional.scaled_dot_product_attention(queries, keys, values, every_head)
        output: Tensor = attn.to_out[1](attn.to_out[0](found.transpose(1, 2).flatten(2)))
        if self._bank.fuses(self._layer):
            output = self._fused(call, output, mask)
        scaled: Tensor = output / attn.rescale_output_factor
        return scaled

    def _fused(self, call: Call, output: Tensor, mask: Tensor | None) -> Float[Tensor, "b t w"]:
        past = call.beside(output).flatten(1, 2)
        if past.shape[1]:
            others = None if mask is None else mask[..., output.shape[1] :]
            output = self._bank.fuse(output, past, others)
        call.made.append(output)
        return output


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
