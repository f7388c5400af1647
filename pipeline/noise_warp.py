"""Noise that moves with the picture and stays white: anchored Go-with-the-Flow.

Each frame's noise is made in one shot from a fixed field, the anchor, by the motion since the
anchor's frame; every few frames the newest noise becomes the anchor. Warping step by step instead
would freeze slow motion or blur it away (measured in the project's design: a correlation of 0 after
20 frames of .05 latent pixels, against 1.00).

Fields lie on a working grid `factor` times finer than the latents and are summed down at the end.
They are stored pixel by pixel, [pixels, channels], so that one index moves all channels at once.
Where noise goes is found on the host (noise_graph.py); a device only fetches and adds, and nothing
is ever asked of it.

Sources: Burgert et al. 2025, arXiv:2501.08331, Algorithm 1 (the warp and why it is white), with
weights that also undo uneven splits; persistent children and anchoring are this project's.
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int, Int32, Shaped
from torch import Tensor
from torch.nn import functional

from pipeline.backends.transfer import send
from pipeline.backward_warp import Flow
from pipeline.noise_graph import Graph, cleaned, composed, connect, sample

Gated = Callable[[Flow, Flow], tuple[Flow, Flow]]  # motion ahead and back, in part set to zero
Seed = tuple[int, ...]  # numbers below 2**32; all of them count

ANCHOR_FRAMES = 30  # then the newest noise becomes the anchor
CHILDREN = 6  # stored for each pixel; where more are needed, the anchor is moved before
_MOST_UNKNOWN = 0.25  # share of pixels with noise of their own, from which the anchor is moved


class NoiseWarp:
    """The noise of one session: a field of some channels for each seed, side by side.

    The fields share the motion and nothing else. Deterministic by the seeds and the flows.
    """

    def __init__(
        self,
        seeds: Sequence[Seed],
        channels: int,
        height: int,
        width: int,
        factor: int,
        device: torch.device,
    ) -> None:
        self.factor = factor
        self._height, self._width = height * factor, width * factor
        self._pixels = self._height * self._width
        self._channels, self._device = channels, device
        self._generators = {seed: _generator(seed) for seed in seeds}
        self._noise: Float[Tensor, "pixels c"]
        self._field: Float[Tensor, "sources c"]  # all that a graph may copy
        self._children: Float[Tensor, "children c"]
        self.cut()

    def cut(self) -> None:
        """Begin anew, as after a scene cut."""
        self._noise = self._draw(self._pixels, self._generators.values())
        self._set_anchor(self._noise)

    def carry(self, seeds: Sequence[Seed]) -> None:
        """Go on with the fields of these seeds, each given once, in this order.

        Those that are there stay as they are. A new one begins at the anchor; the next frame's
        motion leads it from there to where the others are.
        """
        before = self._generators
        if list(seeds) == list(before):
            return
        added = {seed: _generator(seed) for seed in seeds if seed not in before}
        noise = self._draw(self._pixels, added.values())
        children, field = self._begun(noise, added.values())
        places = [[*before, *added].index(seed) for seed in seeds]

        def joined(own: Tensor, new: Tensor) -> Tensor:
            columns = [part for t in (own, new) for part in torch.split(t, self._channels, 1)]
            return torch.cat([columns[place] for place in places], 1)

        self._children = joined(self._children, children)
        self._field = joined(self._field, field)
        self._noise = joined(self._noise, noise)
        self._generators = {seed: (before | added)[seed] for seed in seeds}

    def advance(
        self, forward: Flow, backward: Flow, gate: Gated, last_gate: Gated | None = None
    ) -> None:
        """Move on by one frame; flows in pixels of the working grid, unknown where not finite.

        `forward` leads from the last frame to this one, on the last one's grid; `backward` from
        this one to the last, on this one's. `gate` may set parts of the motion since the anchor to
        zero, `last_gate` those of the motion since the last frame, where that becomes the anchor;
        without it `gate` does both. No flow may depend on the noise, or what was made from it: it
        would not stay white.
        """
        forward, backward = cleaned(forward), cleaned(backward)
        graph = self._followed(forward, backward, gate)
        if graph.most_children > CHILDREN:
            # one frame from the newest noise instead of many from the anchor
            self._set_anchor(self._noise)
            graph = self._followed(forward, backward, last_gate or gate)
        self._frames += 1
        self._noise = self._carried(graph)
        if self._is_worn(graph):
            self._set_anchor(self._noise)

    @property
    def age(self) -> int:
        """Say how many frames ago the anchor's was: 0 if the newest frame has become it."""
        return self._frames

    def latents(self) -> Float[Tensor, "seeds c y x"]:
        """Give the noise of the newest frame on the latent grid: white, variance 1."""
        fields = self._noise.T.reshape(-1, self._channels, self._height, self._width)
        return functional.avg_pool2d(fields, self.factor) * self.factor

    def _set_anchor(self, noise: Float[Tensor, "pixels c"]) -> None:
        self._frames = 0
        self._ahead = self._back = np.zeros((self._height, self._width, 2), np.float32)
        self._children = self._field = noise[:0]  # they are large: gone before new ones are drawn
        self._children, self._field = self._begun(noise, self._generators.values())

    def _begun(
        self, noise: Float[Tensor, "pixels c"], generators: Collection[torch.Generator]
    ) -> tuple[Float[Tensor, "children c"], Float[Tensor, "sources c"]]:
        """Draw what begins at an anchor: what each point may split into, and what fills holes."""
        drawn = self._draw((CHILDREN + 1) * self._pixels, generators)
        children, holes = drawn.tensor_split([CHILDREN * self._pixels])
        # as a graph counts: the anchor, what fills holes, and nothing
        return children, torch.cat([noise, holes, torch.zeros_like(noise[:1])])

    def _draw(self, rows: int, generators: Collection[torch.Generator]) -> Float[Tensor, "rows c"]:
        """Draw noise for each seed, side by side."""
        # on the CPU, so that a seed means the same on every device
        drawn = torch.empty(rows, len(generators), self._channels)
        for number, generator in enumerate(generators):
            drawn[:, number] = torch.randn(rows, self._channels, generator=generator)
        return send(drawn.flatten(1), self._device)

    def _followed(self, forward: Flow, backward: Flow, gate: Gated) -> Graph:
        """Add one frame's motion to that since the anchor; give where that leads."""
        self._ahead, self._back = composed(self._ahead, forward), composed(backward, self._back)
        return connect(*gate(self._ahead, self._back))

    def _carried(self, graph: Graph) -> Float[Tensor, "pixels c"]:
        """Split every anchor pixel among its edges, join what meets, fill what nothing reaches.

        The children of a pixel are white and sum to it; the sum of those that meet is divided by
        its standard deviation. Where one edge leads to one pixel the value is passed on unchanged,
        bit for bit.
        """
        pixels, split = len(graph.copied), len(graph.child)
        slot = np.minimum(graph.child, CHILDREN - 1) * pixels + graph.source[:split]
        copied, source, target, parent, child, weight, degree = self._sent(
            graph.copied, graph.source, graph.target, graph.parent, slot, graph.weight, graph.degree
        )
        noise = self._field.index_select(0, copied)
        value = self._field.index_select(0, source)
        if split:
            drawn = self._drawn(child, graph.child)
            total = drawn.new_zeros(graph.parents, drawn.shape[1]).index_add_(0, parent, drawn)
            count = degree[:, None]
            value[:split] *= count.rsqrt()
            value[:split] += drawn - total.index_select(0, parent) / count
        noise.index_add_(0, target, weight[:, None] * value)
        return noise

    def _drawn(self, slot: Int[Tensor, "m"], child: Int32[np.ndarray, "m"]) -> Float[Tensor, "m c"]:
        drawn = self._children.index_select(0, slot)
        beyond = np.flatnonzero(child >= CHILDREN)
        if len(beyond):
            # one frame that magnifies so much is a cut in all but name: nothing need persist
            fresh = self._draw(len(beyond), self._generators.values())
            (rows,) = self._sent(beyond.astype(np.int32))
            drawn.index_copy_(0, rows.long(), fresh)
        return drawn

    def _sent(self, *values: Shaped[np.ndarray, "_"]) -> list[Tensor]:
        """Copy arrays of numbers of 32 bits to the device, all at once."""
        there = send(
            torch.from_numpy(np.concatenate([v.view(np.int32) for v in values])), self._device
        )
        kinds = {np.dtype(np.int32): torch.int32, np.dtype(np.float32): torch.float32}
        parts = torch.split(there, [len(each) for each in values])
        return [part.view(kinds[v.dtype]) for part, v in zip(parts, values, strict=True)]

    def _is_worn(self, graph: Graph) -> bool:
        """Say whether the anchor is too old, too far away or too little of it is left."""
        if self._frames >= ANCHOR_FRAMES or graph.unknown > _MOST_UNKNOWN:
            return True
        error = self._back + sample(self._ahead, self._back)
        length = np.hypot(error[..., 0], error[..., 1])
        length = length[np.isfinite(length)]
        return bool(len(length)) and float(length.mean()) > self.factor


def _generator(seed: Seed) -> torch.Generator:
    """Mix the numbers of a seed: of one that is longer than 32 bits PyTorch takes the last 32."""
    return torch.Generator().manual_seed(int(np.random.SeedSequence(seed).generate_state(1)[0]))
