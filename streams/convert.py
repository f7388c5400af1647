"""PyAV frame ↔ RGB bytes: here alone, and for mattes in matte.py, pixels change size or layout.

Never on the loop.
"""

from typing import Literal

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Image = Bytes  # [h, w, 3] RGB


def to_rgb(picture: av.VideoFrame, width: int, height: int) -> Image:
    """Cut the centre of the wanted aspect, scale it, give RGB (BT.601, as WebRTC sends)."""
    return scaled(cv2.cvtColor(i420(picture), cv2.COLOR_YUV2RGB_I420), width, height)


def scaled(image: Bytes, width: int, height: int) -> Bytes:
    """Cut the centre of the wanted aspect and scale it; any number of channels."""
    cut = _centre(image, width / height)
    if cut.shape[:2] != (height, width):
        larger = cut.shape[0] > height
        how = cv2.INTER_AREA if larger else cv2.INTER_LINEAR
        cut = cv2.resize(cut, (width, height), interpolation=how)
    return np.ascontiguousarray(cut, np.uint8)


def to_picture(image: Image) -> av.VideoFrame:
    """Give an I420 frame. OpenCV does it in a tenth of the time that PyAV takes."""
    planes = cv2.cvtColor(image, cv2.COLOR_RGB2YUV_I420)
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def fit(picture: av.VideoFrame, width: int, height: int) -> av.VideoFrame:
    """Give an I420 copy of a picture, cut and scaled where its size is another."""
    if (picture.width, picture.height) != (width, height):
        return to_picture(to_rgb(picture, width, height))
    return av.VideoFrame.from_ndarray(i420(picture), format="yuv420p")


def to_image_file(picture: av.VideoFrame, kind: Literal["png", "jpeg"]) -> bytes:
    """Give a picture as the bytes of an image file."""
    return encoded(cv2.cvtColor(i420(picture), cv2.COLOR_YUV2BGR_I420), kind)


def encoded(image: Bytes, kind: Literal["png", "jpeg"]) -> bytes:
    """Give BGR or BGRA as the bytes of an image file."""
    _, data = cv2.imencode(".png" if kind == "png" else ".jpg", image)
    return bytes(data)


def plain(picture: av.VideoFrame) -> av.VideoFrame:
    """Give a picture as all who share it may use it: I420, even sides, levels and matrix of BT.601.

    The very picture if it is so. PyAV keeps the converter in the picture, so two threads that
    convert the same one at once end the process: it is done once, before anybody else has it.
    """
    width, height = picture.width & ~1, picture.height & ~1
    hd = picture.colorspace == Colorspace.ITU709
    good = picture.format.name == "yuv420p" and picture.color_range != ColorRange.JPEG
    if good and not hd and (width, height) == (picture.width, picture.height):
        return picture
    return picture.reformat(
        width,
        height,
        "yuv420p",
        src_colorspace=Colorspace.ITU709 if hd else None,
        dst_colorspace=Colorspace.ITU601 if hd else None,
        dst_color_range=ColorRange.MPEG,
    )


def i420(picture: av.VideoFrame) -> Bytes:
    """Give the planes of the plain picture as one array [3h/2, w]."""
    planes: Bytes = plain(picture).to_ndarray().astype(np.uint8, copy=False)
    return planes


def _centre(image: Bytes, aspect: float) -> Bytes:
    height, width = image.shape[:2]
    if width / height > aspect:
        wanted = round(height * aspect)
        left = (width - wanted) // 2
        return image[:, left : left + wanted]
    wanted = round(width / aspect)
    top = (height - wanted) // 2
    return image[top : top + wanted]
