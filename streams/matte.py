"""Colour and matte side by side in one picture, since no codec of WebRTC carries transparency.

The left half is the colour; the right half is its matte in grey, white where it is opaque. The
last 1/64 of the width is a mark of four bands, so that a picture says by itself whether it is one:
what a camera still sends while this is switched on or off is not taken for a pair, and players need
no other word. The matte below the mark is that of its left neighbour.
"""

from typing import Literal, TypeVar

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from streams.convert import Bytes, Image, encoded, i420, scaled

Matte = NDArray[np.uint8]  # [h, w] luma: 16 nothing .. 235 opaque
_MARK = 64  # the mark is one part in so many of the width
_BANDS = ((202, 222), (54, 34)) * 2  # U, V from top to bottom: magenta, green, and again
_LUMA = (106, 145) * 2
_FAR = 32  # levels of chroma; what a codec changes is less, and next to no picture has all four
_BLACK, _WHITE = 16, 235
_Level = TypeVar("_Level", np.uint8, np.float32)
_RIPPLE = 0.06  # of opacity, at either end: codecs ripple near black and white (as in pair.js)
Colour = tuple[int, int, int]  # RGB


def is_marked(picture: av.VideoFrame) -> bool:
    """Look at four pixels of the chroma; copies nothing, from any thread."""
    if picture.format.name != "yuv420p" or picture.width < _MARK:
        return False
    wide, high = picture.width // 2, picture.height // 2
    x = wide - max(1, wide // _MARK // 2)
    for plane, wanted in zip(picture.planes[1:], zip(*_BANDS, strict=True), strict=True):
        view = memoryview(plane)
        for band, level in enumerate(wanted):
            y = (2 * band + 1) * high // (2 * len(_BANDS))
            away = view[y * plane.line_size + x] - 128
            if away * (level - 128) < 0 or abs(away) < _FAR:
                return False
    return True


def split(picture: av.VideoFrame, width: int, height: int) -> tuple[Image, Matte]:
    """Give both halves, each cut to the wanted aspect and scaled as `to_rgb` does it."""
    colour, matte = _halves(picture)
    rgb = cv2.cvtColor(colour, cv2.COLOR_YUV2RGB_I420)
    return scaled(rgb, width, height), scaled(matte, width, height)


def join(image: Image, matte: Matte) -> av.VideoFrame:
    """Put a picture and a matte side by side and mark the pair; a matte of another size is scaled.

    One copy beyond that of `to_picture`: sides are even, as those of all pictures that come out.
    """
    high, wide = image.shape[:2]
    if matte.shape != (high, wide):
        matte = scaled(matte, wide, high)
    colour = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    planes = np.empty((high * 3 // 2, 2 * wide), np.uint8)
    planes[:high, :wide] = colour[:high]
    planes[:high, wide:] = matte
    chroma = _chroma(planes)
    chroma[:, :, : wide // 2] = _chroma(colour)
    chroma[:, :, wide // 2 :] = 128
    mark = max(2, wide * 2 // _MARK)
    for band, (luma, levels) in enumerate(zip(_LUMA, _BANDS, strict=True)):
        planes[_band(band, high), -mark:] = luma
        chroma[:, _band(band, high // 2), -(mark // 2) :] = np.reshape(levels, (2, 1, 1))
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def over(picture: av.VideoFrame, behind: Colour | av.VideoFrame) -> av.VideoFrame:
    """Lay the colour of a pair over one colour, or over the colour of another pair.

    For what knows no transparency. The other pair is cut and scaled as `split` does it; of the same
    size its pixels are untouched where the matte says that nothing is.
    """
    colour, matte = _halves(picture)
    high, wide = matte.shape
    if isinstance(behind, tuple):
        planes = _plain(behind, wide, high)
    else:
        planes = _fitted(behind, wide, high)
    share = np.empty(colour.shape, np.float32)
    share[:high] = _share(matte)
    half = cv2.resize(share[:high], (wide // 2, high // 2), interpolation=cv2.INTER_AREA)
    _chroma(share)[:] = half
    laid = cv2.blendLinear(colour, planes, share, 1 - share)
    return av.VideoFrame.from_ndarray(laid, format="yuv420p")


def to_cut_out(picture: av.VideoFrame, kind: Literal["png", "jpeg"]) -> bytes:
    """Give a pair as an image file: PNG is transparent, JPEG has black instead."""
    colour, matte = _halves(picture)
    image = cv2.cvtColor(colour, cv2.COLOR_YUV2BGR_I420)
    share = _share(matte)[:, :, None]
    if kind == "png":
        return encoded(np.dstack([image, _levels(share * 255)]), kind)
    return encoded(_levels(image * share), kind)


def _halves(picture: av.VideoFrame) -> tuple[Bytes, Matte]:
    """Give the colour's planes [3h/2, w] and the matte [h, w]."""
    planes = i420(picture)
    high, wide = planes.shape[0] * 2 // 3, planes.shape[1]
    half = wide // 4 * 2
    colour = np.empty((high * 3 // 2, half), np.uint8)
    colour[:high] = planes[:high, :half]
    _chroma(colour)[:] = _chroma(planes)[:, :, : half // 2]
    matte = planes[:high, half : 2 * half]
    hidden = wide // _MARK + 4  # and what bleeds out of the mark
    matte[:, -hidden:] = matte[:, -hidden - 1 : -hidden]
    return colour, matte


def _plain(colour: Colour, wide: int, high: int) -> Bytes:
    """Give the planes [3h/2, w] of a picture of one colour."""
    luma, _, chroma = cv2.cvtColor(np.full((2, 2, 3), colour, np.uint8), cv2.COLOR_RGB2YUV_I420)
    planes = np.full((high * 3 // 2, wide), luma[0], np.uint8)
    _chroma(planes)[:] = chroma.reshape(2, 1, 1)
    return planes


def _fitted(picture: av.VideoFrame, wide: int, high: int) -> Bytes:
    """Give the planes [3h/2, w] of a pair's colour."""
    colour, matte = _halves(picture)
    if matte.shape == (high, wide):
        return colour
    image = scaled(cv2.cvtColor(colour, cv2.COLOR_YUV2RGB_I420), wide, high)
    planes: Bytes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    return planes


def _chroma(planes: NDArray[_Level]) -> NDArray[_Level]:
    """Give U and V of I420 planes [3h/2, w] as a view [2, h/2, w/2]."""
    high, wide = planes.shape[0] * 2 // 3, planes.shape[1]
    return planes[high:].reshape(2, high // 2, wide // 2)


def _band(number: int, high: int) -> slice:
    return slice(number * high // len(_BANDS), (number + 1) * high // len(_BANDS))


def _share(matte: Matte) -> NDArray[np.float32]:
    share = (matte.astype(np.float32) - _BLACK) / (_WHITE - _BLACK)
    return np.clip((share - _RIPPLE) / (1 - 2 * _RIPPLE), 0, 1)


def _levels(image: NDArray[np.float32]) -> Bytes:
    return (image + 0.5).astype(np.uint8)
