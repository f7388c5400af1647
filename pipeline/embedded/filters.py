"""Styles that are drawn, printed and lit by rule: what OpenCV and some arithmetic can teach.

Each takes an RGB picture of 512 × 512 and gives one of the same size. All are local and know
nothing of the whole picture's brightness, so they do not pump when something bright walks in; what
repeats (dots, lines, blocks) repeats every 8, 16 or 64 pixels, which after halving is half a
latent, one or four: the network cannot know where on the screen it is, but it can know that.
"""

from collections.abc import Callable

import cv2
import numpy as np

from pipeline.embedded.paintings import (
    expressionist,
    fauvist,
    frost,
    impressionist,
    inferno,
    inkwash,
    oil,
    starry,
    watercolour,
)
from pipeline.embedded.shading import (
    Image,
    Plane,
    as_bytes,
    calm,
    contours,
    flattened,
    grey_of,
    inked,
    inks_of,
    levels_of,
    light_of,
    outlined,
    painted,
    ramp,
    relief,
    steepness,
    stronger,
    tone_of,
    warmth,
)


def pencil(image: Image) -> Image:
    """Draw with graphite: the picture divided by its own blurred negative, shadows hatched."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    light = cv2.GaussianBlur(255 - grey, (0, 0), 7)
    drawn = cv2.divide(grey, np.maximum(255 - light, 1), scale=245)
    drawn = (drawn.astype(np.float32) / 255) ** 2.2
    dark = 1 - tone_of(flattened(image, 1, 9, 40), 1.25)
    stroke, _ = _strokes(*dark.shape)
    hatched = np.clip((dark * 1.1 - 1 + stroke) * 2 + 0.3, 0, 1) * np.clip(dark * 4 - 1.2, 0, 1)
    return as_bytes(np.repeat((drawn * (1 - 0.45 * hatched))[..., None], 3, -1))


def comic(image: Image) -> Image:
    """Print a comic: loud flat colours of dots on yellowed paper, shadows and outlines in ink."""
    flat = flattened(image, 3, 9, 40)
    tone = cv2.GaussianBlur(tone_of(flat, 1.25), (0, 0), 2)
    shade = (0.72 + 0.45 * np.clip((tone - 0.4) * 3, 0, 1)) / np.maximum(grey_of(flat), 0.2)
    loud = light_of(stronger(flat, 1.7, 1, 14)) * np.clip(shade, 0.5, 2.2)[..., None]
    # each colour is its dots on the paper: the lighter, the more of the paper shows
    paper = np.float32([1.0, 0.96, 0.82])
    dot = np.clip((0.36 + 0.3 * (1 - tone) - _dots(*tone.shape)) * 6 + 0.5, 0, 1)[..., None]
    printed = np.maximum(0.45 * loud, 0.82 * paper * loud.mean(-1, keepdims=True) + 0.16)
    printed = printed * (1 - dot) + 0.92 * loud * dot
    ink = np.maximum(inked(flat, 2.2, 9), np.clip((0.10 - tone) * 7, 0, 1))
    return as_bytes(outlined(printed, ink, (8, 6, 12)))


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
    dim = light_of(image) * np.float32([0.10, 0.05, 0.22])
    return as_bytes(dim + lines * 1.3 + glow)


def duotone(image: Image) -> Image:
    """Print in two inks: violet where it is dark, orange where it is light."""
    return as_bytes(ramp(tone_of(image, 1.4), (46, 10, 110), (134, 54, 110), (255, 158, 70)))


def moonlight(image: Image) -> Image:
    """Turn day into a blue night: dark, cold, lights kept."""
    light = light_of(image)
    grey = light.mean(-1, keepdims=True)
    cold = (0.35 * light + 0.65 * grey) ** 1.6 * np.float32([0.32, 0.52, 1.0])
    moon = np.clip(grey - 0.72, 0, 1) * np.float32([0.9, 1.0, 0.9])
    return as_bytes(cold * 1.25 + moon)


def pixel(image: Image) -> Image:
    """Build the picture of small blocks in few strong colours, dithered as on an old console."""
    height, width = image.shape[:2]
    small = cv2.resize(image, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    crisp = cv2.addWeighted(small, 1.8, cv2.GaussianBlur(small, (0, 0), 1.2), -0.8, 0)
    y, x = np.mgrid[: height // 8, : width // 8] % 2
    threshold = (np.float32([[0, 2], [3, 1]]) / 4 - 0.375)[y, x][..., None]
    few = np.round(4 * light_of(stronger(crisp, 1.6, 1.1, 14)) + 0.7 * threshold) / 4
    return as_bytes(cv2.resize(few, (width, height), interpolation=cv2.INTER_NEAREST))


def blueprint(image: Image) -> Image:
    """Trace white lines on blue drafting paper with a grid."""
    grey = grey_of(image)
    y, x = np.mgrid[: grey.shape[0], : grey.shape[1]]
    grid = (((x % 64) < 2) | ((y % 64) < 2)).astype(np.float32)[..., None] * 0.14
    paper = np.float32([0.05, 0.20, 0.55]) * (0.75 + 0.45 * grey[..., None])
    lines = np.clip(steepness(grey, 1.6) * 5.5 - 0.06, 0, 1)[..., None] ** 0.8
    return as_bytes(paper + grid + lines * np.float32([0.85, 0.92, 1.0]))


def chalkboard(image: Image) -> Image:
    """Draw with chalk on a green board: bright edges, bright areas rubbed in with strokes."""
    flat = flattened(image, 1, 9, 30)
    lines = np.clip(steepness(grey_of(flat), 1.8) * 6 - 0.05, 0, 1)
    stroke, _ = _strokes(*lines.shape)
    bright = tone_of(flat, 1.2)
    rubbed = np.clip((bright - 0.95 + stroke) * 2 + 0.2, 0, 1) * np.clip(bright * 3 - 1.2, 0, 1)
    chalk = np.clip(lines + 0.5 * rubbed, 0, 1)[..., None]
    light = light_of(image)
    tint = np.clip(0.92 + (light - light.mean(-1, keepdims=True)) * 1.3, 0, 1)
    return as_bytes(np.float32([0.10, 0.19, 0.15]) * (1 - chalk) + tint * chalk * 0.95)


def gold(image: Image) -> Image:
    """Cast a golden statue: brightness as relief, lit from the upper left."""
    grey, lit, shine = relief(image, 2.2, 9)
    shade = np.clip(0.22 + 0.55 * grey + 0.55 * (lit - 0.55), 0, 1)
    metal = ramp(shade, (38, 18, 4), (128, 76, 14), (222, 164, 44), (255, 226, 130),
                  (255, 250, 225))  # fmt: skip
    return as_bytes(metal + (shine**24)[..., None] * 0.35)


def clay(image: Image) -> Image:
    """Model in clay: soft round forms in matt colours."""
    flat = painted(flattened(image, 3, 11, 45), 8)
    _, lit, shine = relief(flat, 4, 13)
    hsv = cv2.cvtColor(cv2.GaussianBlur(flat, (0, 0), 2), cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 1] = np.clip(hsv[..., 1] * 1.3 + 25, 0, 190)
    hsv[..., 2] = np.clip(hsv[..., 2] * 0.62 + 96, 0, 250)
    colour = light_of(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB))
    return as_bytes(colour * (0.50 + 0.78 * lit[..., None]) + (shine**16)[..., None] * 0.20)


def thermal(image: Image) -> Image:
    """Show heat: brightness as the false colours of a thermal camera."""
    warmth = cv2.GaussianBlur(tone_of(image, 1.3), (0, 0), 2.5)
    return as_bytes(ramp(warmth, (6, 0, 40), (60, 0, 150), (170, 20, 140), (240, 80, 40),
                        (255, 190, 20), (255, 255, 190)))  # fmt: skip


def poster(image: Image) -> Image:
    """Print a campaign poster: flat inks, navy, red, cream, lines between the light ones."""
    flat = flattened(image, 2, 11, 50)
    printed = inks_of(flat, (0, 40, 70), (206, 26, 36), (112, 152, 164), (252, 228, 168))
    level = levels_of(flat, 1.35, 4)
    lined = np.clip(1 - np.abs(level - 3) / 0.6, 0, 1)
    rows = np.arange(len(image), dtype=np.float32)[:, None]
    line = np.clip((lined * 0.5 - np.abs(rows / 16 % 1 - 0.5)) * 9 + 0.5, 0, 1) * (lined > 0)
    return as_bytes(outlined(printed, line, (40, 92, 122)))


def noir(image: Image) -> Image:
    """Shoot black and white film with hard light."""
    hard = 1 / (1 + np.exp(-(tone_of(image, 1.2) - 0.47) * 9))
    return as_bytes(np.repeat(hard[..., None], 3, -1))


def sepia(image: Image) -> Image:
    """Age a photograph: soft, faded, brown."""
    faded = 0.10 + 0.84 * cv2.GaussianBlur(tone_of(image), (0, 0), 1.2)
    return as_bytes(ramp(faded, (40, 24, 12), (124, 86, 50), (206, 168, 112), (250, 232, 196)))


def halftone(image: Image) -> Image:
    """Print a newspaper: black dots whose size is the darkness."""
    tone = tone_of(image, 1.2)
    height, width = tone.shape
    cells = cv2.resize(tone, (width // 8, height // 8), interpolation=cv2.INTER_AREA)
    cells = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR)
    radius = np.sqrt(np.clip(1 - cells, 0, 1)) * 0.64
    ink = np.clip((radius - _dots(height, width)) * 7 + 0.5, 0, 1)[..., None]
    return as_bytes(
        np.float32([0.92, 0.88, 0.80]) * (1 - ink) + np.float32([0.26, 0.23, 0.26]) * ink
    )


def phosphor(image: Image) -> Image:
    """Show it on an old green screen: scan lines and glow."""
    tone = tone_of(image, 1.3)
    edges = np.clip(steepness(tone, 1) * 2.5 - 0.1, 0, 1)
    beam = np.clip(0.12 + 0.72 * tone**1.3 + 0.35 * edges, 0, 1)
    rows = np.arange(len(tone), dtype=np.float32)[:, None]
    lines = 0.70 + 0.30 * np.cos(rows * (2 * np.pi / 8))
    glow = cv2.GaussianBlur(beam, (0, 0), 5)
    return as_bytes(ramp(np.clip(beam * lines + 0.3 * glow, 0, 1), (0, 10, 4), (0, 74, 24),
                        (20, 190, 60), (130, 255, 140), (235, 255, 225)))  # fmt: skip


def stained(image: Image) -> Image:
    """Set it in stained glass: jewels lit from behind, black lead along edges and round panes."""
    flat = painted(flattened(image, 3, 13, 60), 8)
    loud = light_of(stronger(flat, 2.4, 1, 60))
    hue = loud / np.maximum(loud.max(-1, keepdims=True), 0.05)
    # panes end where brightness passes a sixth, a half and five sixths, but not across skin
    wide = 3 * cv2.GaussianBlur(tone_of(flat, 1.3), (0, 0), 14)
    slope = np.hypot(cv2.Sobel(wide, cv2.CV_32F, 1, 0), cv2.Sobel(wide, cv2.CV_32F, 0, 1)) / 8
    pixels_away = np.abs(wide % 1 - 0.5) / np.maximum(slope, 0.012)
    skin = warmth(flat, 0.06, 4)
    between = np.clip(1.8 - pixels_away / 2, 0, 1) * (1 - skin)
    lead = np.clip(np.maximum(inked(flat, 2, 7), between), 0, 1)
    lit = (0.50 + 0.72 * tone_of(image, 1.3)) * (1.1 - 0.35 * cv2.GaussianBlur(lead, (0, 0), 7))
    # small diamonds, as old windows have them: larger ones the network could not place
    net = np.clip((np.maximum(*_strokes(*wide.shape)) - 0.78) * 6, 0, 0.9)
    lead = np.maximum(lead, net * calm(image, 9, 0) * (1 - 0.6 * skin))
    return as_bytes(outlined(hue * lit[..., None], lead, (10, 8, 12)))


def engraving(image: Image) -> Image:
    """Engrave a plate: hatched where it is dark, crosshatched where it is darker."""
    dark = 1 - tone_of(flattened(image, 1, 9, 40), 1.25)
    one, other = _strokes(*dark.shape)
    hatched = np.clip((dark * 1.15 - 1 + one) * 3.2 + 0.35, 0, 1) * np.clip(dark * 6 - 0.6, 0, 1)
    crossed = np.clip((dark * 1.9 - 1.95 + other) * 3.2 + 0.35, 0, 1)
    crossed *= np.clip(dark * 6 - 2.6, 0, 1)
    ink = np.maximum(np.maximum(hatched, crossed), contours(image, 1.8))[..., None]
    return as_bytes(
        np.float32([0.92, 0.85, 0.70]) * (1 - ink) + np.float32([0.36, 0.25, 0.17]) * ink
    )


def woodblock(image: Image) -> Image:
    """Print from wood: flat inks from navy to cream, one of red, grain, carved outlines."""
    flat = flattened(image, 3, 11, 50)
    printed = inks_of(flat, (30, 46, 88), (92, 128, 150), (196, 200, 176), (240, 228, 194))
    tone = 0.45 + 0.75 * printed.mean(-1, keepdims=True)
    share = 0.75 * warmth(flat, 0.12, 5)[..., None]
    printed = printed * (1 - share) + share * np.float32([0.86, 0.42, 0.30]) * tone
    rows = np.arange(len(image), dtype=np.float32)[:, None, None]
    grain = 1 - 0.06 * (np.cos(rows * (2 * np.pi / 16)) > 0.2)
    return as_bytes(outlined(printed * grain, inked(flat, 1.6, 6), (25.5, 35.7, 71.4)))


def mosaic(image: Image) -> Image:
    """Lay small square stones in dark mortar, each lit from the upper left.

    Each shows something of what it covers, or a face of thirty stones would be none.
    """
    height, width = image.shape[:2]
    flat = flattened(image, 2, 9, 40)
    crisp = cv2.addWeighted(flat, 1.7, cv2.GaussianBlur(flat, (0, 0), 8), -0.7, 0)
    shown = light_of(stronger(crisp, 1.6, 1.12, 20)) + 0.1
    small = cv2.resize(shown, (width // 16, height // 16), interpolation=cv2.INTER_AREA)
    stones = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
    y, x = np.mgrid[:height, :width].astype(np.float32) % 16
    edge = np.minimum(np.minimum(x, 15 - x), np.minimum(y, 15 - y))
    stone = np.clip((edge + 0.2) / 1.6, 0, 1)[..., None]
    lit = (1.16 - 0.24 * (x + y) / 32)[..., None]
    laid = (0.6 * stones + 0.4 * shown) * lit
    return as_bytes(laid * stone + np.float32([0.22, 0.19, 0.17]) * (1 - stone))


def popart(image: Image) -> Image:
    """Print pop art: loud flat inks, dots between them, black outlines."""
    flat = flattened(image, 2, 11, 50)
    printed = inks_of(flat, (60, 20, 120), (240, 40, 130), (255, 205, 40), (250, 246, 236))
    between = np.clip(1 - np.abs(levels_of(flat, 1.3, 4) - 3.1) / 0.55, 0, 1)[..., None]
    away = _dots(*image.shape[:2])[..., None]
    ink = np.clip((0.42 * between - away) * 7 + 0.5, 0, 1) * (between > 0)
    printed = printed * (1 - ink) + ink * np.float32([0.05, 0.70, 0.80])
    return as_bytes(outlined(printed, inked(flat, 1.8, 8), (15.3, 10.2, 25.5)))


def golden(image: Image) -> Image:
    """Light it by a low sun: warm, soft, blooming highlights."""
    light = light_of(image)
    bloom = np.clip(cv2.GaussianBlur(light, (0, 0), 14) - 0.3, 0, 1) * np.float32([1.0, 0.7, 0.3])
    return as_bytes(light**1.1 * np.float32([1.22, 0.92, 0.55]) + 0.5 * bloom)


def psychedelic(image: Image) -> Image:
    """Run brightness round the rainbow, from magenta over blue, green and yellow to pink."""
    grey = cv2.GaussianBlur(tone_of(image, 1.2), (0, 0), 2)
    return as_bytes(ramp(grey, (120, 0, 130), (30, 20, 220), (0, 190, 220), (40, 220, 60),
                        (250, 230, 20), (255, 120, 30), (255, 90, 200)))  # fmt: skip


FILTERS: dict[str, Callable[[Image], Image]] = {
    f.__name__: f
    for f in (
        pencil, comic, oil, starry, popart, woodblock, engraving, impressionist, expressionist,
        inferno, frost, fauvist, mosaic, neon, watercolour, duotone, moonlight, pixel, blueprint,
        chalkboard, gold, clay, thermal, poster, noir, sepia, halftone, phosphor, stained, inkwash,
        golden, psychedelic,
    )
}  # fmt: skip

HARDEST = frozenset(  # to learn, so drawn twice as often
    ("pencil", "comic", "oil", "starry", "popart", "woodblock", "expressionist", "fauvist",
     "watercolour", "pixel", "stained", "impressionist", "mosaic", "poster", "chalkboard")
)  # fmt: skip

ON_A_GRID = frozenset(
    ("pencil", "comic", "chalkboard", "poster", "stained", "oil", "pixel", "blueprint", "halftone",
     "phosphor", "engraving", "woodblock", "mosaic", "popart", "impressionist", "expressionist",
     "fauvist")
)  # fmt: skip


def _strokes(height: int, width: int) -> tuple[Plane, Plane]:
    """Give slanting strokes of both directions, 16 pixels apart: 1 in their middle, 0 between."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    one, other = (np.abs(line / 16 % 1 - 0.5) * 2 for line in (x + y, x - y))
    return one, other


def _dots(height: int, width: int) -> Plane:
    """Say how far from the middle of its dot each pixel is, 0 to 0.7; dots are 11 pixels apart."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    away: Plane = np.hypot((x + y) / 16 % 1 - 0.5, (x - y) / 16 % 1 - 0.5)
    return away
