"""A place on the server's side that pictures come from, and how it is opened.

PyAV lets other threads run while it connects (measured: no gap above 42 ms in a dead connection),
so a thread of its own is enough to keep it off the event loop.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import av

from streams.errors import SourceError

Kind = Literal["file", "image", "url", "device"]
SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "srt", "http", "https")
_PATIENCE = (10.0, 5.0)  # seconds to connect, and without anything to read
_LARGEST = 4096 * 2304  # pixels
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
    name: str = ""  # for people: what was asked for, where that is no secret


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
        return place.name or place.at
    parts = urlsplit(place.at)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
