"""The pictures and the sound of an open place, decoded, as they belong together."""

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from streams.errors import SourceError

_LARGEST = 4096 * 2304  # pixels
_HELD = 2.0  # seconds of packets that wait for the other kind; players allow files the like
_EARLY = 0.1  # seconds that sound is decoded before its picture, which is waited for
_DULL = 1 / 25  # seconds that a picture is taken to last where nothing says it


@dataclass(frozen=True, slots=True)
class Piece:
    """A picture, or a short stretch of sound."""

    at: float  # seconds from the first picture's place in the source
    lasts: float  # seconds
    frame: av.VideoFrame | av.AudioFrame


class Media:
    """Decodes the first picture stream of a container and the first sound stream, if it has one.

    Blocks: not for the event loop.
    """

    def __init__(
        self, container: InputContainer, live: bool, give_back: Callable[[], None]
    ) -> None:
        """`live`: give everything as it comes, in whatever order. `give_back` ends the connection.

        Raises SourceError without a picture, or with one too large; all is given back then.
        """
        self._container, self._give_back = container, give_back
        try:
            video = _video(container)
        except SourceError:
            self.close()
            raise
        sound = container.streams.audio
        self.has_sound = bool(sound)
        self._streams = [video, *sound[:1]]
        self._zero = float((video.start_time or 0) * (video.time_base or 0))
        self._picture_lasts = float(1 / video.average_rate) if video.average_rate else _DULL
        # seconds; None: not known, or without an end
        self.duration = container.duration / av.time_base if container.duration else None
        self._comes_by_itself = live and self.duration is None

    def pieces(self) -> Iterator[Piece]:
        """Decode to the end, without what is damaged. Raises av.FFmpegError where it breaks off.

        Of what has an end, sound comes a little before its picture.
        """
        follows = {stream.index: 0.0 for stream in self._streams}  # seconds, where no time is given
        as_they_come = self._container.demux(self._streams) if self._comes_by_itself else None
        for packet in as_they_come or self._packets():
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    lasts = self._picture_lasts
                elif isinstance(frame, av.AudioFrame) and frame.sample_rate:
                    lasts = frame.samples / frame.sample_rate
                else:
                    continue
                index = packet.stream.index
                at = follows[index] if frame.time is None else frame.time - self._zero
                follows[index] = at + lasts
                yield Piece(at, lasts, frame)

    def first_picture(self) -> av.VideoFrame:
        """Decode up to the first picture. Raises SourceError where there is none."""
        try:
            for piece in self.pieces():
                if isinstance(piece.frame, av.VideoFrame):
                    return piece.frame
        except av.FFmpegError:
            pass
        raise SourceError("no picture in it could be decoded")

    def seek(self, seconds: float) -> None:
        """Go to the last key frame before a moment of a file; ask `pieces` anew then."""
        self._container.seek(int((seconds + self._zero) * av.time_base))

    def close(self) -> None:
        """Give the place back."""
        self._container.close()
        self._give_back()

    def _packets(self) -> "Iterator[av.Packet[Any]]":
        """Give packets in order: files keep up to a second of each kind together."""
        waiting: dict[int, deque[tuple[float, av.Packet[Any]]]]
        waiting = {stream.index: deque() for stream in self._streams}
        newest = -math.inf
        for packet in self._container.demux(self._streams):
            its = waiting[packet.stream.index]
            its.append((_when(packet, its[-1][0] if its else -math.inf), packet))
            newest = max(newest, its[-1][0])
            while first := _first(waiting):
                if not all(waiting.values()) and newest - first[0][0] < _HELD:
                    break
                yield first.popleft()[1]
        while first := _first(waiting):
            yield first.popleft()[1]


def _video(container: InputContainer) -> VideoStream:
    if not container.streams.video:
        raise SourceError("there is no picture in it")
    video = container.streams.video[0]
    if video.width * video.height > _LARGEST:
        raise SourceError(f"{video.width}x{video.height} is too large; at most {_LARGEST} pixels")
    # a stream may change its size later: no larger picture is decoded then either
    video.codec_context.options = {"max_pixels": str(_LARGEST)}
    return video


def _first(
    waiting: "dict[int, deque[tuple[float, av.Packet[Any]]]]",
) -> "deque[tuple[float, av.Packet[Any]]] | None":
    filled = [each for each in waiting.values() if each]
    return min(filled, key=lambda each: each[0][0]) if filled else None


def _when(packet: "av.Packet[Any]", before: float) -> float:
    stamp = packet.pts if packet.dts is None else packet.dts
    if stamp is None or packet.time_base is None:
        return before
    early = _EARLY if packet.stream.type == "audio" else 0.0
    return float(stamp * packet.time_base) - early
