"""A real OBS, where one is installed: the page's client against it, and our stream into it.

Debian: `apt-get install --no-install-recommends obs-studio xvfb`. OBS gets a display and a home of
its own.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.async_api import Page, expect

from tests.e2e.conftest import SHARED, go_live
from tests.e2e.serving import ROOT, Server, serving
from tests.streams.ports import free_port, listens
from tests.streams.waiting import until

pytestmark = [*SHARED, pytest.mark.long]
_PASSWORD = "of-obs"
_CONFIG = """[General]
FirstRun=true
[OBSWebSocket]
FirstLoad=false
ServerEnabled=true
AuthRequired=true
ServerPassword={password}
ServerPort={port}
"""
_ASK = """
import Client from "obs-websocket-js/json";
const [port, password, request, data] = process.argv.slice(1);
const obs = new Client();
await obs.connect(`ws://127.0.0.1:${port}`, password, { eventSubscriptions: 0 });
console.log(JSON.stringify((await obs.call(request, JSON.parse(data))) ?? {}));
await obs.disconnect();
"""


def ask(port: int, request: str, **data: object) -> Any:
    """Ask OBS with the page's own client, run by Node."""
    node = ["node", "--input-type=module", "-e", _ASK, "--"]
    asked = subprocess.run(
        [*node, str(port), _PASSWORD, request, json.dumps(data)],
        cwd=ROOT / "frontend", check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return json.loads(asked.stdout)


@contextmanager
def running_obs(home: Path, port: int) -> Iterator[None]:
    """Run OBS with its WebSocket server on, in a display that nobody sees."""
    config = home / ".config" / "obs-studio" / "global.ini"
    config.parent.mkdir(parents=True)
    config.write_text(_CONFIG.format(password=_PASSWORD, port=port))
    settings = {"HOME": str(home), "LIBGL_ALWAYS_SOFTWARE": "1"}
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("XDG_")}
    process = subprocess.Popen(
        ["xvfb-run", "-a", "-s", "-screen 0 1280x720x24", "obs", "--multi"],
        env=inherited | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        until(lambda: listens(port))
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def shown(port: int, shot: Path) -> NDArray[np.uint8] | None:
    """Give what the source `srt` shows in OBS, None before it has a picture."""
    try:
        ask(
            port, "SaveSourceScreenshot",
            sourceName="srt", imageFormat="png", imageFilePath=str(shot),
        )  # fmt: skip
    except subprocess.CalledProcessError:
        return None
    with av.open(str(shot)) as png:
        return next(png.decode(video=0)).to_ndarray(format="rgb24").astype(np.uint8)


@pytest.fixture(scope="module")
def obs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Give the port of a running OBS."""
    if not all(shutil.which(program) for program in ("obs", "xvfb-run", "node")):
        pytest.skip("no OBS here: it needs obs, xvfb-run and node")
    port = free_port()
    with running_obs(tmp_path_factory.mktemp("home"), port):
        yield port


@pytest.fixture(scope="module")
def listener() -> int:
    """Give the port on which OBS's Media Source listens."""
    return free_port()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, listener: int) -> Iterator[Server]:
    """Run the product; it may stream to that port."""
    targets = f"srt://127.0.0.1:{listener}"
    with serving(tmp_path_factory.mktemp("state"), "--stream-targets", targets) as running:
        yield running


async def test_a_real_obs_is_asked_and_shows_our_stream(
    page: Page, server: Server, obs: int, listener: int, tmp_path: Path
) -> None:
    await go_live(page, server, "neon")
    await page.get_by_test_id("add-obs").click()
    form, said = page.get_by_test_id("obs-form"), page.get_by_test_id("obs-said")
    await form.get_by_label("Port").fill(str(obs))
    add = form.get_by_role("button", name="Connect and add")
    await form.get_by_label("Password").fill("wrong")
    await add.click()
    await expect(said).to_contain_text("does not take this password")
    await form.get_by_label("Password").fill(_PASSWORD)
    await add.click()
    has_browser = "browser_source" in ask(obs, "GetInputKindList")["inputKinds"]
    answer = "OBS has a new source 'Restyle'" if has_browser else "has no Browser Source"
    await expect(said).to_contain_text(answer)

    scene = ask(obs, "GetCurrentProgramScene")["currentProgramSceneName"]
    ask(
        obs, "CreateInput", sceneName=scene, inputName="srt", inputKind="ffmpeg_source",
        inputSettings={
            "is_local_file": False, "input": f"srt://127.0.0.1:{listener}?mode=listener",
        },
    )  # fmt: skip
    (session,) = server.api("GET", "/api/sessions")["sessions"]
    wanted = {"kind": "srt", "url": f"srt://127.0.0.1:{listener}"}
    server.api("POST", f"/api/sessions/{session['id']}/outputs", wanted)
    shot = tmp_path / "obs.png"
    picture, deadline = None, time.monotonic() + 90
    # "neon" makes a bright room dark: untouched it would not do
    while (picture is None or picture.mean() > 90) and time.monotonic() < deadline:
        await asyncio.sleep(1)  # another process: nothing to wait on but its answer
        picture = shown(obs, shot)
    page_says = await page.get_by_test_id("status").inner_text()
    assert picture is not None, f"nothing in OBS; the page says {page_says}"
    assert picture.mean() <= 90, f"untouched in OBS; the page says {page_says}"
    assert picture.shape == (session["height"], session["width"], 3)
    assert picture.std() > 20  # a picture, not a plain colour
