"""The style's controls: what the page sets is in force on the server, and a reset undoes it."""

import pytest
from playwright.async_api import Page, expect

from tests.e2e.conftest import go_live
from tests.e2e.serving import Server

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


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
