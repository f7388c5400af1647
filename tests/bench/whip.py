"""FFmpeg publishes by WHIP: what a WHEP player and an RTMP receiver get of it. Prints JSON.

python -m tests.bench.whip [--seconds 20]

Pictures of 256x256 at 30 a second, numbered as outputs.py marks them, go by a pipe into FFmpeg's
WHIP muxer, through a server whose engine only inverts, to a player made with aiortc and by RTMP to
FFmpeg. An age goes from the pipe to the decoded picture. Needs imageio-ffmpeg.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from aiortc import MediaStreamTrack

from server.client import received
from streams.aiortc_patches import TransportSettings, install
from tests.bench.__main__ import machine
from tests.bench.outputs import BITS, FPS, SIZE, marked, note_numbers, number_of, receiver
from tests.e2e.serving import LIGHT, TOKEN, free_port, serving
from tests.server.players import Player, live

_SETTLE = 2.0  # seconds until all that watch have a steady picture
_UNDER_WAY = 1.0  # seconds that the last picture may take
_ENCODED = [
    "-c:v", "libx264", "-profile:v", "baseline", "-preset", "veryfast", "-tune", "zerolatency",
    "-b:v", "2500k", "-g", str(FPS),
]  # fmt: skip
Times = dict[int, float]  # by number


def real_number(number: int) -> int:
    """Give the number of a picture whose bars were inverted."""
    return number ^ ((1 << BITS) - 1)


class Publishing:
    """FFmpeg's program, fed with numbered pictures by a thread."""

    def __init__(self, url: str) -> None:
        import imageio_ffmpeg  # here: tests that do without may import what is above

        raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{SIZE}x{SIZE}", "-r", str(FPS)]
        to = ["-authorization", TOKEN, "-f", "whip", f"{url}/whip"]
        self.sent: Times = {}
        self._process = subprocess.Popen(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *raw, "-i", "-", *_ENCODED, *to],
            stdin=subprocess.PIPE,
        )
        self._stop = threading.Event()
        self._feeding = threading.Thread(target=self._feed)
        self._feeding.start()

    def close(self) -> None:
        """End the stream, as a person who presses `q`."""
        self._stop.set()
        self._feeding.join()
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _feed(self) -> None:
        assert self._process.stdin is not None
        at = time.monotonic()
        for number in range(1 << BITS):
            # no catching up: FFmpeg reads nothing while it connects
            at = max(at + 1 / FPS, time.monotonic())
            if self._stop.wait(at - time.monotonic()):
                return
            planes = marked(number).picture.to_ndarray().tobytes()
            self.sent[number] = time.monotonic()
            try:
                self._process.stdin.write(planes)
                self._process.stdin.flush()
            except OSError:  # it ended, and has said why
                return


class Numbered(Player):
    """A player that notes when each number came."""

    def __init__(self) -> None:
        super().__init__()
        self.came: Times = {}

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._reading = asyncio.create_task(self._read(track))

    async def _read(self, track: MediaStreamTrack) -> None:
        async for picture in received(track):
            now = time.monotonic()
            grey = picture.to_ndarray(format="gray")  # type: ignore[union-attr]  # of video
            if grey.shape == (SIZE, SIZE):
                self.came.setdefault(real_number(number_of(grey.tobytes())), now)


async def measure(seconds: float) -> dict[str, Any]:
    """Run all of it; give what each of the two receivers got."""
    port = free_port()
    target = f"rtmp://127.0.0.1:{port}/live"
    streamed: Times = {}
    with (
        tempfile.TemporaryDirectory() as state,
        serving(Path(state), "--stream-targets", target, module=LIGHT) as server,
    ):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with (
            httpx.AsyncClient(base_url=server.url, headers=headers, timeout=20) as http,
            _published(http, server.url) as (publishing, path),
            _received(http, path, target, port, streamed),
        ):
            player = Numbered()
            made = (await http.get(path)).json()
            await player.watch(http, made["id"], made["viewer_token"])
            await asyncio.sleep(_SETTLE)
            first = max(publishing.sent) + 1
            await asyncio.sleep(seconds)
            last = max(publishing.sent)
            await asyncio.sleep(_UNDER_WAY)
            stats = (await http.get(path)).json()["stats"]
            await player.close()
    sent = {number: at for number, at in publishing.sent.items() if first <= number <= last}
    return {
        "whep": figures_of(sent, player.came),
        "rtmp": figures_of(sent, streamed),
        "dropped_of_all": stats["dropped"],
        "load": round(os.getloadavg()[0], 1),
    }


def figures_of(sent: Times, came: Times) -> dict[str, Any]:
    """Say what arrived of what was sent, and how old it was."""
    ages = sorted((came[number] - at) * 1000 for number, at in sent.items() if number in came)
    return {
        "sent": len(sent), "received": len(ages),
        "lost_percent": round(100 * (1 - len(ages) / len(sent)), 2),
        "age_p50_ms": round(statistics.median(ages)) if ages else None,
        "age_p95_ms": round(ages[len(ages) * 95 // 100]) if ages else None,
    }  # fmt: skip


@asynccontextmanager
async def _published(http: httpx.AsyncClient, url: str) -> AsyncIterator[tuple[Publishing, str]]:
    """Publish; give that and the session's path, once its pictures have the size of the numbers."""
    publishing = Publishing(url)
    try:
        async with asyncio.timeout(20):
            while not (found := (await http.get("/api/sessions")).json()["sessions"]):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        path = f"/api/sessions/{found[0]['id']}"
        await live(http, found[0]["id"])
        size = await http.put(f"{path}/size", json={"width": SIZE, "height": SIZE})
        size.raise_for_status()
        yield publishing, path
    finally:
        await asyncio.to_thread(publishing.close)


@asynccontextmanager
async def _received(
    http: httpx.AsyncClient, path: str, target: str, port: int, streamed: Times
) -> AsyncIterator[None]:
    """Stream a session to FFmpeg, which notes in `streamed` what comes."""
    process = receiver("rtmp", port)
    found: Times = {}
    reading = threading.Thread(target=note_numbers, args=(process, found))
    reading.start()
    try:
        wanted = {"kind": "rtmp", "url": target, "key": "key"}
        output = await http.post(f"{path}/outputs", json=wanted)
        output.raise_for_status()
        async with asyncio.timeout(40):
            while (await http.get(f"{path}/outputs")).json()["outputs"][0]["state"] != "live":  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        yield
        await http.delete(output.headers["location"])
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)
        await asyncio.to_thread(reading.join)
        streamed.update({real_number(number): at for number, at in found.items()})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    install(TransportSettings())
    figures = asyncio.run(measure(given.seconds))
    print(json.dumps({"machine": machine()} | figures, indent=2))


if __name__ == "__main__":
    main()
