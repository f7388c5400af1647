"""Sound and picture of a real browser, in a recording on the server."""

import statistics
from pathlib import Path

import pytest

from tests.e2e.conftest import chromium
from tests.e2e.serving import LIGHT, TOKEN, serving
from tests.streams.clicks import offsets_in

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.long]
_ALLOWED = 0.045  # seconds


async def test_a_flash_and_a_click_of_chromium_are_recorded_together(tmp_path: Path) -> None:
    with serving(tmp_path, "--recordings", str(tmp_path), module=LIGHT) as server:
        async with chromium(None) as browser:
            page = await browser.new_page()
            await page.goto(f"{server.url}/healthz")
            session = await page.evaluate(_BEGIN, TOKEN)
            outputs = f"/api/sessions/{session}/outputs"
            await page.wait_for_timeout(3000)  # bitrate and delay have settled
            begun = server.api("POST", outputs, {"kind": "recording"})
            await page.wait_for_timeout(8000)
            ended = server.api("DELETE", f"{outputs}/{begun['id']}")
    offsets = sorted(offset for _, offset in offsets_in(tmp_path / ended["target"]))
    assert len(offsets) >= 7
    uneven = offsets[-2] - offsets[1]  # a busy machine's; nobody can foresee it
    assert abs(statistics.median(offsets)) <= _ALLOWED + uneven / 2, offsets


_BEGIN = """async (token) => {
  const SIDE = 128, EVERY = 24, LASTS = 3; // pixels, pictures
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  document.body.append(canvas);
  const pen = canvas.getContext("2d", { alpha: false });
  const audio = new AudioContext({ latencyHint: "interactive" });
  await audio.resume();
  const voice = audio.createMediaStreamDestination();
  const gain = audio.createGain();
  gain.gain.value = 0;
  const tone = audio.createOscillator();
  tone.frequency.value = 1000;
  tone.connect(gain).connect(voice);
  tone.start();
  let number = 0;
  setInterval(() => {
    const at = ++number % EVERY;
    pen.fillStyle = at < LASTS ? "#fff" : "#111";
    pen.fillRect(0, 0, SIDE, SIDE);
    pen.fillStyle = "#777"; // moves: a canvas that stays gives no pictures
    pen.fillRect(number % SIDE, SIDE - 4, 4, 4);
    if (at === 0) gain.gain.setValueAtTime(0.5, audio.currentTime);
    if (at === LASTS) gain.gain.setValueAtTime(0, audio.currentTime);
  }, 1000 / 30);
  const connection = new RTCPeerConnection();
  connection.createDataChannel("control");
  connection.addTrack(voice.stream.getAudioTracks()[0]);
  connection.addTrack(canvas.captureStream(30).getVideoTracks()[0]);
  await connection.setLocalDescription(await connection.createOffer());
  while (connection.iceGatheringState !== "complete")
    await new Promise((resolve) => setTimeout(resolve, 20));
  const { sdp } = connection.localDescription;
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const body = JSON.stringify({ sdp, type: "offer", style: { bypass: true } });
  const answer = await (await fetch("/api/sessions", { method: "POST", headers, body })).json();
  await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  window.connection = connection; // or it may be collected
  return answer.id;
}"""
