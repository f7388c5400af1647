"""Styles that are drawn by rule: what a filter of OpenCV and some arithmetic can teach.

Each takes an RGB picture of 512 × 512 and gives one of the same size. All are local and know
nothing of the whole picture's brightness, so they do not pump when something bright walks in; what
repeats (dots, lines, blocks) repeats every 8, 16 or 64 pixels, which after halving is half a
latent, one or four: the network cannot know where on the screen it is, but it can know that.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # [h, w, 3] RGB
Plane = NDArray[np.float32]  # [h, w], 0 .. 1
Colours = NDArray[np.float32]  # [h, w, 3], 0 .. 1


def pencil(image: Image) -> Image:
    """Draw with graphite: the picture divided by its own blurred negative."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    light = cv2.GaussianBlur(255 - grey, (0, 0), 7)
    drawn = cv2.divide(grey, np.maximum(255 - light, 1), scale=245)
    darker = np.clip((drawn.astype(np.float32) / 255) ** 2.2 * 255, 0, 255).astype(np.uint8)
    return cv2.cvtColor(darker, cv2.COLOR_GRAY2RGB)


def comic(image: Image) -> Image:
    """Flatten the colours, make them strong, ink the outlines."""
    flat = _flat(image, 3, 9, 40)
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.9 + 12, 0, 255)
    hsv[..., 2] = np.clip((np.round(hsv[..., 2] / 42) * 42) * 1.1, 0, 255)
    flat = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    grey = cv2.medianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), 7)
    edges = cv2.adaptiveThreshold(
        grey, 255, cv2.ADAPTIVE_THRESH_GAUSSIAN_C, cv2.THRESH_BINARY, 15, 4
    )
    ink = cv2.GaussianBlur(edges, (3, 3), 0)[..., None].astype(np.float32) / 255
    return (flat * (0.08 + 0.92 * ink)).astype(np.uint8)


def oil(image: Image) -> Image:
    """Paint in oils: the commonest tone of each neighbourhood, warm and rich."""
    painted = cv2.xphoto.oilPainting(image, 5, 1)  # type: ignore[attr-defined]  # contrib
    hsv = cv2.cvtColor(painted, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.5 + 10, 0, 255)
    rich = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB).astype(np.float32) / 255
    contrast = rich + 0.35 * (rich - 0.5) * (1 - np.abs(2 * rich - 1))
    return _bytes(contrast * np.float32([1.08, 0.98, 0.80]))


def neon(image: Image) -> Image:
    """Let edges glow on black, in the hue of their direction."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (0, 0), 1.5)
    dx, dy = cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)
    strength = np.clip(np.hypot(dx, dy) / 90, 0, 1)
    hue = 0.5 + 0.5 * np.cos(np.arctan2(dy, dx)[..., None] - np.float32([0.3, 2.6, 4.6]))
    colour = np.float32([1.0, 0.15, 0.9]) * hue[..., :1] + np.float32([0.1, 0.9, 1.0]) * (
        1 - hue[..., :1]
    )
    lines = strength[..., None] * colour
    glow = cv2.GaussianBlur(lines, (0, 0), 6) * 1.6
    dim = _light(image) * np.float32([0.10, 0.05, 0.22])
    return _bytes(dim + lines * 1.3 + glow)


def watercolour(image: Image) -> Image:
    """Wash: smooth areas kept apart by their edges, pale paper, pigment gathered at borders."""
    smooth = cv2.edgePreservingFilter(image, flags=1, sigma_s=30, sigma_r=0.3)
    wet = _light(smooth)
    grey = wet.mean(-1, keepdims=True)
    vivid = np.clip(grey + (wet - grey) * 2.1, 0, 1)
    border = np.clip(np.abs(_light(cv2.GaussianBlur(smooth, (0, 0), 4)) - wet) * 2.4, 0, 0.3)
    lines = cv2.GaussianBlur(_contours(image, 1.6), (0, 0), 0.8)[..., None]
    return _bytes(0.30 + 0.72 * vivid**0.9 - border - 0.35 * lines)


def duotone(image: Image) -> Image:
    """Map brightness to a ramp from violet to orange."""
    return _bytes(_ramp(_tone(image, 1.25), (42, 10, 92), (190, 30, 110), (255, 140, 40),
                        (255, 235, 170)))  # fmt: skip


def moonlight(image: Image) -> Image:
    """Turn day into a blue night: dark, cold, lights kept."""
    light = _light(image)
    grey = light.mean(-1, keepdims=True)
    cold = (0.35 * light + 0.65 * grey) ** 1.6 * np.float32([0.32, 0.52, 1.0])
    moon = np.clip(grey - 0.72, 0, 1) * np.float32([0.9, 1.0, 0.9])
    return _bytes(cold * 1.25 + moon)


def pixel(image: Image) -> Image:
    """Build the picture of small blocks, in few and strong colours."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    crisp = cv2.addWeighted(small, 1.6, cv2.GaussianBlur(small, (0, 0), 1.2), -0.6, 0)
    hsv = cv2.cvtColor(crisp, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.6 + 15, 0, 255)
    strong = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB).astype(np.float32)
    few = np.clip(np.round(strong / 51) * 51, 0, 255).astype(np.uint8)
    return cv2.resize(few, (width, height), interpolation=cv2.INTER_NEAREST)


def blueprint(image: Image) -> Image:
    """Trace white lines on blue drafting paper with a grid."""
    grey = _grey(image)
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
    grid = (((x % 64) < 2) | ((y % 64) < 2)).astype(np.float32)[..., None] * 0.14
    paper = np.float32([0.05, 0.20, 0.55]) * (0.75 + 0.45 * grey[..., None])
    lines = np.clip(_steepness(grey, 1.6) * 5.5 - 0.06, 0, 1)[..., None] ** 0.8
    return _bytes(paper + grid + lines * np.float32([0.85, 0.92, 1.0]))


def chalkboard(image: Image) -> Image:
    """Draw with chalk on a green board: bright edges, bright areas rubbed in."""
    grey = _grey(_flat(image, 1, 9, 30))
    lines = np.clip(_steepness(grey, 1.8) * 6 - 0.05, 0, 1)
    chalk = np.clip(lines + np.clip(_tone(image) - 0.5, 0, 1) * 0.7, 0, 1)[..., None]
    light = _light(image)
    tint = np.clip(0.92 + (light - light.mean(-1, keepdims=True)) * 1.3, 0, 1)
    return _bytes(np.float32([0.10, 0.19, 0.15]) * (1 - chalk) + tint * chalk * 0.95)


def gold(image: Image) -> Image:
    """Cast a golden statue: brightness as relief, lit from the upper left."""
    grey, lit, shine = _relief(image, 2.2, 9)
    shade = np.clip(0.22 + 0.55 * grey + 0.55 * (lit - 0.55), 0, 1)
    metal = _ramp(shade, (38, 18, 4), (128, 76, 14), (222, 164, 44), (255, 226, 130),
                  (255, 250, 225))  # fmt: skip
    return _bytes(metal + (shine**24)[..., None] * 0.35)


def clay(image: Image) -> Image:
    """Model in clay: flat colours on a soft relief."""
    flat = _flat(image, 3, 11, 45)
    _, lit, shine = _relief(flat, 3, 8)
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.5 + 30, 0, 210)
    hsv[..., 2] = np.clip(hsv[..., 2] * 0.72 + 70, 0, 240)
    colour = _light(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB))
    return _bytes(colour * (0.40 + 0.88 * lit[..., None]) + (shine**12)[..., None] * 0.14)


def thermal(image: Image) -> Image:
    """Show heat: brightness as the false colours of a thermal camera."""
    warmth = cv2.GaussianBlur(_tone(image, 1.3), (0, 0), 2.5)
    return _bytes(_ramp(warmth, (6, 0, 40), (60, 0, 150), (170, 20, 140), (240, 80, 40),
                        (255, 190, 20), (255, 255, 190)))  # fmt: skip


def poster(image: Image) -> Image:
    """Print a campaign poster: four flat inks from navy over red to cream."""
    return _bytes(_inks(image, (0, 40, 70), (200, 30, 40), (110, 150, 160), (250, 228, 170)))


def noir(image: Image) -> Image:
    """Shoot black and white film with hard light."""
    hard = 1 / (1 + np.exp(-(_tone(image, 1.2) - 0.47) * 9))
    return _bytes(np.repeat(hard[..., None], 3, -1))


def sepia(image: Image) -> Image:
    """Age a photograph: soft, faded, brown."""
    faded = 0.10 + 0.84 * cv2.GaussianBlur(_tone(image), (0, 0), 1.2)
    return _bytes(_ramp(faded, (40, 24, 12), (124, 86, 50), (206, 168, 112), (250, 232, 196)))


def halftone(image: Image) -> Image:
    """Print a newspaper: black dots whose size is the darkness."""
    tone = _tone(image, 1.2)
    height, width = tone.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    across, down = ((x + y) / 16) % 1 - 0.5, ((x - y) / 16) % 1 - 0.5
    cells = cv2.resize(tone, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    cells = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    radius = np.sqrt(np.clip(1 - cells, 0, 1)) * 0.72
    ink = np.clip((radius - np.hypot(across, down)) * 7 + 0.5, 0, 1)[..., None]
    return _bytes(np.float32([0.96, 0.92, 0.84]) * (1 - ink) + np.float32([0.12, 0.10, 0.14]) * ink)


def phosphor(image: Image) -> Image:
    """Show it on an old green screen: scan lines and glow."""
    tone = _tone(image, 1.2)
    beam = np.clip(0.8 * tone**1.3 + 0.5 * np.clip(_steepness(tone, 1) * 2.5, 0, 1), 0, 1)
    rows = np.arange(len(tone), dtype=np.float32)[:, None]
    lines = 0.66 + 0.34 * np.cos(rows * (2 * np.pi / 16))
    glow = cv2.GaussianBlur(beam, (0, 0), 5)
    return _bytes(_ramp(np.clip(beam * lines + 0.3 * glow, 0, 1), (0, 8, 3), (0, 70, 22),
                        (20, 190, 60), (130, 255, 140), (235, 255, 225)))  # fmt: skip


def stained(image: Image) -> Image:
    """Set it in stained glass: glowing colours between black lead."""
    flat = _flat(image, 4, 13, 60)
    hsv = cv2.cvtColor(flat, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * 2.2 + 40, 0, 255)
    hsv[..., 2] = np.clip(np.round(hsv[..., 2] / 255 * 5) / 5 * 225 + 40, 0, 255)
    glass = _light(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB))
    outline = cv2.erode(
        1 - np.clip((_steepness(_grey(flat), 1.5) - 0.1) * 9, 0, 1), np.ones((3, 3))
    )
    return _bytes(1.12 * glass * (_lead(*flat.shape[:2]) * outline)[..., None] + 0.03)


def engraving(image: Image) -> Image:
    """Engrave a plate: hatched where it is dark, crosshatched where it is darker."""
    dark = 1 - _tone(_flat(image, 1, 9, 40), 1.25)
    y, x = np.mgrid[: dark.shape[0], : dark.shape[1]].astype(np.float32)
    one, other = (np.abs(line / 16 % 1 - 0.5) * 2 for line in (x + y, x - y))
    hatched = np.clip((dark * 1.15 - 1 + one) * 3.2 + 0.35, 0, 1) * np.clip(dark * 6 - 0.6, 0, 1)
    crossed = np.clip((dark * 1.9 - 1.95 + other) * 3.2 + 0.35, 0, 1)
    crossed *= np.clip(dark * 6 - 2.6, 0, 1)
    ink = np.maximum(np.maximum(hatched, crossed), _contours(image, 1.8))[..., None]
    return _bytes(np.float32([0.93, 0.86, 0.70]) * (1 - ink) + np.float32([0.24, 0.14, 0.08]) * ink)


def woodblock(image: Image) -> Image:
    """Print from wood: flat inks from navy to cream, one of red, grain, carved outlines."""
    flat = _flat(image, 3, 11, 50)
    printed = _inks(flat, (30, 46, 88), (92, 128, 150), (196, 200, 176), (240, 228, 194))
    light = _light(flat)
    red = cv2.GaussianBlur(np.clip((light[..., 0] - light[..., 2] - 0.12) * 5, 0, 1), (0, 0), 3)
    tone = 0.45 + 0.75 * printed.mean(-1, keepdims=True)
    share = 0.75 * red[..., None]
    printed = printed * (1 - share) + share * np.float32([0.86, 0.42, 0.30]) * tone
    rows = np.arange(len(image), dtype=np.float32)[:, None, None]
    grain = 1 - 0.06 * (np.cos(rows * (2 * np.pi / 16)) > 0.2)
    lines = np.clip(_contours(flat, 2) * 1.3, 0, 1)[..., None]
    return _bytes(printed * grain * (1 - lines) + np.float32([0.10, 0.14, 0.28]) * lines)


def mosaic(image: Image) -> Image:
    """Lay small square stones in dark mortar, each a little lit from the upper left."""
    height, width = image.shape[:2]
    crisp = cv2.addWeighted(image, 1.8, cv2.GaussianBlur(image, (0, 0), 10), -0.8, 0)
    small = cv2.resize(crisp, (width // 16, height // 16), interpolation=cv2.INTER_AREA)
    hsv = cv2.cvtColor(small, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.5 + 20, 0, 255)
    hsv[..., 2] = np.clip(hsv[..., 2] + 25, 0, 255)
    colours = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    stones = _light(cv2.resize(colours, (width, height), interpolation=cv2.INTER_NEAREST))
    y, x = np.mgrid[:height, :width].astype(np.float32) % 16
    edge = np.minimum(np.minimum(x, 15 - x), np.minimum(y, 15 - y))
    stone = np.clip((edge + 0.5) / 1.6, 0, 1)[..., None]
    lit = (1.06 - 0.12 * (x + y) / 32)[..., None]
    return _bytes(stones * lit * stone + np.float32([0.16, 0.14, 0.12]) * (1 - stone))


def popart(image: Image) -> Image:
    """Print pop art: loud flat inks, dots between them, black outlines."""
    flat = _flat(image, 2, 11, 50)
    printed = _inks(flat, (60, 20, 120), (240, 40, 130), (255, 205, 40), (250, 246, 236))
    y, x = np.mgrid[: len(image), : image.shape[1]].astype(np.float32)
    dot = np.hypot((x + y) / 16 % 1 - 0.5, (x - y) / 16 % 1 - 0.5)
    level = np.clip(cv2.GaussianBlur(_tone(flat, 1.3), (0, 0), 2), 0, 0.999) * 4
    between = np.clip(1 - np.abs(level - 3.1) / 0.55, 0, 1)
    ink = np.clip((0.42 * between - dot) * 7 + 0.5, 0, 1)[..., None] * (between > 0)[..., None]
    printed = printed * (1 - ink) + ink * np.float32([0.05, 0.70, 0.80])
    lines = np.clip(_contours(flat, 2.2) * 1.2, 0, 1)[..., None]
    return _bytes(printed * (1 - lines) + np.float32([0.06, 0.04, 0.10]) * lines)


def inkwash(image: Image) -> Image:
    """Paint with ink and water on rice paper: a few greys, dark brush lines."""
    flat = cv2.medianBlur(_flat(image, 1, 11, 60), 9)
    grey = _tone(flat, 1.2)
    wash = cv2.GaussianBlur(
        np.clip(0.60 * np.round(grey * 5) / 5 + 0.6 * grey + 0.10, 0, 1), (0, 0), 2
    )
    drawn = wash * (1 - 0.92 * cv2.GaussianBlur(_contours(flat, 2.2), (0, 0), 0.8))
    paper, ink = np.float32([0.98, 0.96, 0.91]), np.float32([0.02, 0.03, 0.06])
    return _bytes(ink + (paper - ink) * drawn[..., None])


def golden(image: Image) -> Image:
    """Light it by a low sun: warm, soft, blooming highlights."""
    light = _light(image)
    bloom = np.clip(cv2.GaussianBlur(light, (0, 0), 14) - 0.3, 0, 1) * np.float32([1.0, 0.7, 0.3])
    return _bytes(light**1.1 * np.float32([1.22, 0.92, 0.55]) + 0.5 * bloom)


def psychedelic(image: Image) -> Image:
    """Run brightness round the rainbow, from magenta over blue, green and yellow to pink."""
    grey = cv2.GaussianBlur(_tone(image, 1.2), (0, 0), 2)
    return _bytes(_ramp(grey, (120, 0, 130), (30, 20, 220), (0, 190, 220), (40, 220, 60),
                        (250, 230, 20), (255, 120, 30), (255, 90, 200)))  # fmt: skip


FILTERS: dict[str, Callable[[Image], Image]] = {
    f.__name__: f
    for f in (
        pencil, comic, oil, neon, watercolour, duotone, moonlight, pixel, blueprint, chalkboard,
        gold, clay, thermal, poster, noir, sepia, halftone, phosphor, stained, inkwash, golden,
        psychedelic, engraving, woodblock, mosaic, popart,
    )
}  # fmt: skip

ON_A_GRID = frozenset(
    ("pixel", "blueprint", "halftone", "phosphor", "stained", "engraving", "woodblock", "mosaic",
     "popart")
)  # fmt: skip


def _bytes(image: NDArray[np.float32]) -> Image:
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


def _light(image: Image) -> Colours:
    return image.astype(np.float32) / np.float32(255)


def _grey(image: Image) -> Plane:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / np.float32(255)


def _tone(image: Image, contrast: float = 1.1) -> Plane:
    """Brightness with more contrast against its surroundings: dark faces before bright walls."""
    grey = _grey(image)
    around = cv2.GaussianBlur(grey, (0, 0), 28)
    return np.clip(0.5 + (grey - 0.5) * contrast + 0.45 * (grey - around), 0, 1)


def _flat(image: Image, times: int, reach: int, step: float) -> Image:
    """Smooth areas, keep edges."""
    for _ in range(times):
        image = cv2.bilateralFilter(image, reach, step, 9)
    return image


def _steepness(grey: Plane, blur: float) -> Plane:
    soft = cv2.GaussianBlur(grey, (0, 0), blur)
    return np.hypot(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))


def _contours(image: Image, width: float) -> Plane:
    """Dark lines at edges: a difference of Gaussians, kept where it is dark (XDoG)."""
    grey = _grey(image)
    narrow, wide = (cv2.GaussianBlur(grey, (0, 0), s) for s in (width, 1.6 * width))
    return np.clip((0.98 * wide - narrow) * 26, 0, 1)


def _relief(image: Image, blur: float, depth: float) -> tuple[Plane, Plane, Plane]:
    """Give brightness, diffuse light and shine of the picture taken as a height map."""
    height = cv2.GaussianBlur(_tone(image), (0, 0), blur)
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


def _ramp(level: Plane, *stops: tuple[int, int, int]) -> Colours:
    """Map 0 .. 1 to a ramp of evenly spaced RGB colours."""
    colours = np.float32(stops) / 255
    at = np.linspace(0, 1, len(colours))
    return np.stack([np.interp(level, at, colours[:, c]) for c in range(3)], -1).astype(np.float32)


def _inks(image: Image, *inks: tuple[int, int, int]) -> Colours:
    """Print brightness in four flat inks, dark to light."""
    level = np.clip(cv2.GaussianBlur(_tone(image, 1.35), (0, 0), 2), 0, 0.999) * len(inks)
    colours = np.float32(inks) / 255
    printed = np.broadcast_to(colours[0], image.shape).astype(np.float32)
    for step, ink in enumerate(colours[1:], start=1):
        over = np.clip((level - step) * 9 + 0.5, 0, 1)[..., None]
        printed = printed * (1 - over) + ink * over
    return printed


def _lead(height: int, width: int) -> Plane:
    """0 on the lead between diamond panes that repeat every 64 pixels, 1 on the glass."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    falling, rising = (np.abs((line + 32) % 64 - 32) for line in (x - y, x + y))
    away = np.minimum(falling, rising) / np.float32(2**0.5)
    glass: Plane = np.clip(away / 2 - 0.8, 0, 1)
    return glass
