"""A flash in the picture and a click in the sound at the same moments; how far apart they are."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from aiortc.codecs.opus import OpusEncoder

EVERY = 0.8  # seconds between marks
_LASTS = 0.1
_LOUD = 0.4  # share of the loudest sample; encoders smear a click's beginning


def marked(at: float) -> bool:
    at += 1e-6  # 2.4 % 0.8 is nearly 0.8
    return at % EVERY < _LASTS and at > EVERY


def flash(at: float, side: int = 64) -> av.VideoFrame:
    """Make a picture: black, and white while there is a mark."""
    image = np.full((side, side, 3), 235 if marked(at) else 16, np.uint8)
    return av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")


class Voice:
    """Silence, and a tone while there is a mark, in packets of 20 ms."""

    def __init__(self) -> None:
        self._encoder = OpusEncoder()

    def packet(self, number: int) -> bytes:
        """Give packet `number`, the next; empty: the encoder still waits."""
        times = number / 50 + np.arange(960) / 48000
        tone = 12000 * np.sin(2 * np.pi * 1000 * times) * marked(number / 50)
        frame = av.AudioFrame.from_ndarray(
            np.repeat(tone.astype(np.int16), 2)[None], format="s16", layout="stereo"
        )
        frame.sample_rate, frame.pts, frame.time_base = 48000, number * 960, Fraction(1, 48000)
        payloads, _ = self._encoder.encode(frame)
        return payloads[0] if payloads else b""


def beginnings(marks: Sequence[tuple[float, bool]]) -> list[float]:
    """Give the times at which marks begin."""
    found, before = [], True
    for at, mark in marks:
        if mark and not before:
            found.append(at)
        before = mark
    return found


def offsets_in(path: Path, inverted: bool = False) -> list[tuple[float, float]]:
    """Give for each flash of a film when it is and how much later its click is, in seconds."""
    with av.open(str(path)) as film:
        pictures = film.decode(video=0)
        levels = [(picture.time or 0.0, picture.to_ndarray()[0].mean()) for picture in pictures]
    flashes = beginnings([(at, (level > 128) != inverted) for at, level in levels])
    with av.open(str(path)) as film:
        samples = [(frame.time or 0.0, _loudness(frame)) for frame in film.decode(audio=0)]
    loudest = max(float(loud.max()) for _, loud in samples)
    clicks = list(_onsets(samples, _LOUD * loudest))
    near = [(flash, min((click - flash for click in clicks), key=abs)) for flash in flashes]
    return [(flash, offset) for flash, offset in near if abs(offset) < EVERY / 2]


def _loudness(frame: av.AudioFrame) -> "np.ndarray[Any, np.dtype[np.float32]]":
    return np.abs(frame.to_ndarray().astype(np.float32)).max(axis=0)  # planar: of all channels


def _onsets(samples: list[tuple[float, Any]], loud: float) -> Iterator[float]:
    last = -1.0
    for begins, levels in samples:
        for index in np.flatnonzero(levels > loud):
            at = begins + index / 48000
            if at - last > _LASTS:
                yield at
            last = at
