"""The page works without a mouse, and axe-core finds nothing wrong in its main states."""

from typing import Literal

from playwright.async_api import Page, expect

from tests.e2e.conftest import SHARED, go_live, until_live
from tests.e2e.serving import ROOT, Server
from tests.streams.waiting import eventually

pytestmark = SHARED
_AXE = ROOT / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
# best-practice rules too: WCAG alone lets a page without landmarks pass
_RUN = """async (rules) => (await axe.run(document, {
    resultTypes: ['violations'], // the rest is not written out
    ...(rules && {runOnly: {type: 'rule', values: rules}})})).violations
  .flatMap(({id, nodes}) => nodes.map((node) => `${id}: ${node.html} ${node.failureSummary}`))"""

_SCHEMES: dict[Literal["light", "dark"], list[str] | None] = {
    "light": None,
    "dark": ["color-contrast"],  # nothing else can differ
}


async def faults(page: Page, state: str) -> list[str]:
    """Give what axe complains of in this state, in the light and in the dark."""
    if not await page.evaluate("'axe' in window"):  # a second copy would start cold
        await page.evaluate(_AXE.read_text())  # past the page's policy: no foreign script
    found: list[str] = []
    for scheme, rules in _SCHEMES.items():
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        found += [f"{state}, {scheme}: {fault}" for fault in await page.evaluate(_RUN, rules)]
    return found


async def test_axe_finds_nothing_in_any_state(page: Page, light: Server) -> None:
    await page.goto(light.url)
    await expect(page.get_by_role("group", name="Styles")).to_be_visible()
    found = await faults(page, "start")

    await go_live(page, light, "a pencil drawing")
    await expect(page.get_by_test_id("copy-obs")).to_be_visible()
    found += await faults(page, "live")

    await page.get_by_test_id("brush-tool").click()
    await expect(page.get_by_test_id("painter")).to_be_visible()
    found += await faults(page, "painting")
    await page.get_by_test_id("brush-tool").click()

    for panel in await page.locator("details > summary").all():
        await panel.click()
    await page.get_by_test_id("add-obs").click()
    found += await faults(page, "panels open")

    await page.get_by_test_id("help").click()
    found += await faults(page, "help")
    await page.keyboard.press("Escape")

    await page.set_viewport_size({"width": 360, "height": 740})
    found += await faults(page, "phone")
    assert found == []


async def test_axe_would_find_a_fault(page: Page, light: Server) -> None:
    await page.goto(light.url)
    await page.evaluate("() => document.querySelector('main').append(new Image())")
    assert any("image-alt" in fault for fault in await faults(page, "broken"))


_FOCUSED = """() => {
  const focused = document.activeElement;
  const {outlineStyle, outlineWidth} = getComputedStyle(focused);
  return [focused.dataset.testid ?? '', outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2];
}"""


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until a control has the focus; each on the way shows that it has it."""
    for _ in range(40):
        await page.keyboard.press("Tab")
        focused, is_shown = await page.evaluate(_FOCUSED)
        assert is_shown, focused
        if focused == name:
            return
    raise AssertionError(f"no Tab leads to {name}")


async def test_the_keyboard_alone_leads_from_the_start_to_a_changed_prompt(
    page: Page, light: Server
) -> None:
    await page.goto(light.url)
    await expect(page.get_by_test_id("prompt")).not_to_have_value("")
    await tab_to(page, "start-camera")
    await page.keyboard.press("Enter")
    await until_live(page)
    await tab_to(page, "prompt")
    await page.keyboard.press("ControlOrMeta+A")
    await page.keyboard.type("an ink drawing")
    await page.keyboard.press("Enter")

    def is_in_force() -> bool:
        (session,) = light.api("GET", "/api/sessions")["sessions"]
        return bool(session["style"]["prompt"] == "an ink drawing")

    await eventually(is_in_force)
