"""The style's controls: what the page sets is in force on the server, and a reset undoes it.

And where a style comes from: the first visit, the cards, a reference picture.
"""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, Route, expect

from pipeline.embedded import WEIGHTS
from tests.e2e.conftest import SHARED, go_live, type_prompt, until_sessions
from tests.e2e.serving import Server
from tests.streams.waiting import eventually

pytestmark = SHARED


@pytest.fixture
def server(light: Server) -> Server:
    """Give the light server: nothing here asks anything of the model."""
    return light


# test id, what is chosen, where the server keeps it; what shows only with another follows that
_CONTROLS: list[tuple[str, str | bool, str, object]] = [
    ("strength", "0.5", "strength", 0.5),
    ("guidance", "2", "guidance_scale", 2),
    ("guidance-kind", "full", "guidance", "full"),
    ("steps", "3", "steps", 3),
    ("negative", "fog", "negative_prompt", "fog"),
    ("seed", "77", "seed", 77),
    ("travel", "1.5", "travel", 1.5),
    ("seed-blend", "0.3", "seed_blend", 0.3),
    ("blend-seed", "5", "blend_seed", 5),
    ("deflicker", "0.8", "deflicker", 0.8),
    ("deflicker-search", True, "deflicker_search", True),
    ("motion-noise", "0.25", "motion_noise", 0.25),
    ("noise", "warped", "noise", "warped"),
    ("noise-warp", "0.5", "noise_warp", 0.5),
    ("similarity-filter", True, "similarity_filter", 0.98),
    ("similarity", "0.95", "similarity_filter", 0.95),
]
_RARE = ("blend-seed", "noise-warp", "similarity")


async def choose(page: Page, control: str, value: str | bool) -> None:
    """Set a control as a person does."""
    place = page.get_by_test_id(control)
    if isinstance(value, bool):
        await place.set_checked(value)
    elif control in ("noise", "guidance-kind"):
        await place.select_option(value)
    else:
        await place.fill(value)


async def test_every_control_is_in_force_and_a_reset_undoes_each_and_all(
    page: Page, server: Server
) -> None:
    await go_live(page, server)
    await page.get_by_text("More", exact=True).click()
    before = await style_in_force(page, server)
    for control in _RARE:
        await expect(page.get_by_test_id(control)).to_have_count(0)

    for control, value, field, expected in _CONTROLS:
        await choose(page, control, value)
        assert (await style_in_force(page, server))[field] == expected, control
    for control, *_ in reversed(_CONTROLS):
        reset = page.get_by_test_id(f"reset-{control}")
        await reset.click()
        await expect(reset).to_have_count(0)
    assert await style_in_force(page, server) == before
    for control in _RARE:
        await expect(page.get_by_test_id(control)).to_have_count(0)

    await page.get_by_role("button", name="Draw a new seed").click()
    assert (await style_in_force(page, server))["seed"] != before["seed"]
    await choose(page, "noise", "fresh")
    await page.get_by_test_id("reset").click()
    assert await style_in_force(page, server) == before


async def test_what_is_no_value_of_the_style_works_too(page: Page, server: Server) -> None:
    await page.route("**/selfie_segmentation*", lambda route: route.abort())
    await go_live(page, server)

    await expect(page.get_by_test_id("flicker")).to_have_text(re.compile(r"^\d+\.\d$"))
    await expect(page.get_by_test_id("latency-p95")).to_have_text(re.compile(r"^\d+$"))
    bars = page.get_by_role("img", name="Milliseconds per frame, by stage")
    await expect(bars).to_have_attribute("aria-label", re.compile(r"unet \d+\.\d"))
    await expect(bars.locator("span").first).to_be_visible()

    mirror = page.get_by_role("button", name="Mirror")
    for pressed, transform in (("true", "-1 1"), ("false", "none"), ("true", "-1 1")):
        await expect(mirror).to_have_attribute("aria-pressed", pressed)
        await expect(page.get_by_test_id("video-out")).to_have_css("scale", transform)
        await mirror.click()

    theme, root = page.get_by_role("button", name="Light or dark"), page.locator("html")
    await theme.click()
    await expect(root).to_have_attribute("data-theme", "dark")

    await page.get_by_test_id("size").select_option("1024")
    await expect(page.get_by_test_id("size-problem")).to_contain_text(
        "The size stays as it was: takes about 9.00 GB more"
    )

    await page.get_by_test_id("region-panel").locator("summary").click()
    state = page.get_by_test_id("region-state")
    await expect(state).to_contain_text("Choose whom the style is for")
    await page.get_by_test_id("region-where").select_option("person")
    await expect(state).to_contain_text("This cannot be done in this browser")

    await page.reload()
    await expect(root).to_have_attribute("data-theme", "dark")
    await theme.click()
    await expect(root).to_have_attribute("data-theme", "light")


async def three_presets(route: Route) -> None:
    """Answer as the server does, but with three styles of short prompts."""
    answer = await route.fetch()
    info = await answer.json()
    one = info["presets"][0]
    names = ("Ink", "Neon", "Clay")
    info["presets"] = [one | {"name": name, "prompt": name.lower()} for name in names]
    await route.fulfill(response=answer, json=info)


async def test_keys_change_style_mirror_strength_morph_and_timeline(
    page: Page, server: Server
) -> None:
    await page.route("**/api/info", three_presets)
    await go_live(page, server, "ink")
    prompt, bypass = page.get_by_test_id("prompt"), page.get_by_test_id("bypass")
    morph, play = page.get_by_test_id("morph-at"), page.get_by_test_id("timeline-play")
    for panel in ("morph", "timeline"):
        await page.get_by_test_id(panel).locator("summary").click()

    async def press(key: str) -> None:
        await bypass.focus()
        await page.keyboard.press(key)

    for key, chosen in (("n", "neon"), ("n", "clay"), ("n", "ink"), ("p", "clay"), ("p", "neon")):
        await press(key)
        await expect(prompt).to_have_value(chosen)
    await press("m")
    mirror = page.get_by_role("button", name="Mirror")
    await expect(mirror).to_have_attribute("aria-pressed", "false")
    await press("+")
    await expect(page.get_by_test_id("strength")).to_have_value("0.94")

    await page.get_by_test_id("morph-a").click()
    await page.get_by_test_id("timeline-add").click()
    await press("n")
    await page.get_by_test_id("morph-b").click()
    await page.get_by_test_id("timeline-add").click()
    await press(",")
    await expect(morph).to_have_value("0.96")
    assert await prompt_in_force(page, server) == "neon:0.04 AND clay:0.96"
    await press(".")
    await expect(morph).to_have_value("1")
    for name in ("Hold", "Play"):
        await press("t")
        await expect(play).to_have_attribute("aria-label", name)


async def test_two_prompts_blend_by_their_weights(page: Page, server: Server) -> None:
    await go_live(page, server, "ink")
    await page.get_by_test_id("blend").locator("summary").click()
    await page.get_by_test_id("blend-add").click()
    await page.get_by_test_id("blend-text-1").fill("neon")
    await page.get_by_test_id("blend-weight-1").fill("0.25")

    await expect(page.get_by_test_id("blend-share-1")).to_have_text("20 %")
    await expect(page.get_by_test_id("prompt")).to_have_value("ink:1 AND neon:0.25")
    assert await prompt_in_force(page, server) == "ink:1 AND neon:0.25"
    await page.get_by_role("button", name="Take prompt 1 out").click()
    assert await prompt_in_force(page, server) == "neon"

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

    def travels() -> bool:  # the box said `neon` before, too
        session = server.api("GET", "/api/sessions")["sessions"][-1]
        return bool(3 < session["style"]["travel"] < 4)  # what is left of four seconds

    await eventually(travels)

    await play.click()
    await expect(page.get_by_test_id("prompt")).to_have_value(re.compile("ink:.* AND neon:.*"))
    held = await page.get_by_test_id("timeline-at").input_value()
    assert 0 < float(held) < 4
    await page.get_by_test_id("timeline-at").press("Home")
    assert await prompt_in_force(page, server) == "ink"
    await page.reload()
    await page.get_by_test_id("timeline").locator("summary").click()
    await expect(page.get_by_test_id("key-prompt-1")).to_have_value("neon")

    loop = page.get_by_test_id("timeline-loop")
    await loop.click()
    await expect(loop).to_have_attribute("aria-pressed", "false")
    await page.get_by_test_id("timeline-at").fill("2.5")  # it plays long enough to be seen
    await play.click()
    await expect(play).to_have_attribute("aria-label", "Hold")
    await expect(play).to_have_attribute("aria-label", "Play")  # the end: it does not begin again
    await expect(page.get_by_test_id("timeline-at")).to_have_value("4")

    await page.get_by_test_id("key-at-0").fill("6")
    await page.get_by_test_id("key-at-0").blur()
    for index, text in enumerate(("neon", "ink")):  # in their order again
        await expect(page.get_by_test_id(f"key-prompt-{index}")).to_have_value(text)
    await page.get_by_role("button", name="Take key 1 out").click()
    await expect(page.get_by_test_id("key-prompt-0")).to_have_value("ink")
    await expect(play).to_have_count(0)  # one key is no way


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

    await page.get_by_test_id("looks").locator("summary").click()
    await page.get_by_test_id("look-name").fill("Mine")
    await page.get_by_test_id("look-save").click()
    await type_prompt(page, "clay")
    await page.get_by_label("Saved look as A").select_option("Mine")
    await expect(page.get_by_test_id("morph-a-is")).to_have_text("neon")
    await expect(slider).to_have_value("0")
    assert await prompt_in_force(page, server) == "neon"


async def style_in_force(page: Page, server: Server) -> dict[str, Any]:
    """Ask the server, once it has acknowledged every change."""
    await expect(page.get_by_test_id("prompt")).to_have_attribute("aria-busy", "false")
    await until_sessions(server, 1)  # that of a page before is gone
    (session,) = server.api("GET", "/api/sessions")["sessions"]
    style: dict[str, Any] = session["style"]
    return style


async def prompt_in_force(page: Page, server: Server) -> str:
    """Give the prompt of the style in force."""
    return str((await style_in_force(page, server))["prompt"])


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
    await page.get_by_role("button", name="Forget the knob of Strength").click()
    await expect(page.get_by_test_id("midi-strength")).to_be_empty()
    await page.evaluate("() => turn(0xb0, 21, 0)")
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
    await small_window.get_by_test_id("float-strength").fill("0.4")
    await expect(strength).to_have_value("0.4")
    await small_window.get_by_test_id("float-bypass").click()
    await expect(page.get_by_test_id("bypass")).to_have_attribute("aria-pressed", "true")
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


async def test_a_first_visit_begins_with_a_style_and_an_empty_box_says_what_it_means(
    page: Page, server: Server
) -> None:
    await page.goto(server.url)
    await expect(page.get_by_text("stays on this computer")).to_be_visible()
    await expect(page.get_by_test_id("prompt")).to_have_value("an old comic book")
    await expect(page.get_by_test_id("preset-Comic")).to_have_attribute("aria-pressed", "true")
    await type_prompt(page, "")
    await expect(page.get_by_test_id("prompt-hint")).to_have_text(
        "No prompt: the picture comes back as it is."
    )
    await page.reload()  # emptied on purpose, so it stays
    await expect(page.get_by_role("group", name="Styles")).to_be_visible()
    await expect(page.get_by_test_id("prompt")).to_have_value("")


_NAMES = """() => [...document.querySelectorAll('[data-testid^=preset-]')].map((button) => {
  const text = button.querySelector('span');
  const range = document.createRange();
  range.selectNodeContents(text);
  const [written, card] = [range, button].map((each) => each.getBoundingClientRect());
  return [text.textContent, Math.min(written.left - card.left, card.right - written.right)];
})"""


async def test_no_name_of_a_style_touches_the_edge_of_its_card(page: Page, server: Server) -> None:
    await page.goto(server.url)
    await page.get_by_test_id("all-presets").click()
    for width in (360, 1024, 1280, 1920):
        await page.set_viewport_size({"width": width, "height": 800})
        margins = await page.evaluate(_NAMES)
        assert len(margins) > 30
        assert [name for name, margin in margins if margin < 3] == []


_NEON = WEIGHTS / "thumbnails" / "neon.webp"


async def test_a_reference_picture_becomes_the_prompt(
    page: Page, server: Server, tmp_path: Path
) -> None:
    await page.goto(server.url)
    file, said = page.get_by_test_id("reference-file"), page.get_by_test_id("reference-said")

    await file.set_input_files(_NEON)
    await expect(page.get_by_test_id("prompt")).to_have_value("neon lights at night")
    await expect(page.get_by_test_id("reference").locator("img")).to_be_visible()

    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    await file.set_input_files(broken)
    await expect(said).to_contain_text("no picture")
    await expect(page.get_by_test_id("prompt")).to_have_value("neon lights at night")
