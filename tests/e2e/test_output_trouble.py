"""What a person sees when an output fails: what is wrong, where the log has it, and the picture."""

import re
from pathlib import Path

import av
import numpy as np
from playwright.async_api import Locator, Page, expect

from tests.e2e.conftest import SHARED, go_live
from tests.e2e.serving import LIGHT, Server, serving
from tests.e2e.test_outputs import Row, after
from tests.e2e.test_region import _CAMERA, _CORNER, _WALL, open_panel, paint, pixel
from tests.streams.rtmp_server import rtmp_server
from tests.streams.test_recording import frames_of
from tests.streams.waiting import eventually

pytestmark = SHARED
_OUT = "document.querySelector('[data-testid=video-out]')"
_FRAMES = f"{_OUT}.getVideoPlaybackQuality().totalVideoFrames"
_REFUSED = "the server refused the stream: is the stream key right?"


async def runs_on(page: Page) -> None:
    """Wait until ten more pictures were shown."""
    before = await page.evaluate(_FRAMES)
    await page.wait_for_function(f"(before) => {_FRAMES} > before + 10", arg=before)


async def logged(told: Locator, server: Server) -> str:
    """Find the id that stands behind a message in the log; give the log's line."""
    found = re.findall(r"\(([0-9a-f]{8,})\)", await told.inner_text())
    assert len(found) == 1
    await eventually(lambda: any(found[0] in line for line in server.lines))
    return next(line for line in server.lines if found[0] in line)


async def test_a_wrong_stream_key_is_told_and_the_picture_runs_on(
    page: Page, tmp_path: Path
) -> None:
    with rtmp_server("the-right-key") as rtmp:
        address = f"rtmp://127.0.0.1:{rtmp.port}/live"
        with serving(tmp_path, "--stream-targets", address, module=LIGHT) as server:
            await go_live(page, server, "ink")
            await page.get_by_test_id("outputs").locator("summary").click()
            row = Row(page, "output-rtmp")
            told = page.get_by_test_id("output-rtmp").get_by_role("status")

            await row.start(f"{address}/../elsewhere", "the-wrong-key")
            await expect(told).to_contain_text("no . or .. in the path")
            assert "invalid" in await logged(told, server)

            await row.start(address, "the-wrong-key")
            await row.says("Trying again", _REFUSED)
            await runs_on(page)
            assert _REFUSED in await logged(told, server)
            assert "the-wrong-key" not in await page.content() + "\n".join(server.lines)


async def test_a_full_disk_is_told_and_the_picture_runs_on(page: Page, tmp_path: Path) -> None:
    films = tmp_path / "films"
    with serving(
        tmp_path / "state", "--recordings", str(films), module="tests.e2e.full_disk"
    ) as server:
        await go_live(page, server, "ink")
        await page.get_by_test_id("outputs").locator("summary").click()
        row = Row(page, "output-recording")
        told = page.get_by_test_id("output-recording").get_by_role("status")
        await row.start()
        await row.says("Failed", "the disk is full; what was recorded until then plays")
        await runs_on(page)
        assert "the disk is full" in await logged(told, server)
        (film,) = films.iterdir()
        assert frames_of(film)
        await expect(page.get_by_test_id("outputs-going")).to_have_count(0)


async def test_a_recording_has_what_was_painted_in_front_of_the_camera(
    page: Page, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    with serving(tmp_path / "state", "--recordings", str(films), module=LIGHT) as server:
        await go_live(page, server, "ink")
        await open_panel(page)
        await page.get_by_test_id("brush").click()
        await paint(page, *_WALL)
        await page.get_by_test_id("brush-done").click()
        await page.get_by_test_id("region-outside").select_option("overlays")
        await eventually(
            lambda: server.api("GET", "/api/sessions")["sessions"][0]["matte"] == "side"
        )
        await page.get_by_test_id("outputs").locator("summary").click()
        backdrop = page.get_by_test_id("output-backdrop")
        await expect(page.get_by_test_id("reset-output-backdrop")).to_have_count(0)
        await backdrop.select_option("camera")
        row = Row(page, "output-recording")
        await row.start()
        await row.says("Live", after(1))
        camera = [await pixel(page, _CAMERA, place) for place in (_WALL, _CORNER)]
        await row.stop()
        await page.get_by_test_id("reset-output-backdrop").click()
        await expect(backdrop).to_have_value("#000000")

        (film,) = films.iterdir()
        with av.open(str(film)) as file:
            image = list(file.decode(video=0))[-1].to_ndarray(format="rgb24").astype(int)
        side = image.shape[0]
        wall, corner = (image[int(y * side), int(x * side)] for x, y in (_WALL, _CORNER))
        assert np.abs(wall - (255 - camera[0][:3])).max() < 60
        assert np.abs(corner - camera[1][:3]).max() < 60
