"""Teach which style a picture looks like: a linear classifier over what `reference.py` describes.

    python -m pipeline.embedded.train_reference [--cache .cache/embedded] [--smoke]

Reads what `teachers` rendered and writes reference.safetensors into the cache, from where `export`
takes it. Each picture is cut, scaled, lit and compressed at random, as pictures are that people
find; some are half of two styles. Every eighth source is kept from training, for the figure at the
end; others of the same film or photo are not, so it says less than pictures of other people do
(README.md).
"""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch.nn import functional
from tqdm import tqdm

from pipeline.embedded.shading import Image
from pipeline.embedded.styles import STYLES
from pipeline.embedded.teachers import halved
from pipeline.models.folder import REFERENCE
from pipeline.reference import describe

_CUTS = 4  # of each picture
_MIXED = 0.15  # share of cuts that are half of two styles
_KEPT = 8  # every so many sources are kept from training
_CLASSES = len(STYLES) + 1
Row = tuple[NDArray[np.float32], NDArray[np.float32]]  # description; shares of the classes


def as_found(image: Image, chance: np.random.Generator) -> Image:
    """Cut, light and compress a picture, as those are that people find."""
    height, width = image.shape[:2]
    side = int(min(height, width) * chance.uniform(0.55, 1))
    top, left = (int(chance.integers(0, each - side + 1)) for each in (height, width))
    cut = image[top : top + side, left : left + side].astype(np.float32)
    grey = cut.mean(-1, keepdims=True)
    cut = grey + (cut - grey) * chance.uniform(0.8, 1.2)
    cut = 255 * (cut.clip(0, 255) / 255) ** chance.uniform(0.85, 1.2) * chance.uniform(0.9, 1.08)
    quality = [cv2.IMWRITE_JPEG_QUALITY, int(chance.integers(60, 98))]
    _, data = cv2.imencode(".jpg", cut.clip(0, 255).astype(np.uint8), quality)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def rows(path: Path, seed: int) -> Iterator[Row]:
    """Give descriptions and shares of the classes of one source's pictures."""
    chance = np.random.default_rng(seed)
    source, *styled = np.load(path)
    pictures = [*styled, source]
    for own, picture in enumerate(pictures):
        for _ in range(_CUTS):
            shares = np.zeros(_CLASSES, np.float32)
            shares[own] = 1
            image = picture
            if chance.random() < _MIXED:
                other = int(chance.integers(_CLASSES))
                image = cv2.addWeighted(picture, 0.5, pictures[other], 0.5, 0)
                shares = (shares + np.eye(_CLASSES, dtype=np.float32)[other]) / 2
            yield describe(as_found(image, chance)), shares


def of_photos(paths: list[Path]) -> Iterator[Row]:
    """Give the same of a cut of each photo: they differ more than pictures of one style."""
    chance = np.random.default_rng(0)
    for path in tqdm(paths, desc="photos", disable=None):
        photo = halved(cv2.imread(str(path))[..., ::-1])
        yield describe(as_found(photo, chance)), np.eye(_CLASSES, dtype=np.float32)[-1]


def of_styles(paths: list[Path]) -> Iterator[Row]:
    """Give rows of all pictures of some sources."""
    for seed, path in enumerate(tqdm(paths, desc="styles", disable=None)):
        yield from rows(path, seed)


def stacked(pairs: Iterable[Row]) -> tuple[torch.Tensor, torch.Tensor]:
    """Give descriptions, [n, numbers], and shares, [n, classes]."""
    described, shares = zip(*pairs, strict=True)
    return torch.from_numpy(np.stack(described)), torch.from_numpy(np.stack(shares))


def fit(described: torch.Tensor, shares: torch.Tensor, steps: int = 1500) -> torch.nn.Linear:
    """Fit the classifier to standardised descriptions."""
    layer = torch.nn.Linear(described.shape[1], _CLASSES)
    optimiser = torch.optim.AdamW(layer.parameters(), lr=3e-3, weight_decay=3e-2)
    for step in range(steps):
        optimiser.param_groups[0]["lr"] = 3e-3 * (1 - step / steps)
        batch = torch.randint(len(described), (1024,))
        loss = functional.cross_entropy(layer(described[batch]), shares[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return layer


def main() -> None:
    """Train, say how often it is right, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--smoke", action="store_true", help="a few steps")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    paths = sorted((arguments.cache / "styled").glob("*.npy"))
    kept = paths[::_KEPT]
    learnt = [path for path in paths if path not in kept] or paths
    unseen = {path.stem for path in kept}
    sources = sorted((arguments.cache / "sources").glob("*.png"))
    photos = [path for path in sources if path.stem not in unseen]
    described, shares = stacked([*of_styles(learnt), *of_photos(photos)])
    mean, scale = described.mean(0), described.std(0).clamp(min=1e-3)
    layer = fit((described - mean) / scale, shares, 10 if arguments.smoke else 1500)
    others, truth = stacked(of_styles(kept))
    pure = truth.max(1).values == 1
    right = layer((others - mean) / scale).argmax(1) == truth.argmax(1)
    print(f"right: {right[pure].float().mean():.3f} of {int(pure.sum())} pictures kept from it")
    tensors = {"mean": mean, "scale": scale, "weight": layer.weight, "bias": layer.bias}
    found = {name: tensor.detach().numpy() for name, tensor in tensors.items()}
    save_file(found, arguments.cache / REFERENCE)


if __name__ == "__main__":
    main()
