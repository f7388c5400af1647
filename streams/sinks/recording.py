"""A live session into an MP4 file that plays even when the process was killed."""

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import av
from av.container import OutputContainer

from streams.errors import SinkError
from streams.sinks.live_sound import INTERLEAVE, OpusCopy
from streams.sinks.live_video import LiveVideo
from streams.soundtrack import Heard

_FRAGMENT = 1.0  # seconds; a kill costs what was not yet a whole fragment
_SAID = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "the folder may not be written to",
}


def recording_path(folder: Path) -> Path:
    """Name a new recording: restyle-20261125-160000-1a2b3c.mp4."""
    return folder / f"restyle-{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}.mp4"


class Recording:
    """Writes fragmented MP4: each second of it plays without what comes after.

    FFmpeg gets a Python file, not the path: it would hold the interpreter lock while a slow disk
    opens, and its own files may be read by anybody. Raises SinkError.
    """

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._path, self._empty = path, True
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # a new file, no link of somebody's, and its owner's alone
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise SinkError(f"{self._path.name}: {_said(error)}") from error
        self._file = _File(handle)
        try:
            self._container = _open(self._file)
            self._video = LiveVideo(self._container, width, height, _FRAGMENT, {"crf": "20"})
            self._sound = OpusCopy(self._container)
            self._container.start_encoding()
        except (av.FFmpegError, OSError) as error:
            self._file.close()
            path.unlink(missing_ok=True)
            raise SinkError(f"{self._path.name}: {_said(error)}") from error

    @property
    def bytes(self) -> int:
        """The file's size."""
        return self._file.size

    def write(self, picture: av.VideoFrame, seconds: float) -> None:
        """Append a picture; what an error leaves behind is the whole fragments before it."""
        with self._whole():
            self._video.write(picture, seconds)
        self._empty = False

    def hear(self, packet: Heard) -> None:
        """Append a packet of Opus."""
        with self._whole():
            self._sound.write(packet.data, packet.seconds)

    def close(self) -> None:
        """End the last fragment and the file; one without pictures is removed."""
        whole = self._file.size
        try:
            try:
                self._video.close()
            finally:
                self._container.close()
        except (av.FFmpegError, OSError):
            self._file.cut(whole)
        with contextlib.suppress(OSError):
            self._file.close()
            if self._empty:
                self._path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _whole(self) -> Iterator[None]:
        """Cut off what an error leaves half written."""
        whole = self._file.size
        try:
            yield
        except (av.FFmpegError, OSError) as error:
            self._file.cut(whole)
            played = f"{_said(error)}; what was recorded until then plays"
            raise SinkError(f"{self._path.name}: {played}") from error


def _said(error: Exception) -> str:
    number = (error.errno if isinstance(error, OSError) else None) or 0
    return _SAID.get(number) or (os.strerror(number) if number else type(error).__name__)


class _File:
    """What FFmpeg needs of a file, without seeking: nothing is written twice."""

    def __init__(self, handle: int) -> None:
        self._handle, self.size, self._cut = handle, 0, False

    def write(self, data: bytes) -> int:
        if self._cut:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        left = memoryview(data)
        while left:
            left = left[os.write(self._handle, left) :]
        self.size += len(data)
        return len(data)

    def cut(self, size: int) -> None:
        """Drop what is behind `size`, and what comes from now on."""
        self._cut, self.size = True, size
        with contextlib.suppress(OSError):
            os.ftruncate(self._handle, size)

    def close(self) -> None:
        os.close(self._handle)


def _open(file: _File) -> OutputContainer:
    # flushed with each packet: what `size` counts is what a kill leaves
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
    flags |= INTERLEAVE
    return av.open(file, "w", format="mp4", options=flags)
