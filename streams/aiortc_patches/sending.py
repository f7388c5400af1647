"""What goes out: encoders for live pictures, and the bitrate that they may use."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
from aiortc import RTCRtpSender
from aiortc.codecs import get_encoder
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder, VpxPayloadDescriptor
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtcpRrPacket, RtcpRtpfbPacket, RtcpSrPacket
from av.video.codeccontext import VideoCodecContext

from streams.aiortc_patches.settings import settings
from streams.frame import Encoded

_MOST_REPAIRS = 128  # packets that one request gets again; aiortc keeps no more
_STEP = 0.25  # change of bitrate that is worth a new encoder, and so a key frame


def make_encoder(codec: RTCRtpCodecParameters) -> Encoder:
    """Give our encoders for video, aiortc's for the rest; replaces aiortc's function."""
    if codec.mimeType.lower() == "video/h264":
        return FastH264Encoder()
    if codec.mimeType.lower() == "video/vp8":
        return WideVp8Encoder()
    return get_encoder(codec)


def _limited(bitrate: int, current: int) -> int:
    """Keep a bitrate within bounds; small changes are not followed."""
    wanted = max(settings().min_bitrate, min(bitrate, settings().max_bitrate))
    return wanted if abs(wanted - current) > _STEP * current else current


class Bitrate:
    """What a sender may use: as much as the receiver estimates, and less where packets are lost.

    A receiver sees delay that grows, but not a short buffer that overflows; that only its loss
    reports tell, which aiortc does not heed. Source: draft-ietf-rmcat-gcc-02, section 6.
    """

    def __init__(self) -> None:
        self.current = settings().start_bitrate
        self._estimated = settings().start_bitrate
        self._by_loss = float(settings().max_bitrate)

    def estimate(self, bitrate: int) -> None:
        """Take the receiver's estimate, bits per second."""
        self._estimated = bitrate
        self.current = _limited(int(min(bitrate, self._by_loss)), self.current)

    def report(self, lost: float) -> None:
        """Take the share of packets that was lost since the last report."""
        if lost > 0.1:
            self._by_loss = min(self._by_loss, self.current) * (1 - lost / 2)
        elif lost < 0.02:
            self._by_loss *= 1.08
        self._by_loss = max(settings().min_bitrate, min(self._by_loss, settings().max_bitrate))
        self.estimate(self._estimated)


_handle_feedback = RTCRtpSender._handle_rtcp_packet


async def handle_feedback(self: RTCRtpSender, packet: Any) -> None:
    """Heed loss reports, then do as aiortc does, which would send a packet as often as it is named.

    One request may name 6,000, each of them again and again.
    """
    if isinstance(packet, RtcpRtpfbPacket):
        packet.lost = list(dict.fromkeys(packet.lost))[:_MOST_REPAIRS]
    encoder = vars(self).get("_RTCRtpSender__encoder")
    if isinstance(encoder, _LiveEncoder) and isinstance(packet, RtcpRrPacket | RtcpSrPacket):
        for report in packet.reports:
            if report.ssrc == self._ssrc:
                encoder.bitrate.report(report.fraction_lost / 256)
    await _handle_feedback(self, packet)


class _LiveEncoder(Encoder):
    """What our encoders add to aiortc's, which come after this one in the order of bases."""

    def __init__(self) -> None:
        super().__init__()
        self.bitrate = Bitrate()

    @property
    def target_bitrate(self) -> int:
        """Bits per second; the receiver's REMB sets it."""
        return self.bitrate.current

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self.bitrate.estimate(bitrate)

    def pack(self, packet: Any) -> tuple[list[bytes], int]:
        """Pass on what was encoded and cut for several viewers."""
        if isinstance(packet, Encoded):
            return packet.payloads, packet.timestamp
        # the next base's: that of aiortc's encoder
        packed: tuple[list[bytes], int] = super().pack(packet)  # type: ignore[safe-super]
        return packed


class FastH264Encoder(_LiveEncoder, H264Encoder):
    """x264 for live pictures: aiortc sets no preset, and "medium" costs nine times as much."""

    def _encode_frame(self, frame: av.VideoFrame, force_keyframe: bool) -> Iterator[bytes]:
        if frame.format.name != "yuv420p":
            frame = frame.reformat(format="yuv420p")
        codec = self.codec
        if codec is None or (codec.width, codec.height, codec.bit_rate) != (
            frame.width, frame.height, self.target_bitrate,
        ):  # fmt: skip
            codec = self.codec = self._open(frame.width, frame.height)
        kinds = av.video.frame.PictureType
        frame.pict_type = kinds.I if force_keyframe else kinds.NONE
        data = b"".join(bytes(packet) for packet in codec.encode(frame))
        if data:
            yield from self._split_bitstream(data)

    def _open(self, width: int, height: int) -> VideoCodecContext:
        codec = av.CodecContext.create("libx264", "w")
        codec.width, codec.height = width, height
        codec.bit_rate = self.target_bitrate
        codec.pix_fmt = "yuv420p"
        codec.framerate = Fraction(30, 1)
        codec.time_base = Fraction(1, 90000)  # aiortc's 1/30 is off by two at 60 fps
        codec.gop_size = 3000  # key frames when asked for, not on a clock
        codec.thread_count = 1  # more threads would delay each frame
        codec.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "maxrate": str(self.target_bitrate),
            "bufsize": str(self.target_bitrate // 2),
        }
        codec.profile = "Baseline"
        return codec


class WideVp8Encoder(_LiveEncoder, Vp8Encoder):
    """aiortc's VP8 with our bounds; its own end at 1.5 Mbit/s."""

    def _ours(self) -> int:
        return self.bitrate.current

    def _aiortcs(self, bitrate: int) -> None:
        """Ignore the bitrate that aiortc's constructor sets."""

    _Vp8Encoder__target_bitrate = property(_ours, _aiortcs)  # what aiortc's own methods read


def is_key(codec: RTCRtpCodecParameters, payloads: list[bytes]) -> bool:
    """Say whether RTP payloads of one picture are a key frame."""
    if codec.mimeType.lower() == "video/vp8":
        _, data = VpxPayloadDescriptor.parse(payloads[0]) if payloads else (None, b"\1")
        return not data[0] & 1  # RFC 7741 section 4.3: the inverse key frame flag
    return any(_begins_idr(payload) for payload in payloads)


def _begins_idr(payload: bytes) -> bool:
    kind = payload[0] & 0x1F
    if kind == 24:  # several units in one payload (RFC 6184 section 5.7.1); x264's begin with SPS
        kind = payload[3] & 0x1F
    elif kind == 28:  # part of a unit: the kind of the whole
        kind = payload[1] & 0x1F
    return kind in (5, 7)  # IDR, and SPS, which comes with each IDR


def on_key_request(sender: RTCRtpSender, ask: Callable[[], None]) -> None:
    """Call `ask` at each PLI and FIR: aiortc only notes it for an encoder of the sender's own."""
    vars(sender)["_send_keyframe"] = ask
