"""Brush strokes out of the noise that the denoiser sees.

Strokes that a network paints are chaotic: no small denoiser learns in hours where each one lies,
and the mean of all is a tint. Here a stroke is noise smeared along a direction, as in line integral
convolution (Cabral and Leedom 1993), and the noise is the latent noise itself. So the denoiser can
read from its input where the strokes lie; they never repeat, and where noise is carried by the
picture (Go-with-the-Flow) they stick to what moves.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

_ANGLES = 4  # directions that are smeared along; others are mixed from these
_ALONG, _ACROSS = 3.5, 0.65  # standard deviations of a stroke, in half pixels of the picture
_REACH = 10  # half the side of a stroke's kernel
_KEEN = 3.0  # how much nearer directions count


@dataclass(frozen=True, slots=True)
class Paint:
    """How a style is painted: RGB of lighter and darker strokes, how much, which way by default."""

    light: tuple[int, int, int]
    dark: tuple[int, int, int]
    amount: float
    angle: float  # degrees from the horizontal, where the picture gives no direction


def kernels() -> Float[Tensor, "angles 1 k k"]:
    """Give a stroke for each direction; smeared white noise keeps a variance of one."""
    at = torch.arange(-_REACH, _REACH + 1.0)
    y, x = torch.meshgrid(at, at, indexing="ij")
    made = []
    for number in range(_ANGLES):
        angle = torch.tensor(torch.pi * number / _ANGLES)
        along, across = x * angle.cos() - y * angle.sin(), x * angle.sin() + y * angle.cos()
        stroke = torch.exp(-((along / _ALONG) ** 2 + (across / _ACROSS) ** 2) / 2)
        made.append(stroke / stroke.square().sum().sqrt())
    return torch.stack(made)[:, None]


def directions(
    images: Float[Tensor, "b 3 h w"], angles: Float[Tensor, "b"]
) -> Float[Tensor, "b angles h2 w2"]:
    """Weigh the directions at half size: along edges, and by default along `angles` (degrees)."""
    grey = functional.avg_pool2d(images.mean(1, keepdim=True), 2)
    padded = functional.pad(grey, (1, 1, 1, 1), mode="replicate")
    dx = padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]
    dy = padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]
    # a direction and its opposite are one: doubled angles (structure tensor), turned to the edge
    double = torch.cat([dy * dy - dx * dx, 2 * dx * dy], 1)
    for _ in range(2):
        double = functional.avg_pool2d(double, 9, 1, 4, count_include_pad=False)
    turned = torch.deg2rad(2 * angles)
    double = double + 2e-3 * torch.stack([turned.cos(), turned.sin()], 1)[..., None, None]
    double = double / double.norm(dim=1, keepdim=True).clamp(min=1e-6)
    own = 2 * torch.pi * torch.arange(_ANGLES) / _ANGLES
    cosine = double[:, :1] * own.cos()[:, None, None] + double[:, 1:] * own.sin()[:, None, None]
    weights = (_KEEN * cosine).exp()
    return weights / weights.norm(dim=1, keepdim=True)


def strokes(
    noise: Float[Tensor, "b 16 h8 w8"],
    images: Float[Tensor, "b 3 h w"],
    angles: Float[Tensor, "b"],
) -> Float[Tensor, "b 1 h w"]:
    """Smear latent noise along the directions of `images`: about -1 .. 1, with soft borders."""
    field = functional.pixel_shuffle(noise, 4)
    smeared = smear(field)
    mixed = (smeared * directions(images, angles)).sum(1, keepdim=True)
    drawn = torch.tanh(1.2 * mixed) * calm(images)
    return functional.interpolate(drawn, scale_factor=2, mode="bilinear")


def smear(field: Float[Tensor, "b 1 h w"]) -> Float[Tensor, "b angles h w"]:
    """Convolve with each kernel, by FFT: kernels this large are slow otherwise."""
    height, width = field.shape[-2:]
    size = (height + 2 * _REACH, width + 2 * _REACH)
    product = torch.fft.rfft2(field, s=size) * torch.fft.rfft2(kernels()[:, 0], s=size)
    whole = torch.fft.irfft2(product, s=size)
    return whole[..., _REACH : _REACH + height, _REACH : _REACH + width]


def calm(images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 1 h2 w2"]:
    """Give 1 where the picture is smooth, less where it has detail: faces stay faces."""
    grey = functional.avg_pool2d(images.mean(1, keepdim=True), 2)
    detail = (grey - functional.avg_pool2d(grey, 5, 1, 2, count_include_pad=False)).abs()
    spread = functional.avg_pool2d(detail, 7, 1, 3, count_include_pad=False)
    return 1 / (1 + 12 * spread)


def lay(
    base: Float[Tensor, "b 3 h w"], texture: Float[Tensor, "b 1 h w"], paint: Paint
) -> Float[Tensor, "b 3 h w"]:
    """Lay lighter and darker strokes over pictures in -1 .. 1."""
    light, dark = (
        torch.tensor(colour)[:, None, None] / 127.5 - 1 for colour in (paint.light, paint.dark)
    )
    lit = base + paint.amount * texture.clamp(min=0) * (light - base)
    return lit + paint.amount * (-texture).clamp(min=0) * (dark - lit)
