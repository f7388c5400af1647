"""What one session does to itself, and how many of their pictures that leaves the others."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import av
import httpx

from tests.bench.client import Client
from tests.server.client import Browser, Camera

_ACTS_FOR = 3.0  # seconds
# a VP8 key frame of 74 bytes that claims 16383x16383: libvpx would take seconds and 0.9 GB over it
BOMB = b"\x10\x02\x00\x9d\x01\x2a" + (16383).to_bytes(2, "little") * 2 + bytes(64)


class Turning(Camera):
    """A camera that sends nothing but bombs once it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.is_hostile = False

    async def recv(self) -> Any:  # a frame to be encoded, or what passes for one that is
        """Give the next picture, thirty times a second."""
        frame = await super().recv()
        if not self.is_hostile:
            return frame
        packet = av.Packet(BOMB)
        packet.pts, packet.time_base = frame.pts, frame.time_base
        return packet


async def bomb(browser: Browser, camera: Turning) -> None:
    """Send pictures that are too large to be decoded, 30 a second."""
    camera.is_hostile = True
    await asyncio.sleep(_ACTS_FOR)


async def flood(browser: Browser, camera: Turning) -> None:
    """Send three times as many changes of the style as are allowed, each with another prompt."""
    began = time.monotonic()
    for seq in range(1, int(300 * _ACTS_FOR)):
        browser.say(type="style", seq=seq, style={"prompt": f"flood number {seq}"})
        await asyncio.sleep(max(0.0, began + seq / 300 - time.monotonic()))


async def stall(browser: Browser, camera: Turning) -> None:
    """Send no picture any more."""
    camera.paused = True
    await asyncio.sleep(_ACTS_FOR)


ACTS: dict[str, Callable[[Browser, Turning], Awaitable[None]]] = {
    "bomb": bomb, "flood": flood, "stall": stall
}  # fmt: skip


async def share_left(http: httpx.AsyncClient, guest: Client, act: str) -> float:
    """Give how many of its pictures a second a guest still gets while another session misbehaves.

    As a share of what it got before, beside the same session; that one is under bypass, so what it
    may take of the engine is no part of this. Raises httpx.HTTPError, TimeoutError.
    """
    browser, camera = Browser(), Turning()
    browser.camera = camera
    try:
        (await browser.connect(http, bypass=True)).raise_for_status()
        await browser.level()
        calm = await _fps(guest, asyncio.sleep(_ACTS_FOR))
        return await _fps(guest, ACTS[act](browser, camera)) / calm
    finally:
        await browser.close()


async def _fps(guest: Client, doing: Awaitable[None]) -> float:
    first, began = await _pictures(guest), time.monotonic()
    await doing
    return (await _pictures(guest) - first) / (time.monotonic() - began)


async def _pictures(guest: Client) -> int:
    count: int = (await guest.state())["stats"]["frames_out"]
    return count
