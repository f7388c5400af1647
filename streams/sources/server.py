"""Sources on the server: a file, a still image, a stream by its address, a camera of this machine.

PyAV lets other threads run while it connects and reads (measured: no gap above 42 ms in a dead
connection), so a thread of its own is enough to keep it off the event loop.
"""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import av

from streams.convert import plain
from streams.errors import SourceError
from streams.frame import Frame

Kind = Literal["file", "image", "url", "device"]
SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "http", "https")
_PATIENCE = (10.0, 5.0)  # seconds to connect, and without anything to read
_LARGEST = 4096 * 2304  # pixels
_STILL_FPS = 10  # a still image is shown again so often
_CLOCK = Fraction(1, 90000)
# no playlists, neither here nor nested: they would lead to addresses and files of their own choice
_FORMATS = (
    "mov,matroska,webm,avi,mpegts,flv,ogg,mpeg,gif,image2,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,"
    "yuv4mpegpipe,mjpeg,mpjpeg,rtsp,sdp,rtp,h264,hevc,video4linux2"
)
_LOCAL = {"protocol_whitelist": "file", "pattern_type": "none", "format_whitelist": _FORMATS}
_FRESH = {
    "fflags": "nobuffer", "flags": "low_delay", "rtsp_transport": "tcp", "max_redirects": "0",
    "format_whitelist": _FORMATS,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where pictures come from."""

    kind: Kind
    at: str  # path, address, or a device such as /dev/video0


class ServerSource:
    """Gives the pictures of a place at their own pace, from a thread; files begin again."""

    def __init__(
        self, place: Place, put: Callable[[Frame], None], ended: Callable[[], None]
    ) -> None:
        """`put` and `ended` are called from the thread, `ended` once when nothing more comes."""
        self._place, self._put, self._ended = place, put, ended
        self._container = open_place(place)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="source", daemon=True)
        self.problem: str | None = None  # why it ended, if not by `close`

    def start(self) -> None:
        """Begin to give pictures."""
        self._thread.start()

    def close(self) -> None:
        """End, and wait for it: up to seconds while a stream says nothing. Blocks."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._container.close()

    def _run(self) -> None:
        try:
            for number, picture in enumerate(self._paced()):
                pts = time.monotonic_ns() * 9 // 100_000  # in units of the clock
                self._put(Frame(number, pts, _CLOCK, time.monotonic_ns(), plain(picture)))
        except (av.FFmpegError, OSError) as error:
            self.problem = f"{shown(self._place)}: it broke off ({error.strerror})"
        finally:
            if not self._stop.is_set():
                self._ended()

    def _paced(self) -> Iterator[av.VideoFrame]:
        live = self._place.kind in ("url", "device")
        began, offset = time.monotonic(), 0.0
        for at, picture in self._pictures():
            if at < offset:  # another round
                began, offset = time.monotonic(), 0.0
            wait = began + at - time.monotonic()
            offset = at
            # what is live comes at its own pace, and late pictures are shown at once
            if not live and wait > 0 and self._stop.wait(wait):
                return
            if self._stop.is_set():
                return
            yield picture

    def _pictures(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Give pictures with their time in seconds since the first."""
        if self._place.kind == "image":
            picture = next(self._container.decode(video=0))
            yield from ((count / _STILL_FPS, picture) for count in itertools.count())
        while True:
            first: float | None = None
            for picture in self._container.decode(video=0):
                at = float(picture.time or 0.0)
                first = at if first is None else first
                yield at - first, picture
            if self._place.kind != "file" or first is None:
                return
            self._container.seek(0)


def open_place(place: Place) -> av.container.InputContainer:
    """Open a place and check that there is a picture in it. Blocks, up to ten seconds.

    Raises SourceError with a sentence that names the place, without any password in it.
    """
    name = shown(place)
    local = place.kind in ("file", "image")
    if local and not Path(place.at).is_file():
        raise SourceError(f"{name}: no such file")
    if place.kind == "url" and urlsplit(place.at).scheme not in SCHEMES:
        raise SourceError(f"{name}: give an address of {', '.join(SCHEMES)}")
    try:
        container = av.open(
            place.at,
            format="v4l2" if place.kind == "device" else None,
            options=dict(_LOCAL if local else _FRESH),
            timeout=None if local else _PATIENCE,
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{name}: {_reason(place, error)}") from error
    if not container.streams.video:
        container.close()
        raise SourceError(f"{name}: there is no picture in it")
    stream = container.streams.video[0]
    if stream.width * stream.height > _LARGEST:
        container.close()
        raise SourceError(
            f"{name}: {stream.width}x{stream.height} is too large; at most {_LARGEST} pixels"
        )
    return container


def _reason(place: Place, error: Exception) -> str:
    if isinstance(error, av.InvalidDataError):
        return "no video or image that can be read"
    if isinstance(error, av.ProtocolNotFoundError):
        return f"this build of FFmpeg has no {urlsplit(place.at).scheme}"
    if isinstance(error, av.ExitError):  # PyAV's own way to say that the time was up
        return f"nothing came within {_PATIENCE[0]:.0f} s"
    said = getattr(error, "strerror", None) or str(error)
    return f"cannot be opened ({said})" if place.kind == "device" else f"not reached ({said})"


def shown(place: Place) -> str:
    """Name a place for people and logs: of an address neither user, password nor query."""
    if place.kind != "url":
        return place.at
    parts = urlsplit(place.at)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
