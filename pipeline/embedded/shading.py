"""What the styles that are drawn by rule are made of: tones, edges, inks and flat colours.

All work on pictures of 512 × 512 and are local: none knows of the whole picture's brightness.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # [h, w, 3] RGB
Plane = NDArray[np.float32]  # [h, w], 0 .. 1
Colours = NDArray[np.float32]  # [h, w, 3], 0 .. 1


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
