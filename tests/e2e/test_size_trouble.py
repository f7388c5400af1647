"""A size that is not to be had: the page says why, and where the log has it."""

import re

from playwright.async_api import Page, expect

from tests.e2e.conftest import SHARED, go_live
from tests.e2e.serving import Server
from tests.streams.waiting import eventually

pytestmark = SHARED


async def test_a_refused_size_has_the_id_that_stands_in_the_log(page: Page, light: Server) -> None:
    await go_live(page, light, "ink")
    await page.get_by_test_id("size").select_option("1024")
    told = page.get_by_test_id("size-problem")
    await expect(told).to_contain_text("takes about 9.00 GB more")
    (found,) = re.findall(r"\(([0-9a-f]{8,})\)", await told.inner_text())
    await eventually(lambda: any(found in line for line in light.lines))
    await page.get_by_test_id("size").select_option("256")
    await expect(told).to_have_count(0)
