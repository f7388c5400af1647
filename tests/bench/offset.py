"""How far flash and click are apart after a while: over WebRTC, in a recording and in RTMP.

Part of `python -m tests.bench.outputs`. A peer (tests/server/marks.py) sends both at one moment.
What comes back, the file and what FFmpeg's program received are looked at near start and end.
Milliseconds; above 0 the click is late.
"""

import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from streams.aiortc_patches import TransportSettings, install
from tests.e2e.serving import TOKEN, serving
from tests.server.marks import Marked
from tests.streams.clicks import EVERY, offsets_in
from tests.streams.test_live_stream import KEY, ffmpeg, free_port

_SETTLE = 2.0  # seconds: the delay of the sound follows the picture slowly
Offsets = list[tuple[float, float]]  # when the flash was, and how much later its click, in seconds


async def offset(seconds: float, styled: bool) -> dict[str, Any]:
    """Run a server for it: one whose engine only inverts, or with the model at an empty prompt."""
    install(TransportSettings())
    port = free_port()
    with tempfile.TemporaryDirectory() as state:
        options = ("--recordings", state, "--stream-targets", f"rtmp://127.0.0.1:{port}")
        module = "server" if styled else "tests.reliability.light_server"
        with serving(Path(state), *options, module=module) as server:
            headers = {"Authorization": f"Bearer {TOKEN}"}
            async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
                return await compare(http, Path(state), port, seconds, inverted=not styled)


async def compare(
    http: httpx.AsyncClient, folder: Path, port: int, seconds: float, inverted: bool = True
) -> dict[str, Any]:
    """Send marks for so long to a server that records into `folder` and may stream to `port`."""
    marked, received = Marked(inverted), folder / "received.mkv"
    with ffmpeg(port, received) as receiver:
        location = await marked.connect(http)
        await marked.measure(1)
        outputs = [await _start(http, location, {"kind": "recording"})]
        url = f"rtmp://127.0.0.1:{port}/live"
        outputs.append(await _start(http, location, {"kind": "rtmp", "url": url, "key": KEY}))
        await asyncio.sleep(_SETTLE)
        began = time.monotonic()
        await asyncio.sleep(seconds)
        recording, _ = [(await http.delete(each)).json() for each in outputs]
        back = [(at - began, click - flash) for at, flash, click in marked.lags() if at >= began]
        await marked.close()
        await asyncio.to_thread(receiver.wait, 20)
    film = await asyncio.to_thread(offsets_in, folder / recording["target"], inverted)
    stream = await asyncio.to_thread(offsets_in, received, inverted)
    edge = min(30.0, seconds / 4)
    return {"seconds": seconds, "edge_seconds": edge} | {
        name: _edges(found, edge)
        for name, found in (("webrtc", back), ("recording", film), ("rtmp", stream))
    }


async def _start(http: httpx.AsyncClient, location: str, wanted: dict[str, str]) -> str:
    path = (await http.post(f"{location}/outputs", json=wanted)).headers["location"]
    async with asyncio.timeout(40):
        while True:
            states = (await http.get(f"{location}/outputs")).json()["outputs"]
            if states[-1]["state"] == "live":
                return str(path)
            await asyncio.sleep(0.1)


def _edges(found: Offsets, edge: float) -> dict[str, float | int]:
    """Give the median of all, of the first and of the last seconds, and the largest of all."""
    last = max(at for at, _ in found)
    start = [each for at, each in found if at <= found[0][0] + edge]
    end = [each for at, each in found if at >= last - edge - EVERY / 2]
    return {
        "marks": len(found),
        "median_ms": round(1000 * statistics.median(each for _, each in found), 1),
        "start_ms": round(1000 * statistics.median(start), 1),
        "end_ms": round(1000 * statistics.median(end), 1),
        "worst_ms": round(1000 * max((each for _, each in found), key=abs), 1),
    }
