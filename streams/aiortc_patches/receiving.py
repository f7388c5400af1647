"""What comes in: its bitrate, and the thread that decodes it."""

import asyncio
import logging
import queue
import threading
from fractions import Fraction
from typing import Any, cast

import av
from aiortc import RTCDtlsTransport
from aiortc.codecs import get_decoder
from aiortc.codecs.base import Decoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.rate import BandwidthUsage, RemoteBitrateEstimator
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

from streams.aiortc_patches.settings import settings
from streams.convert import plain
from streams.jitter import Frames

logger = logging.getLogger(__name__)
_NARROW_MS = 10_000  # that a link counts as narrow after packets piled up


class FlooredEstimator(RemoteBitrateEstimator):
    """Never tells a browser to send less than the floor, unless its packets pile up on the way.

    aiortc's estimate starts at what came in the first second and grows by 8 % a second, so Chrome
    would shrink a 512 × 512 camera to 384 × 384 for a quarter of a minute. A link that is narrow
    shows by delay that grows; then the estimate holds, or a deep buffer on the way would fill.
    """

    def __init__(self) -> None:
        super().__init__()
        self._narrow_until_ms = 0

    def add(
        self, arrival_time_ms: int, abs_send_time: int, payload_size: int, ssrc: int
    ) -> tuple[int, list[int]] | None:
        """Estimate as aiortc does, and raise the result to the floor."""
        estimate = super().add(arrival_time_ms, abs_send_time, payload_size, ssrc)
        if self.detector.state() == BandwidthUsage.OVERUSING:
            self._narrow_until_ms = arrival_time_ms + _NARROW_MS
        if estimate is None or arrival_time_ms < self._narrow_until_ms:
            return estimate
        return max(estimate[0], settings().remb_floor), estimate[1]


_handle_rtp, _handle_rtcp = RTCDtlsTransport._handle_rtp_data, RTCDtlsTransport._handle_rtcp_data
_MOST_SOURCES = 31  # that aiortc remembers; a receiver report has no room for more


async def take_rtp(self: RTCDtlsTransport, data: bytes, arrival_time_ms: int) -> None:
    """Take a packet of media in place of aiortc's method; one that breaks it is dropped.

    Raises ConnectionError, which closes the connection, when the other side sends under ever new
    names: aiortc remembers each, and its reports break.
    """
    try:
        await _handle_rtp(self, data, arrival_time_ms)
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a hostile packet makes it raise
        logger.warning("a packet of media was dropped: %s", type(error).__name__)
    if len(self._rtp_router.ssrc_table) > _MOST_SOURCES:
        logger.warning("a connection is closed: more than %d sources of media", _MOST_SOURCES)
        raise ConnectionError


async def take_rtcp(self: RTCDtlsTransport, data: bytes) -> None:
    """Take a report on media in place of aiortc's method; one that breaks it is dropped."""
    try:
        await _handle_rtcp(self, data)
    except ConnectionError:
        raise
    except Exception as error:  # noqa: BLE001 - struct.error and others
        logger.warning("a report on media was dropped: %s", type(error).__name__)


_MOST_WAITING = 4  # encoded frames before the decoder; more means that it is too slow
_MOST_DECODED = 2  # pictures before a reader that drains at once
_MOST_SOUND = 50  # packets of sound, a second
_MOST_FAILURES = 10  # frames in a row that a decoder fails at before there is a new one


def decode_frames(
    loop: asyncio.AbstractEventLoop,
    encoded: "queue.Queue[tuple[RTCRtpCodecParameters, JitterFrame] | None]",
    decoded: "asyncio.Queue[Any]",
    decode_error: threading.Event,
) -> None:
    """Run as the decoder thread of a track, in place of aiortc's.

    Empty frames are skipped (one would end the codec), too large pictures are dropped
    before they are decoded, no exception ends the thread, a decoder that keeps failing is made
    anew, neither queue grows, and closing waits for one frame at most. `decode_error` makes aiortc
    ask for a key frame.
    """
    decoder = _Decoding()
    while (task := encoded.get()) is not None:
        if encoded.qsize() > _MOST_WAITING:
            if _drop_waiting(encoded):
                break
            decode_error.set()
            continue
        codec, waited = task
        if codec.mimeType.lower() == "audio/opus":
            _call(loop, _replace_oldest, decoded, _as_it_came(waited), _MOST_SOUND)
            continue
        for frame in waited.all() if isinstance(waited, Frames) else [waited]:
            if not frame.data or is_too_large(codec.name, frame.data):
                continue
            try:
                pictures = decoder.decode(codec, frame)
            except Exception as error:  # noqa: BLE001 - whatever a hostile bitstream makes it raise
                logger.debug("a frame was not decoded: %s", error)
                decode_error.set()
                continue
            for picture in pictures:
                _call(loop, _replace_oldest, decoded, picture, _MOST_DECODED)
    _call(loop, decoded.put_nowait, None)


class _Decoding:
    """A decoder for the codec in use, made anew when it keeps failing."""

    def __init__(self) -> None:
        self._codec_name = ""
        self._decoder: Decoder | None = None
        self._failures = 0  # in a row

    def decode(self, codec: RTCRtpCodecParameters, frame: JitterFrame) -> list[Any]:
        """Give the pictures of a frame. Raises whatever decoders raise."""
        if self._decoder is None or codec.name != self._codec_name:
            self._codec_name, self._decoder = codec.name, _make_decoder(codec)
            self._failures = 0
        try:
            pictures = [
                plain(picture) if isinstance(picture, av.VideoFrame) else picture
                for picture in self._decoder.decode(frame)
            ]
        except Exception:
            self._failures += 1
            if self._failures == _MOST_FAILURES:
                self._decoder = None
            raise
        self._failures = 0
        return pictures


def _drop_waiting(encoded: "queue.Queue[Any]") -> bool:
    """Empty the queue; say whether the end was in it."""
    try:
        while True:
            if encoded.get_nowait() is None:
                return True
    except queue.Empty:
        return False


def _replace_oldest(decoded: "asyncio.Queue[Any]", item: Any, most: int) -> None:
    while decoded.qsize() >= most:
        decoded.get_nowait()
    decoded.put_nowait(item)


def _as_it_came(frame: JitterFrame) -> "av.Packet[Any]":
    """Give sound as it is: it goes on unchanged, so decoding it would only cost quality."""
    packet: av.Packet[Any] = av.Packet(frame.data)
    packet.pts, packet.time_base = frame.timestamp, Fraction(1, 48000)
    return packet


def _call(loop: asyncio.AbstractEventLoop, function: Any, *arguments: Any) -> None:
    try:
        loop.call_soon_threadsafe(function, *arguments)
    except RuntimeError:  # the loop has closed: nobody listens
        logger.debug("a decoder outlived its loop")


def _make_decoder(codec: RTCRtpCodecParameters) -> Decoder:
    decoder = get_decoder(codec)
    if codec.name == "H264":
        most = settings().max_width * settings().max_height
        cast(Any, decoder).codec.options = {"max_pixels": str(most)}  # libvpx ignores it
    return decoder


def is_too_large(codec_name: str, data: bytes) -> bool:
    """Read the size that a VP8 key frame claims: 74 bytes can cost seconds and a gigabyte (A18)."""
    if codec_name != "VP8" or len(data) < 10 or data[0] & 1 or data[3:6] != b"\x9d\x01\x2a":
        return False
    width = int.from_bytes(data[6:8], "little") & 0x3FFF
    height = int.from_bytes(data[8:10], "little") & 0x3FFF
    return width > settings().max_width or height > settings().max_height
