"""The style's controls: what the page sets is in force on the server, and a reset undoes it."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import SHARED, go_live, type_prompt, until_sessions
from tests.e2e.serving import Server

pytestmark = SHARED


@pytest.fixture
def server(light: Server) -> Server:
    """Give the light server: nothing here asks anything of the model."""
    return light


async def test_a_rare_control_shows_when_it_counts_and_one_reset_undoes_it(
    page: Page, server: Server
) -> None:
    await go_live(page, server)
    await page.get_by_text("More", exact=True).click()
    warp = page.get_by_test_id("noise-warp")
    await expect(warp).to_be_hidden()

    await page.get_by_test_id("noise").select_option("warped")
    await warp.fill("0.5")
    await expect(page.get_by_test_id("prompt")).to_have_attribute("aria-busy", "false")
    (session,) = server.api("GET", "/api/sessions")["sessions"]
    assert session["style"]["noise_warp"] == 0.5
    assert session["style"]["noise"] == "warped"

    await page.get_by_test_id("reset-noise-warp").click()
    await expect(warp).to_have_value("1")
    await expect(page.get_by_test_id("reset-noise-warp")).to_be_hidden()


async def test_two_prompts_blend_by_their_weights(page: Page, server: Server) -> None:
    await go_live(page, server, "ink")
    await page.get_by_test_id("blend").locator("summary").click()
    await page.get_by_test_id("blend-add").click()
    await page.get_by_test_id("blend-text-1").fill("neon")
    await page.get_by_test_id("blend-weight-1").fill("0.25")

    await expect(page.get_by_test_id("blend-share-1")).to_have_text("20 %")
    await expect(page.get_by_test_id("prompt")).to_have_value("ink:1 AND neon:0.25")
    assert await prompt_in_force(page, server) == "ink:1 AND neon:0.25"

    await type_prompt(page, "clay")  # the box is the same prompt
    await expect(page.get_by_test_id("blend-text-0")).to_have_value("clay")
    await expect(page.get_by_test_id("blend-text-1")).to_have_count(0)


async def test_the_timeline_travels_holds_and_is_kept(page: Page, server: Server) -> None:
    await go_live(page, server, "ink")
    await page.get_by_test_id("timeline").locator("summary").click()
    add, play = page.get_by_test_id("timeline-add"), page.get_by_test_id("timeline-play")
    await add.click()
    await type_prompt(page, "neon")
    await add.click()
    await play.click()
    await expect(page.get_by_test_id("prompt")).to_have_value("neon")
    session = server.api("GET", "/api/sessions")["sessions"][-1]
    assert 3 < session["style"]["travel"] < 4  # what is left of four seconds

    await play.click()
    await expect(page.get_by_test_id("prompt")).to_have_value(re.compile("ink:.* AND neon:.*"))
    held = await page.get_by_test_id("timeline-at").input_value()
    assert 0 < float(held) < 4
    await page.get_by_test_id("timeline-at").press("Home")
    assert await prompt_in_force(page, server) == "ink"
    await page.reload()
    await page.get_by_test_id("timeline").locator("summary").click()
    await expect(page.get_by_test_id("key-prompt-1")).to_have_value("neon")


async def test_a_morph_goes_from_one_look_to_another_by_keyboard(
    page: Page, server: Server
) -> None:
    await go_live(page, server, "ink")
    await page.get_by_test_id("morph").locator("summary").click()
    await page.get_by_test_id("strength").fill("0.2")
    await page.get_by_test_id("morph-a").click()
    await type_prompt(page, "neon")
    await page.get_by_test_id("strength").fill("1")
    await page.get_by_test_id("morph-b").click()

    slider = page.get_by_test_id("morph-at")
    await slider.fill("0.5")
    assert await prompt_in_force(page, server) == "ink:0.5 AND neon:0.5"
    await expect(page.get_by_test_id("strength")).to_have_value("0.6")
    await slider.press("Home")
    assert await prompt_in_force(page, server) == "ink"
    await slider.press("End")
    await expect(page.get_by_test_id("strength")).to_have_value("1")
    assert await prompt_in_force(page, server) == "neon"


async def prompt_in_force(page: Page, server: Server) -> str:
    """Ask the server, once it has acknowledged every change."""
    await expect(page.get_by_test_id("prompt")).to_have_attribute("aria-busy", "false")
    await until_sessions(server, 1)  # that of a page before is gone
    (session,) = server.api("GET", "/api/sessions")["sessions"]
    return str(session["style"]["prompt"])


_KNOB = """
  const knob = {name: 'nano', state: 'connected', onmidimessage: null};
  navigator.requestMIDIAccess = async () => ({inputs: new Map([['1', knob]]), onstatechange: null});
  window.turn = (...data) => knob.onmidimessage({data: new Uint8Array(data)});
"""


async def test_knob_key_view_and_small_window(page: Page, server: Server) -> None:
    await page.add_init_script(_KNOB)  # headless Chromium refuses MIDI
    await go_live(page, server, "ink")
    strength = page.get_by_test_id("strength")

    await page.get_by_test_id("midi").locator("summary").click()
    await page.get_by_test_id("midi-start").click()
    await expect(page.get_by_test_id("midi-status")).to_have_text("Hears nano.")
    await page.get_by_test_id("midi-learn-strength").click()
    await page.evaluate("() => turn(0xb0, 21, 127)")
    await expect(page.get_by_test_id("midi-strength")).to_have_text("CC 21 ch 1")
    await expect(strength).to_have_value("1")

    await page.get_by_test_id("bypass").focus()
    await page.keyboard.press("-")
    await expect(strength).to_have_value("0.96")
    for view in ("side", "difference", "inset", "only", "wipe"):
        await page.keyboard.press("v")
        await expect(page.get_by_test_id(f"view-{view}")).to_have_attribute("aria-pressed", "true")
        if view == "inset":
            small, large = [
                await page.get_by_test_id(f"video-{side}").bounding_box() for side in ("in", "out")
            ]
            assert small is not None
            assert large is not None
            assert small["width"] < large["width"] / 3
            assert small["y"] > large["y"] + large["height"] / 2

    async with page.context.expect_page() as opened:
        await page.get_by_test_id("float").click()
    small_window = await opened.value
    await expect(small_window.get_by_test_id("float-video")).to_be_visible()
    await small_window.get_by_test_id("float-prompt").fill("neon")
    await small_window.get_by_test_id("float-prompt").press("Enter")
    await expect(page.get_by_test_id("prompt")).to_have_value("neon")
    await expect(small_window.get_by_test_id("float-prompt")).to_be_focused()
    await small_window.wait_for_function(
        "() => document.querySelector('[data-testid=float-video]').videoWidth > 0"
    )


async def test_a_seed_may_be_emptied_and_typed_anew(page: Page, server: Server) -> None:
    await go_live(page, server)
    seed = page.get_by_test_id("seed")
    before = await seed.input_value()
    await seed.fill("")
    await expect(seed).to_have_value("")
    await seed.blur()
    await expect(seed).to_have_value(before)  # none was chosen
    await seed.fill("")
    await seed.press_sequentially("77")
    await expect(page.get_by_test_id("prompt")).to_have_attribute("aria-busy", "false")
    (session,) = server.api("GET", "/api/sessions")["sessions"]
    assert session["style"]["seed"] == 77


_NAMES = """() => [...document.querySelectorAll('[data-testid^=preset-]')].map((button) => {
  const text = button.querySelector('span');
  const range = document.createRange();
  range.selectNodeContents(text);
  const [written, card] = [range, button].map((each) => each.getBoundingClientRect());
  return [text.textContent, Math.min(written.left - card.left, card.right - written.right)];
})"""


async def test_no_name_of_a_style_touches_the_edge_of_its_card(page: Page, product: Server) -> None:
    await page.goto(product.url)
    await page.get_by_test_id("all-presets").click()
    for width in (360, 1024, 1280, 1920):
        await page.set_viewport_size({"width": width, "height": 800})
        margins = await page.evaluate(_NAMES)
        assert len(margins) > 30
        assert [name for name, margin in margins if margin < 3] == []
