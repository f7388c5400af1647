"""The main job in a real browser: camera in, prompt in, restyled picture out."""

from playwright.async_api import Page, expect

from tests.e2e.conftest import (
    CLIP,
    SHARED,
    go_live,
    type_prompt,
    until_live,
    until_sessions,
    until_state,
)
from tests.e2e.pictures import read_picture
from tests.e2e.serving import Server

pytestmark = SHARED


async def test_a_reload_keeps_the_prompt_and_goes_on(page: Page, light: Server) -> None:
    await go_live(page, light, "an oil painting")

    await page.reload()
    await expect(page.get_by_test_id("prompt")).to_have_value("an oil painting")
    await until_live(page)

    await until_sessions(light, 1, seconds=5)  # the page that went away gave its place back


async def test_the_printed_link_opens_straight_into_the_app(page: Page, light: Server) -> None:
    context = await page.context.browser.new_context()  # type: ignore[union-attr]  # launched
    newcomer = await context.new_page()

    link = light.link()
    await newcomer.goto(link)
    await expect(newcomer.get_by_test_id("start-camera")).to_be_visible()
    await until_state(newcomer, "idle")
    assert "code" not in newcomer.url

    late = await (await page.context.browser.new_context()).new_page()  # type: ignore[union-attr]
    await late.goto(link)  # opens one browser, once
    await until_state(late, "unauthorised")


async def test_a_closed_tab_frees_its_place(page: Page, light: Server) -> None:
    await go_live(page, light)
    assert light.api("GET", "/api/info")["sessions"] == 1

    await page.close()

    await until_sessions(light, 0, seconds=10)


async def test_a_video_file_plays_in_a_loop_and_is_restyled(page: Page, light: Server) -> None:
    await page.goto(light.url)
    await page.get_by_test_id("file-picker").first.set_input_files(CLIP)
    await until_live(page)
    assert (await read_picture(page)).std() > 10


async def test_a_shared_screen_is_restyled(page: Page, light: Server) -> None:
    await page.goto(light.url)
    await page.get_by_test_id("start-screen").click()
    await until_live(page)
    assert (await read_picture(page)).std() > 5


async def test_the_key_b_bypasses_but_not_while_typing(page: Page, light: Server) -> None:
    await go_live(page, light)
    bypass = page.get_by_test_id("bypass")

    await type_prompt(page, "bob by a pencil")
    await expect(bypass).to_have_attribute("aria-pressed", "false")
    await bypass.focus()
    await page.keyboard.press("b")
    await expect(bypass).to_have_attribute("aria-pressed", "true")


async def test_the_split_moves_by_keyboard(page: Page, light: Server) -> None:
    await go_live(page, light)
    split = page.get_by_test_id("split")
    before = await split.get_attribute("aria-valuenow")

    await split.focus()
    await split.press("ArrowLeft")

    assert await split.get_attribute("aria-valuenow") != before


_PICTURE = """() => {
  const stage = document.querySelector('[data-testid=stage]');
  const { left, top, right, bottom } = stage.getBoundingClientRect();
  return [left, top, innerWidth - right, innerHeight - bottom, (right - left) / (bottom - top)];
}"""


async def test_the_whole_screen_shows_the_whole_picture_and_the_brush_on_it(
    page: Page, light: Server
) -> None:
    await go_live(page, light)
    await page.get_by_test_id("bypass").focus()
    await page.keyboard.press("f")
    await page.wait_for_function("() => document.fullscreenElement !== null")
    for view, aspect in (("wipe", 1), ("side", 2)):
        await page.get_by_test_id(f"view-{view}").dispatch_event("click")
        await page.wait_for_function(f"() => Math.abs(({_PICTURE})().at(-1) - {aspect}) < 0.01")
        *margins, _ = await page.evaluate(_PICTURE)
        assert min(margins) > -1, margins  # it lies within the screen
        assert min(margins) < 1, margins  # and is as large as fits

    await page.get_by_test_id("view-wipe").dispatch_event("click")
    await page.get_by_test_id("brush-tool").dispatch_event("click")
    boxes = [await page.get_by_test_id(name).bounding_box() for name in ("painter", "video-out")]
    assert boxes[0] == boxes[1]
    await page.evaluate("() => document.exitFullscreen()")


_CUT_OFF = """() => {
  const stage = document.querySelector('[data-testid=stage]').getBoundingClientRect();
  return [...document.querySelectorAll('[data-testid=stage] :is(h2, p, button)')]
    .filter((part) => {
      const { left, top, right, bottom } = part.getBoundingClientRect();
      return left < stage.left || top < stage.top || right > stage.right || bottom > stage.bottom;
    })
    .map(({ textContent }) => textContent);
}"""


async def test_a_small_or_enlarged_page_shows_every_source_that_may_be_chosen(
    page: Page, light: Server
) -> None:
    # at 200 %, on a small phone, on one that lies on its side
    for width, height in ((720, 450), (320, 640), (844, 390)):
        await page.set_viewport_size({"width": width, "height": height})
        await page.goto(light.url)
        await expect(page.get_by_test_id("start-file")).to_be_visible()
        assert await page.evaluate(_CUT_OFF) == []
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= width


async def test_a_phone_shows_picture_and_prompt_without_scrolling_sideways(
    page: Page, light: Server
) -> None:
    await page.set_viewport_size({"width": 360, "height": 740})
    await go_live(page, light)

    width = await page.evaluate("() => document.documentElement.scrollWidth")
    assert width <= 360
    await expect(page.get_by_test_id("video-out")).to_be_in_viewport()
    wipe = page.get_by_test_id("wipe")
    await expect(wipe).to_have_css("touch-action", "pan-y")  # a finger on the picture scrolls
    names = ("stage", "prompt", "start-camera", "view-wipe", "fps-in", "add-obs", "outputs")
    boxes = [await page.get_by_test_id(name).bounding_box() for name in names]
    tops = [box["y"] for box in boxes if box is not None]
    assert len(tops) == len(names)
    assert tops == sorted(tops)
