"""Everything that reaches inside aiortc and aioice. Each part says what it mends and why.

The names that are replaced belong to the versions below; with any other version importing this
file fails, so that somebody looks at it again. Facts: transport.md section 1, reliability.md 5A.
"""

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from typing import Any, cast

import aioice.ice
import aioice.stun
import av
from aiortc import RTCPeerConnection, RTCRtpSender, rtcrtpreceiver, rtcrtpsender
from aiortc.codecs import get_decoder, get_encoder
from aiortc.codecs.base import Decoder, Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder, VpxPayloadDescriptor
from aiortc.jitterbuffer import JitterFrame
from aiortc.rate import BandwidthUsage, RemoteBitrateEstimator
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtcpRrPacket, RtcpSrPacket
from av.video.codeccontext import VideoCodecContext

from streams.convert import plain
from streams.frame import Encoded
from streams.jitter import Frames, MarkerJitterBuffer, PatientNackGenerator

logger = logging.getLogger(__name__)

_REVIEWED = {"aiortc": "1.16.", "aioice": "0.13."}
for _package, _start in _REVIEWED.items():
    if not version(_package).startswith(_start):
        raise ImportError(
            f"{_package} {version(_package)}: streams/aiortc_patches.py was written against "
            f"{_start}x; review it for this version, or `pip install '{_package}=={_start}*'`"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportSettings:
    """What the patches are set to. Bitrates in bits per second."""

    ice_addresses: tuple[str, ...] | None = ("127.0.0.1",)  # None: every address of the host
    start_bitrate: int = 2_000_000
    min_bitrate: int = 250_000
    max_bitrate: int = 8_000_000
    remb_floor: int = 1_500_000
    max_width: int = 1920
    max_height: int = 1088


_settings = TransportSettings()


def install(settings: TransportSettings) -> None:
    """Put every patch in place; may be called again with other settings."""
    global _settings
    _settings = settings
    vars(rtcrtpreceiver)["JitterBuffer"] = MarkerJitterBuffer
    vars(rtcrtpreceiver)["NackGenerator"] = PatientNackGenerator
    vars(rtcrtpreceiver)["RemoteBitrateEstimator"] = FlooredEstimator
    vars(rtcrtpreceiver)["decoder_worker"] = decode_frames
    vars(rtcrtpsender)["get_encoder"] = make_encoder
    setattr(RTCRtpSender, "_handle_rtcp_packet", handle_feedback)  # noqa: B010 - a method of aiortc
    aioice.ice.get_host_addresses = host_addresses
    aioice.ice.StunProtocol.datagram_received = receive_datagram


# --- receiving ---------------------------------------------------------------------------------


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
        return max(estimate[0], _settings.remb_floor), estimate[1]


_MOST_WAITING = 4  # encoded frames before the decoder; more means that it is too slow
_MOST_DECODED = 2  # pictures before a reader that drains at once
_MOST_SOUND = 50  # packets of sound, a second


def decode_frames(
    loop: asyncio.AbstractEventLoop,
    encoded: "queue.Queue[tuple[RTCRtpCodecParameters, JitterFrame] | None]",
    decoded: "asyncio.Queue[Any]",
    decode_error: threading.Event,
) -> None:
    """Run as the decoder thread of a track, in place of aiortc's.

    Empty frames are skipped (one would end the codec, trap A4), too large pictures are dropped
    before they are decoded (A18), no exception ends the thread (A3), neither queue grows (A6), and
    closing waits for one frame at most (A1). `decode_error` makes aiortc ask for a key frame.
    """
    codec_name, decoder = "", None
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
                if decoder is None or codec.name != codec_name:
                    codec_name, decoder = codec.name, _make_decoder(codec)
                pictures = [
                    plain(picture) if isinstance(picture, av.VideoFrame) else picture
                    for picture in decoder.decode(frame)
                ]
            except Exception as error:  # noqa: BLE001 - whatever a hostile bitstream makes it raise
                logger.debug("a frame was not decoded: %s", error)
                decode_error.set()
                continue
            for picture in pictures:
                _call(loop, _replace_oldest, decoded, picture, _MOST_DECODED)
    _call(loop, decoded.put_nowait, None)


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
        most = _settings.max_width * _settings.max_height
        cast(Any, decoder).codec.options = {"max_pixels": str(most)}  # libvpx ignores it
    return decoder


def is_too_large(codec_name: str, data: bytes) -> bool:
    """Read the size that a VP8 key frame claims: 74 bytes can cost seconds and a gigabyte (A18)."""
    if codec_name != "VP8" or len(data) < 10 or data[0] & 1 or data[3:6] != b"\x9d\x01\x2a":
        return False
    width = int.from_bytes(data[6:8], "little") & 0x3FFF
    height = int.from_bytes(data[8:10], "little") & 0x3FFF
    return width > _settings.max_width or height > _settings.max_height


# --- sending -----------------------------------------------------------------------------------

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
    wanted = max(_settings.min_bitrate, min(bitrate, _settings.max_bitrate))
    return wanted if abs(wanted - current) > _STEP * current else current


class Bitrate:
    """What a sender may use: as much as the receiver estimates, and less where packets are lost.

    A receiver sees delay that grows, but not a short buffer that overflows; that only its loss
    reports tell, which aiortc does not heed. Source: draft-ietf-rmcat-gcc-02, section 6.
    """

    def __init__(self) -> None:
        self.current = _settings.start_bitrate
        self._estimated = _settings.start_bitrate
        self._by_loss = float(_settings.max_bitrate)

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
        self._by_loss = max(_settings.min_bitrate, min(self._by_loss, _settings.max_bitrate))
        self.estimate(self._estimated)


_handle_feedback = RTCRtpSender._handle_rtcp_packet


async def handle_feedback(self: RTCRtpSender, packet: Any) -> None:
    """Heed loss reports, then do as aiortc does."""
    encoder = vars(self).get("_RTCRtpSender__encoder")
    if isinstance(encoder, FastH264Encoder | WideVp8Encoder) and isinstance(
        packet, RtcpRrPacket | RtcpSrPacket
    ):
        for report in packet.reports:
            if report.ssrc == self._ssrc:
                encoder.bitrate.report(report.fraction_lost / 256)
    await _handle_feedback(self, packet)


class FastH264Encoder(H264Encoder):
    """x264 for live pictures: aiortc sets no preset, and "medium" costs nine times as much."""

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
        packed: tuple[list[bytes], int] = super().pack(packet)
        return packed

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


class WideVp8Encoder(Vp8Encoder):
    """aiortc's VP8 with our bounds; its own end at 1.5 Mbit/s."""

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

    def _ours(self) -> int:
        return self.bitrate.current

    def _aiortcs(self, bitrate: int) -> None:
        """Ignore the bitrate that aiortc's constructor sets."""

    _Vp8Encoder__target_bitrate = property(_ours, _aiortcs)  # what aiortc's own methods read

    def pack(self, packet: Any) -> tuple[list[bytes], int]:
        """Pass on what was encoded and cut for several viewers."""
        if isinstance(packet, Encoded):
            return packet.payloads, packet.timestamp
        packed: tuple[list[bytes], int] = super().pack(packet)
        return packed


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


def keep_opus(connection: RTCPeerConnection) -> bool:
    """Agree on Opus and nothing else for sound, as far as it was offered; say whether it was.

    For between the offer and the answer: with another codec first in the list, packets of Opus
    would be sent under its name.
    """
    found = False
    for transceiver in connection.getTransceivers():
        opus = [c for c in transceiver._codecs if c.mimeType.lower() == "audio/opus"]
        if transceiver.kind == "audio" and opus:
            transceiver._codecs = opus  # its preferences count before the offer only
            found = True
    return found


def on_key_request(sender: RTCRtpSender, ask: Callable[[], None]) -> None:
    """Call `ask` at each PLI and FIR: aiortc only notes it for an encoder of the sender's own."""
    vars(sender)["_send_keyframe"] = ask


# --- connecting --------------------------------------------------------------------------------


def host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """Give the addresses that ICE listens on: aioice would open ports on every one (A12)."""
    if _settings.ice_addresses is None:
        every: list[str] = _all_addresses(use_ipv4, use_ipv6)
        return every
    return [a for a in _settings.ice_addresses if (use_ipv6 if ":" in a else use_ipv4)]


_all_addresses = aioice.ice.get_host_addresses


def receive_datagram(self: aioice.ice.StunProtocol, data: bytes, addr: tuple[Any, ...]) -> None:
    """Take a datagram in place of aioice's method.

    aioice checks no source: before the handshake one foreign datagram breaks a session (A14), and
    an empty one closes it at any time (A15). Data passes only from an address that sent an
    authenticated binding request or answered ours. Malformed STUN is dropped (A16).
    """
    if not data:
        return
    source = (addr[0], addr[1])
    known: set[tuple[str, int]] = self.__dict__.setdefault("authenticated", set())
    try:
        message = aioice.stun.parse_message(data)
    except ValueError:
        if source in known and _is_peer_data(data):
            self.receiver.data_received(data, self.local_candidate.component)
        return
    except Exception as error:  # noqa: BLE001 - struct.error and others, by hostile attributes
        logger.debug("malformed STUN: %s", error)
        return
    if message.message_class == aioice.stun.Class.REQUEST:
        if message.check_message_integrity(self.receiver.local_password.encode()):
            known.add(source)
        self.receiver.request_received(message, source, self)
    elif message.transaction_id in self.transactions:
        known.add(source)
        self.transactions[message.transaction_id].response_received(message, source)


def _is_peer_data(data: bytes) -> bool:
    """DTLS, SRTP and SRTCP begin with 20 .. 63 and 128 .. 191 (RFC 7983)."""
    return 20 <= data[0] <= 63 or 128 <= data[0] <= 191


def with_start_bitrate(sdp: str, kbps: int = 3000) -> str:
    """Ask Chrome to start at a bitrate, by its own parameter in each video codec's fmtp line."""
    lines = sdp.split("\r\n")
    video, wanted = False, set()
    for line in lines:
        if line.startswith("m="):
            video = line.startswith("m=video")
        if (
            video
            and line.startswith("a=rtpmap:")
            and line.split(" ")[1].startswith(("VP8/", "H264/"))
        ):
            wanted.add(line[len("a=rtpmap:") :].split(" ")[0])
    out = []
    for line in lines:
        payload = line[len("a=fmtp:") :].split(" ")[0] if line.startswith("a=fmtp:") else ""
        if payload in wanted:
            wanted.discard(payload)
            line += f";x-google-start-bitrate={kbps}"
        out.append(line)
    for payload in wanted:  # VP8 has no fmtp line of its own
        at = next(i for i, line in enumerate(out) if line.startswith(f"a=rtpmap:{payload} "))
        out.insert(at + 1, f"a=fmtp:{payload} x-google-start-bitrate={kbps}")
    return "\r\n".join(out)
