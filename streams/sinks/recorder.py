"""Pictures into a video file."""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.video.stream import VideoStream

from streams.errors import SinkError
from streams.sinks.colours import tell_colours


class Recorder:
    """Writes H.264 to the container that the name's ending asks for. Blocks."""

    def __init__(self, path: Path, fps: Fraction) -> None:
        """Create the file. Raises SinkError that names it."""
        self._path, self._fps, self._count = path, fps, 0
        if not os.access(path.parent, os.W_OK):  # FFmpeg would only notice at the first frame
            raise SinkError(f"{path}: its folder is not there or cannot be written to")
        try:
            self._container = av.open(str(path), "w")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SinkError(f"{path}: cannot be written, or no known kind of video file") from error
        self._stream: VideoStream | None = None

    def write(self, picture: av.VideoFrame) -> None:
        """Append a picture; the first one decides the size."""
        if self._stream is None:
            stream = self._container.add_stream("libx264", rate=self._fps)
            stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
            tell_colours(stream)
            stream.options = {"crf": "18", "preset": "veryfast"}
            self._stream = stream
        picture.pts, picture.time_base = self._count, 1 / self._fps
        self._count += 1
        self._mux(picture)

    def close(self) -> None:
        """Write what is left and end the file. Raises SinkError."""
        try:
            if self._stream is not None:
                self._mux(None)
        finally:
            with self._said_plainly():
                self._container.close()

    def _mux(self, picture: av.VideoFrame | None) -> None:
        assert self._stream is not None
        with self._said_plainly():
            for packet in self._stream.encode(picture):
                self._container.mux(packet)

    @contextlib.contextmanager
    def _said_plainly(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise SinkError(f"{self._path}: writing failed ({error})") from error
