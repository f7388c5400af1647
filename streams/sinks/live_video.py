"""H.264 into a container that is watched, or cut off, while it is written."""

from fractions import Fraction

import av
from av.container import OutputContainer
from av.video.frame import PictureType

from streams.sinks.colours import tell_colours

_TICK = Fraction(1, 90_000)


class LiveVideo:
    """Encodes pictures by their own time, with a key frame every so many seconds of it. Blocks.

    By time, not by count: a live rate is what the model makes of it. Raises what PyAV raises.
    """

    def __init__(
        self,
        container: OutputContainer,
        width: int,
        height: int,
        key_every: float,
        options: dict[str, str],
    ) -> None:
        """Add a stream; before `container.start_encoding()`."""
        self.bytes = 0  # of pictures; the container's own come on top
        self._container, self._key_every = container, key_every
        stream = self._stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        tell_colours(stream)
        stream.codec_context.time_base = _TICK
        stream.codec_context.gop_size = 100_000  # key frames come from below
        # no B-frames and no look-ahead: what was written is out, not in the encoder
        stream.options = {
            "tune": "zerolatency", "preset": "veryfast", "forced-idr": "1", **options
        }  # fmt: skip
        self._pts, self._key_at = -1, 0.0

    def write(self, picture: av.VideoFrame, seconds: float) -> None:
        """Append a picture, `seconds` after the first."""
        is_key = self._pts < 0 or seconds - self._key_at >= self._key_every
        if is_key:
            self._key_at = seconds
        picture.pict_type = PictureType.I if is_key else PictureType.NONE
        self._pts = picture.pts = max(self._pts + 1, round(seconds / _TICK))
        picture.time_base = _TICK
        self._mux(picture)

    def close(self) -> None:
        """Write what is left; the container stays open."""
        self._mux(None)

    def _mux(self, picture: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(picture):
            self.bytes += packet.size
            self._container.mux(packet)
