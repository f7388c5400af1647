"""A picture of a style, chosen on the page, becomes the prompt."""

from pathlib import Path

from playwright.async_api import Page, expect

from pipeline.embedded import WEIGHTS
from tests.e2e.conftest import SHARED
from tests.e2e.serving import Server

pytestmark = SHARED
NEON = WEIGHTS / "thumbnails" / "neon.webp"


async def test_a_reference_picture_becomes_the_prompt(
    page: Page, server: Server, tmp_path: Path
) -> None:
    await page.goto(server.url)
    file, said = page.get_by_test_id("reference-file"), page.get_by_test_id("reference-said")

    await file.set_input_files(NEON)
    await expect(page.get_by_test_id("prompt")).to_have_value("neon lights at night")
    await expect(page.get_by_test_id("reference").locator("img")).to_be_visible()

    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    await file.set_input_files(broken)
    await expect(said).to_contain_text("no picture")
    await expect(page.get_by_test_id("prompt")).to_have_value("neon lights at night")
