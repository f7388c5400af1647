"""One browser with a webcam clip and two servers for all tests, and a page that is live.

Each test has a browser context of its own, and finds a server without sessions.
"""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.e2e.browser import arguments, find_chromium, write_camera
from tests.e2e.serving import LIGHT, TOKEN, Server, serving
from tests.streams.waiting import PATIENCE, eventually

# the browser lives on one loop, so every test that uses it runs on that loop
SHARED = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.asyncio(loop_scope="session")]
CLIP = Path(__file__).parents[1] / "fixtures" / "webcam.mp4"
FPS = 15  # of the camera: each picture costs a machine without a GPU much
expect.set_options(timeout=PATIENCE * 1000)
# one worker has all of such a file: the model takes a core, those clients are fetched once
_TOGETHER = ("test_model.py", "test_whip_clients.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give tests to workers one by one, and those files as a whole, the largest first.

    Its groups would be the usual way, but xdist 3.8 does nothing for them under pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # of no known type
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file if file.endswith(_TOGETHER) else nodeid

    return Scheduling(config, log)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Replace the leak guard: browser and server outlive a single test here."""


@pytest.fixture(scope="package")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a y4m file of the webcam clip, as a camera would send it."""
    path = tmp_path_factory.mktemp("camera") / "webcam.y4m"
    write_camera(CLIP, path, width=640, height=480, fps=FPS, seconds=6)
    return path


@pytest.fixture(scope="package")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run the product on its embedded default."""
    with serving(tmp_path_factory.mktemp("state")) as running:
        yield running


@pytest.fixture(scope="package")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the light server's folder for recordings."""
    return tmp_path_factory.mktemp("films")


@pytest.fixture(scope="package")
def light_product(tmp_path_factory: pytest.TempPathFactory, films: Path) -> Iterator[Server]:
    """Run the product with an engine that only inverts; it may record and open the clip."""
    options = ("--recordings", str(films), "--source-folder", str(CLIP.parent))
    with serving(tmp_path_factory.mktemp("state"), *options, module=LIGHT) as running:
        yield running


@pytest.fixture
def server(product: Server) -> Iterator[Server]:
    """Give the product without sessions: for `test_model.py`, and what runs for long."""
    with alone(product):
        yield product


@pytest.fixture
def light(light_product: Server) -> Iterator[Server]:
    """Give the light server without sessions: for what is the page's and the server's alone."""
    with alone(light_product):
        yield light_product


@contextmanager
def alone(server: Server) -> Iterator[None]:
    """Begin without sessions; print what the server says meanwhile: shown if the test fails."""
    end_sessions(server)
    before = len(server.lines)
    yield
    sys.stdout.write("\n".join(server.lines[before:]))


def end_sessions(server: Server) -> None:
    """End what the pages of tests before have left."""
    for session in server.api("GET", "/api/sessions")["sessions"]:
        with suppress(HTTPError):  # it ended meanwhile
            server.api("DELETE", f"/api/sessions/{session['id']}")


@asynccontextmanager
async def chromium(camera: Path | int | None) -> AsyncIterator[Browser]:
    """Start a browser, with the clip as camera, so many of its own, or none allowed."""
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium here: install one or set RESTYLE_CHROMIUM")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=arguments(camera))
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser(camera: Path) -> AsyncIterator[Browser]:
    """Give a browser whose camera plays the webcam clip."""
    async with chromium(camera) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """Give an empty page that holds the token, as after the first visit."""
    context = await browser.new_context(
        permissions=["camera", "microphone"], viewport={"width": 1280, "height": 800}
    )
    await context.add_init_script(
        f"if (location.hostname === '127.0.0.1') localStorage.setItem('restyle.token', '{TOKEN}')"
    )
    yield await context.new_page()
    for each in browser.contexts:  # also those that the test opened
        await each.close()


async def go_live(page: Page, server: Server, prompt: str | None = None) -> None:
    """Open the app, start the camera and wait for the restyled picture."""
    await page.goto(server.url)
    if prompt is not None:
        # the first style comes with what the server tells: not into what is being typed
        await expect(page.get_by_test_id("prompt")).not_to_have_value("")
        await type_prompt(page, prompt)
    await page.get_by_test_id("start-camera").click()
    await until_live(page)


async def type_prompt(page: Page, prompt: str) -> None:
    """Type a prompt as a person does, and commit it."""
    field = page.get_by_test_id("prompt")
    await field.fill(prompt)
    await field.press("Enter")


async def until_live(page: Page, seconds: float = PATIENCE) -> None:
    """Wait until the status says live and pixels arrive."""
    await until_state(page, "live", seconds)
    await page.wait_for_function(
        "() => document.querySelector('[data-testid=video-out]').videoWidth > 0",
        timeout=seconds * 1000,
    )


async def until_sessions(server: Server, count: int, seconds: float = PATIENCE) -> None:
    """Wait until the server has so many sessions."""
    await eventually(lambda: server.api("GET", "/api/info")["sessions"] == count, seconds)


async def until_state(page: Page, state: str, seconds: float = PATIENCE) -> None:
    """Wait until the page is in a state, for example `live` or `full`."""
    badge = page.get_by_test_id("status")
    await expect(badge).to_have_attribute("data-state", state, timeout=seconds * 1000)
