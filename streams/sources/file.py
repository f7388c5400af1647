"""Frames of a video file."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from streams.errors import SourceError


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a file says of its video."""

    fps: Fraction
    frames: int  # 0: not known


class FileSource:
    """Decodes a file's first video stream from start to end. Blocks: not for the event loop."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises SourceError that names the file."""
        if not path.is_file():
            raise SourceError(f"{path}: no such file")
        try:
            self._container = av.open(str(path))
        except (av.FFmpegError, OSError) as error:
            raise SourceError(f"{path}: not a video that can be read") from error
        if not self._container.streams.video:
            self._container.close()
            raise SourceError(f"{path}: there is no video in it")
        stream = self._container.streams.video[0]
        stream.thread_type = "AUTO"
        self._path = path
        self.info = FileInfo(stream.average_rate or Fraction(25), stream.frames)

    def __iter__(self) -> Iterator[av.VideoFrame]:
        try:
            yield from self._container.decode(video=0)
        except av.FFmpegError as error:
            raise SourceError(
                f"{self._path}: damaged; decoding stopped ({error.strerror})"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._container.close()
