"""A flash in the picture and a click in the sound at the same moments; how far apart they are."""

import statistics
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


def tone(at: float, samples: int, rate: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Make sound from a moment on: a tone while there is a mark, else nothing."""
    times = at + np.arange(samples) / rate
    on = ((times + 1e-6) % EVERY < _LASTS) & (times + 1e-6 > EVERY)
    return (0.4 * np.sin(2 * np.pi * 1000 * times) * on).astype(np.float32)


def film(
    path: Path,
    seconds: float,
    rate: int = 44_100,
    layout: str = "mono",
    apart: int = 1,
    keys: int = 250,
) -> None:
    """Write marks as pictures, 25 a second, and sound; so many pictures lie before their sound."""
    with av.open(str(path), "w") as container:
        video = container.add_stream(
            "libx264", rate=25, options={"tune": "zerolatency", "g": str(keys)}
        )
        video.width = video.height = 64
        video.pix_fmt = "yuv420p"
        sound = container.add_stream("aac", rate=rate, layout=layout)
        wrote = 0
        for number in range(round(seconds * 25)):
            picture = flash(number / 25)
            picture.pts, picture.time_base = number, Fraction(1, 25)
            container.mux(video.encode(picture))
            if number % apart == apart - 1:
                until = round((number + 1) / 25 * rate)
                while wrote + 1024 <= until:
                    container.mux(sound.encode(sound_frame(wrote / rate, 1024, rate, layout)))
                    wrote += 1024
        rest = round(seconds * rate) - wrote
        container.mux(sound.encode(sound_frame(wrote / rate, rest, rate, layout)))
        container.mux(video.encode(None))
        container.mux(sound.encode(None))


def sound_frame(at: float, samples: int, rate: int, layout: str = "mono") -> av.AudioFrame:
    """Make a stretch of sound."""
    channels = av.AudioLayout(layout).nb_channels
    planes = np.repeat(tone(at, samples, rate)[None], channels, axis=0)
    frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, round(at * rate), Fraction(1, rate)
    return frame


def beginnings(marks: Sequence[tuple[float, bool]]) -> list[float]:
    """Give the times at which marks begin."""
    found, before = [], True
    for at, mark in marks:
        if mark and not before:
            found.append(at)
        before = mark
    return found


def middle(offsets: Sequence[float]) -> tuple[float, float]:
    """Give the median of at least two, and how far apart the middle half of them lies.

    The latter is a busy machine's; what is wrong with the sound moves all of them.
    """
    low, median, high = statistics.quantiles(offsets, n=4)
    return median, high - low


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
