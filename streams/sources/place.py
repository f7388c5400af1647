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
from streams.sources.media import Media
from streams.sources.schemes import SCHEMES
from streams.sources.srt import call
from streams.trust import verifying

Kind = Literal["file", "image", "url", "device"]
_OVER_TLS = ("rtsps", "rtmps", "https")
_PATIENCE = (10.0, 5.0)  # seconds to connect, and without anything to read
# no playlists, neither here nor nested: they would lead to addresses and files of their own choice
_FORMATS = (
    "mov,matroska,webm,avi,mpegts,flv,ogg,mpeg,gif,image2,png_pipe,jpeg_pipe,webp_pipe,bmp_pipe,"
    "yuv4mpegpipe,mjpeg,mpjpeg,rtsp,sdp,rtp,h264,hevc,video4linux2"
)
_LOCAL = {"protocol_whitelist": "file", "pattern_type": "none", "format_whitelist": _FORMATS}
_PULLED = {
    "flags": "low_delay", "rtsp_transport": "tcp", "max_redirects": "0",
    "format_whitelist": _FORMATS,
}  # fmt: skip
_FRESH = _PULLED | {"fflags": "nobuffer"}  # what was read to find out what it is, is left out


@dataclass(frozen=True, slots=True)
class Place:
    """Where pictures come from."""

    kind: Kind
    at: str  # path, address, or a device such as /dev/video0
    name: str = ""  # for people: what was asked for, where that is no secret

    @property
    def is_live(self) -> bool:
        """Say whether pictures come by themselves, so that it may break off and come back."""
        return self.kind in ("url", "device")


def open_place(place: Place) -> Media:
    """Open a place and check that there is a picture in it. Blocks, up to ten seconds.

    Raises SourceError with a sentence that names the place, without any password in it.
    """
    name = shown(place)
    if place.kind == "url" and urlsplit(place.at).scheme not in SCHEMES:
        raise SourceError(f"{name}: give an address of {', '.join(SCHEMES)}")
    try:
        if not place.is_live and not Path(place.at).is_file():
            raise SourceError("no such file")
        if place.kind == "url" and urlsplit(place.at).scheme == "srt":
            return _srt(place.at)
        container = av.open(
            place.at,
            format="v4l2" if place.kind == "device" else None,
            options=dict(_options(place)),
            timeout=_PATIENCE if place.is_live else None,
        )
        return Media(container, place.is_live, container.close)
    except SourceError as error:
        raise SourceError(f"{name}: {error}") from error
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{name}: {_reason(place, error)}") from error


def _options(place: Place) -> dict[str, str]:
    if not place.is_live:
        return _LOCAL
    scheme = urlsplit(place.at).scheme
    # there may be a film, which would lose its beginning, and with it its first key frame
    pulled = _PULLED if scheme in ("http", "https") else _FRESH
    return pulled | verifying() if scheme in _OVER_TLS else pulled


def _srt(address: str) -> Media:
    caller = call(address)
    try:
        container = av.open(caller, "r", format="mpegts", options={"fflags": "nobuffer"})
        return Media(container, True, caller.close)
    except BaseException:
        caller.close()
        raise


def _reason(place: Place, error: Exception) -> str:
    if isinstance(error, av.InvalidDataError):
        return "no video or image that can be read"
    if isinstance(error, av.ProtocolNotFoundError):
        return f"this build of FFmpeg has no {urlsplit(place.at).scheme}"
    if isinstance(error, av.ExitError):
        return f"nothing came within {_PATIENCE[0]:.0f} s"
    if isinstance(error, ValueError) and not isinstance(error, av.FFmpegError):
        return str(error)
    said = reason_of(error)
    if urlsplit(place.at).scheme in _OVER_TLS:  # FFmpeg has one number for all that may be wrong
        said += (
            ", or its certificate cannot be verified: SSL_CERT_FILE names a file of those to trust"
        )
    return f"cannot be opened ({said})" if place.kind == "device" else f"not reached ({said})"


def reason_of(error: Exception) -> str:
    """Say why reading failed, without the address, which libraries quote."""
    if isinstance(error, av.ExitError):  # PyAV's own way to say that the time was up
        return f"nothing came for {_PATIENCE[1]:.0f} s"
    return getattr(error, "strerror", None) or type(error).__name__


def shown(place: Place) -> str:
    """Name a place for people and logs: of an address neither user, password nor query."""
    if place.kind != "url":
        return place.name or place.at
    parts = urlsplit(place.at)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
