"""Pictures into a video file."""

import contextlib
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av

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
        try:
            self._stream = self._container.add_stream("libx264", rate=fps)
        except ValueError as error:
            self._container.close()
            raise SinkError(
                f"{path}: that kind of file holds no H.264; give .mp4, .mov or .mkv"
            ) from error

    def write(self, picture: av.VideoFrame) -> None:
        """Append a picture; the first one decides the size."""
        if not self._count:
            stream = self._stream
            stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
            tell_colours(stream)
            stream.options = {"crf": "18", "preset": "veryfast"}
        picture.pts, picture.time_base = self._count, 1 / self._fps
        self._count += 1
        self._mux(picture)

    def close(self) -> None:
        """Write what is left and end the file. Raises SinkError."""
        try:
            if self._count:
                self._mux(None)
        finally:
            with self._said_plainly():
                self._container.close()

    def _mux(self, picture: av.VideoFrame | None) -> None:
        with self._said_plainly():
            for packet in self._stream.encode(picture):
                self._container.mux(packet)

    @contextlib.contextmanager
    def _said_plainly(self) -> Iterator[None]:
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            raise SinkError(f"{self._path}: writing failed ({error})") from error
