"""What is measured: each function runs one scenario and gives its figures."""

import asyncio
import os
import statistics
import time
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import psutil
from aiortc import RTCConfiguration, RTCPeerConnection
from playwright.async_api import async_playwright

from server.latency import quantiles
from tests.bench.client import Client, Picture, Pictures, read_stamp, stamp
from tests.e2e.browser import arguments, find_chromium, write_camera
from tests.e2e.serving import TOKEN, Server

CLIP = Path(__file__).parents[1] / "fixtures" / "webcam.mp4"
_STYLED = {"prompt": "a pencil drawing"}


def webcam(side: int, count: int = 150) -> list[Picture]:
    """Read the webcam clip as squares."""
    with av.open(str(CLIP)) as container:
        images = [
            frame.to_ndarray(format="rgb24")[:, 50:350]
            for _, frame in zip(range(count), container.decode(video=0), strict=False)
        ]
    return [np.asarray(cv2.resize(i, (side, side)), np.uint8) for i in images]


class Echo:
    """A session that notes when each numbered picture left and came back."""

    def __init__(self, server: Server, pictures: list[Picture], fps: int = 30) -> None:
        self.client = Client(server.url, TOKEN)
        self.track = Pictures(lambda n: stamp(pictures[n % len(pictures)], n % 65536), fps)
        self.round_trips: list[float] = []
        self.received = 0

    def came_back(self, frame: av.VideoFrame, at: float) -> None:
        """Read the number that a picture carries."""
        self.received += 1
        sent = self.track.sent_at.get(read_stamp(frame.to_ndarray(format="rgb24")))
        if sent is not None:
            self.round_trips.append((at - sent) * 1000)


async def styled(server: Server, seconds: float) -> dict[str, Any]:
    """256 × 256, 30 fps in, one step: what a WebRTC peer in Python gets."""
    echo = Echo(server, webcam(256))
    asked = time.monotonic()
    await echo.client.connect(echo.track, _STYLED, lambda frame, at: _count(echo))
    await asyncio.wait_for(echo.client.received.wait(), 10)
    first_frame = time.monotonic() - asked
    await asyncio.sleep(2)
    first, began = echo.received, time.monotonic()
    early = (await echo.client.state())["stats"]["age_ms"]
    await asyncio.sleep(seconds)
    fps = (echo.received - first) / (time.monotonic() - began)
    stats = (await echo.client.state())["stats"]
    await echo.client.close()
    return {
        "first_frame_s": round(first_frame, 2),
        "fps_in": stats["fps_in"],
        "fps_out": round(fps, 1),
        "dropped": stats["dropped"],
        "age_ms": stats["age_ms"],
        "age_ms_at_start": early,
        "stages_ms": stats["stages_ms"],
        "loop_lag_p99_ms": server.api("GET", "/api/info")["loop_lag_p99_ms"],
    }


def _count(echo: Echo) -> None:
    echo.received += 1


async def prompt(server: Server, seconds: float) -> dict[str, Any]:
    """From a new prompt to its acknowledgement, and to the first picture that shows it."""
    still = webcam(256, 1)
    levels: list[tuple[float, float]] = []
    client = Client(server.url, TOKEN)
    track = Pictures(lambda n: still[0])

    def seen(frame: av.VideoFrame, at: float) -> None:
        levels.append((at, float(frame.to_ndarray(format="gray").mean())))

    await client.connect(track, {"prompt": "burning inferno"}, seen)
    await asyncio.sleep(2)
    acknowledged, visible = [], []
    for index in range(max(4, int(seconds / 3))):
        wanted = ("a pencil drawing", "burning inferno")[index % 2]
        before, asked = levels[-1][1], time.monotonic()
        _, took = await client.restyle(prompt=wanted)
        acknowledged.append(took * 1000)
        await asyncio.sleep(1.5)
        changed = [at for at, level in levels if at > asked and abs(level - before) > 25]
        visible.append((changed[0] - asked) * 1000 if changed else float("nan"))
    await client.close()
    return {"acknowledged_ms": quantiles(acknowledged), "visible_ms": quantiles(visible)}


async def bypass(server: Server, seconds: float) -> dict[str, Any]:
    """512 × 512 untouched: the way there and back, less one way between two peers of ours."""
    one_way = await _one_way(webcam(512), seconds / 2)
    echo = Echo(server, webcam(512))
    await echo.client.connect(echo.track, {"bypass": True}, echo.came_back)
    await asyncio.sleep(2)
    echo.round_trips.clear()
    await asyncio.sleep(seconds)
    stats = (await echo.client.state())["stats"]
    await echo.client.close()
    there_and_back = quantiles(echo.round_trips)
    return {
        "fps_in": stats["fps_in"],
        "fps_out": stats["fps_out"],
        "round_trip_ms": there_and_back,
        "one_way_ms": quantiles(one_way),
        "added_p50_ms": round(there_and_back["p50"] - statistics.median(one_way), 1),
    }


async def _one_way(pictures: list[Picture], seconds: float) -> list[float]:
    """Encode, send, decode, without a server between."""
    track = Pictures(lambda n: stamp(pictures[n % len(pictures)], n % 65536))
    here = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    there = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    took: list[float] = []
    tasks = []

    async def read(incoming: Any) -> None:
        while True:
            frame = await incoming.recv()
            sent = track.sent_at.get(read_stamp(frame.to_ndarray(format="rgb24")))
            if sent is not None:
                took.append((time.monotonic() - sent) * 1000)

    there.on("track", lambda incoming: tasks.append(asyncio.ensure_future(read(incoming))))
    here.addTrack(track)
    await here.setLocalDescription(await here.createOffer())
    await there.setRemoteDescription(here.localDescription)
    await there.setLocalDescription(await there.createAnswer())
    await here.setRemoteDescription(there.localDescription)
    await asyncio.sleep(2)
    took.clear()
    await asyncio.sleep(seconds)
    await here.close()
    await there.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    return took


async def sessions_on_one_core(server: Server, seconds: float) -> dict[str, Any]:
    """512 × 512 bypass sessions at 30 fps with the server on one core, the peers on the others."""
    cores = list(range(os.cpu_count() or 1))
    process = psutil.Process(server.pid)
    pictures = webcam(512, 60)
    figures = {}
    if len(cores) > 1 and hasattr(process, "cpu_affinity"):
        _pin(process, cores[:1])
        _pin(psutil.Process(), cores[1:])
    for count in (2, 4, 6):
        echoes = [Echo(server, pictures) for _ in range(count)]
        for echo in echoes:
            counted = echo  # each its own
            await echo.client.connect(
                echo.track, {"bypass": True}, lambda frame, at, counted=counted: _count(counted)
            )
        await asyncio.sleep(3)
        process.cpu_percent()
        await asyncio.sleep(seconds / 2)
        cpu = process.cpu_percent()
        states = [(await echo.client.state())["stats"] for echo in echoes]
        figures[str(count)] = {
            "fps_in_least": min(s["fps_in"] for s in states),
            "fps_out_least": min(s["fps_out"] for s in states),
            "server_cpu_percent": cpu,
        }
        for echo in echoes:
            await echo.client.close()
    _pin(process, cores)
    _pin(psutil.Process(), cores)
    return figures


def _pin(process: psutil.Process, cores: list[int]) -> None:
    """Keep every thread of a process on some cores; affinity set later holds per thread only."""
    for thread in process.threads():
        os.sched_setaffinity(thread.id, cores)


async def churn(server: Server, seconds: float) -> dict[str, Any]:
    """Fifty visits: what they leave in the server's process."""
    process = psutil.Process(server.pid)
    picture = webcam(64, 1)

    async def visit() -> None:
        client = Client(server.url, TOKEN)
        await client.connect(Pictures(lambda n: picture[0]), {}, lambda *_: None)
        await asyncio.wait_for(client.received.wait(), 10)
        await client.close()

    async def counts() -> dict[str, float]:
        await asyncio.sleep(3)
        return {
            "threads": process.num_threads(),
            "fds": process.num_fds(),
            "rss_mb": round(process.memory_info().rss / 1e6, 1),
        }

    for _ in range(5):
        await visit()
    before = await counts()
    for _ in range(50):
        await visit()
    return {"before": before, "after": await counts()}


async def browser(server: Server, seconds: float) -> dict[str, Any]:
    """The page in Chromium on the same machine, a webcam clip as its camera."""
    path = find_chromium()
    if path is None:
        return {"skipped": "no Chromium here"}
    camera = Path("build") / "bench-camera.y4m"
    camera.parent.mkdir(exist_ok=True)
    write_camera(CLIP, camera, 640, 480, 30, 6)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=path, args=arguments(camera.resolve())
        )
        context = await chromium.new_context(permissions=["camera", "microphone"])
        await context.add_init_script(f"localStorage.setItem('restyle.token', '{TOKEN}')")
        page = await context.new_page()
        await page.goto(server.url)
        await page.get_by_test_id("prompt").fill("a pencil drawing")
        await page.get_by_test_id("start-camera").click()
        await page.wait_for_timeout(4000)
        before = await page.evaluate(_FRAMES)
        began = time.monotonic()
        await page.wait_for_timeout(seconds * 1000)
        shown = (await page.evaluate(_FRAMES) - before) / (time.monotonic() - began)
        (session,) = server.api("GET", "/api/sessions")["sessions"]
        await chromium.close()
    camera.unlink()
    stats = session["stats"]
    return {
        "fps_in": stats["fps_in"],
        "fps_out": stats["fps_out"],
        "fps_shown": round(shown, 1),
        "age_ms": stats["age_ms"],
    }


_FRAMES = """() => document.querySelector('[data-testid=video-out]')
  .getVideoPlaybackQuality().totalVideoFrames"""
