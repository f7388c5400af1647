"""One picture on its way, and where it came from."""

from dataclasses import dataclass
from fractions import Fraction
from typing import NewType

import av

SessionId = NewType("SessionId", str)


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded picture as it arrived."""

    number: int  # counts the decoded frames of its source, from 0
    pts: int  # in units of time_base, as the sender stamped it
    time_base: Fraction
    arrived_ns: int  # time.monotonic_ns() when the decoder handed it over
    picture: av.VideoFrame


@dataclass(frozen=True, slots=True)
class Restyled:
    """A picture to show, and the input frame that it shows."""

    source: Frame
    picture: av.VideoFrame
    stages_ms: dict[str, float]  # wait, convert_in, encode, unet, decode, convert_out; {} on bypass
    skipped: bool = False  # the picture before, because the input had hardly changed
    flicker: float | None = None  # grey levels, where the input stands still; None: not known
    paired: bool = False  # the picture is colour and matte side by side (matte.py)


@dataclass(frozen=True, slots=True)
class Encoded:
    """A picture in RTP payloads, ready for any number of senders of its codec."""

    payloads: list[bytes]
    timestamp: int  # in 1/90000 s
    is_key: bool  # decodes without the pictures before it
