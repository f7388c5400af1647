"""The overlay page in Chromium: it plays, transparent and muted, cuts out, and comes back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.async_api import Browser as Shell
from playwright.async_api import Page, async_playwright

from pipeline.config import EngineConfig
from tests.e2e.browser import arguments, find_chromium
from tests.server.client import Browser
from tests.server.conftest import Serve, Served, serve, served
from tests.server.players import listening
from tests.server.test_matte import paired_browser
from tests.streams.fakes import FakeEngine

__all__ = ["serve", "served"]  # fixtures
pytestmark = pytest.mark.e2e
# aioice looks for names of mDNS on the loop that asked first, and each test has a loop of its own
_PLAIN = "--disable-features=WebRtcHideLocalIpsWithMdns"
_SHOWN = "() => document.querySelector('video').videoWidth > 0"
_HIDDEN = "() => document.querySelector('video').srcObject === null"
_LOOK = """() => { const v = document.querySelector('video'), s = getComputedStyle(v);
    return [v.muted, v.controls, s.objectFit, getComputedStyle(document.body).backgroundColor]; }"""

_FIGURES = """[window.drawn, document.querySelector('video').getVideoPlaybackQuality()
    .totalVideoFrames, performance.now() / 1000]"""

# counts what is drawn: each drawing is one call
_COUNT = """{ window.drawn = 0;
    const gl = WebGLRenderingContext.prototype, draw = gl.drawArrays;
    gl.drawArrays = function (...given) { window.drawn++; return draw.apply(this, given); }; }"""


@asynccontextmanager
async def overlay(
    served: Served, peer: Browser, query: str = "fit=contain", **offer: str
) -> AsyncIterator[tuple[str, Page]]:
    """Let a peer send and give its session with an empty page that knows where to look."""
    async with sending(served, peer, **offer) as (link, made), chromium() as shell:
        yield made["id"], await shown(shell, link.format(query))


@asynccontextmanager
async def sending(
    served: Served, peer: Browser, **offer: str
) -> AsyncIterator[tuple[str, dict[str, str]]]:
    """Let a peer send; give its overlay's address, with {} for the query, and its session."""
    if find_chromium() is None:
        pytest.skip("no Chromium here")
    try:
        async with listening(served.app) as url:
            made = (await peer.connect(served.http, **offer)).json()
            await peer.level()
            yield f"{url}/overlay/{made['id']}?{{}}#token={made['viewer_token']}", made
    finally:
        await peer.close()


@asynccontextmanager
async def chromium() -> AsyncIterator[Shell]:
    """Start a browser as OBS has one: without leave to use a camera."""
    async with async_playwright() as playwright:
        shell = await playwright.chromium.launch(
            executable_path=find_chromium(), args=[*arguments(None), _PLAIN], headless=True
        )
        yield shell
        await shell.close()


async def shown(shell: Shell, link: str) -> Page:
    """Open an overlay; give its page once it has a picture."""
    page = await shell.new_page(viewport={"width": 400, "height": 400})
    await page.add_init_script(_COUNT)
    await page.goto(link)
    await page.wait_for_function(_SHOWN)
    return page


async def seen(page: Page) -> NDArray[np.uint8]:
    """Give what the page shows once it has drawn the pictures that come now, [h, w, RGBA]."""
    drawn = await page.evaluate("window.drawn")
    await page.wait_for_function(f"() => window.drawn >= {drawn + 3}")
    return await screenshot(page)


async def screenshot(page: Page) -> NDArray[np.uint8]:
    """Give what the page shows, [h, w, RGBA]."""
    png = np.frombuffer(await page.screenshot(omit_background=True), np.uint8)
    found: NDArray[np.uint8] = cv2.cvtColor(
        cv2.imdecode(png, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA
    )
    return found


async def test_the_overlay_plays_and_comes_back(served: Served) -> None:
    async with overlay(served, Browser()) as (id, page):
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        await page.reload()
        await page.wait_for_function(_SHOWN)
        assert await page.evaluate(_LOOK) == [True, False, "contain", "rgba(0, 0, 0, 0)"]
        software = "GL Driver Message"  # the tests' Chromium draws without a GPU, and says so
        assert [text for text in complaints if software not in text] == []
        whole = await seen(page)
        assert whole[..., 3].min() == 255  # a session without a matte is all there
        assert np.abs(whole[..., :3].mean((0, 1)) - 195).max() < 8

        await page.route("**/whep/**", lambda route: route.abort())
        session = served.app.state.context.sessions.get(id)
        for viewer in list(session.viewers._open):
            session.viewers.end(viewer)
        await page.wait_for_function(_HIDDEN)
        assert (await screenshot(page))[..., 3].max() == 0
        await page.unroute("**/whep/**")
        await page.wait_for_function(_SHOWN)


@pytest.mark.slow
async def test_what_the_matte_leaves_out_is_transparent_also_after_a_reload(serve: Serve) -> None:
    def build() -> FakeEngine:
        return FakeEngine(EngineConfig(width=256, height=256), sizes={(256, 256)})

    async with (
        serve(build) as served,
        overlay(served, paired_browser(), matte="side") as (id, page),
    ):
        for again in range(2):
            if again:
                await page.reload()
                await page.wait_for_function(_SHOWN)
            shown = await seen(page)
            assert shown[:, 210:, 3].max() < 10
            assert shown[:, :190, 3].min() > 245
            restyled = (255 - 200, 255 - 40, 255 - 40)
            assert np.abs(shown[:, :190, :3].mean((0, 1)) - restyled).max() < 12

        session = served.app.state.context.sessions.get(id)
        session.control.change_matte("none")
        await page.wait_for_function("() => document.querySelector('video').videoWidth === 256")
        shown = await seen(page)
        assert shown[..., 3].min() == 255  # the picture as it comes, matte and all


@pytest.mark.slow
async def test_chroma_is_the_colour_where_nothing_is(serve: Serve) -> None:
    def build() -> FakeEngine:
        return FakeEngine(EngineConfig(width=256, height=256), sizes={(256, 256)})

    async with (
        serve(build) as served,
        overlay(served, paired_browser(), "chroma=%2300ff00", matte="side") as (_, page),
    ):
        shown = await seen(page)
        assert shown[..., 3].min() == 255
        assert np.abs(shown[:, 210:, :3].mean((0, 1)) - (0, 255, 0)).max() < 10
        restyled = (255 - 200, 255 - 40, 255 - 40)
        assert np.abs(shown[:, :190, :3].mean((0, 1)) - restyled).max() < 12


@pytest.mark.slow
async def test_fps_leaves_drawings_out(served: Served) -> None:
    async with sending(served, Browser()) as (link, _), chromium() as shell:
        for query, limit in (("", 1000.0), ("fps=5", 5.0)):
            page = await shown(shell, link.format(query))
            drawn, came, began = await page.evaluate(_FIGURES)
            await page.wait_for_timeout(2000)
            (drawn, came, seconds) = np.subtract(
                await page.evaluate(_FIGURES), (drawn, came, began)
            )
            most = min(came / seconds, limit)  # a busy machine's pictures may be few
            assert 0.5 * most <= drawn / seconds <= 1.1 * most + 1, (query, drawn, came, seconds)
            assert np.abs((await seen(page))[..., :3].mean((0, 1)) - 195).max() < 8
            await page.close()


async def test_options_that_cannot_be_are_told(served: Served) -> None:
    async with overlay(served, Browser(), "fps=61&chroma=green") as (_, page):
        told: list[str] = []
        page.on("console", lambda message: told.append(message.text))
        await page.reload()
        await page.wait_for_function(_SHOWN)
        assert "fps=61: 1 to 60" in told
        assert "chroma=green: %23rrggbb" in told
        assert (await seen(page))[..., 3].min() == 255  # it plays as if they were not there
