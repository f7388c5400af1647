"""Styles that are painted by rule: patches of colour, palettes, dark contours.

As `filters.py`, which says what all of them share. A palette is a ramp from dark to light.
"""

import cv2
import numpy as np

from pipeline.embedded.shading import (
    Image,
    as_bytes,
    calm,
    contours,
    dabs,
    detailed,
    flattened,
    grey_of,
    halos,
    inked,
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


def oil(image: Image) -> Image:
    """Paint in oils: slanting strokes of rich colour, thick enough to throw shadows."""
    patches = painted(image, 8, 4)
    laid, inside = dabs(patches, 1, 4)
    light = light_of(stronger(as_bytes(detailed(laid, patches, 4, 0.75)), 1.4, 1.05))
    rich = light + 0.35 * (light - 0.5) * (1 - np.abs(2 * light - 1))
    _, lit, _ = relief(patches, 1.5, 4)
    thick = (0.72 + 0.36 * lit) * (0.84 + 0.22 * np.sqrt(inside))
    varnish = np.float32([1.06, 0.94, 0.70])
    return as_bytes((0.04 + rich * varnish) * thick[..., None])


def starry(image: Image) -> Image:
    """Paint a starry night: blues up to pale yellow in bands round every form."""
    patches = painted(image, 8, 6)
    tone = cv2.GaussianBlur(tone_of(patches, 1.3), (0, 0), 1.5)
    strokes = halos(tone) * calm(image, 7, 0.25)
    level = np.clip(0.9 * tone + 0.1 * strokes, 0, 1)
    night = ramp(level, (8, 12, 58), (18, 42, 130), (38, 92, 178), (92, 156, 200), (226, 204, 110),
                 (255, 240, 170))  # fmt: skip
    gold = (1.3 * warmth(patches, 0.05, 3) * np.clip(tone - 0.35, 0, 1))[..., None]
    night = night * (1 - gold) + gold * np.float32([0.98, 0.80, 0.34])
    lines = inked(flattened(image, 1, 9, 40), 2, 5)
    return as_bytes(outlined(night * (1 + 0.15 * strokes[..., None]), lines, (8, 13, 51)))


def impressionist(image: Image) -> Image:
    """Paint a morning: lavender shadows, golden light, dabs of warmer and cooler tints."""
    patches = painted(image, 6)
    laid, inside = dabs(patches, 2, 2, 0.2)
    light = detailed(laid, patches, 3, 0.7)
    grey = light.mean(-1, keepdims=True)
    vivid = 0.16 + 0.9 * np.clip(grey + (light - grey) * 2.2, 0, 1)
    dawn = ramp(tone_of(as_bytes(light), 1.2), (62, 48, 142), (104, 106, 206), (190, 160, 220),
                (255, 204, 150), (255, 243, 190))  # fmt: skip
    return as_bytes(0.5 * (dawn + vivid) * (0.84 + 0.22 * inside[..., None]))


def expressionist(image: Image) -> Image:
    """Paint boldly: burning skin, cold shadows, slanting strokes, heavy contours."""
    patches = painted(image, 8, 6)
    tone = cv2.GaussianBlur(tone_of(patches, 1.35), (0, 0), 1.5)
    y, x = np.mgrid[: len(image), : image.shape[1]].astype(np.float32)
    strokes = np.cos(2 * np.pi * (x + y) / 16)
    level = np.clip(tone + 0.11 * strokes * calm(image, 6, 0.2), 0, 1)
    hot = ramp(level, (40, 0, 40), (120, 10, 60), (214, 30, 30), (244, 120, 20), (255, 196, 40),
               (255, 236, 130))  # fmt: skip
    cold = ramp(level, (14, 10, 70), (10, 50, 150), (0, 120, 130), (80, 180, 90), (240, 210, 50),
                (255, 240, 140))  # fmt: skip
    share = warmth(patches, -0.02, 5)[..., None]
    lines = inked(flattened(image, 2, 9, 40), 2.4, 7)
    return as_bytes(outlined(cold * (1 - share) + share * hot, lines, (10, 4, 18)))


def fauvist(image: Image) -> Image:
    """Paint wildly: dabs, green shadows, pink light, blue contours."""
    patches = painted(image, 8, 6)
    laid, inside = dabs(patches, 1, 1.6)
    light = as_bytes(detailed(laid, patches, 4, 1))
    tone = cv2.GaussianBlur(tone_of(light, 1.3), (0, 0), 1)
    wild = ramp(tone, (10, 60, 60), (0, 120, 90), (70, 180, 80), (250, 110, 130), (255, 170, 150),
                (255, 236, 190))  # fmt: skip
    vivid = light_of(stronger(light, 2.6, 1.1, 40)) + 0.08
    thick = (0.80 + 0.26 * np.sqrt(inside))[..., None]
    lines = 0.8 * inked(flattened(image, 2, 9, 40), 2, 4)
    return as_bytes(outlined((0.75 * wild + 0.32 * vivid) * thick, lines, (20, 30, 120)))


def inferno(image: Image) -> Image:
    """Set it on fire: edges burn, flames rise from them."""
    tone = tone_of(painted(flattened(image, 2, 11, 50), 6), 1.25)
    edges = np.clip(steepness(tone, 2) * 3.2 - 0.08, 0, 1)
    reach = 32  # pixels that a flame rises
    flame = np.zeros((2 * reach + 1, 1), np.float32)
    flame[reach:, 0] = np.linspace(1, 0, reach + 1)
    flames = cv2.GaussianBlur(cv2.filter2D(edges, -1, flame / flame.sum()), (0, 0), 2)
    heat = np.clip(0.62 * edges + 0.75 * flames + 0.62 * tone**1.6 + 0.04, 0, 1)
    return as_bytes(ramp(heat, (10, 0, 2), (88, 6, 4), (190, 36, 4), (250, 120, 10),
                         (255, 206, 60), (255, 250, 196)))  # fmt: skip


def frost(image: Image) -> Image:
    """Freeze it: pale and blue, white rime along the edges."""
    patches = painted(image, 6)
    tone = cv2.GaussianBlur(tone_of(patches, 1.2), (0, 0), 1)
    cold = ramp(0.14 + 0.86 * tone, (24, 52, 92), (92, 148, 190), (176, 214, 234),
                (226, 242, 250), (255, 255, 255))  # fmt: skip
    light = light_of(patches)
    edges = np.clip(steepness(grey_of(image), 1.6) * 4 - 0.08, 0, 1)
    rime = np.clip(edges + 0.7 * cv2.GaussianBlur(edges, (0, 0), 5), 0, 1)
    tinted = cold + 0.35 * (light - light.mean(-1, keepdims=True))
    return as_bytes(outlined(tinted, 0.8 * rime, (247, 252, 255)))


def watercolour(image: Image) -> Image:
    """Wash: pale colours that end in white paper, pigment gathered at their borders."""
    smooth = cv2.edgePreservingFilter(image, flags=1, sigma_s=30, sigma_r=0.3)
    wet = light_of(smooth)
    grey = wet.mean(-1, keepdims=True)
    vivid = np.clip(grey + (wet - grey) * 3, 0, 1)
    paper = np.clip(1.9 * tone_of(smooth, 1.2) - 0.75, 0, 1)[..., None]
    wash = 0.30 + 0.70 * vivid**0.85
    washed = wash * (1 - paper) + paper * np.float32([0.99, 0.98, 0.95])
    pigment = inked(smooth, 2, 5)[..., None]
    return as_bytes(washed * (1 - 0.55 * pigment * (1 - 0.5 * vivid)))


def inkwash(image: Image) -> Image:
    """Paint with ink and water on rice paper: pale washes that pool, broad brush lines."""
    flat = cv2.medianBlur(flattened(image, 1, 11, 60), 9)
    tone = cv2.GaussianBlur(tone_of(painted(flat, 8), 1.15), (0, 0), 3)
    pools = np.clip(2 * steepness(tone, 3) - 0.05, 0, 0.35)
    brush = cv2.GaussianBlur(contours(flat, 3), (0, 0), 1.2)
    drawn = np.clip(0.24 + 1.25 * tone, 0, 1) * (1 - pools) * (1 - np.clip(1.25 * brush, 0, 0.95))
    paper, ink = np.float32([0.97, 0.92, 0.80]), np.float32([0.05, 0.08, 0.15])
    return as_bytes(ink + (paper - ink) * drawn[..., None])
