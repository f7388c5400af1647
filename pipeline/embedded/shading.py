"""What the styles that are drawn by rule are made of: tones, edges, inks and flat colours.

All work on pictures of 512 × 512 and are local: none knows of the whole picture's brightness.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # [h, w, 3] RGB
Plane = NDArray[np.float32]  # [h, w], 0 .. 1
Colours = NDArray[np.float32]  # [h, w, 3], 0 .. 1

_TILE = 16  # pixels after which laid patterns repeat: one latent, once halved


def as_bytes(image: NDArray[np.float32]) -> Image:
    """Give 0 .. 1 as a picture."""
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def light_of(image: Image) -> Colours:
    """Give a picture as 0 .. 1."""
    return image.astype(np.float32) / np.float32(255)


def grey_of(image: Image) -> Plane:
    """Give the brightness of a picture."""
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)


def tone_of(image: Image, contrast: float = 1.1) -> Plane:
    """Brightness with more contrast against its surroundings: dark faces before bright walls."""
    grey = grey_of(image)
    around = cv2.GaussianBlur(grey, (0, 0), 28)
    return np.clip(0.5 + (grey - 0.5) * contrast + 0.45 * (grey - around), 0, 1)


def flattened(image: Image, times: int, reach: int, step: float) -> Image:
    """Smooth areas, keep edges."""
    for _ in range(times):
        image = cv2.bilateralFilter(image, reach, step, 9)
    return image


def steepness(grey: Plane, blur: float) -> Plane:
    """Say how steep brightness is, once blurred: high at edges."""
    soft = cv2.GaussianBlur(grey, (0, 0), blur)
    return np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))


def inked(image: Image, width: float, weight: float) -> Plane:
    """Broad lines on both sides of edges.

    A small denoiser learns these; of lines on the dark side alone (`contours`) it kept nothing.
    """
    return np.clip(steepness(grey_of(image), width) * weight - 0.3, 0, 1)


def contours(image: Image, width: float) -> Plane:
    """Dark lines at edges: a difference of Gaussians, kept where it is dark (XDoG)."""
    grey = grey_of(image)
    narrow, wide = (cv2.GaussianBlur(grey, (0, 0), s) for s in (width, 1.6 * width))
    return np.clip((0.98 * wide - narrow) * 26, 0, 1)


def relief(image: Image, blur: float, depth: float) -> tuple[Plane, Plane, Plane]:
    """Give brightness, diffuse light and shine of the picture taken as a height map."""
    height = cv2.GaussianBlur(tone_of(image), (0, 0), blur)
    dx, dy = (cv2.Sobel(height, cv2.CV_32F, *axis) * depth for axis in ((1, 0), (0, 1)))
    normal = np.stack([-dx, -dy, np.ones_like(height)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = np.float32([-0.52, -0.62, 0.59])
    half = light + np.float32([0, 0, 1])
    return (
        height,
        np.clip(normal @ light, 0, 1),
        np.clip(normal @ (half / np.linalg.norm(half)), 0, 1),
    )


def ramp(level: Plane, *stops: tuple[int, int, int]) -> Colours:
    """Map 0 .. 1 to a ramp of evenly spaced RGB colours."""
    colours = np.float32(stops) / 255
    at = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(level, at, colours[:, c]) for c in range(3)], -1).astype(np.float32)


def levels_of(image: Image, contrast: float, steps: int) -> Plane:
    """Give brightness, a little blurred, as 0 up to the number of steps."""
    return np.clip(cv2.GaussianBlur(tone_of(image, contrast), (0, 0), 2), 0, 0.999) * steps


def inks_of(image: Image, *inks: tuple[int, int, int]) -> Colours:
    """Print brightness in four flat inks, dark to light."""
    level = levels_of(image, 1.35, len(inks))
    colours = np.float32(inks) / 255
    printed = np.broadcast_to(colours[0], image.shape).astype(np.float32)
    for step, ink in enumerate(colours[1:], start=1):
        over = np.clip((level - step) * 9 + 0.5, 0, 1)[..., None]
        printed = printed * (1 - over) + ink * over
    return printed


def outlined(colours: Colours, lines: Plane, ink: tuple[float, float, float]) -> Colours:
    """Draw lines in an ink, RGB of 255, over colours."""
    share = np.clip(lines, 0, 1)[..., None]
    drawn: Colours = colours * (1 - share) + share * np.float32(ink) / 255
    return drawn


def warmth(image: Image, least: float, gain: float) -> Plane:
    """Say where colours are warm, as skin and wood are, with soft borders."""
    light = light_of(image)
    warm = np.clip((light[..., 0] - light[..., 2] - least) * gain, 0, 1)
    soft: Plane = cv2.GaussianBlur(warm, (0, 0), 3)
    return soft


def painted(image: Image, *reaches: int) -> Image:
    """Lay the picture down in patches of one colour, whose borders follow its edges.

    Each pixel takes the mean of four squares of `reach` pixels around it, the calmer the more: the
    filter of Kuwahara (1976) with the weights of Papari et al. (2007), which do not jump.
    """
    for reach in reaches:
        image = _calmest(image, reach)
    return image


def _calmest(image: Image, reach: int) -> Image:
    picture = image.astype(np.float32)
    mean = cv2.blur(picture, (reach + 1, reach + 1))
    spread = cv2.blur(picture * picture, (reach + 1, reach + 1)) - mean * mean
    weight = (1 + np.maximum(spread, 0).sum(-1) / 30) ** -4
    total = np.concatenate([mean * weight[..., None], weight[..., None]], -1)
    away = reach // 2
    padded = cv2.copyMakeBorder(total, away, away, away, away, cv2.BORDER_REPLICATE)
    height, width = picture.shape[:2]
    parts = (
        padded[dy : dy + height, dx : dx + width] for dy in (0, 2 * away) for dx in (0, 2 * away)
    )
    total = np.add.reduce(list(parts))
    shown: Image = np.clip(total[..., :3] / total[..., 3:], 0, 255).astype(np.uint8)
    return shown


def stronger(image: Image, saturation: float, brightness: float = 1, more: float = 10) -> Image:
    """Multiply saturation and brightness, and add a little of the first."""
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * saturation + more, 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] * brightness, 0, 255)
    strong: Image = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    return strong


def dabs(image: Image, rows: int, long: float, tint: float = 0) -> tuple[Colours, Plane]:
    """Lay the picture down in slanting dabs, each of one colour and with a tint of its own.

    `rows` × `rows` dabs, `long` times as long as wide, lie in each 16 × 16 pixels, in all of them
    the same. Also gives how far inside its dab each pixel is: 0 at the border to 1.
    """
    height, width = image.shape[:2]
    times = (-(-height // _TILE), -(-width // _TILE))
    down, right, tints, inside = (
        np.tile(plane, times)[:height, :width] for plane in _dab_tile(rows, long)
    )
    y, x = np.mgrid[:height, :width].astype(np.float32)
    laid = cv2.remap(cv2.GaussianBlur(image, (0, 0), 2), x + right, y + down, cv2.INTER_LINEAR,
                     borderMode=cv2.BORDER_REFLECT)  # fmt: skip
    warmer = tint * tints[..., None] * np.float32([1, 0.3, -1])
    return light_of(laid) * (1 + warmer), inside


@cache
def _dab_tile(rows: int, long: float) -> tuple[Plane, Plane, Plane, Plane]:
    """Give for each pixel of a tile: how far down and right its dab's middle is, tint, inside."""
    places = np.argwhere(np.ones((rows, rows)))
    off = np.random.default_rng(0).uniform(0.2, 0.8, places.shape)
    tints = np.where(places.sum(1) % 2, 1, -1) * (rows > 1)
    tiles = np.argwhere(np.ones((5, 5)))[:, None] - 2
    middles = np.float32((tiles + (places + off) / rows) * _TILE).reshape(-1, 2)
    y, x = np.mgrid[:_TILE, :_TILE].astype(np.float32)
    down, right = (middles[:, axis, None, None] - at for axis, at in enumerate((y, x)))
    away = np.hypot((right - down) / long, right + down)
    nearest = away.argmin(0)
    inside = np.clip(np.diff(np.sort(away, 0)[:2], axis=0)[0] / 6, 0, 1)
    down, right = (np.take_along_axis(p, nearest[None], 0)[0] for p in (down, right))
    return down, right, np.float32(np.tile(tints, len(tiles)))[nearest], inside


def halos(tone: Plane) -> Plane:
    """Give bands, -1 to 1, that run round lights, shadows and edges as van Gogh's strokes do."""
    wide = cv2.GaussianBlur(tone, (0, 0), 7)
    edges = cv2.GaussianBlur(np.clip(3 * steepness(tone, 2), 0, 1), (0, 0), 9)
    banded: Plane = np.cos(2 * np.pi * (6 * wide + 4 * np.sqrt(edges)))
    return banded


def calm(image: Image, gain: float, least: float) -> Plane:
    """Say where nothing is that a pattern would hide: 1 there, `least` on eyes and mouths."""
    busy = steepness(grey_of(flattened(image, 1, 9, 40)), 4)
    return np.clip(1.1 - gain * busy, least, 1)


def detailed(laid: Colours, image: Image, gain: float, most: float) -> Colours:
    """Show the picture itself, up to a share, where it has edges: dabs alone would be no face."""
    share = most * np.clip(gain * steepness(grey_of(image), 2.5), 0, 1)[..., None]
    shown: Colours = laid * (1 - share) + share * light_of(image)
    return shown
