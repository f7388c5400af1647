"""Opus into a container that is written live: as it came, or as AAC. Both block."""

import contextlib
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import av
from av.container import OutputContainer
from av.filter import Graph

_RATE, _CLOCK = 48_000, Fraction(1, 48_000)
_BITRATE = 128_000  # of AAC; what Twitch and YouTube advise
# follows the packets' times: stretches a little, fills holes, begins at 0
_STEADY = "48000:async=1000:first_pts=0"
# microseconds that a picture may wait in FFmpeg for the sound before it; ten seconds unless said
INTERLEAVE = {"max_interleave_delta": "200000"}


class OpusCopy:
    """Writes packets as they came, each at its time."""

    def __init__(self, container: OutputContainer) -> None:
        """Add a stream; before `container.start_encoding()`."""
        self._container = container
        # its encoder is never used, but describes the stream
        self._stream = container.add_stream("libopus", rate=_RATE, layout="stereo")
        self._pts = -1

    def write(self, data: bytes, seconds: float) -> None:
        """Append a packet of Opus, `seconds` after the first picture."""
        self._pts = max(self._pts + 1, round(seconds * _RATE))
        packet: av.Packet[Any] = av.Packet(data)
        packet.pts = packet.dts = self._pts
        packet.time_base, packet.stream, packet.duration = _CLOCK, self._stream, _RATE // 50
        self._container.mux(packet)


class AacEncoder:
    """Decodes packets, brings them to an even pace by their times and encodes AAC."""

    def __init__(self, container: OutputContainer) -> None:
        """Add a stream; before `container.start_encoding()`."""
        self.bytes = 0
        self._container = container
        self._stream = container.add_stream("aac", rate=_RATE, layout="stereo")
        self._stream.bit_rate = _BITRATE
        self._decoder = av.CodecContext.create("libopus", "r")
        self._decoder.sample_rate, self._decoder.layout = _RATE, "stereo"
        self._graph = _steady()

    def write(self, data: bytes, seconds: float) -> None:
        """Append a packet of Opus, `seconds` after the first picture; a broken one is lost."""
        packet: av.Packet[Any] = av.Packet(data)
        try:
            frames = self._decoder.decode(packet)
        except av.FFmpegError:  # a peer may send anything
            return
        for frame in frames:
            frame.pts, frame.time_base = round(seconds * _RATE), _CLOCK
            self._graph.push(frame)
        self._pull()

    def close(self) -> None:
        """Write what is left."""
        self._graph.push(None)
        self._pull()
        self._mux(self._stream.encode(None))

    def _pull(self) -> None:
        with contextlib.suppress(av.BlockingIOError, av.EOFError):  # it has no more for now
            while True:
                frame = self._graph.pull()
                assert isinstance(frame, av.AudioFrame)
                self._mux(self._stream.encode(frame))

    def _mux(self, packets: Iterable["av.Packet[Any]"]) -> None:
        for packet in packets:
            if packet.pts is not None and packet.pts < 0:
                continue  # the encoder's run-up; it would shift the pictures' times, too
            self.bytes += packet.size
            self._container.mux(packet)


def _steady() -> Graph:
    graph = Graph()
    begin = graph.add_abuffer(
        format="s16", sample_rate=_RATE, layout="stereo", time_base=_CLOCK
    )  # what the decoder gives
    follow = graph.add("aresample", _STEADY)
    convert = graph.add("aformat", "sample_fmts=fltp:channel_layouts=stereo")
    end = graph.add("abuffersink")
    begin.link_to(follow)
    follow.link_to(convert)
    convert.link_to(end)
    graph.configure()
    graph.set_audio_frame_size(1024)  # of AAC
    return graph
