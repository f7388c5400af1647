"""`serve --no-engine-process`: the engine in the server's own process, to debug."""

from pathlib import Path

import httpx
import psutil
import pytest

from streams.aiortc_patches import TransportSettings, install
from tests.e2e.serving import LIGHT, TOKEN, serving
from tests.server.client import Browser
from tests.streams.waiting import PATIENCE

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("option", "apart"), [("--no-engine-process", False), ("--engine-process", True)]
)
async def test_it_restyles_in_either_mode_and_has_a_process_of_its_own_in_one(
    option: str, apart: bool, tmp_path: Path
) -> None:
    install(TransportSettings())
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with serving(tmp_path, option, module=LIGHT) as server:
        async with httpx.AsyncClient(
            base_url=server.url, headers=headers, timeout=PATIENCE
        ) as http:
            browser = Browser()
            assert (await browser.connect(http, prompt="ink")).status_code == 201
            assert abs(await browser.level() - 195) < 8
            browser.say(type="style", seq=1, style={"bypass": True})
            await browser.hear("applied")
            await browser.shows(60)
            await browser.close()
        engines = [
            child
            for child in psutil.Process(server.pid).children(recursive=True)
            if "spawn_main" in " ".join(child.cmdline())
        ]
        held = server.metric("restyle_child_resident_bytes", "engine")
        assert (bool(engines), held > 1e6) == (apart, apart)
