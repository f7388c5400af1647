import asyncio
import queue
import random
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCDtlsTransport, RTCRtpCodecParameters, RTCRtpSender
from aiortc.codecs import get_decoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rate import RemoteBitrateEstimator
from aiortc.rtp import (
    HeaderExtensionsMap,
    RtcpReceiverInfo,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    RtpPacket,
)

from streams.aiortc_patches import TransportSettings, install, receiving
from streams.aiortc_patches.answers import with_start_bitrate
from streams.aiortc_patches.ice import host_addresses
from streams.aiortc_patches.receiving import FlooredEstimator, decode_frames, is_too_large
from streams.aiortc_patches.sending import FastH264Encoder, WideVp8Encoder, handle_feedback
from streams.jitter import Frames, MarkerJitterBuffer
from streams.peer import Callbacks, Peer
from streams.sound import LipSync
from streams.stats import SessionStats
from tests.fuzz.mutation import mutate
from tests.streams.pictures import frame, level_of
from tests.streams.waiting import PATIENCE, discard

VP8 = RTCRtpCodecParameters(mimeType="video/VP8", clockRate=90000, payloadType=97)
H264 = RTCRtpCodecParameters(mimeType="video/H264", clockRate=90000, payloadType=99)


def packets(frames: int, most: int, seed: int, markers: bool = True) -> list[RtpPacket]:
    """Frames of random numbers of packets, each packet with data of its own."""
    generator = random.Random(seed)
    made = []
    number = generator.randrange(65536)
    for index in range(frames):
        count = generator.randint(1, most)
        for part in range(count):
            packet = RtpPacket(
                sequence_number=number % 65536,
                timestamp=index * 3000,
                marker=int(markers and part == count - 1),
            )
            packet._data = f"{index}.{part};".encode()  # type: ignore[attr-defined]  # aiortc's own
            made.append(packet)
            number += 1
    return made


def fed(buffer: JitterBuffer, given: list[RtpPacket]) -> list[tuple[int, bytes]]:
    out = []
    for packet in given:
        _, whole = buffer.add(packet)
        ready = whole.all() if isinstance(whole, Frames) else [whole] if whole else []
        out += [(one.timestamp, one.data) for one in ready]
    return out


def test_a_frame_is_given_out_with_its_last_packet() -> None:
    given = packets(1, 5, seed=1)
    assert fed(JitterBuffer(512, is_video=True), given) == []
    assert len(fed(MarkerJitterBuffer(512, is_video=True), given)) == 1


def test_without_markers_it_does_as_aiortc_does() -> None:
    given = packets(30, 9, seed=2, markers=False)
    assert fed(MarkerJitterBuffer(512, is_video=True), given) == fed(
        JitterBuffer(512, is_video=True), given
    )


@pytest.mark.parametrize("seed", range(20))
def test_under_loss_late_repair_and_repeats_no_frame_is_broken_or_out_of_order(seed: int) -> None:
    generator = random.Random(seed)
    given = packets(60, 40, seed)
    data: dict[int, bytes] = {}
    for packet in given:
        data[packet.timestamp] = data.get(packet.timestamp, b"") + packet._data  # type: ignore[attr-defined]  # aiortc's
    whole = list(data.items())
    delayed: list[tuple[float, RtpPacket]] = []
    for index, packet in enumerate(given):
        late = generator.uniform(0, 25) if generator.random() < 0.1 else generator.uniform(0, 3)
        delayed.append((index + (0 if index == 0 else late), packet))
        if generator.random() < 0.05:
            delayed.append((index + late + 5, packet))
    arrived = [packet for _, packet in sorted(delayed, key=lambda entry: entry[0])]

    ours = fed(MarkerJitterBuffer(512, is_video=True), arrived)

    assert ours == whole[: len(ours)]  # the same frames with the same data in the same order
    assert len(ours) >= len(fed(JitterBuffer(512, is_video=True), arrived))


def test_a_lost_packet_holds_back_its_frame_only_until_it_comes() -> None:
    given = packets(3, 6, seed=5)
    hole = next(i for i, p in enumerate(given) if p.timestamp == 3000)
    buffer = MarkerJitterBuffer(512, is_video=True)

    before = fed(buffer, given[:hole] + given[hole + 1 :])
    after = fed(buffer, [given[hole], *packets(1, 1, 7)])

    assert [timestamp for timestamp, _ in before] == [0]
    assert 3000 in [timestamp for timestamp, _ in after]


def vp8_frames(count: int) -> list[bytes]:
    encoder = Vp8Encoder()
    made = []
    for number in range(count):
        encoder.encode(frame(number, 50 + number).picture)
    codec = av.CodecContext.create("libvpx", "w")
    codec.width = codec.height = 64
    codec.pix_fmt = "yuv420p"
    codec.time_base = frame(0).time_base
    codec.options = {"deadline": "realtime", "lag-in-frames": "0"}
    for number in range(count):
        made += [bytes(packet) for packet in codec.encode(frame(number, 50 + number).picture)]
    return made


def h264_frames(count: int, width: int = 64, height: int = 64) -> list[bytes]:
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height, codec.pix_fmt = width, height, "yuv420p"
    codec.time_base = frame(0).time_base
    codec.options = {"preset": "ultrafast", "tune": "zerolatency"}
    return [
        bytes(packet)
        for number in range(count)
        for packet in codec.encode(frame(number, 50 + number % 100, width, height).picture)
    ]


async def decoded(
    *data: bytes, codec: RTCRtpCodecParameters = VP8
) -> tuple[list[Any], threading.Event]:
    """Run the decoder thread over frames and give what came out, the end mark included."""
    encoded: queue.Queue[Any] = queue.Queue()
    out: asyncio.Queue[Any] = asyncio.Queue()
    wrong = threading.Event()
    pictures: list[Any] = []
    thread = threading.Thread(
        target=decode_frames, args=(asyncio.get_running_loop(), encoded, out, wrong)
    )
    thread.start()
    for index, one in enumerate(data):
        encoded.put((codec, JitterFrame(one, index * 3000)))
        while not encoded.empty():  # noqa: ASYNC110 - a thread's queue has no event
            await asyncio.sleep(0.002)
        while not out.empty():
            pictures.append(out.get_nowait())
    encoded.put(None)
    while not pictures or pictures[-1] is not None:
        pictures.append(await asyncio.wait_for(out.get(), PATIENCE))
    await asyncio.to_thread(thread.join)
    return pictures[:-1], wrong


async def test_an_empty_frame_does_not_end_the_codec() -> None:
    first, second, third = vp8_frames(3)
    pictures, _ = await decoded(first, b"", second, third)
    assert len(pictures) == 3


async def test_garbage_is_dropped_reported_and_survived() -> None:
    good = vp8_frames(2)
    pictures, wrong = await decoded(good[0], b"\xff" * 40, good[1])
    assert wrong.is_set()
    assert len(pictures) >= 1


async def test_a_picture_too_large_is_never_decoded() -> None:
    bomb = b"\x10\x02\x00\x9d\x01\x2a" + (16383).to_bytes(2, "little") * 2 + bytes(64)
    started = time.process_time()
    pictures, _ = await decoded(bomb)
    assert pictures == []
    assert time.process_time() - started < 0.5  # of all threads
    assert is_too_large("VP8", bomb)
    assert not is_too_large("VP8", vp8_frames(1)[0])


@pytest.mark.parametrize("first", [True, False])
async def test_h264_that_grows_too_large_is_never_decoded(first: bool) -> None:
    """Its size stands behind a code of variable length: FFmpeg reads it, and stops there."""
    small, bomb = h264_frames(2), h264_frames(1, 4096, 2304)
    before = [] if first else small
    pictures, wrong = await decoded(*before, *bomb, *small, codec=H264)
    assert wrong.is_set()
    assert [(each.width, each.height) for each in pictures] == [(64, 64)] * len(before + small)


def mutants(samples: list[bytes], count: int) -> list[bytes]:
    """Break frames; sizes are left alone, for large ones cost time and nothing else."""
    chance = random.Random(0)
    made = []
    while len(made) < count:
        whole = chance.choice(samples)
        one = whole[:12] + mutate(whole[12:], samples, chance)
        if one not in samples:
            made.append(one)
    return made


@pytest.mark.parametrize(("codec", "make"), [(VP8, vp8_frames), (H264, h264_frames)])
async def test_after_a_thousand_broken_frames_a_key_frame_is_a_picture_again(
    codec: RTCRtpCodecParameters, make: Callable[[int], list[bytes]]
) -> None:
    good = make(20)
    encoded: queue.Queue[Any] = queue.Queue()
    out: asyncio.Queue[Any] = asyncio.Queue()
    given = (asyncio.get_running_loop(), encoded, out, threading.Event())
    thread = threading.Thread(target=decode_frames, args=given)
    thread.start()
    for index, one in enumerate(mutants(good, 1000)):
        encoded.put((codec, JitterFrame(one, index * 3000)))
        while not encoded.empty():  # noqa: ASYNC110 - a thread's queue has no event
            await asyncio.sleep(0)
    discard(out)
    began = time.process_time()
    encoded.put((codec, JitterFrame(good[0], 3_003_000)))
    async with asyncio.timeout(PATIENCE):
        while (shown := await out.get()).pts != 3_003_000:
            pass
    assert time.process_time() - began < 2  # the time of a machine with nothing else to do
    assert abs(level_of(shown) - 50) <= 4
    encoded.put(None)
    while await asyncio.wait_for(out.get(), PATIENCE) is not None:
        pass
    await asyncio.to_thread(thread.join)


async def test_a_decoder_that_keeps_failing_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    class Stuck:
        """As one that a frame broke for good."""

        def __init__(self, codec: RTCRtpCodecParameters) -> None:
            self._real = get_decoder(codec)
            self._broken = not made
            made.append(self)

        def decode(self, encoded: JitterFrame) -> list[Any]:
            if self._broken:
                raise ValueError("as asked")
            return list(self._real.decode(encoded))

    monkeypatch.setattr(receiving, "get_decoder", Stuck)
    good = vp8_frames(1)[0]
    pictures, wrong = await decoded(*[good] * 12)
    assert wrong.is_set()
    assert (len(made), len(pictures)) == (2, 2)


async def test_a_backlog_is_dropped_and_the_end_behind_it_is_reached_at_once() -> None:
    encoded: queue.Queue[Any] = queue.Queue()
    out: asyncio.Queue[Any] = asyncio.Queue()
    wrong = threading.Event()
    for data in vp8_frames(60):
        encoded.put((VP8, JitterFrame(data, 0)))
    encoded.put(None)
    thread = threading.Thread(
        target=decode_frames, args=(asyncio.get_running_loop(), encoded, out, wrong)
    )
    thread.start()
    await asyncio.to_thread(thread.join, PATIENCE)
    assert not thread.is_alive()
    assert await asyncio.wait_for(out.get(), PATIENCE) is None


def encode(encoder: H264Encoder, numbers: range, key: int | None = None) -> list[list[bytes]]:
    return [
        encoder.encode(frame(n, 40 + n % 100, 128, 96).picture, force_keyframe=n == key)[0]
        for n in numbers
    ]


def test_h264_follows_only_large_changes_of_bitrate() -> None:
    encoder = FastH264Encoder()
    encode(encoder, range(2))
    codec = encoder.codec
    encoder.target_bitrate = int(encoder.target_bitrate * 1.2)
    encode(encoder, range(2, 4))
    assert encoder.codec is codec
    encoder.target_bitrate = int(encoder.target_bitrate * 1.5)
    encode(encoder, range(4, 6))
    assert encoder.codec is not codec


def test_h264_keeps_its_bitrate_within_bounds() -> None:
    encoder = FastH264Encoder()
    encoder.target_bitrate = 1
    assert encoder.target_bitrate == TransportSettings().min_bitrate
    encoder.target_bitrate = 10**9
    assert encoder.target_bitrate == TransportSettings().max_bitrate


@pytest.mark.parametrize("make", [FastH264Encoder, WideVp8Encoder])
def test_loss_takes_the_bitrate_down_and_it_comes_back_slowly(make: Any) -> None:
    encoder = make()
    encoder.target_bitrate = 2_000_000
    encoder.bitrate.report(0.05)  # some loss is no congestion
    assert encoder.target_bitrate == 2_000_000
    for _ in range(8):
        encoder.bitrate.report(0.4)
        encoder.target_bitrate = 2_000_000  # the receiver's estimate knows nothing of it
    assert encoder.target_bitrate < 600_000
    assert encoder.encode(frame(0, 50).picture, force_keyframe=True)[0]
    made = encoder.codec
    assert made is not None
    assert abs(made.bit_rate - encoder.target_bitrate) <= 1000  # x264 rounds
    for _ in range(30):
        encoder.bitrate.report(0.0)
    assert 1_500_000 < encoder.target_bitrate <= 2_000_000  # small changes are not followed


async def test_loss_reports_reach_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    sender = RTCRtpSender("video", transport=SimpleNamespace(state="new", _stats_id="t"))
    encoder = FastH264Encoder()
    vars(sender)["_RTCRtpSender__encoder"] = encoder
    lost = RtcpReceiverInfo(
        ssrc=sender._ssrc, fraction_lost=128, packets_lost=9, highest_sequence=99, jitter=0,
        lsr=0, dlsr=0,
    )  # fmt: skip
    for _ in range(4):
        await handle_feedback(sender, RtcpRrPacket(ssrc=1, reports=[lost]))
    assert encoder.target_bitrate < 1_000_000
    install(TransportSettings())
    assert RTCRtpSender._handle_rtcp_packet is handle_feedback


async def test_a_request_for_packets_gets_each_once_and_few() -> None:
    sender = RTCRtpSender("video", transport=SimpleNamespace(state="new", _stats_id="t"))
    asked: list[int] = []

    async def repair(number: int) -> None:
        asked.append(number)

    vars(sender)["_retransmit"] = repair
    for lost in ([7] * 6000, list(range(6000))):
        asked.clear()
        packet = RtcpRtpfbPacket(fmt=1, ssrc=1, media_ssrc=sender._ssrc)
        packet.lost = lost
        await handle_feedback(sender, packet)
        assert asked == list(dict.fromkeys(lost))[:128]


class Router:
    """Routes packets nowhere, and remembers their sources as aiortc's does."""

    def __init__(self) -> None:
        self.ssrc_table: dict[int, object] = {}

    def route_rtp(self, packet: RtpPacket) -> None:
        if packet.payload_type == 1:
            raise KeyError("as asked")
        self.ssrc_table[packet.ssrc] = self

    def route_rtcp(self, packet: Any) -> list[object]:
        raise struct.error("as asked")


async def test_packets_that_break_the_library_are_dropped_and_ever_new_sources_end_it() -> None:
    install(TransportSettings())
    transport: Any = object.__new__(RTCDtlsTransport)
    transport._rtp_router, transport._rtp_header_extensions_map = Router(), HeaderExtensionsMap()
    await transport._handle_rtp_data(RtpPacket(payload_type=1).serialize(), 0)
    await transport._handle_rtcp_data(bytes(RtcpRrPacket(ssrc=1)))
    for source in range(31):
        await transport._handle_rtp_data(RtpPacket(ssrc=source).serialize(), 0)
    with pytest.raises(ConnectionError):
        await transport._handle_rtp_data(RtpPacket(ssrc=31).serialize(), 0)


def test_h264_gives_a_key_frame_when_asked_and_only_then() -> None:
    kinds = [
        max(payload[0] & 0x1F for payload in payloads)
        for payloads in encode(FastH264Encoder(), range(8), key=5)
    ]
    is_key = [kind >= 5 for kind in kinds]  # 5: IDR; 24, 28: several units or a fragment
    assert is_key[0]
    assert is_key[5]
    assert not any(is_key[1:5])


def test_ice_listens_where_it_is_told_and_nowhere_else() -> None:
    install(TransportSettings(ice_addresses=("127.0.0.1", "::1")))
    assert host_addresses(True, False) == ["127.0.0.1"]
    assert host_addresses(True, True) == ["127.0.0.1", "::1"]
    install(TransportSettings())


def test_every_video_codec_of_an_answer_gets_one_start_bitrate() -> None:
    sdp = "\r\n".join(
        [
            "v=0", "m=audio 9 RTP 96", "a=rtpmap:96 opus/48000/2", "a=fmtp:96 minptime=10",
            "m=video 9 RTP 97 98 99", "a=rtpmap:97 VP8/90000", "a=rtpmap:98 rtx/90000",
            "a=fmtp:98 apt=97", "a=rtpmap:99 H264/90000", "a=fmtp:99 packetization-mode=1", "",
        ]
    )  # fmt: skip
    lines = with_start_bitrate(sdp).split("\r\n")
    assert [line for line in lines if "x-google" in line] == [
        "a=fmtp:97 x-google-start-bitrate=3000",
        "a=fmtp:99 packetization-mode=1;x-google-start-bitrate=3000",
    ]
    assert "a=fmtp:98 apt=97" in lines
    assert "a=fmtp:96 minptime=10" in lines


def test_h264_decodes_to_the_picture_that_went_in() -> None:
    encoder, decoder = FastH264Encoder(), av.CodecContext.create("h264", "r")
    shown = []
    for number in range(5):
        source = frame(number, 40 + 10 * number, 128, 96).picture
        encoder.encode(source)
        assert encoder.codec is not None
    codec = FastH264Encoder()._open(128, 96)
    for number in range(5):
        for packet in codec.encode(frame(number, 40 + 10 * number, 128, 96).picture):
            shown += decoder.decode(packet)
    levels = [picture.to_ndarray(format="rgb24").mean() for picture in shown]
    assert np.allclose(levels, [40, 50, 60, 70, 80][: len(levels)], atol=4)
    assert len(levels) >= 4


def test_a_browser_is_never_told_to_send_less_than_the_floor() -> None:
    def least(estimator: RemoteBitrateEstimator) -> int:
        told = [
            estimator.add(
                abs_send_time=(ms << 18) // 1000, arrival_time_ms=ms, payload_size=300, ssrc=1
            )
            for ms in range(0, 12_000, 10)
        ]
        return min(bitrate for bitrate, _ in filter(None, told))

    assert least(RemoteBitrateEstimator()) < TransportSettings().remb_floor  # 240 kbit/s come in
    assert least(FlooredEstimator()) >= TransportSettings().remb_floor


def test_a_link_where_packets_pile_up_is_told_what_it_carries() -> None:
    estimator = FlooredEstimator()
    told = []
    for number in range(1500):  # 1200 bytes each 5 ms, through 500 kbit/s into a deep buffer
        sent, arrived = number * 5, int(number * 19.2)
        found = estimator.add(
            abs_send_time=(sent << 18) // 1000, arrival_time_ms=arrived, payload_size=1200, ssrc=1
        )
        told += [found[0]] if found else []
    assert told[-1] < 600_000


async def test_no_server_is_asked_for_our_address_unless_configured() -> None:
    peer = Peer(Callbacks(print, print, print), SessionStats(), LipSync(lambda: None))
    try:
        assert peer._connection._RTCPeerConnection__configuration.iceServers == []  # type: ignore[attr-defined]  # aiortc keeps it there
    finally:
        await peer.close()


def test_another_version_of_aiortc_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    import streams.aiortc_patches as patches

    monkeypatch.setattr("importlib.metadata.version", lambda name: "2.0.0")
    source = Path(patches.__file__).read_text()
    with pytest.raises(ImportError, match=r"aiortc 2\.0\.0: .* review it"):
        exec(compile(source, patches.__file__, "exec"), {"__name__": "another"})
