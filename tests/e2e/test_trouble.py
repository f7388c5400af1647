"""What a person sees when something is missing: camera, place, server."""

import asyncio
from pathlib import Path
from typing import Any

import psutil
from playwright.async_api import Page, expect

from tests.e2e.conftest import SHARED, chromium, go_live, type_prompt, until_live, until_state
from tests.e2e.serving import LIGHT, TOKEN, Server, media_processes, serving
from tests.streams.ports import free_port
from tests.streams.waiting import PATIENCE, eventually

pytestmark = SHARED

_REFUSE = """const devices = navigator.mediaDevices;
  window.refusing = true;
  for (const name of ['getUserMedia', 'getDisplayMedia']) {
    const ask = devices[name].bind(devices);
    devices[name] = async (wanted) => {
      if (window.refusing) throw new DOMException('Permission denied', 'NotAllowedError');
      return ask(wanted);
    };
  }"""


async def test_a_refused_camera_is_explained_and_may_be_asked_for_again(
    page: Page, light: Server
) -> None:
    await page.add_init_script(_REFUSE)  # headless Chromium asks nobody, so nobody can refuse
    await page.goto(light.url)
    await page.get_by_test_id("start-screen").click()  # somebody closes the picker
    await until_state(page, "idle")
    await page.get_by_test_id("start-camera").click()

    await until_state(page, "denied")
    assert light.api("GET", "/api/info")["sessions"] == 0
    await expect(page.get_by_role("alert")).to_contain_text("Allow the camera")

    await page.evaluate("() => { window.refusing = false }")
    await page.get_by_test_id("start-camera").click()
    await until_live(page)

    await page.evaluate("() => { window.refusing = true }")
    await page.get_by_test_id("start-camera").click()
    await expect(page.get_by_test_id("source-problem")).to_contain_text(
        "The source stays as it was"
    )
    await until_live(page)


_VP9_ALONE = """const prefer = RTCRtpTransceiver.prototype.setCodecPreferences;
  RTCRtpTransceiver.prototype.setCodecPreferences = function () {
    const { codecs } = RTCRtpReceiver.getCapabilities('video');
    prefer.call(this, codecs.filter(({ mimeType }) => mimeType === 'video/VP9'));
  };"""


async def test_a_file_that_is_no_video_and_a_browser_without_a_common_codec_are_explained(
    page: Page, light: Server, tmp_path: Path
) -> None:
    await page.add_init_script(_VP9_ALONE)
    await page.goto(light.url)
    (tmp_path / "notes.mp4").write_text("milk, eggs, bread")
    await page.get_by_test_id("file-picker").first.set_input_files(tmp_path / "notes.mp4")
    await until_state(page, "denied")
    await expect(page.get_by_role("alert")).to_contain_text("this file is no video")

    await page.get_by_test_id("start-camera").click()
    await until_state(page, "rejected")
    await expect(page.get_by_role("alert")).to_contain_text(
        "the offer has ['video/VP9']; one of video/VP8, video/H264 is needed"
    )


def sessions(server: Server) -> list[dict[str, Any]]:
    """Give the sessions' states."""
    found: list[dict[str, Any]] = server.api("GET", "/api/sessions")["sessions"]
    return found


def engines(server: Server) -> list[psutil.Process]:
    """Find the processes that hold, or load, the engine: without media processes all that spawn."""
    children = psutil.Process(server.pid).children()
    return [child for child in children if any("spawn_main" in part for part in child.cmdline())]


async def test_an_engine_that_was_given_up_is_started_again_from_the_page(
    page: Page, light: Server
) -> None:
    await go_live(page, light)
    badge, again = page.get_by_test_id("status"), page.get_by_test_id("restart-engine")
    try:
        async with asyncio.timeout(PATIENCE):
            while await badge.get_attribute("data-engine") != "failed":
                for engine in engines(light):
                    engine.kill()
                await asyncio.sleep(0.1)
        await expect(badge).to_have_text("Untouched: the engine failed")
        await again.click()
        await expect(badge).to_have_attribute("data-engine", "running")
        await expect(again).to_have_count(0)
    finally:
        light.api("POST", "/api/engine/restart")  # other tests need it, too


async def test_a_locked_page_opens_by_a_link_in_its_address_and_so_do_other_tabs(
    page: Page, tmp_path: Path
) -> None:
    context = await page.context.browser.new_context()  # type: ignore[union-attr]  # launched
    first, second = await context.new_page(), await context.new_page()
    with serving(tmp_path, module=LIGHT) as server:
        for each in (first, second):
            await each.goto(server.url)
            await until_state(each, "unauthorised")
        await first.goto(server.link())  # the page stays, only the fragment is another
        await until_state(first, "idle")
        assert "code" not in first.url
        await until_state(second, "idle")


async def test_a_whole_link_may_be_pasted_where_the_token_is_asked_for(
    page: Page, tmp_path: Path
) -> None:
    other = await (await page.context.browser.new_context()).new_page()  # type: ignore[union-attr]
    with serving(tmp_path, module=LIGHT) as server:
        await other.goto(server.url)
        field, enter = other.get_by_label("Link or token"), other.get_by_role("button", name="Open")
        for pasted in ("not-a-token", f"{server.url}/#code=not-a-code"):
            await field.fill(pasted)
            await enter.click()
            await expect(other.get_by_text("This did not open it.")).to_be_visible()
        await field.fill(server.link())
        await enter.click()
        await until_state(other, "idle")


async def test_a_full_server_says_so_and_lets_the_next_one_in(tmp_path: Path, page: Page) -> None:
    with serving(tmp_path, "--sessions", "1", module=LIGHT) as server:
        await go_live(page, server)
        second = await page.context.new_page()
        await second.goto(server.url)
        await second.get_by_test_id("start-camera").click()
        await until_state(second, "full")

        await page.close()

        await until_live(second)


async def test_a_restarted_server_gets_its_page_back_with_the_prompt(
    tmp_path: Path, page: Page
) -> None:
    port = free_port()
    with serving(tmp_path, port=port, module=LIGHT) as server:
        await go_live(page, server)
        await type_prompt(page, "an ink drawing")
    await until_state(page, "gone")

    with serving(tmp_path, port=port, module=LIGHT) as server:
        async with page.expect_request("**/api/info"):  # the server may be another one by now
            await until_live(page)
        await expect(page.get_by_test_id("prompt")).to_have_value("an ink drawing")
        (session,) = server.api("GET", "/api/sessions")["sessions"]
        assert session["style"]["prompt"] == "an ink drawing"


async def test_a_page_without_a_camera_says_so(light: Server) -> None:
    async with chromium(None) as browser:
        context = await browser.new_context()
        await context.add_init_script(f"localStorage.setItem('restyle.token', '{TOKEN}')")
        page = await context.new_page()
        await page.goto(light.url)
        await page.get_by_test_id("start-camera").click()
        await until_state(page, "denied")


async def test_a_page_whose_media_process_dies_comes_back_with_its_style(
    tmp_path: Path, page: Page
) -> None:
    options = ("--media-processes", "2", "--recordings", str(tmp_path))
    with serving(tmp_path, *options, module=LIGHT) as server:
        await go_live(page, server)
        await type_prompt(page, "an ink drawing")
        await page.get_by_test_id("outputs").locator("summary").click()
        await page.get_by_role("button", name="Start: Recording").click()
        await expect(page.get_by_test_id("outputs-going")).to_have_text("Recording")
        (before,) = server.api("GET", "/api/sessions")["sessions"]
        (media,) = media_processes(server)  # the other one has no session

        media.kill()

        await eventually(lambda: server.metric("restyle_media_losses_total") >= 1)
        await eventually(lambda: [each["state"] for each in sessions(server)] == ["live"])
        await until_live(page)
        (now,) = sessions(server)
        assert now["id"] == before["id"]
        assert now["style"]["prompt"] == "an ink drawing"
        await expect(page.get_by_test_id("outputs-lost")).to_contain_text("Recording")
        await page.get_by_role("button", name="Start: Recording").click()
        await expect(page.get_by_test_id("outputs-lost")).to_be_hidden()
