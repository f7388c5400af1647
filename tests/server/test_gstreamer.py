"""A publisher and a player that are not ours: GStreamer's webrtcbin, where it is installed."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.server.conftest import TOKEN, Served
from tests.server.players import listening, published

pytestmark = pytest.mark.slow

_PYTHON = "/usr/bin/python3"  # the system's, which has GStreamer
_PROGRAM = Path(__file__).with_name("gstreamer.py")


@asynccontextmanager
async def running(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the program for as long as the block."""
    process = await asyncio.create_subprocess_exec(
        _PYTHON, str(_PROGRAM), *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def shown(player: asyncio.subprocess.Process, count: int) -> list[float]:
    """Give the grey levels of the next pictures that a player decodes."""
    assert player.stdout is not None
    async with asyncio.timeout(50):
        lines = [await player.stdout.readline() for _ in range(count)]
    if not lines[-1]:
        _, said = await player.communicate()
        pytest.fail(f"GStreamer ended after {lines}: {said.decode()}")
    return [float(line) for line in lines]


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    """Skip without it."""
    known = [_PYTHON, str(_PROGRAM), "known"]
    if subprocess.run(known, capture_output=True, check=False, timeout=60).returncode:
        pytest.skip("GStreamer with webrtcbin, libnice and their codecs is not installed")


@pytest.mark.parametrize("codec", ["vp8", "h264"])
async def test_gstreamer_publishes_and_sees_it_restyled(codec: str, served: Served) -> None:
    async with (
        listening(served.app) as url,
        running("publish", f"{url}/whip?prompt=ink", TOKEN, codec) as publisher,
    ):
        state = await published(served.http, publisher, 50)
        watched = f"{url}/whep/{state['id']}"
        async with running("play", watched, state["viewer_token"], codec) as player:
            levels = await shown(player, 60)
        stats = (await served.http.get(f"/api/sessions/{state['id']}")).json()["stats"]
    assert all(abs(level - 195) < 8 for level in levels)
    assert stats["frames_in"] >= 60
