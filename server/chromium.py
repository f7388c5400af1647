"""A Chromium for measuring and for tests, driven by Playwright, which the product does not need."""

import asyncio
import importlib
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
QUIET = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
    # Chromium refuses to start as root with its sandbox
    *(("--no-sandbox",) if hasattr(os, "geteuid") and os.geteuid() == 0 else ()),
)


class NoBrowser(Exception):
    """Playwright or a Chromium is not there; the message says how to get it."""


def find_chromium(named: str | None) -> str | None:
    """Give the path of a Chromium: the named one, else the first on the PATH."""
    found = (shutil.which(name) for name in ([named] if named else _NAMES))
    return next((path for path in found if path), _MAC if Path(_MAC).exists() else None)


@asynccontextmanager
async def chromium(named: str | None) -> AsyncIterator[Any]:
    """Run that Chromium, or the first found, without a window; gives Playwright's browser.

    Raises NoBrowser.
    """
    try:
        playwright = importlib.import_module("playwright.async_api")
    except ImportError as error:
        raise NoBrowser("this needs Playwright: `pip install playwright`") from error
    async with playwright.async_playwright() as running:
        its_own = Path(running.chromium.executable_path)  # of `playwright install`
        path = find_chromium(named) or (
            str(its_own) if await asyncio.to_thread(its_own.exists) else None
        )
        if path is None:
            raise NoBrowser(
                "this needs a Chromium: `playwright install chromium`, or `apt install chromium`, "
                "or its path as --chromium"
            )
        browser = await running.chromium.launch(executable_path=path, args=list(QUIET))
        try:
            yield browser
        finally:
            await browser.close()
