"""SIGTERM, with a real server process and a live session.

The first test ends the product itself; of the others an engine that only inverts is enough.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from streams.aiortc_patches import TransportSettings, install
from tests.e2e.serving import LIGHT, TOKEN, Server
from tests.server.client import Browser
from tests.streams.ports import free_port
from tests.streams.test_recording import frames_of
from tests.streams.waiting import PATIENCE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
_BUSY = 2  # seconds that a machine with other work may take beyond what is promised


@asynccontextmanager
async def live(
    state: Path, drain_s: float, *more: str, module: str = LIGHT
) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    install(TransportSettings())
    server = Server(free_port(), "--drain-s", str(drain_s), *more, state=state, module=module)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    try:
        await asyncio.to_thread(server.wait_ready)
        async with httpx.AsyncClient(
            base_url=server.url, headers=headers, timeout=PATIENCE
        ) as http:
            yield server, http
    finally:
        await asyncio.to_thread(server.stop, signal.SIGKILL)


async def ended(server: Server) -> int:
    """Give the exit status of a server that ends by itself."""
    return await asyncio.to_thread(server._process.wait, PATIENCE)


async def test_a_drain_lets_sessions_leave_and_ends_with_status_0(tmp_path: Path) -> None:
    async with live(tmp_path, drain_s=30, module="server") as (server, http):
        browser, late = Browser(), Browser()
        location = (await browser.connect(http)).headers["location"]
        await browser.level()

        os.kill(server.pid, signal.SIGTERM)
        assert (await browser.hear("ended"))["reason"] == "draining"
        assert (await http.get("/readyz")).status_code == 503
        assert (await http.get("/healthz")).status_code == 200
        refused = await late.connect(http)
        assert (refused.status_code, refused.json()["code"]) == (503, "draining")
        assert int(refused.headers["retry-after"]) >= 1
        await browser.level()  # who is there is still served
        assert (await http.patch(location, json={"prompt": "ink"})).status_code == 200

        await http.delete(location)
        assert await ended(server) == 0
        await browser.close()
        await late.close()


async def test_a_session_that_stays_is_ended_when_the_time_is_over(tmp_path: Path) -> None:
    async with live(tmp_path, drain_s=1) as (server, http):
        browser = Browser()
        await browser.connect(http)
        await browser.level()
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        assert await ended(server) == 0
        assert 1 <= time.monotonic() - began <= 1 + 5 + _BUSY
        await browser.close()


async def test_a_second_sigterm_ends_now_with_status_130(tmp_path: Path) -> None:
    async with live(tmp_path, drain_s=60) as (server, http):
        browser = Browser()
        await browser.connect(http)
        await browser.level()
        os.kill(server.pid, signal.SIGTERM)
        await browser.hear("ended")
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        assert await ended(server) == 130
        assert time.monotonic() - began <= 2 + _BUSY
        await browser.close()


@pytest.mark.parametrize("drain_s", [1, pytest.param(0, marks=pytest.mark.long)])
async def test_neither_a_close_that_hangs_nor_a_slow_decoder_holds_up_the_end(
    drain_s: int, tmp_path: Path
) -> None:
    async with live(tmp_path, drain_s, module="tests.server.hanging_server") as (server, http):
        browsers = [Browser(), Browser()]
        for each in browsers:
            await each.connect(http)
        for each in browsers:
            await each.level()
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        assert await ended(server) == 0
        assert time.monotonic() - began <= drain_s + 5 + _BUSY
        for each in browsers:
            await each.close()


async def test_a_recording_under_way_is_whole_after_a_drain(tmp_path: Path) -> None:
    films = tmp_path / "films"
    async with live(tmp_path, 0, "--recordings", str(films)) as (server, http):
        browser = Browser()
        location = (await browser.connect(http)).headers["location"]
        await browser.level()
        await http.post(f"{location}/outputs", json={"kind": "recording"})
        for _ in range(8):  # less than a fragment: a kill would leave nothing of it
            await browser.level()
        os.kill(server.pid, signal.SIGTERM)
        assert await ended(server) == 0
        (path,) = films.iterdir()
        assert len(frames_of(path)) >= 5  # the first may have been on its way before
        await browser.close()


async def test_connections_that_never_close_do_not_hold_up_the_end(tmp_path: Path) -> None:
    async with live(tmp_path, drain_s=1) as (server, _):
        port = int(server.url.rpartition(":")[2])
        began_and_stopped = (
            b"",
            b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",  # answered, then kept alive
            b"GET /readyz HTTP/1.1\r\nHo",
            b"POST /api/sessions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{",
        )
        writers = []
        for sent in began_and_stopped:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(sent)
            await writer.drain()
            writers.append(writer)
        await asyncio.sleep(0.2)  # so that the server has read them
        began = time.monotonic()
        os.kill(server.pid, signal.SIGTERM)
        assert await ended(server) == 0
        assert time.monotonic() - began <= 1 + 5 + _BUSY
        for writer in writers:
            writer.close()
