"""Where the style applies: painted by hand or the person's place, in the page and in overlays."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.async_api import Page, expect

from tests.e2e.conftest import SHARED, go_live, until_live, until_sessions
from tests.e2e.serving import Server
from tests.streams.waiting import eventually

pytestmark = SHARED

# what the page's canvas shows, as RGBA that is not premultiplied
_SEEN = """([x, y]) => {
  const shown = document.querySelector('[data-testid=composed]');
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 64;
  const context = canvas.getContext('2d');
  context.drawImage(shown, 0, 0, 64, 64);
  return Array.from(context.getImageData(x * 64, y * 64, 1, 1).data);
}"""
_CAMERA = """([x, y]) => {
  const video = document.querySelector('[data-testid=video-in]'), side = video.videoHeight;
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = 64;
  const context = canvas.getContext('2d');
  context.drawImage(video, (video.videoWidth - side) / 2, 0, side, side, 0, 0, 64, 64);
  return Array.from(context.getImageData(x * 64, y * 64, 1, 1).data);
}"""
_WALL, _FACE = [0.08, 0.5], [0.5, 0.6]  # places in the clip
_CORNER = [0.08, 0.08]


async def pixel(page: Page, read: str, place: list[float]) -> NDArray[np.int64]:
    return np.array(await page.evaluate(read, place))


async def until_differs(page: Page, place: list[float], enough: Callable[[float], bool]) -> None:
    """Wait until what is shown at a place differs so much from the camera's picture, of 255."""

    async def does() -> bool:
        seen, camera = await pixel(page, _SEEN, place), await pixel(page, _CAMERA, place)
        return enough(float(np.abs(seen - camera).max()))

    await eventually(does)


async def open_panel(page: Page) -> None:
    await page.get_by_test_id("region-panel").locator("summary").click()


async def drawn(page: Page, region: str) -> None:
    """Wait until the page puts it together so."""
    await expect(page.get_by_test_id("composed")).to_have_attribute(
        "data-drawn", region, timeout=90_000
    )


async def paint(page: Page, x: float, y: float) -> None:
    """Paint a dot at a place of the camera's picture, which is shown mirrored."""
    painter = page.get_by_test_id("painter")
    await painter.scroll_into_view_if_needed()
    box = await painter.bounding_box()
    assert box is not None
    at = (box["x"] + (1 - x) * box["width"], box["y"] + y * box["height"])
    await page.mouse.move(*at)
    await page.mouse.down()
    await page.mouse.move(at[0] + 2, at[1])
    await page.mouse.up()


async def overlay_of(page: Page, server: Server) -> Page:
    """Open the session's overlay."""
    await until_sessions(server, 1)  # that of a page before is gone
    (session,) = server.api("GET", "/api/sessions")["sessions"]
    overlay = await page.context.new_page()
    await overlay.set_viewport_size({"width": 320, "height": 320})
    await overlay.goto(f"{server.url}/overlay/{session['id']}#token={session['viewer_token']}")
    await overlay.wait_for_function("() => document.querySelector('video').videoWidth > 0")
    return overlay


async def seen(overlay: Page) -> NDArray[np.int64]:
    """Give what an overlay shows, [320, 320, RGBA]."""
    png = np.frombuffer(await overlay.screenshot(omit_background=True), np.uint8)
    image = cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    return image.astype(np.int64)


async def until_transparent(overlay: Page, row: int, column: int) -> NDArray[np.int64]:
    """Wait until a place is transparent; give the picture."""
    async with asyncio.timeout(60):
        # another page: nothing to wait on but what it shows
        while (image := await seen(overlay))[row, column, 3] > 15:  # noqa: ASYNC110
            await asyncio.sleep(0.3)
    return image


async def test_a_brush_limits_the_style_in_the_page_and_what_it_records(
    page: Page, light: Server, tmp_path: Path
) -> None:
    await go_live(page, light)
    await page.get_by_test_id("brush-tool").click()
    await paint(page, *_WALL)
    await drawn(page, "everywhere camera painted")
    await until_differs(page, _WALL, lambda by: by > 60)  # inverted
    await until_differs(page, _CORNER, lambda by: by < 40)

    await page.get_by_test_id("brush-invert").click()
    await until_differs(page, _WALL, lambda by: by < 40)
    await until_differs(page, _CORNER, lambda by: by > 50)

    async with page.expect_download() as saved:
        await page.get_by_test_id("snapshot").click()
    await (await saved.value).save_as(tmp_path / "snapshot.png")
    kept = cv2.imread(str(tmp_path / "snapshot.png"))
    assert kept is not None
    high, wide = kept.shape[:2]
    mirrored = kept[high // 2, int((1 - 0.08) * wide)]  # as it is seen
    camera = await pixel(page, _CAMERA, _WALL)
    assert np.abs(mirrored - camera[2::-1]).max() < 40

    await page.reload()  # it is kept as long as the session
    await until_live(page)
    await drawn(page, "everywhere camera painted")
    await until_differs(page, _WALL, lambda by: by < 40)
    await page.get_by_test_id("brush-tool").click()
    await page.get_by_test_id("brush-clear").click()
    await page.get_by_test_id("brush-done").click()
    await expect(page.get_by_test_id("brush-tool")).to_be_focused()
    await expect(page.get_by_test_id("composed")).to_have_count(0)


async def test_the_brush_works_by_keyboard(page: Page, light: Server) -> None:
    await go_live(page, light)
    await page.get_by_test_id("brush-tool").press("Enter")
    await expect(page.get_by_test_id("painter")).to_be_focused()
    await page.get_by_test_id("brush-erase").press("Enter")
    await page.get_by_test_id("brush-size").press("Home")
    for _ in range(10):
        await page.get_by_test_id("brush-size").press("ArrowRight")
    surface = page.get_by_test_id("painter")
    for _ in range(2):
        await surface.press("ArrowUp")
    await surface.press(" ")
    await drawn(page, "everywhere camera painted")
    await until_differs(page, [0.5, 0.42], lambda by: by < 60)
    await surface.press("Escape")
    await expect(surface).to_have_count(0)
    await page.get_by_test_id("stop").click()
    await expect(page.get_by_test_id("start-camera")).to_be_visible()
    await expect(page.get_by_test_id("composed")).to_have_count(0)


@pytest.mark.long
async def test_overlays_see_only_what_was_painted(page: Page, server: Server) -> None:
    await go_live(page, server, "a pencil drawing")
    overlay = await overlay_of(page, server)
    assert (await seen(overlay))[..., 3].min() == 255  # without a matte it is all there

    await page.bring_to_front()
    await open_panel(page)
    await page.get_by_test_id("brush").click()
    await paint(page, *_WALL)
    await page.get_by_test_id("brush-done").click()
    await page.get_by_test_id("region-outside").select_option("overlays")
    left = int(_WALL[0] * 320)
    shown = await until_transparent(overlay, 160, 290)
    assert shown[160, left, 3] > 240
    wall = await pixel(page, _CAMERA, _WALL)
    assert np.abs(shown[160, left, :3] - wall[:3]).max() > 50  # restyled
    assert shown[10:300, 120:, 3].max() < 15
    assert (await pixel(page, _SEEN, [0.8, 0.5]))[3] < 15  # the owner sees the same
    assert (await pixel(page, _SEEN, _WALL))[3] > 240

    await page.get_by_test_id("bypass").click()  # cut out all the same
    await overlay.wait_for_timeout(2000)
    shown = await seen(overlay)
    assert np.abs(shown[160, left, :3] - wall[:3]).max() < 40
    assert shown[10:300, 120:, 3].max() < 15
    await page.get_by_test_id("bypass").click()

    await page.reload()
    await until_live(page)
    overlay = await overlay_of(page, server)
    assert (await until_transparent(overlay, 160, 290))[160, left, 3] > 240

    await page.bring_to_front()
    await open_panel(page)
    await page.get_by_test_id("region-outside").select_option("camera")
    await overlay.wait_for_function("() => document.querySelector('video').videoWidth === 256")
    await overlay.wait_for_timeout(500)
    assert (await seen(overlay))[..., 3].min() == 255


@pytest.mark.long
@pytest.mark.timeout(420)  # without a GPU a mask may take seconds
async def test_the_person_is_cut_out(page: Page, server: Server) -> None:
    await go_live(page, server, "a pencil drawing")
    await open_panel(page)
    outside = page.get_by_test_id("region-outside")

    await outside.select_option("nothing")
    await expect(page.get_by_test_id("region-where")).to_have_value("person")
    await drawn(page, "person nothing")
    assert (await pixel(page, _SEEN, _WALL))[3] < 30
    assert (await pixel(page, _SEEN, _FACE))[3] > 220
    await outside.select_option("green")
    await drawn(page, "person green")
    assert (await pixel(page, _SEEN, _WALL))[1] > 230
    await outside.select_option("camera")
    await drawn(page, "person camera")
    wall, camera = await pixel(page, _SEEN, _WALL), await pixel(page, _CAMERA, _WALL)
    assert np.abs(wall - camera).max() < 40  # the wall itself; the drawing of it is nearly white
    await page.get_by_test_id("region-where").select_option("background")
    await drawn(page, "background camera")
    assert np.abs(await pixel(page, _SEEN, _WALL) - camera).max() > 60

    await page.get_by_test_id("region-where").select_option("person")
    await outside.select_option("overlays")
    overlay = await overlay_of(page, server)
    await page.bring_to_front()
    shown = await until_transparent(overlay, 160, int(_WALL[0] * 320))
    async with asyncio.timeout(60):  # until the first matte of a person came
        while (shown := await seen(overlay))[192, 160, 3] < 220:  # noqa: ASYNC110
            await asyncio.sleep(0.5)
    assert shown[160, int(_WALL[0] * 320), 3] < 30

    await page.get_by_test_id("region-where").select_option("everywhere")
    await expect(page.get_by_test_id("composed")).to_have_count(0)


_LOSE = """() => document.querySelector('[data-testid=composed]')
  .getContext('webgl').getExtension('WEBGL_lose_context').loseContext()"""


async def test_a_gpu_that_is_taken_away_leaves_the_whole_result_in_sight(
    page: Page, light: Server
) -> None:
    await go_live(page, light)
    await open_panel(page)
    await page.get_by_test_id("brush").click()
    await drawn(page, "everywhere camera")
    await page.evaluate(_LOSE)
    await expect(page.get_by_test_id("composed")).to_have_count(0)
    await expect(page.get_by_test_id("region-state")).to_contain_text("it needs WebGL")
    await expect(page.locator("div:has(> [data-testid=video-out])")).to_have_css("opacity", "1")
