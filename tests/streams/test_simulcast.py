"""Cameras that come in several sizes at once: what is answered, and whose packets are taken."""

import asyncio
import re
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from aiortc import RTCRtpReceiver, RTCSessionDescription
from aiortc.rtcrtpparameters import (
    RTCRtpCodecParameters,
    RTCRtpHeaderExtensionParameters,
    RTCRtpParameters,
)
from aiortc.rtp import HeaderExtensionsMap, RtpPacket, is_rtcp

from streams.aiortc_patches import TransportSettings, install
from streams.aiortc_patches.simulcast import LayerRouter
from streams.frame import Frame
from streams.peer import Callbacks, Peer
from streams.sound import LipSync
from streams.stats import SessionStats
from tests.server.client import Camera
from tests.server.players import Publisher, codecs

_RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
_REPAIRED = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
_URIS = {
    1: "urn:ietf:params:rtp-hdrext:sdes:mid",
    3: "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    4: _RID,
    5: _REPAIRED,
}
_FLASH_EVERY = 40  # pictures


class Flashing(Camera):
    """A grey picture, and a bright one now and then."""

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(1 / 30)
        level = 200 if self._number % _FLASH_EVERY == _FLASH_EVERY - 1 else 60
        image = np.full((64, 64, 3), level, np.uint8)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p")
        frame.pts, frame.time_base = self._number * 3000, Fraction(1, 90000)
        self._number += 1
        return frame


class Layered(Publisher):
    """Offers two layers, as browsers do; of the second comes only rubbish.

    The first loses each flash, whose packets come as repairs then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.camera = Flashing()
        self._marks, self._first = HeaderExtensionsMap(), -1
        extensions = [RTCRtpHeaderExtensionParameters(id=i, uri=uri) for i, uri in _URIS.items()]
        self._marks.configure(RTCRtpParameters(headerExtensions=extensions))

    async def offer(self, *more: str) -> str:
        transceiver = self.connection.addTransceiver(self.camera, direction="sendonly")
        transceiver.setCodecPreferences(codecs("VP8"))
        await self.connection.setLocalDescription(await self.connection.createOffer())
        self._transport: Any = transceiver.sender.transport
        self._pass_on, self._transport._send_rtp = self._transport._send_rtp, self._send
        lines = self.connection.localDescription.sdp.splitlines()
        left_out = ("a=ssrc", "a=candidate", "a=end-of-candidates")
        kept = [line for line in lines if not line.startswith(left_out)]
        marks = [f"a=extmap:4 {_RID}", f"a=extmap:5 {_REPAIRED}"]
        return "\r\n".join([*kept, *marks, *more, ""])

    async def _send(self, data: bytes) -> None:
        if is_rtcp(data):
            await self._pass_on(data)
            return
        packet = RtpPacket.parse(data, self._marks)
        if packet.payload_type == 98:
            packet.extensions.repaired_rtp_stream_id = "a"
            await self._pass_on(packet.serialize(self._marks))
            return
        payload, packet.payload = packet.payload, b"\x10" + bytes(len(packet.payload))
        packet.extensions.rtp_stream_id = "b"
        packet.ssrc ^= 1
        await self._pass_on(packet.serialize(self._marks))
        self._first = packet.timestamp if self._first < 0 else self._first
        number = round((packet.timestamp - self._first) % 2**32 / 3000)
        if number % _FLASH_EVERY != _FLASH_EVERY - 1:
            packet.extensions.rtp_stream_id = "a"
            packet.ssrc ^= 1
            packet.payload = payload
            await self._pass_on(packet.serialize(self._marks))


@pytest.mark.parametrize("named", [False, True])  # browsers name no source, OBS the first layer's
async def test_one_layer_is_taken_and_its_repairs_are_found(named: bool) -> None:
    install(TransportSettings())
    frames: asyncio.Queue[Frame] = asyncio.Queue()
    peer = Peer(
        Callbacks(frames.put_nowait, print, lambda: None), SessionStats(), LipSync(lambda: None)
    )
    publisher = Layered()
    try:
        offer = await publisher.offer("a=rid:a send", "a=rid:b send", "a=simulcast:send a;b")
        source = publisher.connection.getSenders()[0]._ssrc
        offer += f"a=ssrc:{source} cname:camera\r\n" if named else ""
        answer = await peer.accept(offer, sends=False)
        assert answer.splitlines()[-3:] == ["a=rid:a recv", "a=rid:b recv", "a=simulcast:recv a;~b"]
        assert f"a=extmap:4 {_RID}" in answer
        await publisher.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        levels = []
        async with asyncio.timeout(40):
            while not levels or max(levels) < 150:
                picture = (await frames.get()).picture
                levels.append(float(picture.to_ndarray(format="rgb24").mean()))
        assert all(abs(level - 60) < 8 for level in levels[:-1])
        assert abs(levels[-1] - 200) < 8
    finally:
        await publisher.close()
        await peer.close()


_PLAIN: list[str] = []


def named(layers: str) -> list[str]:
    return [f"a=rid:{layer} send" for layer in layers]


@pytest.mark.parametrize(
    ("offered", "answered"),
    [
        (["a=simulcast:send 0;1;2"], ["0", "1", "2", "0;~1;~2"]),
        (["a=simulcast:send ~0;1,2"], ["1", "1"]),
        (["a=simulcast:recv 9 send 2;0"], ["2", "0", "2;~0"]),
        (["a=simulcast:recv 1"], _PLAIN),
        (["a=simulcast:send"], _PLAIN),
        (["a=simulcast:send 7;8"], _PLAIN),
        (["a=simulcast:"], _PLAIN),
        ([], _PLAIN),
        (
            ["a=rid:x send pt=97,45;max-width=64", "a=simulcast:send x"],
            ["x pt=97;max-width=64", "x"],
        ),
        (["a=rid:x send pt=45", "a=rid:y send pt=97", "a=simulcast:send x;y"], ["y pt=97", "y"]),
        (["a=rid:x send pt=45", "a=simulcast:send x"], _PLAIN),
        ([*named("qhf"), "a=simulcast:send q;h;f"], ["q", "h", "f", "~q;~h;f"]),
        ([*named("fhq"), "a=simulcast:send f;h;q"], ["f", "h", "q", "f;~h;~q"]),
        ([*named("mh"), "a=simulcast:send m;h"], ["m", "h", "~m;h"]),
        ([*named("qx"), "a=simulcast:send q;x"], ["q", "x", "q;~x"]),
        (
            [
                "a=rid:x send max-width=320;max-height=180",
                "a=rid:y send max-width=640;max-height=360",
                "a=simulcast:send x;y",
            ],
            ["x max-width=320;max-height=180", "y max-width=640;max-height=360", "~x;y"],
        ),
    ],
)
async def test_the_answer_lists_layers_as_they_were_offered_and_wants_the_largest(
    offered: list[str], answered: list[str]
) -> None:
    install(TransportSettings())
    peer = Peer(Callbacks(print, print, lambda: None), SessionStats(), LipSync(lambda: None))
    publisher = Layered()
    try:
        known = named("012")
        answer = await peer.accept(await publisher.offer(*known, *offered), sends=False)
    finally:
        await publisher.close()
        await peer.close()
    said = re.findall(r"a=(?:rid|simulcast):.*", answer.replace("\r", ""))
    wanted = [re.sub(r"^(\S+)", r"a=rid:\1 recv", line) for line in answered[:-1]]
    assert said == wanted + [f"a=simulcast:recv {line}" for line in answered[-1:]]


async def test_without_marks_that_tell_layers_apart_none_is_agreed_on() -> None:
    install(TransportSettings())
    peer = Peer(Callbacks(print, print, lambda: None), SessionStats(), LipSync(lambda: None))
    publisher = Layered()
    try:
        offer = await publisher.offer("a=rid:a send", "a=rid:b send", "a=simulcast:send a;b")
        answer = await peer.accept(offer.replace(_RID, "urn:example:other"), sends=False)
    finally:
        await publisher.close()
        await peer.close()
    assert "simulcast" not in answer


def test_a_probe_before_any_picture_does_not_cost_the_repairs_after() -> None:
    router = LayerRouter()
    receiver = RTCRtpReceiver("video", SimpleNamespace(state="new"))  # type: ignore[arg-type]  # a part
    repairs = vars(receiver)["_RTCRtpReceiver__rtx_ssrc"]
    for payload_type, name in ((97, "VP8"), (98, "rtx")):
        codec = RTCRtpCodecParameters(f"video/{name}", 90000, payloadType=payload_type)
        vars(receiver)["_RTCRtpReceiver__codecs"][payload_type] = codec
    router.register_receiver(receiver, [], [97, 98])
    assert router.route_rtp(RtpPacket(payload_type=98, ssrc=2)) is None
    assert router.route_rtp(RtpPacket(payload_type=97, ssrc=1)) is receiver
    assert router.route_rtp(RtpPacket(payload_type=98, ssrc=2)) is receiver
    assert repairs == {2: 1}
