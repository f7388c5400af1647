"""A page that publishes several sizes of its camera at once: one comes in."""

import asyncio

import numpy as np
import pytest
from playwright.async_api import Page

from tests.e2e.conftest import SHARED
from tests.e2e.pictures import read_picture
from tests.e2e.serving import TOKEN, Server

pytestmark = SHARED

_PUBLISH = """async ([url, token, sendEncodings]) => {
  const show = (id, stream) => {
    const video = document.body.appendChild(document.createElement("video"));
    video.dataset.testid = id;
    video.muted = video.autoplay = true;
    video.srcObject = stream;
  };
  window.ask = async (peer, url, token) => {
    await peer.setLocalDescription();
    const headers = { "Content-Type": "application/sdp", Authorization: `Bearer ${token}` };
    const body = peer.localDescription.sdp;
    const answer = await fetch(url, { method: "POST", headers, body });
    const sdp = await answer.text();
    if (answer.status !== 201) throw new Error(sdp);
    await peer.setRemoteDescription({ type: "answer", sdp });
    return sdp;
  };
  window.play = async (url, token) => {
    const peer = new RTCPeerConnection();
    peer.addTransceiver("video", { direction: "recvonly" });
    peer.addEventListener("track", ({ track }) => show("result", new MediaStream([track])));
    await window.ask(peer, url, token);
  };
  const size = { width: 640, height: 480 };
  const camera = await navigator.mediaDevices.getUserMedia({ video: size });
  show("camera", camera);
  window.publisher = new RTCPeerConnection();
  const direction = "sendonly";
  window.publisher.addTransceiver(camera.getVideoTracks()[0], { direction, sendEncodings });
  return [await window.ask(window.publisher, url, token), window.publisher.localDescription.sdp];
}"""
_SENT = """async () => {
  const stats = [...(await window.publisher.getStats()).values()];
  const layers = stats.filter((one) => one.type === "outbound-rtp");
  return Object.fromEntries(layers.map((one) => [one.rid, [one.framesSent, one.frameWidth ?? 0]]));
}"""
_SHOWN = """() => {
  const video = document.querySelector("[data-testid=result]");
  return (video?.getVideoPlaybackQuality().totalVideoFrames ?? 0) > 20;
}"""


@pytest.mark.parametrize(
    ("encodings", "answered", "width"),
    [
        (
            [
                {"rid": "h"},
                {"rid": "m", "scaleResolutionDownBy": 2},
                {"rid": "l", "scaleResolutionDownBy": 4},
            ],
            "h;~m;~l",
            640,
        ),
        ([{"rid": "a"}, {"rid": "b"}], "a;~b", 320),  # Chromium halves the first by itself
    ],
)
async def test_of_a_camera_in_several_sizes_the_first_comes_back_restyled(
    encodings: list[dict[str, object]], answered: str, width: int, page: Page, light: Server
) -> None:
    await page.goto(light.url)
    answer, offer = await page.evaluate(_PUBLISH, [f"{light.url}/whip", TOKEN, encodings])
    assert "a=simulcast:send" in offer
    assert "a=ssrc:" not in offer
    assert f"a=simulcast:recv {answered}\r\n" in answer
    async with asyncio.timeout(45):
        while True:
            made = (await asyncio.to_thread(light.api, "GET", "/api/sessions"))["sessions"]
            if made and made[0]["state"] == "live":
                break
            await asyncio.sleep(0.1)
    watched = f"{light.url}/whep/{made[0]['id']}"
    await page.evaluate("([url, token]) => window.play(url, token)", [watched, TOKEN])
    await page.wait_for_function(_SHOWN, timeout=45_000)

    first, *others = answered.replace("~", "").split(";")
    sent = await page.evaluate(_SENT)
    assert sent[first][0] > 20
    assert sent[first][1] == width
    assert all(sent.get(other, [0])[0] == 0 for other in others)  # not all are listed
    camera = await read_picture(page, "camera", 16)
    result = await read_picture(page, "result", 16)
    assert np.corrcoef(camera.ravel(), result.ravel())[0, 1] < -0.8  # this engine inverts
