"""What the server restyles besides this page: seen, opened, styled and ended from here."""

from playwright.async_api import Page, expect

from tests.e2e.conftest import CLIP, SHARED, go_live, type_prompt, until_sessions
from tests.e2e.serving import TOKEN, Server

pytestmark = SHARED


async def test_a_source_of_the_server_is_run_from_the_page(page: Page, light: Server) -> None:
    await page.goto(light.url)
    panel = page.get_by_test_id("elsewhere")
    await expect(page.get_by_role("group", name="Styles")).to_be_visible()
    await expect(panel).to_be_hidden()  # nothing runs, here or elsewhere
    await go_live(page, light, "ink")
    await panel.locator("summary").click()
    await expect(panel).to_contain_text("Nothing else is restyled on this server.")

    await page.get_by_test_id("elsewhere-kind").select_option("file")
    await page.get_by_test_id("elsewhere-at").fill(CLIP.name)
    await panel.get_by_role("button", name="Restyle it").click()
    row = page.get_by_test_id("elsewhere-session")
    await expect(row).to_contain_text(CLIP.name)
    await expect(row).to_contain_text("ink")
    await expect(row).to_contain_text("fps")

    await type_prompt(page, "neon")
    await row.get_by_role("button", name="Give it this style").click()
    await expect(row).to_contain_text("neon")
    sessions = light.api("GET", "/api/sessions")["sessions"]
    assert [session["style"]["prompt"] for session in sessions] == ["neon", "neon"]

    visitor = await page.context.new_page()  # who has nothing running sees that there is something
    await visitor.goto(light.url)
    await expect(visitor.get_by_test_id("elsewhere")).to_be_visible()
    await visitor.close()

    async with page.context.expect_page() as opened:
        await row.get_by_role("link", name="Watch").click()
    watching = await opened.value
    assert TOKEN not in watching.url  # a link that lets watch, and nothing else
    await watching.wait_for_function("() => document.querySelector('video').videoWidth > 0")

    await row.get_by_role("button", name="End").click()
    await expect(row).to_have_count(0)
    await until_sessions(light, 1)


async def test_what_no_setting_allows_is_told(page: Page, light: Server) -> None:
    await go_live(page, light)
    panel = page.get_by_test_id("elsewhere")
    await panel.locator("summary").click()
    await page.get_by_test_id("elsewhere-at").fill("rtsp://camera.local/live")
    await panel.get_by_role("button", name="Restyle it").click()
    await expect(panel.get_by_role("status")).to_have_text(
        "url: none is allowed; RESTYLE_SOURCE_URLS decides"
    )
    await expect(page.get_by_test_id("elsewhere-at")).to_have_value("rtsp://camera.local/live")
