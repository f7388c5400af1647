"""Brush strokes over what a style network gives.

The strokes that such a network paints itself are chaotic: no small denoiser learns in hours where
each one lies, and the mean of all is a tint. These are noise smeared along a direction, as in line
integral convolution (Cabral and Leedom 1993); the direction is that of the picture's edges. The
noise repeats every 32 pixels, which is four latents, so the denoiser can know where strokes lie.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from numpy.typing import NDArray

from pipeline.embedded.filters import Image

_PERIOD = 16  # of the noise, in half pixels of the picture
_ANGLES = 4  # directions that are smeared along; others are mixed from these
_ALONG, _ACROSS = 3.5, 0.65  # standard deviations of a stroke, in half pixels
_REACH = 10  # half the side of a stroke's kernel
_KEEN = 3.0  # how much nearer directions count


@dataclass(frozen=True, slots=True)
class Paint:
    """How a style is painted: RGB of lighter and darker strokes, how much, which way by default."""

    light: tuple[int, int, int]
    dark: tuple[int, int, int]
    amount: float
    angle: float  # degrees from the horizontal, where the picture gives no direction


def lay(
    base: UInt8[np.ndarray, "h w 3"], source: UInt8[np.ndarray, "h w 3"], paint: Paint
) -> Image:
    """Lay lighter and darker strokes over a styled picture, along the edges of its source."""
    texture = strokes(source, paint.angle)[..., None]
    picture = base.astype(np.float32)
    for colour, where in ((paint.light, texture), (paint.dark, -texture)):
        picture += paint.amount * np.maximum(where, 0) * (np.float32(colour) - picture)
    return np.clip(picture, 0, 255).astype(np.uint8)


def strokes(image: UInt8[np.ndarray, "h w 3"], angle: float) -> Float[np.ndarray, "h w"]:
    """Give strokes, about -1 .. 1, for a picture whose sides are multiples of 32."""
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 127.5
    grey = cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(23).standard_normal((_PERIOD, _PERIOD), np.float32)
    # repeated past the borders, which are no different from the rest
    field = np.tile(noise, (height // 2 // _PERIOD + 2, width // 2 // _PERIOD + 2))
    inner = slice(_PERIOD, -_PERIOD)
    smeared = [cv2.filter2D(field, -1, kernel)[inner, inner] for kernel in _kernels()]
    mixed = (np.stack(smeared) * _directions(grey, angle)).sum(0)
    drawn = np.tanh(1.2 * mixed) * _calm(grey)
    return cv2.resize(drawn, (width, height), interpolation=cv2.INTER_LINEAR)


def _kernels() -> list[NDArray[np.float32]]:
    """Give a stroke for each direction; smeared white noise keeps a variance of one."""
    y, x = np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1].astype(np.float32)
    made = []
    for number in range(_ANGLES):
        turn = np.pi * number / _ANGLES
        along, across = x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)
        stroke = np.exp(-((along / _ALONG) ** 2 + (across / _ACROSS) ** 2) / 2)
        made.append((stroke / np.sqrt(np.square(stroke).sum())).astype(np.float32))
    return made


def _directions(grey: NDArray[np.float32], angle: float) -> Float[np.ndarray, "angles h w"]:
    """Weigh the directions: along edges, and where there are none along `angle` (degrees)."""
    dx, dy = (cv2.Sobel(grey, cv2.CV_32F, *axis) / 4 for axis in ((1, 0), (0, 1)))
    # a direction and its opposite are one: doubled angles (structure tensor), turned to the edge
    double = np.stack([cv2.GaussianBlur(p, (0, 0), 3) for p in (dy * dy - dx * dx, 2 * dx * dy)])
    turned = np.deg2rad(2 * angle)
    double += 2e-3 * np.float32([np.cos(turned), np.sin(turned)])[:, None, None]
    double /= np.maximum(np.linalg.norm(double, axis=0), 1e-6)
    own = 2 * np.pi * np.arange(_ANGLES, dtype=np.float32)[:, None, None] / _ANGLES
    weights = np.exp(_KEEN * (np.cos(own) * double[0] + np.sin(own) * double[1]))
    return weights / np.linalg.norm(weights, axis=0)


def _calm(grey: NDArray[np.float32]) -> Float[np.ndarray, "h w"]:
    """Give 1 where the picture is smooth, less where it has detail: faces stay faces."""
    detail = np.abs(grey - cv2.blur(grey, (5, 5)))
    return 1 / (1 + 12 * cv2.blur(detail, (7, 7)))
