"""Which of a model's styles a picture looks like: a reference picture instead of words.

A model folder may hold `reference.safetensors`, a linear classifier over its styles and one class
more, plain photos. It reads colours and textures, not what is shown: a histogram in Lab, and how
much each pattern of 8 × 8 pixels (a DCT) there is, at full, half and quarter size.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from pipeline.errors import ModelError
from pipeline.models.folder import REFERENCE, Preset

SIDE = 256  # pixels of the shorter side at which a picture is described
_BLOCK = 8
_BINS = 5  # of the histogram, a side
_LEAST = 0.2  # share of a style below which it is left out of the prompt
_MOST = 3  # styles in one prompt
_TALLEST = 2  # times the shorter side that the longer one is looked at, in the middle

Picture = UInt8[np.ndarray, "h w 3"]


class Reference:
    """Reads the style of pictures, as shares of the styles that a model was taught."""

    def __init__(self, folder: Path, presets: Sequence[Preset]) -> None:
        """Read the classifier. Raises ModelError where it does not fit the presets."""
        try:
            tensors = load_file(folder / REFERENCE)
            self._mean, self._scale = tensors["mean"], tensors["scale"]
            self._weight, self._bias = tensors["weight"], tensors["bias"]
        except (OSError, SafetensorError, KeyError) as error:
            raise ModelError(f"{folder / REFERENCE}: damaged; restore it") from error
        if self._weight.shape != (len(presets) + 1, length()):
            raise ModelError(
                f"{folder / REFERENCE}: {self._weight.shape}, but there are {len(presets)} styles "
                f"and photos, described by {length()} numbers"
            )
        self._prompts: list[str] = [preset.prompt for preset in presets]

    def shares(self, picture: Picture) -> Float32[np.ndarray, "styles_and_photo"]:
        """Give the share of each style, of a plain photo last; they sum to 1."""
        described = (describe(picture) - self._mean) / self._scale
        raised = self._weight @ described + self._bias
        shares = np.exp(raised - raised.max())
        return np.asarray(shares / shares.sum(), np.float32)

    def prompt(self, picture: Picture) -> str:
        """Write the style of a picture as a prompt, "ink:0.7 AND neon:0.3"; empty for a photo."""
        shares = self.shares(picture)
        if int(shares.argmax()) == len(self._prompts):
            return ""
        best = [int(i) for i in np.argsort(-shares[:-1])[:_MOST] if shares[i] >= _LEAST]
        best = best or [int(shares[:-1].argmax())]
        if len(best) == 1:
            return self._prompts[best[0]]
        total = float(shares[best].sum())
        return " AND ".join(f"{self._prompts[i]}:{shares[i] / total:.2f}" for i in best)


def describe(picture: Picture) -> Float32[np.ndarray, "numbers"]:
    """Describe colours and textures of a picture of any size."""
    lab = cv2.cvtColor(_fitted(picture), cv2.COLOR_RGB2LAB)
    textures = [_textures(lab, halvings) for halvings in range(3)]
    return np.concatenate([_colours(lab), *textures]).astype(np.float32)


def length() -> int:
    """Say how many numbers describe a picture."""
    return len(describe(np.zeros((SIDE, SIDE, 3), np.uint8)))


def _fitted(picture: Picture) -> UInt8[np.ndarray, "high wide 3"]:
    """Cut what is very long, and scale the shorter side to SIDE."""
    height, width = picture.shape[:2]
    side = min(height, width)
    high, wide = (min(each, _TALLEST * side) for each in (height, width))
    top, left = (height - high) // 2, (width - wide) // 2
    cut = np.ascontiguousarray(picture[top : top + high, left : left + wide])
    size = (max(SIDE, round(wide * SIDE / side)), max(SIDE, round(high * SIDE / side)))
    how = cv2.INTER_AREA if side > SIDE else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(cut, size, interpolation=how), np.uint8)


def _colours(lab: Picture) -> NDArray[np.float32]:
    """Give roots of a histogram's shares, and mean, spread and lean of each channel."""
    histogram = cv2.calcHist([lab], [0, 1, 2], None, [_BINS, 7, 7], [0, 256, 64, 192, 64, 192])
    light = cv2.calcHist([lab], [0], None, [16], [0, 256])
    pixels = lab.shape[0] * lab.shape[1]
    mean, spread = cv2.meanStdDev(lab)
    away = lab.reshape(-1, 3) - mean.T
    lean = np.cbrt((away**3).mean(0))
    moments = np.concatenate([mean[:, 0], spread[:, 0], lean]) / 64
    shares = np.concatenate([histogram, light], None) / pixels
    return np.concatenate([np.sqrt(shares), moments]).astype(np.float32)


def _textures(lab: Picture, halvings: int) -> NDArray[np.float32]:
    """Give logarithms of the mean size of each DCT coefficient, of lightness and of colour."""
    size = (lab.shape[1] >> halvings, lab.shape[0] >> halvings)
    small = cv2.resize(lab, size, interpolation=cv2.INTER_AREA) if halvings else lab
    found = []
    for channel, kept in ((0, _BLOCK), (1, 4), (2, 4)):
        sizes = np.abs(_DCT @ _blocks(small[..., channel]) @ _DCT.T)
        found.append(np.log(sizes.mean(0)[:kept, :kept] + 0.5).flatten()[1:])
    return np.concatenate(found)


def _blocks(plane: UInt8[np.ndarray, "h w"]) -> Float32[np.ndarray, "n 8 8"]:
    rows, columns = plane.shape[0] // _BLOCK, plane.shape[1] // _BLOCK
    cut = plane[: rows * _BLOCK, : columns * _BLOCK].astype(np.float32)
    parts = cut.reshape(rows, _BLOCK, columns, _BLOCK).swapaxes(1, 2)
    return np.ascontiguousarray(parts).reshape(-1, _BLOCK, _BLOCK)


def _dct() -> NDArray[np.float32]:
    """Give the orthonormal DCT-II as a matrix."""
    k, n = np.mgrid[:_BLOCK, :_BLOCK]
    matrix = np.sqrt(2 / _BLOCK) * np.cos(np.pi * (2 * n + 1) * k / (2 * _BLOCK))
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, np.float32)


_DCT = _dct()
