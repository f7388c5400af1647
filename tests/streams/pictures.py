"""Frames for tests."""

from fractions import Fraction

import av
import numpy as np

from streams.frame import Frame, SessionId

ANN, BEN = SessionId("ann"), SessionId("ben")


def frame(number: int, level: int = 100, width: int = 64, height: int = 64) -> Frame:
    """Make a grey frame; `number` also sets its time, at 30 fps."""
    image = np.full((height, width, 3), level, np.uint8)
    picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
    picture.pts, picture.time_base = number * 3000, Fraction(1, 90000)
    return Frame(number, number * 3000, Fraction(1, 90000), 0, picture)


def level_of(picture: av.VideoFrame) -> int:
    """Give a picture's mean grey level."""
    return round(float(picture.to_ndarray(format="rgb24").mean()))
