"""The film at the top of README.md: the clip of the tests, one style after another.

python -m tests.bench.showreel [--to docs/restyle.webp]

Every picture comes from the engine as people use it: one step, deflicker on, prompts that change
while it runs.
"""

import argparse
import inspect
import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from tqdm import tqdm

from pipeline.config import EngineConfig
from pipeline.engine import build_engine
from pipeline.params import StyleParams
from pipeline.results import Image
from streams.convert import to_rgb
from streams.sources.file import FileSource
from tests.bench.consistency import CLIP

PROMPTS = (
    "an old comic", "a pencil drawing", "neon lights at night", "a watercolour",
    "starry night by van Gogh", "half pop art, half ink",
)  # fmt: skip
SIDE = 384
FIRST, FRAMES, EVERY = 690, 30, 2  # of the clip; of each prompt; of which every second is shown
FPS = 25 / EVERY


def shown(image: Image, result: Image, prompt: str) -> Image:
    """Put the camera's picture left, the result right, and the prompt below."""
    pair = np.hstack([image, np.full((SIDE, 8, 3), 18, np.uint8), result])
    line = Pillow.new("RGB", (pair.shape[1], 44), (18, 18, 18))
    font = ImageFont.load_default(22)
    ImageDraw.Draw(line).text((14, 8), f"› {prompt}", (235, 235, 235), font)
    return np.vstack([pair, np.asarray(line)])


def main() -> None:
    """Restyle and write."""
    parser = argparse.ArgumentParser(description=inspect.getdoc(sys.modules[__name__]))
    parser.add_argument("--to", type=Path, default=Path("docs/restyle.webp"))
    arguments = parser.parse_args()
    engine = build_engine(EngineConfig(width=SIDE, height=SIDE, threads=2))
    engine.open("reel")
    source = FileSource(CLIP)
    pictures = islice(iter(source), FIRST, FIRST + FRAMES * len(PROMPTS))
    frames = []
    for number, picture in enumerate(tqdm(pictures, total=FRAMES * len(PROMPTS), disable=None)):
        image, prompt = to_rgb(picture, SIDE, SIDE), PROMPTS[number // FRAMES]
        engine.submit("reel", number, image, StyleParams(prompt=prompt))
        results = []
        while not results:
            results = list(engine.tick())
        if number % EVERY == 0:
            frames.append(shown(image, results[0].image, prompt))
    source.close()
    width, height = frames[0].shape[1] * 5 // 6, frames[0].shape[0] * 5 // 6
    small = [cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in frames]
    first, *rest = [Pillow.fromarray(frame) for frame in small]
    first.save(
        arguments.to, save_all=True, append_images=rest, duration=round(1000 / FPS), loop=0,
        quality=62, method=4,
    )  # fmt: skip
    print(f"{arguments.to}: {len(small)} pictures, {arguments.to.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    main()
