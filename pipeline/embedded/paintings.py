"""Styles that are painted by rule: patches of colour, palettes, dark contours.

As `filters.py`, which says what all of them share. A palette is a ramp from dark to light.
"""

import cv2
import numpy as np

from pipeline.embedded.shading import (
    Image,
    as_bytes,
    contours,
    flattened,
    grey_of,
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
    """Paint in oils: patches of warm and rich colour, thick enough to throw shadows."""
    patches = painted(image, 8, 6)
    rich = light_of(stronger(patches, 1.5)) ** 1.15
    rich = rich + 0.45 * (rich - 0.5) * (1 - np.abs(2 * rich - 1))
    _, lit, _ = relief(patches, 1.5, 5)
    y, x = np.mgrid[: len(image), : image.shape[1]].astype(np.float32) * (2 * np.pi / 16)
    canvas = 1 + 0.05 * (np.cos(x) * (np.cos(y) > 0) + np.cos(y) * (np.cos(x) > 0))
    varnish = np.float32([1.08, 0.92, 0.66])
    return as_bytes(rich * varnish * ((0.62 + 0.62 * lit) * canvas)[..., None])


def starry(image: Image) -> Image:
    """Paint a starry night: blues up to pale yellow, lights that glow, dark contours."""
    patches = painted(image, 8, 6)
    tone = cv2.GaussianBlur(tone_of(patches, 1.3), (0, 0), 1.5)
    night = ramp(tone, (8, 12, 48), (16, 38, 120), (38, 92, 178), (96, 160, 196), (236, 206, 96),
                 (255, 244, 190))  # fmt: skip
    gold = (1.3 * warmth(patches, 0.05, 3) * np.clip(tone - 0.35, 0, 1))[..., None]
    night = night * (1 - gold) + gold * np.float32([0.98, 0.80, 0.34])
    glow = cv2.GaussianBlur(np.clip(tone - 0.72, 0, 1), (0, 0), 12)[..., None]
    lines = inked(flattened(image, 1, 9, 40), 2, 5)
    return as_bytes(outlined(night + glow * np.float32([1.6, 1.3, 0.3]), lines, (8, 13, 51)))


def impressionist(image: Image) -> Image:
    """Paint a morning: lavender shadows, golden light, dabs of a warmer tint between cooler."""
    patches = painted(image, 8)
    light = light_of(patches)
    grey = light.mean(-1, keepdims=True)
    vivid = 0.14 + 0.92 * np.clip(grey + (light - grey) * 1.9, 0, 1)
    dawn = ramp(tone_of(patches, 1.2), (52, 48, 122), (96, 104, 186), (176, 160, 210),
                (250, 200, 160), (255, 240, 196))  # fmt: skip
    y, x = np.mgrid[: len(image), : image.shape[1]].astype(np.float32) * (2 * np.pi / 16)
    dabs = np.clip(2.2 * np.cos(x + y) * np.cos(x - y), -1, 1)[..., None]
    return as_bytes(
        0.5 * (dawn + vivid) * (1 + 0.12 * dabs) + dabs * np.float32([0.05, 0.015, -0.05])
    )


def expressionist(image: Image) -> Image:
    """Paint boldly: cold shadows, burning skin, heavy contours."""
    patches = painted(image, 8, 6)
    tone = cv2.GaussianBlur(tone_of(patches, 1.35), (0, 0), 1.5)
    cold = ramp(tone, (18, 10, 60), (30, 50, 170), (20, 130, 150), (240, 150, 30), (255, 214, 60),
                (255, 240, 170))  # fmt: skip
    hot = ramp(tone, (60, 0, 40), (170, 20, 30), (230, 70, 30), (250, 150, 60), (255, 214, 120))
    share = 0.8 * warmth(patches, 0.06, 3.4)[..., None]
    lines = inked(flattened(image, 2, 9, 40), 2.2, 6.5)
    return as_bytes(outlined(cold * (1 - share) + share * hot, lines, (13, 5, 26)))


def fauvist(image: Image) -> Image:
    """Paint wildly: green and blue shadows, orange light, blue contours."""
    patches = painted(image, 8, 6)
    tone = cv2.GaussianBlur(tone_of(patches, 1.3), (0, 0), 1.5)
    wild = ramp(tone, (8, 30, 90), (0, 110, 110), (60, 170, 70), (250, 120, 60), (255, 190, 70),
                (255, 240, 150))  # fmt: skip
    vivid = light_of(stronger(patches, 2.6, 1.1, 40)) + 0.08
    return as_bytes(
        outlined(0.6 * wild + 0.45 * vivid, inked(flattened(image, 2, 9, 40), 2, 5), (15, 15, 130))
    )


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
    """Paint with ink and water on rice paper: a few greys, dark brush lines."""
    flat = cv2.medianBlur(flattened(image, 1, 11, 60), 9)
    grey = tone_of(flat, 1.2)
    wash = cv2.GaussianBlur(
        np.clip(0.60 * np.round(grey * 5) / 5 + 0.6 * grey + 0.10, 0, 1), (0, 0), 2
    )
    drawn = wash * (1 - 0.92 * cv2.GaussianBlur(contours(flat, 2.2), (0, 0), 0.8))
    paper, ink = np.float32([0.98, 0.96, 0.91]), np.float32([0.02, 0.03, 0.06])
    return as_bytes(ink + (paper - ink) * drawn[..., None])
