"""Noise that moves with the picture and stays white: anchored Go-with-the-Flow.

Each frame's noise is made in one shot from a fixed field, the anchor, by the motion since the
anchor's frame; every few frames the newest noise becomes the anchor. Warping step by step instead
would freeze slow motion or blur it away (measured in the project's design: a correlation of 0 after
20 frames of .05 latent pixels, against 1.00).

Fields lie on a working grid `factor` times finer than the latents and are summed down at the end.
They are stored pixel by pixel, [pixels, channels], so that one index moves all channels at once.

Sources: Burgert et al. 2025, arXiv:2501.08331, Algorithm 1 (the warp and why it is white), with
weights that also undo uneven splits; persistent children and anchoring are this project's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from pipeline.backends.transfer import send

Flow = Float[
    Tensor, "2 h w"
]  # x and y in pixels of the working grid; what is not finite is unknown

Gated = Callable[[Flow, Flow], tuple[Flow, Flow]]  # motion ahead and back, in part set to zero

ANCHOR_FRAMES = 30  # then the newest noise becomes the anchor
CHILDREN = 6  # stored for each pixel; where more are needed, the anchor is moved before
_MOST_UNKNOWN = 0.25  # share of pixels with noise of their own, from which the anchor is moved
_HUGE = 1e4  # pixels; a flow beyond is a mistake


@dataclass(frozen=True, slots=True)
class Edges:
    """Which anchor pixels go into which pixels now."""

    source: Int[Tensor, "e"]
    target: Int[Tensor, "e"]
    child: Int[Tensor, "e"]  # counts the edges of each source
    degree: Int[Tensor, "pixels"]  # edges that leave each anchor pixel

    @property
    def most_children(self) -> int:
        """How many children a pixel has at most."""
        return int(self.degree.max())


class NoiseWarp:
    """The noise of one session. Deterministic by its seed and the flows."""

    def __init__(
        self, channels: int, height: int, width: int, factor: int, seed: int, device: torch.device
    ) -> None:
        self.factor = factor
        self._height, self._width = height * factor, width * factor
        self._channels, self._device = channels, device
        self._generator = torch.Generator().manual_seed(seed)
        self.cut()

    def cut(self) -> None:
        """Begin anew, as after a scene cut."""
        self._set_anchor(self._draw(1)[0])
        self._noise = self._anchor

    def advance(
        self, forward: Flow, backward: Flow, gate: Gated, last_gate: Gated | None = None
    ) -> None:
        """Move on by one frame.

        `forward` leads from the last frame to this one, on the last one's grid; `backward` from
        this one to the last, on this one's. `gate` may set parts of the motion since the anchor to
        zero, `last_gate` those of the motion since the last frame, where that becomes the anchor;
        without it `gate` does both. No flow may depend on the noise, or what was made from it: it
        would not stay white.
        """
        before = self._noise
        ahead, back = self._composed(_cleaned(forward), _cleaned(backward))
        edges = connect(*gate(ahead, back))
        if edges.most_children > CHILDREN:
            # one frame from the newest noise instead of many from the anchor
            self._set_anchor(before)
            ahead, back = self._composed(_cleaned(forward), _cleaned(backward))
            edges = connect(*(last_gate or gate)(ahead, back))
        self._ahead, self._back = ahead, back
        self._frames += 1
        known = torch.zeros(self._height * self._width, dtype=torch.bool, device=self._device)
        known[edges.target] = True
        self._noise = self._carried(edges, known)
        if self._is_worn(known):
            self._set_anchor(self._noise)

    @property
    def age(self) -> int:
        """Say how many frames ago the anchor's was: 0 if the newest frame has become it."""
        return self._frames

    def latents(self) -> Float[Tensor, "c y x"]:
        """Give the noise of the newest frame on the latent grid: white, variance 1."""
        field = self._noise.T.reshape(1, self._channels, self._height, self._width)
        return functional.avg_pool2d(field, self.factor)[0] * self.factor

    def _set_anchor(self, noise: Float[Tensor, "pixels c"]) -> None:
        self._anchor, self._frames = noise, 0
        self._ahead = torch.zeros(2, self._height, self._width, device=self._device)
        self._back = self._ahead
        *children, holes = self._draw(CHILDREN + 1)
        self._children, self._holes = torch.stack(children), holes

    def _draw(self, count: int) -> Float[Tensor, "count pixels c"]:
        # on the CPU, so that a seed means the same on every device
        shape = (count, self._height * self._width, self._channels)
        return send(torch.randn(shape, generator=self._generator), self._device)

    def _composed(self, forward: Flow, backward: Flow) -> tuple[Flow, Flow]:
        """Add one frame's motion to that since the anchor; what leads outside is unknown at once.

        A gate would take what has just left for something that stands still.
        """
        ahead = self._ahead + sample(forward, self._ahead)
        back = backward + sample(self._back, backward)
        return _within(ahead), _within(back)

    def _carried(self, edges: Edges, known: Bool[Tensor, "pixels"]) -> Float[Tensor, "pixels c"]:
        """Split every anchor pixel among its edges, join what meets, fill what nothing reaches.

        The children of a pixel are white and sum to it; the sum of those that meet is divided by
        its standard deviation. Where one edge leads to one pixel the value is passed on unchanged,
        bit for bit.
        """
        split = edges.degree[edges.source]
        value = self._anchor[edges.source]
        many = split > 1
        if bool(many.any()):
            value[many] = self._divided(edges, many)
        weight = split.to(value.dtype).rsqrt()
        noise = torch.where(known[:, None], torch.zeros_like(self._holes), self._holes)
        square = torch.zeros(len(noise), device=self._device)
        square.index_add_(0, edges.target, weight.square())
        arrivals = torch.bincount(edges.target, minlength=len(noise))
        alone = arrivals[edges.target] == 1
        noise[edges.target[alone]] = value[alone]
        if not bool(alone.all()):
            met = ~alone
            noise.index_add_(0, edges.target[met], weight[met, None] * value[met])
            joined = arrivals > 1
            noise[joined] *= square[joined, None].rsqrt()
        return noise

    def _divided(self, edges: Edges, many: Bool[Tensor, "e"]) -> Float[Tensor, "m c"]:
        source, child = edges.source[many], edges.child[many]
        drawn = self._child_values(child, source)
        total = torch.zeros_like(self._anchor).index_add_(0, source, drawn)
        count = edges.degree[source].to(drawn.dtype)[:, None]
        return self._anchor[source] * count.rsqrt() + drawn - total[source] / count

    def _child_values(
        self, child: Int[Tensor, "m"], source: Int[Tensor, "m"]
    ) -> Float[Tensor, "m c"]:
        stored = self._children[child.clamp(max=CHILDREN - 1), source]
        beyond = child >= CHILDREN
        if bool(beyond.any()):
            # one frame that magnifies so much is a cut in all but name: nothing need persist
            drawn = torch.randn((int(beyond.sum()), self._channels), generator=self._generator)
            stored[beyond] = send(drawn, self._device)
        return stored

    def _is_worn(self, known: Bool[Tensor, "pixels"]) -> bool:
        """Say whether the anchor is too old, too far away or too little of it is left."""
        if self._frames >= ANCHOR_FRAMES or float((~known).float().mean()) > _MOST_UNKNOWN:
            return True
        error = torch.linalg.vector_norm(self._back + sample(self._ahead, self._back), dim=0)
        error = error[torch.isfinite(error)]
        return bool(len(error)) and float(error.mean()) > self.factor


def connect(ahead: Flow, back: Flow) -> Edges:
    """Lead every pixel of the anchor forward, and to every pixel that none reached, back.

    Steps A and B of Algorithm 1; at most two edges a pixel.
    """
    _, height, width = ahead.shape
    pixels = torch.arange(height * width, device=ahead.device)
    target, inside = _moved(ahead)
    source, target = pixels[inside], target[inside]
    reached = torch.zeros(height * width, dtype=torch.bool, device=ahead.device)
    reached[target] = True
    origin, within = _moved(back)
    more = ~reached & within
    source = torch.cat([source, origin[more]])
    target = torch.cat([target, pixels[more]])
    order = torch.argsort(source * (height * width) + target)
    source, target = source[order], target[order]
    degree = torch.bincount(source, minlength=height * width)
    first = torch.cumsum(degree, 0) - degree
    child = torch.arange(len(source), device=source.device) - first[source]
    return Edges(source, target, child, degree)


def sample(field: Float[Tensor, "c h w"], at: Flow) -> Float[Tensor, "c h w"]:
    """Fetch a field at p + at(p), bilinear; not a number outside, and where either is unknown."""
    _, height, width = field.shape
    x, y = _places(at)
    outside = _outside(x, y)
    x, y = x.nan_to_num().clamp(0, width - 1), y.nan_to_num().clamp(0, height - 1)
    left, top = x.floor().clamp(max=max(width - 2, 0)), y.floor().clamp(max=max(height - 2, 0))
    dx, dy = x - left, y - top
    corner = (top * width + left).long().flatten()
    flat = field.flatten(1)

    def fetched(offset: int) -> Tensor:
        return flat[:, corner + offset].reshape(-1, height, width)

    upper = _between(fetched(0), fetched(1), dx)
    lower = _between(fetched(width), fetched(width + 1), dx)
    found = _between(upper, lower, dy)
    return torch.where(outside, torch.full_like(found, torch.nan), found)


def _between(one: Tensor, other: Tensor, share: Float[Tensor, "h w"]) -> Float[Tensor, "c h w"]:
    """Interpolate; what has no share does not count, or the unknown would spread on its own."""
    mixed = one * (1 - share) + other * share
    return torch.where(share == 0, one, torch.where(share == 1, other, mixed))


@lru_cache(maxsize=8)
def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Give the x and y of each pixel."""
    x = torch.arange(width, device=device, dtype=torch.float32)
    y = torch.arange(height, device=device, dtype=torch.float32)
    return x.expand(height, width), y[:, None].expand(height, width)


def _places(at: Flow) -> tuple[Float[Tensor, "h w"], Float[Tensor, "h w"]]:
    """Give the x and y that each pixel is led to."""
    x, y = _grid(*at.shape[1:], at.device)
    return x + at[0], y + at[1]


def _outside(x: Float[Tensor, "h w"], y: Float[Tensor, "h w"]) -> Bool[Tensor, "h w"]:
    """Say which places lie outside, or are unknown."""
    height, width = x.shape
    return ~((x >= -0.5) & (x <= width - 0.5) & (y >= -0.5) & (y <= height - 0.5))


def _within(flow: Flow) -> Flow:
    outside = _outside(*_places(flow))
    return torch.where(outside, torch.full_like(flow, torch.nan), flow)


def _moved(flow: Flow) -> tuple[Int[Tensor, "pixels"], Bool[Tensor, "pixels"]]:
    """Give the nearest pixel that each one is led to, and whether there is one."""
    _, height, width = flow.shape
    x, y = (each.round() for each in _places(flow))
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)  # false for what is not a number
    index = torch.where(inside, y * width + x, torch.zeros_like(x)).long()
    return index.flatten(), inside.flatten()


def _cleaned(flow: Flow) -> Flow:
    bad = ~torch.isfinite(flow).all(0) | (flow.abs().amax(0) > _HUGE)
    return torch.where(bad, torch.full_like(flow, torch.nan), flow)
