"""Glass to glass: from a picture drawn in Chromium to the same picture shown there again.

A page draws numbered pictures, sends them as its camera, and reads the number of each picture that
comes back when the browser is about to show it. Both times are of one clock, the page's.
"""

from typing import Any

from playwright.async_api import async_playwright

from tests.bench.scenarios import quantiles
from tests.e2e.browser import arguments, find_chromium
from tests.e2e.serving import TOKEN, Server

_SIDE, _SETTLE_S = 512, 4
# an empty prompt runs the whole model and leaves the numbers readable
_STYLES: dict[str, dict[str, object]] = {"bypass": {"bypass": True}, "styled": {"prompt": ""}}


async def glass(server: Server, seconds: float) -> dict[str, Any]:
    """512 × 512 at 30 fps in Chromium on the same machine: untouched, and through the model."""
    path = find_chromium()
    if path is None:
        return {"skipped": "no Chromium here"}
    figures: dict[str, Any] = {}
    async with async_playwright() as playwright:
        for name, style in _STYLES.items():
            chromium = await playwright.chromium.launch(executable_path=path, args=arguments(None))
            page = await (await chromium.new_context()).new_page()
            await page.goto(f"{server.url}/healthz")  # the same origin, and nothing of the page
            await page.evaluate(_BEGIN, [TOKEN, style, _SIDE])
            await page.wait_for_timeout(_SETTLE_S * 1000)
            await page.evaluate("() => { window.took.length = 0; }")
            await page.wait_for_timeout(seconds * 1000)
            took: list[float] = await page.evaluate("() => window.took")
            (session,) = server.api("GET", "/api/sessions")["sessions"]
            await page.evaluate("() => window.end()")
            await chromium.close()
            figures[name] = _figures(took, session["stats"], seconds)
    return figures


def _figures(took: list[float], stats: dict[str, Any], seconds: float) -> dict[str, Any]:
    stages: dict[str, float] = stats["stages_ms"]
    model = sum(stages.get(stage, 0.0) for stage in ("encode", "unet", "decode"))
    there_and_back = quantiles(took)
    return {
        "fps_shown": round(len(took) / seconds, 1),
        "glass_to_glass_ms": there_and_back,
        "model_ms": round(model, 1),
        "without_model_p50_ms": round(there_and_back["p50"] - model, 1),
        "server_age_ms": stats["age_ms"],
    }


_BEGIN = """async ([token, style, side]) => {
  const BITS = 16, CELL = side / BITS;
  const drawn = new Map();
  window.took = [];
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = side;
  const pen = canvas.getContext("2d", { alpha: false });
  let number = 0;
  const draw = () => {
    number = (number + 1) % 65536;
    pen.fillStyle = `hsl(${number % 360} 40% 45%)`;
    pen.fillRect(0, 0, side, side);
    pen.fillStyle = "#ddd";
    pen.beginPath();
    pen.arc(side / 2 + 90 * Math.sin(number / 20), side * 0.6, 80, 0, 7);
    pen.fill();
    for (let bit = 0; bit < BITS; bit++) {
      pen.fillStyle = (number >> bit) & 1 ? "#eee" : "#111";
      pen.fillRect(bit * CELL, 0, CELL, 2 * CELL);
    }
    drawn.set(number, performance.now());
    drawn.delete((number + 65536 - 300) % 65536);
  };
  const clock = setInterval(draw, 1000 / 30);
  const video = document.createElement("video");
  video.muted = true;
  video.width = video.height = side;
  document.body.append(canvas, video);
  const probe = document.createElement("canvas");
  probe.width = BITS;
  probe.height = 1;
  const reader = probe.getContext("2d", { willReadFrequently: true });
  const read = (now, frame) => {
    video.requestVideoFrameCallback(read);
    const cell = frame.width / BITS;
    reader.drawImage(video, 0, cell * 0.6, frame.width, cell * 0.8, 0, 0, BITS, 1);
    const levels = reader.getImageData(0, 0, BITS, 1).data;
    let found = 0;
    for (let bit = 0; bit < BITS; bit++) if (levels[4 * bit + 1] > 128) found |= 1 << bit;
    if (drawn.has(found)) window.took.push(frame.expectedDisplayTime - drawn.get(found));
  };
  const connection = new RTCPeerConnection();
  connection.createDataChannel("control");
  connection.ontrack = ({ track }) => {
    video.srcObject = new MediaStream([track]);
    video.requestVideoFrameCallback(read);
    video.play();
  };
  draw();
  connection.addTrack(canvas.captureStream(30).getVideoTracks()[0]);
  await connection.setLocalDescription(await connection.createOffer());
  while (connection.iceGatheringState !== "complete")
    await new Promise((resolve) => setTimeout(resolve, 20));
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const body = JSON.stringify({ sdp: connection.localDescription.sdp, type: "offer", style });
  const answer = await fetch("/api/sessions", { method: "POST", headers, body });
  if (answer.status !== 201) throw new Error(await answer.text());
  const { id, sdp } = await answer.json();
  await connection.setRemoteDescription({ type: "answer", sdp });
  window.end = async () => {
    clearInterval(clock);
    await fetch(`/api/sessions/${id}`, { method: "DELETE", headers });
    connection.close();
  };
}"""
