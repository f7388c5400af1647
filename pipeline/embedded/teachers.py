"""Render what each style should look like.

python -m pipeline.embedded.teachers [--cache .cache/embedded] [--smoke] [--part 0/2]
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pipeline.embedded.filters import FILTERS
from pipeline.embedded.shading import Image
from pipeline.embedded.styles import STYLES

SIZE = 256
LARGE = 2 * SIZE  # edges and dots come out smooth when a style is drawn at twice the size


def render(image: Image) -> Image:
    """Give all styles of one large image, halved: [style, SIZE, SIZE, 3]."""
    return np.stack([halved(FILTERS[spec.teacher](image)) for spec in STYLES])


def halved(image: Image) -> Image:
    """Scale a picture to SIZE × SIZE, as models and metrics see it."""
    return cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA)


def main() -> None:
    """Render every source image; go on where the last run stopped."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--smoke", action="store_true", help="four images")
    parser.add_argument("--part", default="0/1", help="2/4: the third of four processes")
    arguments = parser.parse_args()

    sources = sorted((arguments.cache / "sources").glob("*.png"))
    if arguments.smoke:
        sources = sources[:4]
    part, parts = (int(number) for number in arguments.part.split("/"))
    sources = sources[part::parts]
    if not sources:
        raise SystemExit(f"no images in {arguments.cache / 'sources'}: run pipeline.embedded.data")
    out = arguments.cache / "styled"
    out.mkdir(parents=True, exist_ok=True)
    for path in tqdm(sources, desc="styles", unit="image"):
        target = out / f"{path.stem}.npy"
        if target.exists():
            continue
        image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        styled = render(cv2.resize(image, (LARGE, LARGE), interpolation=cv2.INTER_CUBIC))
        source = halved(image)
        partial = target.with_suffix(".tmp.npy")
        np.save(partial, np.concatenate([source[None], styled]))
        partial.rename(target)


if __name__ == "__main__":
    main()
