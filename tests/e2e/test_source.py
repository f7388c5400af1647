"""What the page sends and at which size, in a real browser."""

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from playwright.async_api import Page, expect

from tests.e2e.conftest import CLIP, SHARED, go_live, until_live
from tests.e2e.pictures import read_picture
from tests.e2e.serving import Server

pytestmark = SHARED

_WATCH = """() => {
  const video = document.querySelector('[data-testid=video-out]');
  window.shown = [];
  const look = (now) => {
    window.shown.push([now, video.videoWidth, video.videoHeight]);
    video.requestVideoFrameCallback(look);
  };
  video.requestVideoFrameCallback(look);
}"""
_LONGEST = 1000  # milliseconds without a picture, beyond three times those of before


def longest(shown: list[list[float]]) -> float:
    """Give the longest time between two pictures."""
    return max(b[0] - a[0] for a, b in pairwise(shown))


async def test_the_size_changes_without_a_gap_and_takes_the_shape_of_the_camera(
    page: Page, server: Server
) -> None:
    await go_live(page, server, "a pencil drawing")
    await page.evaluate(_WATCH)
    await page.wait_for_function("() => window.shown.length > 20", timeout=60_000)
    calm = longest(await page.evaluate("() => window.shown"))  # the machine's own gaps

    await page.get_by_test_id("shape").select_option("source")
    await page.wait_for_function("() => window.shown.at(-1)?.[1] === 352", timeout=60_000)
    await page.get_by_test_id("size").select_option("384")
    await page.wait_for_function("() => window.shown.at(-1)?.[1] === 512", timeout=60_000)

    shown = await page.evaluate("() => window.shown")
    sizes = list(dict.fromkeys((width, height) for _, width, height in shown))
    # on a busy machine a call may take so long that the camera's own picture passes through
    restyled = [size for size in sizes if size != (640, 480)]
    assert restyled == [(256, 256), (352, 256), (512, 384)]
    assert longest(shown) < 3 * calm + _LONGEST
    assert (await read_picture(page)).std() > 10
    stage = await page.get_by_test_id("stage").bounding_box()
    assert stage is not None
    assert abs(stage["width"] / stage["height"] - 4 / 3) < 0.05

    await page.reload()  # the choice is kept
    await page.wait_for_function(
        "() => document.querySelector('[data-testid=video-out]').videoWidth === 512", timeout=60_000
    )
    await expect(page.get_by_test_id("size")).to_have_value("384")


async def test_an_image_is_a_source_and_a_video_can_be_sought(
    page: Page, server: Server, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "still.png"), np.tile(np.arange(256, dtype=np.uint8), (256, 1)))
    await page.goto(server.url)
    await page.get_by_test_id("file-picker").first.set_input_files(tmp_path / "still.png")
    await until_live(page, 60)
    assert (await read_picture(page)).std() > 10
    await expect(page.get_by_test_id("seek")).to_be_hidden()

    await page.get_by_test_id("file-picker").first.set_input_files(CLIP)
    seek = page.get_by_test_id("seek")
    await expect(seek).to_be_visible(timeout=30_000)
    end = float(await seek.get_attribute("max") or 0)
    await seek.fill("3")
    assert 2.5 < float(await seek.input_value()) < min(end, 6)

    await page.get_by_test_id("sound").select_option("microphone")
    await page.get_by_test_id("mute").click()
    await expect(page.get_by_test_id("mute")).to_have_attribute("aria-pressed", "true")
