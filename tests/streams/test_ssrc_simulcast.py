"""Cameras that come in several sizes at once, told apart by `a=ssrc-group:SIM` alone."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCSessionDescription
from aiortc.codecs import get_encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import (
    RTCP_PSFB_PLI,
    AnyRtcpPacket,
    RtcpByePacket,
    RtcpPsfbPacket,
    RtcpRtpfbPacket,
    RtpPacket,
    wrap_rtx,
)

from streams.aiortc_patches import TransportSettings, install
from streams.frame import Frame
from streams.peer import Callbacks, Peer
from streams.sound import LipSync
from streams.stats import SessionStats
from tests.server.players import Publisher, codecs
from tests.streams.waiting import PATIENCE, eventually

_SIZES = {64: 60, 128: 120, 192: 190}  # pixels → grey level, in the order of libwebrtc
_LOST = 0.03  # of all packets


class Source:
    """One layer: a grey noise of its own size and level, with a clock and numbers of its own."""

    def __init__(self, codec: RTCRtpCodecParameters, size: int) -> None:
        self.number, self.repairs, self.size = random.getrandbits(31), random.getrandbits(31), size
        self.asked_for_keys = self.repaired = 0
        self._codec, self._encoder, self._wants_key = codec, get_encoder(codec), True
        self._sequence, self._repair = random.getrandbits(16), random.getrandbits(16)
        self._clock, self._sent = random.getrandbits(32), dict[int, RtpPacket]()
        self._noise = np.random.default_rng(size)
        self.again: list[RtpPacket] = []  # to be sent as repairs

    def packets(self, count: int) -> list[RtpPacket]:
        """Encode a frame."""
        grey = self._noise.normal(_SIZES[self.size], 12, (self.size, self.size, 1)).clip(0, 255)
        image = np.repeat(grey.astype(np.uint8), 3, axis=2)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = count * 3000, Fraction(1, 90000)
        payloads, timestamp = self._encoder.encode(frame, self._wants_key)
        self._wants_key = False
        made = []
        for payload in payloads:
            self._sequence = (self._sequence + 1) % 2**16
            packet = RtpPacket(
                payload_type=self._codec.payloadType,
                marker=int(payload is payloads[-1]),
                sequence_number=self._sequence,
                timestamp=(self._clock + timestamp) % 2**32,
                ssrc=self.number,
                payload=payload,
            )
            self._sent[self._sequence] = packet
            made.append(packet)
        return made

    async def _handle_rtcp_packet(self, report: AnyRtcpPacket) -> None:
        if isinstance(report, RtcpPsfbPacket) and report.fmt == RTCP_PSFB_PLI:
            self.asked_for_keys += 1
            self._wants_key = True
        if isinstance(report, RtcpRtpfbPacket):
            self.again += [self._repaired(number) for number in report.lost if number in self._sent]

    def _repaired(self, number: int) -> RtpPacket:
        self.repaired += 1
        self._repair = (self._repair + 1) % 2**16
        repair_type = self._codec.payloadType + 1
        return wrap_rtx(self._sent[number], repair_type, self._repair, self.repairs)


class OldPublisher(Publisher):
    """Offers layers as browsers did before they had names, and sends those that are wanted."""

    def __init__(self, codec: str) -> None:
        super().__init__()
        self._codec, self.sources, self.sends = codec, dict[int, Source](), set[int]()
        self._chance, self._task = random.Random(1), None
        self.camera.paused = True  # its packets are made here

    async def offer(self) -> str:
        transceiver = self.connection.addTransceiver(self.camera, direction="sendonly")
        transceiver.setCodecPreferences(codecs(self._codec))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        text = self.connection.localDescription.sdp
        self._transport: Any = transceiver.sender.transport
        self.sources = {size: Source(transceiver._codecs[0], size) for size in _SIZES}
        for source in self.sources.values():
            self._transport._rtp_router.senders[source.number] = source
        return with_group(text, [*self.sources.values()])

    async def send(self) -> None:
        """Send what is wanted of the camera; on and on."""
        for count in range(10_000):
            for size in sorted(self.sends):
                for packet in self.sources[size].packets(count):
                    if self._chance.random() >= _LOST:
                        await self._transport._send_rtp(packet.serialize())
            for source in self.sources.values():
                while source.again:
                    await self._transport._send_rtp(source.again.pop(0).serialize())
            await asyncio.sleep(1 / 30)

    async def say_goodbye(self, size: int) -> None:
        self.sends.discard(size)
        goodbye = RtcpByePacket(sources=[self.sources[size].number])
        await self._transport._send_rtp(bytes(goodbye))


def with_group(text: str, sources: list[Source]) -> str:
    """Say in an offer which sources there are, in place of the one that it names."""
    kept = [line for line in text.splitlines() if not line.startswith("a=ssrc")]
    groups = [f"a=ssrc-group:SIM {' '.join(str(source.number) for source in sources)}"]
    groups += [f"a=ssrc-group:FID {source.number} {source.repairs}" for source in sources]
    named = [number for source in sources for number in (source.number, source.repairs)]
    return "\r\n".join([*kept, *groups, *(f"a=ssrc:{one} cname:camera" for one in named), ""])


class Seen:
    """The pictures that came in; each is checked as it comes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.wrong: list[str] = []
        self._last: Frame | None = None

    def take(self, frame: Frame) -> None:
        size = frame.picture.width
        image = frame.picture.to_ndarray(format="rgb24")
        half = size // 2
        quarters = [image[y : y + half, x : x + half].mean() for y in (0, half) for x in (0, half)]
        if any(abs(level - _SIZES[size]) > 8 for level in quarters):
            self.wrong.append(f"{size} pixels at {quarters}")
        if self._last is not None and not 0 < frame.pts - self._last.pts < 90_000 * PATIENCE:
            self.wrong.append(f"time went from {self._last.pts} to {frame.pts}")
        self.sizes.append(size)
        self._last = frame

    async def shows(self, size: int) -> None:
        """Wait until the newest pictures are all of this size."""
        begun = len(self.sizes)
        await eventually(lambda: self.sizes[begun:][-20:] == [size] * 20)


@asynccontextmanager
async def publishing(codec: str) -> AsyncIterator[tuple[OldPublisher, Seen]]:
    install(TransportSettings())
    seen, publisher = Seen(), OldPublisher(codec)
    peer = Peer(Callbacks(seen.take, print, lambda: None), SessionStats(), LipSync(lambda: None))
    sending = None
    try:
        answer = await peer.accept(await publisher.offer(), sends=False)
        assert "simulcast" not in answer
        await publisher.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await eventually(lambda: publisher.connection.connectionState == "connected")
        sending = asyncio.create_task(publisher.send())
        yield publisher, seen
        assert not seen.wrong
        assert not sending.done()
    finally:
        if sending is not None:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        await publisher.close()
        await peer.close()


@pytest.mark.parametrize("codec", ["VP8", "H264"])
async def test_the_largest_layer_that_comes_is_shown_and_repaired(codec: str) -> None:
    async with publishing(codec) as (publisher, seen):
        publisher.sends = {64}
        await seen.shows(64)
        publisher.sends = {64, 128, 192}
        await seen.shows(192)
        await eventually(lambda: publisher.sources[192].repaired > 5)
        publisher.sends = {64, 128}
        await seen.shows(128)
        publisher.sends = {64, 128, 192}
        await seen.shows(192)
        assert publisher.sources[192].asked_for_keys
        assert publisher.sources[64].asked_for_keys <= 2  # at first, if it began before the rest


async def test_a_layer_that_said_goodbye_may_come_back() -> None:
    async with publishing("VP8") as (publisher, seen):
        publisher.sends = {64, 192}
        await seen.shows(192)
        await publisher.say_goodbye(192)
        await seen.shows(64)
        await publisher.say_goodbye(64)
        publisher.sends = {64, 192}
        await seen.shows(192)
