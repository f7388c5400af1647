"""What the page sends and at which size, in a real browser."""

from pathlib import Path

import av
import cv2
import numpy as np
from playwright.async_api import Page, expect

from tests.e2e.conftest import CLIP, SHARED, chromium, go_live, until_live
from tests.e2e.pictures import read_picture
from tests.e2e.serving import TOKEN, Server
from tests.streams.clicks import film

pytestmark = SHARED


async def test_an_image_is_a_source_and_a_video_can_be_sought(
    page: Page, light: Server, tmp_path: Path
) -> None:
    cv2.imwrite(str(tmp_path / "still.png"), np.tile(np.arange(256, dtype=np.uint8), (256, 1)))
    await page.goto(light.url)
    await page.get_by_test_id("file-picker").first.set_input_files(tmp_path / "still.png")
    await until_live(page)
    assert (await read_picture(page)).std() > 10
    await expect(page.get_by_test_id("seek")).to_be_hidden()

    await page.get_by_test_id("file-picker").first.set_input_files(CLIP)
    seek = page.get_by_test_id("seek")
    await expect(seek).to_be_visible()
    end = float(await seek.get_attribute("max") or 0)
    await seek.fill("3")
    assert 2.5 < float(await seek.input_value()) < min(end, 6)

    await page.get_by_test_id("sound").select_option("microphone")
    await page.get_by_test_id("mute").click()
    await expect(page.get_by_test_id("mute")).to_have_attribute("aria-pressed", "true")


_NO_CAPTURE = "delete HTMLMediaElement.prototype.captureStream"
_DROP = """async (kind) => {
  const canvas = document.createElement('canvas');
  canvas.getContext('2d').fillRect(9, 9, 90, 90);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
  const files = new DataTransfer();
  files.items.add(new File([blob], 'still.png', { type: 'image/png' }));
  const event = kind === 'paste'
    ? new ClipboardEvent('paste', { clipboardData: files, bubbles: true, cancelable: true })
    : new DragEvent(kind, { dataTransfer: files, bubbles: true, cancelable: true });
  return document.body.dispatchEvent(event);
}"""


async def test_a_file_that_is_dropped_or_pasted_is_a_source(page: Page, light: Server) -> None:
    for kind in ("drop", "paste"):
        await page.goto(light.url)
        if kind == "drop":
            assert not await page.evaluate(_DROP, "dragover")  # the browser is not to take it
        await page.evaluate(_DROP, kind)
        await until_live(page)
        await page.get_by_test_id("stop").click()


async def test_a_video_plays_where_the_browser_captures_none(page: Page, light: Server) -> None:
    await page.add_init_script(_NO_CAPTURE)
    await page.goto(light.url)
    await page.get_by_test_id("file-picker").first.set_input_files(CLIP)
    await until_live(page)
    assert (await read_picture(page)).std() > 10


async def test_what_the_browser_cannot_do_is_not_offered(page: Page, light: Server) -> None:
    await page.add_init_script(
        "delete MediaDevices.prototype.getDisplayMedia; delete Element.prototype.requestFullscreen;"
        "delete window.documentPictureInPicture"
    )
    await go_live(page, light)
    await expect(page.get_by_test_id("start-screen")).to_have_count(0)
    await expect(page.get_by_role("button", name="Full screen")).to_have_count(0)
    await expect(page.get_by_test_id("float")).to_have_count(0)
    for floating in ("!==", "==="):  # the small window that has the picture alone
        await page.get_by_test_id("pip").click()
        await page.wait_for_function(f"() => document.pictureInPictureElement {floating} null")
    await page.get_by_test_id("help").click()
    await expect(page.get_by_test_id("help-sheet")).not_to_contain_text("Full screen, and back")


_ASKED = """const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (wanted) => {
    window.asked = wanted.video.deviceId?.exact;
    return ask(wanted);
  };"""
_CAMERA = """() => document.querySelector('[data-testid=video-in]').srcObject
  .getVideoTracks()[0].getSettings().deviceId"""


async def test_a_reload_asks_for_the_camera_that_was_on(page: Page, light: Server) -> None:
    await page.add_init_script(_ASKED)
    await go_live(page, light)
    camera = await page.evaluate(_CAMERA)
    assert await page.evaluate("() => window.asked") is None
    await page.reload()
    await until_live(page)
    assert await page.evaluate("() => window.asked") == camera

    await page.add_init_script("sessionStorage.setItem('restyle.resume', 'unplugged meanwhile')")
    await page.reload()  # another camera is better than none
    await until_live(page)


_SCREEN = """navigator.mediaDevices.getDisplayMedia = async () => {
  const audio = new AudioContext(), tone = audio.createOscillator();
  const heard = audio.createMediaStreamDestination();
  tone.connect(heard);
  tone.start();
  const canvas = document.createElement('canvas'), pen = canvas.getContext('2d');
  let number = 0;
  setInterval(() => pen.fillRect(number++ % 300, 9, 9, 9), 40); // one at rest gives no pictures
  return new MediaStream([...canvas.captureStream().getTracks(), ...heard.stream.getTracks()]);
}"""


async def test_the_sound_of_a_screen_and_of_a_film_is_recorded(
    page: Page, light: Server, films: Path, tmp_path: Path
) -> None:
    await page.add_init_script(_SCREEN)  # headless Chromium has no sound of a system
    film(tmp_path / "marks.mp4", 8)
    sound = page.get_by_test_id("sound")
    await page.goto(light.url)
    await page.get_by_test_id("start-screen").click()
    await until_live(page)
    await expect(sound).to_have_value("source")  # it was ticked in the browser's dialog
    await sound.select_option("off")
    assert await loudness(page, light, films) < 0.01
    await sound.select_option("source")
    assert await loudness(page, light, films) > 0.1

    await page.get_by_test_id("file-picker").first.set_input_files(tmp_path / "marks.mp4")
    await expect(page.get_by_test_id("seek")).to_be_visible()
    await expect(sound).to_have_value("source")
    assert await loudness(page, light, films) > 0.1


async def loudness(page: Page, server: Server, films: Path) -> float:
    """Record on the server; give the loudest once what was under way is over, 0 to 1."""
    (session,) = server.api("GET", "/api/sessions")["sessions"]
    outputs = f"/api/sessions/{session['id']}/outputs"
    begun = server.api("POST", outputs, {"kind": "recording"})
    await page.wait_for_timeout(1500)
    path = films / server.api("DELETE", f"{outputs}/{begun['id']}")["target"]
    with av.open(str(path)) as recording:
        frames = list(recording.decode(audio=0)) if recording.streams.audio else []
    heard = [np.abs(frame.to_ndarray()).max() for frame in frames if (frame.time or 0) > 0.5]
    path.unlink()  # other tests count them
    return float(max(heard, default=0))


async def test_another_camera_and_another_microphone_are_chosen_while_it_runs(
    light: Server,
) -> None:
    async with chromium(2) as browser:
        context = await browser.new_context(permissions=["camera", "microphone"])
        await context.add_init_script(f"localStorage.setItem('restyle.token', '{TOKEN}')")
        page = await context.new_page()
        await go_live(page, light)
        (before,) = light.api("GET", "/api/sessions")["sessions"]
        await page.get_by_test_id("sound").select_option("microphone")
        chosen = [await choose_last(page, kind) for kind in ("microphone", "camera")]
        assert await page.evaluate(_CAMERA) == chosen[-1]
        await until_live(page)
        (after,) = light.api("GET", "/api/sessions")["sessions"]
        assert after["id"] == before["id"]  # the call went on


async def choose_last(page: Page, kind: str) -> str:
    """Choose the last camera or microphone of several, which is not the one in use; give its id."""
    choice = page.get_by_test_id(f"{kind}-device")
    last = str(await choice.locator("option").last.get_attribute("value"))
    await expect(choice).not_to_have_value(last)
    await choice.select_option(last)
    await expect(choice).to_have_value(last)
    return last
