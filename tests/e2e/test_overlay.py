"""The overlay page in Chromium: it plays, transparent and muted, and comes back."""

import asyncio
import socket

import pytest
import uvicorn
from playwright.async_api import async_playwright

from tests.e2e.browser import arguments, find_chromium
from tests.server.client import Browser
from tests.server.conftest import Served, serve, served

__all__ = ["serve", "served"]  # fixtures
_SHOWN = "() => document.querySelector('video').videoWidth > 0"
_HIDDEN = "() => document.querySelector('video').srcObject === null"
_LOOK = """() => { const v = document.querySelector('video'), s = getComputedStyle(v);
    return [v.muted, v.controls, s.objectFit, getComputedStyle(document.body).backgroundColor]; }"""


@pytest.mark.e2e
async def test_the_overlay_plays_and_comes_back(served: Served) -> None:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium here")
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(served.app, lifespan="off", log_config=None, ws="none"))
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    browser = Browser()
    made = (await browser.connect(served.http)).json()
    await browser.level()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/overlay/{made['id']}?fit=contain"
    async with async_playwright() as playwright:
        shell = await playwright.chromium.launch(
            executable_path=chromium, args=arguments(None), headless=True
        )
        page = await shell.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        await page.goto(f"{url}#token={made['viewer_token']}")
        await page.wait_for_function(_SHOWN, timeout=20_000)
        assert await page.evaluate(_LOOK) == [True, False, "contain", "rgba(0, 0, 0, 0)"]
        assert complaints == []

        session = served.app.state.context.sessions.get(made["id"])
        for viewer in list(session.viewers._open):
            session.viewers.end(viewer)
        await page.wait_for_function(_HIDDEN, timeout=20_000)
        await page.wait_for_function(_SHOWN, timeout=20_000)
        await shell.close()
    await browser.close()
    server.should_exit = True
    await serving
