"""The page's pictures in README.md: the product itself in Chromium, the tests' clip as its camera.

python -m tests.bench.screenshots [--to docs]
"""

import argparse
import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import Browser

from tests.e2e.browser import write_camera
from tests.e2e.conftest import CLIP, chromium, go_live
from tests.e2e.serving import TOKEN, Server, serving

_SHOTS = {  # name: width, height, pixels a point, colours, prompt
    "page": (1280, 1000, 1, "light", "a comic book"),
    "page-dark": (1280, 1000, 1, "dark", "neon lights at night"),
    "page-phone": (390, 844, 2, "light", "starry night by van Gogh"),
}
_SETTLE = 6  # seconds: the picture, its figures and the latency bars come to rest


async def shoot(browser: Browser, server: Server, name: str, to: Path) -> None:
    """Go live with a prompt; write the page as it looks then."""
    width, height, scale, colours, prompt = _SHOTS[name]
    context = await browser.new_context(
        permissions=["camera", "microphone"],
        viewport={"width": width, "height": height},
        device_scale_factor=scale,
        color_scheme=colours,  # type: ignore[arg-type]
        is_mobile=width < 500,
    )
    await context.add_init_script(f"localStorage.setItem('restyle.token', '{TOKEN}')")
    page = await context.new_page()
    await go_live(page, server, prompt)
    await asyncio.sleep(_SETTLE)
    await page.screenshot(path=to / f"{name}.png")
    await context.close()


async def main() -> None:
    """Write all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        camera = Path(folder) / "webcam.y4m"
        write_camera(CLIP, camera, width=640, height=480, fps=25, seconds=8)
        async with chromium(camera) as browser:
            for name in _SHOTS:
                await shoot(browser, server, name, arguments.to)


if __name__ == "__main__":
    asyncio.run(main())
