"""Glass to glass in Chromium, by what `restyle bench latency` measures with."""

from typing import Any

from server.asking import Asking
from server.chromium import NoBrowser
from server.latency import measure
from server.settings import Settings
from tests.e2e.serving import TOKEN, Server


async def glass(server: Server, seconds: float) -> dict[str, Any]:
    """512 × 512 at 30 fps in Chromium on the same machine: untouched, and through the model."""
    settings = Settings(token=TOKEN)
    asking = Asking(settings, server.url)
    try:
        return await measure(asking, seconds, settings.chromium, lambda step: None)
    except NoBrowser as error:
        return {"skipped": str(error)}
