"""What an encoded stream says of its colours."""

from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

_SMPTE_170M = 6  # matrix, primaries and curve of BT.601 at 60 Hz, as numbered in ITU-T H.273


def tell_colours(stream: VideoStream) -> None:
    """Say that its pictures are as `convert.plain` makes them; before the first one.

    Where nothing is said, players go by the size and show tall pictures as BT.709: greener.
    """
    context = stream.codec_context
    context.color_range = ColorRange.MPEG
    context.colorspace = context.color_primaries = context.color_trc = _SMPTE_170M
