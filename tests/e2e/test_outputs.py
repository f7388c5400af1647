"""What leaves the page: the link for OBS, files, and a link to the style."""

import asyncio
import re
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import av
import pytest
from playwright.async_api import FilePayload, Page, expect

from streams.srt import libsrt
from tests.e2e.conftest import FPS, SHARED, go_live
from tests.e2e.fake_obs import fake_obs
from tests.e2e.serving import LIGHT, TOKEN, Server, serving
from tests.streams.ports import free_port
from tests.streams.test_live_stream import KEY, ffmpeg
from tests.streams.test_recording import frames_of
from tests.streams.waiting import PATIENCE

pytestmark = SHARED
_CLIPBOARD = "() => navigator.clipboard.readText()"
_SHOWN = """() => {
  const video = document.querySelector('[data-testid=video-out]').getVideoPlaybackQuality();
  return video.totalVideoFrames - video.droppedVideoFrames;
}"""


def after(seconds: int) -> re.Pattern[str]:
    """Match a clock that shows so many seconds or more: who looks now and then misses one."""
    return re.compile("|".join(f"0:{each:02}" for each in range(seconds, 60)) + "|[1-9]:")


async def test_a_live_picture_leaves_the_page(page: Page, light: Server, tmp_path: Path) -> None:
    await page.context.grant_permissions(["camera", "clipboard-read", "clipboard-write"])
    await page.goto(light.url)
    await expect(page.get_by_test_id("copy-obs")).to_be_hidden()  # nothing to watch yet
    await go_live(page, light, "a pencil drawing")

    await page.get_by_test_id("copy-obs").click()
    await expect(page.get_by_test_id("copy-obs")).to_contain_text("Copied")
    (session,) = light.api("GET", "/api/sessions")["sessions"]
    link = f"{light.url}/overlay/{session['name']}#token={session['viewer_token']}"
    assert await page.evaluate(_CLIPBOARD) == link  # of a name, so that a reload does not end it

    async with page.expect_download() as shot:
        await page.get_by_test_id("snapshot").click()
    picture = tmp_path / (await shot.value).suggested_filename
    await (await shot.value).save_as(picture)
    assert picture.suffix == ".png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 10_000  # a picture, not a plain colour

    record = page.get_by_test_id("record")
    await record.click()
    await expect(page.get_by_test_id("record-clock")).to_have_text(after(0))
    shown = await page.evaluate(_SHOWN)
    await expect(page.get_by_test_id("record-clock")).to_have_text(after(2))
    first, last = page.get_by_test_id("bypass"), page.get_by_test_id("float")
    boxes = [await button.bounding_box() for button in (first, last)]
    tops = [box and box["y"] for box in boxes]
    assert tops[0] is not None
    assert tops[0] == tops[1]  # one line at 1280 px, the clock included
    shown = await page.evaluate(_SHOWN) - shown
    async with page.expect_download() as recorded:
        await record.click()
    await expect(record).to_have_attribute("aria-pressed", "false")
    clip = tmp_path / (await recorded.value).suggested_filename
    await (await recorded.value).save_as(clip)
    assert re.fullmatch(r"restyle-\d{8}-\d{6}\.(webm|mp4)", clip.name)
    assert clip.stat().st_size > 10_000
    assert len(frames_of(clip)) >= 0.9 * shown > 10


_TRACK = "() => document.querySelector('[data-testid=video-out]').srcObject.getTracks().length"


async def test_a_recording_goes_on_while_sound_comes_and_the_region_changes(
    page: Page, light: Server, tmp_path: Path
) -> None:
    await go_live(page, light, "ink")
    record, clock = page.get_by_test_id("record"), page.get_by_test_id("record-clock")
    await record.click()
    await expect(clock).to_have_text(after(1))
    await page.get_by_test_id("sound").select_option("microphone")
    await page.wait_for_function(f"() => ({_TRACK})() === 2")
    await page.get_by_test_id("brush-tool").click()
    await expect(page.get_by_test_id("composed")).to_have_attribute(
        "data-drawn", "everywhere camera"
    )
    await page.get_by_test_id("brush-done").click()
    seconds = int((await clock.inner_text()).split(":")[1])
    await expect(clock).to_have_text(after(seconds + 2))
    async with page.expect_download() as recorded:
        await record.click()
    clip = tmp_path / "clip"
    await (await recorded.value).save_as(clip)
    with av.open(str(clip)) as film:
        assert film.streams.audio
        times = [frame.time or 0 for frame in film.decode(video=0)]
    assert times[-1] > seconds + 1
    assert max(b - a for a, b in pairwise(times)) < 2  # it never stood still


async def test_an_overlay_plays_where_the_browser_tells_of_no_frames(
    page: Page, light: Server
) -> None:
    await go_live(page, light, "ink")
    (session,) = light.api("GET", "/api/sessions")["sessions"]
    overlay = await page.context.new_page()
    await overlay.add_init_script("delete HTMLVideoElement.prototype.requestVideoFrameCallback")
    await overlay.goto(f"{light.url}/overlay/{session['id']}#token={session['viewer_token']}")
    await overlay.wait_for_function("() => document.querySelector('video').videoWidth > 0")
    drawn = await overlay.screenshot(omit_background=True)
    assert len(drawn) > 10_000  # a picture


async def test_a_kept_link_leads_to_the_next_session_too(page: Page, light: Server) -> None:
    await page.context.grant_permissions(["camera", "clipboard-read", "clipboard-write"])
    await page.goto(light.url)
    await go_live(page, light, "ink")

    async def link() -> str:
        await page.get_by_test_id("copy-obs").click()
        await expect(page.get_by_test_id("copy-obs")).to_contain_text("Copied")
        return str(await page.evaluate(_CLIPBOARD))

    keep = page.get_by_test_id("keep-address")
    await expect(keep).not_to_be_checked()
    copied = await link()
    await expect(keep).to_be_checked()
    (session,) = light.api("GET", "/api/sessions")["sessions"]
    kept = f"{light.url}/overlay/{session['name']}#token={session['viewer_token']}"
    assert copied == kept

    await page.reload()  # the camera comes back by itself, in another session
    await expect(keep).to_be_checked()
    (other,) = light.api("GET", "/api/sessions")["sessions"]
    assert other["id"] != session["id"]
    assert await link() == kept

    await keep.click()
    await expect(keep).not_to_be_checked()
    (now,) = light.api("GET", "/api/sessions")["sessions"]
    assert now["viewer_token"] != session["viewer_token"]


async def test_the_page_adds_its_overlay_to_obs(page: Page, light: Server) -> None:
    await go_live(page, light, "ink")
    await page.get_by_test_id("add-obs").click()
    form, said = page.get_by_test_id("obs-form"), page.get_by_test_id("obs-said")
    port, password = form.get_by_label("Port"), form.get_by_label("Password")
    add = form.get_by_role("button", name="Connect and add")

    async with fake_obs("of-obs") as obs:
        await port.fill(str(obs.port))
        await password.fill("wrong")
        await add.click()
        await expect(said).to_contain_text("does not take this password")
        await password.fill("of-obs")
        obs.kinds.remove("browser_source")
        await add.click()
        await expect(said).to_contain_text("This OBS has no Browser Source")
        assert obs.inputs == {}
        await expect(page.get_by_test_id("keep-address")).not_to_be_checked()

        obs.kinds.append("browser_source")
        await add.click()
        await expect(said).to_have_text("OBS has a new source 'Restyle' in the scene 'Stage'.")
        assert obs.inputs["Restyle"]["kind"] == "browser_source"
        await expect(page.get_by_test_id("keep-address")).to_be_checked()  # it works next time, too
        (session,) = light.api("GET", "/api/sessions")["sessions"]
        wanted = {
            "url": f"{light.url}/overlay/{session['name']}#token={session['viewer_token']}",
            "width": session["width"],
            "height": session["height"],
            "fps": FPS,  # the camera's
            "fps_custom": True,
        }
        assert obs.inputs["Restyle"]["settings"] == wanted

        obs.inputs["Restyle"]["settings"] |= {"url": "of a session that ended", "fps": 10}
        await add.click()
        await expect(said).to_contain_text("OBS shows this session now")
        assert [source["settings"] for source in obs.inputs.values()] == [wanted]

    await add.click()
    await expect(said).to_contain_text(f"No OBS answers on port {obs.port}")
    kept = await page.evaluate("() => JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "of-obs" not in kept


async def test_the_server_records_while_the_switch_is_on(
    page: Page, light: Server, films: Path
) -> None:
    await page.goto(light.url)
    await expect(page.get_by_test_id("outputs")).to_be_hidden()  # nothing to record yet
    await go_live(page, light, "ink")
    await page.get_by_test_id("outputs").locator("summary").click()
    recording, rtmp = page.get_by_test_id("output-recording"), page.get_by_test_id("output-rtmp")

    await recording.get_by_role("button", name="Start: Recording").click()
    await expect(recording.get_by_test_id("output-state")).to_have_text("Live")
    await expect(recording.get_by_role("status")).to_contain_text(after(2))
    await expect(page.get_by_test_id("outputs-going")).to_have_text("Recording")
    await recording.get_by_role("button", name="Stop: Recording").click()
    await expect(recording.get_by_role("status")).to_contain_text("Ended restyle-")
    said = await recording.get_by_role("status").inner_text()
    (film,) = films.iterdir()  # noqa: ASYNC240 - a test may wait
    assert film.name in said
    assert f"{len(frames_of(film))} frames" in said

    await expect(rtmp.get_by_role("button")).to_be_disabled()  # off, and why
    await expect(rtmp).to_contain_text("--stream-targets")


_CAMERA = """
from pathlib import Path
from types import SimpleNamespace

PixelFormat = SimpleNamespace(I420=0)
DEVICE = Path(__file__).with_name("device")


class Camera:
    def __init__(self, width, height, fps, fmt, device):
        if not DEVICE.exists():
            raise RuntimeError("no device")
        self.size, self.shown = width * height * 3 // 2, 0

    def send(self, frame):
        assert frame.size == self.size
        self.shown += 1

    def close(self):
        DEVICE.write_text(str(self.shown))
"""


async def test_camera_and_streams_of_the_server_are_started_and_stopped(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pyvirtualcam.py").write_text(_CAMERA)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    port = free_port()
    targets = f"rtmp://127.0.0.1:{port}/live,srt://127.0.0.1:{port}"
    with serving(tmp_path / "state", "--stream-targets", targets, module=LIGHT) as server:
        await go_live(page, server, "ink")
        await page.get_by_test_id("outputs").locator("summary").click()
        camera, rtmp, srt = [
            Row(page, f"output-{kind}") for kind in ("virtual_camera", "rtmp", "srt")
        ]

        await rtmp.start(f"rtmp://127.0.0.1:{port}/live", KEY)
        await rtmp.says("Trying again", "the server cannot be reached: Connection refused")
        await camera.start()
        await camera.says("Failed", "sudo modprobe v4l2loopback")
        (tmp_path / "device").touch()  # as the hint says
        await camera.start()
        await camera.says("Live", "frames")

        with ffmpeg(port, tmp_path / "received.mkv") as receiver:
            await rtmp.says("Live", after(2))
            await rtmp.stop()
            await asyncio.to_thread(receiver.wait, PATIENCE)
        assert KEY not in await page.content()
        if libsrt() is not None:
            with ffmpeg(port, tmp_path / "called.mkv", "mode=listener"):
                await srt.start(f"srt://127.0.0.1:{port}")
                await srt.says("Live", "frames")
                await srt.stop()
        said = await camera.stop()
    assert f" {(tmp_path / 'device').read_text()} frames" in said
    assert len(frames_of(tmp_path / "received.mkv")) > 10


class Row:
    """What the page has of one kind of output."""

    def __init__(self, page: Page, testid: str) -> None:
        self._row = page.get_by_test_id(testid)

    async def start(self, *fields: str) -> None:
        """Fill in what it asks for, and press Start."""
        for field, text in zip(await self._row.locator("input").all(), fields, strict=False):
            await field.fill(text)
        await self._row.get_by_role("button", name="Start").click()

    async def says(self, state: str, text: str | re.Pattern[str]) -> None:
        """Wait until it is in that state and says that."""
        told = self._row.get_by_role("status")
        await expect(told.get_by_test_id("output-state")).to_have_text(state)
        await expect(told).to_contain_text(text)

    async def stop(self) -> str:
        """Press Stop; give what it says then."""
        await self._row.get_by_role("button", name="Stop").click()
        told = self._row.get_by_role("status")
        await expect(told).to_contain_text("Ended")
        return await told.inner_text()


async def test_a_style_comes_back_from_its_link(page: Page, light: Server) -> None:
    await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    await page.goto(light.url)
    await page.get_by_test_id("prompt").fill("half neon & half comic")
    await page.get_by_test_id("prompt").press("Enter")
    await page.get_by_test_id("steps").fill("3")
    await page.get_by_test_id("copy-style").click()
    await expect(page.get_by_test_id("copy-style")).to_contain_text("Copied")
    link = await page.evaluate(_CLIPBOARD)
    assert link.startswith(f"{light.url}/#style=")
    assert TOKEN not in link

    other = await (await page.context.browser.new_context()).new_page()  # type: ignore[union-attr]
    await other.goto(link)
    await expect(other.get_by_test_id("prompt")).to_have_value("half neon & half comic")
    await expect(other.get_by_test_id("steps")).to_have_value("3")
    assert "style" not in other.url

    wrong = quote('{"steps": 99}')
    await other.goto(f"{light.url}/#style={wrong}")  # as pasted into the open page
    await expect(other.get_by_test_id("link-problem")).to_contain_text(
        "steps is 99; allowed: a whole number from 1 to 8"
    )
    await expect(other.get_by_test_id("steps")).to_have_value("3")


async def test_looks_and_prompts_are_kept_and_the_key_map_opens(
    page: Page, light: Server, tmp_path: Path
) -> None:
    await page.goto(light.url)
    prompt = page.get_by_test_id("prompt")
    for text in ("ink", "neon"):
        await prompt.fill(text)
        await prompt.press("Enter")
    await page.get_by_test_id("history").get_by_text("ink", exact=True).click()
    await expect(prompt).to_have_value("ink")

    await page.get_by_test_id("looks").locator("summary").click()
    await page.get_by_test_id("look-name").fill("Mine")
    await page.get_by_test_id("look-save").click()
    async with page.expect_download() as exported:
        await page.get_by_test_id("looks-export").click()
    await (await exported.value).save_as(tmp_path / "looks.json")
    await page.get_by_label("Delete the look 'Mine'").click()
    await expect(page.get_by_test_id("looks").get_by_text("Mine", exact=True)).to_have_count(0)
    async with page.expect_file_chooser() as chooser:
        await page.get_by_test_id("looks-import").click()
    await (await chooser.value).set_files(tmp_path / "looks.json")
    await expect(page.get_by_test_id("looks-message")).to_have_text("1 look read.")
    async with page.expect_file_chooser() as chooser:
        await page.get_by_test_id("looks-import").click()
    huge = FilePayload(name="huge.json", mimeType="application/json", buffer=b" " * 1_000_001)
    await (await chooser.value).set_files(huge)
    await expect(page.get_by_test_id("looks-message")).to_contain_text(
        "Nothing was taken from huge.json: it is larger than 1 MB"
    )

    await page.reload()
    await page.get_by_label("Forget 'neon'").click()
    await expect(page.get_by_label("Forget 'neon'")).to_have_count(0)
    await page.get_by_test_id("looks").locator("summary").click()
    await prompt.fill("comic")
    await prompt.press("Enter")
    await page.get_by_test_id("looks").get_by_text("Mine", exact=True).click()
    await expect(prompt).to_have_value("ink")

    await page.get_by_test_id("help").focus()
    await page.keyboard.press("?")
    await expect(page.get_by_test_id("help-sheet")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("help-sheet")).to_be_hidden()
